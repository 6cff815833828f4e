"""What every full-screen part of ftwiz shares: the gate before it, the theme, the sizes, and a clean way out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ReturnType, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from engine.atomic import write_text
from engine.errors import RecipeError
from wizard.state_folder import state_folder

NARROW, WIDE, EXTRA_WIDE = "-narrow", "-wide", "-xwide"
SHORT, TALL = "-short", "-tall"
TERMINAL_PAUSE = 2.0  # seconds between two looks at whether the terminal is still there

DARK = Theme(
    name="ftwiz-dark",
    primary="#5fb3b3",
    secondary="#8aa9f9",
    accent="#f2b872",
    success="#8fc98b",
    warning="#f2b872",
    error="#ef7a85",
    foreground="#d8dee6",
    background="#12161c",
    surface="#181d25",
    panel="#212833",
    dark=True,
)
LIGHT = Theme(
    name="ftwiz-light",
    primary="#1f7a7a",
    secondary="#3f5fc4",
    accent="#a8620e",
    success="#2f7d32",
    warning="#a8620e",
    error="#b3323f",
    foreground="#20262e",
    background="#fbfaf7",
    surface="#f2f0ea",
    panel="#e6e3da",
    dark=False,
)


def require_terminal(instead: str) -> None:
    """Refuse to draw where nothing can be drawn. `instead`: the command to use there, as one would type it.

    Textual itself does not refuse: it would fill a pipe or a log file with escape codes. Under `ftwiz serve` it is a
    browser that draws what goes into the pipe.
    """
    if os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver"):
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RecipeError(f"This needs a terminal, and here is none; use {instead} instead.")
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise RecipeError(
            f"This terminal cannot draw (TERM={os.environ.get('TERM') or 'unset'}); use {instead} instead."
        )


def _theme_file() -> Path:
    return state_folder() / "theme"


def _kept_theme() -> str:
    try:
        return _theme_file().read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


class StudioApp(App[ReturnType]):
    """Base of the wizard and the dashboard."""

    HORIZONTAL_BREAKPOINTS = [(0, NARROW), (100, WIDE), (140, EXTRA_WIDE)]  # noqa: RUF012, as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, SHORT), (35, TALL)]  # noqa: RUF012
    TITLE = "ftwiz"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "command_palette", "Menu", show=False, priority=True, tooltip="Look for a command"),
        Binding("ctrl+z", "suspend_process", "To the shell", show=False, tooltip="To the shell; fg comes back"),
    ]

    def __init__(self) -> None:
        # Textual takes NO_COLOR out of the environment, and greys its colours instead of leaving them to the terminal,
        # unless it draws with the terminal's own.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.set_reactive(App.theme, "textual-dark")  # one that TEXTUAL_THEME names would not count as chosen later on

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = "ansi-dark" if self.no_color else self._fitting_theme()
        self.watch(self, "theme", self._keep_theme, init=False)
        if os.name != "nt" and not self.is_headless:
            # Textual restores the terminal on SIGINT only; on these it would leave the alternate screen behind.
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(name, self.exit)
            self.set_interval(TERMINAL_PAUSE, self._leave_with_the_terminal)

    def _leave_with_the_terminal(self) -> None:
        """It may go without a SIGHUP (nohup, setsid), and Textual would look for keys for ever, with a whole core."""
        import termios  # which Windows lacks

        stdin = sys.__stdin__
        if stdin and "TEXTUAL_DRIVER" not in os.environ:
            try:
                termios.tcgetattr(stdin)
            except termios.error:
                self.exit()

    def _show_keys(self, screen: Screen[Any]) -> None:
        from wizard.widgets.keys import KeysScreen

        self.push_screen(KeysScreen(screen))

    def _fitting_theme(self) -> str:
        """What TEXTUAL_THEME asks for, or else was last chosen in the menu; or the light one where the terminal says in
        COLORFGBG that it is white."""
        for asked in (os.environ.get("TEXTUAL_THEME", ""), _kept_theme()):
            if asked in self.available_themes:
                return asked
        is_light = os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
        return LIGHT.name if is_light else DARK.name

    def _keep_theme(self, theme: str) -> None:
        """Chosen in the menu, it is meant for the next time, too. Where nothing can be written, for this time."""
        with suppress(OSError):
            path = _theme_file()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, theme)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Textual's, but for what means nothing here; and the page of keys that F1 shows."""
        for command in super().get_system_commands(screen):
            if command.title == "Keys":
                yield SystemCommand("Keys", "All keys that work here", partial(self._show_keys, screen))
            elif command.title not in ("Maximize", "Minimize"):
                yield command
