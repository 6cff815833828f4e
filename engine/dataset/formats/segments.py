"""Annotated segments of untrimmed videos: which of them can be clips, and where their videos lie."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.dataset.clips import Clip, ClipPacker, ClipTable, Note
from engine.dataset.files import by_stem, counted, missing_note, require_folder, videos_below
from engine.dataset.formats.classes import normal
from engine.errors import DataError
from engine.recipe import Dataset


@dataclass(frozen=True, slots=True)
class Segment:
    """What a video shows from `start` to `end`, in seconds. video: its id, by which its file is named."""

    video: str
    label: str
    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.label} in {self.video} [{self.start:g}–{self.end:g} s]"


def seconds(value: Any, where: str) -> float:
    """A time as a number. DataError, which begins with `where`, for anything else."""
    try:
        time = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        time = math.nan
    if not math.isfinite(time):
        raise DataError(f"{where}: {value} is not a time in seconds.")
    return time


def usable(
    segments: Iterable[Segment], durations: Mapping[str, float], source: str
) -> tuple[list[Segment], tuple[str, ...]]:
    """Those that show a moment of their video, cut to it, and sentences on the others.

    durations: of the videos, in seconds, as far as they are known. What is not known is cut when the video is opened.
    """
    found: list[Segment] = []
    empty: list[Segment] = []
    past: list[Segment] = []
    cut: list[Segment] = []
    for segment in segments:
        length = durations.get(segment.video) or math.inf
        start, end = max(0.0, segment.start), min(segment.end, length)
        if segment.end <= segment.start or segment.end <= 0:
            empty.append(segment)
        elif segment.start >= length:
            past.append(segment)
        elif (start, end) != (segment.start, segment.end):
            cut.append(segment)
            found.append(Segment(segment.video, segment.label, start, end))
        else:
            found.append(segment)
    again = [segment for segment, times in Counter(found).items() for _ in range(times - 1)]
    return found, (
        *_note(empty, source, "left out, because the end is not after the start"),
        *_note(past, source, "left out, past the end of the video"),
        *_note(cut, source, "cut, reaching out of the video"),
        *_note(again, source, "listed before, and counted again"),
    )


def _note(segments: Sequence[Segment], source: str, what: str) -> tuple[str, ...]:
    if not segments:
        return ()
    text = f"{counted(len(segments), 'segment')} in {source} {what}, e.g. {segments[0]}."
    return (Note(text, "segments", [str(segment) for segment in segments]),)


class Videos:
    """The video files below a folder, by id: the name without extension, with any of some prefixes before it."""

    def __init__(self, root: Path, prefixes: Sequence[str] = ("",)) -> None:
        self.root = root
        self._paths = by_stem(videos_below(root).videos)
        self.prefixes = prefixes

    def find(self, video: str) -> str | None:
        names = (prefix + video for prefix in self.prefixes)
        return next((os.path.join(self.root, self._paths[name][0]) for name in names if name in self._paths), None)


def video_files(dataset: Dataset, prefixes: Sequence[str] = ("",)) -> tuple[Videos, Videos]:
    """The training and the validation videos: below [dataset] root, the latter below val_root where that is set."""
    train = Videos(require_folder(dataset.root, "root"), prefixes)
    if not dataset.val_root:
        return train, train
    return train, Videos(require_folder(dataset.val_root, "val_root"), prefixes)


def segment_clips(
    segments: Sequence[Segment], videos: Videos, ids: Mapping[str, int], source: str
) -> tuple[ClipTable, tuple[str, ...]]:
    """A clip a segment; a clip's group is its video's id. A segment that ends at 0.0 stands for the whole video.

    DataError when no video is there.
    """
    paths = {video: videos.find(video) for video in dict.fromkeys(segment.video for segment in segments)}
    missing = [video for video, path in paths.items() if path is None]
    clips = ClipPacker()
    for segment in segments:
        if path := paths[segment.video]:
            clips.append(Clip(path, ids[segment.label], segment.video, start=segment.start, end=segment.end))
    if missing and not clips:
        raise DataError(
            f"none of the {counted(len(paths), 'video')} listed in {source} is in {videos.root} or a folder in it, "
            f"e.g. {videos.prefixes[0]}{missing[0]}.mp4; correct [dataset] root."
        )
    left_out = [segment.video for segment in segments if paths[segment.video] is None]
    return clips.table(left_out), missing_note(missing, len(paths), source)


def class_names(segments: Iterable[Segment]) -> list[str]:
    """The labels, sorted."""
    return sorted({normal(segment.label) for segment in segments})
