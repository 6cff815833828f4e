"""The review by keyboard: what the recipe changes, how long it would train, the command; and pictures of it and of the
schedule."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Button

from engine.recipe import load_recipe
from tests.clips import make_dataset
from tests.engine.test_estimate import everything_in
from tests.engine.test_forecast import MEASURED
from tests.tui.test_wizard import banner, field, found, text_on_screen, type_in, until, wizard, words_on_screen, work
from wizard.app import WizardApp
from wizard.draft import Draft
from wizard.estimate import Estimate
from wizard.recipe_text import leaves_out
from wizard.steps.step import Measured
from wizard.widgets.differences import difference_lines

SIZES = [(80, 24), (140, 40)]
# A model that takes a step in no time, on tiny frames.
SMALL = {
    "model.backbone": "shufflenet_v2_x0_5",
    "model.segments": 2,
    "dataset.short_side": 40,
    "dataset.frame_size": 32,
    "schedule.batch_size": 4,
    "run.workers": 1,
}


__all__ = ["work"]  # the fixture, which is every test's


@pytest.fixture(autouse=True)
def the_same_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wizard.estimate.free_disk", lambda recipe: 512_000_000_000)


async def at_the_review(pilot: Pilot[None]) -> None:
    await found(pilot)
    await wizard(pilot).go_to("review")
    await pilot.pause()


async def was_measured(pilot: Pilot[None]) -> None:
    """As if the process that measures had just said so."""
    screen = wizard(pilot)
    screen._measured_recipe = screen.draft.recipe()
    screen.measured = Measured(estimate=Estimate(screen._measured_recipe, MEASURED))
    screen.show()
    await pilot.pause()


# --- what it changes --------------------------------------------------------------------------------------------------


async def test_d_shows_what_the_recipe_changes_and_where_that_comes_from() -> None:
    app = WizardApp(Path("moves"), overrides={"schedule.momentum": 0.8})
    async with app.run_test(size=(100, 40)) as pilot:
        await found(pilot)
        wizard(pilot).draft.give("schedule.epochs", "7")
        await at_the_review(pilot)
        assert "extends = " in text_on_screen(pilot)
        await pilot.press("d")
        await pilot.pause()
        lines = {line.split()[0]: line for line in text_on_screen(pilot).splitlines() if "→" in line}
        assert "extends = " not in text_on_screen(pilot)
        assert lines["epochs"].split()[1:4] == ["100", "→", "7"] and lines["epochs"].split()[4] == "you"
        assert lines["momentum"].split()[1:4] == ["0.9", "→", "0.8"] and "--set" in lines["momentum"]
        assert "your data: as many as the dataset has" in text_on_screen(pilot)
        assert "inferred: half the preset's 0.01" in text_on_screen(pilot)
        assert "All else is as in tsn-r50-kinetics400." in text_on_screen(pilot)
        await pilot.press("d")
        await pilot.pause()
        assert "extends = " in text_on_screen(pilot)


async def test_where_there_is_room_both_are_shown() -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=(160, 40)) as pilot:
        await at_the_review(pilot)
        assert "extends = " in text_on_screen(pilot) and "100 → 50" in text_on_screen(pilot)


async def test_all_that_the_file_says_is_among_the_differences() -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        draft = wizard(pilot).draft
        said = {line.split(" = ")[0] for line in draft.toml().splitlines() if " = " in line and line[0] != "#"}
        assert {d.key.rpartition(".")[2] for d in draft.differences()} == said - {"extends", "name"}


@pytest.mark.parametrize("width", [42, 60, 76, 120])
def test_differences_keep_to_their_place(width: int) -> None:
    draft = Draft({"data": "moves"})
    draft.look()
    lines = difference_lines(draft.differences(), draft.preset, width).plain.splitlines()
    assert max(map(cell_len, lines)) <= width
    undone = [d for d in draft.differences() if leaves_out(d.key, d.after)]
    assert sum("→" in line for line in lines) == len(draft.differences()) - len(undone)
    assert any(line.startswith("Left out") for line in lines) == bool(undone)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_c_copies_the_command_quoted_for_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(App, "copy_to_clipboard", lambda app, text: copied.append(text))
    app = WizardApp(Path("moves"), Path("my recipe.toml"))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        assert "$ ftwiz run 'my recipe.toml'" in text_on_screen(pilot)
        await pilot.press("c")
        await pilot.pause()
        assert copied == ["ftwiz run 'my recipe.toml'"]
        assert "Copied" in banner(pilot) and "Ctrl+S" in banner(pilot)
        field(pilot, "name").control.focus()
        await pilot.press("end", "c", "d", "m")  # letters, where one types
        await pilot.pause()
        assert wizard(pilot).draft.value("name") == "tsn-movescdm" and len(copied) == 1
    assert not Path("my recipe.toml").exists()


# --- measuring --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_measurement_follows_the_epochs_and_goes_stale_with_the_batch() -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        assert "Not measured yet" in text_on_screen(pilot)
        await was_measured(pilot)
        before = Estimate(wizard(pilot).draft.recipe(), MEASURED).total()
        assert f"50 epochs: {before}" in words_on_screen(pilot)
        assert "checkpoints 100 MB each" in words_on_screen(pilot)
        assert "# Measured on CPU, 2 threads:" in wizard(pilot).draft.toml()
        await wizard(pilot).go_to("schedule")
        field(pilot, "schedule.epochs").control.focus()
        await pilot.press("end", "backspace", "backspace", "5")
        await pilot.pause()
        fewer = Estimate(wizard(pilot).draft.recipe(), MEASURED).total()
        assert fewer != before and f"{fewer}, as measured" in words_on_screen(pilot)
        field(pilot, "schedule.batch_size").control.focus()
        await pilot.press("end", "backspace", "backspace", "8")
        await pilot.pause()
        assert "as measured" not in words_on_screen(pilot)
        await wizard(pilot).go_to("review")
        await pilot.pause()
        assert "no longer holds" in words_on_screen(pilot)
        assert "Measured on" not in wizard(pilot).draft.toml()


@pytest.mark.slow
async def test_m_measures_real_steps_and_leaving_ends_it_without_a_trace(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wizard.estimate.SECONDS", 1.0)
    make_dataset(work / "colours")
    before = everything_in(work)
    app = WizardApp(Path("colours"), overrides=SMALL)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        await pilot.press("m")
        await until_far(pilot, lambda: wizard(pilot).measured.estimate or wizard(pilot).measured.trouble)
        assert not wizard(pilot).measured.trouble
        await pilot.pause()
        assert "an epoch" in words_on_screen(pilot) and "clips/s" in words_on_screen(pilot)
        await pilot.press("m")
        process = wizard(pilot)._measuring._inquiry._process
        await pilot.pause()
        assert wizard(pilot).step.query_one("#measure", Button).label.plain == "Stop"
        assert process.poll() is None
    assert process.poll() is not None
    assert everything_in(work) == before


async def test_a_process_that_ends_without_a_word_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    app = WizardApp(Path("moves"))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        await pilot.press("m")
        await until(pilot, lambda: "ended without a word (exit code 1)" in words_on_screen(pilot))


async def until_far(pilot: Pilot[None], condition: Any) -> None:
    """torch has to be imported, on a machine that does other things too."""
    for _ in range(12):
        try:
            await until(pilot, condition)
            return
        except AssertionError:
            continue
    raise AssertionError("it never happened")


@pytest.mark.slow
async def test_a_saved_recipe_says_what_was_measured_and_loads() -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_the_review(pilot)
        await was_measured(pilot)
        await type_in(pilot, "d")
        await pilot.press("ctrl+s")
        await pilot.pause()
    text = Path("tsn-moves.toml").read_text(encoding="utf-8")
    assert "50 epochs in" in text.splitlines()[2] and load_recipe("tsn-moves.toml").schedule.epochs == 50


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x40"])
def test_the_review_looks_like_this(snap_compare: Any, size: tuple[int, int]) -> None:
    async def measured(pilot: Pilot[None]) -> None:
        await at_the_review(pilot)
        await was_measured(pilot)

    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=measured)


@pytest.mark.slow
def test_the_differences_look_like_this(snap_compare: Any) -> None:
    assert snap_compare(WizardApp(Path("moves")), terminal_size=(80, 24), run_before=at_the_review, press=["d"])


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x40"])
def test_the_schedule_looks_like_this(snap_compare: Any, size: tuple[int, int]) -> None:
    async def at_the_schedule(pilot: Pilot[None]) -> None:
        await found(pilot)
        await wizard(pilot).go_to("schedule")

    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=at_the_schedule)
