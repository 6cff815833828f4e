"""Optical flow: pairs of grey images are the channels of a frame, mirroring inverts x, weights of RGB are widened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.dataset.augment import mirror, normalise, stack_flow, training_view
from engine.dataset.clips import Clip
from engine.dataset.decode import DecodeError, open_clip
from engine.dataset.formats import read_clips
from engine.dataset.inspect import inspect_folder
from engine.dataset.loader import Batches, ClipsAtTestTime, TrainingClips, ValidationClips, build_loader
from engine.dataset.sampling import frames_at_test_time, training_frames, validation_frames
from engine.errors import DataError, RecipeError, WeightsError
from engine.model import build_model
from engine.recipe import Model, Recipe, Run, load_recipe, recipe_from
from engine.run_folder import RunFolder
from engine.weights.load import load_weights
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engines import engines
from tests.frames import write_flow, write_frames
from tests.layouts import train_as
from tests.videos import make_video


def recipe(**model: Any) -> Recipe:
    return recipe_from(
        {
            "model": {"backbone": "resnet18", "modality": "flow", "segments": 3, **model},
            "head": {"num_classes": 4},
            "dataset": {"short_side": 40, "frame_size": 32},
            "run": {"workers": 0, "test_crops": 10},
        }
    )


def flow_clip(folder: Path, pairs: int = 12, listed: int = 0, **options: Any) -> Clip:
    write_flow(folder, pairs, **options)
    return Clip(str(folder), 0, first_frame=1, num_frames=listed)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["flow_{}_{:05}.jpg", "{}_{:05}.jpg", "flow_{}_{:04}.png"])
def test_x_and_y_are_read_in_this_order(template: str, tmp_path: Path) -> None:
    video = open_clip(flow_clip(tmp_path / "a", template=template, seed=3), template, flow=True)
    x, y = np.random.default_rng(3).integers(30, 200, 2)
    pairs = video.read([0, 5, 2])
    assert pairs.shape == (3, 48, 64, 2) and pairs.dtype == np.uint8
    for pair, number in zip(pairs, (0, 5, 2), strict=True):
        assert np.abs(pair[..., 0].astype(int) - (x + 4 * number)).max() <= 1
        assert np.abs(pair[..., 1].astype(int) - y).max() <= 1


@pytest.mark.parametrize(
    ("pairs", "listed", "expected"), [(12, 12, 12), (12, 13, 12), (12, 5, 5), (12, 0, 12), (1, 2, 1)]
)
def test_lists_may_count_the_frames_or_the_flow_between_them(
    pairs: int, listed: int, expected: int, tmp_path: Path
) -> None:
    clip = flow_clip(tmp_path / "a", pairs, listed)
    assert open_clip(clip, "flow_{}_{:05}.jpg", flow=True).num_frames == expected


def test_a_frame_more_is_missing_flow(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"flow_x_00013.jpg is missing: 14 images from 1 on are listed, it holds 12"):
        open_clip(flow_clip(tmp_path / "a", 12, 14), "flow_{}_{:05}.jpg", flow=True)
    (tmp_path / "a/flow_y_00004.jpg").unlink()
    with pytest.raises(DecodeError, match=r"^flow_y_00004.jpg is missing$"):
        open_clip(Clip(str(tmp_path / "a"), 0, first_frame=1), flow=True).read([3])


def test_flow_is_not_read_from_videos(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a/1.mp4")
    make_video(tmp_path / "b/1.mp4")
    with pytest.raises(DecodeError, match="optical flow lies in folders of images"):
        open_clip(Clip(str(video), 0), flow=True)
    with pytest.raises(DataError, match=r"has no folders of frames: expected a folder for each class"):
        read_clips(recipe_from({"dataset": {"root": str(tmp_path)}}).dataset, modality="flow")
    with pytest.raises(DataError, match=r'format = "csv" reads videos, but .model. modality = "flow" takes folders'):
        read_clips(recipe_from({"dataset": {"root": str(tmp_path), "format": "csv"}}).dataset, modality="flow")


# --- frames -----------------------------------------------------------------------------------------------------------


def test_segments_are_runs_of_pairs() -> None:
    model, rng = recipe().model, np.random.default_rng(0)
    for num_frames in (3, 5, 7, 30, 300):
        for frames in (
            training_frames(num_frames, model, rng),
            validation_frames(num_frames, model),
            *frames_at_test_time(num_frames, model, Run(test_segments=3)),
        ):
            assert len(frames) == 3 * 5 and min(frames) >= 0 and max(frames) < num_frames
            for place in (0, 5, 10):
                assert frames[place : place + 5] == [(frames[place] + step) % num_frames for step in range(5)]
    # MMAction2's SampleFrames, test_mode, clip_len 5, num_clips 3, of 30: (30 - 5 + 1) / 3 * (i + 1/2).
    assert validation_frames(30, model)[::5] == [4, 13, 21]


def test_the_channels_are_x_and_y_in_turn() -> None:
    """MMAction2's NCHW_Flow: the channels of a segment are x1 y1 x2 y2 …"""
    pairs = torch.arange(2 * 3 * 5 * 2).view(2, 3 * 5, 2, 1, 1)
    stacked = stack_flow(pairs, 5)
    assert stacked.shape == (2, 3, 10, 1, 1)
    assert stacked[1, 2].flatten().tolist() == list(range(50, 60))


def test_what_moves_left_moves_right_in_the_mirror(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = torch.from_numpy(rng.integers(0, 256, (4, 2, 6, 8), dtype=np.uint8))
    mirrored = mirror(pairs)
    assert torch.equal(mirrored[:, 0], 255 - pairs[:, 0].flip(-1)) and torch.equal(mirrored[:, 1], pairs[:, 1].flip(-1))
    assert torch.equal(mirror(mirrored), pairs)
    colours = torch.from_numpy(rng.integers(0, 256, (4, 3, 6, 8), dtype=np.uint8))
    assert torch.equal(mirror(colours), colours.flip(-1))

    still = np.full((5, 48, 64, 2), (200, 90), dtype=np.uint8)
    dataset = recipe_from({"dataset": {"short_side": 40, "frame_size": 32, "flip": 1.0}}).dataset
    view, is_mirrored = training_view(still, dataset, rng)
    assert is_mirrored and view.shape == (5, 2, 32, 32)
    assert torch.equal(view[:, 0].unique(), torch.tensor([55], dtype=torch.uint8))
    assert torch.equal(view[:, 1].unique(), torch.tensor([90], dtype=torch.uint8))


def test_no_motion_is_zero() -> None:
    model = Model(modality="flow")
    assert model.mean == model.std == (128.0, 128.0)
    frames = torch.full((2, 3, 10, 4, 4), 128, dtype=torch.uint8)
    frames[:, :, 1] = 0
    normal = normalise(frames, model)
    assert normal.shape == frames.shape and normal[:, :, 0].abs().max() == 0 and (normal[:, :, 1] == -1).all()
    other = normalise(frames, Model(modality="flow", mean=(128, 64), std=(1, 64)))
    assert other[0, 0, :3, 0, 0].tolist() == [0, -1, 0] and other[0, 0, 3::2, 0, 0].unique().tolist() == [1]


def test_batches_of_flow(tmp_path: Path) -> None:
    clips = [flow_clip(tmp_path / str(number), 12, 13, seed=number) for number in range(3)]
    for of, shape in ((TrainingClips, (2, 3, 10, 32, 32)), (ValidationClips, (2, 3, 10, 32, 32)),
                      (ClipsAtTestTime, (2, 10, 3, 10, 32, 32))):  # fmt: skip
        first, second = build_loader(of(clips, recipe()), Batches(3, 2), workers=0, pin_memory=False)
        assert first.frames.shape == shape and second.frames.shape[0] == 1 and not first.skipped
    # The pairs of a segment follow one another: x grows by 4 from one to the next.
    (batch,) = build_loader(ValidationClips(clips[:1], recipe()), Batches(1, 1), workers=0, pin_memory=False)
    steps = batch.frames[0, :, ::2, 16, 16].int().diff(dim=-1)
    assert (steps - 4).abs().max() <= 2


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "recognizer"),
    [
        ("resnet18", "tsn"),
        ("resnet18", "tsm"),
        ("resnet10_slim", "tsm"),
        ("mobilenet_v3_small", "tsn"),
        ("vgg11", "tsn"),
    ],
)
@pytest.mark.parametrize("length", [1, 5])
def test_a_model_takes_pairs_as_channels(backbone: str, recognizer: str, length: int) -> None:
    made = recipe(backbone=backbone, recognizer=recognizer, flow_length=length)
    model = build_model(made).eval()
    assert model(torch.zeros(2, 3, 2 * length, 32, 32)).shape == (2, 4)
    first = next(layer for layer in model.backbone.modules() if isinstance(layer, torch.nn.Conv2d))
    assert first.in_channels == 2 * length


def test_weights_of_rgb_are_averaged_and_repeated(tmp_path: Path) -> None:
    """TSN's cross-modality initialisation (Wang et al. 2016, section 3.2)."""
    rgb = build_model(recipe(modality="rgb", mean=[1, 1, 1], std=[1, 1, 1]))
    torch.save({"state_dict": mmaction_state(rgb.state_dict())}, tmp_path / "rgb.pth")
    made = recipe()
    model = build_model(made)
    report = load_weights(model, str(tmp_path / "rgb.pth"), made)
    theirs = rgb.backbone.conv1.weight.mean(dim=1)
    assert model.backbone.conv1.weight.shape == (64, 10, 7, 7)
    assert all(torch.equal(model.backbone.conv1.weight[:, channel], theirs) for channel in range(10))
    assert torch.equal(model.backbone.layer1[0].conv1.weight, rgb.backbone.layer1[0].conv1.weight)
    assert report.backbone_share == 1.0
    assert any(line.startswith("backbone.conv1.weight: averaged over red, green and blue") for line in report.lines())


def test_mmactions_flow_checkpoints_load_as_they_are(tmp_path: Path) -> None:
    made = recipe()
    theirs = build_model(made)
    torch.save({"state_dict": mmaction_state(theirs.state_dict())}, tmp_path / "flow.pth")
    model = build_model(made)
    report = load_weights(model, str(tmp_path / "flow.pth"), made)
    assert len(report.kept) == len(theirs.state_dict()) and not any(note.reason for note in report.kept)
    assert torch.equal(model.backbone.conv1.weight, theirs.backbone.conv1.weight)
    for other in (recipe(modality="rgb", mean=[1, 1, 1], std=[1, 1, 1]), recipe(flow_length=3)):
        with pytest.raises(WeightsError, match=r'network for flow: set model.modality = "flow", model.flow_length = 5'):
            load_weights(build_model(other), str(tmp_path / "flow.pth"), other)


def test_a_recipe_of_flow() -> None:
    with pytest.raises(RecipeError, match=r"clip_len is 8: flow is taken from segments of the video"):
        recipe(clip_len=8)
    with pytest.raises(
        RecipeError, match=r"modality is the text .flow.: i3d takes pictures; tsn and tsm take flow too"
    ):
        recipe(recognizer="i3d", clip_len=8)
    with pytest.raises(RecipeError, match=r"mean is .*: it takes two numbers, for x and y"):
        load_recipe("tsn-r50-kinetics400", {"model.modality": "flow"})
    with pytest.raises(RecipeError, match=r"mean is .*: it takes three numbers"):
        recipe(modality="rgb", mean=[128, 128])


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("recognizer", ["tsn", "tsm"])
def test_flow_trains(recognizer: str, tmp_path: Path) -> None:
    """As DenseFlow leaves it: img_, flow_x_ and flow_y_ in one folder, and a list that counts the img_."""
    rows = []
    for number in range(4):
        folder = write_flow(tmp_path / f"frames/v{number}", pairs=8, first=0, seed=number)
        write_frames(folder, 9, first=0, seed=number)
        rows.append(f"v{number} 9 {number % 2}")
    for name in ("train", "val"):
        (tmp_path / f"{name}.txt").write_text("\n".join(rows))
    found = inspect_folder(tmp_path)
    assert found.modality == "rgb"  # there are pictures, too
    model = f'backbone = "resnet10_slim"\nrecognizer = "{recognizer}"\nmodality = "flow"\nsegments = 2'
    state = train_as(found.table, tmp_path, model=model)
    assert state.started is not None and state.started.train_clips == 4
    assert not state.skipped
    (run,) = (tmp_path / "runs").iterdir()
    assert 'filename_template = "flow_{}_{:05}.jpg"' in (run / "recipe.toml").read_text()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert engines().start(RunFolder(run), "--test").wait() == 0
    for command in (
        ["show", str(run / "recipe.toml")],
        ["run", str(run / "recipe.toml"), "--dry-run"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "wizard.cli", *command], capture_output=True, text=True, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr
