"""Asks processes of their own what a dataset's files are, and remembers the answers until a file changes. Torch-free.

A file that hangs or crashes the decoder costs its process, which is replaced, and a line in the report.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from engine.atomic import write_text
from engine.errors import DataError

# -P keeps the working folder off the module path: a folder of the user's called `engine` must not be run.
PROBE = (sys.executable, "-P", "-m", "engine.dataset.probe")
# An answer that another version gave is asked for again.
VERSION = 1
START_SECONDS = 60.0
WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """A video file, or a folder of images: which names, whether flow, and which of them. See `open_clip`."""

    path: str
    template: str = "auto"
    flow: bool = False
    first_frame: int = 0
    num_frames: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding the first, the middle and the last frame told. fps and seconds are 0 where there are no times.

    kind: "" for a file that is fine; undecodable, truncated, timeout or crash. reason: in words.
    """

    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    seconds: float = 0.0
    kind: str = ""
    reason: str = ""

    @property
    def measured(self) -> tuple[int, int, int, float, float]:
        return self.frames, self.width, self.height, self.fps, self.seconds


def ask(
    questions: Sequence[Question], workers: int, time_limit: float, command: Sequence[str] = PROBE
) -> Generator[tuple[Question, Facts] | None]:
    """The answers, as they come; None where there was none for a while, so that whoever waits may think better of it.

    time_limit: seconds a file. Closing the iterator ends the processes. Raises DataError where none can be started.
    """
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[Question, Facts] | Exception] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)
    askers = [_Asker(waiting, answers, time_limit, command) for _ in range(min(workers, len(questions)))]
    for asker in askers:
        asker.thread.start()
    try:
        left = len(questions)
        while left:
            try:
                answer = answers.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                yield None
                continue
            if isinstance(answer, Exception):
                raise answer
            left -= 1
            yield answer
    finally:
        for asker in askers:
            asker.stop()
        for asker in askers:
            asker.thread.join()


class _Asker:
    """Asks one process after another. Each may die of a question."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[Question],
        answers: queue.SimpleQueue[tuple[Question, Facts] | Exception],
        time_limit: float,
        command: Sequence[str],
    ):
        self.thread = threading.Thread(target=self._ask_all, daemon=True)
        self._waiting, self._answers = waiting, answers
        self._time_limit, self._command = time_limit, command
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def _ask_all(self) -> None:
        try:
            while not self._stopped:
                question = self._waiting.get_nowait()
                facts = self._facts(question)
                if facts.kind == "crash" and not self._stopped:
                    facts = self._facts(question)  # a process may also die of something else, such as little memory
                self._answers.put((question, facts))
        except queue.Empty:
            pass
        except Exception as error:  # whoever waits must hear of it
            self._answers.put(error)
        finally:
            self._end()

    def stop(self) -> None:
        self._stopped = True
        self._end()

    def _facts(self, question: Question) -> Facts:
        process = self._process or self._started()
        line, in_time = self._said(process, json.dumps(asdict(question)) + "\n", self._time_limit)
        if line:
            return Facts(**json.loads(line))
        self._end()
        if not in_time:
            limit = f"{self._time_limit:g} seconds"
            return Facts(kind="timeout", reason=f"it keeps the decoder busy for more than {limit}")
        return Facts(kind="crash", reason=f"it crashes the decoder ({_end_of(process)})")

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self._command, str(self._time_limit * 2 + 10)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        self._process = process
        if self._stopped:
            self._end()  # `stop` may have come too early to know of it
        if not self._said(process, "", START_SECONDS)[0] and not self._stopped:
            self._end()
            command = " ".join(self._command)
            raise DataError(f"the process that decodes videos does not start ({_end_of(process)}): {command}.")
        return process

    def _said(self, process: subprocess.Popen[str], question: str, seconds: float) -> tuple[str, bool]:
        """The line that a process answers, "" where it ends first; and whether it had its time."""
        assert process.stdin and process.stdout
        line = ""
        with time_limit(process, seconds) as out_of_time, suppress(OSError, ValueError):  # gone; or this was stopped
            process.stdin.write(question)
            process.stdin.flush()
            line = process.stdout.readline()
        return line if line.endswith("\n") else "", not out_of_time.is_set()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()


@contextmanager
def time_limit(process: subprocess.Popen[Any], seconds: float) -> Iterator[threading.Event]:
    """Kill a process that takes longer, which the event then tells."""
    out_of_time = threading.Event()

    def give_up() -> None:
        out_of_time.set()
        process.kill()

    timer = threading.Timer(seconds, give_up)
    timer.start()
    try:
        yield out_of_time
    finally:
        timer.cancel()


def _end_of(process: subprocess.Popen[str]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


# --- what is remembered -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file changes."""

    size: int
    modified: int  # nanoseconds

    @classmethod
    def of(cls, path: str) -> Stamp | None:
        """None where there is no such file."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(slots=True)
class _Known:
    stamp: Stamp
    facts: Facts | None = None
    limit: float = 0.0  # seconds that it was given
    digest: str = ""


class Memory:
    """Answers and digests from earlier checks, in a file: one JSON line each. A file that is gone or odd is empty."""

    def __init__(self, path: Path | None):
        """path: None to remember nothing."""
        self._path = path
        self._known: dict[Question, _Known] = {}
        self._used: set[Question] = set()
        for line in self._lines():
            try:
                question, stamp, facts, limit, digest = json.loads(line)
                known = _Known(Stamp(*stamp), Facts(*facts) if facts else None, limit, digest)
                self._known[Question(*question)] = known
            except (ValueError, TypeError):
                continue

    def facts(self, question: Question, stamp: Stamp, time_limit: float) -> Facts | None:
        """What was found while the file was the same. More time than last time is a reason to ask again."""
        known = self._same(question, stamp)
        if known is None or known.facts is None:
            return None
        return None if known.facts.kind == "timeout" and time_limit > known.limit else known.facts

    def digest(self, question: Question, stamp: Stamp) -> str:
        """Of the file's content; read where it is not known. "" where it cannot be read."""
        known = self._same(question, stamp) or _Known(stamp)
        if not known.digest:
            known.digest = _digest(question.path)
            self._known[question] = known
        self._used.add(question)
        return known.digest

    def keep(self, question: Question, stamp: Stamp, facts: Facts, time_limit: float) -> None:
        self._used.add(question)
        known = self._same(question, stamp)
        self._known[question] = _Known(stamp, facts, time_limit, known.digest if known else "")

    def save(self) -> None:
        """Only what this check has asked for: files that went away are forgotten. A full disk is no reason to fail."""
        if self._path is None:
            return
        lines = [json.dumps({"version": VERSION})]
        for question in self._used:
            known = self._known[question]
            facts = astuple(known.facts) if known.facts else None
            lines.append(json.dumps([astuple(question), astuple(known.stamp), facts, known.limit, known.digest]))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, "\n".join(lines) + "\n")
        except OSError:
            return

    def _same(self, question: Question, stamp: Stamp) -> _Known | None:
        known = self._known.get(question)
        if known is None or known.stamp != stamp:
            return None
        self._used.add(question)
        return known

    def _lines(self) -> Iterable[str]:
        try:
            text = self._path.read_text(encoding="utf-8") if self._path else ""
        except (OSError, ValueError):
            return []
        head, _, rest = text.partition("\n")
        return rest.splitlines() if head == json.dumps({"version": VERSION}) else []


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError:
        return ""
