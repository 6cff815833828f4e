"""A question with two answers, over whatever is on screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Question(ModalScreen[bool]):
    """Dismisses with True for yes. The safe answer, no, has the focus."""

    CSS = """
    Question { align: center middle; }
    Question > Vertical {
        width: 60; max-width: 100%; height: auto; max-height: 100%;
        border: round $warning; padding: 1 2; background: $surface;
    }
    Question Horizontal { height: auto; align-horizontal: right; margin-top: 1; }
    Question Button { margin-left: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,right", "app.focus_next", "Other answer", show=False),
    ]

    def __init__(self, title: str, text: str, yes: str, no: str):
        super().__init__()
        self._title, self._text, self._yes, self._no = title, text, yes, no

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield Static(Content(self._text))
            with Horizontal():
                yield Button(Content.assemble(self._no, (" n", "dim")), id="no", compact=True)
                yield Button(Content.assemble(self._yes, (" y", "dim")), id="yes", variant="warning", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
