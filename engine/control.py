"""What may come between two steps: a word from a viewer, or a signal from the system.

Words (the run folder's `control` file): pause, resume, checkpoint, stop. Signals: SIGINT, SIGTERM, SIGUSR1 (a
cluster's warning). The loop asks between steps and during validation, so that each is answered within a step.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from engine.errors import ExitCode
from engine.run_folder import RunFolder

_SIGNALS = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_PAUSE_POLL_SECONDS = 0.2


class Interrupted(Exception):
    """A signal came; the message is its name. Save and leave."""


class Stopped(Exception):
    """Somebody said `stop`. Save and finish."""


class Control:
    """Installed for the length of a run: `with Control(...) as control: … control.attend()`."""

    def __init__(self, run: RunFolder, on_checkpoint: Callable[[], None], on_pause: Callable[[bool], None]):
        """on_checkpoint saves one now; on_pause hears True when the run pauses, False when it goes on."""
        self._run, self._on_checkpoint, self._on_pause = run, on_checkpoint, on_pause
        self._signal = ""
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Control:
        for name in _SIGNALS:
            number = getattr(signal, name)
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def attend(self, can_checkpoint: bool = True) -> None:
        """Answer what came since the last call. Raises Interrupted or Stopped; returns after a pause is over.

        can_checkpoint: False during validation, where a checkpoint is due anyway in a moment.
        """
        word: str | None = self._run.take_word()
        if word == "pause":
            word = self._pause()
        if word == "checkpoint" and can_checkpoint:
            self._on_checkpoint()
        if self._signal:
            raise Interrupted(self._signal)
        if word == "stop":
            raise Stopped

    def _pause(self) -> str | None:
        self._on_pause(True)
        while not self._signal:
            word = self._run.take_word()
            if word == "checkpoint":
                self._on_checkpoint()
            elif word in ("resume", "stop"):
                self._on_pause(False)
                return word
            time.sleep(_PAUSE_POLL_SECONDS)
        return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first signal lets the step finish; a second SIGINT leaves at once."""
        if self._signal and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)
        self._signal = signal.Signals(number).name
