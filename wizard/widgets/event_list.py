"""What happened in a run, one line an event, the newest at the bottom."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import PurePath

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.events import (
    CheckpointSaved,
    ClipSkipped,
    Event,
    Message,
    RunFailed,
    RunInterrupted,
    RunStarted,
    Step,
    Validation,
    ValidationStarted,
    WentBack,
)
from wizard.run_words import describe
from wizard.words import clock

KEPT = 300


class EventList(VerticalScroll):
    """The time since the start and a sentence; warnings stand out by a mark, not by colour alone."""

    def __init__(self, id: str | None = None):
        super().__init__(id=id)
        self._lines: deque[Content] = deque(maxlen=KEPT)
        self._started: RunStarted | None = None
        self._saved: list[CheckpointSaved] = []  # by the last step that saved one, while nothing else happened
        self._begin: float | None = None
        self._is_stale = False

    def compose(self) -> Iterator[Static]:
        yield Static("nothing happened yet")

    def on_mount(self) -> None:
        self.anchor()  # stays at the end until somebody scrolls up

    def add(self, event: Event) -> None:
        """Take an event in; it is drawn by the next `redraw`."""
        if isinstance(event, Step | ValidationStarted):
            return
        if isinstance(event, RunStarted):
            self._started = event
        self._begin = event.t if self._begin is None else self._begin
        if not isinstance(event, CheckpointSaved):
            self._saved = []
        mark, style = _mark(event)
        sentence = describe(event, self._started)
        if isinstance(event, CheckpointSaved):
            sentence = self._all_saved(event)
        when = Content.styled(f"{clock(event.t - self._begin)} ", "$foreground 60%")
        self._lines.append(when + Content.styled(f"{mark} {sentence}", style))
        self._is_stale = True

    def _all_saved(self, event: CheckpointSaved) -> str:
        """One line for all the files that one step left: it takes the place of the line before."""
        if self._saved and self._saved[-1].step == event.step:
            self._lines.pop()
        else:
            self._saved = []
        self._saved.append(event)
        return f"saved {', '.join(PurePath(saved.path).name for saved in self._saved)} at step {event.step:,}"

    def redraw(self) -> None:
        if not self._is_stale:
            return
        self._is_stale = False
        self.query_one(Static).update(Content("\n").join(self._lines))


def _mark(event: Event) -> tuple[str, str]:
    match event:
        case Message(level="warning") | ClipSkipped() | RunInterrupted() | WentBack():
            return "!", "$warning"
        case RunFailed():
            return "✗", "$error"
        case Validation(best=True):
            return "★", "$success"
        case CheckpointSaved():
            return "↓", "$foreground 70%"
    return "·", ""
