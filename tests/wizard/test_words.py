"""What a recognizer sees of a clip, in words."""

from __future__ import annotations

import pytest

from engine.recipe import Model
from wizard.words import frames_of


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Model(segments=3), "3 frames"),
        (Model(segments=1), "1 frame"),
        (Model(clip_len=8), "8 frames in a row"),
        (Model(clip_len=8, frame_interval=8), "8 frames, every 8th"),
        (Model(clip_len=32, frame_interval=2), "32 frames, every 2nd"),
        (Model(clip_len=4, frame_interval=13), "4 frames, every 13th"),
        (Model(clip_len=4, frame_interval=21), "4 frames, every 21st"),
    ],
)
def test_the_frames_of_a_clip(model: Model, words: str) -> None:
    assert frames_of(model) == words
