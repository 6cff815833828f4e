"""Which theme a screen begins with, and what the menu offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.app import WizardApp


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        ({}, "ftwiz-dark"),
        ({"COLORFGBG": "0;15"}, "ftwiz-light"),
        ({"COLORFGBG": "15;default;0"}, "ftwiz-dark"),
        ({"TEXTUAL_THEME": "ftwiz-light"}, "ftwiz-light"),
        ({"TEXTUAL_THEME": "of another program"}, "ftwiz-dark"),
        ({"TEXTUAL_THEME": "ftwiz-light", "NO_COLOR": "1"}, "ansi-dark"),
    ],
)
async def test_the_theme_fits_the_terminal(
    environment: dict[str, str], theme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert pilot.app.theme == theme
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Theme", "Keys", "Start afresh"} <= titles and "Maximize" not in titles
