"""Takes the README's pictures from a real demo: `ftwiz demo && python docs/pictures.py ftwiz-demo [PICTURE …]`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App

from engine.run_folder import find_runs
from wizard.app import WizardApp
from wizard.dashboard import WatchApp
from wizard.widgets.contact_sheet import ClipView

HERE = Path(__file__).parent
SIZE = (120, 36)


async def photograph(
    app: App, name: str, *keys: str, ready: Callable[[], Any] = lambda: True, size: tuple[int, int] = SIZE
) -> None:
    """ready: what is waited for after the last key."""
    if name not in (sys.argv[2:] or [name]):
        return
    async with app.run_test(size=size) as pilot:
        await pilot.pause(2.0)  # the videos are counted, the log is read
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        while not ready():
            await pilot.pause(0.5)
        app.save_screenshot(f"{name}.svg", str(HERE))


def all_drawn(app: App) -> bool:
    """Whether every clip of a contact sheet has come."""
    return not any(clip.is_waited_for for clip in app.screen.query(ClipView))


async def main(demo: Path) -> None:
    os.chdir(demo)  # the pictures show short paths
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()  # no draft of yours
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}  # frames in colour, wherever this runs
    runs = [run for run in find_runs(Path("runs")) if run.path.name.startswith("fine-tune")]
    videos = Path("videos/motions")
    await photograph(WizardApp(videos), "wizard")
    app = WizardApp(videos)
    await photograph(app, "wizard-frames", "f2", ready=partial(all_drawn, app), size=(140, 36))
    await photograph(WizardApp(videos), "wizard-head", "ctrl+n")
    await photograph(WizardApp(videos), "wizard-weights", "ctrl+n", "ctrl+n")
    await photograph(WizardApp(videos), "wizard-schedule", "ctrl+n", "ctrl+n", "ctrl+n")
    steps = ["ctrl+n"] * 4
    app = WizardApp(videos)
    await photograph(app, "wizard-review", *steps, "m", ready=lambda: app.wizard.measured.estimate)
    await photograph(WizardApp(videos), "wizard-differences", *steps, "d")
    await photograph(WatchApp(runs[-1]), "dashboard")
    await photograph(WatchApp(runs[-1]), "dashboard-compare", "c", *"scratch", "enter", "m")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "ftwiz-demo").resolve()))
