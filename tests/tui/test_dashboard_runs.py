"""The dashboard among several runs: comparing, choosing, going from one to the next; and the mouse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, Tabs

from engine.events import RunFinished
from engine.recipe import recipe_from
from engine.run_folder import RunFolder
from tests.runs import BEGIN, append, history, left_by_a_process, make_run, started, step_at, validation_at
from tests.tui.test_dashboard import notifications, screen_text, until, visible
from wizard.dashboard import DashboardScreen, WatchApp
from wizard.widgets.curve import Curve
from wizard.widgets.run_picker import RunPicker
from wizard.widgets.versus import Versus

pytestmark = pytest.mark.slow  # `make quick` does without

START = started()


@pytest.fixture
def three(tmp_path: Path) -> list[RunFolder]:
    """A finished run, one that crashed before its first step, and a live one; the latest last."""
    done = [START, step_at(320, START), validation_at(320, START), RunFinished(BEGIN + 320, 0.85, 8, 320.0)]
    runs = [
        make_run(tmp_path / "old", done, recipe=recipe_from({"name": "old", "schedule": {"lr": 0.05}})),
        make_run(tmp_path / "broken", [START]),
        make_run(tmp_path / "now", history(140, START), recipe=recipe_from({"name": "now"})),
    ]
    left_by_a_process(runs[0])
    left_by_a_process(runs[1])
    runs[2].claim()
    for age, run in enumerate(reversed(runs)):
        os.utime(run.recipe, (BEGIN - age, BEGIN - age))
    return runs


def offered(app: WatchApp) -> list[str]:
    options = app.screen.query_one(OptionList).options
    return [" ".join(str(option.prompt).split()) for option in options]


async def chosen(pilot: Pilot, key: str, *keys: str) -> None:
    """Open the picker, press keys in it, and wait until it has closed."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, RunPicker))
    await pilot.press(*keys)
    await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
    await pilot.pause()


def curves(app: WatchApp) -> tuple[Curve, Curve]:
    return app.dashboard.query_one("#loss", Curve), app.dashboard.query_one("#accuracy", Curve)


async def test_the_picker_tells_where_each_run_stands(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: len(offered(app)) == 3 and all("2096" in line for line in offered(app)))
        now, broken, old = offered(app)
        assert now.startswith("▶ running now top-1 64.2 % 2096-")
        assert broken.startswith("† crashed broken 2096-")
        assert old.startswith("✓ finished old top-1 85.1 % 2096-")


async def test_what_is_typed_narrows_the_choice(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r", *"OL")
        await until(pilot, lambda: len(offered(app)) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: app.dashboard.run.path.name == "old")


async def test_a_click_chooses_a_run(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RunPicker) and len(offered(app)) == 3)
        await pilot.pause()
        await pilot.click(OptionList, offset=(5, 2))
        await until(pilot, lambda: app.dashboard.run.path.name == "old")


@pytest.mark.parametrize("keys", [["escape"], [*"nothing has this name", "enter", "escape"]])
async def test_the_picker_closes_without_a_choice(three, keys):
    app = WatchApp(three[2])
    async with app.run_test(size=(100, 30)) as pilot:
        await chosen(pilot, "c", *keys)
        assert app.dashboard.run == three[2] and app.dashboard.other is None


async def test_another_runs_curves_lie_over_these_and_go_on(three):
    """This one is the finished run, the other one lives."""
    app = WatchApp(three[0])
    async with app.run_test(size=(160, 48)) as pilot:
        await chosen(pilot, "c", *"now", "enter")
        for curve in curves(app):
            assert [line.of for line in curve.lines] == ["", "", "now", "now"]
            assert [len(line.points) for line in curve.lines] == [1, 1, 70, 3]
        await until(pilot, lambda: "85.1 % vs 64.2 %" in screen_text(app))
        text = screen_text(app)
        assert "╌╌ now  running  best 85.1 % vs 64.2 %" in text  # above the curves
        assert "now  ╌╌ train" in text and "·○· val 1.039" in text  # below them
        table = app.dashboard.query_one(Versus).query_one(Static).render().plain
        assert "old is ahead by 20.9 points of top-1" in table and "schedule.lr" in table and "0.05" in table
        append(three[2], step_at(150, START, loss=1.2345))
        await until(pilot, lambda: "╌╌ train 1.234" in screen_text(app))


async def test_a_comparison_ends_where_it_began(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await chosen(pilot, "c", *"old", "enter")
        await until(pilot, lambda: "best 64.2 % vs 85.1 %" in screen_text(app))
        assert app.dashboard.query_one(Tabs).active == "tab-versus"
        await chosen(pilot, "c", "pageup", "pagedown", "enter")  # the last of the list
        assert app.dashboard.other is None and [len(curve.lines) for curve in curves(app)] == [2, 2]
        await until(pilot, lambda: " vs " not in screen_text(app))


async def test_the_compared_recipe_may_be_damaged(three):
    three[0].recipe.write_text("[schedule\n")
    os.utime(three[0].recipe, (BEGIN - 5, BEGIN - 5))
    app = WatchApp(three[2])
    async with app.run_test(size=(160, 48)) as pilot:
        await chosen(pilot, "c", *"old", "enter")
        said = app.dashboard.query_one(Versus).query_one(Static)
        await until(pilot, lambda: f"{three[0].recipe}:1" in said.render().plain)
        assert len(curves(app)[0].lines[2].points) == 1


async def test_a_run_alone_has_nothing_to_compare_with(tmp_path):
    run = make_run(tmp_path / "alone" / "run", history(140, START))
    app = WatchApp(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: bool(notifications(app)))
        assert notifications(app)[0].startswith("There is no other run beside this one, in ")
        await pilot.press("b")
        await until(pilot, lambda: "This is the first run here." in notifications(app))


async def test_another_run_is_looked_at_in_the_same_way(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(120, 40)) as pilot:
        await chosen(pilot, "c", *"old", "enter")
        await pilot.press("tab", "l", "m", "z")
        await chosen(pilot, "r", *"broken", "enter")
        await until(pilot, lambda: app.dashboard.run == three[1])
        await pilot.pause()
        loss, accuracy = curves(app)
        assert (loss.log_y, loss.smooth, accuracy.smooth) == (True, True, True)
        assert visible(app) == {"accuracy"} and app.focused is accuracy
        assert app.dashboard.other is not None and app.dashboard.other.folder == three[0]
        assert len(app.screen_stack) == 2  # the app's own, and one dashboard


async def test_b_and_n_go_from_run_to_run(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: "This is the latest run here." in notifications(app))
        for run in (three[1], three[0]):
            await pilot.press("b")
            await until(pilot, lambda run=run: app.dashboard.run == run)
            await pilot.pause()
        await pilot.press("n")
        await until(pilot, lambda: app.dashboard.run == three[1])
        await pilot.pause()
        await pilot.press("q")
    assert app.return_value == three[1]  # what the farewell is about


async def test_going_to_the_run_that_one_compares_with_ends_the_comparison(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await chosen(pilot, "c", *"old", "enter")
        await chosen(pilot, "r", *"old", "enter")
        await until(pilot, lambda: app.dashboard.run == three[0])
        await pilot.pause()
        assert app.dashboard.other is None


async def test_keys_go_to_the_text_of_the_picker_and_not_beneath(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c", "p", "s", "q")
        await until(pilot, lambda: isinstance(app.screen, RunPicker))
        assert app.screen.query_one(Input).value == "psq"
        assert not three[2].control.exists()


async def test_a_terminal_made_tiny_and_large_again_shows_what_it_did(three):
    app = WatchApp(three[0])
    async with app.run_test(size=(120, 40)) as pilot:
        await chosen(pilot, "c", *"now", "enter")
        await pilot.press("left")
        await until(pilot, lambda: "ahead by" in screen_text(app))
        before = screen_text(app)
        for size in ((40, 10), (12, 4), (80, 24), (40, 10), (200, 60), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.1)
            assert "finished" in screen_text(app) or size[0] < 40
        await until(pilot, lambda: screen_text(app) == before)


# --- the mouse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("panel", "how"), [("accuracy", "title"), ("numbers", "twice")])
async def test_a_click_on_a_title_or_a_double_click_zooms(three, panel, how):
    app = WatchApp(three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = visible(app)
        place = {"offset": (4, 0)} if how == "title" else {"offset": (10, 3), "times": 2}
        await pilot.click(f"#{panel}", **place)
        await pilot.pause()
        assert visible(app) == {panel}
        await pilot.pause(0.6)  # what comes sooner belongs to the same double click
        await pilot.click(f"#{panel}", **place)
        await pilot.pause()
        assert visible(app) == before


async def test_a_click_on_a_curve_reads_both_at_that_epoch(three):
    app = WatchApp(three[2])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await pilot.click("#loss", offset=(20, 4))
        await pilot.pause()
        loss, accuracy = curves(app)
        assert loss.cursor is not None and loss.cursor == accuracy.cursor
        assert screen_text(app).count(f"epoch {loss.cursor:.2f}") == 2
        await pilot.press("escape")
        assert loss.cursor is None and accuracy.cursor is None


def test_runs_of_this_folder_are_beside_each_other(three, monkeypatch):
    """Also for `ftwiz watch .`"""
    from engine.run_folder import runs_beside

    assert runs_beside(three[0]) == three
    monkeypatch.chdir(three[1].path)
    assert [run.path.name for run in runs_beside(RunFolder(Path(".")))] == ["old", "broken", "now"]
