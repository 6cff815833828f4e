"""The wizard by keyboard: from the first screen to a saved recipe and a launched run, and every way to go wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Button, Footer, Input, Static
from textual.widgets._footer import FooterKey

from engine.recipe import load_recipe
from engine.run_folder import RunFolder
from tests.clips import make_dataset
from wizard.app import ORDER, WizardApp
from wizard.dashboard import DashboardScreen
from wizard.drafts import SavedDraft, drafts_file, find_draft, forget_draft, keep_draft
from wizard.widgets.choice import Choice
from wizard.widgets.class_bars import ClassBars, ClassCount, bar_lines
from wizard.widgets.field import Field
from wizard.widgets.keys import KeysScreen
from wizard.widgets.paths import FolderPicker, FolderTree, PathSuggester

SMALL, LARGE = (80, 24), (160, 48)
KEYS = {"/": "slash", "-": "minus", ".": "full_stop", "_": "underscore", " ": "space", ",": "comma", ":": "colon"}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and a state folder, of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the same hints on every machine
    folder = tmp_path / "work"
    for name in ("jump", "run"):
        (folder / "moves" / name).mkdir(parents=True)
        for number in range(150):
            (folder / "moves" / name / f"{number}.mp4").touch()
    monkeypatch.chdir(folder)
    return folder


async def type_in(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*(KEYS.get(letter, letter) for letter in text))


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait for what happens in a thread or after a pause; ten seconds are for ever."""
    for _ in range(500):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError("it never happened")


async def found(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: wizard(pilot).draft.found)


def wizard(pilot: Pilot[None]) -> Any:
    app = pilot.app
    assert isinstance(app, WizardApp)
    return app.wizard


def field(pilot: Pilot[None], key: str) -> Field:
    return wizard(pilot).step.query_one(f"#{key.replace('.', '-')}", Field)


def problem(pilot: Pilot[None], key: str) -> str:
    shown = field(pilot, key)
    return str(shown.query_one(".problem", Static).content) if shown.has_class("wrong") else ""


def text_on_screen(pilot: Pilot[None]) -> str:
    width, height = pilot.app.size
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width] for strip in lines[:height])


def words_on_screen(pilot: Pilot[None]) -> str:
    """Without the line breaks that depend on the size."""
    return " ".join(text_on_screen(pilot).split())


def banner(pilot: Pilot[None]) -> str:
    shown = wizard(pilot).query_one("#banner", Static)
    return str(shown.content) if shown.display else ""


# --- the whole way ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_from_the_first_screen_to_a_saved_recipe_by_keyboard(size: tuple[int, int], work: Path) -> None:
    app = WizardApp()
    async with app.run_test(size=size) as pilot:
        await type_in(pilot, "moves")
        await pilot.press("enter")
        for step in ORDER[1:]:
            await until(pilot, lambda step=step: wizard(pilot).here == step)
            await pilot.pause()
            if step != "review":
                await pilot.press("enter")
        assert "[schedule]" in text_on_screen(pilot) or size == SMALL
        await pilot.press("ctrl+s")
        await pilot.pause()
    result = app.wizard.result
    assert result.saved == Path("tsn-moves.toml")
    assert (result.run, result.draft_kept) == (None, False)
    recipe = load_recipe("tsn-moves.toml")
    assert recipe == app.wizard.draft.recipe()
    assert recipe.head.num_classes == 2
    assert not drafts_file().exists()


@pytest.mark.slow
async def test_every_answer_can_be_changed_on_the_way(work: Path) -> None:
    (work / "mine.pth").write_bytes(b"PK\x03\x04")
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("down")
        assert field(pilot, "dataset.val_fraction").control.has_focus
        await pilot.press("backspace", "backspace", "backspace")
        await type_in(pilot, "0.5")
        await until(pilot, lambda: wizard(pilot).draft.val_clips == 150)
        await pilot.press("ctrl+n", "down", "end", "backspace", "7", "ctrl+n")
        assert wizard(pilot).here == "weights"
        await pilot.pause()
        await pilot.press("up", "up", "right", "down")
        await type_in(pilot, "mine.pth")
        await pilot.press("down")
        await type_in(pilot, "tsm r50")
        await pilot.press("enter", "enter")
        assert wizard(pilot).here == "schedule"
        await pilot.pause()
        await pilot.press("right", "down", "end", "backspace", "backspace", "9", "enter", "down")
        await pilot.press("ctrl+s")
    recipe = load_recipe("tsm-moves.toml")
    assert recipe.dataset.val_fraction == 0.5
    assert recipe.head.dropout == 0.7
    assert (recipe.weights.load_from, recipe.model.recognizer) == ("mine.pth", "tsm")
    assert recipe.schedule.epochs == 9


async def test_launch_saves_starts_the_engine_and_shows_the_dashboard(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[RunFolder] = []
    monkeypatch.setattr("wizard.launch.start_engine", started.append)
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("review")
        await pilot.pause()
        assert pilot.app.focused is not None and pilot.app.focused.id == "launch"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        await pilot.press("q")
    assert app.wizard.result.run is started[0]
    assert load_recipe(started[0].recipe).dataset.root == str(work / "moves")
    assert load_recipe("tsn-moves.toml").name == "tsn-moves"


@pytest.mark.slow
async def test_a_launched_run_trains_in_a_process_of_its_own(work: Path) -> None:
    make_dataset(work / "colours")
    overrides = {
        "model.backbone": "resnet18", "model.segments": 2, "dataset.short_side": 36, "dataset.frame_size": 32,
        "run.workers": 0, "weights.backbone": "", "schedule.epochs": 1,
    }  # fmt: skip
    app = WizardApp(Path("colours"), overrides=overrides)
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        wizard(pilot).draft.give("start", "scratch")
        await wizard(pilot).go_to("review")
        await pilot.pause()
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
        run = app.wizard.result.run
        assert run is not None
        for _ in range(600):
            await asyncio.sleep(0.1)
            if run.state().ended:
                break
    assert run.status(run.state()) == "finished", run.log.read_text()


# --- looking at the data ----------------------------------------------------------------------------------------------


async def test_the_first_screen_says_what_to_do_and_blames_nobody() -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        await pilot.pause()
        text = text_on_screen(pilot)
        assert "sorted into one folder a class" in text
        assert "✗" not in text
        assert pilot.app.focused is field(pilot, "data").control


async def test_going_on_without_data_says_what_is_missing() -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        await pilot.press("enter")
        assert wizard(pilot).here == "dataset"
        assert problem(pilot, "data") == "✗ Name the folder of the videos."


@pytest.mark.slow
async def test_keys_that_come_faster_than_they_are_dealt_with_are_not_lost(work: Path) -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        control = field(pilot, "data").control
        assert isinstance(control, Input)
        for text in ("m", "mov", "", "moves"):
            control.value = text
            wizard(pilot).show()  # as when the check tells of its progress: the draft has not heard of the text yet
            assert control.value == text
        await found(pilot)
        assert control.value == "moves"
        wizard(pilot)._browsed(work / "elsewhere")  # chosen in the tree
        await until(pilot, lambda: control.value == "elsewhere")


@pytest.mark.slow
async def test_a_folder_that_is_not_there_or_holds_nothing(work: Path) -> None:
    (work / "empty").mkdir()
    async with WizardApp(Path("gone")).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: problem(pilot, "data"))
        assert "gone does not exist" in problem(pilot, "data")
        assert not field(pilot, "annotations").display
        await pilot.press("enter")
        assert wizard(pilot).here == "dataset"
        for _ in "gone":
            await pilot.press("backspace")
        await type_in(pilot, "empty")
        await until(pilot, lambda: "empty is empty" in problem(pilot, "data"))
        assert field(pilot, "annotations").display


async def test_what_was_found_is_shown_with_the_reason_and_a_bar_a_class(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.pause()
        text = text_on_screen(pilot)
        assert "✓ A folder a class" in text and "moves has 2 folders of videos, one for each class." in text
        assert "120 + 30" in text
        assert "240 training clips" in text


@pytest.mark.slow
async def test_enter_pressed_too_early_goes_on_once_the_data_are_known(work: Path) -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        await type_in(pilot, "moves")
        await pilot.press("enter")
        await until(pilot, lambda: wizard(pilot).here == "head")


@pytest.mark.slow
async def test_a_path_is_completed(work: Path) -> None:
    (work / "moves" / "jump" / "deeper").mkdir()
    (work / "movies.txt").touch()
    assert await PathSuggester().get_suggestion("mov") == "moves"
    assert await PathSuggester().get_suggestion("moves/ju") == "moves/jump"
    assert await PathSuggester(folders_only=False).get_suggestion("movi") == "movies.txt"
    assert await PathSuggester().get_suggestion("movi") is None
    assert await PathSuggester().get_suggestion("nowhere/x") is None
    async with WizardApp().run_test(size=SMALL) as pilot:
        await type_in(pilot, "mo")
        control = field(pilot, "data").control
        assert isinstance(control, Input)
        await until(pilot, lambda: control._suggestion)
        await pilot.press("right")
        assert control.value == "moves"
        await found(pilot)


@pytest.mark.slow
async def test_tab_completes_a_path_as_a_shell_does_and_then_goes_on(work: Path) -> None:
    (work / "movies").mkdir()
    async with WizardApp().run_test(size=SMALL) as pilot:
        control = field(pilot, "data").control
        assert isinstance(control, Input)
        await type_in(pilot, "m")
        await pilot.press("tab")
        assert control.value == "mov"  # so far they agree
        await until(pilot, lambda: "Tab completes: moves   movies" in text_on_screen(pilot))
        await pilot.pause(0.4)
        assert problem(pilot, "data") == ""  # nobody is blamed for half a path
        await type_in(pilot, "es")
        await pilot.press("backspace", "tab")
        assert control.value == "moves/"
        await found(pilot)
        await pilot.press("tab")
        assert not control.has_focus and control.value == "moves/"
        control.focus()
        await pilot.press("backspace", "backspace", "enter")
        await until(pilot, lambda: "does not exist" in problem(pilot, "data"))  # one wanted to go on with it


@pytest.mark.slow
async def test_a_folder_is_picked_from_the_tree(work: Path) -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        await pilot.press("ctrl+o")
        assert isinstance(pilot.app.screen, FolderPicker)
        tree = pilot.app.screen.query_one(FolderTree)
        await until(pilot, lambda: len(tree.root.children) == 1)
        assert "moves  2 folders" in text_on_screen(pilot)
        await pilot.press("down", "enter")
        await found(pilot)
        control = field(pilot, "data").control
        assert isinstance(control, Input) and control.value == "moves"


@pytest.mark.slow
async def test_the_tree_is_left_without_a_choice(work: Path) -> None:
    async with WizardApp().run_test(size=SMALL) as pilot:
        await pilot.press("ctrl+o", "backspace")
        place = pilot.app.screen.query_one("#place", Static)
        assert str(place.content) == str(work.parent)
        await pilot.press("escape")
        assert wizard(pilot).draft.value("data") == ""


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_wrong_answer_is_judged_in_the_engines_words_and_holds_the_step(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("schedule")
        await pilot.pause()
        await pilot.press("down", "end", "backspace", "backspace", "x")
        assert problem(pilot, "schedule.epochs") == ('✗ [schedule] epochs must be a whole number, not the text "x".')
        await pilot.press("tab", "ctrl+n")
        await pilot.pause()
        assert wizard(pilot).here == "schedule"
        assert field(pilot, "schedule.epochs").control.has_focus
        await wizard(pilot).go_to("review")
        await pilot.pause()
        assert "Not ready yet" in text_on_screen(pilot)
        assert pilot.app.screen.query_one("#launch", Button).disabled
        await pilot.press("ctrl+s")
        assert list(work.glob("*.toml")) == []


@pytest.mark.slow
async def test_an_emptied_field_goes_back_to_the_suggestion_when_it_is_left(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("schedule")
        await pilot.pause()
        await pilot.press("down", "end", "backspace", "backspace")
        epochs = field(pilot, "schedule.epochs").control
        assert isinstance(epochs, Input) and epochs.value == ""
        await pilot.press("7", "backspace", "tab")
        await pilot.pause()
        assert epochs.value == "50"
        assert "schedule.epochs" not in wizard(pilot).draft.given


@pytest.mark.slow
async def test_what_follows_from_an_answer_is_inferred_again(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("schedule")
        await pilot.pause()
        await pilot.press("left")
        controls = [field(pilot, f"schedule.{key}").control for key in ("epochs", "milestones")]
        assert [control.value for control in controls if isinstance(control, Input)] == ["10", "4, 8"]
        assert "8 steps an epoch × 10 epochs = 80 steps" in text_on_screen(pilot)
        assert "lr 0.005 × 32/256 = 0.000625" in text_on_screen(pilot)


@pytest.mark.slow
async def test_a_choice_is_made_with_arrows_or_a_click(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("schedule")
        await pilot.pause()
        policy = field(pilot, "schedule.lr_policy").control
        assert isinstance(policy, Choice)
        await pilot.click(policy, offset=(14, 0))
        assert wizard(pilot).draft.value("schedule.lr_policy") == "cosine"
        assert not field(pilot, "schedule.milestones").display
        await pilot.press("right", "right", "right")
        assert policy.chosen == "constant"


async def test_a_choice_on_a_line_too_short_for_it_keeps_the_chosen_one_in_sight() -> None:
    class OnALine(App[None]):
        def compose(self) -> ComposeResult:
            yield Choice()

    names = {str(number): f"the option number {number}" for number in range(8)}
    async with OnALine().run_test(size=(60, 4)) as pilot:
        choice = pilot.app.query_one(Choice)
        choice.show(names, "0")
        choice.focus()
        for name in names.values():
            await until(pilot, lambda name=name: f"● {name}" in text_on_screen(pilot))
            await pilot.press("right")
        assert f"○ {names['0']}" not in text_on_screen(pilot)
        await pilot.click(choice, offset=(5, 0))  # behind the three points and two blanks
        await until(pilot, lambda: choice.chosen not in ("0", "7"))
        await until(pilot, lambda: f"● {names[choice.chosen]}" in text_on_screen(pilot))


@pytest.mark.slow
async def test_the_row_under_the_cursor_is_what_it_starts_from(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("weights")
        await pilot.pause()
        await until(pilot, lambda: wizard(pilot).step.machine.has_no_gpu)
        assert "Suggested." in text_on_screen(pilot)
        assert "97 MB" in text_on_screen(pilot)
        await pilot.press("down")
        assert wizard(pilot).draft.value("start") == "videomaev2-s-kinetics400"  # the most accurate of the light ones
        assert "The suggestion was: TSN ResNet-50" in words_on_screen(pilot)
        await pilot.press("enter")
        assert wizard(pilot).here == "schedule"


@pytest.mark.slow
async def test_weights_of_ones_own_must_be_there(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("weights")
        await pilot.pause()
        await pilot.press("up", "up", "right")
        assert problem(pilot, "source") == ""
        await pilot.press("enter")
        assert problem(pilot, "source").startswith("✗ Name a checkpoint file")
        await pilot.pause()
        assert field(pilot, "source").control.has_focus
        await type_in(pilot, "gone.pth")
        assert "gone.pth does not exist" in problem(pilot, "source")


# --- moving about -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_every_step_can_be_revisited_by_key_mouse_and_palette(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=LARGE) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "ctrl+n", "escape")
        assert wizard(pilot).here == "head"
        await pilot.press("ctrl+b")
        assert wizard(pilot).here == "dataset"
        await pilot.press("escape")
        assert wizard(pilot).here == "dataset"
        await pilot.click("#item-schedule")
        assert wizard(pilot).here == "schedule"
        await pilot.press("ctrl+p")
        await type_in(pilot, "go to weights")
        await until(pilot, lambda: "Go to Weights" in text_on_screen(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: wizard(pilot).here == "weights")


@pytest.mark.slow
async def test_the_sidebar_tells_the_answers_and_what_is_wrong(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=LARGE) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n")
        text = text_on_screen(pilot)
        for words in ("✓ Dataset", "300 clips, 2 classes", "▸ Head", "· Schedule", "50 epochs, lr 0.005"):
            assert words in text
        await pilot.press("end", "5", "ctrl+b")
        await pilot.pause()
        assert "✗ Head" in text_on_screen(pilot)


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, (116, 30), LARGE])
async def test_nothing_is_cut_off(size: tuple[int, int], work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=size) as pilot:
        await found(pilot)
        for name in ORDER:
            await wizard(pilot).go_to(name)
            await pilot.pause()
            step = wizard(pilot).step
            # All of a step is in sight: nobody has to find out that it scrolls.
            assert step.max_scroll_y == 0, name
            for shown in step.query("Field, Static, Button, DataTable, Curve"):
                assert not shown.region or shown.region.right <= size[0], shown


@pytest.mark.slow
async def test_a_resize_changes_the_layout_and_loses_nothing(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=LARGE) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "end", "5")
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert wizard(pilot).draft.value("head.num_classes") == 25
        assert text_on_screen(pilot).splitlines()[0].split() == [
            "✓", "Dataset", "▸", "Head", "✗", "·", "Weights", "·", "Schedule", "·", "Review",
        ]  # fmt: skip


@pytest.mark.slow
async def test_the_footer_offers_what_works_here(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)

        def offered() -> set[str]:
            return {key.description for key in pilot.app.screen.query_one(Footer).query(FooterKey)}

        await pilot.pause()
        assert {"Next", "Browse", "Keys", "Quit", "Menu"} <= offered()
        assert not {"Back", "Save", "Afresh"} & offered()
        await wizard(pilot).go_to("review")
        await until(pilot, lambda: "Launch" in offered())
        assert "Next" not in offered()


@pytest.mark.slow
async def test_help_lists_the_keys_that_work(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("f1")
        assert isinstance(pilot.app.screen, KeysScreen)
        text = text_on_screen(pilot)
        assert "Go on to the next step" in text
        assert "Write the recipe" not in text
        await pilot.press("escape")
        await wizard(pilot).go_to("weights")
        await pilot.pause()
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, KeysScreen)


# --- saving -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_recipe_that_exists_is_left_alone(work: Path) -> None:
    (work / "tsn-moves.toml").write_text("mine")
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("review")
        await pilot.pause()
        assert "tsn-moves.toml is there already" in words_on_screen(pilot)
        await pilot.press("ctrl+s")
    assert app.wizard.result.saved == Path("tsn-moves-2.toml")
    assert (work / "tsn-moves.toml").read_text() == "mine"


async def test_the_name_asked_for_is_taken_or_the_next_free_one(work: Path) -> None:
    (work / "r.toml").write_text("mine")
    app = WizardApp(Path("moves"), Path("r.toml"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        assert banner(pilot) == "r.toml is there already and stays as it is; this recipe will be r-2.toml."
        await wizard(pilot).go_to("review")
        await pilot.press("ctrl+s")
    assert app.wizard.result.saved == Path("r-2.toml")


@pytest.mark.slow
async def test_a_typed_name_that_exists_is_refused_at_its_field(work: Path) -> None:
    (work / "r.toml").write_text("mine")
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("review")
        await pilot.pause()
        await pilot.press("up")
        assert field(pilot, "out").control.has_focus
        await pilot.press("home", "ctrl+k")
        await type_in(pilot, "r.toml")
        assert problem(pilot, "out") == "✗ r.toml is there already; r-2.toml is free."
        await pilot.press("ctrl+s")
        assert pilot.app.is_running
    assert (work / "r.toml").read_text() == "mine"


@pytest.mark.slow
async def test_what_cannot_be_saved_is_said_and_the_draft_stays(work: Path) -> None:
    (work / "file").touch()
    app = WizardApp(Path("moves"), Path("file/r.toml"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "end", "backspace", "2")
        await wizard(pilot).go_to("review")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "cannot be written" in banner(pilot))
    assert app.wizard.result.saved is None
    assert app.wizard.result.draft_kept


@pytest.mark.slow
async def test_a_launch_that_fails_says_so_and_can_be_tried_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "runs").touch()  # a file where the folder should be
    monkeypatch.setattr("wizard.launch.start_engine", lambda run: None)
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("review")
        await pilot.pause()
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "the run folder cannot be made" in banner(pilot))
        (work / "runs").unlink()
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(pilot.app.screen, DashboardScreen))
    assert [path.name for path in work.glob("*.toml")] == ["tsn-moves.toml"]


# --- drafts -----------------------------------------------------------------------------------------------------------


async def test_a_draft_survives_and_is_offered_again(work: Path) -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await wizard(pilot).go_to("schedule")
        await pilot.pause()
        await pilot.press("down", "end", "backspace", "backspace", "9")
    assert app.wizard.result.draft_kept
    app = WizardApp()
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        assert banner(pilot) == "Restored your draft for moves from a moment ago. Ctrl+R starts afresh."
        assert wizard(pilot).draft.value("schedule.epochs") == 9
        await pilot.press("ctrl+r")
        assert wizard(pilot).draft.given == {}
        await pilot.press("ctrl+r")
        await found(pilot)
        assert wizard(pilot).draft.value("schedule.epochs") == 9
        await wizard(pilot).go_to("review")
        await pilot.press("ctrl+s")
    assert load_recipe("tsn-moves.toml").schedule.epochs == 9
    assert not drafts_file().exists()


async def test_a_draft_is_kept_while_it_is_typed(work: Path) -> None:
    async with WizardApp(Path("moves")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "end", "backspace", "4")
        await until(pilot, drafts_file().exists)
        saved = find_draft(Path("moves"))
        assert saved is not None and saved.given["head.num_classes"] == 4


async def test_another_dataset_leaves_a_draft_alone(work: Path) -> None:
    keep_draft(SavedDraft("1", {"data": "elsewhere", "schedule.epochs": 9}, time.time()))
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        assert banner(pilot) == ""
        await wizard(pilot).go_to("review")
        await pilot.press("ctrl+s")
    assert load_recipe("tsn-moves.toml").schedule.epochs == 50
    kept = find_draft(None)
    assert kept is not None and kept.data == "elsewhere"


@pytest.mark.slow
async def test_looking_leaves_no_draft(work: Path) -> None:
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "ctrl+n", "ctrl+n", "escape")
    assert not drafts_file().exists()
    assert not app.wizard.result.draft_kept


def test_drafts_are_found_by_what_they_are_about() -> None:
    for number, data in enumerate(["a", "b", ""]):
        keep_draft(SavedDraft(str(number), {"data": data} if data else {"name": "x"}, float(number)))
    assert [find_draft(path) and find_draft(path).id for path in (None, Path("a"), Path("./b"), Path("c"))] == [  # type: ignore[union-attr]
        "2", "0", "1", None,
    ]  # fmt: skip
    keep_draft(SavedDraft("0", {"data": "a2"}, 9.0))
    assert find_draft(Path("a")) is None
    assert find_draft(None) == SavedDraft("0", {"data": "a2"}, 9.0)
    forget_draft("7", str(Path("b").absolute()))
    assert find_draft(Path("b")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "drafts": [{"id": 1}]}', "\x00"])
def test_a_broken_file_of_drafts_is_no_obstacle(text: str) -> None:
    drafts_file().parent.mkdir(parents=True)
    drafts_file().write_text(text)
    assert find_draft(None) is None
    keep_draft(SavedDraft("1", {"data": "a"}, 1.0))
    assert json.loads(drafts_file().read_text())["drafts"][0]["given"] == {"data": "a"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "a moment ago"), (70, "a minute ago"), (600, "10 minutes ago"), (4000, "an hour ago"), (9000, "2 hours ago")],
)
def test_ages_are_said_as_one_says_them(seconds: float, words: str) -> None:
    assert SavedDraft("1", {}, 1000.0).saved(1000.0 + seconds) == words


# --- bars -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [32, 40, 76, 120])
def test_bars_keep_to_their_width_and_hide_no_clip(width: int) -> None:
    counts = [
        ClassCount("x", 10_000, 2_000), ClassCount("投げる " * 20, 1, 0), ClassCount("one val", 0, 1),
        ClassCount("none", 0, 0), ClassCount("tab\tand\x1b[31m", 5, 5),
    ]  # fmt: skip
    lines = bar_lines(counts, width)
    assert [line.cell_length for line in lines] == [width] * len(counts)
    assert ["█" in line.plain for line in lines] == [True, True, False, False, True]
    assert ["▒" in line.plain for line in lines] == [True, False, True, False, True]
    assert all(line.plain.isprintable() for line in lines)


@pytest.mark.slow
async def test_a_long_list_of_classes_scrolls(work: Path) -> None:
    for number in range(60):
        (work / "many" / f"class {number:02}").mkdir(parents=True)
        (work / "many" / f"class {number:02}" / "1.mp4").touch()
        (work / "many" / f"class {number:02}" / "2.mp4").touch()
    async with WizardApp(Path("many")).run_test(size=SMALL) as pilot:
        await found(pilot)
        await until(pilot, lambda: pilot.app.screen.query_one(ClassBars).size.height == 60)
        for _ in range(8):
            await pilot.press("pagedown")
        await until(pilot, lambda: "class 59" in text_on_screen(pilot))


# --- the check of the videos ------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_videos_are_checked_while_one_answers(work: Path) -> None:
    make_dataset(work / "filmed")
    (work / "filmed/train/falls/0.mp4").write_bytes(b"")
    async with WizardApp(work / "filmed", checks=True).run_test(size=(130, 48)) as pilot:
        await until(pilot, lambda: wizard(pilot).checked.report)
        await pilot.pause()
        shown = text_on_screen(pilot)
        assert "✗ undecodable: 1 of 18 clips cannot be used." in shown
        assert "The whole report, with all files: ftwiz check" in shown
        field(pilot, "data").query_one(Input).value = str(work / "moves")  # other videos: nothing is known of them
        await until(pilot, lambda: wizard(pilot).checked.report is None)
    assert not list(work.rglob("quarantine.txt"))


async def test_nobody_waits_for_a_check_when_leaving(work: Path) -> None:
    make_dataset(work / "filmed")
    async with WizardApp(work / "filmed", checks=True).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: any(worker.group == "check" for worker in wizard(pilot).workers))
        await pilot.press("ctrl+q")


async def test_a_draft_that_cannot_be_kept_is_not_promised(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file lies where the folder of drafts would be."""
    (work / "state").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(work / "state"))
    app = WizardApp(Path("moves"))
    async with app.run_test(size=SMALL) as pilot:
        await found(pilot)
        await pilot.press("ctrl+n", "end", "5")
        await until(pilot, lambda: wizard(pilot).result.not_kept)
    assert not app.wizard.result.draft_kept
    assert app.wizard.result.not_kept.startswith("The draft cannot be kept: ")
