"""A text that may be said again on every key without costing a layout each time."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Words(Static):
    """Plain text or `Content`; brackets in it are brackets."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, markup=False)
        self._said: str | Content = ""

    def say(self, words: str | Content) -> None:
        """Show the words; the same words again cost nothing."""
        if words != self._said:
            self._said = words
            self.update(words)
