"""The run log: typed events to and from JSON lines, and the state of a run as a fold over them.

The engine only appends; viewers only read. A line is `{"v": 1, "t": <unix seconds>, "event": "<name>", …fields}`.
Attaching to a run is reading its log from the start. Torch-free.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Event:
    """Base of all events. `t` is the time in unix seconds."""

    t: float


@dataclass(frozen=True)
class RunStarted(Event):
    """A training process has set everything up. Sent again by each `--resume`, with the step it goes on from."""

    name: str
    classes: list[str]
    train_clips: int
    val_clips: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    lr: float
    lr_arithmetic: str  # "lr 0.005 × 16/256 = 0.0003125"
    device: str
    precision: str
    workers: int
    parameters: int
    chance: float  # the key metric of always calling the commonest validation classes the likeliest
    first_step: int = 0  # steps already done when this process took over; later ones in the log are undone
    key_metric: str = "top1"  # of Validation: what decides which epoch is the best


@dataclass(frozen=True)
class WeightsLoaded(Event):
    """What was reused of a source: the load report in numbers, and as lines of text."""

    source: str
    kept: int  # tensors
    reinitialised: int
    dropped: int
    backbone_share: float  # of the backbone's parameters, 0..1
    report: list[str]


@dataclass(frozen=True)
class Message(Event):
    """One sentence for a person. level: info or warning."""

    level: str
    text: str
    topic: str = ""  # of advice that is given once in a run: what it is about


@dataclass(frozen=True)
class Step(Event):
    """Training progress, every `run.log_interval` optimiser steps. Means are over the steps since the last event."""

    step: int  # optimiser steps done, 1-based, over the whole run
    epoch: int  # 1-based
    loss: float
    accuracy: float  # the key metric on training clips as augmented, 0..1
    lr: float
    grad_norm: float
    clips_per_s: float
    data_wait: float  # share of the time spent waiting for clips, 0..1
    memory_mb: float  # peak of the device; of the process on a CPU
    eta_s: float


@dataclass(frozen=True)
class WentBack(Event):
    """A loss that was no finite number: training goes on from an earlier step with half the learning rate. What the
    log says of later steps is undone."""

    step: int  # done when it goes on
    epoch: int  # 1-based
    checkpoint: str  # relative to the run folder
    lr: float  # from now on, like RunStarted.lr
    lr_arithmetic: str
    reason: str  # "the loss is nan at step 7 (clips: …)"
    retry: int  # 1-based
    retries: int  # that the recipe allows


@dataclass(frozen=True)
class ClipSkipped(Event):
    """A clip could not be decoded; from now on it is left out of its batch. Said once a clip."""

    path: str  # and the part of the video, where it is one
    reason: str
    epoch: int


@dataclass(frozen=True)
class ValidationStarted(Event):
    epoch: int
    clips: int


@dataclass(frozen=True)
class Validation(Event):
    """One pass over the validation clips. Where a clip has several classes (head.multi_label), top-k is how often one
    of the k likeliest is among its own, per_class holds average precisions, and there are no confusions."""

    epoch: int
    step: int
    loss: float
    top1: float
    top5: float  # top-k with k = min(5, classes)
    mean_class_accuracy: float
    per_class: list[float]  # accuracy a class, NaN where a class has no clip
    confused: list[list[Any]]  # [true class, predicted class, clips], the most frequent first
    best: bool
    mean_average_precision: float = math.nan  # of several classes a clip: over the classes that have clips
    sample_map: float = math.nan  # of several classes a clip: of each clip's ranking of the classes, over the clips
    key_metric: str = "top1"  # which of these numbers decides what is best
    never_predicted: list[int] = field(default_factory=list)  # classes with three clips or more

    @property
    def key(self) -> float:
        """The key metric's value; NaN where this version knows no such metric."""
        value = getattr(self, self.key_metric, math.nan)
        return value if isinstance(value, float) else math.nan


@dataclass(frozen=True)
class CheckpointSaved(Event):
    path: str  # relative to the run folder: checkpoints/last.pt, best.pt or epoch-NNN.pt
    step: int
    epoch: int  # the one that a resumed run would be in


@dataclass(frozen=True)
class Paused(Event):
    step: int


@dataclass(frozen=True)
class Resumed(Event):
    """Goes on after a pause (a new process says RunStarted instead)."""

    step: int


@dataclass(frozen=True)
class RunFinished(Event):
    """key_metric says which of the best_… is the run's; the others are NaN, as are all where nothing was validated."""

    best_top1: float
    best_epoch: int
    seconds: float
    stopped_early: bool = False  # by the word `stop`
    clips_left_out: int = 0  # training and validation clips that could not be decoded
    best_sample_map: float = math.nan
    key_metric: str = "top1"


@dataclass(frozen=True)
class RunInterrupted(Event):
    """A signal ended the process; a resumed one goes on from `checkpoint`, "" where there is none."""

    signal: str
    checkpoint: str
    step: int
    lost_steps: int = 0  # done since that checkpoint: the disk was full, or a second SIGINT left no time to save


@dataclass(frozen=True)
class RunFailed(Event):
    """The process ends with `exit_code`; `error` says what and what to do."""

    error: str
    exit_code: int


EVENTS: dict[str, type[Event]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in Event.__subclasses__()
}
_NAMES = {kind: name for name, kind in EVENTS.items()}
_FIELDS = {kind: frozenset(f.name for f in fields(kind)) for kind in EVENTS.values()}
_NUMBERS = {kind: [f.name for f in fields(kind) if f.type in ("float", "list[float]")] for kind in EVENTS.values()}


# How our lines begin. What does is read by msgspec, about six times as fast as by json.
_HEAD = re.compile(rb'\{"v":%d,"event":"(\w+)",' % FORMAT_VERSION)
_DECODERS = {name.encode(): msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}


def to_line(event: Event) -> str:
    """One line of JSON without its newline. NaN and infinities become null: strict JSON has no word for them."""
    document = {"v": FORMAT_VERSION, "event": _NAMES[type(event)], **asdict(event)}
    line = json.dumps(_finite(document), ensure_ascii=False, separators=(",", ":"))
    # A file name that is not UTF-8 holds lone surrogates, which no file takes; their escapes are JSON's too.
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def from_line(line: str | bytes) -> Event | None:
    """The event of a line; None for an event or a format this version does not know (a newer ftwiz wrote it), or for
    half a line, or one with a word where a number belongs. Unknown fields are left out, so logs can grow. A null that
    stands for a number is NaN again."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
        head = _HEAD.match(line if isinstance(line, bytes) else line.encode("utf-8"))
        if head and (decoder := _DECODERS.get(head[1])):
            return decoder.decode(line)
    return _from_any_line(line)


def _from_any_line(line: str | bytes) -> Event | None:
    """Also what is rare and what others wrote: nulls, lone surrogates, other orders, half a line."""
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        document = json.loads(text)
        kind = EVENTS[document["event"]]
        if document["v"] != FORMAT_VERSION:
            return None
        names = _FIELDS[kind]
        known = {key: value for key, value in document.items() if key in names}
        if "null" in text:  # rare, and a viewer reads a million lines
            known |= {key: _number(known[key]) for key in _NUMBERS[kind] if key in known}
        return msgspec.convert(known, kind)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(item) for item in value]
    return math.nan if value is None else value


class EventLog:
    """The engine's side of the log: appends one line an event, each on disk before the call returns.

    What a full disk does not take waits in memory, and is written before what comes next.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time):
        self.path, self._clock = path, clock
        self.listeners: list[Callable[[Event], None]] = []  # they hear each event that is written from now on
        # A process that was killed, or ran out of disk, may have left half a line: the next one must stand alone.
        self._waiting = b"\n" if _ends_in_half_a_line(path) else b""

    def write(self, kind: type[Event], **fields: Any) -> None:
        """Append an event of this kind that happens now. One write a line: a reader sees whole lines or none."""
        event = kind(t=self._clock(), **fields)
        self._waiting += (to_line(event) + "\n").encode("utf-8")
        with suppress(OSError):
            self._flush()
        for listener in self.listeners:
            listener(event)

    def sync(self) -> None:
        """Make all events so far survive a power cut. Raises OSError where the disk is full."""
        self._flush()
        if self.path.exists():
            with open(self.path, "rb+") as file:
                os.fsync(file.fileno())

    def _flush(self) -> None:
        while self._waiting:
            with open(self.path, "ab", buffering=0) as file:
                written = file.write(self._waiting)
            self._waiting = self._waiting[written:]


class WarningsAside(EventLog):
    """Of a process that leaves the log to another one: what it warns of goes to stderr, and so into log.txt."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def write(self, kind: type[Event], **fields: Any) -> None:
        if kind is Message and fields["level"] == "warning":
            print(fields["text"], file=sys.stderr, flush=True)


def _ends_in_half_a_line(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"


class _StepLine(msgspec.Struct, gc=False):
    """The fields of Step as a struct, which is read two times as fast. What this takes, from_line takes too."""

    t: float
    step: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    grad_norm: float
    clips_per_s: float
    data_wait: float
    memory_mb: float
    eta_s: float


_STEP_LINES = msgspec.json.Decoder(_StepLine)
_STEP_HEAD = b'{"v":%d,"event":"step",' % FORMAT_VERSION
_OTHER_LINE = re.compile(rb"\n(?!%s)" % re.escape(_STEP_HEAD))


Curves = tuple[Sequence[int], Sequence[float], Sequence[float]]  # steps, losses, accuracies


class StepBlock:
    """Step events in a row, at least one: a million of them would cost who draws curves time and memory."""

    def __init__(
        self, steps: Sequence[_StepLine | Step], count: int | None = None, curves: Curves | None = None
    ) -> None:
        """count: of the steps, where only the first and the last are given. curves: theirs, where these are known."""
        self._steps = steps
        self._count = len(steps) if count is None else count
        self._curves = curves

    def __len__(self) -> int:
        return self._count

    def first(self) -> Step:
        return _as_event(self._steps[0])

    def last(self) -> Step:
        return _as_event(self._steps[-1])

    def curves(self) -> Curves:
        """Steps, losses and accuracies."""
        if self._curves is not None:
            return self._curves
        return [s.step for s in self._steps], [s.loss for s in self._steps], [s.accuracy for s in self._steps]


def _as_event(step: _StepLine | Step) -> Step:
    return step if isinstance(step, Step) else Step(**msgspec.structs.asdict(step))


class LogReader:
    """Reads a growing `events.jsonl` incrementally: each `read()` returns what was appended since the last.

    A line still being written stays for the next read. A log that shrank was replaced, and is read anew.
    """

    def __init__(self, path: Path):
        self.path = path
        self.offset = 0
        self.is_behind = False  # whether the last read may have left something, its limit being reached
        self._text = bytearray()  # what was read last; one buffer for all reads, as new memory costs more than reading
        self._half = slice(0, 0)  # of the text: a line that is still being written

    def read(self, limit: int | None = None) -> list[Event]:
        """New events, at most about `limit` bytes of them (None: all there is)."""
        end = self._read_lines(limit)
        return list(self._events(0, end))

    def read_blocks(self, limit: int | None = None, ends_only: bool = False) -> list[Event | StepBlock]:
        """Like `read`, with steps in a row as one block. ends_only: of which only the first and the last are read."""
        end = self._read_lines(limit)
        if not ends_only and (all_steps := self._steps_at_once(0, end)) is not None:
            return [StepBlock(all_steps)] if all_steps else []
        read = self._ends if ends_only else self._steps
        found: list[Event | StepBlock] = []
        block: list[_StepLine | Step] = []
        count = 0
        for start, stop, are_steps in self._stretches(end):
            if are_steps:
                steps, more = read(start, stop)
                block += steps
                count += more
                continue
            for event in self._events(start, stop):
                if isinstance(event, Step):  # whose line begins in another way
                    block.append(event)
                    count += 1
                else:
                    found += [StepBlock(block, count), event] if block else [event]
                    block, count = [], 0
        return [*found, StepBlock(block, count)] if block else found

    def _steps_at_once(self, start: int, end: int) -> Sequence[_StepLine] | None:
        """The steps of these lines, read in one go; None where something else is among them, be it a null."""
        with contextlib.suppress(msgspec.MsgspecError), memoryview(self._text)[start:end] as lines:
            steps = _STEP_LINES.decode_lines(lines)
            return steps if len(steps) == self._heads(start, end) else None
        return None

    def _steps(self, start: int, end: int) -> tuple[Sequence[_StepLine | Step], int]:
        """Of lines that begin as a step's does, and how many these are."""
        steps: Sequence[_StepLine | Step] | None = self._steps_at_once(start, end)
        if steps is None:
            steps = [step for line in self._text[start:end].split(b"\n") if (step := _step(line))]
        return steps, len(steps)

    def _ends(self, start: int, end: int) -> tuple[Sequence[_StepLine | Step], int]:
        """Like `_steps`, only the first and the last of them; the number counts broken lines, too."""
        first = last = None
        count = self._heads(start, end)
        while start < end and first is None:
            stop = self._text.index(b"\n", start, end)
            first, start = _step(self._text[start:stop]), stop + 1
        while start < end and last is None:
            begin = self._text.rfind(b"\n", start, end - 1) + 1 or start
            last, end = _step(self._text[begin : end - 1]), begin
        return [step for step in (first, last) if step], count

    def _heads(self, start: int, end: int) -> int:
        """How many lines begin as a step's does."""
        return self._text.count(b"\n" + _STEP_HEAD, start, end) + self._text.startswith(_STEP_HEAD, start, end)

    def _stretches(self, end: int) -> Iterator[tuple[int, int, bool]]:
        """The whole lines in the text, from where to where, and whether all of these are steps': as many together as
        lie in a row."""
        start = 0
        others = [found.end() for found in _OTHER_LINE.finditer(self._text, 0, end)]
        if not self._text.startswith(_STEP_HEAD):
            others.insert(0, 0)
        for other in others:
            if start < other:
                yield start, other, True
            start = self._text.find(b"\n", other, end) + 1 or end
            yield other, start, False
        if start < end:
            yield start, end, True

    def _events(self, start: int, end: int) -> Iterator[Event]:
        for line in self._text[start:end].split(b"\n"):
            if line and (event := from_line(bytes(line))):
                yield event

    @property
    def line_start(self) -> int:
        """Where in the log the first line begins that was not read to its end."""
        return self.offset - (self._half.stop - self._half.start)

    def go_on_from(self, line_start: int) -> None:
        self.offset, self._half = line_start, slice(0, 0)

    def _read_lines(self, limit: int | None) -> int:
        """Have the text begin with what is new, the half line from last time before it. Returns where its last whole
        line ends."""
        try:
            with open(self.path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self.offset:
                    self.offset, self._half = 0, slice(0, 0)
                file.seek(self.offset)
                half = self._text[self._half]
                new = size - self.offset if limit is None else min(size - self.offset, limit)
                if (missing := len(half) + new - len(self._text)) > 0:
                    self._text += bytes(missing)
                self._text[: len(half)] = half
                with memoryview(self._text) as text, text[len(half) : len(half) + new] as free:
                    read = file.readinto(free)
        except FileNotFoundError:
            self.is_behind = False
            return 0
        self.is_behind = limit is not None and read >= limit
        self.offset += read
        filled = len(half) + read
        end = self._text.rfind(b"\n", 0, filled) + 1
        self._half = slice(end, filled)
        return end


def _step(line: bytearray) -> _StepLine | Step | None:
    try:
        return _STEP_LINES.decode(line)
    except msgspec.MsgspecError:
        event = from_line(bytes(line))
        return event if isinstance(event, Step) else None


@dataclass
class RunState:
    """What a viewer shows: the fold of a run's events. `apply` them in order."""

    started: RunStarted | None = None
    weights: WeightsLoaded | None = None
    steps: list[Step] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    checkpoints: list[CheckpointSaved] = field(default_factory=list)
    skipped: list[ClipSkipped] = field(default_factory=list)
    validating: ValidationStarted | None = None
    paused: bool = False
    ended: RunFinished | RunInterrupted | RunFailed | None = None
    last_time: float = 0.0

    def apply(self, event: Event) -> None:
        self.last_time = event.t
        match event:
            case Step():
                self.steps.append(event)
            case RunStarted():
                self.started, self.ended, self.paused = event, None, False
                self._go_back_to(event.first_step)
            case WentBack():
                if self.started:
                    self.started = replace(self.started, lr=event.lr, lr_arithmetic=event.lr_arithmetic)
                self._go_back_to(event.step)
            case WeightsLoaded():
                self.weights = event
            case Message():
                self.messages.append(event)
            case ClipSkipped():
                self.skipped.append(event)
            case ValidationStarted():
                self.validating = event
            case Validation():
                # One of the same epoch was before a resume, from a checkpoint between that epoch's last step and it.
                self.validations = [done for done in self.validations if done.epoch < event.epoch] + [event]
                self.validating = None
            case CheckpointSaved():
                self.checkpoints.append(event)
            case Paused():
                self.paused = True
            case Resumed():
                self.paused = False
            case RunFinished() | RunInterrupted() | RunFailed():
                self.ended = event
                self.validating = None

    def _go_back_to(self, step: int) -> None:
        """What was done beyond the checkpoint that training goes on from happened in vain."""
        self.validating = None
        self.steps = [done for done in self.steps if done.step <= step]
        self.validations = [done for done in self.validations if done.step <= step]
        self.checkpoints = [saved for saved in self.checkpoints if saved.step <= step]

    @property
    def best(self) -> Validation | None:
        """The best validation so far (the earliest of equals)."""
        measured = [done for done in self.validations if not math.isnan(done.key)]
        return max(measured, key=lambda done: done.key, default=None)

    @property
    def total_steps(self) -> int:
        return self.started.epochs * self.started.steps_per_epoch if self.started else 0
