"""One frame of each equal part: any of them in training, the middle one in validation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.sampling import centre_frames, random_frames

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


def test_the_same_generator_gives_the_same_frames() -> None:
    first, again, other = (random_frames(300, 8, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first == again != other
