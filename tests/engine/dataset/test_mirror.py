"""Left and right change places by name, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.mirror import mirror_note, mirror_of, require_mirror_images
from engine.errors import RecipeError
from engine.recipe import recipe_from

SOMETHING = (
    "Holding something",
    "Turning the camera left while filming something",
    "Pulling something from right to left",
    "Plugging something into something but pulling it right out as you remove your hand",
    "Turning the camera right while filming something",
    "Pulling something from left to right",
    "Putting something that can't actually stand upright upright on the table, so it falls on its side",
)


def pairs(*classes: str) -> list[tuple[int, int]]:
    return [(a, b) for a, b in enumerate(mirror_of(classes).image) if a < b]


def test_pairs_are_found_by_name() -> None:
    assert pairs(*SOMETHING) == [(1, 4), (2, 5)] and mirror_of(SOMETHING).one_sided == ()
    assert mirror_of(SOMETHING).images((0, 1, 2, 5)) == (0, 4, 5, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TurnLeft", "TurnRight"),
        ("turn_left", "Turn right"),
        ("left_hand", "right_hand"),
        ("left-handed serve", "Right Handed serve"),
        ("HTTPLeft", "HTTPRight"),
        ("left2", "right2"),
        ("step leftwards", "step rightwards"),
        ("hand Clockwise", "hand Counterclockwise"),
        ("RotateClockwise", "rotate counter-clockwise"),
        ("spin anti clockwise", "spin clockwise"),
        ("swipe left, then right", "swipe right, then left"),
        ("left out", "right out"),  # where both are there, they are sides
    ],
)
def test_any_spelling_of_a_pair(one: str, other: str) -> None:
    mirror = mirror_of(("wave", one, "jump", other))
    assert mirror.pairs == [(one, other)] and not mirror.one_sided


@pytest.mark.parametrize("name", ["TurnLeft", "left_hand", "right hook", "Right", "left2right", "clockwise", "LEFT"])
def test_a_class_without_the_other_side(name: str) -> None:
    mirror = mirror_of(("wave", name))
    assert mirror.one_sided == (name,) and mirror.pairs == [] and mirror.images((0, 1)) == (0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "leftover", "eating LeftOver food", "right away", "leaving right now", "bright", "BRIGHT", "copyright",
        "upright", "alright", "all right", "pulling it right out", "the person has left", "left behind", "right angle",
        "shake the head left and right", "look right or left", "straight", "light", "cleft", "wright", "",
    ],
)  # fmt: skip
def test_words_that_mean_no_side(name: str) -> None:
    mirror = mirror_of((name, "wave"))
    assert mirror.image == (0, 1) and mirror.one_sided == () and mirror.sentence() == ""


def test_a_name_that_is_there_twice_has_no_certain_image() -> None:
    mirror = mirror_of(("turn left", "turn_left", "turn right"))
    assert mirror.pairs == [] and mirror.one_sided == ("turn left", "turn_left", "turn right")


@given(st.lists(st.lists(st.sampled_from(["left", "right", "and", "out", "Clockwise", "counter", "x"]), max_size=4)))
def test_the_image_of_the_image_is_the_class(names: list[list[str]]) -> None:
    mirror = mirror_of(tuple(" ".join(words) for words in names))
    assert mirror.images(mirror.image) == tuple(range(len(names)))


def test_a_label_without_a_name_is_its_own_image() -> None:
    assert mirror_of(()).images((3,)) == (3,)


def test_what_is_said() -> None:
    recipe = recipe_from({"dataset": {"flip": 0.5}, "run": {"test_crops": 10}})
    assert mirror_note(recipe, ("a", "b")) == ()
    assert mirror_note(recipe, ("turn left", "turn right")) == (
        "A mirrored clip counts for the class that it looks like: “turn left” and “turn right” change places.",
    )
    assert mirror_note(recipe, ("left hook", "right jab", "kick")) == (
        "No clip is mirrored in this run, in spite of [dataset] flip = 0.5 and [run] test_crops = 10: a mirrored “left "
        "hook” shows the other side, and no class has that name with the sides exchanged (as for right jab).",
    )
    quiet = recipe_from({"dataset": {"flip": 0.0}})
    assert mirror_note(quiet, ("left hook", "kick")) == () and mirror_note(quiet, ("turn left", "turn right")) == ()
    with pytest.raises(RecipeError, match=r"a mirrored “left hook” shows the other side.*; set test_crops to 3\."):
        require_mirror_images(mirror_of(("left hook", "kick")))
    require_mirror_images(mirror_of(("turn left", "turn right")))


# --- as published -----------------------------------------------------------------------------------------------------

PUBLISHED = {
    "sthv1_label_map.txt": [(2, 4), (30, 41), (52, 66)],
    "sthv2_label_map.txt": [(86, 87), (93, 94), (166, 167)],
    "jester_label_map.txt": [(0, 1), (6, 7), (14, 15)],
}


def test_published_class_lists(shared: Path) -> None:
    """The pairs that MMAction2 lists by hand for Something-Something; no dataset has a class that stops mirroring."""
    found = sorted((shared / "data/annotations/mmaction2_label_maps").glob("*_label_map*.txt"))
    assert len(found) > 10
    for path in found:
        classes = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        assert pairs(*classes) == PUBLISHED.get(path.name, []), path.name
        assert mirror_of(classes).one_sided == (), path.name


def test_something_something_as_others_order_it(shared: Path) -> None:
    v1 = shared / "data/annotations/sthv1/uniformer_category_alphabetical.txt"
    v2 = shared / "data/annotations/sthv2/uniformer_category_bracketed.txt"
    assert pairs(*v1.read_text(encoding="utf-8").splitlines()) == [(86, 87), (93, 94), (166, 167)]
    assert pairs(*v2.read_text(encoding="utf-8").splitlines()) == [(86, 87), (93, 94), (161, 162)]
