"""Asks a process of its own for frames as the model will see them. Torch-free: the process needs torch, this does not.

`engine/dataset/views.py` is what answers, with the loader of training. The process starts with the first wish, lives
until it is closed, and is replaced where a broken file crashes or hangs its decoder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.dataset.probing import time_limit
from engine.recipe import Recipe, Schedule, Weights

# -P keeps the working folder off the module path: a folder of the user's called `engine` must not be run.
VIEWS = (sys.executable, "-P", "-m", "engine.dataset.views")
START_SECONDS = 120.0  # for importing torch, which takes its time on a slow disk, and for reading a large dataset
CLIP_SECONDS = 30.0
CLOSED = "the contact sheet is closed"


@dataclass(frozen=True)
class Wish:
    """A clip of a class. take: which one, in an order that the seed decides. epoch: the one that it is seen in."""

    label: int
    split: str = "train"  # or val
    epoch: int = 1
    take: int = 0


@dataclass(frozen=True, eq=False)
class Row:
    """What came of a wish. frames: uint8 RGB [T, H, W, 3]; flow: of each of the T pairs that a frame begins with, x and
    y side by side, in grey [T, H, 2 * W, 3].

    number: the clip's own in the list of its split. numbers: of the frames in the clip, which has num_frames. seconds:
    when they are shown, () where nothing says so. seen_as: the classes that the model is told, which mirroring may
    change. trouble: why there are no frames. refusal: why there are none of any clip.
    """

    trouble: str = ""
    refusal: str = ""
    name: str = ""
    number: int = -1
    seen_as: tuple[str, ...] = ()
    mirrored: bool = False
    numbers: tuple[int, ...] = ()
    num_frames: int = 0
    seconds: tuple[float, ...] = ()
    frames: np.ndarray | None = None


class ContactSheet:
    """The process that is asked, one question at a time. `close` from another thread ends that one too."""

    def __init__(self, command: Sequence[str] = VIEWS):
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._read: Recipe | None = None  # what the process has read the dataset for
        self._asking, self._starting = threading.Lock(), threading.Lock()
        self._closed = False

    def row(self, recipe: Recipe, wish: Wish) -> Row:
        """What the model sees of a clip. A row with trouble in it where it sees nothing; also once this is closed."""
        with self._asking:
            return self._row(_what_counts(recipe), wish)

    def _row(self, recipe: Recipe, wish: Wish) -> Row:
        process = self._process
        if process is None or process.poll() is not None:
            process, self._read = self._started(), None
        if process is None:
            return Row(CLOSED)
        seconds = CLIP_SECONDS if self._read == recipe else START_SECONDS
        question = {"recipe": recipe.model_dump(mode="json"), **asdict(wish)}
        answer, in_time = _said(process, json.dumps(question).encode() + b"\n", seconds)
        if answer:
            self._read = recipe
            return answer
        self._end(process)
        if self._closed:
            return Row(CLOSED)
        if not in_time:
            return Row(f"it keeps the decoder busy for more than {seconds:g} seconds")
        code = process.returncode
        return Row(f"it crashes the decoder ({f'signal {-code}' if code < 0 else f'exit code {code}'})")

    def close(self) -> None:
        """End the process. Nothing is asked afterwards."""
        with self._starting:
            self._closed = True
            if self._process:
                self._end(self._process)

    def _started(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._closed:
                return None
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


def _what_counts(recipe: Recipe) -> Recipe:
    """Without what changes nothing about the frames: other answers need no dataset to be read again."""
    return recipe.model_copy(update={"name": "", "schedule": Schedule(), "weights": Weights()})


def _said(process: subprocess.Popen[bytes], question: bytes, seconds: float) -> tuple[Row | None, bool]:
    """What a process answers, None where it ends first; and whether it had its time."""
    assert process.stdin and process.stdout
    answer = None
    with time_limit(process, seconds) as out_of_time, suppress(OSError, ValueError):  # gone; or this was closed
        process.stdin.write(question)
        process.stdin.flush()
        head = process.stdout.readline()
        if head.endswith(b"\n"):
            facts: dict[str, Any] = json.loads(head)
            shape = facts.pop("shape", None)
            size = int(np.prod(shape)) if shape else 0
            pixels = process.stdout.read(size)
            if len(pixels) == size:
                answer = _row(facts, np.frombuffer(pixels, np.uint8).reshape(shape) if shape else None)
    return answer, not out_of_time.is_set()


def _row(facts: dict[str, Any], frames: np.ndarray | None) -> Row:
    lists = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    return Row(**(facts | lists), frames=frames)
