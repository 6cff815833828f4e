"""The weights step by keyboard and mouse: searching, sorting, hints, and the load report of a real file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.clips import CLASSES, make_dataset
from tests.engine.weights.file_server import Site, serve
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import recipe_for, saved, trained
from tests.tui.test_wizard import SMALL, field, found, text_on_screen, type_in, until, wizard, words_on_screen, work
from wizard.app import WizardApp
from wizard.starts import OWN, SCRATCH
from wizard.steps.weights import WeightsStep
from wizard.widgets.family import Family
from wizard.widgets.offer_table import BEST, OfferTable
from wizard.widgets.reuse_desk import ReuseDesk

WIDE = (140, 40)
TINY = {"model.backbone": "resnet10_slim", "model.segments": 2, "model.recognizer": "tsm"}

__all__ = ["work"]  # the fixture, which is every test's


async def at_weights(pilot: Pilot[None]) -> WeightsStep:
    await found(pilot)
    await wizard(pilot).go_to("weights")
    step = wizard(pilot).step
    assert isinstance(step, WeightsStep)
    await until(pilot, lambda: step.machine.has_no_gpu)
    await pilot.pause()
    return step


def table(pilot: Pilot[None]) -> OfferTable:
    return wizard(pilot).step.query_one(OfferTable)


def rows(pilot: Pilot[None]) -> list[str]:
    return [offer.preset for offer in table(pilot).rows_shown]


def start(pilot: Pilot[None]) -> Any:
    return wizard(pilot).draft.value("start")


# --- finding a network ------------------------------------------------------------------------------------------------


async def test_typing_searches_and_enter_takes_the_row(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await at_weights(pilot)
        everything = rows(pilot)
        await type_in(pilot, "slowf")
        assert wizard(pilot).step.query_one("#search", Input).has_focus
        assert set(rows(pilot)) < set(everything) and all("slowfast" in name for name in rows(pilot))
        assert start(pilot) == "tsn-r50-kinetics400"  # nothing is chosen by typing
        assert f"{len(rows(pilot))} of {len(everything)}" in text_on_screen(pilot)
        await pilot.press("enter")
        assert start(pilot) == rows(pilot)[0]
        assert table(pilot).has_focus and wizard(pilot).here == "weights"
        await pilot.press("escape")
        assert rows(pilot) == everything and wizard(pilot).here == "weights"
        await pilot.press("enter")
        assert wizard(pilot).here == "schedule"
        await pilot.press("escape", "escape")
        assert wizard(pilot).here == "head"


@pytest.mark.slow
async def test_a_search_that_finds_nothing_is_left_by_escape(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await at_weights(pilot)
        await pilot.press("slash")
        await type_in(pilot, "nothing of that name")
        assert rows(pilot) == [] and "none, Esc: all" in text_on_screen(pilot)
        await pilot.press("enter")
        assert start(pilot) == "tsn-r50-kinetics400"
        await pilot.press("escape")
        assert rows(pilot) and table(pilot).has_focus


@pytest.mark.slow
async def test_rows_are_sorted_by_key_and_by_a_click_on_the_header(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await at_weights(pilot)
        best = rows(pilot)
        await pilot.press("greater_than_sign")
        names = [offer.name.casefold() for offer in table(pilot).rows_shown]
        assert names == sorted(names)
        await pilot.press("greater_than_sign", "greater_than_sign")
        accuracies = [offer.top1 or 0 for offer in table(pilot).rows_shown]
        assert accuracies == sorted(accuracies, reverse=True)
        assert "by top-1" in text_on_screen(pilot)
        assert start(pilot) == "tsn-r50-kinetics400" == table(pilot).under_cursor.preset  # type: ignore[union-attr]
        await pilot.press("less_than_sign", "less_than_sign", "less_than_sign")
        assert rows(pilot) == best and table(pilot).column == BEST
        heading = text_on_screen(pilot).splitlines()[5].index("Size")
        await pilot.click(OfferTable, offset=(heading, 0))
        sizes = [offer.size_mb or 0 for offer in table(pilot).rows_shown]
        assert sizes == sorted(sizes)


@pytest.mark.slow
async def test_one_family_is_shown_by_arrows_or_a_click(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await at_weights(pilot)
        everything = rows(pilot)
        await pilot.press("right")
        family = {offer.family for offer in table(pilot).rows_shown}
        assert len(family) == 1 and f"◂ {family.pop()} ▸" in text_on_screen(pilot)
        await pilot.press("left")
        assert rows(pilot) == everything
        await pilot.click(Family, offset=(1, 0))
        assert set(rows(pilot)) < set(everything)


@pytest.mark.slow
async def test_a_row_is_taken_by_a_click_and_columns_leave_when_there_is_no_room(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=WIDE) as pilot:
        await at_weights(pilot)
        second = rows(pilot)[1]
        await pilot.click(OfferTable, offset=(8, 2))
        await until(pilot, lambda: start(pilot) == second)
        assert {"Frames", "Size", "GFLOPs"} <= set(text_on_screen(pilot).split())
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert "GFLOPs" not in text_on_screen(pilot) and start(pilot) == second
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert {"Frames", "Size", "GFLOPs"} <= set(text_on_screen(pilot).split())


@pytest.mark.slow
async def test_the_palette_knows_the_step(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await at_weights(pilot)
        await pilot.press("ctrl+p")
        await type_in(pilot, "start from nothing")
        await until(pilot, lambda: "Start from nothing" in text_on_screen(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: start(pilot) == SCRATCH)


# --- hints ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_hint_is_followed_by_a_key_and_by_a_click(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=WIDE) as pilot:
        await at_weights(pilot)
        assert "Take frames of 112" in text_on_screen(pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: wizard(pilot).draft.recipe().dataset.frame_size == 112)
        lines = text_on_screen(pilot).splitlines()
        (y,) = [y for y, line in enumerate(lines) if "Back to the preset's size" in line]
        await pilot.click(offset=(lines[y].index("Back to") + 2, y))
        await until(pilot, lambda: wizard(pilot).draft.recipe().dataset.frame_size == 224)


# --- what is reused ---------------------------------------------------------------------------------------------------


def checkpoint(path: Path, classes: int = 400, **recipe: Any) -> Path:
    """As MMAction2 would have written it."""
    saved({"state_dict": mmaction_state(trained(recipe_for(classes, **recipe)))}, path)
    return path


async def patiently(pilot: Pilot[None], state: str) -> None:
    """Torch is imported in a process of its own, on a machine that may be busy."""
    for _ in range(2400):
        await pilot.pause(0.05)
        if wizard(pilot).draft.reuse.state == state:
            await pilot.pause()
            return
    raise AssertionError(f"{wizard(pilot).draft.reuse} instead of {state}")


@pytest.mark.slow
async def test_what_is_reused_of_a_file_is_shown_and_what_is_refused_marks_the_step(work: Path) -> None:
    data = make_dataset(work / "gefilmte Übungen 動作").name
    checkpoint(work / "my weights.pth")
    checkpoint(work / "other.pth", backbone="resnet18")
    app = WizardApp(Path(data), overrides=TINY | {"weights.load_from": "my weights.pth"}, checks=True)
    async with app.run_test(size=WIDE) as pilot:
        await at_weights(pilot)
        await patiently(pilot, "known")
        text = words_on_screen(pilot)
        assert "✓ Kept 72 of 74 tensors, all of the backbone." in text
        assert f"New: the last layer, 400 → {len(CLASSES)} (expected: the class count differs)." in text
        source = field(pilot, "source").control
        assert isinstance(source, Input)
        source.focus()
        source.value = "other.pth"
        await patiently(pilot, "refused")
        assert "✗ other.pth: backbone." in words_on_screen(pilot) and "▸ Weights ✗" in text_on_screen(pilot)
        await pilot.press("ctrl+n")
        assert wizard(pilot).here == "weights"
        source.value = "my weights.pth"
        await patiently(pilot, "known")  # as it was answered before
        checkpoint(work / "third.pth")
        source.value = "third.pth"
        desk = wizard(pilot).query_one(ReuseDesk)
        before = desk._inquiry
        await until(pilot, lambda: desk._inquiry is not before and desk._inquiry)
        process = desk._inquiry._process  # type: ignore[union-attr]
        assert process.poll() is None
    assert process.wait(timeout=20) != 0  # ended with the wizard


@pytest.mark.slow
async def test_a_download_begins_by_a_key_only_and_one_that_fails_holds_nobody_up(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    make_dataset(work / "filmed")
    content = checkpoint(work / "elsewhere.pth").read_bytes()
    with serve(Site(content, files={})) as site:
        overrides = TINY | {"weights.load_from": f"{site.address}/tsm.pth"}
        async with WizardApp(Path("filmed"), overrides=overrides, checks=True).run_test(size=SMALL) as pilot:
            await at_weights(pilot)
            await patiently(pilot, "away")
            await pilot.pause(1.0)
            assert not site.asked and "^g does it now" in words_on_screen(pilot)
            await pilot.press("ctrl+g")
            assert wizard(pilot).draft.reuse.state == "fetching"
            await patiently(pilot, "failed")
            assert "404" in words_on_screen(pilot)
            await pilot.press("ctrl+n", "escape")
            assert start(pilot) == OWN and wizard(pilot).here == "weights"
            site.files = {"/tsm.pth": content}
            await pilot.press("ctrl+g")
            await patiently(pilot, "known")
            assert site.asked and "Kept 72 of 74 tensors" in words_on_screen(pilot)
