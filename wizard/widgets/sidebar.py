"""The decisions at a glance: a column with their answers, or one line where there is no room for a column."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from wizard.decisions import DECISIONS, Decision
from wizard.widgets.words import Words

SEEN, WRONG, NOT_YET, HERE = "✓", "✗", "·", "▸"


class SidebarItem(Vertical):
    """One decision: its state, its name, its answers."""

    DEFAULT_CSS = """
    SidebarItem {
        height: auto; padding: 0 1 0 2; margin-bottom: 1;
        Static { height: auto; }
        .summary { color: $text-muted; padding-left: 2; }
        &:hover { background: $panel; }
        &.here { border-left: outer $primary; padding-left: 1; .title { text-style: bold; color: $primary; } }
        &.wrong .title { color: $text-error; }
    }
    """

    class Picked(Message):
        """The user wants to see this decision."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, decision: Decision) -> None:
        super().__init__(id=f"item-{decision.name}")
        self.decision = decision

    def compose(self) -> ComposeResult:
        yield Words(classes="title")
        yield Words(classes="summary")

    def show(self, mark: str, here: bool, summary: str) -> None:
        state = f"{HERE} {self.decision.title}{f' {WRONG}' if mark == WRONG else ''}" if here else ""
        self.query_one(".title", Words).say(state or f"{mark} {self.decision.title}")
        self.query_one(".summary", Words).say(summary)
        self.set_class(here, "here")
        self.set_class(mark == WRONG, "wrong")

    def on_click(self) -> None:
        self.post_message(self.Picked(self.decision.name))


class Sidebar(Vertical):
    """A column beside the step; a line above it where the terminal is narrow."""

    DEFAULT_CSS = """
    Sidebar {
        width: 32; background: $surface; padding: 1 0;
        #brand { color: $text-muted; padding: 0 2; margin-bottom: 1; height: auto; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Static("ftwiz  a new recipe", id="brand")
        for decision in DECISIONS:
            yield SidebarItem(decision)

    def show(self, here: str, marks: dict[str, str], summaries: dict[str, str]) -> None:
        """Bring every item up to date."""
        for item in self.query(SidebarItem):
            name = item.decision.name
            item.show(marks[name], name == here, summaries[name])
