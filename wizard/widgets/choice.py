"""A choice among a few, on one line: the arrow keys or a click move the mark. Where the line is too short for all of
them, it begins further on, so that the chosen one is in sight."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Choice(Widget, can_focus=True):
    """Shows every option, the chosen one marked ● and bold."""

    DEFAULT_CSS = """
    Choice { height: 1; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Previous option", show=False),
        Binding("right,space", "move(1)", "Next option", show=False),
    ]

    options: reactive[dict[str, str]] = reactive({}, layout=True)
    chosen = reactive("")

    class Changed(Message):
        """Another option was chosen by the user."""

        def __init__(self, value: str) -> None:
            super().__init__()
            self.value = value

    def show(self, options: dict[str, str], chosen: str) -> None:
        """Set what there is to choose from, and what is chosen, without a message."""
        self.options, self.chosen = options, chosen

    def render(self) -> Content:
        parts = [
            Content.styled(f"● {name}", "bold" if self.has_focus else "")
            if value == self.chosen
            else Content(f"○ {name}")
            for value, name in self._in_sight()
        ]
        return Content("  ").join(parts if self._first() == 0 else [Content("…"), *parts])

    def _in_sight(self) -> list[tuple[str, str]]:
        return list(self.options.items())[self._first() :]

    def _first(self) -> int:
        """The first option that is shown: 0, or the earliest from which the line reaches to the end of the chosen."""
        values, names = list(self.options), list(self.options.values())
        last = values.index(self.chosen) if self.chosen in values else 0
        if not self.size.width:  # not laid out yet: how wide would all of it be?
            return 0
        for first in range(last):
            mark = 0 if first == 0 else len("…  ")
            if mark + sum(cell_len(name) + 4 for name in names[first : last + 1]) - 2 <= self.size.width:
                return first
        return last

    def action_move(self, step: int) -> None:
        """Choose the neighbour; the ends hold."""
        values = list(self.options)
        place = values.index(self.chosen) if self.chosen in values else 0
        self._choose(values[max(0, min(place + step, len(values) - 1))])

    def on_click(self, event: events.Click) -> None:
        start = 0 if self._first() == 0 else len("…  ")
        for value, name in self._in_sight():
            end = start + cell_len(name) + 2
            if start <= event.x <= end:
                self._choose(value)
                return
            start = end + 2

    def _choose(self, value: str) -> None:
        if value != self.chosen:
            self.chosen = value
            self.post_message(self.Changed(value))
