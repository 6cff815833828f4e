"""The last step: the recipe as it will be written, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from wizard.decisions import DECISIONS, Draft, Question, decision_of, is_cached, published_for
from wizard.steps.step import Step
from wizard.widgets.field import Field
from wizard.widgets.words import Words

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
        #toml-scroll { height: 1fr; background: $panel; padding: 0 1; margin-bottom: 1; }
        #toml-scroll:focus { background-tint: $foreground 4%; }
        #toml { width: 100%; height: auto; }
        #facts { height: auto; color: $text-muted; }
        #to-do { height: auto; color: $text-error; }
        Field Input { width: 36; }
        #buttons { height: 1; margin-top: 1; Button { margin-right: 2; } }
        .fields { height: auto; margin: 0; }
    }
    """
    name_of_decision = "review"

    def compose_fields(self) -> ComposeResult:
        with VerticalScroll(id="toml-scroll"):
            yield Words(id="toml")
        yield Words(id="to-do")
        for question in self.decision.questions:
            yield self.field(question)

    def field(self, question: Question) -> Field:
        return Field(question)

    def compose_rest(self) -> ComposeResult:
        yield Words(id="facts")
        with Horizontal(id="buttons"):
            yield Button("Save and launch", id="launch", variant="primary", compact=True, action="screen.launch")
            yield Button("Save", id="save", compact=True, action="screen.save")
            yield Button("Back", id="back", compact=True, action="screen.back")

    def show(self, draft: Draft, problems: Mapping[str, str]) -> None:
        super().show(draft, problems)
        to_do = self.query_one("#to-do", Words)
        to_do.display = bool(problems)
        self.query_one("#toml-scroll").display = not problems
        to_do.say("\n".join(["Not ready yet:", *(f"✗ {_step_of(key)}: {line}" for key, line in problems.items())]))
        if not problems:
            self.query_one("#toml", Words).say(coloured(draft.toml()))
        for name in ("#launch", "#save"):
            self.query_one(name, Button).disabled = bool(problems)

    def show_rest(self, draft: Draft) -> None:
        self.query_one("#facts", Words).say(_facts(draft))

    def first_focus(self) -> Widget | None:
        launch = self.query_one("#launch", Button)
        return self.query_one("#back", Button) if launch.disabled else launch


def coloured(toml: str) -> Content:
    """TOML with few colours."""
    content = Content(toml.rstrip("\n"))
    for token in TOKENS.finditer(content.plain):
        content = content.stylize(STYLES[str(token.lastgroup)], *token.span())
    return content


def _step_of(key: str) -> str:
    return next(decision.title for decision in DECISIONS if decision.name == decision_of(key))


def _facts(draft: Draft) -> str:
    facts = [draft.steps_sentence()]
    published = published_for(str(draft.value("start")))
    if published and not is_cached(published):
        facts.append(f"{published.size_mb} MB to download first")
    return "; ".join(fact for fact in facts if fact)
