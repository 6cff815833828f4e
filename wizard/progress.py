"""What `ftwiz run` prints while it trains: a progress bar on a terminal, plain lines everywhere else. All on stderr."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from engine.events import (
    CheckpointSaved,
    Event,
    LogReader,
    Message,
    RunFailed,
    RunStarted,
    RunState,
    Step,
    Validation,
    ValidationStarted,
    WeightsLoaded,
    WentBack,
)
from engine.run_folder import RunFolder
from wizard.run_words import accuracy_name, describe
from wizard.words import count, duration, number, percent, printable, rate

POLL_SECONDS = 0.1
SLICE_BYTES = 1 << 20


def follow(
    run: RunFolder,
    engine: subprocess.Popen[bytes] | None,
    show: Callable[[Event], None],
    offset: int = 0,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Show each event as it is logged, until the training process has ended and all it wrote is shown.

    engine: the process, where this one started it; None: the one that claimed the run. offset: bytes of the log that
    were there before, and are left out. between: called after each look. An exception that comes meanwhile (Ctrl-C)
    passes through, and the process trains on.
    """
    reader = LogReader(run.events)
    reader.offset = offset
    while True:
        # Asked before reading: what the process wrote last is then read for certain.
        has_ended = not run.is_alive() if engine is None else engine.poll() is not None
        while True:
            before = reader.offset
            for event in reader.read(SLICE_BYTES):
                show(event)
            if reader.offset - before < SLICE_BYTES:
                break
        if has_ended:
            return
        between()
        time.sleep(POLL_SECONDS)


def can_animate(stream: TextIO) -> bool:
    """Whether escape codes are welcome there: a terminal that can move its cursor, and no wish against it."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "") not in ("", "dumb")


class Progress:
    """Prints the events it is fed: `with Progress(sys.stderr) as progress: follow(run, engine, progress.show)`.

    Its `state` is the fold of what was shown.
    """

    def __init__(self, stream: TextIO):
        self.state = RunState()
        self._stream = stream
        self._bar: Bar | None = _make_bar(stream) if can_animate(stream) else None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        if self._bar is not None:  # at once: a model takes seconds to build, and silence looks like a hang
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, figures="reading the videos, building the model")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: Event) -> None:
        """Take an event in and print what a person wants to know of it."""
        self.state.apply(event)
        del self.state.steps[:-1]
        if self._bar is None:
            for line in self._lines(event):
                print(line, file=self._stream, flush=True)
        else:
            self._move_bar(self._bar, event)
            if not isinstance(event, Step | ValidationStarted) and not _is_routine(event):
                for line in self._lines(event):
                    self._bar.console.print(f"[{_style(event)}]{escape(line)}[/]", soft_wrap=True, highlight=False)

    def _lines(self, event: Event) -> list[str]:
        if isinstance(event, WeightsLoaded):
            return [describe(event), *(f"  {printable(line)}" for line in event.report)]
        return [describe(event, self.state.started)]

    def _move_bar(self, bar: Bar, event: Event) -> None:
        """The bar counts optimiser steps of the whole run."""
        state = self.state
        if self._task is None:
            return
        if isinstance(event, RunStarted):
            epoch = f"epoch {_epoch(state)}/{event.epochs}"
            done, figures = event.first_step, "waiting for the first step"
            bar.update(self._task, description=epoch, total=state.total_steps, completed=done, figures=figures)
        elif state.started is None:
            return
        elif isinstance(event, WentBack):
            bar.update(self._task, completed=event.step)
        elif isinstance(event, ValidationStarted):
            bar.update(self._task, description=f"validating epoch {event.epoch}", figures=count(event.clips, "clip"))
        elif isinstance(event, Step | Validation) and state.steps:
            last = state.steps[-1]
            words = f"epoch {last.epoch}/{state.started.epochs}"
            bar.update(self._task, description=words, figures=_figures(last, state.started), completed=last.step)
        elif state.ended is not None:
            bar.stop()


def _make_bar(stream: TextIO) -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20, style="dim", complete_style="cyan", finished_style="green"),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[figures]}"),
        console=Console(file=stream, force_terminal=True),
        transient=True,
    )


def _figures(step: Step, started: RunStarted) -> str:
    name = "acc" if started.key_metric == "top1" else accuracy_name(started)
    return (
        f"ETA {duration(step.eta_s)}  loss {number(step.loss)}  {name} {percent(step.accuracy)}  lr {rate(step.lr)}  "
        f"{number(step.clips_per_s, 3)} clips/s"
    )


def _is_routine(event: Event) -> bool:
    """last.pt is saved all the time: over a progress bar that is noise."""
    return isinstance(event, CheckpointSaved) and event.path.endswith("last.pt")


def _epoch(state: RunState) -> int:
    started = state.started
    return started.first_step // started.steps_per_epoch + 1 if started and started.steps_per_epoch else 1


def _style(event: Event) -> str:
    match event:
        case Message(level="warning") | WentBack():
            return "yellow"
        case RunFailed():
            return "red"
        case Validation():
            return "bold"
    return "default"
