"""The presets of published checkpoints: their numbers are those of the published configs, their weights fit them.

`published_configs.csv` holds what `ftwiz import` reads in those configs. Where MMAction2 is installed (0.24.1 or 1.2.0;
`pip install --no-deps --target FOLDER mmaction2` and PYTHONPATH), the configs themselves are compared, key by key.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from engine.mmaction.recipe import import_config
from engine.recipe import Recipe, load_recipe, preset_names, preset_path
from engine.weights.fetch import hash_in_name
from engine.weights.published import PUBLISHED, Published

pytestmark = pytest.mark.slow  # `make quick` does without

CONFIGS = list(csv.DictReader((Path(__file__).parent / "published_configs.csv").open(encoding="utf-8")))
THE_TUTORIALS = "tsn-r50-ucf101"  # an example, of which no weights were published

# Clips are mirrored by the classes' names here; the configs list ids, which an import does not carry over.
MIRRORED = {
    "tsn-r50-something-v2", "tsn-r50-16f-something-v2", "tsm-r50-something-v2", "tsm-r50-16f-something-v2",
    "tsm-r101-something-v2", "tsm-r50-flip-something-v1",
}  # fmt: skip
_ONLY_TESTS = {"model.drop_path", "schedule.label_smoothing", "run.test_short_side", "run.test_frame_size"}
_MVIT_OF_PYSLOWFAST = {
    "schedule.lr_batch_size", "schedule.decay_norm_and_bias", "schedule.mixup", "schedule.cutmix",
}  # fmt: skip
# Where a preset means something else than the config; its comments say why.
DIFFERS = {
    "mvit-s-something-v2": {"schedule.lr_batch_size"},
    "mvit-b-something-v2": _MVIT_OF_PYSLOWFAST,
    "mvit-l-something-v2": {
        *_MVIT_OF_PYSLOWFAST, "dataset.short_side", "dataset.frame_size", "run.test_short_side",
    },
    "slowonly-r50-nl-embedded-gaussian-4x16-kinetics400": {"schedule.epochs"},
    "tsm-mobilenetv2-kinetics400": {"weights.backbone"},
    "tsn-r50-kinetics400": {"weights.backbone"},  # the tutorial's
    "tsm-r50-16f-something-v2": {"run.test_segments"},  # 8 there, for a model of 16
    "videomae-b-kinetics400": _ONLY_TESTS,
    "videomae-l-kinetics400": _ONLY_TESTS,
    "videomaev2-b-kinetics400": _ONLY_TESTS,
    "videomaev2-s-kinetics400": _ONLY_TESTS,
    "x3d-m-kinetics400": {"run.test_short_side"},  # 256, as in training
} | {name: {"dataset.flip"} for name in MIRRORED - {"tsm-r50-16f-something-v2"}}  # fmt: skip
DIFFERS["tsm-r50-16f-something-v2"] |= {"dataset.flip"}
# Where the data lie, and how often a file is written, changes nothing about what is learnt.
NOT_COMPARED = {
    "dataset.format", "dataset.root", "dataset.val_root", "dataset.annotations", "dataset.train_list",
    "dataset.val_list", "dataset.clips", "dataset.filename_template", "dataset.start_index", "dataset.with_offset",
    "schedule.keep_checkpoints", "schedule.checkpoint_interval", "schedule.validation_interval",
}  # fmt: skip


def comments(name: str) -> str:
    """What a preset's file says before its first key, as one line."""
    text = preset_path(name).read_text(encoding="utf-8")
    lines = [line.removeprefix("#").strip() for line in text.split("\n") if line.startswith("#")]
    return " ".join(lines)


def config_of(name: str) -> tuple[str, str] | None:
    """Edition ("0" or "1") and path of the MMAction2 config that a preset names as its source."""
    named = re.search(r"Source: MMAction2 ([01])\.x, (configs/\S+?\.py)", comments(name))
    return (named.group(1), named.group(2)) if named else None


def said_by(recipe: Recipe) -> dict[str, str]:
    model, schedule, run = recipe.model, recipe.schedule, recipe.run
    return {
        "classes": str(recipe.head.num_classes),
        "dropout": f"{recipe.head.dropout:g}",
        "init_std": f"{recipe.head.init_std:g}",
        "frames": f"{model.clip_len}x{model.frame_interval}" if model.clip_len else str(model.segments),
        "optimizer": schedule.optimizer,
        "lr": f"{schedule.lr:g}",
        "lr_batch_size": str(schedule.lr_batch_size),
        "batch_size": str(schedule.batch_size),
        "epochs": str(schedule.epochs),
        "weight_decay": f"{schedule.weight_decay:g}",
        "lr_over_time": schedule.lr_policy if schedule.lr_policy != "step" else "/".join(map(str, schedule.milestones)),
        "test": f"{run.test_clips if model.clip_len else run.test_segments}x{run.test_crops}",
    }


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["preset"])
def test_head_frames_schedule_and_protocol_are_those_of_the_published_config(config: dict[str, str]) -> None:
    name = config["preset"]
    ours = said_by(load_recipe(name))
    apart = {"test" if key == "run.test_segments" else key.partition(".")[2] for key in DIFFERS.get(name, ())}
    theirs = {key: value for key, value in config.items() if key in ours and value and key not in apart}
    assert {key: ours[key] for key in theirs} == theirs
    assert len(theirs) >= 4


def test_every_preset_that_names_a_config_is_compared_with_it() -> None:
    assert [name for name in preset_names() if config_of(name)] == sorted(config["preset"] for config in CONFIGS)


def _installed_configs() -> tuple[Path, str] | None:
    """The folder of an installed MMAction2's configs, and its edition."""
    found = importlib.util.find_spec("mmaction")
    if not found or not found.origin or not (configs := Path(found.origin).parent / ".mim" / "configs").is_dir():
        return None
    version = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    return configs, str(re.search(r"__version__ = ['\"](\d)", version)[1])  # type: ignore[index]


def test_importing_the_published_configs_gives_the_presets() -> None:
    if not (installed := _installed_configs()):
        pytest.skip("MMAction2 is not installed")
    configs, edition = installed
    unexpected = {}
    for name in preset_names():
        if (named := config_of(name)) and named[0] == edition:
            found, ours = import_config(configs.parent / named[1], configs), load_recipe(name)
            differing = {key for key in found.sources if _value(found.recipe, key) != _value(ours, key)}
            if differing - NOT_COMPARED != DIFFERS.get(name, set()):
                unexpected[name] = differing - NOT_COMPARED
    assert unexpected == {}


def _value(recipe: Recipe, key: str) -> Any:
    table, name = key.split(".")
    return getattr(getattr(recipe, table), name)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_every_preset_has_one_row_of_published_weights() -> None:
    presets = [published.preset for published in PUBLISHED]
    assert sorted([*presets, THE_TUTORIALS]) == preset_names()
    assert len({(published.name, published.pretrained_on) for published in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.preset)
def test_a_row_says_what_the_presets_comments_say(published: Published) -> None:
    said = comments(published.preset)
    if published.backbone:
        assert published.backbone == load_recipe(published.preset).weights.backbone
        return
    assert f" {published.load_from}" in said, "the preset names another file"
    top1 = re.search(r"Published: top-1 ([\d.]+) %", said)
    assert (top1 and pytest.approx(float(top1[1]), abs=0.005)) == published.top1
    gflops = re.search(r"Published: .*?([\d.]+) GFLOPs", said)
    assert gflops and pytest.approx(float(gflops[1]), rel=0.001) == published.gflops
    assert published.modality == load_recipe(published.preset).model.modality
    whole = hash_in_name(published.load_from) or published.load_from.startswith("hf://")  # the Hub names the sha256
    assert whole, "nothing would tell whether the file is whole"


def test_torchvisions_rows_are_its_own_numbers() -> None:
    from engine.torchvision_schemas import torchvision

    rows = [published for published in PUBLISHED if published.preset.endswith("-torchvision")]
    assert len(rows) == 10
    for row in rows:
        name = load_recipe(row.preset).model.backbone
        weights = next(each for each in torchvision.models.get_model_weights(name) if each.url == row.load_from)
        assert row.top1 == pytest.approx(weights.meta["_metrics"]["Kinetics-400"]["acc@1"], abs=0.005)
        assert row.gflops == pytest.approx(weights.meta["_ops"], abs=0.006)
        assert row.parameters_m == pytest.approx(weights.meta["num_params"] / 1e6, abs=0.006)


CLASSES = {
    "Kinetics-400": 400, "Kinetics-600": 600, "Kinetics-700": 700, "Kinetics-710": 710, "UCF101": 101, "HMDB51": 51,
    "Something-Something V1": 174, "Something-Something V2": 174, "Moments in Time": 339, "Multi-Moments in Time": 313,
    "ActivityNet segments": 200, "ActivityNet videos": 200, "Diving48": 48, "Jester": 27,
}  # fmt: skip


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.preset)
def test_the_preset_builds_a_network_of_the_published_size(published: Published) -> None:
    recipe = load_recipe(published.preset)
    if recipe.model.recognizer == "transformers":
        pytest.importorskip("transformers")
    shared, features = _backbone(published.preset)
    classes = CLASSES.get(published.pretrained_on, 0)  # of images: the backbone alone
    parameters = shared + classes * (features + 1)
    assert published.parameters_m == pytest.approx(parameters / 1e6, abs=0.01)
    assert published.size_mb == pytest.approx(parameters * 4 / 1e6, rel=0.01, abs=5) or _has_tables(recipe)
    if classes and recipe.head.num_classes != "auto":
        assert recipe.head.num_classes == classes


def _has_tables(recipe: Recipe) -> bool:
    """Video Swin keeps tables of places beside its parameters, V-JEPA 2 the predictor of its pretraining."""
    return recipe.model.recognizer == "swin3d" or "vjepa2" in recipe.model.backbone_config


def _network(recipe: Recipe) -> tuple[tuple[str, Any], ...]:
    """The settings that tensors depend on, so that each network is built once."""
    model = recipe.model
    settings = {"recognizer": model.recognizer, "backbone": model.backbone, "style": model.style}
    settings["non_local"] = model.non_local
    if model.modality == "flow":
        settings |= {"modality": "flow", "flow_length": model.flow_length}
    if model.recognizer == "slowfast":
        settings |= {key: getattr(model, key) for key in ("lateral_kernel", "lateral_norm", "speed_ratio",
                                                          "resample_rate", "clip_len")}  # fmt: skip
    elif model.recognizer not in ("tsn", "tsm", "c2d"):
        settings |= {"clip_len": model.clip_len, "segments": model.segments}
    return (("frame_size", recipe.dataset.frame_size), *settings.items())


_BUILT: dict[tuple[tuple[str, Any], ...], tuple[int, int]] = {}


def _backbone(preset: str) -> tuple[int, int]:
    """Parameters without the last layer, and the features that this one takes; without memory."""
    import torch

    from engine.model import build_model

    recipe = load_recipe(preset, {"head.num_classes": 2})
    network = _network(recipe)
    if network not in _BUILT:
        with torch.device("meta"):
            model = build_model(recipe)
        assert len(model.stages()) >= 5
        features = model.head.fc.in_features
        _BUILT[network] = sum(each.numel() for each in model.parameters()) - 2 * (features + 1), features
    return _BUILT[network]
