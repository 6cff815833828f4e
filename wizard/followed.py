"""A run that is read as it goes on: its state, its curves, and whether it still moves."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from typing import Literal

from engine.events import Event, LogReader, RunStarted, RunState, StepBlock, Validation, WentBack
from engine.run_folder import RunFolder, Status
from wizard.rhythm import Rhythm
from wizard.widgets.series import Series

Shown = Status | Literal["stalled"]  # stalled: the process lives, and nothing comes
SLICE_BYTES = 256 * 1024  # of a log, some thousand events: what fits a processor's cache, and no key has to wait for
SLEPT = 30.0  # seconds without a look after which this machine, and the run with it, has been asleep


class FollowedRun:
    """A fold over the event log, taken in piece by piece. The curves are over epochs, whole or not."""

    def __init__(
        self,
        folder: RunFolder,
        clock: Callable[[], float] = time.time,
        with_curves: bool = True,
        reader: LogReader | None = None,
    ):
        """with_curves: False leaves them empty, which a long log is read faster for. reader: of its log, from the
        start."""
        self.folder = folder
        self.state = RunState()
        self.reader = reader or LogReader(folder.events)
        self.rhythm = Rhythm()
        self.train_loss, self.val_loss = Series(), Series()
        self.train_accuracy, self.val_accuracy = Series(), Series()
        self.began = 0.0  # unix seconds of the first event
        self._with_curves = with_curves
        self._clock = clock
        self._read = self._looked = self._woke = 0.0  # by our clock: when was something new, when did we look, …

    def read(self, limit: int | None = None) -> tuple[list[Event], bool]:
        """Take in about `limit` bytes of what is new. Returns its events, of steps in a row only the last one, and
        whether there may be more."""
        blocks = self.reader.read_blocks(limit, ends_only=not self._with_curves)
        events = [event for found in blocks for event in self._take(found)]
        if events:
            self._read = self._clock()
            self.began = self.began or events[0].t
        return events, self.reader.is_behind

    def status(self) -> Shown:
        """Where the run stands now. To be asked often."""
        now = self._clock()
        if self._looked and now - self._looked > SLEPT:
            self._woke = now
        self._looked = now
        status = self.folder.status(self.state)
        return "stalled" if status == "running" and self.silence() > self.rhythm.patience() else status

    def silence(self) -> float:
        """Seconds since the run said something. The clock of another machine may be wrong: there, since we read it."""
        said = self._read if self.folder.other_host() else self.state.last_time
        return max(self._clock() - max(said, self._woke), 0.0)

    def epochs(self, step: int) -> float:
        """A step's place on the axis of the curves."""
        return step / self._steps_per_epoch()

    def _steps_per_epoch(self) -> int:
        return max(self.state.started.steps_per_epoch, 1) if self.state.started else 1

    def _take(self, found: Event | StepBlock) -> Iterator[Event]:
        if isinstance(found, StepBlock):
            yield from self._take_steps(found)
            return
        self.state.apply(found)
        self.rhythm.take(found)
        match found:
            case RunStarted():
                self._undo_after(found.first_step)
            case WentBack():
                self._undo_after(found.step)
            case Validation():
                self.val_loss.append(self.epochs(found.step), found.loss)
                self.val_accuracy.append(self.epochs(found.step), found.key)
        yield found

    def _take_steps(self, block: StepBlock) -> Iterator[Event]:
        """The curves hold all points; a list of a million steps beside them would only cost memory."""
        last = block.last()
        self.state.apply(last)
        del self.state.steps[:-1]
        self.rhythm.take_steps(block.first(), last, len(block))
        if self._with_curves:
            self._draw(block)
        yield last

    def _draw(self, block: StepBlock) -> None:
        steps, losses, accuracies = block.curves()
        steps_per_epoch = self._steps_per_epoch()
        epochs = array("d", [step / steps_per_epoch for step in steps])
        self.train_loss.extend(epochs, losses)
        self.train_accuracy.extend(epochs, accuracies)

    def _undo_after(self, step: int) -> None:
        """What was trained beyond that step happened in vain."""
        for series in (self.train_loss, self.val_loss, self.train_accuracy, self.val_accuracy):
            series.cut_after(self.epochs(step))
