"""Whoever saved a file, its tensors are called what we call them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.model.backbones import image_backbone
from engine.weights.dialects import classes_in, resnet_in, state_dict_in, translate

# after engine.model, which prepares torchvision's import
from torchvision import models  # isort: skip

VECTORS = Path(__file__).parents[2] / "oracle" / "vectors"


def mmaction_keys(name: str) -> list[str]:
    return [key for key, _, _ in json.loads((VECTORS / f"{name}.json").read_text())["keys"]]


def ours(backbone: str) -> set[str]:
    return {f"backbone.{key}" for key in image_backbone(backbone, 224)[0].state_dict()} | {
        "head.fc.weight",
        "head.fc.bias",
    }


def shapes_of(classifier: str) -> dict[str, tuple[int, ...]]:
    """Of a whole classifier of torchvision, every key behind "backbone."."""
    with torch.device("meta"):
        state = models.get_model(classifier, weights=None).state_dict()
    return {f"backbone.{key}": tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "backbone"), [("tsn_r50", "resnet50"), ("tsn_r18", "resnet18"), ("tsm_r50", "resnet50")]
)
def test_mmactions_own_resnets(name: str, backbone: str) -> None:
    dialect, names = translate(mmaction_keys(name))
    assert dialect == "MMAction2 names"
    assert set(names.values()) == ours(backbone)


def test_a_backbone_of_mmaction_published_alone() -> None:
    whole = mmaction_keys("tsn_r18")
    alone = [key.removeprefix("backbone.") for key in whole if key.startswith("backbone.")]
    _, names = translate(alone)
    assert set(names.values()) == {key for key in ours("resnet18") if key.startswith("backbone.")}


@pytest.mark.parametrize("backbone", ["densenet121", "mobilenet_v2"])
def test_mmaction_around_torchvision(backbone: str) -> None:
    body = [key for key in ours(backbone) if key.startswith("backbone.")]
    dialect, names = translate([*body, "cls_head.fc_cls.weight", "cls_head.fc_cls.bias"])
    assert dialect == "MMAction2 names, torchvision backbone"
    assert set(names.values()) == ours(backbone)


@pytest.mark.parametrize(
    "name",
    ["resnet18", "alexnet", "densenet121", "mobilenet_v3_small", "squeezenet1_1", "swin_t", "vit_b_16"],
)
def test_torchvisions_classifiers(name: str) -> None:
    dialect, names = translate(key.removeprefix("backbone.") for key in shapes_of(name))
    assert dialect == "torchvision names"
    assert set(names.values()) == ours(name)


def test_densenets_as_they_were_published() -> None:
    """In the files of 2017, norm1 is norm.1; torchvision itself renames them while loading."""
    _, names = translate(["features.denseblock1.denselayer1.norm.1.running_mean", "features.conv0.weight"])
    assert list(names.values()) == [
        "backbone.features.denseblock1.denselayer1.norm1.running_mean",
        "backbone.features.conv0.weight",
    ]


def test_a_googlenet_is_not_taken_for_mmactions_resnet() -> None:
    keys = ["backbone.conv1.conv.weight", "backbone.conv1.bn.weight", "cls_head.fc_cls.weight"]
    _, names = translate(keys)
    assert list(names.values()) == [*keys[:2], "head.fc.weight"]


def test_our_own_names_stay() -> None:
    keys = ["backbone.conv1.weight", "backbone.fc1.conv1.conv.weight", "head.fc.weight"]
    assert translate(keys) == ("ftwiz names", {key: key for key in keys})


def test_what_parallel_and_compiled_models_put_in_front() -> None:
    keys = mmaction_keys("tsm_r50")
    _, plain = translate(keys)
    _, wrapped = translate([f"module._orig_mod.{key}" for key in keys])
    assert list(wrapped.values()) == list(plain.values())


def test_wrappers() -> None:
    state = {"x": 1}
    for document in (state, {"state_dict": state}, {"model_state": state, "epoch": 1}, {"model": state}):
        assert state_dict_in(document) is state


def test_class_names() -> None:
    names = ("a", "b")
    assert classes_in({"classes": ["a", "b"]}) == names
    assert classes_in({"meta": {"CLASSES": names}}) == names
    assert classes_in({"meta": {"dataset_meta": {"classes": ["a", "b"]}}}) == names
    assert classes_in({"meta": {"dataset_meta": None}}) == classes_in({"meta": None, "classes": [1, 2]}) == ()


def test_which_resnet_it_is() -> None:
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        assert resnet_in(shapes_of(name)) == name
    assert resnet_in(shapes_of("wide_resnet50_2")) == resnet_in({}) == ""


def test_it_needs_no_torch() -> None:
    code = "import sys, engine.weights.dialects; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
