"""One frame of each equal part, or a dense clip: from anywhere in training, from the middle in validation."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine import recipe
from engine.dataset.sampling import (
    centre_frames,
    even_clips,
    frames_at_test_time,
    random_clip,
    random_frames,
    training_frames,
    validation_frames,
)

NUM_FRAMES = st.integers(1, 100_000)
SEGMENTS = st.integers(1, 64)
SEEDS = st.integers(0, 2**64)


@given(NUM_FRAMES, SEGMENTS, SEEDS)
def test_a_random_frame_lies_in_its_part(num_frames: int, segments: int, seed: int) -> None:
    frames = random_frames(num_frames, segments, np.random.default_rng(seed))
    assert len(frames) == segments
    assert frames == sorted(frames)
    for part, frame in enumerate(frames):
        assert 0 <= frame < num_frames
        # The frame lasts from `frame` to `frame + 1`; that overlaps the part.
        assert frame + 1 > Fraction(part * num_frames, segments)
        assert frame < Fraction((part + 1) * num_frames, segments)


@given(st.integers(1, 20), st.integers(1, 12))
def test_every_frame_is_reached(num_frames: int, segments: int) -> None:
    rng = np.random.default_rng(0)
    seen = {frame for _ in range(40 * num_frames) for frame in random_frames(num_frames, segments, rng)}
    assert seen == set(range(num_frames))


@given(st.integers(8, 4096), st.integers(1, 8), SEEDS)
def test_a_long_video_shows_no_frame_twice(num_frames: int, segments: int, seed: int) -> None:
    assert len(set(random_frames(num_frames, segments, np.random.default_rng(seed)))) == segments


def test_frames_of_a_part_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(30)
    for _ in range(10_000):
        counts[random_frames(30, 3, rng)] += 1
    assert np.allclose(counts, 1000, atol=150)  # five standard deviations


@given(NUM_FRAMES, SEGMENTS)
def test_centre_frames_are_mmactions_in_test_mode(num_frames: int, segments: int) -> None:
    """SampleFrames(clip_len=1, frame_interval=1, num_clips=segments, test_mode=True)."""
    frames = centre_frames(num_frames, segments)
    assert frames == [int((part + 0.5) * num_frames / segments) for part in range(segments)]
    assert frames == sorted(frames) and frames[0] >= 0 and frames[-1] < num_frames


def test_examples() -> None:
    assert centre_frames(300, 3) == [50, 150, 250]
    assert centre_frames(10, 4) == [1, 3, 6, 8]
    assert centre_frames(1, 8) == random_frames(1, 8, np.random.default_rng(0)) == [0] * 8
    assert centre_frames(3, 6) == [0, 0, 1, 1, 2, 2] == random_frames(3, 6, np.random.default_rng(0))


def test_two_clips_of_a_spread_are_mmactions_twice_sample() -> None:
    """SampleFrames(clip_len=1, frame_interval=1, num_clips=3, test_mode=True, twice_sample=True)."""
    model, run = recipe.Model(segments=3), recipe.Run(test_clips=2)
    assert frames_at_test_time(300, model, run) == [[50, 150, 250], [0, 100, 200]]
    assert frames_at_test_time(10, recipe.Model(segments=4), run) == [[1, 3, 6, 8], [0, 2, 5, 7]]
    assert frames_at_test_time(300, model, recipe.Run()) == [[50, 150, 250]]


def test_the_same_generator_gives_the_same_frames() -> None:
    first, again, other = (random_frames(300, 8, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first == again != other


# --- dense clips ------------------------------------------------------------------------------------------------------

CLIP_LENS, INTERVALS = st.integers(1, 64), st.integers(1, 32)


def sample_frames_in_test_mode(num_frames: int, clip_len: int, frame_interval: int, num_clips: int) -> np.ndarray:
    """MMAction2 1.2.0's SampleFrames(test_mode=True, out_of_bound_opt="loop"), as its documentation defines it."""
    max_offset = max(num_frames - ((clip_len - 1) * frame_interval + 1), 0)
    offsets = np.array([max_offset // 2])
    if num_clips > 1:
        offsets = np.round(np.arange(num_clips) * (max_offset / (num_clips - 1)))
    return np.mod(offsets[:, None] + np.arange(clip_len) * frame_interval, num_frames).astype(int)


@given(NUM_FRAMES, st.integers(2, 64), INTERVALS, st.integers(1, 12))
def test_even_clips_are_mmactions_in_test_mode(num_frames: int, clip_len: int, interval: int, clips: int) -> None:
    expected = sample_frames_in_test_mode(num_frames, clip_len, interval, clips)
    assert even_clips(num_frames, clip_len, interval, clips) == expected.tolist()


@given(NUM_FRAMES, CLIP_LENS, INTERVALS, SEEDS)
def test_a_random_clip_is_evenly_spaced_and_inside(num_frames: int, clip_len: int, interval: int, seed: int) -> None:
    clip = random_clip(num_frames, clip_len, interval, np.random.default_rng(seed))
    assert len(clip) == clip_len and all(0 <= frame < num_frames for frame in clip)
    assert all((later - earlier) % num_frames == interval % num_frames for earlier, later in pairwise(clip))
    if num_frames >= clip_len * interval:
        assert clip == sorted(clip), "a long video is not looped"
    else:
        assert clip[0] == 0, "a short one is shown from its beginning"


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 12))
def test_every_place_is_reached_and_no_other(clip_len: int, interval: int, room: int) -> None:
    """MMAction2 counts the clip as clip_len * frame_interval frames long while training."""
    rng = np.random.default_rng(0)
    starts = {random_clip(clip_len * interval + room, clip_len, interval, rng)[0] for _ in range(60 * (room + 1))}
    assert starts == set(range(room + 1))


def test_examples_of_dense_clips() -> None:
    assert even_clips(300, 4, 16, clips=1) == [[125, 141, 157, 173]]
    assert even_clips(100, 3, 10, clips=3) == [[0, 10, 20], [40, 50, 60], [79, 89, 99]]
    assert even_clips(5, 8, 1, clips=2) == [[0, 1, 2, 3, 4, 0, 1, 2]] * 2  # too short: it begins anew
    assert random_clip(1, 4, 8, np.random.default_rng(0)) == [0, 0, 0, 0]


def test_the_recipe_says_how_frames_are_taken() -> None:
    spread, dense = recipe.Model(segments=3), recipe.Model(segments=3, clip_len=4, frame_interval=2)
    assert (spread.frames, dense.frames) == (3, 4)
    assert validation_frames(90, spread) == [15, 45, 75]
    assert validation_frames(90, dense) == [41, 43, 45, 47]
    assert frames_at_test_time(90, spread, recipe.Run(test_segments=2)) == [[22, 67]]
    assert frames_at_test_time(90, dense, recipe.Run(test_clips=2)) == [[0, 2, 4, 6], [83, 85, 87, 89]]
    for model, expected in ((spread, random_frames(90, 3, np.random.default_rng(5))),
                            (dense, random_clip(90, 4, 2, np.random.default_rng(5)))):  # fmt: skip
        assert training_frames(90, model, np.random.default_rng(5)) == expected
