"""The process boundary is a folder: everything a run leaves, and the four words a viewer may say to it.

    runs/tsn-ucf101-20261124-0012/
      recipe.toml  events.jsonl  control  process.json  log.txt  checkpoints/  report/  provenance.json
      quarantine.txt  left-out.txt  trackers.json

Torch-free: the engine writes through it, viewers read through it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from engine.atomic import write_text
from engine.errors import DiskFullError, RecipeError, TrainingError
from engine.events import LogReader, RunFailed, RunFinished, RunInterrupted, RunState

if TYPE_CHECKING:
    from engine.recipe import Recipe

Control = Literal["pause", "resume", "checkpoint", "stop"]
_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
LAST, PREVIOUS = "last.pt", "last-previous.pt"
BEST, START = "best.pt", "start.pt"
Status = Literal["starting", "running", "paused", "finished", "interrupted", "failed", "crashed"]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run, and what can be known of it from outside."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def control(self) -> Path:
        return self.path / "control"

    @property
    def process(self) -> Path:
        return self.path / "process.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine.txt"

    @property
    def left_out(self) -> Path:
        """What the dataset's own quarantine.txt said when the run began: a resumed run has the same clips."""
        return self.path / "left-out.txt"

    @property
    def trackers(self) -> Path:
        """Which runs of experiment trackers belong to this one."""
        return self.path / "trackers.json"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    def checkpoints_to_resume(self) -> list[Path]:
        """The checkpoints that a run can go on from: last.pt, the one before it, then the others, the newest first."""
        first = [path for name in (LAST, PREVIOUS) if (path := self.checkpoints / name).exists()]
        others = [*self.checkpoints.glob("epoch-*.pt"), *self.checkpoints.glob(BEST), *self.checkpoints.glob(START)]
        return first + sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turns a write into this folder that fails into a sentence: `with run.writing("The report"): …`.

        Raises DiskFullError where there is no room, TrainingError for all else.
        """
        try:
            yield
        except OSError as error:
            if not self.path.is_dir():
                raise TrainingError(f"{self.path} is gone: somebody moved or removed the run folder.") from None
            reason = error.strerror or str(error)
            hint = " (see ulimit -f)" if error.errno == errno.EFBIG else ""
            kept = "; what was saved before is untouched" if self.checkpoints_to_resume() else ""
            text = f"{what} cannot be written into {self.path}: {reason}{hint}{kept}."
            if error.errno in _NO_ROOM:
                raise DiskFullError(text) from None
            again = f" Once it can, go on with `ftwiz run --resume --run-dir {self.path}`." if kept else ""
            raise TrainingError(text + again) from None

    # --- the four words -----------------------------------------------------------------------------------------------

    def say(self, word: Control) -> None:
        """Leave a word for the engine, which takes it between two steps. The last word said wins."""
        write_text(self.control, word)

    def take_word(self) -> Control | None:
        """The engine's side: the word, once; None where there is none."""
        taken = self.control.with_name(".control.taken")
        try:
            os.replace(self.control, taken)  # first out of reach, then read: a word said meanwhile is not lost
            word = taken.read_text(encoding="utf-8", errors="replace").strip()
            taken.unlink()
        except FileNotFoundError:
            return None
        return word if word in get_args(Control) else None  # type: ignore[return-value]

    # --- who is training ----------------------------------------------------------------------------------------------

    def claim(self, pid: int | None = None) -> None:
        """Say which process this run is: the engine's first act, and that of whoever starts one (its pid)."""
        pid = pid or os.getpid()
        write_text(self.process, json.dumps({"pid": pid, "started": _start_time(pid), "host": socket.gethostname()}))

    def is_alive(self) -> bool:
        """Whether the process that claimed this run still is. On another host this cannot be known: say yes."""
        process = self._process()
        if not process or self.other_host():
            return bool(process)
        return process["started"] is not None and _start_time(process["pid"]) == process["started"]

    def pid(self) -> int | None:
        """The process that claimed this run; None where nobody has."""
        return self._process().get("pid")

    def other_host(self) -> str:
        """The host of the process that claimed this run, where it is not this one; else ""."""
        host = self._process().get("host", "")
        return host if host != socket.gethostname() else ""

    def _process(self) -> dict[str, Any]:
        """pid, started, host; nothing where nobody has claimed this run, or the file is broken."""
        try:
            process = json.loads(self.process.read_text(encoding="utf-8"))
            return {key: process[key] for key in ("pid", "started", "host")}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def _is_claimed_after(self, seconds: float) -> bool:
        """Whether a process has claimed this run since then (unix seconds): one that goes on with it."""
        try:
            return self.process.stat().st_mtime > seconds
        except FileNotFoundError:
            return False

    def state(self) -> RunState:
        """The fold of the whole log."""
        state = RunState()
        for event in LogReader(self.events).read():
            state.apply(event)
        return state

    def status(self, state: RunState) -> Status:
        """Running or crashed is told by the process, all else by the log."""
        alive = self.is_alive()
        if state.ended and not (alive and self._is_claimed_after(state.ended.t)):
            kinds: dict[type, Status] = {RunFinished: "finished", RunInterrupted: "interrupted", RunFailed: "failed"}
            return kinds[type(state.ended)]
        if not alive:
            return "crashed" if self.process.exists() or not self.path.is_dir() else "starting"
        if state.ended or not state.started:
            return "starting"
        return "paused" if state.paused else "running"


def create_run_folder(recipe: Recipe, path: Path | None, now: datetime) -> RunFolder:
    """Make `path` (default: `run.output`/NAME-TIME) and put the resolved recipe in it, its paths made absolute.

    Raises RecipeError when the folder already holds a run, or cannot be made.
    """
    from engine.recipe import save_recipe, with_absolute_paths  # whoever only watches a run need not load it

    folder = path or Path(recipe.run.output) / f"{_file_name(recipe.name)}-{now:%Y%m%d-%H%M%S}"
    try:
        if path is None:
            folder = _make_unused(folder)
        elif (folder / "recipe.toml").exists():
            raise RecipeError(
                f"{folder} already holds a run; add --resume to go on with it, or give another --run-dir."
            )
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        save_recipe(with_absolute_paths(recipe), folder / "recipe.toml")
    except OSError as error:
        raise RecipeError(f"{folder}: the run folder cannot be made: {error.strerror}.") from None
    return RunFolder(folder)


def find_runs(output: Path) -> list[RunFolder]:
    """The run folders under `output`, the latest last."""
    found = [RunFolder(recipe.parent) for recipe in output.glob("*/recipe.toml")]
    return sorted(found, key=lambda run: (run.recipe.stat().st_mtime_ns, run.path.name))


def runs_beside(run: RunFolder) -> list[RunFolder]:
    """The runs in the same folder as this one, it among them, the latest last."""
    folder = run.path if run.path.name not in ("", "..") else run.path.resolve()
    return find_runs(folder.parent)


def open_run(text: str, output: Path) -> RunFolder:
    """A run by its path or its name under `output`; "" or "latest" is the newest there. Raises RecipeError."""
    if text in ("", "latest"):
        if runs := find_runs(output):
            return runs[-1]
        raise RecipeError(f"There is no run under {output}/ yet; start one with `ftwiz run RECIPE`.")
    for candidate in (Path(text), output / text):
        if (candidate / "recipe.toml").is_file():
            return RunFolder(candidate)
    raise RecipeError(f"{text} is not a run folder (it has no recipe.toml); `ftwiz runs` lists the runs here.")


def open_checkpoint(text: str, output: Path) -> tuple[RunFolder, str]:
    """RUN, or RUN:best, RUN:last, RUN:epoch-005: the run, and the name of the checkpoint, "" where none is named.

    Raises RecipeError.
    """
    named = re.fullmatch(r"(.*):(best|last|epoch-\d+)", text)
    if named is None or (Path(text) / "recipe.toml").is_file():
        return open_run(text, output), ""
    return open_run(named[1], output), named[2]


def _file_name(name: str) -> str:
    """A recipe's name as part of a folder's: no separators or blanks, and short enough for any file system."""
    return re.sub(r"[^\w.-]+", "-", name)[:50].strip("-.") or "run"


def _make_unused(path: Path) -> Path:
    """Two runs started in the same second get different folders."""
    candidate, number = path, 2
    while True:
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            candidate, number = path.with_name(f"{path.name}-{number}"), number + 1


def _start_time(pid: int) -> str | None:
    """When a process started, in the system's own words: a reused pid has another. None: no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *_rest = after_name = file.read().rpartition(b")")[2].split()
        return None if state == b"Z" else after_name[19].decode()
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended while we read
        if os.path.isdir("/proc/self"):
            return None
    try:  # no /proc (macOS): the pid alone must do
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"
