"""Folders of frames in the wizard: flow starts from weights of flow, and what the folders do not tell is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import DataError
from engine.model import build_model
from engine.recipe import load_recipe
from tests.frames import write_flow, write_frames
from wizard.decisions import QUESTIONS
from wizard.draft import Draft, inferred
from wizard.starts import OWN, SCRATCH, start_keys


def make_lists(root: Path, rows: list[str]) -> Path:
    for name in ("train", "val"):
        (root / f"{name}_rawframes.txt").write_text("\n".join(rows))
    return root


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_flow(tmp_path / "data/flow" / name, 6, "{}_{:05}.jpg")
    return make_lists(tmp_path / "data", ["a 7 0", "b 7 1"])


@pytest.fixture
def unclear(tmp_path: Path) -> Path:
    """Rows that agree with the folders in neither reading."""
    for name in ("a", "b"):
        write_frames(tmp_path / "data/frames" / name, 9)
    return make_lists(tmp_path / "data", ["a 6 5 0", "b 7 4 1"])


def test_flow_starts_from_weights_of_flow(flow: Path, tmp_path: Path) -> None:
    draft = inferred(flow)
    assert draft.modality == "flow" and draft.value("start") == "tsn-r50-kinetics400-flow"
    rows = start_keys("flow")
    assert (rows[0], rows[-2:]) == ("tsn-r50-kinetics400-flow", [OWN, SCRATCH])
    assert all(name.endswith("-flow") for name in rows[:-2])
    recipe = load_recipe(draft.save(tmp_path / "flow.toml"))
    assert (recipe.model.modality, recipe.model.mean, recipe.model.channels) == ("flow", (128, 128), 10)
    assert recipe.weights.load_from.endswith("_flow_20200705-1f39486b.pth")
    assert recipe.dataset.root == str(flow / "flow") and recipe.dataset.filename_template == "auto"
    assert build_model(recipe).backbone.conv1.in_channels == 10
    assert "flow" not in {draft.value(key) for key in QUESTIONS if key.startswith("dataset.")}


def test_both_are_pictures_unless_flow_is_asked_for(flow: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(flow / "flow" / name, 7)
    assert inferred(flow).value("start") == "tsn-r50-kinetics400"
    draft = inferred(flow, {"model.modality": "flow"})
    assert draft.value("start") == "tsn-r50-kinetics400-flow"
    assert load_recipe(draft.save(tmp_path / "flow.toml")).model.modality == "flow"


def test_columns_are_asked_about(unclear: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set .dataset. with_offset to false or true"):
        inferred(unclear)
    draft = Draft({"data": str(unclear)})
    columns = QUESTIONS["dataset.with_offset"]
    with pytest.raises(DataError):
        draft.look()
    assert columns.applies(draft) and "with_offset" in draft.problems()["dataset.with_offset"]
    draft.give("dataset.with_offset", "true")
    draft.look()
    assert draft.found and columns.applies(draft) and draft.found.classes == ("0", "1")
    assert load_recipe(draft.save(tmp_path / "r.toml")).dataset.with_offset is True
    assert inferred(unclear, {"dataset.with_offset": False}).found.classes == tuple("012345")


def test_kinds_of_images_are_asked_about(unclear: Path) -> None:
    (unclear / "train_rawframes.txt").write_text("a 9 0\nb 9 1")
    for name in ("a", "b"):
        write_frames(unclear / "frames" / name, 9, "mask_{:05}.png")
    draft = Draft({"data": str(unclear)})
    with pytest.raises(DataError, match="images of several names"):
        draft.look()
    assert QUESTIONS["dataset.filename_template"].applies(draft)
    draft.give("dataset.filename_template", "img_{:05}.jpg")
    draft.look()
    assert draft.recipe().dataset.filename_template == "img_{:05}.jpg"


def test_answers_on_frames_do_not_follow_to_other_data(unclear: Path, tmp_path: Path) -> None:
    for name in ("run", "walk"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "1.mp4").touch()
    draft = Draft({"data": str(unclear)})
    draft.give("dataset.with_offset", "true")
    draft.give("data", str(tmp_path / "videos"))
    draft.look()
    assert "with_offset" not in draft.found.table
    assert draft.recipe_as_far_as_it_goes().dataset.with_offset == "auto"
