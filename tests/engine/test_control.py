"""Words and signals, to a real process that trains nothing but attends like the loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.control import Control
from engine.run_folder import RunFolder

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

# Prints what happens, a line each. A step waits for a line on stdin, so that the test decides what comes when.
LOOP = """
import sys
from pathlib import Path
from engine.control import Control, Interrupted, Stopped
from engine.run_folder import RunFolder

def say(text):
    print(text, flush=True)

run, can_checkpoint = RunFolder(Path(sys.argv[1])), sys.argv[2] == "training"
try:
    with Control(run, lambda: say("checkpoint"), lambda paused: say("paused" if paused else "resumed")) as control:
        say("ready")
        for line in sys.stdin:
            say(f"step {line.strip()}")
            control.attend(can_checkpoint)
            say("attended")
except Interrupted as interrupted:
    say(f"interrupted by {interrupted}")
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


@POSIX
def test_a_second_sigint_leaves_at_once(loop: Loop) -> None:
    """In the middle of a step that never ends."""
    loop.send("SIGINT")
    while loop.process.poll() is None:  # two at the same moment may arrive as one
        loop.send("SIGINT")
        try:
            loop.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    assert loop.process.returncode == 130


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


def test_the_handlers_before_come_back(tmp_path: Path) -> None:
    names = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = [signal.getsignal(getattr(signal, name)) for name in names]
    with (
        pytest.raises(ZeroDivisionError),
        Control(RunFolder(tmp_path), on_checkpoint=lambda: None, on_pause=lambda paused: None),
    ):
        assert [signal.getsignal(getattr(signal, name)) for name in names] != before
        raise ZeroDivisionError
    assert [signal.getsignal(getattr(signal, name)) for name in names] == before


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
