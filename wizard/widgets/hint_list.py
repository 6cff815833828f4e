"""Hints, each with what would follow it as a link: a click takes it, and a key the first of them."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.style import Style

from wizard.hints import Hint
from wizard.widgets.words import Words


class HintList(Words):
    """Shows hints; `Taken` tells which of them the user follows."""

    DEFAULT_CSS = """
    HintList { height: auto; link-background-hover: $primary; }
    """

    class Taken(Message):
        """The user follows a hint."""

        def __init__(self, hint: Hint) -> None:
            super().__init__()
            self.hint = hint

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.hints: list[Hint] = []

    def show(self, hints: list[Hint]) -> None:
        """Show these; none takes no room."""
        self.hints = hints
        self.display = bool(hints)
        self.say(Content("\n").join([self._line(place, hint) for place, hint in enumerate(hints)]))

    @property
    def first(self) -> Hint | None:
        """The hint that the key takes."""
        return next((hint for hint in self.hints if hint.answers), None)

    def _line(self, place: int, hint: Hint) -> Content:
        says = Content.assemble(("› ", "$accent"), hint.says)
        if not hint.answers:
            return says
        link = Content.styled(hint.offers, "bold $accent underline").stylize(
            Style.from_meta({"@click": f"take({place})"})
        )
        key = Content.styled(" ^t", "$foreground 60%") if hint is self.first else Content("")
        return Content.assemble(says, "  ", link, key)

    def action_take(self, place: int) -> None:
        """Follow one of the hints."""
        if place < len(self.hints):
            self.post_message(self.Taken(self.hints[place]))
