"""Words and signals, to a real process that trains nothing but attends like the loop."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.control import Control, Signals
from engine.errors import DiskFullError, TrainingError
from engine.run_folder import RunFolder

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

# Prints what happens, a line each. A step waits for a line on stdin, so that the test decides what comes when.
LOOP = """
import os, sys
from pathlib import Path
from engine.control import Control, Interrupted, Signals, Stopped
from engine.run_folder import RunFolder

def say(text):
    os.write(1, f"{text}\\n".encode())  # in one piece, whichever thread it comes from

run, phase = RunFolder(Path(sys.argv[1])), sys.argv[2]
full = phase == "full"

def checkpoint():
    with run.writing("The checkpoint"):
        if full:
            if (run.path / "room").exists():
                say("there is room")
            else:
                raise OSError(28, "No space left on device")
    say("checkpoint")

try:
    with Signals(is_our_process=phase == "set-up") as signals:
        signals.on_leave = lambda: say(f"leaves at once after {signals.came}")
        say("ready")
        if phase == "set-up":
            sys.stdin.read()
        if phase == "hangs":
            import ctypes
            ctypes.CDLL(None).sleep(600)  # a library's call, like the decoding of a file that never ends
        with Control(run, signals, checkpoint, lambda paused: say("paused" if paused else "resumed"), say) as control:
            for line in sys.stdin:
                say(f"step {line.strip()}")
                control.attend(phase != "validation")
                say("attended")
except Interrupted as interrupted:
    say(f"interrupted by {interrupted}")
except KeyboardInterrupt:
    say(f"set-up ended by {signals.came}")
except Stopped:
    say("stopped")
"""


class Loop:
    """A process at rest between two steps."""

    def __init__(self, folder: Path, phase: str = "training"):
        self.run = RunFolder(folder)
        command = [sys.executable, "-c", LOOP, str(folder), phase]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hear() == "ready"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def step(self, number: int = 1) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.hear() == f"step {number}"

    def send(self, name: str) -> None:
        self.process.send_signal(getattr(signal, name))

    def ends(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=60)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path)
    yield loop
    loop.process.kill()
    loop.process.wait()


# --- signals ----------------------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_lets_the_step_finish(name: str, loop: Loop) -> None:
    loop.step(1)
    assert loop.hear() == "attended"
    loop.send(name)
    loop.step(2)  # it goes on after the signal, up to the next look
    assert loop.hear() == f"interrupted by {name}"
    assert loop.ends() == 0


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("phase", ["training", "hangs"])
@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_sigint_leaves_at_once(first: str, phase: str, tmp_path: Path) -> None:
    """In the middle of a step that never ends, in Python or in a library where Python runs no handler."""
    loop = Loop(tmp_path, phase)
    loop.send(first)
    while loop.process.poll() is None:  # two at the same moment may arrive as one
        loop.send("SIGINT")
        try:
            loop.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    assert loop.process.returncode == 130
    assert loop.hear().startswith("leaves at once after")


@POSIX
def test_an_echo_is_no_second_one(loop: Loop) -> None:
    """A cluster sends a signal to every process of a job, and `ftwiz run` passes its own on to the engine."""
    for _ in range(3):
        loop.send("SIGINT")
        time.sleep(0.02)
    loop.step()
    assert loop.hear() == "interrupted by SIGINT"
    assert loop.ends() == 0


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_before_the_first_step_a_signal_ends_whatever_is_done(name: str, tmp_path: Path) -> None:
    loop = Loop(tmp_path, "set-up")
    loop.send(name)
    assert loop.hear() == f"set-up ended by {name}"
    assert loop.process.wait(60) == 0


@POSIX
def test_a_second_sigterm_still_waits_for_the_step(loop: Loop) -> None:
    """Clusters send it again and again."""
    loop.send("SIGTERM")
    loop.send("SIGUSR1")
    loop.step()
    assert loop.hear() in ("interrupted by SIGTERM", "interrupted by SIGUSR1")
    assert loop.ends() == 0


@POSIX
def test_a_signal_ends_a_pause(loop: Loop) -> None:
    loop.run.say("pause")
    loop.step()
    assert loop.hear() == "paused"
    loop.send("SIGTERM")
    assert loop.hear() == "interrupted by SIGTERM"


@POSIX
def test_a_signal_weighs_more_than_a_word(loop: Loop) -> None:
    """Who interrupts wants to resume: the run is not finished."""
    loop.run.say("stop")
    loop.send("SIGTERM")
    loop.step()
    assert loop.hear() == "interrupted by SIGTERM"


def test_the_handlers_before_come_back() -> None:
    names = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = [signal.getsignal(getattr(signal, name)) for name in names]
    with pytest.raises(ZeroDivisionError), Signals():
        assert [signal.getsignal(getattr(signal, name)) for name in names] != before
        raise ZeroDivisionError
    assert [signal.getsignal(getattr(signal, name)) for name in names] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_in_a_thread_signals_are_left_to_the_program() -> None:
    """Python allows handlers in the main thread only; a training must not fail for that."""
    before = signal.getsignal(signal.SIGINT)
    inside: list[object] = []

    def hear() -> None:
        with Signals():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hear)
    thread.start()
    thread.join()
    assert inside == [before]


@POSIX
def test_the_workers_are_taken_along_by_a_second_sigint(tmp_path: Path) -> None:
    """A worker that hangs would never notice that it is alone."""
    code = """
import multiprocessing, os, signal, sys, time
from engine.control import Signals
with Signals():
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    worker.start()
    print(worker.pid, flush=True)
    while True:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    assert process.wait(60) == 130
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split():
        assert time.monotonic() < until, "the worker lives on"
        time.sleep(0.02)


# --- words ------------------------------------------------------------------------------------------------------------


def test_without_a_word_the_loop_goes_on(loop: Loop) -> None:
    for number in range(3):
        loop.step(number)
        assert loop.hear() == "attended"
    assert loop.ends() == 0


def test_stop(loop: Loop) -> None:
    loop.run.say("stop")
    loop.step()
    assert loop.hear() == "stopped"
    assert loop.ends() == 0 and not loop.run.control.exists()


def test_checkpoint(loop: Loop) -> None:
    loop.run.say("checkpoint")
    loop.step(1)
    assert [loop.hear(), loop.hear()] == ["checkpoint", "attended"]
    loop.step(2)  # a word is heard once
    assert loop.hear() == "attended"


def test_checkpoint_during_validation_waits_for_the_one_that_is_due(tmp_path: Path) -> None:
    loop = Loop(tmp_path, "validation")
    loop.run.say("checkpoint")
    loop.step()
    assert loop.hear() == "attended"
    assert loop.ends() == 0


def test_pause_and_resume(loop: Loop) -> None:
    loop.run.say("pause")
    loop.step(1)
    assert loop.hear() == "paused"
    loop.run.say("checkpoint")
    assert loop.hear() == "checkpoint"
    loop.run.say("resume")
    assert [loop.hear(), loop.hear()] == ["resumed", "attended"]
    loop.step(2)
    assert loop.hear() == "attended"


def test_stop_ends_a_pause(loop: Loop) -> None:
    loop.run.say("pause")
    loop.step()
    assert loop.hear() == "paused"
    loop.run.say("stop")
    assert [loop.hear(), loop.hear()] == ["resumed", "stopped"]


@pytest.mark.parametrize("word", ["resume", "dance", ""])
def test_other_words_change_nothing(word: str, loop: Loop) -> None:
    loop.run.control.write_text(word)
    loop.step()
    assert loop.hear() == "attended"


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Loop]:
    """A loop that waits for room after a checkpoint that somebody asked for."""
    loop = Loop(tmp_path, "full")
    loop.run.say("checkpoint")
    loop.step()
    assert loop.hear() == f"The checkpoint cannot be written into {tmp_path}: No space left on device."
    assert loop.hear() == "paused"
    yield loop
    loop.process.kill()
    loop.process.wait()


@pytest.mark.parametrize("word", ["resume", "checkpoint"])
def test_it_goes_on_where_there_is_room_again(word: str, full: Loop) -> None:
    full.run.say(word)
    while full.run.control.exists():  # asked in vain
        time.sleep(0.01)
    (full.run.path / "room").touch()
    full.run.say(word)
    assert [full.hear() for _ in range(4)] == ["there is room", "checkpoint", "resumed", "attended"]


def test_it_tries_again_by_itself(tmp_path: Path) -> None:
    tries: list[int] = []

    def save() -> None:
        tries.append(len(tries))
        if len(tries) < 4:
            raise DiskFullError("no room")

    said: list[object] = []
    control = Control(RunFolder(tmp_path), Signals(), save, said.append, said.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.control._POLL_SECONDS", 0.0)
        control.write(save)
    assert len(tries) == 4 and said == ["no room", True, False]


@POSIX
def test_a_signal_ends_the_wait(full: Loop) -> None:
    full.send("SIGTERM")
    assert full.hear() == "interrupted by SIGTERM"


def test_stop_ends_the_wait(full: Loop) -> None:
    full.run.say("stop")
    assert full.hear() == "stopped"


def test_what_is_not_a_full_disk_is_no_reason_to_wait(tmp_path: Path) -> None:
    def save() -> None:
        with RunFolder(tmp_path).writing("The checkpoint of step 3"):
            raise OSError(errno.EROFS, "Read-only file system")

    control = Control(RunFolder(tmp_path), Signals(), save, lambda paused: None, lambda what: None)
    with pytest.raises(TrainingError, match=r"The checkpoint of step 3 cannot be written into .*: Read-only file"):
        control.write(save)
