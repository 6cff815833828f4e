"""THUMOS14: a text file a class with rows of "video start end", or ActionFormer's thumos14.json.

The field's convention: train on the segments of the validation videos, judge on those of the test videos. (The set
that THUMOS14 itself calls training is UCF101.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.dataset.clips import Clip, ClipLists
from engine.dataset.files import VIDEO_EXTENSIONS, counted, entries, is_folder, require_folder, some, subfolders
from engine.dataset.formats.activitynet import Annotations, read_videos
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.held_out import hold_out
from engine.dataset.formats.lists import head_of, numbered_lines, read_json
from engine.dataset.formats.segments import Segment, class_names, seconds, segment_clips, usable, video_files
from engine.errors import DataError
from engine.recipe import Dataset

# What is trained and what is judged on, as names of files and JSON call it.
_SETS = (("validation", "val"), ("test",))
_FILE = re.compile(r"(.+)_(validation|val|test)\.txt", re.IGNORECASE)
_VIDEO = re.compile(r"video_(validation|test)_\d+")
# Neither clearly an action nor clearly none: not to be learned from, not to be judged by.
_AMBIGUOUS = "ambiguous"
# Every dive from a cliff stands among the dives too, with the same times. The specific class is kept.
_SPECIFIC, _GENERAL = "CliffDiving", "Diving"
# Test videos whose rows do not fit what they show; results on THUMOS14 are reported without them.
_WRONG = ("video_test_0000270", "video_test_0001496")


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Classes are those of the files' names, sorted, or [dataset] classes. A clip's group is its video.

    Where the test videos have no annotations, whole validation videos are held out.
    """
    folder = require_folder(dataset.annotations or dataset.root, "annotations" if dataset.annotations else "root")
    listed = [_listed(folder, spellings) for spellings in _SETS]
    if not listed[0]:
        raise DataError(
            f"{folder} has no annotations of THUMOS14's validation videos, the ones that are trained on: looked for "
            "files such as BaseballPitch_val.txt, and for thumos14.json; set [dataset] annotations to their folder."
        )
    _require_apart(*listed)
    durations = _durations(folder)
    sources = [f"{folder} ({spellings[0]})" for spellings in _SETS]
    fit = [_fit(segments, durations, source) for segments, source in zip(listed, sources, strict=True)]
    names = class_names(segment for segments, _ in fit for segment in segments)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(folder)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(folder))

    ids = {name: label for label, name in enumerate(classes)}
    clips: list[Sequence[Clip]] = []
    notes: list[str] = []
    for (segments, left_out), files, source in zip(fit, video_files(dataset), sources, strict=True):
        table, missing = segment_clips(segments, files, ids, source)
        clips.append(table)
        notes += [*left_out, *missing]
    train, val = clips
    if not listed[1]:
        notes.append(f"{folder} has no annotations of the test videos: whole validation videos are held out.")
        train, val, how = hold_out(train, classes, dataset)
        notes += how
    return ClipLists(classes, train, val, tuple(notes))


def annotation_files(folder: Path) -> list[Path]:
    """The files of rows and the JSON files in a folder and in those below it that are called annotations."""
    found = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
    found = [path for path in found if _is_rows(path) or (path.suffix.lower() == ".json" and _names_videos(path))]
    for name in subfolders(folder):
        if "annot" in name.lower():
            found += annotation_files(folder / name)
    return found


def is_annotated(folder: Path) -> bool:
    """Whether there are segments of THUMOS14's videos."""
    return any(_is_rows(path) or _has_entries(path) for path in annotation_files(folder))


def _is_rows(path: Path) -> bool:
    return bool(_FILE.fullmatch(path.name)) and bool(_VIDEO.match(head_of(path).lstrip()))


def _names_videos(path: Path) -> bool:
    return bool(_VIDEO.search(head_of(path)))


def _has_entries(path: Path) -> bool:
    return '"database"' in head_of(path)


def _listed(folder: Path, spellings: tuple[str, ...]) -> list[Segment]:
    """All of a set: rows where there are any, else the entries of a JSON file."""
    files = annotation_files(folder)
    segments: list[Segment] = []
    for path in files:
        if (match := _FILE.fullmatch(path.name)) and match[2].lower() in spellings:
            segments += _rows(path, normal(match[1]))
    if any(path.suffix.lower() == ".txt" for path in files):
        return segments
    return [
        segment
        for path in files
        if _has_entries(path)
        for video in read_videos(Annotations(path))
        if video.subset in spellings
        for segment in video.segments
    ]


def _rows(path: Path, label: str) -> Iterator[Segment]:
    for line, text in numbered_lines(path):
        fields = text.replace(",", " ").split()
        if len(fields) != 3:
            raise DataError(f'{path}:{line}: "{text}" is not a row of "video start end".')
        start, end = (seconds(field, f"{path}:{line}") for field in fields[1:])
        yield Segment(_without_extension(fields[0]), label, start, end)


def _without_extension(video: str) -> str:
    stem, dot, extension = video.rpartition(".")
    return stem if dot + extension.lower() in VIDEO_EXTENSIONS else video


def _require_apart(train: list[Segment], val: list[Segment]) -> None:
    shared = {segment.video for segment in train} & {segment.video for segment in val}
    if shared:
        raise DataError(
            f"{counted(len(shared), 'video')} in the annotations of both the validation and the test videos, e.g. "
            f"{min(shared)}; all segments of a video must stay on one side."
        )


def _durations(folder: Path) -> dict[str, float]:
    """Seconds of each video, from whatever JSON file there says it (thumos14.json, TH14_video_info.json)."""
    durations: dict[str, float] = {}
    for path in annotation_files(folder):
        if path.suffix.lower() == ".json":
            loaded: Any = read_json(path)
            found = loaded.get("database", loaded) if isinstance(loaded, dict) else {}
            for video, entry in found.items() if isinstance(found, dict) else ():
                if isinstance(entry, dict) and "duration" in entry:
                    durations[video] = seconds(entry["duration"], f"{path}: {video}")
    return durations


def _fit(segments: list[Segment], durations: dict[str, float], source: str) -> tuple[list[Segment], tuple[str, ...]]:
    """Those that show an action and whose class is certain, and sentences on the others."""
    times_of_specific = {_moment(segment) for segment in segments if segment.label == _SPECIFIC}
    kept: list[Segment] = []
    left_out: Counter[str] = Counter()
    for segment in segments:
        if segment.label.lower() == _AMBIGUOUS:
            left_out["Ambiguous, neither clearly an action nor clearly none"] += 1
        elif segment.video in _WRONG:
            left_out[f"known to be wrong ({' and '.join(_WRONG)})"] += 1
        elif segment.label == _GENERAL and _moment(segment) in times_of_specific:
            left_out[f"{_GENERAL} that are {_SPECIFIC} with the same times, the more specific class"] += 1
        else:
            kept.append(segment)
    kept, notes = usable(kept, durations, source)
    return kept, (
        *(f"{counted(count, 'segment')} in {source} left out: {why}." for why, count in left_out.items()),
        *notes,
        *_contradictions(kept, source),
    )


def _moment(segment: Segment) -> tuple[str, float, float]:
    return segment.video, segment.start, segment.end


def _contradictions(segments: list[Segment], source: str) -> tuple[str, ...]:
    times = Counter(_moment(segment) for segment in segments)
    twice = [segment for segment in segments if times[_moment(segment)] > 1]
    if not twice:
        return ()
    examples = some([str(segment) for segment in twice])
    return (f"{counted(len(twice), 'segment')} in {source} with the times of another class: {examples}.",)
