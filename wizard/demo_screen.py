"""The demo on a terminal: the dashboard of each run in turn, with a line of the story above it."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from engine.errors import FtwizError
from engine.run_folder import RunFolder
from wizard.dashboard import DashboardScreen
from wizard.demo import Story
from wizard.terminal import StudioApp

LAST_LOOK = 2.0  # seconds that the end of a run stays on the screen
POLL = 0.1


def tell_on_screen(story: Story) -> None:
    """Show the story until its end, or until the reader leaves the screen. Raises KeyboardInterrupt to stop it."""
    if DemoApp(story).run() is None:
        raise KeyboardInterrupt


class DemoDashboard(DashboardScreen):
    """The dashboard of one run of the story."""

    SCOPED_CSS = False  # the rules that are inherited name the class they were written for
    CSS = (
        DashboardScreen.CSS
        + """
    #story { height: auto; max-height: 2; padding: 0 1; color: $accent; text-style: bold; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Leave", tooltip="Leave the screen; the demo goes on in lines"),
    ]

    def __init__(self, run: RunFolder, line: str):
        super().__init__(run)
        self._line = line

    def compose(self) -> ComposeResult:
        yield Static(self._line, id="story", markup=False)
        yield from super().compose()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The story decides which run is on screen."""
        return action not in ("runs", "neighbour")

    def action_leave(self) -> None:
        self.app.exit("left")


class DemoApp(StudioApp[Literal["told", "left"]]):
    """Goes from run to run by itself. Exits with None when the demo is to be stopped: Ctrl-C, Ctrl-Q or a signal."""

    TITLE = "ftwiz demo"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Stop the demo", tooltip="Stop the demo", show=False, priority=True),
    ]

    def __init__(self, story: Story):
        super().__init__()
        self._story = story

    def on_mount(self) -> None:
        self._tell()

    @work
    async def _tell(self) -> None:
        story = self._story
        try:
            while story.go_on():
                await self._show(DemoDashboard(story.run, story.chapter.line))
                while story.engine and story.engine.poll() is None:
                    await asyncio.sleep(POLL)
                await asyncio.sleep(LAST_LOOK)
        except FtwizError:
            # Asked again in plain lines, the story raises the same once more.
            self.exit("left")
        except KeyboardInterrupt:
            self.exit()
        else:
            self.exit("told")

    async def _show(self, dashboard: DemoDashboard) -> None:
        if isinstance(self.screen, DemoDashboard):
            await self.switch_screen(dashboard)
        else:
            await self.push_screen(dashboard)
