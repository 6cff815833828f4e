"""Whoever saved a file, its tensors are called what we call them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.model import build_model
from engine.model.backbones import image_backbone
from engine.recipe import recipe_from
from engine.weights.dialects import arranged, classes_in, for_separated_channels, resnet_in, state_dict_in, translate
from tests.oracle.test_logits import MODELS

# after engine.model, which prepares torchvision's import
from torchvision import models  # isort: skip

NAMES = Path(__file__).parent / "names"
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"), [("tsn_r50", "resnet50"), ("tsn_r18", "resnet18"), ("tsm_r50", "resnet50")]
)
def test_mmactions_own_resnets(name: str, backbone: str) -> None:
    dialect, names = translate(mmaction_keys(name))
    assert dialect == "MMAction2 names"
    assert set(names.values()) == ours(backbone)


def ours_of(model: dict[str, Any], size: int = 224, classes: int = 400) -> set[str]:
    """The keys of a recognizer's state dict, by its [model]."""
    document = {"model": model, "head": {"num_classes": classes}, "dataset": {"frame_size": size}}
    with torch.device("meta"):
        return set(build_model(recipe_from(document)).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("c2d_r50", ""), ("i3d_r50", ""), ("slowonly_r50", ""), ("slowfast_r50_4x16", ""), ("r2plus1d_r34", ""),
        ("x3d_s", ""), ("c3d", ", C3D"), ("tsm_mobilenet_v2", ", MobileNetV2"), ("swin_tiny_t8", ", Video Swin"),
        ("timesformer_divST", ", TimeSformer (divided)"), ("videomae_vit_b", ", VideoMAE"),
        ("mvit_small", "MViT names"), ("tsn_tv_densenet161", ", torchvision backbone"),
    ],
)  # fmt: skip
def test_mmactions_other_networks(name: str, dialect: str) -> None:
    found, names = translate(mmaction_keys(name))
    assert found == (dialect if dialect.endswith("names") else f"MMAction2 names{dialect}")
    shape = json.loads((VECTORS / f"{name}.json").read_text())["input_shape"]
    frames = {"segments": shape[1]} if len(shape) == 5 else {"clip_len": shape[3]}
    assert set(names.values()) == ours_of({**MODELS[name], **frames}, shape[-1])


def test_mmactions_interaction_preserving_csn() -> None:
    """Its second convolution is two, each with its norm."""
    block = "backbone.layer1.0"
    keys = [f"{block}.{part}.conv.weight" for part in ("conv1", "conv2.0", "conv2.1", "conv3", "downsample")]
    keys += [f"{block}.{part}.bn.weight" for part in ("conv1", "conv2.0", "conv2.1", "conv3", "downsample")]
    ours = ours_of({"recognizer": "csn", "backbone": "ip-resnet50", "clip_len": 8}, 64)
    assert set(translate(keys)[1].values()) == {key for key in ours if key.startswith(block) and key.endswith("weight")}


I3D_8X8 = {"recognizer": "i3d", "backbone": "resnet50-8x8", "clip_len": 8}
SLOWFAST = {"recognizer": "slowfast", "backbone": "resnet50", "clip_len": 32, "lateral_norm": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dialect", "model"),
    [
        ("pyslowfast_slow", "PySlowFast names", MODELS["slowonly_r50"] | {"clip_len": 8}),
        ("pyslowfast_slowfast", "PySlowFast names, SlowFast", SLOWFAST),
        ("pyslowfast_x3d_s", "PySlowFast names, X3D", MODELS["x3d_s"] | {"clip_len": 13}),
        ("pyslowfast_mvit_s", "MViT names", MODELS["mvit_small"] | {"clip_len": 16}),
        ("pytorchvideo_i3d", "PyTorchVideo names, I3D and C2D", I3D_8X8),
        ("pytorchvideo_slow", "PyTorchVideo names", MODELS["slowonly_r50"] | {"clip_len": 8}),
        ("pytorchvideo_slowfast", "PyTorchVideo names, SlowFast", SLOWFAST),
        ("pytorchvideo_x3d_s", "PyTorchVideo names, X3D", MODELS["x3d_s"] | {"clip_len": 13}),
    ],
)
def test_pyslowfast_and_pytorchvideo(name: str, dialect: str, model: dict[str, Any]) -> None:
    """names/*.txt: the weights of these libraries' own networks, as they call them."""
    found, names = translate((NAMES / f"{name}.txt").read_text().split())
    assert found == dialect
    ours = {key for key in ours_of(model) if key.endswith("weight")}
    # PyTorchVideo's X3D has no norm in the shortcut of its first block, which does not change the channels.
    unknown = {"backbone.layer1.0.downsample.1.weight"} if name == "pytorchvideo_x3d_s" else set()
    assert set(names.values()) == ours - unknown


def test_pytorchvideos_separated_channels() -> None:
    """Its names are those of its SlowOnly; the recognizer tells which part of ours a convolution is."""
    dialect, names = translate((NAMES / "pytorchvideo_csn_r101.txt").read_text().split())
    ours = ours_of({"recognizer": "csn", "backbone": "ir-resnet101", "clip_len": 32})
    assert set(for_separated_channels(dialect, names).values()) == {key for key in ours if key.endswith("weight")}
    assert for_separated_channels("MMAction2 names", names) == names


def test_pytorchvideos_mvit() -> None:
    """Of version 1. It stores what pools twice, and its projections apart: `load` joins these."""
    keys = (NAMES / "pytorchvideo_mvit_b.txt").read_text().split()
    dialect, names = translate(keys)
    assert dialect == "MViT names"
    model = {"recognizer": "mvit", "backbone": "mvit_v1_b", "clip_len": 16}
    ours = {key for key in ours_of(model) if not key.endswith("bias")}
    found = {re.sub(r"\.attn\.[qkv]\.", ".attn.qkv.", name) for name in names.values()}
    assert found == ours
    assert all("_attention_pool" not in name for name in names.values())


@pytest.mark.parametrize("dialect", ["PySlowFast names, SlowFast", "PyTorchVideo names, SlowFast"])
def test_slowfasts_slow_features_come_first_elsewhere(dialect: str) -> None:
    theirs, slow, fast = torch.randn(5, 2304), torch.randn(2048), torch.randn(256)
    ours = arranged(dialect, "head.fc.weight", theirs)
    torch.testing.assert_close(ours @ torch.cat([fast, slow]), theirs @ torch.cat([slow, fast]), rtol=1e-4, atol=1e-4)
    assert arranged(dialect, "head.fc.bias", theirs) is arranged("MMAction2 names", "head.fc.weight", theirs) is theirs


def test_timesformers_own_names() -> None:
    ours = ours_of(MODELS["timesformer_divST"] | {"clip_len": 8})
    theirs = {f"model.{key.removeprefix('backbone.')}".replace("model.head.fc.", "model.head."): key for key in ours}
    assert translate(theirs) == ("TimeSformer names", theirs)


def test_videomaes_own_names() -> None:
    """Fine-tuned, and the encoder as it was pretrained."""
    ours = ours_of(MODELS["videomae_vit_b"] | {"clip_len": 16})
    theirs = {key.removeprefix("backbone.").replace("head.fc.", "head."): key for key in ours}
    assert translate(theirs) == ("VideoMAE names", theirs)
    encoder = {f"encoder.{key}": name for key, name in theirs.items() if not key.startswith("head.")}
    assert translate(encoder) == ("VideoMAE names", encoder)


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


@pytest.mark.slow
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


def test_what_lightning_puts_in_front() -> None:
    keys = (NAMES / "pytorchvideo_slow.txt").read_text().split()
    dialect, plain = translate(keys)
    for front in ("model.", "module.model.", "model.module."):
        assert translate([front + key for key in keys]) == (dialect, {front + key: plain[key] for key in keys})


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
