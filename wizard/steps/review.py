"""The last step: the recipe as it will be written, what it changes, how long it would train, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input

from wizard.decisions import DECISIONS, Question, decision_of
from wizard.draft import Draft
from wizard.starts import is_cached, published_for
from wizard.steps.step import Measured, Step
from wizard.widgets.differences import Differences
from wizard.widgets.field import Field
from wizard.widgets.words import Words
from wizard.words import count, quoted

# Few colours: tables stand out, remarks step back. A highlighter for all languages would delay the first screen.
TOKENS = re.compile(
    r"""(?P<table>^\[[^\]]*\]$)|(?P<text>"(?:\\.|[^"\\])*")|(?P<remark>\#.*$)|(?P<number>(?<![\w"])[-\d][\d.e+-]*|true|false)""",
    re.MULTILINE,
)
STYLES = {"table": "bold $primary", "text": "$success", "remark": "$foreground 60%", "number": "$accent"}


class ReviewStep(Step):
    """Nothing is written before a button says so."""

    DEFAULT_CSS = """
    ReviewStep {
        overflow-y: hidden;
        #panes { height: 1fr; margin-bottom: 1; }
        #toml-scroll, #differences-scroll { width: 1fr; height: 1fr; background: $panel; padding: 0 1; }
        #toml-scroll:focus, #differences-scroll:focus { background-tint: $foreground 4%; }
        #differences-scroll { display: none; }
        &.-differs #toml-scroll { display: none; }
        &.-differs #differences-scroll { display: block; }
        #toml { width: 100%; height: auto; }
        #differences { width: 100%; height: auto; }
        #facts, #estimate { height: auto; color: $text-muted; }
        #to-do { height: auto; color: $text-error; }
        Field Input { width: 36; }
        #buttons {
            height: 1; margin-top: 1;
            Button {
                margin-right: 2; min-width: 8; width: auto; background: $panel; color: $foreground; text-style: none;
                &#launch { color: $primary; text-style: bold; }
                &:hover { background: $primary 30%; }
                &:focus, &#launch:focus { background: $primary; color: $background; text-style: bold; }
                &:ansi:focus, &#launch:ansi:focus { text-style: bold reverse; }
            }
        }
        #buttons #measure { min-width: 11; }
        .fields { height: auto; margin: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "differences", "Diff", id="review.diff", tooltip="The recipe, or what it changes in the preset"),
        Binding("m", "screen.measure", "Measure", id="review.measure", tooltip="Measure a few real steps; again stops"),
        Binding(
            "c",
            "screen.copy_command",
            "Copy",
            id="review.copy",
            show=False,
            tooltip="Copy the command that trains this",
        ),
    ]
    name_of_decision = "review"

    def compose_fields(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with VerticalScroll(id="toml-scroll"):
                yield Words(id="toml")
            with VerticalScroll(id="differences-scroll"):
                yield Differences(id="differences")
        yield Words(id="to-do")
        for question in self.decision.questions:
            yield self.field(question)

    def field(self, question: Question) -> Field:
        return Field(question)

    def compose_rest(self) -> ComposeResult:
        yield Words(id="facts")
        yield Words(id="estimate")
        with Horizontal(id="buttons"):
            yield Button("Save and launch", id="launch", variant="primary", compact=True, action="screen.launch")
            yield Button("Save", id="save", compact=True, action="screen.save")
            yield Button("Measure", id="measure", compact=True, action="screen.measure")
            yield Button("Copy command", id="copy", compact=True, action="screen.copy_command")
            yield Button("Back", id="back", compact=True, action="screen.back")

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        super().show(draft, problems)
        to_do = self.query_one("#to-do", Words)
        to_do.display = bool(problems)
        self.query_one("#panes").display = not problems
        to_do.say("\n".join(["Not ready yet:", *(f"✗ {_step_of(key)}: {line}" for key, line in problems.items())]))
        if not problems:
            self.query_one("#toml", Words).say(coloured(draft.toml()))
            self.query_one(Differences).show(draft.differences(), draft.preset)
        self.query_one("#measure", Button).label = "Stop" if self.measured.doing else "Measure"
        for name in ("#launch", "#save", "#measure", "#copy"):
            self.query_one(name, Button).disabled = bool(problems)
        estimate = self.query_one("#estimate", Words)
        estimate.display = not problems
        estimate.say(_estimate(self.measured))

    def show_rest(self, draft: Draft) -> None:
        self.query_one("#facts", Words).say(_facts(draft))

    def first_focus(self) -> Widget | None:
        launch = self.query_one("#launch", Button)
        return self.query_one("#back", Button) if launch.disabled else launch

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Letters are text while one types."""
        return not (action == "differences" and isinstance(self.screen.focused, Input))

    def action_differences(self) -> None:
        """The recipe, or what it changes."""
        self.toggle_class("-differs")


def command(draft: Draft) -> str:
    """What to type to train this recipe, once it is saved."""
    return f"ftwiz run {quoted(draft.out)}"


def coloured(toml: str) -> Content:
    """TOML with few colours."""
    content = Content(toml.rstrip("\n"))
    for token in TOKENS.finditer(content.plain):
        content = content.stylize(STYLES[str(token.lastgroup)], *token.span())
    return content


def _step_of(key: str) -> str:
    return next(decision.title for decision in DECISIONS if decision.name == decision_of(key))


def _facts(draft: Draft) -> Content:
    facts = [draft.steps_sentence()]
    published = published_for(str(draft.value("start")))
    if published and not is_cached(published):
        facts.append(f"{published.size_mb} MB to download first")
    said = "; ".join(fact for fact in facts if fact)
    return Content("\n").join([Content.assemble("$ ", (command(draft), "bold")), Content(said)])


def _estimate(measured: Measured) -> Content:
    if measured.doing:
        return Content.styled(f"Measuring: {measured.doing} … (m stops it)", "$primary")
    if measured.trouble:
        return Content.styled(f"✗ {measured.trouble}", "$text-error")
    if measured.estimate is None:
        return Content("Not measured yet: m takes a few real steps and says how long it would train.")
    if measured.is_stale:
        return Content("What was measured no longer holds for these answers; m measures again.")
    estimate = measured.estimate
    epochs = count(estimate.recipe.schedule.epochs, "epoch")
    lines = [
        Content.assemble((f"{epochs}: {estimate.total()}", "bold $primary"), f"; {estimate.each()}"),
        Content(f"{estimate.speed()}; {estimate.memory()}"),
        Content(f"checkpoints {estimate.disk()}"),
        Content(f"clips: {estimate.waiting()}"),
        *(Content.styled(f"! {note}", "$text-warning") for note in [measured.beside, *estimate.notes()] if note),
    ]
    return Content("\n").join(lines)
