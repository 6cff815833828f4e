"""Pictures of the dashboard: a change of looks is seen in review, not by accident."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import OptionList

from engine.events import Event, Paused, RunFailed, RunFinished
from engine.recipe import recipe_from
from engine.run_folder import RunFolder
from tests.runs import BEGIN, history, left_by_a_process, make_run, started
from wizard.dashboard import WatchApp

pytestmark = pytest.mark.slow  # `make quick` does without

START = started()
SIZES = pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])


@pytest.fixture(autouse=True)
def the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Paths, times and process numbers that are in the pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def a_run(steps: int, *events: Event, name: str = "tsn-ucf101-1", lr: float = 0.01) -> RunFolder:
    recipe = recipe_from({"name": "tsn-ucf101", "schedule": {"lr": lr}})
    log = "Decoding with decord on 4 workers.\n"
    run = make_run(Path("runs") / name, [*history(steps, START), *events], log=log, recipe=recipe)
    (run.checkpoints / "last.pt").touch()
    run.claim()
    return run


def finished(name: str = "tsn-ucf101-1") -> RunFolder:
    return a_run(320, RunFinished(BEGIN + 321, 0.85, 8, 321.0), name=name)


def another(run: RunFolder) -> RunFolder:
    """A worse one beside it, by another learning rate, from an hour before; it crashed in its sixth epoch."""
    start = started(t=BEGIN - 3600)
    events = [
        replace(event, loss=event.loss * 1.4, **({"top1": event.top1 * 0.8} if hasattr(event, "top1") else {}))
        if hasattr(event, "loss")
        else event
        for event in history(210, start, seed=1)
    ]
    recipe = recipe_from({"name": "tsn-ucf101", "schedule": {"lr": 0.05, "epochs": 20}})
    other = make_run(run.path.with_name("tsn-ucf101-0"), events, recipe=recipe)
    left_by_a_process(other)
    os.utime(other.recipe, (BEGIN - 3600, BEGIN - 3600))
    os.utime(run.recipe, (BEGIN, BEGIN))
    return other


@SIZES
def test_a_running_dashboard(snap_compare, size):
    assert snap_compare(WatchApp(a_run(200)), terminal_size=size)


@SIZES
def test_a_paused_dashboard(snap_compare, size):
    assert snap_compare(WatchApp(a_run(200, Paused(BEGIN + 201, 200))), terminal_size=size)


@SIZES
def test_a_stalled_dashboard(snap_compare, size):
    run = a_run(200)
    run.claim(1)  # of the processes that live everywhere, the one that has the same number
    assert snap_compare(WatchApp(run, lambda: BEGIN + 200 + 754), terminal_size=size)


@SIZES
def test_a_failed_dashboard(snap_compare, size):
    error = (
        "The loss is nan at step 201 (clips: videos/gym/v_03.avi). Lower schedule.lr, or set schedule.grad_clip_norm."
    )
    assert snap_compare(WatchApp(a_run(200, RunFailed(BEGIN + 201, error, 1))), terminal_size=size)


@SIZES
def test_a_crashed_dashboard(snap_compare, size):
    run = a_run(200)
    left_by_a_process(run)
    assert snap_compare(WatchApp(run), terminal_size=size)


@SIZES
def test_a_finished_dashboard_smoothed_on_a_log_axis(snap_compare, size):
    assert snap_compare(WatchApp(finished()), press=["l", "m"], terminal_size=size)


@SIZES
def test_a_comparison(snap_compare, size):
    run = a_run(200)
    another(run)
    assert snap_compare(WatchApp(run), press=["c", "enter", "m"], terminal_size=size)


@SIZES
def test_a_panel_alone_with_values_read_on_a_log_axis(snap_compare, size):
    assert snap_compare(WatchApp(a_run(200)), press=["z", "l", "m", "left", "left", "left"], terminal_size=size)


@SIZES
def test_the_runs_to_choose_from(snap_compare, size):
    run = a_run(200)
    another(run)

    async def read(pilot) -> None:  # the logs are read in a thread
        await pilot.press("r")
        while "crashed" not in str(pilot.app.screen.query_one(OptionList).get_option_at_index(1).prompt):
            await pilot.pause(0.05)
        await pilot.pause()

    assert snap_compare(WatchApp(run), run_before=read, terminal_size=size)


@SIZES
def test_the_help(snap_compare, size):
    assert snap_compare(WatchApp(a_run(200)), press=["question_mark"], terminal_size=size)
