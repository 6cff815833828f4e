"""The presets say what their sources say, number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.recipe import TABLES, document_of, load_recipe, preset_names, preset_path, resolve_recipe

KINETICS_CHECKPOINT = (
    "https://download.openmmlab.com/mmaction/v1.0/recognition/tsn/"
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb/"
    "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth"
)

# Knob by knob, as in MMAction2's fine-tuning tutorial and the configs it starts from.
TUTORIAL_TEMPLATE = {
    "model.recognizer": "tsn",
    "model.backbone": "resnet50",
    "model.segments": 3,
    "model.norm_eval": False,
    "model.mean": (123.675, 116.28, 103.53),
    "model.std": (58.395, 57.12, 57.375),
    "head.num_classes": 400,
    "head.consensus": "avg",
    "head.spatial": "avg",
    "head.dropout": 0.4,
    "head.init_std": 0.01,
    "dataset.format": "mmaction_video",
    "dataset.short_side": 256,
    "dataset.frame_size": 224,
    "dataset.crop": "multiscale",
    "dataset.crop_scales": (1.0, 0.875, 0.75, 0.66),
    "dataset.crop_scale_gap": 1,
    "dataset.crop_positions": 5,
    "dataset.flip": 0.5,
    "schedule.epochs": 100,
    "schedule.batch_size": 32,
    "schedule.lr": 0.01,
    "schedule.lr_batch_size": 256,
    "schedule.optimizer": "sgd",
    "schedule.momentum": 0.9,
    "schedule.nesterov": False,
    "schedule.weight_decay": 0.0001,
    "schedule.head_lr_multiplier": 1.0,
    "schedule.bias_lr_multiplier": 1.0,
    "schedule.decay_norm_and_bias": True,
    "schedule.grad_clip_norm": 40.0,
    "schedule.label_smoothing": 0.0,
    "schedule.lr_policy": "step",
    "schedule.milestones": (40, 80),
    "schedule.gamma": 0.1,
    "schedule.warmup_epochs": 0.0,
    "schedule.validation_interval": 1,
    "schedule.checkpoint_interval": 3,
    "weights.load_from": "",
    "weights.backbone": "torchvision://resnet50",
    "run.average_clips": "prob",
    "run.test_segments": 25,
    "run.test_crops": 10,
}
TUTORIAL_EXAMPLE = TUTORIAL_TEMPLATE | {
    "head.num_classes": 101,
    "dataset.format": "ucf101",
    "dataset.split": 1,
    "schedule.epochs": 50,
    "schedule.lr": 0.005,
    "schedule.milestones": (20, 40),
    "schedule.checkpoint_interval": 5,
    "weights.load_from": KINETICS_CHECKPOINT,
}
IMAGENET_START = TUTORIAL_TEMPLATE | {
    "head.num_classes": "auto",
    "dataset.format": "folders",
    "schedule.epochs": 50,
    "schedule.lr": 0.005,
    "schedule.milestones": (20, 40),
    "weights.backbone": "torchvision://resnet50",
}
TSM = TUTORIAL_TEMPLATE | {
    "model.recognizer": "tsm",
    "model.segments": 8,
    "model.shift_div": 8,
    "head.dropout": 0.5,
    "head.init_std": 0.001,
    "dataset.crop_positions": 13,
    "schedule.epochs": 50,
    "schedule.batch_size": 16,
    "schedule.lr": 0.02,
    "schedule.lr_batch_size": 128,
    "schedule.head_lr_multiplier": 5.0,
    "schedule.bias_lr_multiplier": 2.0,
    "schedule.decay_norm_and_bias": False,
    "schedule.grad_clip_norm": 20.0,
    "schedule.milestones": (25, 45),
    "schedule.warmup_epochs": 5.0,
    "schedule.warmup_start": 0.1,
    "weights.backbone": "torchvision://resnet50",
    "run.test_segments": 8,
}
FLOW = TUTORIAL_TEMPLATE | {
    "model.modality": "flow",
    "model.flow_length": 5,
    "model.segments": 8,
    "model.mean": (128.0, 128.0),
    "model.std": (128.0, 128.0),
    "dataset.format": "mmaction_rawframes",
    "dataset.filename_template": "auto",
    "dataset.crop": "random_resized",
    "schedule.epochs": 110,
    "schedule.batch_size": 12,
    "schedule.lr": 0.001875,
    "schedule.lr_batch_size": 96,
    "schedule.milestones": (70, 100),
    "schedule.validation_interval": 5,
    "schedule.checkpoint_interval": 5,
    "weights.backbone": "torchvision://resnet50",
    "run.average_clips": "score",
}
# What MMAction2 1.x trains 3D networks with on Kinetics-400: the values that the config of each spells out.
KINETICS = {
    "head.num_classes": 400, "head.dropout": 0.5, "head.init_std": 0.01, "dataset.format": "mmaction_video",
    "dataset.short_side": 256, "dataset.frame_size": 224, "dataset.flip": 0.5, "model.frame_interval": 2,
    "schedule.optimizer": "sgd", "schedule.momentum": 0.9, "schedule.weight_decay": 0.0001,
    "schedule.grad_clip_norm": 40.0, "run.average_clips": "prob", "run.test_clips": 10, "run.test_crops": 3,
    "run.test_short_side": 0, "run.test_frame_size": 256, "weights.load_from": "", "weights.backbone": "",
}  # fmt: skip
STEPS = {"schedule.epochs": 100, "schedule.lr": 0.01, "schedule.lr_policy": "step", "schedule.milestones": (40, 80)}
FROM_SCRATCH = {"schedule.lr_policy": "cosine", "dataset.crop": "random_resized"}
CLIPS_OF = {
    "c2d-r50-kinetics400": KINETICS | STEPS | {
        "model.recognizer": "c2d", "model.backbone": "resnet50", "model.clip_len": 8, "model.frame_interval": 8,
        "dataset.crop": "multiscale", "dataset.crop_scales": (1.0, 0.875, 0.75, 0.66), "dataset.crop_scale_gap": 1,
        "schedule.batch_size": 32, "schedule.lr_batch_size": 256,
        "weights.backbone": "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        "run.test_short_side": 224, "run.test_frame_size": 0,
    },
    "i3d-r50-kinetics400": KINETICS | STEPS | {
        "model.recognizer": "i3d", "model.backbone": "resnet50", "model.clip_len": 32,
        "dataset.crop": "multiscale", "dataset.crop_scales": (1.0, 0.8), "dataset.crop_scale_gap": 0,
        "schedule.batch_size": 8, "schedule.lr_batch_size": 64, "weights.backbone": "torchvision://resnet50",
    },
    "slowonly-r50-kinetics400": KINETICS | FROM_SCRATCH | {
        "model.recognizer": "slowonly", "model.backbone": "resnet50", "model.clip_len": 8, "model.frame_interval": 8,
        "schedule.epochs": 256, "schedule.batch_size": 16, "schedule.lr": 0.2, "schedule.lr_batch_size": 128,
        "schedule.warmup_epochs": 34.0, "schedule.warmup_start": 0.1,
    },
    "slowfast-r50-kinetics400": KINETICS | FROM_SCRATCH | {
        "model.recognizer": "slowfast", "model.backbone": "resnet50", "model.clip_len": 32,
        "model.resample_rate": 4, "model.speed_ratio": 4, "model.lateral_kernel": 7, "model.lateral_norm": False,
        "schedule.epochs": 256, "schedule.batch_size": 8, "schedule.lr": 0.1, "schedule.lr_batch_size": 64,
        "schedule.warmup_epochs": 34.0, "schedule.warmup_start": 0.1,
    },
    "r2plus1d-r34-kinetics400": KINETICS | FROM_SCRATCH | {
        "model.recognizer": "r2plus1d", "model.backbone": "resnet34", "model.clip_len": 32,
        "schedule.epochs": 180, "schedule.batch_size": 8, "schedule.lr": 0.01, "schedule.lr_batch_size": 64,
        "schedule.warmup_epochs": 0.0,
    },
    "swin3d-t-kinetics400": KINETICS | FROM_SCRATCH | {
        "model.recognizer": "swin3d", "model.backbone": "swin3d_t", "model.clip_len": 32, "model.drop_path": 0.1,
        "schedule.epochs": 30, "schedule.batch_size": 8, "schedule.lr_batch_size": 64, "schedule.optimizer": "adamw",
        "schedule.lr": 1e-4, "schedule.head_lr_multiplier": 10.0,  # 1e-3 with lr_mult = 0.1 for the backbone
        "schedule.weight_decay": 0.02, "schedule.decay_norm_and_bias": False, "schedule.grad_clip_norm": 0.0,
        "schedule.warmup_epochs": 2.5, "schedule.warmup_start": 0.1,
        "weights.backbone": "https://download.openmmlab.com/mmaction/v1.0/recognition/swin/"
                            "swin_tiny_patch4_window7_224.pth",
        "run.test_clips": 4, "run.test_short_side": 224, "run.test_frame_size": 0,
    },
    "mvit-s-kinetics400": KINETICS | FROM_SCRATCH | {
        "model.recognizer": "mvit", "model.backbone": "mvit_v2_s", "model.clip_len": 16, "model.frame_interval": 4,
        "model.drop_path": 0.2, "model.mean": (114.75, 114.75, 114.75), "model.std": (57.375, 57.375, 57.375),
        "head.init_std": 0.02, "dataset.rand_augment": 21, "dataset.rand_augment_ops": 4,
        "schedule.epochs": 200, "schedule.batch_size": 16, "schedule.lr": 1.6e-3, "schedule.lr_batch_size": 512,
        "schedule.optimizer": "adamw", "schedule.weight_decay": 0.05, "schedule.decay_norm_and_bias": False,
        "schedule.grad_clip_norm": 1.0, "schedule.label_smoothing": 0.1, "schedule.mixup": 0.8,
        "schedule.cutmix": 1.0, "schedule.warmup_epochs": 30.0, "schedule.warmup_start": 0.01,
        "run.test_clips": 5, "run.test_crops": 1, "run.test_short_side": 224, "run.test_frame_size": 0,
    },
    "csn-ir-r152-kinetics400": KINETICS | {
        "model.recognizer": "csn", "model.backbone": "ir-resnet152", "model.clip_len": 32, "model.norm_eval": True,
        "schedule.freeze_batch_norm": True,
        "dataset.crop": "random_resized", "schedule.epochs": 58, "schedule.batch_size": 12, "schedule.lr": 5e-4,
        "schedule.lr_batch_size": 96, "schedule.lr_policy": "step", "schedule.warmup_epochs": 16.0,
        "schedule.milestones": (32, 48),
        "weights.backbone": "https://download.openmmlab.com/mmaction/recognition/csn/"
                            "ircsn_from_scratch_r152_ig65m_20200807-771c4135.pth",
    },
    "timesformer-divst-kinetics400": KINETICS | {
        "model.recognizer": "timesformer", "model.backbone": "divided_space_time", "model.clip_len": 8,
        "model.frame_interval": 32, "model.drop_path": 0.1, "model.mean": (127.5, 127.5, 127.5),
        "model.std": (127.5, 127.5, 127.5), "head.dropout": 0.0, "head.init_std": 0.02, "dataset.crop": "random",
        "schedule.epochs": 15, "schedule.batch_size": 8, "schedule.lr": 0.005, "schedule.lr_batch_size": 64,
        "schedule.nesterov": True, "schedule.lr_policy": "step", "schedule.milestones": (5, 10),
        "weights.backbone": "https://download.openmmlab.com/mmaction/recognition/timesformer/"
                            "vit_base_patch16_224.pth",
        "run.test_clips": 1, "run.test_short_side": 224, "run.test_frame_size": 0,
    },
    "c3d-ucf101": KINETICS | {
        "model.recognizer": "c3d", "model.backbone": "c3d", "model.clip_len": 16, "model.frame_interval": 1,
        "model.mean": (104.0, 117.0, 128.0), "model.std": (1.0, 1.0, 1.0), "head.num_classes": 101,
        "dataset.format": "ucf101", "dataset.split": 1, "dataset.crop": "random", "dataset.short_side": 128,
        "dataset.frame_size": 112, "schedule.epochs": 45, "schedule.batch_size": 30, "schedule.lr": 0.001,
        "schedule.lr_batch_size": 240, "schedule.weight_decay": 0.0005, "schedule.lr_policy": "step",
        "schedule.milestones": (20, 40),
        "weights.backbone": "https://download.openmmlab.com/mmaction/recognition/c3d/"
                            "c3d_sports1m_pretrain_20201016-dcc47ddc.pth",
        "run.test_crops": 1, "run.test_frame_size": 0,
    },
    "x3d-m-kinetics400": KINETICS | {
        "model.recognizer": "x3d", "model.backbone": "x3d_m", "model.clip_len": 16, "model.frame_interval": 5,
        "model.mean": (114.75, 114.75, 114.75), "model.std": (57.38, 57.38, 57.38), "dataset.crop": "random",
        "schedule.epochs": 300, "schedule.batch_size": 16, "schedule.lr": 0.1, "schedule.lr_batch_size": 128,
        "schedule.nesterov": True, "schedule.weight_decay": 5e-5, "schedule.decay_norm_and_bias": False,
        "schedule.grad_clip_norm": 0.0, "schedule.warmup_epochs": 35.0,
    },
    "videomae-b-kinetics400": KINETICS | {
        "model.recognizer": "videomae", "model.backbone": "vit_base_p16", "model.clip_len": 16,
        "model.frame_interval": 4, "model.drop_path": 0.1, "head.dropout": 0.0, "head.init_std": 0.02,
        "dataset.short_side": 224, "dataset.crop": "random_resized", "dataset.rand_augment": 21,
        "dataset.rand_augment_ops": 4, "schedule.epochs": 75, "schedule.batch_size": 6, "schedule.lr": 5e-4,
        "schedule.lr_batch_size": 256, "schedule.optimizer": "adamw", "schedule.weight_decay": 0.05,
        "schedule.decay_norm_and_bias": False, "schedule.layer_decay": 0.75, "schedule.grad_clip_norm": 0.0,
        "schedule.label_smoothing": 0.1, "schedule.mixup": 0.8, "schedule.cutmix": 1.0,
        "schedule.warmup_epochs": 5.0, "schedule.warmup_start": 0.001, "run.test_clips": 5, "run.test_frame_size": 0,
    },
}  # fmt: skip
MOBILE = TSM | {
    "model.backbone": "mobilenet_v2", "schedule.epochs": 100, "schedule.weight_decay": 2e-5,
    "schedule.milestones": (40, 80), "schedule.warmup_epochs": 0.0, "weights.backbone": "torchvision://mobilenet_v2",
    "run.test_crops": 3, "run.test_frame_size": 256,
}  # fmt: skip
TORCHVISION = {
    "model.recognizer": "r2plus1d", "model.backbone": "r2plus1d_18", "model.clip_len": 16, "model.frame_interval": 2,
    "dataset.short_side": 128, "dataset.frame_size": 112, "weights.load_from": "torchvision://r2plus1d_18",
    "schedule.epochs": 40, "schedule.lr": 0.001, "schedule.lr_batch_size": 64, "schedule.milestones": (15, 30),
    "run.test_clips": 5, "run.test_crops": 1,
}  # fmt: skip
PUBLISHED = CLIPS_OF | {
    "tsm-mobilenetv2-kinetics400": MOBILE,
    "r2plus1d-18-torchvision": TORCHVISION,
    "tsn-r50-kinetics400-flow": FLOW,
    "tsn-r50-kinetics400": TUTORIAL_TEMPLATE,
    "tsn-r50-ucf101": TUTORIAL_EXAMPLE,
    "tsn-r50-imagenet": IMAGENET_START,
    "tsm-r50-kinetics400": TSM,
}

# The design's own example of a recipe, the tutorial's fine-tuning in the user's words.
EXAMPLE = f"""\
#:schema ./recipe.schema.json

extends = "tsn-r50-kinetics400"        # a preset's name, or a path relative to this file; chains
name = "tsn-ucf101"

[head]
num_classes = 101                       # 400 in the preset; every weight but this layer's is reused

[dataset]
format = "ucf101"
root = "data/ucf101/videos"
annotations = "data/ucf101/annotations"
split = 1

[schedule]
epochs = 50                             # 100 in the preset
lr = 0.005                              # 0.01 in the preset, for lr_batch_size = 256
lr_batch_size = 256                     # the batch the lr is meant for; scaled linearly to the real one (0 = don't)
milestones = [20, 40]
checkpoint_interval = 5

[weights]
load_from = "{KINETICS_CHECKPOINT}"
"""


def flat(name: str | Path) -> dict[str, Any]:
    document = document_of(load_recipe(name))
    return {f"{table}.{key}": value for table in TABLES for key, value in document[table].items()}


def test_at_least_these_starting_points_ship() -> None:
    assert set(PUBLISHED) <= set(preset_names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_knob_has_its_published_value(name: str) -> None:
    values = flat(name)
    assert {key: values[key] for key in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_loads_leaves_the_name_to_the_recipe_and_gives_its_source(name: str) -> None:
    assert load_recipe(name).name == "", "a recipe that extends it would inherit the name"
    comments = [line for line in preset_path(name).read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert comments, f"{name} does not say where its numbers come from"


@pytest.mark.parametrize("name", ["tsn-r50-kinetics400", "tsm-r50-kinetics400"])
def test_what_the_tutorial_shows_is_written_out_and_not_left_to_a_default(name: str) -> None:
    """Someone who reads the file must see the knob, whatever our defaults become."""
    origins = resolve_recipe(name).origins
    ours = {
        "schedule.nesterov", "schedule.head_lr_multiplier", "schedule.bias_lr_multiplier", "schedule.warmup_epochs",
        "schedule.decay_norm_and_bias", "schedule.label_smoothing", "weights.load_from",
    }  # fmt: skip
    shown = [key for key in TUTORIAL_TEMPLATE if key not in ours]
    assert [key for key in shown if not origins[key].startswith(f"preset {name}:")] == []


def test_the_designs_example_is_the_tutorials_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.toml").write_text(EXAMPLE, encoding="utf-8")
    assert load_recipe("recipe.toml").name == "tsn-ucf101"
    example, preset = flat(Path("recipe.toml")), flat("tsn-r50-ucf101")
    # The preset also clears Kinetics' lists, which the ucf101 format does not read.
    lists = {"dataset.val_root", "dataset.train_list", "dataset.val_list"}
    assert {key for key in preset if preset[key] != example[key]} == lists
    assert all(preset[key] == "" for key in lists)


def test_torchvisions_mean_and_deviation() -> None:
    """torchvision gives them for pixels of 0..1."""
    from engine.torchvision_schemas import torchvision

    transforms = torchvision.models.video.R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    model = load_recipe("r2plus1d-18-torchvision").model
    assert model.mean == pytest.approx([255 * value for value in transforms.mean])
    assert model.std == pytest.approx([255 * value for value in transforms.std])


def test_the_checkpoints_name_ends_with_the_hash_that_is_checked() -> None:
    assert load_recipe("tsn-r50-ucf101").weights.load_from.endswith("-cd10898e.pth")
