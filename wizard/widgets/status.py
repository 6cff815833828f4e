"""The two lines on top of the dashboard: which run, in what state, how far, and how long still."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from engine.events import RunFinished, RunState
from wizard.followed import Shown
from wizard.words import count, cut, duration

# A symbol and a word each: colour only helps.
SYMBOLS: dict[Shown, str] = {
    "starting": "○", "running": "▶", "paused": "‖", "finished": "✓", "interrupted": "■", "failed": "✗", "crashed": "†",
    "stalled": "!",
}  # fmt: skip
COLORS: dict[Shown, str] = {
    "starting": "$secondary", "running": "$success", "paused": "$warning", "finished": "$success",
    "interrupted": "$warning", "failed": "$error", "crashed": "$error", "stalled": "$warning",
}  # fmt: skip


class StatusBar(Widget):
    """Name, state, epoch and time left; below them the progress of the whole run."""

    DEFAULT_CSS = """
    StatusBar { height: 2; padding: 0 1; background: $panel; }
    """

    def __init__(self, name: str, id: str | None = None):
        super().__init__(id=id)
        self._run_name = name
        self._status: Shown = "starting"
        self._state = RunState()
        self._note = ""
        self._drawn = Content("")

    def show(self, status: Shown, state: RunState, note: str = "") -> None:
        """note: a few words after the state, such as a wish the engine has not heard yet."""
        self._status, self._state, self._note = status, state, note
        if (lines := self._lines()) != self._drawn:
            self._drawn = lines
            self.refresh()

    def render(self) -> Content:
        return self._lines()

    def _lines(self) -> Content:
        width = self.size.width
        return Content("\n").join([self._first_line(width), self._progress(width)])

    def _first_line(self, width: int) -> Content:
        badge = f" {SYMBOLS[self._status]} {self._status} "
        if isinstance(self._state.ended, RunFinished) and self._state.ended.stopped_early:
            badge = " ■ stopped "
        right = self._time()
        room = width - cell_len(badge) - cell_len(right) - 3
        facts = [*self._facts(), *([self._note] if self._note else [])]
        while facts and cell_len("  ".join(facts)) > room - min(cell_len(self._run_name), 12) - 2:
            facts.pop(-2 if self._note and len(facts) > 1 else -1)
        tail = "  ".join(facts)
        name = cut(self._run_name, max(room - cell_len(tail) - 2, 0))
        used = cell_len(badge) + 1 + cell_len(name) + 2 + cell_len(tail)
        gap = max(width - used - cell_len(right), 1)
        return Content.assemble(
            (badge, f"bold reverse {COLORS[self._status]}"), " ", (name, "bold"), "  ", tail, " " * gap, (right, "bold")
        ).truncate(width)  # fmt: skip

    def _facts(self) -> list[str]:
        state = self._state
        if not state.started:
            return ["reading the videos, building the model"] if self._status == "starting" else []
        facts = []
        if state.validating and self._status in ("running", "stalled"):
            facts.append("validating")
        last = state.steps[-1] if state.steps else None
        facts.append(f"epoch {last.epoch if last else 1}/{state.started.epochs}")
        facts.append(f"step {last.step if last else state.started.first_step:,}/{state.total_steps:,}")
        return facts

    def _time(self) -> str:
        if isinstance(self._state.ended, RunFinished):
            return f"took {duration(self._state.ended.seconds)}"
        if self._status in ("running", "paused") and self._state.steps:
            return f"ETA {duration(self._state.steps[-1].eta_s)}"
        return ""

    def _progress(self, width: int) -> Content:
        state = self._state
        done = state.steps[-1].step if state.steps else state.started.first_step if state.started else 0
        share = min(done / state.total_steps, 1.0) if state.total_steps else 0.0
        if isinstance(state.ended, RunFinished) and not state.ended.stopped_early:
            share = 1.0
        figure = f" {int(100 * share):3d} %"
        cells = max(width - len(figure), 0)
        full = int(cells * share)
        return Content.assemble(
            ("━" * full, COLORS[self._status]), ("─" * (cells - full), "$foreground 25%"), figure
        )  # fmt: skip


def waiting_for(status: Shown, clips: int) -> str:
    """What an empty curve says."""
    if status == "starting":
        return "waiting for the first step"
    if status in ("running", "paused", "stalled"):
        return f"waiting for the first step over {count(clips, 'clip')}"
    return "no step was logged"
