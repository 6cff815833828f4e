"""The run folder: four words, who is alive, and what a viewer can tell from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExitCode, RecipeError
from engine.events import Event, Paused, Resumed, RunFailed, RunFinished, RunInterrupted, RunStarted, to_line
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder, create_run_folder, find_runs, open_run

NOW = datetime(2026, 11, 24, 0, 12, 5)

STARTED = RunStarted(
    t=0.0, name="run", classes=["a", "b"], train_clips=16, val_clips=4, epochs=3, steps_per_epoch=4, batch_size=4,
    lr=0.1, lr_arithmetic="lr 0.1", device="cpu", precision="fp32", workers=0, parameters=10, chance=0.5,
)  # fmt: skip
FINISHED = RunFinished(t=9.0, best_top1=0.5, best_epoch=1, seconds=9.0)
INTERRUPTED = RunInterrupted(t=9.0, signal="SIGINT", checkpoint="checkpoints/last.pt", step=2)
FAILED = RunFailed(t=9.0, error="the loss is not finite", exit_code=1)


def later(event: Event) -> Event:
    """After any claim that a test makes."""
    return replace(event, t=4_000_000_000.0)


CLAIM = """
import pathlib, sys
from engine.run_folder import RunFolder
RunFolder(pathlib.Path(sys.argv[1])).claim()
print("claimed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create_run_folder(Recipe(), tmp_path / "run", NOW)


@pytest.fixture
def training(run: RunFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A real process that has claimed `run`, and goes on until its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"claimed\n"
        yield child
        child.kill()


def write(run: RunFolder, *events: Event) -> None:
    run.events.write_text("".join(to_line(event) + "\n" for event in events), encoding="utf-8")


def status(run: RunFolder) -> str:
    return run.status(run.state())


# --- the four words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["pause", "resume", "checkpoint", "stop"])
def test_a_word_is_taken_once(run: RunFolder, word: str) -> None:
    assert run.take_word() is None
    run.say(word)  # type: ignore[arg-type]
    assert run.take_word() == word
    assert run.take_word() is None


def test_the_last_word_said_wins(run: RunFolder) -> None:
    run.say("pause")
    run.say("stop")
    assert run.take_word() == "stop"
    assert run.take_word() is None


@pytest.mark.parametrize("text", [b"", b"halt", b"stop please", b"\xff\xfe"])
def test_what_is_no_word_is_dropped(run: RunFolder, text: bytes) -> None:
    run.control.write_bytes(text)
    assert run.take_word() is None
    assert not run.control.exists()


def test_a_word_typed_by_hand_counts(run: RunFolder) -> None:
    run.control.write_text("stop\n")
    assert run.take_word() == "stop"


@pytest.mark.slow
def test_no_last_word_is_lost_while_the_engine_takes(run: RunFolder) -> None:
    """Whatever was said last, after everything else, must arrive, also when words are said while one is taken."""
    saying = True

    def speak() -> None:
        nonlocal saying
        for _ in range(200):
            run.say("pause")
        run.say("stop")
        saying = False

    speaker = threading.Thread(target=speak)
    speaker.start()
    taken = []
    while saying or run.control.exists():
        if word := run.take_word():
            taken.append(word)
    speaker.join()
    assert taken[-1] == "stop" and set(taken) <= {"pause", "stop"}
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "recipe.toml"]


# --- who is training --------------------------------------------------------------------------------------------------


def test_nobody_has_claimed_a_new_run(run: RunFolder) -> None:
    assert not run.is_alive()


def test_the_process_that_claimed_is_alive_until_it_ends(run: RunFolder, training: subprocess.Popen[bytes]) -> None:
    assert json.loads(run.process.read_text())["pid"] == training.pid
    assert run.is_alive()
    training.communicate(b"")
    assert training.returncode == 0
    assert not run.is_alive()


def test_a_killed_process_is_dead_even_before_its_parent_looks(
    run: RunFolder, training: subprocess.Popen[bytes]
) -> None:
    training.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, training.pid, os.WEXITED | os.WNOWAIT)  # ended, and still a zombie
    assert not run.is_alive()


def test_another_process_with_the_same_id_is_not_the_run(run: RunFolder, training: subprocess.Popen[bytes]) -> None:
    process = json.loads(run.process.read_text())
    run.process.write_text(json.dumps({**process, "started": "1"}))
    assert not run.is_alive()


def test_a_process_with_blanks_and_brackets_in_its_name_is_told_by_its_start(tmp_path: Path, run: RunFolder) -> None:
    odd = tmp_path / "py ) S 1 (x"
    odd.symlink_to(sys.executable)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [str(odd), "-c", CLAIM, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"claimed\n"
        assert run.is_alive()
        assert json.loads(run.process.read_text())["started"].isdigit() or not Path("/proc/self").exists()
        child.communicate(b"")
    assert not run.is_alive()


def test_a_process_is_claimed_for_by_whoever_starts_it(run: RunFolder) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        run.claim(child.pid)
        assert run.is_alive() and status(run) == "starting"
        child.kill()
        child.wait()
        assert not run.is_alive()
        run.claim(child.pid)  # too late: there is no such process any more
        assert not run.is_alive()


def test_an_end_counts_wherever_the_run_was(run: RunFolder) -> None:
    """A cluster moves a run to another machine: what the log says is over can be gone on with."""
    run.process.write_text(json.dumps({"pid": 1, "started": "0", "host": "elsewhere"}))
    write(run, STARTED)
    assert (run.other_host(), status(run)) == ("elsewhere", "running")
    write(run, STARTED, later(INTERRUPTED))
    assert status(run) == "interrupted"


def test_on_another_host_nobody_can_tell_so_it_counts_as_alive(run: RunFolder) -> None:
    run.process.write_text(json.dumps({"pid": 1, "started": "0", "host": socket.gethostname() + "-not"}))
    assert run.is_alive()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"pid": 1}'])
def test_a_broken_process_file_is_nobody(run: RunFolder, text: str) -> None:
    run.process.write_text(text)
    assert not run.is_alive()


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "events, alive, dead",
    [
        ([], "starting", "crashed"),
        ([STARTED], "running", "crashed"),
        ([STARTED, Paused(1.0, 1)], "paused", "crashed"),
        ([STARTED, Paused(1.0, 1), Resumed(2.0, 1)], "running", "crashed"),
        ([STARTED, FINISHED], "starting", "finished"),  # by a process that claimed it after that: it goes on
        ([STARTED, INTERRUPTED], "starting", "interrupted"),
        ([STARTED, FAILED], "starting", "failed"),
        ([FAILED], "starting", "failed"),
        ([STARTED, later(FINISHED)], "finished", "finished"),  # by the process itself, which is about to end
        ([STARTED, later(INTERRUPTED)], "interrupted", "interrupted"),
        ([STARTED, later(FAILED)], "failed", "failed"),
        ([STARTED, INTERRUPTED, STARTED], "running", "crashed"),
        ([STARTED, Paused(1.0, 1), INTERRUPTED, STARTED], "running", "crashed"),
    ],
)
def test_status(run: RunFolder, training: subprocess.Popen[bytes], events: list[Event], alive: str, dead: str) -> None:
    write(run, *events)
    assert status(run) == alive
    training.kill()
    training.wait()
    assert status(run) == dead


def test_before_anyone_claims_it_a_run_is_starting(run: RunFolder) -> None:
    assert status(run) == "starting"


# --- make, find, open -------------------------------------------------------------------------------------------------


def test_a_new_folder_holds_the_resolved_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = recipe_from({"name": "tsn ucf/101", "dataset": {"root": "clips"}}, extends="tsn-r50-ucf101")
    run = create_run_folder(recipe, None, NOW)
    assert run.path == Path("runs/tsn-ucf-101-20261124-001205")
    assert run.checkpoints.is_dir()
    kept = load_recipe(run.recipe)
    assert kept.dataset.root == str(tmp_path / "clips")
    assert kept.schedule == recipe.schedule and kept.weights == recipe.weights


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    recipe = recipe_from({"name": "r", "run": {"output": str(tmp_path)}})
    names = [create_run_folder(recipe, None, NOW).path.name for _ in range(3)]
    assert names == ["r-20261124-001205", "r-20261124-001205-2", "r-20261124-001205-3"]


@pytest.mark.slow
@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_any_name_makes_a_folder_right_under_the_output(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    output = tmp_path_factory.mktemp("runs")
    recipe = recipe_from({"name": name, "run": {"output": str(output)}})
    run = create_run_folder(recipe, None, NOW)
    assert run.path.parent == output and run.path.is_dir()
    assert not run.path.name.startswith((".", "-"))
    assert load_recipe(run.recipe).name == name
    assert open_run(run.path.name, output) == run


@pytest.mark.parametrize(
    "name, folder", [("", "run"), ("..", "run"), ("../../etc", "etc"), ("动作 识别", "动作-识别"), ("--help", "help")]
)
def test_names_become_tame(tmp_path: Path, name: str, folder: str) -> None:
    recipe = recipe_from({"name": name, "run": {"output": str(tmp_path)}})
    assert create_run_folder(recipe, None, NOW).path == tmp_path / f"{folder}-20261124-001205"


def test_a_folder_that_holds_a_run_is_not_overwritten(run: RunFolder) -> None:
    before = run.recipe.read_bytes()
    with pytest.raises(RecipeError, match="already holds a run; add --resume") as caught:
        create_run_folder(recipe_from({"name": "other"}), run.path, NOW)
    assert caught.value.exit_code == ExitCode.RECIPE
    assert run.recipe.read_bytes() == before


def test_a_folder_that_is_there_but_holds_no_run_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    create_run_folder(Recipe(), tmp_path, NOW)
    assert (tmp_path / "recipe.toml").is_file() and (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("explicit", [True, False])
def test_a_file_in_the_way_is_one_sentence(tmp_path: Path, explicit: bool) -> None:
    in_the_way = tmp_path / "runs"
    in_the_way.write_text("")
    recipe = recipe_from({"run": {"output": str(in_the_way)}})
    with pytest.raises(RecipeError, match="the run folder cannot be made"):
        create_run_folder(recipe, in_the_way if explicit else None, NOW)


def test_a_name_too_long_for_the_system_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the run folder cannot be made"):
        create_run_folder(Recipe(), tmp_path / ("x" * 300), NOW)


def test_the_latest_run_is_the_one_made_last(tmp_path: Path) -> None:
    for number, name in enumerate(["b", "a", "c"]):
        run = create_run_folder(Recipe(), tmp_path / name, NOW)
        os.utime(run.recipe, ns=(number * 10**9, number * 10**9))
    (tmp_path / "not-a-run").mkdir()
    assert [run.path.name for run in find_runs(tmp_path)] == ["b", "a", "c"]
    for text in ("", "latest"):
        assert open_run(text, tmp_path).path == tmp_path / "c"
    assert open_run("a", tmp_path).path == tmp_path / "a"
    assert open_run(str(tmp_path / "b"), Path("elsewhere")).path == tmp_path / "b"


def test_no_run_yet_says_how_to_start_one(tmp_path: Path) -> None:
    assert find_runs(tmp_path / "runs") == []
    with pytest.raises(RecipeError, match=r"no run under .*runs/ yet; start one with `ftwiz run RECIPE`"):
        open_run("", tmp_path / "runs")


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="empty is not a run folder"):
        open_run("empty", tmp_path)
