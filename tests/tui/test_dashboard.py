"""The dashboard: each key, each state, and what is on screen."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Footer, Static, Tabs
from textual.widgets._footer import FooterKey

from engine.events import (
    CheckpointSaved,
    Event,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunInterrupted,
    StepBlock,
    ValidationStarted,
    WentBack,
    to_line,
)
from engine.run_folder import RunFolder
from tests.runs import (
    BEGIN,
    append,
    claimed_by_a_process,
    history,
    left_by_a_process,
    make_run,
    started,
    step_at,
    validation_at,
)
from wizard.dashboard import PANELS, DashboardScreen, WatchApp, farewell
from wizard.followed import SLICE_BYTES
from wizard.run_words import describe
from wizard.widgets.curve import Curve
from wizard.words import moment

START = started()


@pytest.fixture
def live(tmp_path: Path) -> RunFolder:
    """A run in its fourth epoch, whose process lives: it is this one."""
    run = make_run(tmp_path / "tsn-ucf101-1", history(140, START), log="engine line 1\nengine line 2\n")
    run.claim()
    return run


def ended_run(folder: Path, end: Event | None) -> RunFolder:
    """A run whose process is gone, with the end it logged, or without one."""
    run = make_run(folder / "tsn-ucf101-1", history(140, START))
    left_by_a_process(run)
    if end is not None:
        append(run, end)
    return run


def screen_text(app: WatchApp) -> str:
    strips = app.screen._compositor.render_strips(app.screen.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def until(pilot: Pilot, holds: Callable[[], bool]) -> None:
    """Wait until something the dashboard does by itself has happened."""
    for _ in range(300):
        if holds():
            return
        await pilot.pause(0.05)
    raise AssertionError(f"never came:\n{screen_text(pilot.app)}")


def visible(app: WatchApp) -> set[str]:
    """The panels that have a place on screen."""
    panels = {name: app.dashboard.query_one(f"#{name}") for name in PANELS}
    return {name for name, panel in panels.items() if panel.is_on_screen and panel.region.area}


def notifications(app: WatchApp) -> list[str]:
    return [notification.message for notification in app._notifications]


# --- what it shows ----------------------------------------------------------------------------------------------------


async def test_it_shows_where_the_run_stands(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "▶ running" in text and "tsn-ucf101-1" in text
        assert "epoch 4/8" in text and "step 140/320" in text and "43 %" in text and "ETA 3 min 0 s" in text
        assert "val 64.2 %" in text
        assert "152 clips/s" in text and "3.1 GiB" in text and "0.0003125" in text and "12 % of the time" in text
        assert "chance 16.7 %" in text


async def test_new_events_appear_by_themselves(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        append(live, step_at(150, START, loss=0.777))
        await until(pilot, lambda: "step 150/320" in screen_text(app))
        await until(pilot, lambda: "train 0.7770" in screen_text(app))
        append(live, ValidationStarted(BEGIN + 160, 4, 80))
        await until(pilot, lambda: "validating" in screen_text(app))


async def test_a_line_still_being_written_waits_for_its_end(live):
    line = to_line(step_at(160, START)) + "\n"
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        with open(live.events, "a", encoding="utf-8") as log:
            log.write(line[:40])
            log.flush()
            await pilot.pause(0.3)
            assert "step 140/320" in screen_text(app)
            log.write(line[40:])
        await until(pilot, lambda: "step 160/320" in screen_text(app))


async def test_a_resumed_run_takes_back_what_was_undone(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        again = started(first_step=80, t=BEGIN + 1000)
        append(live, again, step_at(90, again))
        await until(pilot, lambda: "step 90/320" in screen_text(app))
        loss = app.dashboard.query_one("#loss", Curve)
        assert [line.points.xs[-1] for line in loss.lines] == [90 / 40, 80 / 40]
        await until(pilot, lambda: "goes on after step 80" in screen_text(app))


async def test_a_retry_takes_back_what_was_undone_and_is_told(live):
    app = WatchApp(live)
    async with app.run_test(size=(160, 30)) as pilot:
        why = "the loss is nan at step 141 (clips: a.mp4)"
        back = WentBack(BEGIN + 150, 80, 3, "checkpoints/last.pt", 0.00015625, "lr 0.005 × 8/256", why, 1, 2)
        append(live, back, step_at(90, START))
        await until(pilot, lambda: "step 90/320" in screen_text(app))
        loss = app.dashboard.query_one("#loss", Curve)
        assert [line.points.xs[-1] for line in loss.lines] == [90 / 40, 80 / 40]
        await until(pilot, lambda: "! the loss is nan at step 141" in screen_text(app))


async def test_a_loss_that_is_not_a_number_is_shown_as_such(live):
    append(live, step_at(142, START, loss=math.nan))
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "train –" in screen_text(app)


async def test_everything_is_on_a_large_screen_at_once(live):
    app = WatchApp(live)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert visible(app) == set(PANELS) - {"versus"}  # until there is something to compare with
        text = screen_text(app)
        assert "12× 打篮球 → archery" in text and "4× a class with" in text
        assert "打篮球 " in text and " 25.0 %" in text and "no clip" in text
        assert "[b]old[/b] dance" in text
        assert "engine line 2" in text
        assert "saved last.pt, best.pt at step 120" in text


@pytest.mark.slow
async def test_events_and_warnings_are_listed(live):
    app = WatchApp(live)
    async with app.run_test(size=(110, 30)) as pilot:
        await pilot.press("tab", "tab", "tab", "z")
        await pilot.pause()
        text = screen_text(app)
        assert "0:00:00 · weights from tsn-r50-kinetics400.pth" in text
        assert "0:00:50 ! warning: 12 clips are shorter" in text
        assert "! left out videos/打篮球/v_07.avi: moov atom not found" in text
        assert "0:02:00 ★ epoch 3/8: validation top-1 64.2 % (chance 16.7 %)" in text


async def test_clips_of_several_classes_are_measured_by_their_own_metric(tmp_path):
    """The curve, the headline, the classes and the words are those of average precision; nothing is confused."""
    run = replace(START, key_metric="sample_map")
    done = replace(
        validation_at(120, run), sample_map=0.61, mean_average_precision=0.394, mean_class_accuracy=math.nan,
        confused=[], key_metric="sample_map",
    )  # fmt: skip
    end = RunFinished(BEGIN + 130, math.nan, 3, 130.0, best_sample_map=0.61, key_metric="sample_map")
    app = WatchApp(make_run(tmp_path / "run", [run, step_at(100, run), step_at(120, run), done, end]))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "★ epoch 3/8: validation mAP" in text  # the rest goes on in the next line
        others = "mAP 61.0 %, class mAP 39.4 %, top-1 hit 64.2 %, top-5 hit 74.2 %, loss 1.039, the best so far"
        assert describe(done).endswith(others)
        assert "61.0 % mAP in epoch 3" in text and "epoch 3: average precision, mean 39.4 %" in text
        assert "best mAP 61.0 % in epoch 3" in text and "class mean" not in text and "mistaken" not in text
        accuracy = app.dashboard.query_one("#accuracy", Curve)
        assert accuracy.lines[1].points.value(0) == 0.61 and accuracy.title == "mAP"
        assert "─ mAP " in text and "Accuracy" not in text


@pytest.mark.slow
async def test_the_newest_event_stays_in_view_until_one_scrolls_up(live):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        for step in (200, 201, 202):
            append(live, CheckpointSaved(BEGIN + step, f"checkpoints/epoch-{step}.pt", step, 5))
            await until(pilot, lambda step=step: f"saved epoch-{step}.pt" in screen_text(app))
        await pilot.press("tab", "tab", "tab", "home")
        append(live, CheckpointSaved(BEGIN + 300, "checkpoints/epoch-300.pt", 300, 8))
        await until(pilot, lambda: "0:00:00" in screen_text(app))
        await pilot.pause(0.5)
        assert "saved epoch-300.pt" not in screen_text(app)


async def test_the_log_is_followed_and_freed_of_escape_codes(live):
    app = WatchApp(live)
    async with app.run_test(size=(160, 48)) as pilot:
        with open(live.log, "a", encoding="utf-8") as log:
            log.write("\x1b[31mred words\x1b[0m\n 10%|#  |\r100%|###| done\n")
        await until(pilot, lambda: "100%|###| done" in screen_text(app))
        text = screen_text(app)
        assert "red words" in text and "\x1b" not in text and "10%|#  |" not in text


async def test_a_long_log_is_taken_in_slices_until_all_is_there(tmp_path):
    long = started(epochs=1000, steps_per_epoch=40)
    run = make_run(tmp_path / "long", [long, *(step_at(step, long) for step in range(1, 8001))])
    assert run.events.stat().st_size > 4 * SLICE_BYTES
    app = WatchApp(run)
    reader, slices = app.dashboard.followed.reader, []
    read = reader.read_blocks
    reader.read_blocks = lambda *how, **more: slices.append(read(*how, **more)) or slices[-1]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "step 8,000/40,000" in screen_text(app))
        assert len(app.dashboard.query_one("#loss", Curve).lines[0].points) == 8000
    assert max(len(found) for found in chain(*slices) if isinstance(found, StepBlock)) < 8000 / 4
    assert len(app.dashboard.state.steps) == 1  # the curves have them all; a second copy would cost memory


# --- states -----------------------------------------------------------------------------------------------------------


async def state_of(run: RunFolder, size: tuple[int, int] = (100, 30)) -> str:
    app = WatchApp(run)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        return screen_text(app)


async def test_starting(tmp_path):
    text = await state_of(make_run(tmp_path / "run"))
    assert "○ starting" in text and "waiting for the first step" in text


async def test_paused_and_resumed(live):
    append(live, Paused(BEGIN + 141, 140))
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "‖ paused" in screen_text(app))
        append(live, Resumed(BEGIN + 200, 140))
        await until(pilot, lambda: "▶ running" in screen_text(app))


async def test_finished(tmp_path):
    text = await state_of(ended_run(tmp_path, RunFinished(BEGIN + 4325, 0.81, 3, 4325.0)))
    assert "✓ finished" in text and "100 %" in text and "took 1 h 12 min" in text
    assert "Finished after 1 h 12 min, best top-1 81.0 % in epoch 3." in text


async def test_stopped_early_can_go_on(tmp_path):
    run = ended_run(tmp_path, RunFinished(BEGIN + 60, 0.81, 3, 60.0, stopped_early=True))
    (run.checkpoints / "last.pt").touch()
    text = await state_of(run, (160, 48))
    assert "■ stopped" in text and "Stopped as asked" in text and "ftwiz run --resume --run-dir" in text
    assert "43 %" in text and "100 %" not in text.splitlines()[1]


async def test_interrupted(tmp_path):
    run = ended_run(tmp_path, RunInterrupted(BEGIN + 141, "SIGINT", "checkpoints/last.pt", 140))
    (run.checkpoints / "last.pt").touch()
    text = await state_of(run, (160, 48))
    assert "■ interrupted" in text and "Interrupted by SIGINT at step 140; checkpoints/last.pt is saved." in text
    assert f"ftwiz run --resume --run-dir {run.path}"[:60] in text


async def test_failed_says_the_error_and_where_the_rest_is(tmp_path):
    error = "The loss is not finite at step 140. Lower schedule.lr [or] clip the gradients."
    text = await state_of(ended_run(tmp_path, RunFailed(BEGIN + 141, error, 1)))
    assert "✗ failed" in text and error in text and "Exit code 1" in text and "log.txt" in text


async def test_a_process_killed_with_sigkill_is_a_crash(tmp_path):
    run = make_run(tmp_path / "run", history(140, START))
    (run.checkpoints / "last.pt").touch()
    process = claimed_by_a_process(run)
    app = WatchApp(run)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: "▶ running" in screen_text(app))
        process.kill()
        process.wait()
        await until(pilot, lambda: "† crashed" in screen_text(app))
        await until(pilot, lambda: "The training process is gone without a word" in screen_text(app))
        assert "Go on from its last checkpoint: ftwiz run --resume --run-dir" in screen_text(app)


async def test_a_crash_without_a_checkpoint_says_to_start_anew(tmp_path):
    text = await state_of(ended_run(tmp_path, None), (160, 48))
    assert "† crashed" in text and "It left no checkpoint; start it anew: ftwiz run" in text


@pytest.mark.slow
async def test_a_process_that_lives_and_says_nothing_is_stalled(live):
    """What is wrong, since when, and what to try; the next word of the run ends it."""
    (live.checkpoints / "last.pt").touch()
    clock = [BEGIN + 140 + 119]
    app = WatchApp(live, lambda: clock[0])
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: "▶ running" in screen_text(app))
        clock[0] += 20  # less than what would count as a sleep of this machine
        await until(pilot, lambda: "! stalled" in screen_text(app))
        await until(pilot, lambda: f"Nothing came since {moment(BEGIN + 140)}" in screen_text(app))
        text = screen_text(app)
        assert "silent for 2 min 19 s" in text
        assert "the next steps usually take 2 s" in text and f"Process {os.getpid()} lives" in text
        assert f"kill -9 {os.getpid()}, then ftwiz run --resume --run-dir" in text
        await pilot.press("p")
        assert live.take_word() == "pause"
        append(live, replace(step_at(150, START), t=clock[0]))
        await until(pilot, lambda: "▶ running" in screen_text(app))
        await until(pilot, lambda: "Nothing came" not in screen_text(app))


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_every_key_is_in_the_footer_and_in_the_help(live, size):
    app = WatchApp(live)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        keys = {key.key: key for key in app.screen.query_one(Footer).query(FooterKey)}
        bindings = [binding for binding in DashboardScreen.BINDINGS if binding.show]
        for binding in bindings:
            footer = keys[binding.key.partition(",")[0]]
            assert footer.description == binding.description
            assert footer.region.right <= size[0]
        await pilot.press("question_mark")
        help_text = "\n".join(static.render().plain for static in app.screen.query(Static))
        for binding in bindings:
            assert binding.tooltip in help_text
        assert "Read values along a curve" in help_text
        await pilot.press("escape")
        assert isinstance(app.screen, DashboardScreen)


async def test_q_leaves_and_the_run_goes_on(live):
    app = WatchApp(live)
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert not app.is_running
    assert live.is_alive() and not live.control.exists()
    assert "The run goes on. Come back with: ftwiz watch" in farewell(live)


@pytest.mark.slow
async def test_p_pauses_and_lets_go_on(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("p")
        assert live.control.read_text() == "pause"
        await until(pilot, lambda: "asked: pause" in screen_text(app))
        await pilot.press("p")  # before the engine heard it: take it back
        assert live.take_word() == "resume"
        await pilot.press("p")
        assert live.take_word() == "pause"
        append(live, Paused(BEGIN + 141, 140))
        await until(pilot, lambda: "‖ paused" in screen_text(app))
        assert "asked:" not in screen_text(app)
        await pilot.press("p")
        assert live.take_word() == "resume"


async def test_w_asks_for_a_checkpoint_and_tells_when_it_is_there(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("w")
        assert live.take_word() == "checkpoint"
        append(live, CheckpointSaved(BEGIN + 142, "checkpoints/last.pt", 142, 4))
        await until(pilot, lambda: "Saved checkpoints/last.pt, step 142." in notifications(app))


@pytest.mark.slow
@pytest.mark.parametrize("answer", [["n"], ["escape"], ["enter"]])
async def test_s_asks_and_no_is_the_safe_answer(live, answer):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        await until(pilot, lambda: "Stop this run?" in screen_text(app))
        assert "ftwiz run --resume --run-dir" in screen_text(app)
        await pilot.press(*answer)
        await pilot.pause()
        assert isinstance(app.screen, DashboardScreen) and not live.control.exists()


@pytest.mark.parametrize("answer", [["y"], ["right", "enter"]])
async def test_s_stops_after_a_yes(live, answer):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        await until(pilot, lambda: "Stop this run?" in screen_text(app))
        await pilot.press(*answer)
        await until(pilot, lambda: live.control.exists())
        assert live.take_word() == "stop"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "deed", "end"),
    [
        ("p", "pause", RunFinished(BEGIN, 0.8, 3, 150.0)),
        ("w", "save", RunFailed(BEGIN, "No memory.", 5)),
        ("s", "stop", None),
    ],
)
async def test_words_to_a_run_that_is_over_are_refused_with_a_reason(tmp_path, key, deed, end):
    run = ended_run(tmp_path, end)
    app = WatchApp(run)
    async with app.run_test() as pilot:
        await pilot.press(key)
        await until(pilot, lambda: bool(notifications(app)))
        assert notifications(app)[0].endswith(f"there is nothing to {deed}.")
        assert not run.control.exists() and isinstance(app.screen, DashboardScreen)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["z", "enter"])
async def test_z_shows_one_panel_alone_and_back(live, key):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert visible(app) == {"loss", "accuracy", "numbers", "events"}
        await pilot.press(key)
        assert visible(app) == {"loss"}
        assert app.dashboard.query_one("#loss").size.width > 70
        await pilot.press("tab")
        assert visible(app) == {"accuracy"}
        await pilot.press(key)
        assert visible(app) == {"loss", "accuracy", "numbers", "events"}


@pytest.mark.slow
async def test_tab_walks_all_panels_and_brings_them_out(live):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        walked = []
        for _ in PANELS:
            walked.append(app.focused.id)
            assert walked[-1] in visible(app)
            await pilot.press("tab")
            await pilot.pause()
        assert walked == list(PANELS) and app.focused.id == "loss"
        await pilot.press("shift+tab")
        assert app.focused.id == "versus" and "c chooses a run to compare" in screen_text(app)
        await pilot.press("shift+tab")
        assert app.focused.id == "log" and "engine line 2" in screen_text(app)


async def test_a_click_on_a_tab_shows_its_panel(live):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("#tab-classes")
        await pilot.pause()
        assert "classes" in visible(app) and "events" not in visible(app)
        assert app.dashboard.query_one(Tabs).active == "tab-classes"


async def test_l_and_m_change_the_curves(live):
    app = WatchApp(live)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("l")
        assert "(log)" in screen_text(app)
        await pilot.press("m")
        assert "(log, smooth)" in screen_text(app)
        await pilot.press("l", "m")
        assert "(log" not in screen_text(app)


@pytest.mark.slow
async def test_the_palette_has_the_keys_as_commands(live):
    app = WatchApp(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("ctrl+p", *"checkpoint now")
        await until(pilot, lambda: "Save a checkpoint now" in screen_text(app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: live.control.exists())
        assert live.take_word() == "checkpoint"


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 8), (59, 30), (99, 34), (120, 40), (140, 35), (200, 60)])
async def test_every_size_shows_the_panel_in_hand_and_the_state(live, size):
    app = WatchApp(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(*size)
        await pilot.pause()
        await pilot.pause()
        assert app.focused.id in visible(app)
        assert "running" in screen_text(app)
        assert all(panel.region.right <= size[0] for name in visible(app) for panel in app.dashboard.query(f"#{name}"))
        assert (visible(app) >= set(PANELS) - {"versus"}) == (size[0] >= 140 and size[1] >= 35)


async def test_a_run_folder_that_is_taken_away_is_said_to_be_gone(live: RunFolder) -> None:
    app = WatchApp(live)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.dashboard.state.started is not None)
        live.path.rename(live.path.with_name("elsewhere"))
        await until(pilot, lambda: "is gone" in screen_text(app))
    assert "is gone" in farewell(live)
