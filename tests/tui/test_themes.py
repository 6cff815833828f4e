"""Which theme a screen begins with, and what the menu offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.app import WizardApp


@pytest.mark.slow
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
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert pilot.app.theme == theme
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Theme", "Keys", "Start afresh"} <= titles and "Maximize" not in titles


@pytest.mark.slow
async def test_a_theme_chosen_in_the_menu_is_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+p", *"theme", "enter")
        await pilot.press(*"nord", "enter")
        await pilot.pause()
        assert pilot.app.theme == "nord"
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        assert pilot.app.theme == "nord"
    monkeypatch.setenv("TEXTUAL_THEME", "ftwiz-light")
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        assert pilot.app.theme == "ftwiz-light"
    monkeypatch.delenv("TEXTUAL_THEME")
    (tmp_path / "state" / "ftwiz" / "theme").write_bytes(b"\xff no theme")
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        assert pilot.app.theme == "ftwiz-dark"


async def test_a_theme_is_chosen_where_nothing_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        pilot.app.theme = "nord"
        await pilot.pause()
        assert pilot.app.theme == "nord"
