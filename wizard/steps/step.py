"""What the steps of the wizard share: a title, the questions of their decision, and room to show what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from wizard.decisions import DECISIONS, Question
from wizard.draft import Draft
from wizard.widgets.field import Answered, Asked, Field
from wizard.widgets.words import Words

if TYPE_CHECKING:
    from engine.dataset.check import Report
    from wizard.estimate import Estimate


@dataclass(frozen=True)
class Checked:
    """How far the check of the videos is, and what it found. total 0: it has not begun."""

    done: int = 0
    total: int = 0
    report: Report | None = None


@dataclass(frozen=True)
class Measured:
    """What measuring came to so far. doing: while it goes on; estimate: the last result, `is_stale` where answers have
    changed since; beside: something else kept the machine busy meanwhile; trouble: why there is no result."""

    doing: str = ""
    estimate: Estimate | None = None
    is_stale: bool = False
    beside: str = ""
    trouble: str = ""


class Step(VerticalScroll, can_focus=False, inherit_bindings=False):
    """One decision. `show` brings everything up to date with the draft."""

    DEFAULT_CSS = """
    Step {
        padding: 1 2 0 2;
        .asks { text-style: bold; color: $text; margin-bottom: 1; height: auto; }
        Field { margin-bottom: 0; }
        .fields { height: auto; margin-bottom: 1; }
        .note { color: $text-warning; height: auto; }
        .quiet { color: $text-muted; height: auto; }
        .gap { margin-top: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [  # the arrow keys are for the fields
        Binding("pagedown", "page_down", "Further down", show=False),
        Binding("pageup", "page_up", "Further up", show=False),
    ]
    name_of_decision = ""

    looking = False  # at the data, which takes a while
    checked = Checked()
    measured = Measured()

    def __init__(self) -> None:
        self.decision = next(decision for decision in DECISIONS if decision.name == self.name_of_decision)
        super().__init__(id=f"step-{self.decision.name}")

    def compose(self) -> ComposeResult:
        yield Static(self.decision.asks, classes="asks")
        yield from self.compose_fields()
        yield Words(id="notes", classes="note gap")
        yield from self.compose_rest()

    def compose_fields(self) -> ComposeResult:
        for question in self.decision.questions:
            yield self.field(question)

    def compose_rest(self) -> ComposeResult:
        """What a step shows below its questions."""
        yield from ()

    def field(self, question: Question) -> Field:
        return Field(question)

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        """Bring the fields, the notes and the rest up to date."""
        for field in self.query(Field):
            question = field.question
            field.display = question.applies(draft)
            choices = question.choices(draft) if question.choices else None
            field.show(draft.answer(question.key), problems.get(question.key, ""), choices)
        notes = self.query_one("#notes", Words)
        sentences = draft.warnings(self.decision.name)
        notes.say("\n".join(f"! {sentence}" for sentence in sentences))
        notes.display = bool(sentences)
        self.show_rest(draft)

    def show_rest(self, draft: Draft) -> None:
        """Bring what stands below the questions up to date."""

    def commands(self) -> Iterable[SystemCommand]:
        """What the command palette offers while this step is shown."""
        yield from ()

    def first_focus(self) -> Widget | None:
        """Where typing starts: the first field with a problem, else the first field."""
        fields = [field for field in self.query(Field) if field.display]
        wrong = [field for field in fields if field.has_class("wrong")]
        return (wrong or fields)[0].control if fields else None


__all__ = ["Answered", "Asked", "Step", "on"]
