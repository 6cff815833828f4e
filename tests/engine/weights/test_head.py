"""[head] reuse: what is kept of the one layer that depends on the classes, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.recipe import Recipe
from engine.weights.known import classes_of_published
from engine.weights.load import load_weights, plan_weights
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import State, agree, model_for, our_checkpoint, recipe_for, refused, saved, trained

THERE = ("abseiling", "air drumming", "Archery", "bowling", "playing guitar")
HERE = ("bowling", "my own class", "ARCHERY", "playing_guitar")


def matching(classes: tuple[str, ...] = HERE, **tables: Any) -> Recipe:
    tables = {"head": {"num_classes": len(classes), "reuse": "matching"}, **tables}
    return recipe_for(dataset={"classes": list(classes)}, **tables)


def zoo_file(path: Path, meta: dict[str, Any], state: State | None = None) -> tuple[str, State]:
    state = state or trained(recipe_for(len(THERE)))
    return saved({"meta": meta, "state_dict": mmaction_state(state)}, path), state


@pytest.mark.parametrize("meta", [{"CLASSES": THERE}, {"dataset_meta": {"classes": list(THERE)}}], ids=["0.x", "1.x"])
def test_rows_of_classes_that_the_file_knows_are_kept(meta: dict[str, Any], tmp_path: Path) -> None:
    source, state = zoo_file(tmp_path / "x.pth", meta)
    recipe = matching()
    model, fresh = model_for(recipe), model_for(recipe).state_dict()
    report = load_weights(model, source, recipe)
    assert agree(model, state, but=("head.",))
    for key in ("head.fc.weight", "head.fc.bias"):
        rows = model.state_dict()[key]
        for new, old in {0: 3, 2: 2, 3: 4}.items():
            assert torch.equal(rows[new], state[key][old])
        assert torch.equal(rows[1], fresh[key][1]), "a class of one's own starts as it would have"
    assert report.head_rows == report.known_classes == ("bowling", "ARCHERY", "playing_guitar")
    assert report.lines()[2] == (
        "re-initialised 2 of 74 tensors: head 5 → 4, kept 3 of 4 rows: bowling, ARCHERY, playing_guitar"
    )
    assert plan_weights(model_for(recipe), source, recipe) == report


def test_all_rows_in_another_order(tmp_path: Path) -> None:
    """Which reuse = "same" would throw away: ids do not travel."""
    source, state = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    recipe = matching(("turn", "push", "pull"))
    model = model_for(recipe)
    report = load_weights(model, source, recipe)
    assert torch.equal(model.head.fc.weight, state["head.fc.weight"][[2, 0, 1]])
    assert torch.equal(model.head.fc.bias, state["head.fc.bias"][[2, 0, 1]])
    assert len(report.kept) == 74 and not report.reinitialised
    assert "head 3 → 3, kept 3 of 3 rows: turn, push, pull" in report.lines()


def test_no_class_in_common(tmp_path: Path) -> None:
    source, _ = zoo_file(tmp_path / "x.pth", {"CLASSES": THERE})
    recipe = matching(("left", "right"))
    model, fresh = model_for(recipe), model_for(recipe).state_dict()
    report = load_weights(model, source, recipe)
    assert torch.equal(model.head.fc.weight, fresh["head.fc.weight"])
    assert report.head_change == "head 5 → 2, kept none of 2 rows: the file knows none of these classes"
    assert report.lines()[-1] == "none of the 2 classes here is among them"


def test_a_head_that_is_a_convolution(tmp_path: Path) -> None:
    _, state = zoo_file(tmp_path / "x.pth", {})
    as_convolution = {**state, "head.fc.weight": state["head.fc.weight"][:, :, None, None, None]}
    source, _ = zoo_file(tmp_path / "x.pth", {"CLASSES": THERE}, as_convolution)
    model = model_for(matching())
    load_weights(model, source, matching())
    assert torch.equal(model.head.fc.weight[0], state["head.fc.weight"][3])


@pytest.mark.slow
def test_pyslowfasts_rows_are_arranged_as_ours(tmp_path: Path) -> None:
    """Its features of the slow pathway come first, ours last."""
    slowfast: dict[str, Any] = {"recognizer": "slowfast", "backbone": "resnet18", "model": {"clip_len": 16}}
    recipe = matching(**slowfast)
    state = trained(recipe_for(len(THERE), **slowfast))
    theirs = {key.replace("head.fc.", "head.projection."): value for key, value in state.items()}
    lateral = theirs.pop("backbone.slow_path.conv1_lateral.conv.weight")
    theirs["s1_fuse.conv_f2s.weight"] = lateral  # what the names are told by
    source = saved({"model_state": theirs, "classes": list(THERE)}, tmp_path / "x.pyth")
    model = model_for(recipe)
    load_weights(model, source, recipe)
    row = state["head.fc.weight"][3]
    assert torch.equal(model.head.fc.weight[0], row.roll(len(row) // 9))


def test_every_row_can_be_new(tmp_path: Path) -> None:
    source, state = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    recipe = recipe_for(dataset={"classes": ["push", "pull", "turn"]}, head={"reuse": "none"})
    model = model_for(recipe)
    report = load_weights(model, source, recipe)
    assert agree(model, state, but=("head.",)) and not agree(model, state)
    assert report.lines()[2].endswith('head 3 → 3 (expected: [head] reuse = "none")')


def test_other_spellings_are_the_same_classes(tmp_path: Path) -> None:
    source, state = our_checkpoint(tmp_path, ("pull up", "push-up", "turn"))
    recipe = recipe_for(dataset={"classes": ["Pull_Up", "push up", "turn"]})
    model = model_for(recipe)
    load_weights(model, source, recipe)
    assert agree(model, state)


def test_only_the_rows_that_are_taken_must_be_finite(tmp_path: Path) -> None:
    state = trained(recipe_for(len(THERE)))
    state["head.fc.weight"][0, 0] = float("nan")  # abseiling
    source, _ = zoo_file(tmp_path / "x.pth", {"CLASSES": THERE}, state)
    load_weights(model_for(matching()), source, matching())
    assert "head.fc.weight holds numbers that are not finite" in refused(matching(("abseiling", "chess")), source)


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    nameless, _ = zoo_file(tmp_path / "nameless.pth", {})
    assert "nameless.pth does not name its classes; take a file that does" in refused(matching(), nameless)
    named, state = zoo_file(tmp_path / "named.pth", {"CLASSES": THERE})
    assert "[weights] backbone takes no head" in refused(matching(), named, backbone_only=True)
    assert "give it a dataset" in refused(recipe_for(head={"reuse": "matching"}), named)
    headless, _ = zoo_file(
        tmp_path / "headless.pth",
        {"CLASSES": THERE},
        {key: value for key, value in state.items() if not key.startswith("head.")},
    )
    assert "headless.pth has no head that could be read" in refused(matching(), headless)


# --- published files that do not name their classes -------------------------------------------------------------------

_TSN = "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth"


@pytest.mark.parametrize(
    "name, digits, classes, first",
    [
        ("r3d_18-b3b3357e.pth", "b3b3357e", 400, "abseiling"),
        ("resnet50-0676ba61.pth", "0676ba61", 1000, "tench"),
        (_TSN, "cd10898e", 400, "abseiling"),
        ("slowonly_r50_4x16x1_256e_kinetics400_rgb_20200704-a69556c6.pth", "a69556c6", 400, "abseiling"),
        (_TSN, "00000000", 0, ""),  # another file under its name
        ("tsn_kinetics400-rgb_20220906.pth", "cd10898e", 0, ""),
        ("ircsn_ig65m-pretrained-r152_8xb12-32x2x1-58e_kinetics400-rgb_20220811-c7a3cc5b.pth", "c7a3cc5b", 0, ""),
        ("uniformer-tiny_imagenet1k-pre_16x4x1_kinetics400-rgb_20221219-c630a037.pth", "c630a037", 0, ""),
        ("tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb_20230317-be0fc26e.pth", "be0fc26e", 0, ""),
    ],
)
def test_their_publishers_list(name: str, digits: str, classes: int, first: str) -> None:
    found = classes_of_published(Path("/cache", name), digits + "0" * 56)
    assert len(found) == classes and "".join(found[:1]) == first


def test_kinetics_400_is_mmaction2s_own_list(shared: Path) -> None:
    theirs = (shared / "data/annotations/mmaction2_label_maps/kinetics_label_map_k400.txt").read_text().splitlines()
    assert list(classes_of_published(Path(_TSN), "cd10898e")) == theirs
