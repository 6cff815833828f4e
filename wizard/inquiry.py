"""A question to the engine, answered by a process of its own: torch takes seconds to load, no screen waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from engine.errors import DataError, DeviceError, FtwizError, RecipeError, TrainingError, WeightsError

_ERRORS: dict[int, type[FtwizError]] = {
    kind.exit_code: kind for kind in (RecipeError, DataError, WeightsError, DeviceError)
}


class Inquiry:
    """with Inquiry("engine.prediction", ["runs/mine"], json.dumps(wish)) as inquiry: for said in inquiry.answers(): …

    Leaving the `with` ends the process and its workers, however far it is.
    """

    def __init__(self, module: str, arguments: list[str], wish: str = "", quiet: bool = False):
        """wish: for its stdin. quiet: what it prints on stderr is of no interest to the user."""
        self._wish = wish
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # with its workers, so that all of them can be ended together
        )

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stop(self) -> None:
        """End the process and its workers at once; may be called from another thread."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it says, as it says it. Raises the FtwizError that it ends with."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone, which its output tells
            self._process.stdin.write(self._wish)
            self._process.stdin.close()
        for line in self._process.stdout:
            said = json.loads(line) if line.startswith('{"') else {}  # a library may print there too
            if "error" in said:
                raise _ERRORS.get(said["exit_code"], TrainingError)(said["error"])
            if said:
                yield said
        if code := self._process.wait():
            raise DeviceError(_how_it_ended(code))


def _how_it_ended(code: int) -> str:
    if code == -getattr(signal, "SIGKILL", 9):
        return (
            "The process that computes was ended by the system (SIGKILL), as happens when memory runs out: smaller "
            "batches, or fewer frames, need less."
        )
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"The process that computes ended without a word ({how})."
