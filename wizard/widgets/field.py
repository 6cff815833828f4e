"""One question on one line: its label, an input, and beside it why the answer is what it is."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Label

from wizard.decisions import Question, parse_answer, shown
from wizard.inference import Answer
from wizard.widgets.choice import Choice
from wizard.widgets.paths import PathInput
from wizard.widgets.words import Words


class Answered(Message):
    """The user answered a question, in the words of its input. field: where, if it was typed."""

    def __init__(self, key: str, text: str, field: Field | None = None) -> None:
        super().__init__()
        self.key, self.text, self.field = key, text, field


class Asked(Message):
    """A question came into focus: its help may be shown."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


class Field(Vertical):
    """A question. `show` fills it in; what the user does to it comes out as `Answered`."""

    DEFAULT_CSS = """
    Field {
        height: auto;
        .row { height: auto; }
        .label { width: 15; color: $text-muted; }
        Input { width: 18; margin-right: 2; background: $panel; }
        Choice { width: auto; margin-right: 3; }
        Input:focus, Choice:focus { background: $primary 25%; }
        &:ansi Input { text-style: underline; }
        .why { width: 1fr; height: auto; color: $text-muted; }
        .problem { display: none; color: $text-error; padding-left: 15; height: auto; }
        .why.empty { display: none; }
        &:focus-within { color: $foreground; }  /* without a rule of its own a focus inside changes nothing below */
        &:focus-within .label { color: $text; text-style: bold; }
        &.given .why { color: $text-accent; }
        &.wrong .problem { display: block; }
        &.-broad Input, &.-broad Choice { width: 1fr; margin-right: 0; }
        &.-broad .why { padding-left: 15; width: 100%; }
    }
    """

    def __init__(self, question: Question, broad: bool = False, suggester: Suggester | None = None) -> None:
        super().__init__(id=question.key.replace(".", "-"), classes="-broad" if broad else None)
        self.question, self.broad = question, broad
        self._heard = ""  # the text that the draft knows of, or that was filled in from it
        self.control: Input | Choice
        if question.choices:
            self.control = Choice()
            self.add_class("-choice")
        else:
            kind = PathInput if suggester else Input
            self.control = kind(compact=True, select_on_focus=False, suggester=suggester)
        self.control.tooltip = question.help

    def compose(self) -> ComposeResult:
        with Horizontal(classes="row"):
            yield Label(self.question.label, classes="label")
            yield self.control
            if not self.broad:
                yield Words(classes="why")
        if self.broad:
            yield Words(classes="why")
        yield Words(classes="problem")

    def show(self, answer: Answer, problem: str = "", choices: dict[str, str] | None = None) -> None:
        """Fill in the answer that holds. What is being typed right now is left alone."""
        if isinstance(self.control, Choice):
            self.control.show(choices or {}, shown(answer.value))
        elif not self._is_being_typed(answer):
            self._fill(self.control, shown(answer.value))
        why = self.query_one(".why", Words)
        why.say(answer.why)
        why.set_class(not answer.why, "empty")
        self.query_one(".problem", Words).say(f"✗ {problem}")
        self.set_class(bool(problem), "wrong")
        self.set_class(answer.given, "given")

    def hear(self, text: str) -> None:
        """The draft knows of this text now."""
        self._heard = text

    def _is_being_typed(self, answer: Answer) -> bool:
        """Someone's own words, or an input just emptied, are not tidied up under their hands; least of all words that
        the draft has not heard of yet, because keys came faster than they could be dealt with."""
        assert isinstance(self.control, Input)
        if self.control.has_focus and self.control.value != self._heard:
            return True
        text = self.control.value.strip()
        return self.control.has_focus and (
            parse_answer(self.question.key, text) == answer.value if answer.given else text == ""
        )

    def _fill(self, control: Input, text: str) -> None:
        if control.value != text:
            with self.prevent(Input.Changed):
                control.value = text
            control.cursor_position = len(text)
        self._heard = text

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(Answered(self.question.key, event.value, self))

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        event.stop()
        self.post_message(Answered(self.question.key, event.value))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.post_message(Asked(self.question))

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """A field that was emptied shows the inferred answer again once it is left."""
        if isinstance(self.control, Input) and self.control.value == "":
            self.post_message(Answered(self.question.key, ""))
