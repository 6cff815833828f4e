"""How soon a run usually says something: tells a task that takes long from a training that hangs.

Each phase of a training has its own rhythm, learnt from the log. What was not seen yet gets more patience: the first
step may wait for workers to start and for the network to be compiled, and the first validation compiles it once more.
"""

from __future__ import annotations

from engine.events import Event, Resumed, RunStarted, Step, Validation, ValidationStarted, WentBack
from wizard.words import duration

LEAST = 120.0  # seconds of silence that are nothing to speak of, however fast the steps were
FIRST = 900.0  # seconds that something may take that was not seen before
TIMES = 5  # as long as usual: much longer
_NAMES = {
    "start": ("the first step", "takes"),
    "steps": ("the next steps", "take"),
    "validation": ("a validation", "takes"),
    "epoch": ("the start of an epoch", "takes"),
}


class Rhythm:
    """Fed with a run's events in order, by `take` and `take_steps`; each new process is learnt anew."""

    def __init__(self) -> None:
        self.phase = "start"
        self._since = 0.0  # begin of what the phase waits for
        self._usual: dict[str, float] = {}  # seconds, by phase; later ones weigh more
        self._guess = 0.0  # seconds of a validation, before the first one is over
        self._clips_per_s = 0.0

    def take(self, event: Event) -> None:
        match event:
            case Step():
                self.take_steps(event, event, 1)
            case RunStarted():
                self._usual = {}
                self._begin("start", event.t)
            case ValidationStarted():
                self._guess = event.clips / self._clips_per_s if self._clips_per_s > 0 else 0.0
                self._begin("validation", event.t)
            case Validation():
                self._learn(event.t - self._since)
                self._begin("epoch", event.t)
            case Resumed() | WentBack():
                self._begin("epoch", event.t)

    def take_steps(self, first: Step, last: Step, count: int) -> None:
        """Steps in a row, of which the first may end another phase."""
        self._learn(first.t - self._since)
        if count > 1:
            self.phase = "steps"
            self._learn((last.t - first.t) / (count - 1))
        self._clips_per_s = last.clips_per_s
        self._begin("steps", last.t)

    def patience(self) -> float:
        """Seconds of silence from which on something is wrong, in the phase that the run is in."""
        usual = self._usual.get(self.phase)
        if usual is not None:
            return max(LEAST, TIMES * usual)
        return max(FIRST, TIMES * self._guess if self.phase == "validation" else 0.0)

    def expectation(self) -> str:
        """What is waited for, and how long that takes: "a validation usually takes 2 min 5 s"."""
        name, verb = _NAMES[self.phase]
        usual = self._usual.get(self.phase)
        if usual is not None:
            return f"{name} usually {verb} {duration(max(usual, 1.0))}"
        return f"{name} may take {duration(self.patience())}, not more"

    def _begin(self, phase: str, t: float) -> None:
        self.phase, self._since = phase, t

    def _learn(self, seconds: float) -> None:
        before = self._usual.get(self.phase, seconds)
        self._usual[self.phase] = (before + max(seconds, 0.0)) / 2
