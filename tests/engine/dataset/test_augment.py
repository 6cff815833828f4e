"""Crops inside the frame, the same for every frame of a clip, on uint8, and reproducible from the generator."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset import augment
from engine.dataset.augment import Box, centre_view, cut, normalise, training_view, views_at_test_time
from engine.recipe import Dataset, Model
from engine.torchvision_schemas import torchvision

v2 = import_module(f"{torchvision.__name__}.transforms.v2")  # beside a CPU torch it only imports now

SIDES = st.integers(1, 700)
SEEDS = st.integers(0, 2**32)
CROPS = st.sampled_from(["multiscale", "random_resized", "random"])


def dataset(**changes: Any) -> Dataset:
    return Dataset(**{"short_side": 40, "frame_size": 32, **changes})


def smooth_frames(height: int, width: int, frames: int = 2) -> np.ndarray:
    """uint8 [T, H, W, 3] without sharp edges, every frame another one, no symmetry."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width].astype(float)
    y, x = y / min(height, width), x / min(height, width)
    waves = [np.sin(12 * x + t), np.cos(14 * y + 3 * x), np.sin(6 * x + 11 * y - t)]
    return (127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def box_of(height: int, width: int, settings: Dataset, seed: int) -> Box:
    return augment._CROPS[settings.crop](height, width, settings, np.random.default_rng(seed))


# --- where a training crop lies ---------------------------------------------------------------------------------------


@given(SIDES, SIDES, CROPS, SEEDS, st.sampled_from([5, 13]), st.integers(8, 256), st.integers(0, 200))
def test_a_training_crop_lies_inside_the_frame(
    height: int, width: int, crop: str, seed: int, positions: int, frame_size: int, margin: int
) -> None:
    settings = dataset(crop=crop, crop_positions=positions, frame_size=frame_size, short_side=frame_size + margin)
    box = box_of(height, width, settings, seed)
    assert box.height >= 1 and box.width >= 1
    assert box.top >= 0 and box.left >= 0
    assert box.top + box.height <= height and box.left + box.width <= width


@given(SEEDS, st.integers(0, 3))
def test_multiscale_keeps_the_gap_between_height_and_width(seed: int, gap: int) -> None:
    scales = (1.0, 0.8, 0.6, 0.4)
    box = box_of(200, 300, dataset(crop_scales=scales, crop_scale_gap=gap), seed)
    sizes = [200, 160, 120, 80]
    assert abs(sizes.index(box.height) - sizes.index(box.width)) <= gap


def test_multiscale_takes_every_pair_of_scales_equally_often() -> None:
    settings = dataset(crop_scales=(1.0, 0.875, 0.75, 0.66), crop_scale_gap=1)
    rng = np.random.default_rng(0)
    boxes = [augment._multiscale(256, 340, settings, rng) for _ in range(5000)]
    sizes = Counter((box.height, box.width) for box in boxes)
    near = {(256, 256), (256, 224), (224, 256), (224, 224), (224, 192), (192, 224), (192, 192), (192, 168), (168, 192)}
    assert set(sizes) == near | {(168, 168)}
    assert all(400 < count < 600 for count in sizes.values())


@pytest.mark.parametrize(
    ("positions", "quarters"),
    [
        (5, {(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)}),
        (
            13,
            {
                *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),  # corners and centre
                *((2, 0), (2, 4), (4, 2), (0, 2)),  # the middles of the sides
                *((1, 1), (1, 3), (3, 1), (3, 3)),  # the middles of the quarters
            },
        ),
    ],
)
def test_multiscale_stands_at_fixed_places(positions: int, quarters: set[tuple[int, int]]) -> None:
    settings = dataset(crop_positions=positions, crop_scales=(0.5,))
    rng = np.random.default_rng(0)
    boxes = [augment._multiscale(200, 300, settings, rng) for _ in range(3000)]
    places = Counter((box.top, box.left) for box in boxes)
    assert set(places) == {(100 * down // 4, 200 * right // 4) for down, right in quarters}
    assert min(places.values()) > 3000 / positions * 0.7


def test_random_resized_follows_szegedy() -> None:
    rng = np.random.default_rng(0)
    boxes = [augment._random_resized(300, 300, dataset(), rng) for _ in range(4000)]
    shares = np.array([box.height * box.width / 300**2 for box in boxes])
    aspects = np.array([box.width / box.height for box in boxes])
    assert 0.07 < shares.min() < 0.1 and shares.max() > 0.9
    assert aspects.min() > 0.72 and aspects.max() < 1.37
    assert abs(np.median(np.log(aspects))) < 0.02
    # The boxes of one size are anywhere: tops reach from 0 to the end.
    room = np.array([300 - box.height for box in boxes])
    tops = np.array([box.top for box in boxes])[room > 0] / room[room > 0]
    assert abs(tops.mean() - 0.5) < 0.02 and tops.min() == 0 and tops.max() == 1


def test_random_resized_takes_the_centre_where_nothing_fits() -> None:
    assert box_of(1, 500, dataset(crop="random_resized"), 0) == Box(0, 249, 1, 1)
    assert box_of(500, 1, dataset(crop="random_resized"), 0) == Box(249, 0, 1, 1)


def test_a_random_crop_has_the_size_of_the_validation_crop_and_reaches_every_place() -> None:
    rng = np.random.default_rng(0)
    boxes = [augment._random(20, 22, dataset(crop="random"), rng) for _ in range(600)]
    assert {(box.height, box.width) for box in boxes} == {(16, 16)}  # 32 of 40 of the short side
    assert {(box.top, box.left) for box in boxes} == {(top, left) for top in range(5) for left in range(7)}


# --- what a view is ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 90), st.integers(1, 90), CROPS, SEEDS)
def test_views_of_any_size_of_video(height: int, width: int, crop: str, seed: int) -> None:
    """63 x 47, one pixel, portrait: whatever was recorded."""
    frames = np.random.default_rng(seed).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    settings = dataset(crop=crop)
    view, _ = training_view(frames, settings, np.random.default_rng(seed))
    again, _ = training_view(frames, settings, np.random.default_rng(seed))
    assert view.shape == (3, 3, 32, 32) and view.dtype == torch.uint8 and view.is_contiguous()
    assert torch.equal(view, again)
    centre = centre_view(frames, settings)
    assert centre.shape == (3, 3, 32, 32) and centre.dtype == torch.uint8 and centre.is_contiguous()
    for crops in (1, 3, 10):
        views = views_at_test_time(frames, settings, crops)
        assert views.shape == (crops, 3, 3, 32, 32) and views.dtype == torch.uint8


def test_every_frame_of_a_clip_gets_the_same_crop() -> None:
    frames = np.repeat(smooth_frames(60, 80, 1), 5, axis=0)
    for seed in range(20):
        view, _ = training_view(frames, dataset(), np.random.default_rng(seed))
        assert all(torch.equal(frame, view[0]) for frame in view)


def test_another_generator_gives_another_view() -> None:
    frames = smooth_frames(60, 80)
    views = {training_view(frames, dataset(), np.random.default_rng(seed))[0].numpy().tobytes() for seed in range(30)}
    assert len(views) > 15


def test_the_input_is_left_alone() -> None:
    frames = smooth_frames(32, 32)
    kept = frames.copy()
    view = cut(frames, Box(0, 0, 32, 32), 32)
    view.zero_()
    training_view(frames, dataset(flip=1.0), np.random.default_rng(0))
    assert np.array_equal(frames, kept)


@pytest.mark.parametrize("flip", [0.0, 0.25, 1.0])
def test_a_share_of_the_clips_is_mirrored_exactly(flip: float) -> None:
    frames = smooth_frames(40, 40)
    plain_settings, settings = dataset(flip=0.0, crop="random"), dataset(flip=flip, crop="random")
    mirrored = 0
    for seed in range(400):
        plain, never = training_view(frames, plain_settings, np.random.default_rng(seed))
        view, is_mirrored = training_view(frames, settings, np.random.default_rng(seed))
        assert not never and is_mirrored == torch.equal(view, plain.flip(-1))
        if is_mirrored:
            mirrored += 1
        else:
            assert torch.equal(view, plain)
    assert abs(mirrored - 400 * flip) <= (0 if flip in (0.0, 1.0) else 45)


@pytest.mark.parametrize(("height", "width"), [(256, 340), (340, 256), (240, 320), (47, 63), (480, 854), (256, 256)])
def test_the_validation_view_is_resize_then_centre_crop(height: int, width: int) -> None:
    """Cut first, resized once: the same picture to within a pixel of rounding."""
    frames = smooth_frames(height, width)
    settings = Dataset(short_side=256, frame_size=224)
    resized = v2.functional.resize(torch.from_numpy(frames).permute(0, 3, 1, 2), [256], antialias=True)
    expected = v2.functional.center_crop(resized, [224, 224]).float()
    difference = (centre_view(frames, settings).float() - expected).abs()
    assert difference.mean() < 3 and difference.max() < 40
    # It is that crop and no other: shifted by a few pixels it fits less well.
    moved = v2.functional.crop(resized, *(((side - 224) // 2 + 6) for side in resized.shape[-2:]), 224, 224).float()
    assert (centre_view(frames, settings).float() - moved).abs().mean() > 3 * difference.mean()


def test_a_frame_of_the_right_size_is_not_touched() -> None:
    frames = smooth_frames(32, 32)
    view = centre_view(frames, dataset(short_side=32))
    assert np.array_equal(view.numpy(), frames.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("height", "width"), [(100, 140), (20, 24), (32, 40), (1, 1), (3, 200)])
def test_cutting_is_torchvisions_resized_crop(height: int, width: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 210, 210, 3), dtype=np.uint8)
    expected = v2.functional.resized_crop(
        torch.from_numpy(frames).permute(0, 3, 1, 2), 5, 7, height, width, [32, 32], antialias=True
    )
    assert torch.equal(cut(frames, Box(5, 7, height, width), 32), expected)
    assert torch.equal(cut(frames, Box(5, 7, height, width), 32, mirrored=True), expected.flip(-1))


def test_downscaling_is_antialiased() -> None:
    """A fine chequerboard becomes grey, not a coarse chequerboard."""
    board = np.indices((128, 128)).sum(axis=0) % 2 * 255
    frames = np.repeat(board.astype(np.uint8)[None, :, :, None], 3, axis=3)
    view = centre_view(frames, dataset(short_side=32)).float()
    assert (view - 127.5).abs().max() < 3


# --- views at test time -----------------------------------------------------------------------------------------------


def test_one_crop_is_the_validation_view() -> None:
    frames = smooth_frames(48, 64)
    assert torch.equal(views_at_test_time(frames, dataset(), 1)[0], centre_view(frames, dataset()))


@pytest.mark.parametrize(("height", "width"), [(40, 90), (90, 40), (40, 40)])
def test_three_crops_go_along_the_long_side(height: int, width: int) -> None:
    frames = smooth_frames(height, width)
    start, middle, end = views_at_test_time(frames, dataset(), 3)
    assert torch.equal(middle, centre_view(frames, dataset()))
    if height > width:
        expected = [Box(0, 4, 32, 32), Box(58, 4, 32, 32)]
    elif width > height:
        expected = [Box(4, 0, 32, 32), Box(4, 58, 32, 32)]
    else:
        expected = [Box(4, 0, 32, 32), Box(4, 8, 32, 32)]
    assert torch.equal(start, cut(frames, expected[0], 32))
    assert torch.equal(end, cut(frames, expected[1], 32))


def test_ten_crops_are_corners_and_centre_each_mirrored_too() -> None:
    frames = smooth_frames(40, 90)
    views = views_at_test_time(frames, dataset(), 10)
    corners = [(0, 0), (0, 58), (8, 0), (8, 58), (4, 29)]
    for number, (top, left) in enumerate(corners):
        assert torch.equal(views[number], cut(frames, Box(top, left, 32, 32), 32))
        assert torch.equal(views[number + 5], views[number].flip(-1))


# --- normalisation ----------------------------------------------------------------------------------------------------


def test_normalising_is_minus_mean_over_std_a_channel() -> None:
    model = Model(mean=(10.0, 20.5, 30.0), std=(2.0, 4.0, 58.395))
    frames = torch.randint(0, 256, (2, 3, 3, 5, 7), dtype=torch.uint8)
    normalised = normalise(frames, model)
    assert normalised.dtype == torch.float32 and normalised.shape == frames.shape
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (model.mean, model.std))
    assert np.array_equal(normalised.numpy(), (frames.numpy().astype(np.float32) - mean) / std)


def test_normalising_agrees_with_torchvisions_in_0_to_1() -> None:
    frames = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    theirs = v2.functional.normalize(frames.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(normalise(frames[None], Model())[0], theirs, rtol=1e-4, atol=1e-5)


# --- RandAugment ------------------------------------------------------------------------------------------------------


def test_rand_augment_is_the_same_for_every_frame_and_a_function_of_the_generator() -> None:
    still = np.repeat(smooth_frames(40, 60, frames=1), 3, axis=0)
    settings = dataset(rand_augment=9, flip=0.0)
    drawn = torch.get_rng_state()
    views = [training_view(still, settings, np.random.default_rng(seed))[0] for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(drawn, torch.get_rng_state()), "dropout would draw other numbers"
    assert all(view.dtype == torch.uint8 and view.shape == (3, 3, 32, 32) for view in views)
    assert all(torch.equal(view[0], view[1]) and torch.equal(view[0], view[2]) for view in views)
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
    plain, _ = training_view(still, dataset(flip=0.0), np.random.default_rng(1))
    assert not torch.equal(views[2], plain)
