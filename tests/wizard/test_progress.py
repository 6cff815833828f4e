"""What `ftwiz run` prints: plain lines in a pipe, a bar on a terminal, and nothing lost at the end."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from engine.events import (
    Message,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunInterrupted,
    to_line,
)
from tests.runs import BEGIN, append, claimed_by_a_process, history, make_run, started, step_at, validation_at
from wizard import words
from wizard.progress import follow
from wizard.run_words import describe

FOLLOW = """
import sys
from pathlib import Path
from engine.run_folder import RunFolder
from wizard.progress import Progress, follow
with Progress(sys.stderr) as progress:
    follow(RunFolder(Path(sys.argv[1])), None, progress.show)
"""
APPEND_SLOWLY = """
import sys, time
with open(sys.argv[1], "ab", buffering=0) as log:
    for line in sys.stdin.buffer:
        log.write(line[:20])
        time.sleep(0.01)
        log.write(line[20:])
"""
START = started()


@pytest.fixture
def finished(tmp_path: Path):
    return make_run(tmp_path / "run", [*history(80, START), RunFinished(BEGIN + 90, 0.42, 2, 90.0)])


def printed(run, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, str(run.path)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    return done.stderr


def on_a_terminal(run, **environment: str) -> pexpect.spawn:
    """The same on a terminal of 110 columns."""
    # readline, which pytest imports, leaves the size of another terminal in the environment.
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return pexpect.spawn(
        sys.executable, ["-c", FOLLOW, str(run.path)],
        env=inherited | environment, encoding="utf-8", dimensions=(24, 110), timeout=60,
    )  # fmt: skip


def all_of(child: pexpect.spawn) -> str:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return child.before


def test_a_pipe_gets_one_plain_line_for_everything(finished):
    lines = printed(finished).splitlines()
    assert sum(" step " in line and " loss " in line and "ETA" in line for line in lines) == 40
    last = next(line for line in lines if line.startswith("epoch 2/8  step 80/320  loss "))
    assert last.endswith("  accuracy 58.9 %  lr 0.0003125  152 clips/s  data wait 12.5 %  ETA 4 min 0 s")
    assert lines[0].startswith("weights from tsn-r50-kinetics400.pth: 318 tensors kept")
    assert lines[1:3] == ["  318 kept", "  2 new: fc.weight, fc.bias"]
    assert "started: 320 training clips, 80 validation clips, 7 classes, 8 epochs on cuda:0 (bf16)" in lines[3]
    assert "epoch 1/8: validating on 80 clips" in lines
    validated = "epoch 1/8: validation top-1 39.8 % (chance 16.7 %), top-5 49.8 %, loss 1.713, the best so far"
    assert validated in lines
    assert "saved checkpoints/best.pt at step 40" in lines
    assert "warning: 12 clips are shorter than 8 frames; their frames repeat." in lines
    assert "left out videos/打篮球/v_07.avi: moov atom not found" in lines
    assert lines[-1] == "finished after 1 min 30 s, best top-1 42.0 % in epoch 2"


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_pipe_never_gets_escape_codes(finished, environment):
    assert "\x1b" not in printed(finished, **environment)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_none_gets_plain_lines(finished, environment):
    text = all_of(on_a_terminal(finished, **environment))
    assert "\x1b" not in text
    assert "step 80/320" in text and "finished after 1 min 30 s" in text


def test_a_terminal_gets_a_bar_with_the_figures_and_lines_above_it(tmp_path):
    run = make_run(tmp_path / "run", history(80, START))
    process = claimed_by_a_process(run)
    child = on_a_terminal(run)
    child.logfile_read = io.StringIO()
    try:
        for expected in (
            "reading the videos",
            "started: 320 training clips",
            "validation top-1",
            "epoch 2/8 .*━",
            "25 %",
        ):
            child.expect(expected)
        child.expect(r"ETA 4 min 0 s  loss \d\.\d+  acc 58.9 %  lr 0.0003125  152 clips/s")
        append(run, RunFinished(BEGIN + 90, 0.42, 2, 90.0))
    finally:
        process.kill()
        process.wait()
    child.expect("finished after 1 min 30 s")
    all_of(child)
    shown = child.logfile_read.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_routine_checkpoints_are_no_lines_over_a_bar(finished):
    text = all_of(on_a_terminal(finished))
    assert "saved checkpoints/best.pt" in text and "saved checkpoints/last.pt" not in text


def test_names_from_files_cannot_command_the_terminal(tmp_path):
    evil = Message(BEGIN, "warning", "clip \x1b[2J\x07\nnext\udcff")
    text = printed(make_run(tmp_path / "run", [evil]))
    assert text == "warning: clip  [2J  next\\udcff\n"


def test_follow_reads_all_that_a_process_wrote_before_it_ended(tmp_path):
    run = make_run(tmp_path / "run")
    events = [START, *(step_at(step, START) for step in range(1, 30)), RunFinished(BEGIN + 90, 0.4, 2, 90.0)]
    engine = subprocess.Popen([sys.executable, "-c", APPEND_SLOWLY, str(run.events)], stdin=subprocess.PIPE)
    engine.stdin.write("".join(to_line(event) + "\n" for event in events).encode())
    engine.stdin.close()
    seen = []
    follow(run, engine, seen.append)
    assert seen == events and engine.returncode == 0


def test_follow_ends_when_a_process_dies_without_a_word(tmp_path):
    run = make_run(tmp_path / "run", [START, step_at(10, START)])
    engine = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    seen = []
    follow(run, engine, seen.append)
    assert seen == [START, step_at(10, START)] and engine.returncode == -9


def test_follow_leaves_out_what_was_there_before(tmp_path):
    run = make_run(tmp_path / "run", [START, step_at(10, START)])
    before = run.events.stat().st_size
    append(run, step_at(20, START))
    seen = []
    follow(run, None, seen.append, offset=before)
    assert seen == [step_at(20, START)]


# --- words ------------------------------------------------------------------------------------------------------------


def test_numbers_in_words():
    assert [words.percent(x) for x in (0, 0.4167, 1, float("nan"))] == ["0.0 %", "41.7 %", "100.0 %", "–"]
    assert [words.number(x) for x in (0.41234, 12.3456, 1234.5, 0, 3.2e-7, float("inf"))] == [
        "0.4123", "12.35", "1234", "0.000", "3.2e-07", "–",
    ]  # fmt: skip
    assert [words.rate(x) for x in (0.005, 0.0003125, 3.125e-5)] == ["0.005", "0.0003125", "3.125e-05"]
    assert [words.duration(x) for x in (0.4, 59, 61, 4325, 200_000, float("nan"))] == [
        "0 s", "59 s", "1 min 1 s", "1 h 12 min", "2 d 7 h", "–",
    ]  # fmt: skip
    assert [words.memory(x) for x in (512, 3210)] == ["512 MiB", "3.1 GiB"]
    assert words.clock(4325) == "1:12:05"
    assert [words.count(n, "clip") for n in (0, 1, 9537)] == ["0 clips", "1 clip", "9,537 clips"]


def test_names_are_cut_by_the_cells_they_take():
    assert words.cut("archery", 7) == "archery"
    assert words.cut("archery", 6) == "arche…"
    assert words.cut("打篮球", 6) == "打篮球"
    assert words.cut("打篮球", 5) == "打篮…"
    assert words.cut("打篮球", 0) == ""


def test_top_5_of_few_classes_is_left_out():
    few = replace(validation_at(40, START), per_class=[0.5] * 5)
    assert "top-5" not in describe(few) and "top-5" in describe(validation_at(40, START))


def test_ends_and_pauses_in_words():
    assert describe(Paused(BEGIN, 7)) == "paused after step 7"
    assert describe(Resumed(BEGIN, 7)) == "goes on from step 7"
    assert describe(RunInterrupted(BEGIN, "SIGTERM", "", 7)).endswith("SIGTERM at step 7; nothing was there to save")
    assert describe(RunFailed(BEGIN, "No memory.", 5)) == "failed: No memory."
    assert describe(RunFinished(BEGIN, 0, 0, 3.0, stopped_early=True)) == "stopped as asked after 3 s"
    assert describe(started(first_step=40)).startswith("tsn-ucf101 goes on after step 40: ")


@pytest.mark.parametrize("path", ["runs/一", "runs/a-1.toml", "my runs/a", "it's", "$HOME/(a)&b"])
def test_a_command_to_copy_names_the_path_as_one_word_of_the_shell(path):
    assert shlex.split(words.quoted(path)) == [path]
    assert words.quoted("runs/一") == "runs/一"
