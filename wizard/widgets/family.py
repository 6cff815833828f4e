"""Which family of networks a table shows: ◂ TSM ▸. A click on its left half goes back, on its right half on."""

from __future__ import annotations

from textual import events
from textual.message import Message

from wizard.widgets.words import Words


class Family(Words):
    """One line, as wide as its words."""

    DEFAULT_CSS = """
    Family { width: auto; height: 1; margin-right: 2; color: $accent; }
    Family:hover { background: $panel; }
    """

    class Stepped(Message):
        """The user wants the neighbour."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Stepped(1 if event.x * 2 >= self.size.width else -1))
