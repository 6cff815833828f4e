"""Hints, each with what would follow it as a link: a click takes it, and so do the keys."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.style import Style

from wizard.hints import Hint
from wizard.widgets.words import Words


class HintList(Words, can_focus=True):
    """Shows hints; `Taken` tells which of them the user follows. The arrows go from one that can be followed to the
    next; the marked one is what the keys take."""

    DEFAULT_CSS = """
    HintList { height: auto; link-background-hover: $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "take_marked", "Follow", key_display="enter", tooltip="Do what the marked hint offers"),
        Binding("down,right", "mark(1)", "Next hint", show=False, tooltip="Mark the next hint"),
        Binding("up,left", "mark(-1)", "Hint before", show=False, tooltip="Mark the hint before"),
    ]

    class Taken(Message):
        """The user follows a hint."""

        def __init__(self, hint: Hint) -> None:
            super().__init__()
            self.hint = hint

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.hints: list[Hint] = []
        self._place = 0  # of the marked one, among those that can be followed

    def show(self, hints: list[Hint]) -> None:
        """Show these; none takes no room."""
        if hints != self.hints:
            self.hints, self._place = hints, 0
        self.display = bool(hints)
        self.can_focus = bool(self._offering)
        self._draw()

    @property
    def marked(self) -> Hint | None:
        """The hint that the keys take."""
        offering = self._offering
        return offering[self._place] if offering else None

    @property
    def _offering(self) -> list[Hint]:
        return [hint for hint in self.hints if hint.answers]

    def _draw(self) -> None:
        self.say(Content("\n").join([self._line(place, hint) for place, hint in enumerate(self.hints)]))

    def _line(self, place: int, hint: Hint) -> Content:
        says = Content.assemble(("› ", "$accent"), hint.says)
        if not hint.answers:
            return says
        is_marked = hint is self.marked
        look = "bold reverse $primary" if is_marked and self.has_focus else "bold $accent underline"
        link = Content.styled(hint.offers, look).stylize(Style.from_meta({"@click": f"take({place})"}))
        return Content.assemble(says, "  ", link, (" ^t" if is_marked else "", "$foreground 60%"))

    def on_focus(self, event: events.Focus) -> None:
        self._draw()

    def on_blur(self, event: events.Blur) -> None:
        self._draw()

    def action_take(self, place: int) -> None:
        """Follow one of the hints."""
        if place < len(self.hints):
            self.post_message(self.Taken(self.hints[place]))

    def action_take_marked(self) -> None:
        """Follow the marked one."""
        if self.marked:
            self.post_message(self.Taken(self.marked))

    def action_mark(self, step: int) -> None:
        """The next hint; beyond the ends are the widgets around."""
        if 0 <= self._place + step < len(self._offering):
            self._place += step
            self._draw()
        elif step > 0:
            self.screen.focus_next()
        else:
            self.screen.focus_previous()
