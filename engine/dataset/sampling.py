"""Which frames of a video the model sees.

Spread over the video: one from each of `segments` equal parts (Wang et al. 2016, TSN). Or dense: a clip of `clip_len`
frames, `frame_interval` apart, as 3D networks were trained on. The formulas are those of MMAction2's SampleFrames.
"""

from __future__ import annotations

import numpy as np

from engine import recipe


def training_frames(num_frames: int, model: recipe.Model, rng: np.random.Generator) -> list[int]:
    """Training: random frames, as [model] says."""
    if model.clip_len:
        return random_clip(num_frames, model.clip_len, model.frame_interval, rng)
    return _from(random_frames(_places(num_frames, model), model.segments, rng), num_frames, model)


def validation_frames(num_frames: int, model: recipe.Model) -> list[int]:
    """Validation: the frames in the middle."""
    if model.clip_len:
        return even_clips(num_frames, model.clip_len, model.frame_interval, clips=1)[0]
    return _from(centre_frames(_places(num_frames, model), model.segments), num_frames, model)


def frames_at_test_time(num_frames: int, model: recipe.Model, run: recipe.Run) -> list[list[int]]:
    """Test: the frames of each of run.test_clips clips. Of two clips whose frames are spread over the video, the second
    has the first frame of each part (MMAction2's twice_sample, after TSM's own test)."""
    if model.clip_len:
        return even_clips(num_frames, model.clip_len, model.frame_interval, run.test_clips)
    segments = run.test_segments or model.segments
    places = _places(num_frames, model)
    clips = [centre_frames(places, segments), first_frames(places, segments)][: run.test_clips]
    return [_from(starts, num_frames, model) for starts in clips]


# --- spread over the video --------------------------------------------------------------------------------------------


def random_frames(num_frames: int, segments: int, rng: np.random.Generator) -> list[int]:
    """A random frame of each part. A video shorter than `segments` shows some frames twice, in order."""
    starts, ends = _parts(num_frames, segments)
    return [int(rng.integers(start, end)) for start, end in zip(starts, ends, strict=True)]


def centre_frames(num_frames: int, segments: int) -> list[int]:
    """The middle frame of each part."""
    return [int((part + 0.5) * num_frames / segments) for part in range(segments)]


def first_frames(num_frames: int, segments: int) -> list[int]:
    """The first frame of each part."""
    return [int(part * num_frames / segments) for part in range(segments)]


def _places(num_frames: int, model: recipe.Model) -> int:
    """Where a frame may begin: anywhere, or of flow, which is several consecutive pairs, where all of them fit."""
    return max(1, num_frames - model.flow_length + 1) if model.modality == "flow" else num_frames


def _from(starts: list[int], num_frames: int, model: recipe.Model) -> list[int]:
    """The frames themselves, or of flow the flow_length pairs that begin at each. A short video begins anew."""
    if model.modality == "rgb":
        return starts
    return [pair for start in starts for pair in _clip(start, num_frames, model.flow_length, frame_interval=1)]


def _parts(num_frames: int, segments: int) -> tuple[list[int], list[int]]:
    """The parts as [start, end), whole frames, together all of the video, each at least one frame long."""
    edges = [part * num_frames / segments for part in range(segments + 1)]
    starts = [int(edge) for edge in edges[:-1]]
    ends = [max(start + 1, int(edge)) for start, edge in zip(starts, edges[1:], strict=True)]
    return starts, ends


# --- dense ------------------------------------------------------------------------------------------------------------


def random_clip(num_frames: int, clip_len: int, frame_interval: int, rng: np.random.Generator) -> list[int]:
    """A clip from a random place. A video too short for it begins anew where it ends."""
    places = max(1, num_frames - clip_len * frame_interval + 1)
    return _clip(int(rng.integers(places)), num_frames, clip_len, frame_interval)


def even_clips(num_frames: int, clip_len: int, frame_interval: int, clips: int) -> list[list[int]]:
    """Clips at even distances, the first at the very beginning, the last at the very end; a single one in the middle.

    A video too short for a clip begins anew where it ends.
    """
    room = max(0, num_frames - (clip_len - 1) * frame_interval - 1)
    starts = [round(clip * (room / (clips - 1))) for clip in range(clips)] if clips > 1 else [room // 2]
    return [_clip(start, num_frames, clip_len, frame_interval) for start in starts]


def _clip(start: int, num_frames: int, clip_len: int, frame_interval: int) -> list[int]:
    return [(start + place * frame_interval) % num_frames for place in range(clip_len)]
