"""What the model will see, on screen: by keyboard, at every size, without colours, with clips that do not decode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from engine.dataset.contact_sheet import ContactSheet
from engine.recipe import recipe_from
from tests.frames import write_frames
from tests.videos import make_video
from wizard.app import WizardApp, WizardScreen
from wizard.contact_sheet import ContactSheetScreen
from wizard.widgets.contact_sheet import ClipView, Glimpse, plan
from wizard.widgets.frames import QUADRANTS, Frames, arrange, in_colours, in_dots, in_even_steps
from wizard.words import sampling_of

pytestmark = pytest.mark.slow  # `make quick` does without

SMALL, LARGE = (80, 24), (140, 40)
FEW_PIXELS = {"model.segments": 3, "dataset.short_side": 40, "dataset.frame_size": 32}


@pytest.fixture(scope="module")
def asked() -> Iterator[ContactSheet]:
    """One process for all tests: it takes seconds to start. Its working folder is not that of the tests."""
    sheet = ContactSheet()
    yield sheet
    sheet.close()


@pytest.fixture
def shared_process(asked: ContactSheet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WizardScreen, "contact_sheet", lambda self: asked)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a dataset whose pixels no decoder can make different."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work"
    for label, name in enumerate(("Handstand", "jump up", "投げる")):
        for number in range(4):
            write_frames(folder / "my moves" / name / f"clip {number}", 9, "img_{:05}.png", seed=4 * label + number)
    monkeypatch.chdir(folder)
    return folder


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    for _ in range(500):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError(text_on_screen(pilot))


def wizard(pilot: Pilot[None]) -> Any:
    return pilot.app.wizard  # type: ignore[attr-defined]


def text_on_screen(pilot: Pilot[None]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


def pictures(pilot: Pilot[None]) -> list[np.ndarray]:
    """The frames of each clip on the screen, once all have come."""
    clips = [clip for clip in pilot.app.screen.query(ClipView) if clip.visible]
    shown = [clip.query_one(Frames)._pictures for clip in clips]
    return [frames for frames in shown if frames is not None] if all(frames is not None for frames in shown) else []


async def open_sheet(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: wizard(pilot).draft.found)
    await pilot.pause()
    await pilot.press("f2")
    assert isinstance(pilot.app.screen, ContactSheetScreen)


# --- on the whole screen ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("shared_process")
async def test_by_keyboard_through_epochs_clips_and_validation() -> None:
    async with WizardApp(Path.cwd() / "my moves", overrides=FEW_PIXELS | {"dataset.flip": 1.0}).run_test(
        size=LARGE
    ) as pilot:
        await open_sheet(pilot)
        await until(pilot, lambda: len(pictures(pilot)) == 3)
        text = text_on_screen(pilot)
        for words in ("● training", "epoch 1", "all 3 classes", "A random frame from each of 3 parts", "100 % are mir"):
            assert words in text
        assert "Handstand  mirrored · clip" in text and "投げる" in text and "no. " in text
        first = pictures(pilot)
        await pilot.press("n")
        await until(pilot, lambda: "epoch 2" in text_on_screen(pilot) and len(pictures(pilot)) == 3)
        assert not all(np.array_equal(a, b) for a, b in zip(first, pictures(pilot), strict=True))
        await pilot.press("p")
        await until(pilot, lambda: "epoch 1" in text_on_screen(pilot) and len(pictures(pilot)) == 3)
        assert all(np.array_equal(a, b) for a, b in zip(first, pictures(pilot), strict=True))
        await pilot.press("c")
        await until(pilot, lambda: len(pictures(pilot)) == 3 and not np.array_equal(pictures(pilot)[0], first[0]))
        await pilot.press("v")
        await until(pilot, lambda: "● validation" in text_on_screen(pilot) and len(pictures(pilot)) == 3)
        text = text_on_screen(pilot)
        assert "The middle frame from each of 3 parts" in text and "mirrored" not in text
        assert "no. 2" in text and "no. 5" in text and "no. 8" in text
        await pilot.press("f1")
        assert "Another clip of each class" in text_on_screen(pilot)
        await pilot.press("escape", "escape")
        assert pilot.app.screen is wizard(pilot)


@pytest.mark.slow
@pytest.mark.usefixtures("shared_process")
async def test_many_classes_are_paged_through(work: Path) -> None:
    for number in range(7):
        for clip in range(2):
            write_frames(work / "many" / f"class {number}" / str(clip), 4)
    async with WizardApp(work / "many", overrides=FEW_PIXELS).run_test(size=SMALL) as pilot:
        await open_sheet(pilot)
        for key, where in [
            ("home", "classes 1–2 of 7"), ("up", "classes 1–2 of 7"), ("down", "classes 3–4 of 7"),
            ("pagedown", "classes 5–6 of 7"), ("down", "classes 6–7 of 7"), ("up", "classes 4–5 of 7"),
            ("end", "classes 6–7 of 7"),
        ]:  # fmt: skip
            await pilot.press(key)
            await until(pilot, lambda where=where: where in text_on_screen(pilot))
        await until(pilot, lambda: "class 6  " in text_on_screen(pilot) and len(pictures(pilot)) == 2)
        await pilot.resize_terminal(*LARGE)
        await until(pilot, lambda: len(pictures(pilot)) > 2)


@pytest.mark.usefixtures("shared_process")
async def test_a_clip_that_does_not_decode_says_so_in_its_place(work: Path) -> None:
    for name in ("good", "bad"):
        for number in range(3):
            make_video(work / "filmed" / name / f"{number}.mp4", frames=6, seed=number)
    for path in (work / "filmed/bad").iterdir():
        path.write_bytes(b"<html>404 [/b]")
    async with WizardApp(work / "filmed", overrides=FEW_PIXELS).run_test(size=SMALL) as pilot:
        await open_sheet(pilot)
        await until(pilot, lambda: "! " in text_on_screen(pilot) and "good  " in text_on_screen(pilot))
        assert "Invalid data" in text_on_screen(pilot)
        await until(pilot, lambda: " s " in text_on_screen(pilot))  # of the good one


@pytest.mark.usefixtures("shared_process")
async def test_answers_that_make_no_dataset_are_told_in_the_engines_sentence() -> None:
    overrides = FEW_PIXELS | {"head.num_classes": 2}
    async with WizardApp(Path.cwd() / "my moves", overrides=overrides).run_test(size=SMALL) as pilot:
        await open_sheet(pilot)
        await until(pilot, lambda: "✗ " in text_on_screen(pilot))
        assert "has 3 classes, but [head] num_classes is 2" in " ".join(text_on_screen(pilot).split())
        await pilot.press("escape")
        wizard(pilot).draft.given["dataset.flip"] = 7
        await pilot.press("f2")
        assert pilot.app.screen is wizard(pilot)
        assert "[dataset] flip must be at most 1" in " ".join(text_on_screen(pilot).split())


@pytest.mark.usefixtures("shared_process")
async def test_without_colours_it_is_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with WizardApp(Path.cwd() / "my moves", overrides=FEW_PIXELS).run_test(size=SMALL) as pilot:
        await open_sheet(pilot)
        await until(pilot, lambda: len(pictures(pilot)) == 3 or len(pictures(pilot)) == 2)
        strips = pilot.app.screen.query(Frames).first()._strips()
        assert any("\u2801" <= letter <= "\u28ff" for strip in strips for letter in strip.text)
        colours = {c for s in strips for part in s for c in (part.style.color, part.style.bgcolor) if c and part.style}
        assert all(colour.triplet is None for colour in colours)


@pytest.mark.slow
async def test_the_process_is_not_started_before_it_is_needed_and_ends_with_the_wizard() -> None:
    app = WizardApp(Path.cwd() / "my moves", overrides=FEW_PIXELS, checks=True)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: wizard(pilot).draft.found)
        await pilot.press("ctrl+n", "ctrl+b")
        assert wizard(pilot)._sheet is None
        await open_sheet(pilot)
        await until(pilot, lambda: wizard(pilot)._sheet and wizard(pilot)._sheet._process)
        process = wizard(pilot)._sheet._process
        await pilot.press("escape", "ctrl+q")  # it has not answered yet
    assert process.returncode is not None


@pytest.mark.usefixtures("shared_process")
async def test_a_mirrored_clip_says_which_class_it_came_from(work: Path) -> None:
    for name in ("turn left", "turn right"):
        for number in range(3):
            write_frames(work / "turns" / name / str(number), 4)
    overrides = FEW_PIXELS | {"dataset.flip": 1.0}
    async with WizardApp(work / "turns", overrides=overrides).run_test(size=SMALL) as pilot:
        await open_sheet(pilot)
        await until(pilot, lambda: "turn right  mirrored turn left · " in text_on_screen(pilot))
        await until(pilot, lambda: "turn left  mirrored turn right · " in text_on_screen(pilot))


# --- beside the questions ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("shared_process")
async def test_a_glimpse_of_it_follows_the_answers_where_there_is_room() -> None:
    app = WizardApp(Path.cwd() / "my moves", overrides=FEW_PIXELS, checks=True)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: wizard(pilot).draft.found)
        assert not pilot.app.screen.query(Glimpse)
        await pilot.resize_terminal(*LARGE)
        await until(pilot, lambda: pilot.app.screen.query(Glimpse) and pictures(pilot))
        text = text_on_screen(pilot)
        assert "What the model will see in training; F2 shows more" in text and "Handstand  " in text
        wizard(pilot).draft.give("dataset.flip", "1.0")
        wizard(pilot).show()
        await until(pilot, lambda: "Handstand  mirrored · " in text_on_screen(pilot))
        wizard(pilot).draft.give("dataset.flip", "7")
        wizard(pilot).show()
        await until(pilot, lambda: "What the model will see" not in text_on_screen(pilot))
        await pilot.resize_terminal(*SMALL)
        await pilot.pause()
        assert "F2 shows more" not in text_on_screen(pilot)


# --- pictures of it ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shared_process")
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_the_contact_sheet(snap_compare: Any, size: tuple[int, int]) -> None:
    async def opened(pilot: Pilot[None]) -> None:
        await open_sheet(pilot)
        await until(pilot, lambda: pictures(pilot))

    app = WizardApp(Path.cwd() / "my moves", overrides=FEW_PIXELS)
    assert snap_compare(app, terminal_size=size, run_before=opened)


# --- what it is drawn with --------------------------------------------------------------------------------------------


def test_a_cell_shows_its_four_quarters_in_two_colours() -> None:
    red, blue = (200, 10, 20), (0, 60, 220)
    for bits, letter in enumerate(QUADRANTS):
        quarters = np.array([red if bits & bit else blue for bit in (8, 4, 2, 1)], np.uint8).reshape(2, 2, 3)
        ((cell,),) = in_colours(quarters, 1, 1)
        assert cell.style and cell.style.color and cell.style.bgcolor and cell.style.color.triplet
        front, back = cell.style.color.triplet, cell.style.bgcolor.triplet
        drawn = [front if QUADRANTS.index(cell.text) & bit else back for bit in (8, 4, 2, 1)]
        assert [tuple(colour or ()) for colour in drawn] == [tuple(quarter) for quarter in quarters.reshape(4, 3)], (
            letter
        )


def test_bright_is_many_dots() -> None:
    ramp = np.linspace(0, 255, 80).astype(np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    (line, *_), *_ = in_dots(ramp, 40, 4)
    dots = [bin(ord(letter) - 0x2800).count("1") for letter in line.text]
    assert len(line.text) == 40 and sum(dots[:10]) < sum(dots[15:25]) < sum(dots[-10:])


@given(
    st.integers(1, 64), st.sampled_from([0.5, 1.0, 2.0]), st.integers(1, 250), st.integers(1, 80)
)  # fmt: skip
def test_pictures_keep_to_the_room_there_is(frames: int, aspect: float, width: int, height: int) -> None:
    place = arrange(frames, aspect, width, height)
    lines = -(-place.shown // place.per_line)
    assert 1 <= place.shown <= frames and place.width >= 1
    assert place.per_line * (place.width + 1) - 1 <= width
    assert lines * (place.height + 1) <= max(2, height)
    assert len(set(in_even_steps(frames, place.shown))) == place.shown


def test_a_clip_keeps_to_one_line_where_that_is_large_enough() -> None:
    assert plan(78, 20, pictures=3, aspect=1.0, clips=101, good=8).places == 2
    assert plan(138, 37, pictures=8, aspect=1.0, clips=101, good=8).places == 3
    assert plan(198, 57, pictures=3, aspect=1.0, clips=101, good=8).places > 9
    assert plan(198, 57, pictures=3, aspect=1.0, clips=2, good=8).places == 2  # and then they are large
    assert plan(78, 20, pictures=32, aspect=1.0, clips=101, good=8).places == 1


def test_the_sampling_in_words() -> None:
    def said(training: bool = True, **tables: dict[str, Any]) -> str:
        return sampling_of(recipe_from(tables), training)

    assert said(False) == "The middle frame from each of 8 parts; the middle of the picture, 224 × 224."
    dense = said(
        model={"recognizer": "slowonly", "clip_len": 8, "frame_interval": 4}, dataset={"crop": "random_resized"}
    )
    assert dense == (
        "8 frames, every 4th, from a random place; a crop of 8 to 100 % of the area, scaled to 224 × 224; "
        "50 % are mirrored."
    )
    flow = said(model={"modality": "flow", "segments": 3}, dataset={"flip": 0.0, "rand_augment": 9})
    assert flow == (
        "5 pairs of flow (here the first), x and y, from a random place of each of 3 parts; a crop of 66 to 100 % of "
        "the short side, scaled to 224 × 224; none is mirrored; RandAugment 9."
    )
    assert "the short side being 256" in said(dataset={"crop": "random"})
    mixed = said(schedule={"mixup": 0.2, "cutmix": 1.0})
    assert mixed.endswith(" Mixup and CutMix come after this and blend clips of a batch: not shown.")
    assert "not shown" not in said(False, schedule={"mixup": 0.2})
