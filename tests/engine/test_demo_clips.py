"""The demo's videos: the same for a seed, real files, and silent about their class in any single frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.dataset.decode import open_video
from engine.demo_clips import FRAMES, MOTIONS, PRETRAINING, SIDE, Size, draw_clip, make_clips, plan_clips

pytestmark = pytest.mark.slow  # `make quick` does without

ALL = PRETRAINING | MOTIONS
OPPOSITES = [
    ("slides left", "slides right"),
    ("slides up", "slides down"),
    ("circles clockwise", "circles counterclockwise"),
    ("drifts up left", "drifts down right"),
    ("sways sideways", "bobs up and down"),
]


def test_no_motion_is_in_both_datasets() -> None:
    assert len(ALL) == len(PRETRAINING) + len(MOTIONS) == 12


@pytest.mark.parametrize("name", ALL)
def test_a_seed_draws_the_same_clip_and_another_one_another(name: str) -> None:
    first, again, other = (draw_clip(ALL[name], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (FRAMES, SIDE, SIDE, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(np.diff(first.astype(int), axis=0)).max() > 30, "nothing moves"


def test_the_files_are_laid_out_as_class_folders_and_decode(tmp_path: Path) -> None:
    paths = list(make_clips(plan_clips(tmp_path, Size(pretraining=1, motions=1, val=1)), seed=0))
    assert len(paths) == 24
    assert {path.parent.name for path in (tmp_path / "motions" / "train").rglob("*.mp4")} == set(MOTIONS)
    video = open_video(str(paths[0]))
    assert video.num_frames == FRAMES
    drawn = draw_clip(PRETRAINING["slides left"], np.random.default_rng([0, 0, 0, 0, 0]))
    assert np.abs(video.read(range(FRAMES)).astype(int) - drawn).mean() < 12, "the file shows another clip"


def test_the_same_seed_writes_the_same_videos(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        paths = make_clips(plan_clips(tmp_path / name, Size(pretraining=1, motions=1, val=1)), seed=3)
        written.append([open_video(str(path)).read([0, FRAMES - 1]) for path in paths])
    assert all(np.array_equal(one, two) for one, two in zip(*written, strict=True))


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_no_frame_by_itself_tells_opposite_motions_apart(one: str, other: str) -> None:
    """The average picture of many clips, at the beginning, the middle and the end, is the same for both."""
    clips, moments = 200, [0, FRAMES // 2, FRAMES - 1]
    pictures = [
        np.stack([_small(draw_clip(ALL[name], np.random.default_rng([place, n]))[moments]) for n in range(clips)])
        for place, name in enumerate((one, other))
    ]
    spread = np.sqrt(sum(shown.var(axis=0) for shown in pictures) / clips)
    deviations = np.abs(pictures[0].mean(axis=0) - pictures[1].mean(axis=0)) / spread
    assert deviations.shape == (3, 4, 4) and deviations.max() < 5, "a place in the picture gives the class away"


def _small(frames: np.ndarray) -> np.ndarray:
    """Brightness in 4 x 4 fields."""
    return frames.mean(axis=3).reshape(-1, 4, SIDE // 4, 4, SIDE // 4).mean(axis=(2, 4))
