"""Which frames of a video the model sees: one from each of `segments` equal parts (Wang et al. 2016, TSN)."""

from __future__ import annotations

import numpy as np


def random_frames(num_frames: int, segments: int, rng: np.random.Generator) -> list[int]:
    """Training: a random frame of each part. A video shorter than `segments` shows some frames twice, in order."""
    starts, ends = _parts(num_frames, segments)
    return [int(rng.integers(start, end)) for start, end in zip(starts, ends, strict=True)]


def centre_frames(num_frames: int, segments: int) -> list[int]:
    """Validation and test: the middle frame of each part."""
    return [int((part + 0.5) * num_frames / segments) for part in range(segments)]


def _parts(num_frames: int, segments: int) -> tuple[list[int], list[int]]:
    """The parts as [start, end), whole frames, together all of the video, each at least one frame long."""
    edges = [part * num_frames / segments for part in range(segments + 1)]
    starts = [int(edge) for edge in edges[:-1]]
    ends = [max(start + 1, int(edge)) for start, edge in zip(starts, edges[1:], strict=True)]
    return starts, ends
