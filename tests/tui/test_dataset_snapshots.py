"""Pictures of the first step and of what opens from it: a change of looks is seen in review, not by accident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.test_wizard import found, until, work
from wizard.app import WizardApp
from wizard.widgets.contact_sheet import ClipView

SIZES = pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])

__all__ = ["work"]  # the fixture, which is every test's


async def stop_blinking(pilot: Pilot[None]) -> None:
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    await pilot.pause()


async def is_settled(pilot: Pilot[None]) -> None:
    """The data were looked at; where frames are shown, they have come, here as what is wrong with the videos."""
    await found(pilot)
    await pilot.pause(0.5)
    await until(pilot, lambda: not any(clip.is_waited_for for clip in pilot.app.screen.query(ClipView)))
    await stop_blinking(pilot)


@pytest.mark.slow
@SIZES
def test_nothing_named_yet(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(WizardApp(), terminal_size=size, run_before=stop_blinking)


@pytest.mark.slow
@SIZES
def test_a_folder_that_was_recognised(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=is_settled)


@pytest.mark.slow
@SIZES
def test_the_keys(snap_compare: Any, size: tuple[int, int]) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await is_settled(pilot)
        await pilot.press("f1")
        await pilot.pause(0.3)

    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=ask)
