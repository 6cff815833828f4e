"""A config becomes the recipe that a person would have written, and nothing of it is lost without a word."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExitCode, RecipeError
from engine.mmaction.config import read_config
from engine.mmaction.recipe import Import, import_config
from engine.recipe import TABLES, Recipe, document_of, load_recipe
from tests.engine.mmaction.configs import KINETICS_CHECKPOINT, write, write_configs, write_old_configs
from wizard.imported import text

TSN = "tsn_8xb32-1x1x3-100e_kinetics400-rgb"


def flat(recipe: Recipe) -> dict[str, Any]:
    document = document_of(recipe)
    return {f"{table}.{key}": value for table in TABLES for key, value in document[table].items()}


def new(tmp_path: Path, changes: str, name: str = "mine") -> Import:
    """Import a config of 1.x that changes something of TSN's."""
    config = f"_base_ = './{TSN}.py'\n{textwrap.dedent(changes)}\n"
    return import_config(write(write_configs(tmp_path) / f"{name}.py", config))


def old(tmp_path: Path, changes: str) -> Import:
    """Import a config of 0.x that changes something of TSM's."""
    folder = write_old_configs(tmp_path)
    return import_config(write(folder / "mine.py", f"_base_ = './tsm_r50_1x1x8_25e_hmdb51_rgb.py'\n{changes}\n"))


def said(found: Import) -> str:
    return "\n".join(found.left_out)


# --- whole configs ----------------------------------------------------------------------------------------------------


def test_the_published_training_is_its_preset(tmp_path: Path) -> None:
    found = import_config(write_configs(tmp_path) / f"{TSN}.py")
    assert (found.edition, found.preset, found.left_out, found.guesses) == ("1.x", "tsn-r50-kinetics400", [], [])
    images = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"  # the tutorial names no version of them
    assert found.changes == {"name": TSN, "weights": {"backbone": images}}


def test_the_tutorials_example_says_what_a_person_would_have_written(tmp_path: Path) -> None:
    found = import_config(write_configs(tmp_path) / "tsn-ucf101.py")
    assert (found.preset, found.left_out, found.guesses) == ("tsn-r50-kinetics400", [], [])
    assert found.changes == {
        "name": "tsn-ucf101",
        "head": {"num_classes": 101},
        "dataset": {
            "root": "data/ucf101/videos",
            "val_root": "",
            "train_list": "data/ucf101/ucf101_train_list.txt",
            "val_list": "data/ucf101/ucf101_val_list.txt",
        },
        "schedule": {
            "epochs": 50,
            "lr": 0.005,
            "lr_batch_size": 256,
            "milestones": (20, 40),
            "checkpoint_interval": 5,
        },
        "weights": {"load_from": KINETICS_CHECKPOINT},
    }


def test_a_training_of_0x(tmp_path: Path) -> None:
    found = import_config(write_old_configs(tmp_path) / "tsm_r50_1x1x8_25e_hmdb51_rgb.py")
    assert (found.edition, found.preset, found.left_out, found.guesses) == ("0.x", "tsm-r50-hmdb51", [], [])
    values = flat(found.recipe)
    expected = {
        "model.recognizer": "tsm", "model.segments": 8, "model.shift_div": 8,
        "head.num_classes": 51, "head.dropout": 0.8, "head.init_std": 0.001,
        "dataset.crop": "random_resized", "dataset.short_side": 256, "dataset.frame_size": 224,
        "dataset.root": "videos", "dataset.val_root": "", "dataset.train_list": "lists/train.txt",
        "schedule.epochs": 25, "schedule.batch_size": 12, "schedule.lr": 0.02, "schedule.lr_batch_size": 24,
        "schedule.weight_decay": 0.0005, "schedule.head_lr_multiplier": 5.0, "schedule.bias_lr_multiplier": 2.0,
        "schedule.decay_norm_and_bias": False, "schedule.grad_clip_norm": 20.0, "schedule.lr_policy": "cosine",
        "schedule.milestones": (), "schedule.warmup_epochs": 3.0, "schedule.warmup_start": 0.1,
        "schedule.validation_interval": 2, "schedule.checkpoint_interval": 1,
        "weights.backbone": "torchvision://resnet50", "run.test_segments": 8, "run.test_crops": 1,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    assert 'by the comment "lr is used for 2 gpus" in sgd_tsm.py' in found.sources["schedule.lr_batch_size"]


@pytest.mark.parametrize("changes", ["", "total_epochs = 7", "optimizer = dict(lr=0.5)\nload_from = 'a \"b\".pth'"])
def test_the_text_loads_as_the_recipe_that_was_found(changes: str, tmp_path: Path) -> None:
    found = old(tmp_path, changes)
    path = write(tmp_path / "recipe.toml", text(found))
    assert load_recipe(path) == found.recipe


def test_every_value_that_is_written_says_where_it_comes_from(tmp_path: Path) -> None:
    found = old(tmp_path, "custom_hooks = [dict(type='MyHook')]")
    written = [f"{table}.{key}" for table, keys in found.changes.items() if table in TABLES for key in keys]
    assert written
    assert [key for key in written if not found.sources.get(key)] == []
    assert "num_classes" not in text(found), "it is the preset's"
    assert "weight_decay = 0.0005" in text(found)
    assert "# optimizer.weight_decay; 0.0001 in the preset" in text(found)
    assert text(found).endswith("# - custom_hooks: MyHook: recipes have nothing like it.\n")


def test_without_a_preset_the_recipe_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.mmaction.recipe.preset_names", lambda: ["tsm-r50-kinetics400"])
    found = new(tmp_path, "")
    assert (found.preset, found.left_out) == ("", [])
    assert "extends" not in text(found)
    assert load_recipe(write(tmp_path / "recipe.toml", text(found))) == found.recipe


# --- one thing at a time ----------------------------------------------------------------------------------------------

DATASET = "train_dataloader = dict(dataset=dict({}))"
PIPELINE = "train_dataloader = dict(dataset=dict(pipeline=[dict(type='SampleFrames', clip_len=1, num_clips=3), {}]))"
SCHEDULER = "param_scheduler = [{}]"

CARRIED = [
    ("model = dict(backbone=dict(depth=101))", {"model.backbone": "resnet101"}),
    ("model = dict(backbone=dict(_delete_=True, type='timm.swin_tiny', pretrained=True, feature_shape='NHWC'))",
     {"model.backbone": "timm.swin_tiny", "weights.backbone": "timm://swin_tiny"}),
    ("model = dict(backbone=dict(_delete_=True, type='torchvision.densenet161', pretrained=True))",
     {"model.backbone": "torchvision.densenet161", "weights.backbone": "torchvision://densenet161"}),
    ("model = dict(backbone=dict(norm_eval=True, style='caffe'))", {"model.norm_eval": True, "model.style": "caffe"}),
    ("model = dict(backbone=dict(frozen_stages=2))", {"schedule.freeze": "stages:2"}),
    ("model = dict(backbone=dict(frozen_stages=0))", {"schedule.freeze": "stem"}),
    ("model = dict(backbone=dict(pretrained=None))", {"weights.backbone": ""}),
    ("model = dict(backbone=dict(pretrained=None, init_cfg=dict(type='Pretrained', checkpoint='b.pth')))",
     {"weights.backbone": "b.pth"}),
    ("model = dict(cls_head=dict(_delete_=True, type='TSNHead', num_classes=7))",
     {"head.num_classes": 7, "head.dropout": 0.4, "head.init_std": 0.01, "run.average_clips": "score"}),
    ("model = dict(cls_head=dict(label_smooth_eps=0.1))", {"schedule.label_smoothing": 0.1}),
    ("model = dict(cls_head=dict(multi_class=True, loss_cls=dict(type='BCELossWithLogits')))",
     {"head.multi_label": True}),
    ("model = dict(data_preprocessor=dict(mean=[1, 2, 3], std=[4, 5, 6]))",
     {"model.mean": (1.0, 2.0, 3.0), "model.std": (4.0, 5.0, 6.0)}),
    ("model = dict(data_preprocessor=dict(blending=dict(type='RandomBatchAugment', augments=[\n"
     "  dict(type='MixupBlending', alpha=0.8, num_classes=400), dict(type='CutmixBlending', alpha=1)])))",
     {"schedule.mixup": 0.8, "schedule.cutmix": 1.0}),
    (DATASET.format("data_root='mine', ann_file='train.txt', data_prefix=dict(video='clips')"),
     {"dataset.root": "mine/clips", "dataset.train_list": "mine/train.txt"}),
    (DATASET.format("sample_by_class=True"), {"dataset.balance": "sampler"}),
    (PIPELINE.format("dict(type='Resize', scale=(-1, 320)), dict(type='RandomCrop', size=192)"),
     {"dataset.crop": "random", "dataset.short_side": 320, "dataset.frame_size": 192, "dataset.flip": 0.0}),
    (PIPELINE.format("dict(type='Resize', scale=(-1, 128)), dict(type='RandomCrop', size=112)"),
     {"dataset.short_side": 128, "dataset.frame_size": 112}),
    (PIPELINE.format("dict(type='MultiScaleCrop', input_size=224, scales=(1, .8), max_wh_scale_gap=0,"
                     " num_fixed_crops=13)"),
     {"dataset.crop_scales": (1.0, 0.8), "dataset.crop_scale_gap": 0, "dataset.crop_positions": 13}),
    (PIPELINE.format("dict(type='PytorchVideoWrapper', op='RandAugment', magnitude=7, num_layers=4)"),
     {"dataset.rand_augment": 21, "dataset.rand_augment_ops": 4}),
    ("train_dataloader = dict(dataset=dict(pipeline=[dict(type='DenseSampleFrames', clip_len=1, num_clips=8)]))",
     {"model.clip_len": 8, "model.frame_interval": 8}),
    ("train_dataloader = dict(dataset=dict(pipeline=[dict(type='UniformSample', clip_len=8)]))",
     {"model.clip_len": 0, "model.segments": 8}),
    ("optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=0.1))",
     {"schedule.momentum": 0.0, "schedule.weight_decay": 0.0, "schedule.grad_clip_norm": 0.0}),
    ("optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, betas=(0.9, 0.999)),\n"
     "  paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))",
     {"schedule.optimizer": "adamw", "schedule.weight_decay": 0.01, "schedule.decay_norm_and_bias": False}),
    ("optim_wrapper = dict(optimizer=dict(nesterov=True))", {"schedule.nesterov": True}),
    ("optim_wrapper = dict(constructor='TSMOptimWrapperConstructor', paramwise_cfg=dict(fc_lr5=True))",
     {"schedule.head_lr_multiplier": 5.0, "schedule.bias_lr_multiplier": 2.0, "schedule.decay_norm_and_bias": False}),
    ("optim_wrapper = dict(constructor='SwinOptimWrapperConstructor', optimizer=dict(type='AdamW', lr=1e-3,"
     " _delete_=True), paramwise_cfg=dict(backbone=dict(lr_mult=0.1), norm=dict(decay_mult=0.)))",
     {"schedule.lr": 1e-4, "schedule.head_lr_multiplier": 10.0, "schedule.decay_norm_and_bias": False}),
    ("optim_wrapper = dict(constructor='LearningRateDecayOptimizerConstructor', paramwise_cfg=dict(decay_rate=0.75,"
     " decay_type='layer_wise', num_layers=16))", {"schedule.layer_decay": 0.75}),
    ("optim_wrapper = dict(type='AmpOptimWrapper', accumulative_counts=4)",
     {"schedule.batch_size": 128, "schedule.micro_batch_size": 32, "schedule.lr_batch_size": 256}),
    (SCHEDULER.format("dict(type='LinearLR', start_factor=0.2, by_epoch=True, begin=0, end=5),"
                      "dict(type='MultiStepLR', begin=10, end=100, by_epoch=True, milestones=[30, 60], gamma=0.5)"),
     {"schedule.warmup_epochs": 5.0, "schedule.warmup_start": 0.2, "schedule.milestones": (40, 70),
      "schedule.gamma": 0.5}),
    (SCHEDULER.format("dict(type='LinearLR', end=2.5, convert_to_iter_based=True),"
                      "dict(type='CosineAnnealingLR', T_max=97.5, eta_min=0, by_epoch=True, begin=2.5, end=100)"),
     {"schedule.lr_policy": "cosine", "schedule.warmup_epochs": 2.5, "schedule.milestones": ()}),
    (SCHEDULER.format("dict(type='StepLR', step_size=30)"), {"schedule.milestones": (30, 60, 90)}),
    (SCHEDULER.format(""), {"schedule.lr_policy": "constant", "schedule.warmup_epochs": 0.0}),
    ("custom_hooks = [dict(type='EMAHook', momentum=0.01), dict(type='EarlyStoppingHook', patience=4)]",
     {"schedule.ema": 0.99, "schedule.early_stopping": 4}),
    ("randomness = dict(seed=5, deterministic=True)", {"run.seed": 5, "run.deterministic": True}),
    ("train_cfg = dict(val_interval=5)", {"schedule.validation_interval": 5}),
    ("test_dataloader = dict(dataset=dict(pipeline=[dict(type='SampleFrames', num_clips=8),"
     " dict(type='ThreeCrop', crop_size=224)]))", {"run.test_segments": 8, "run.test_crops": 3}),
    ("test_dataloader = dict(dataset=dict(pipeline=[dict(type='SampleFrames', num_clips=25),"
     " dict(type='Resize', scale=(-1, 288)), dict(type='ThreeCrop', crop_size=256)]))",
     {"run.test_short_side": 288, "run.test_frame_size": 256}),
    ("val_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(-1, 224)),"
     " dict(type='CenterCrop', crop_size=224)]))", {"dataset.short_side": 224, "run.test_short_side": 256}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CARRIED, ids=range(len(CARRIED)))
def test_a_key_is_carried_over(changes: str, expected: dict[str, Any], tmp_path: Path) -> None:
    before, found = flat(new(tmp_path / "before", "").recipe), new(tmp_path, changes)
    after = flat(found.recipe)
    assert {key: after[key] for key in expected} == expected
    assert any(before[key] != after[key] for key in expected), "it was so before"
    # The tests change the training pipeline alone, so that validation and test no longer agree with it.
    assert [sentence for sentence in found.left_out if "pipeline" not in sentence] == []


# Backbones of 3D networks as MMAction2's configs write them, and the keys of [model] that they become.
CLIPS = "train_dataloader = dict(dataset=dict(pipeline=[dict(type='SampleFrames', clip_len=8, frame_interval=4)]))\n"
BACKBONES = [
    ("type='C2D', depth=50, norm_eval=False", {"recognizer": "c2d", "backbone": "resnet50"}),
    ("type='ResNet3dSlowOnly', depth=101, lateral=False, conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1)",
     {"recognizer": "slowonly", "backbone": "resnet101", "clip_len": 8, "frame_interval": 4, "stem_pool": True}),
    ("type='ResNet3d', depth=50, conv1_kernel=(5, 7, 7), conv1_stride_t=2, pool1_stride_t=2, inflate=((1, 1, 1),"
     " (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)), zero_init_residual=False",
     {"recognizer": "i3d", "backbone": "resnet50"}),
    ("type='ResNet3d', depth=50, conv1_kernel=(5, 7, 7), conv1_stride_t=1, pool1_stride_t=1, inflate=(1, 1, 1, 1)",
     {"recognizer": "i3d", "backbone": "resnet50-heavy"}),
    ("type='ResNet3dSlowFast', resample_rate=4, speed_ratio=4, slow_pathway=dict(type='resnet3d', depth=101,"
     " lateral=True, fusion_kernel=7, lateral_norm=True), fast_pathway=dict(type='resnet3d', depth=50, lateral=False)",
     {"recognizer": "slowfast", "backbone": "resnet101-resnet50", "resample_rate": 4, "speed_ratio": 4,
      "lateral_kernel": 7, "lateral_norm": True}),
    ("type='ResNet3dSlowFast', slow_pathway=dict(type='resnet3d', norm_eval=True), fast_pathway=dict(type='resnet3d')",
     {"recognizer": "slowfast", "backbone": "resnet50", "resample_rate": 8, "norm_eval": True}),
    ("type='ResNet2Plus1d', depth=34, conv_cfg=dict(type='Conv2plus1d'), norm_cfg=dict(type='BN3d', eps=1e-3),"
     " conv1_kernel=(3, 7, 7), inflate=(1, 1, 1, 1), temporal_strides=(1, 2, 2, 2)",
     {"recognizer": "r2plus1d", "backbone": "resnet34"}),
    ("type='SwinTransformer3D', arch='base', window_size=(8, 7, 7), drop_path_rate=0.3",
     {"recognizer": "swin3d", "backbone": "swin3d_b", "drop_path": 0.3}),
    ("type='MViT', arch='small', temporal_size=16, drop_path_rate=0.2",
     {"recognizer": "mvit", "backbone": "mvit_v2_s", "drop_path": 0.2}),
    ("type='ResNet3dCSN', depth=50, bottleneck_mode='ip', norm_eval=True, with_pool2=False",
     {"recognizer": "csn", "backbone": "ip-resnet50", "norm_eval": True}),
    ("type='X3D', gamma_w=1, gamma_b=2.25, gamma_d=2.2", {"recognizer": "x3d", "backbone": "x3d_m"}),
    ("type='TimeSformer', num_frames=8, img_size=224, patch_size=16, attention_type='joint_space_time'",
     {"recognizer": "timesformer", "backbone": "joint_space_time", "drop_path": 0.1}),
    ("type='VisionTransformer', embed_dims=1024, depth=24, num_heads=16, num_frames=16, norm_cfg=dict(type='LN')",
     {"recognizer": "videomae", "backbone": "vit_large_p16", "drop_path": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("backbone", "expected"), BACKBONES, ids=range(len(BACKBONES)))
def test_a_3d_network_is_carried_over(backbone: str, expected: dict[str, Any], tmp_path: Path) -> None:
    model = f"model = dict(type='Recognizer3D', backbone=dict(_delete_=True, {backbone}))"
    found = new(tmp_path, CLIPS + model)
    assert {key: getattr(found.recipe.model, key) for key in expected} == expected
    assert [sentence for sentence in found.left_out if "pipeline" not in sentence] == []


PRESETS = ["c2d-r50", "slowonly-r101", "i3d-r50", "i3d-r50-heavy", "slowfast-r50-steplr", "slowfast-r50-4x16",
           "r2plus1d-r34-8x8", "swin3d-b", "mvit-s", "csn-ir-r50", "x3d-m", "timesformer-jointst",
           "videomae-l"]  # fmt: skip


@pytest.mark.parametrize(("backbone", "preset"), zip([row[0] for row in BACKBONES], PRESETS, strict=True))
def test_the_nearest_preset_has_the_same_network(backbone: str, preset: str, tmp_path: Path) -> None:
    model = f"model = dict(type='Recognizer3D', backbone=dict(_delete_=True, {backbone}))"
    assert new(tmp_path, CLIPS + model).preset == (f"{preset}-kinetics400" if preset else "")


NON_LOCAL = "non_local=((0, 0, 0), {}, (0, 0, 0)), non_local_cfg=dict(sub_sample=True{})"


@pytest.mark.parametrize(
    ("kind", "blocks", "settings", "expected"),
    [
        ("ResNet3dSlowOnly", "(1, 0, 1, 0), (1, 0, 1, 0, 1, 0)", "", "scaled_embedded_gaussian"),
        ("ResNet3dSlowOnly", "[1, 0, 1, 0], [1, 0, 1, 0, 1, 0]", ", use_scale=False", "embedded_gaussian"),
        ("ResNet3d", "(0, 1, 0, 1), (0, 1, 0, 1, 0, 1)", ", mode='dot_product'", "dot_product"),
        ("ResNet3d", "(0, 1, 0, 1), (0, 1, 0, 1, 0, 1)", ", mode='gaussian'", "gaussian"),
    ],
)
def test_non_local_blocks_are_carried_over(
    kind: str, blocks: str, settings: str, expected: str, tmp_path: Path
) -> None:
    backbone = f"type='{kind}', depth=50, {NON_LOCAL.format(blocks, settings)}"
    found = new(tmp_path, f"{CLIPS}model = dict(type='Recognizer3D', backbone=dict(_delete_=True, {backbone}))")
    assert found.recipe.model.non_local == expected
    assert "non_local" not in said(found)


def test_a_stem_without_its_pool_is_carried_over(tmp_path: Path) -> None:
    slowonly = "model = dict(type='Recognizer3D', backbone=dict(_delete_=True, type='ResNet3dSlowOnly', {}))"
    assert not new(tmp_path, CLIPS + slowonly.format("with_pool1=False")).recipe.model.stem_pool
    i3d = slowonly.replace("SlowOnly", "").format("with_pool1=False")
    assert "with_pool1 = False: the stem always has a max pool here" in said(new(tmp_path, CLIPS + i3d, "other"))


def test_frames_sampled_twice_are_two_clips_at_test_time(tmp_path: Path) -> None:
    sampling = "dict(type='SampleFrames', clip_len=1, num_clips=3, test_mode=True, twice_sample=True)"
    found = new(tmp_path, f"test_dataloader = dict(dataset=dict(pipeline=[{sampling}]))")
    assert (found.recipe.run.test_clips, found.recipe.run.test_segments) == (2, 3)
    assert "twice_sample" not in said(found)


def test_non_local_blocks_at_other_places_are_told(tmp_path: Path) -> None:
    backbone = f"type='ResNet3d', {NON_LOCAL.format('(1, 0, 1, 0), (1, 0, 1, 0, 1, 0)', ', mode=None')}"
    found = new(tmp_path, f"{CLIPS}model = dict(type='Recognizer3D', backbone=dict(_delete_=True, {backbone}))")
    assert "they follow every other block of the middle stages here" in said(found)


def test_frozen_batch_normalisation_is_carried_over(tmp_path: Path) -> None:
    backbone = "type='ResNet3dCSN', depth=50, bottleneck_mode='ir', bn_frozen=True, with_pool2=False, norm_eval={}"
    model = "model = dict(type='Recognizer3D', backbone=dict(_delete_=True, " + backbone + "))"
    assert new(tmp_path, CLIPS + model.format(True)).recipe.schedule.freeze_batch_norm
    assert not new(tmp_path, CLIPS + model.format(False), "other").recipe.schedule.freeze_batch_norm


BUILT_OTHERWISE = {
    "conv1_kernel=(3, 7, 7)": "conv1_kernel = (3, 7, 7): it is always (1, 7, 7) here",
    "pool1_stride_t=2": "pool1_stride_t = 2: it is always 1 here",
    "inflate=(1, 1, 1, 1)": "inflate = (1, 1, 1, 1): it is always (0, 0, 1, 1) here",
    "in_channels=2": "in_channels = 2: it is always 3 here",
}


@pytest.mark.parametrize("argument", BUILT_OTHERWISE)
def test_a_network_that_is_built_otherwise_is_told(argument: str, tmp_path: Path) -> None:
    model = f"model = dict(type='Recognizer3D', backbone=dict(_delete_=True, type='ResNet3dSlowOnly', {argument}))"
    assert f"model.backbone.{BUILT_OTHERWISE[argument]}." in new(tmp_path, CLIPS + model).left_out


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize(("backbone", "expected"), BACKBONES, ids=range(len(BACKBONES)))
def test_the_network_can_be_built(backbone: str, expected: dict[str, Any], tmp_path: Path) -> None:
    import torch

    from engine.model import build_model
    from engine.set_up import check_test_frames

    model = f"model = dict(type='Recognizer3D', backbone=dict(_delete_=True, {backbone}))"
    recipe = new(tmp_path, CLIPS.replace("clip_len=8", "clip_len=16") + model).recipe
    check_test_frames(recipe)
    with torch.device("meta"):
        assert build_model(recipe).head.fc.out_features == 400


def test_folders_of_frames_and_flow(tmp_path: Path) -> None:
    found = new(
        tmp_path,
        """
        frames = dict(type='RawframeDataset', data_prefix=dict(_delete_=True, img='frames'), modality='Flow',
                      filename_tmpl='{}_{:05d}.jpg', start_index=0, with_offset=True)
        flow = [dict(type='SampleFrames', clip_len=5, frame_interval=1, num_clips=3), dict(type='RawFrameDecode')]
        train_dataloader = dict(dataset=dict(pipeline=flow + _base_.train_pipeline[3:], **frames))
        val_dataloader = dict(dataset=frames)
        test_dataloader = dict(dataset=frames)
        model = dict(backbone=dict(in_channels=10), data_preprocessor=dict(mean=[128] * 10, std=[128] * 10))
        """,
    )
    values = flat(found.recipe)
    expected = {
        "model.modality": "flow", "model.flow_length": 5, "model.segments": 3, "model.mean": (128.0, 128.0),
        "model.std": (128.0, 128.0), "dataset.format": "mmaction_rawframes", "dataset.root": "frames",
        "dataset.filename_template": "{}_{:05d}.jpg", "dataset.start_index": 0, "dataset.with_offset": True,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    assert found.left_out == []


def test_what_the_config_does_not_say_of_frames_is_left_to_the_disk(tmp_path: Path) -> None:
    found = new(tmp_path, DATASET.format("type='RawframeDataset', data_prefix=dict(_delete_=True, img='frames')"))
    dataset = found.recipe.dataset
    assert (dataset.filename_template, dataset.start_index, dataset.with_offset) == ("auto", "auto", "auto")


OLD_CARRIED = [
    ("lr_config = dict(_delete_=True, policy='step', step=[10, 20], gamma=0.2)",
     {"schedule.lr_policy": "step", "schedule.milestones": (10, 20), "schedule.gamma": 0.2,
      "schedule.warmup_epochs": 0.0}),
    ("lr_config = dict(_delete_=True, policy='step', step=10)", {"schedule.milestones": (10, 20)}),
    ("lr_config = dict(_delete_=True, policy='fixed')", {"schedule.lr_policy": "constant"}),
    ("lr_config = dict(warmup_ratio=0.01)", {"schedule.warmup_start": 0.01}),
    ("data = dict(train_dataloader=dict(videos_per_gpu=4))", {"schedule.batch_size": 4, "schedule.lr_batch_size": 8}),
    ("model = dict(test_cfg=dict(average_clips=None))", {"run.average_clips": "score"}),
    ("model = dict(train_cfg=dict(blending=dict(type='CutmixBlending', num_classes=51, alpha=.3)))",
     {"schedule.cutmix": 0.3}),
    ("load_from = 'https://x/y.pth'", {"weights.load_from": "https://x/y.pth"}),
    ("checkpoint_config = dict(interval=7)", {"schedule.checkpoint_interval": 7}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), OLD_CARRIED, ids=range(len(OLD_CARRIED)))
def test_a_key_of_0x_is_carried_over(changes: str, expected: dict[str, Any], tmp_path: Path) -> None:
    before, found = flat(old(tmp_path / "before", "").recipe), old(tmp_path, changes)
    after = flat(found.recipe)
    assert {key: after[key] for key in expected} == expected
    assert any(before[key] != after[key] for key in expected), "it was so before"
    assert found.left_out == []


def test_what_the_preset_has_and_the_config_has_not_is_taken_back(tmp_path: Path) -> None:
    """TSM's preset warms up and clips at 20; a config without either must not."""
    found = old(tmp_path, "optimizer_config = dict(_delete_=True)\nlr_config = dict(_delete_=True, policy='fixed')")
    assert (found.recipe.schedule.warmup_epochs, found.recipe.schedule.grad_clip_norm) == (0.0, 0.0)
    assert found.recipe.schedule.milestones == ()


def test_a_config_that_only_tests(tmp_path: Path) -> None:
    found = new(
        tmp_path,
        """
        train_dataloader = val_dataloader = train_cfg = optim_wrapper = param_scheduler = auto_scale_lr = None
        model = dict(type='Recognizer3D', backbone=dict(_delete_=True, type='ResNet3dSlowOnly', depth=50))
        test_dataloader = dict(dataset=dict(pipeline=[
            dict(type='SampleFrames', clip_len=4, frame_interval=16, num_clips=10, test_mode=True),
            dict(type='Resize', scale=(-1, 320)), dict(type='ThreeCrop', crop_size=288)]))
        """,
    )
    values = flat(found.recipe)
    expected = {
        "model.recognizer": "slowonly", "model.clip_len": 4, "model.frame_interval": 16, "run.test_clips": 10,
        "run.test_segments": 0, "run.test_crops": 3, "run.test_short_side": 320, "run.test_frame_size": 288,
        "dataset.val_root": "data/kinetics400/videos_val",
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    assert found.left_out == [
        "training: the config only tests; clips to train on and their augmentation are the preset's.",
        "optimizer: the config has none; the schedule is the preset's.",
    ]


def test_the_batch_that_lr_is_meant_for_is_by_the_files_name(tmp_path: Path) -> None:
    found = new(tmp_path, "auto_scale_lr = None", name="tsn_4xb16-1x1x3")
    assert found.recipe.schedule.lr_batch_size == 4 * 32
    assert "4 GPUs x 32 clips; by the file's name (4xb16)" in found.sources["schedule.lr_batch_size"]


def test_a_guess_is_called_one(tmp_path: Path) -> None:
    found = new(tmp_path, "auto_scale_lr = None\noptim_wrapper = dict(optimizer=dict(lr=0.1))")
    assert found.recipe.schedule.lr_batch_size == 8 * 32
    assert found.guesses == ["how many GPUs lr is meant for: 8, as in most of MMAction2's configs"]
    assert "lr_batch_size = 256" in text(found)
    assert "8 GPUs x 32 clips; the number of GPUs is a guess" in text(found)


# --- nothing is lost --------------------------------------------------------------------------------------------------

LEFT_OUT = [
    ("model = dict(backbone=dict(partial_bn=True))", "model.backbone.partial_bn = True: it freezes"),
    ("model = dict(backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True)))", "norm_cfg.type = 'SyncBN'"),
    ("model = dict(backbone=dict(in_channels=10))", "model.backbone.in_channels = 10: it is always 3 here"),
    ("model = dict(cls_head=dict(loss_cls=dict(type='CBFocalLoss')))", 'loss_cls.type = "CBFocalLoss": the loss is'),
    ("model = dict(cls_head=dict(loss_cls=dict(type='CrossEntropyLoss', class_weight=[1, 2])))", "class_weight = [1"),
    ("model = dict(cls_head=dict(multi_class=True, loss_cls=dict(type='BCELossWithLogits', loss_weight=160.)))",
     "loss_weight = 160: the loss is a sum over the classes here"),
    (DATASET.format("type='MyDataset'"), 'dataset.type = "MyDataset": name your data in [dataset] yourself'),
    (DATASET.format("delimiter=','"), "dataset.delimiter = ','"),
    (DATASET.format("sample_by_class=True, power=.5"), "power = 0.5: every class is drawn equally often here"),
    ("train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=10, dataset="
     "{{_base_.train_dataloader.dataset}}))", "times = 10: multiply [schedule] epochs"),
    ("train_dataloader = dict(dataset=[{{_base_.train_dataloader.dataset}}, dict(type='ImageDataset', x=1)])",
     "dataset has 2 datasets: a recipe has one; not ImageDataset"),
    (PIPELINE.format("dict(type='ColorJitter', hue=.1)"), "ColorJitter(hue=0.1) in the training pipeline"),
    (PIPELINE.format("dict(type='Resize', scale=(340, 256))"), "Resize.scale = (340, 256): frames are scaled"),
    (PIPELINE.format("dict(type='RandomRescale', scale_range=(256, 320)), dict(type='RandomCrop', size=224)"),
     "scale_range = (256, 320)"),
    (PIPELINE.format("dict(type='RandomResizedCrop', area_range=(.5, 1))"), "area_range = (0.5, 1)"),
    (PIPELINE.format("dict(type='Flip', flip_label_map={1: 2, 2: 1})"), "flip_label_map = {1: 2, 2: 1}: left and"),
    (PIPELINE.format("dict(type='Flip', direction='vertical')"), "direction = 'vertical'"),
    ("test_dataloader = dict(dataset=dict(ann_file='test.txt'))", "ann_file = 'test.txt': `ftwiz test` measures"),
    ("val_dataloader = dict(dataset=dict(pipeline=[dict(type='ThreeCrop', crop_size=224)]))",
     "ThreeCrop in the validation pipeline: validation takes the centre here"),
    ("optim_wrapper = dict(optimizer=dict(_delete_=True, type='Lion', lr=1))", 'optimizer.type = "Lion": recipes have'),
    ("optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1, betas=(.9, .95)))", "betas = (0.9, 0.95)"),
    ("optim_wrapper = dict(constructor='MyConstructor')", 'constructor = "MyConstructor": it is not known here'),
    ("optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.cls': dict(decay_mult=0.)}))", "custom_keys['.cls']"),
    ("optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.))", "norm_decay_mult = 0 with bias_decay_mult = 1"),
    (SCHEDULER.format("dict(type='PolyLR', power=.9)"), "param_scheduler PolyLR: recipes have step"),
    (SCHEDULER.format("dict(type='MultiStepLR', by_epoch=False, milestones=[100])"), "MultiStepLR.by_epoch = False"),
    (SCHEDULER.format("dict(type='CosineAnnealingLR', T_max=100, eta_min=1e-5)"), "eta_min = 1e-05: cosine falls to 0"),
    (SCHEDULER.format("dict(type='CosineAnnealingLR', T_max=50, begin=0, end=100)"), "T_max = 50 from epoch 0 to 100"),
    ("train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=1000)", "max_iters = 1000: recipes count"),
    ("resume = True", "resume = True: go on with a run of ftwiz by `ftwiz run --resume`"),
    ("custom_hooks = [dict(type='PreciseBNHook')]", "custom_hooks: PreciseBNHook"),
    ("import os\noptim_wrapper = dict(optimizer=dict(lr=float(os.environ['LR'])))",
     "mine.py:3: `float(os.environ['LR'])`"),
    ("import os\nos.system('touch x')", "mine.py:3: `os.system('touch x')`: it is code, which an import does not run"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), LEFT_OUT, ids=range(len(LEFT_OUT)))
def test_what_has_no_place_in_a_recipe_is_said(changes: str, sentence: str, tmp_path: Path) -> None:
    found = new(tmp_path, changes)
    assert sentence in said(found)
    assert load_recipe(write(tmp_path / "recipe.toml", text(found))) == found.recipe


OLD_LEFT_OUT = [
    ("lr_config = dict(_delete_=True, policy='poly', power=.9)", 'lr_config.policy = "poly": recipes have step'),
    ("lr_config = dict(warmup_by_epoch=False, warmup_iters=500)", "lr_config.warmup_iters = 500 steps from 0.1 x lr"),
    ("lr_config = dict(warmup='exp')", 'lr_config.warmup = "exp": the warm-up is linear here'),
    ("lr_config = dict(min_lr=1e-4)", "lr_config.min_lr = 0.0001: cosine falls to 0 here"),
    ("resume_from = 'x.pth'", "resume_from = 'x.pth': go on with a run"),
    ("precise_bn = dict(num_iters=200)", "precise_bn = dict(num_iters=200): recipes have nothing like it"),
    ("model = dict(backbone=dict(non_local=((0, 0, 0), (1, 0, 1, 0), 0, 0)))", "they follow every other block of"),
]


@pytest.mark.parametrize(("changes", "sentence"), OLD_LEFT_OUT, ids=range(len(OLD_LEFT_OUT)))
def test_what_has_no_place_in_a_recipe_is_said_of_0x(changes: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in said(old(tmp_path, changes))


@pytest.mark.parametrize(
    "place",
    [
        "model.{}", "model.backbone.{}", "model.cls_head.{}", "model.cls_head.loss_cls.{}",
        "model.data_preprocessor.{}", "train_dataloader.{}", "train_dataloader.dataset.{}",
        "val_dataloader.dataset.{}", "train_cfg.{}", "optim_wrapper.{}", "optim_wrapper.optimizer.{}",
        "optim_wrapper.clip_grad.{}", "optim_wrapper.paramwise_cfg.{}", "auto_scale_lr.{}", "randomness.{}",
    ],
)  # fmt: skip
def test_a_key_that_nobody_knows_is_not_lost_anywhere(place: str, tmp_path: Path) -> None:
    """Whatever a config says at any of these places, someone is told."""
    *sections, _ = place.split(".")
    changes = f"{sections[0]} = " + "".join(f"dict({name}=" for name in sections[1:]) + "dict(unheard_of=7)"
    found = new(tmp_path, changes + ")" * (len(sections) - 1))
    assert f"{place.format('unheard_of')} = 7: recipes have nothing like it." in found.left_out


@pytest.mark.parametrize("number", range(1, 7))
def test_an_argument_that_nobody_knows_is_not_lost_in_a_pipeline(number: int, tmp_path: Path) -> None:
    """Those of transforms that only read files, or lay out memory, have no influence."""
    change = (
        f"p = _base_.train_pipeline\np[{number}]['unheard_of'] = 7\ntrain_dataloader = dict(dataset=dict(pipeline=p))"
    )
    reads_files = number == 2
    assert ("unheard_of = 7" in said(new(tmp_path, change))) is not reads_files


# --- anything at any place --------------------------------------------------------------------------------------------

JUNK = [None, "x", "", [], {}, -1, 0, 1.5, True, [1], {"type": "X"}, [{"type": "X"}], 1e400, 10**20, 'a"b\n\0', (None,),
        [[1]], {1: 2}]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _with(changed[path[0]], path[1:], new)
    return changed


@pytest.fixture(scope="module", params=["0.x", "1.x"])
def whole_config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All values of a config, inheritance resolved."""
    folder = tmp_path_factory.mktemp("whole")
    if request.param == "1.x":
        return read_config(write_configs(folder) / "tsn-ucf101.py").values
    return read_config(write_old_configs(folder) / "tsm_r50_1x1x8_25e_hmdb51_rgb.py").values


@pytest.mark.slow
@given(data=st.data())
def test_whatever_stands_anywhere_is_imported_or_refused_in_a_sentence(
    whole_config: dict[str, Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = whole_config
    for _ in range(data.draw(st.integers(1, 3))):
        values = _with(values, data.draw(st.sampled_from(list(_places(values)))), data.draw(st.sampled_from(JUNK)))
    folder = tmp_path_factory.mktemp("junk")
    config = write(folder / "config.py", "\n".join(f"{key} = {value!r}" for key, value in values.items()))
    try:
        found = import_config(config)
    except RecipeError as error:
        assert "\n" not in str(error)
    else:
        assert load_recipe(write(folder / "recipe.toml", text(found))) == found.recipe


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSED = [
    ("model = dict(_delete_=True, type='FastRCNN')", "its model, FastRCNN, detects who does what"),
    ("model = dict(_delete_=True, type='BMN')", "its model, BMN, localises actions in untrimmed video"),
    ("model = dict(_delete_=True, type='RecognizerGCN')", "its model, RecognizerGCN, recognises actions from skel"),
    ("model = dict(_delete_=True, type='RecognizerAudio')", "its model, RecognizerAudio, recognises actions by"),
    ("model = dict(_delete_=True, type='CLIPSimilarity')", "its model, CLIPSimilarity, retrieves videos by text"),
    (DATASET.format("type='PoseDataset'"), r"its model, Recognizer2D, sees skeletons \(PoseDataset\)"),
    ("model = dict(backbone=dict(_delete_=True, type='ResNetTIN', depth=50))",
     r"it describes TIN \(Recognizer2D with ResNetTIN\), a recognizer that ftwiz does not have; it has tsn, tsm"),
    ("model = dict(neck=dict(type='TPN'))", r"it describes TPN on TSN \(Recognizer2D with ResNet\)"),
    ("model = dict(cls_head=dict(type='TRNHead'))", r"it describes TRN \(Recognizer2D with ResNet\)"),
    ("model = dict(backbone=dict(type='MyNet'))", "it describes Recognizer2D with MyNet, a recognizer that"),
    ("model = dict(_delete_=True)", "it describes no model; import a config of MMAction2 that trains one"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_other_models_are_refused_by_name(changes: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=sentence) as raised:
        new(tmp_path, changes)
    assert raised.value.exit_code == ExitCode.RECIPE
    assert "\n" not in str(raised.value)
