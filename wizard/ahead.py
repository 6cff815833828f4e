"""A long log is read by a process of its own, while this one has its screen to build.

Decoding a million lines takes about as long as loading Textual and drawing the first screen, so both are done at the
same time. What was read goes through a temporary file, as columns of numbers; a pipe would make the reader wait.
"""

from __future__ import annotations

import os
import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.events import Event, LogReader, Step, StepBlock, from_line, to_line
from wizard.followed import SLICE_BYTES

LONG = 8 * 1024 * 1024  # bytes of a log, some 30,000 events: a shorter one is read before a process has begun
PATIENCE = 0.05  # seconds to wait for what comes next: a key may have to wait as long
LOOK_PAUSE = 0.002
_HEAD = 8  # bytes that say how long the piece after them is


class _Steps(msgspec.Struct, array_like=True):
    """A StepBlock on its way."""

    first: Step
    last: Step
    count: int
    steps: list[int]
    losses: bytes  # float64 of this machine
    accuracies: bytes


class _Piece(msgspec.Struct, array_like=True):
    """What was found in the log before `line_start`: steps, and the lines of other events."""

    line_start: int
    found: list[_Steps | str]


_PIECE = msgspec.msgpack.Decoder(_Piece)


def read_ahead(path: Path) -> LogReader:
    """A reader of this log. Where it is long and the system can fork, another process begins to read now: to be called
    before there are threads."""
    with suppress(OSError):  # no log yet, no room for a temporary file, no process to be had
        if hasattr(os, "fork") and path.stat().st_size >= LONG:
            return AheadReader(path)
    return LogReader(path)


class AheadReader(LogReader):
    """Its `read_blocks` hands out what the other process has read, piece by piece, and reads what comes after that by
    itself. A process that dies, for want of room or memory, leaves it more to read.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.is_behind = True
        self._pieces = tempfile.TemporaryFile()  # noqa: SIM115, closed when all of it is read
        self._place = 0  # in it
        parent = os.getpid()
        self._process = os.fork()
        if not self._process:
            try:
                _write_pieces(path, self._pieces.fileno(), parent)
            finally:
                os._exit(0)  # none of what the parent would do at its end

    def read_blocks(self, limit: int | None = None, ends_only: bool = False) -> list[Event | StepBlock]:
        """As in LogReader. While the other process reads, its pieces come instead, whatever the limit; none when there
        was none for a moment."""
        if self._pieces.closed:
            return super().read_blocks(limit, ends_only)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            is_over = self._is_over()
            if piece := self._next_piece():
                self.go_on_from(piece.line_start)
                return list(_unpacked(piece))
            if is_over:
                self._pieces.close()
                return super().read_blocks(limit, ends_only)
            time.sleep(LOOK_PAUSE)
        return []

    def _next_piece(self) -> _Piece | None:
        head = os.pread(self._pieces.fileno(), _HEAD, self._place)
        size = int.from_bytes(head, "little")
        body = os.pread(self._pieces.fileno(), size, self._place + _HEAD)
        if len(head) < _HEAD or len(body) < size:
            return None
        self._place += _HEAD + size
        return _PIECE.decode(body)

    def _is_over(self) -> bool:
        if self._process:
            ended, _ = os.waitpid(self._process, os.WNOHANG)
            self._process = 0 if ended else self._process
        return not self._process


def _write_pieces(path: Path, to: int, parent: int) -> None:
    """The log as it is now; for nobody, once the parent has gone."""
    reader = LogReader(path)
    reader.is_behind = True
    while reader.is_behind and os.getppid() == parent:
        found = [_packed(event) for event in reader.read_blocks(SLICE_BYTES)]
        body = msgspec.msgpack.encode(_Piece(reader.line_start, found))
        rest = memoryview(len(body).to_bytes(_HEAD, "little") + body)
        while rest:
            rest = rest[os.write(to, rest) :]


def _packed(found: Event | StepBlock) -> _Steps | str:
    if isinstance(found, Event):
        return to_line(found)
    steps, losses, accuracies = found.curves()
    numbers = (array("d", values).tobytes() for values in (losses, accuracies))
    return _Steps(found.first(), found.last(), len(found), list(steps), *numbers)


def _unpacked(piece: _Piece) -> Iterator[Event | StepBlock]:
    for found in piece.found:
        if isinstance(found, _Steps):
            curves = (found.steps, array("d", found.losses), array("d", found.accuracies))
            yield StepBlock([found.first, found.last], found.count, curves)
        elif event := from_line(found):
            yield event
