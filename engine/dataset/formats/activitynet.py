"""ActivityNet v1.3: the official JSON, or BSN's anet_anno_action.json with video_info_new.csv beside it.

Other datasets of untrimmed videos (HACS, FineAction, ActionFormer's THUMOS14) come in the official form too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.dataset.clips import ClipLists, ClipTable
from engine.dataset.files import counted, entries, is_folder, require_folder, some, the_only
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.lists import csv_rows, head_of, read_json
from engine.dataset.formats.segments import Segment, class_names, seconds, segment_clips, usable, video_files
from engine.errors import DataError
from engine.recipe import Dataset

# What is trained and what is judged on, as the copies call it. The test set's labels were never published.
_SUBSETS = (("training", "train"), ("validation", "val"))


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Classes are the labels, sorted, or [dataset] classes. [dataset] clips: a clip is a segment, or a whole video."""
    folder = require_folder(dataset.annotations or dataset.root, "annotations" if dataset.annotations else "root")
    found = annotations_in(folder)
    if found is None:
        raise DataError(
            f"{folder} has neither activity_net.v1-3.min.json nor anet_anno_action.json with video_info_new.csv; set "
            "[dataset] annotations to the folder they lie in."
        )
    videos = read_videos(found)
    names = class_names(segment for video in videos for segment in video.segments)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(found.file)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(found.file))

    ids = {name: label for label, name in enumerate(classes)}
    files = video_files(dataset, prefixes=("v_", ""))
    clips: list[ClipTable] = []
    notes: list[str] = []
    for split, spellings in enumerate(_SUBSETS):
        of_split = [video for video in videos if video.subset in spellings]
        source = f"{found.file} ({spellings[0]})"
        segments, left_out = (_segments if dataset.clips == "segments" else _whole_videos)(of_split, source)
        table, missing = segment_clips(segments, files[split], ids, source)
        clips.append(table)
        notes += [*left_out, *missing]
    train, val = clips
    return ClipLists(classes, train, val, (*notes, *_unknown_subsets(videos, found)))


@dataclass(frozen=True)
class Annotations:
    """file: the JSON. subsets: the CSV that says which subset each video is of, where the JSON does not."""

    file: Path
    subsets: Path | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """One entry. subset: in lower case, "" where none is named. duration: seconds, 0.0 where it is not known."""

    id: str
    subset: str
    duration: float
    segments: tuple[Segment, ...]


def annotations_in(folder: Path) -> Annotations | None:
    """What a folder has of either form, by the first lines of its files; the official one where it has both."""
    files = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
    heads = {path: head_of(path) for path in files if path.suffix.lower() == ".json"}
    official = [path for path, head in heads.items() if '"database"' in head or '"taxonomy"' in head]
    if official:
        return Annotations(the_only(official, folder, 'with a "database" of videos', absent=""))
    described = [path for path, head in heads.items() if '"duration_second"' in head]
    lists = [path for path in files if path.suffix.lower() == ".csv" and _is_subset_list(path)]
    if not described or not lists:
        return None
    # MMAction2 makes anet_anno_{train,val,test,full}.json of it, and BSN has older lists: the sources are preferred.
    file = min(described, key=lambda path: ("action" not in path.name.lower(), path.name))
    return Annotations(file, min(lists, key=lambda path: ("video_info_new" not in path.name.lower(), path.name)))


def read_videos(annotations: Annotations) -> list[Video]:
    """All entries, in the file's order. DataError names the entry that is not as it should be."""
    path = annotations.file
    loaded = read_json(path)
    found = loaded.get("database", loaded) if isinstance(loaded, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(entry, dict) for entry in found.values()):
        raise DataError(f"{path}: must be one object of video ids, each with its annotations.")
    subsets = _read_subsets(annotations.subsets) if annotations.subsets else {}
    ids = _ids(found)
    return [_video(ids[name], entry, subsets.get(ids[name], ""), f"{path}: {name}") for name, entry in found.items()]


def _video(id: str, entry: dict[str, Any], subset: str, where: str) -> Video:
    duration = entry.get("duration", entry.get("duration_second"))
    annotations = entry.get("annotations", [])
    if not isinstance(annotations, list):
        raise DataError(f'{where}: "annotations" must be a list.')
    return Video(
        id,
        subset or str(entry.get("subset", "")).lower(),
        seconds(duration, where) if duration is not None else 0.0,
        tuple(_segment(id, annotation, where) for annotation in annotations),
    )


def _segment(video: str, annotation: Any, where: str) -> Segment:
    found = annotation if isinstance(annotation, dict) else {}
    label, times = found.get("label"), found.get("segment")
    if not isinstance(label, str) or not label.strip() or not isinstance(times, list) or len(times) != 2:
        raise DataError(f'{where}: every annotation must have a "label" and a "segment" of [start, end], in seconds.')
    return Segment(video, normal(label.strip()), seconds(times[0], where), seconds(times[1], where))


def _ids(names: Sequence[str] | dict[str, Any]) -> dict[str, str]:
    """Name → YouTube id. BSN writes v_ before all of them; of eleven characters, v_ is a part of the id itself."""
    with_prefix = all(name.startswith("v_") for name in names) and any(len(name) != 11 for name in names)
    return {name: name[2:] if with_prefix else name for name in names}


def _is_subset_list(path: Path) -> bool:
    header = [name.strip().lower() for name in head_of(path).splitlines()[0:1] for name in name.split(",")]
    return {"video", "subset"} <= set(header)


def _read_subsets(path: Path) -> dict[str, str]:
    """YouTube id → subset, in lower case."""
    rows = list(csv_rows(path))
    header = [name.lower() for name in rows[0][1]]
    at_video, at_subset = header.index("video"), header.index("subset")
    subsets: dict[str, str] = {}
    for line, fields in rows[1:]:
        if len(fields) <= max(at_video, at_subset):
            raise DataError(f"{path}:{line}: the row must have both a video and its subset.")
        subsets[fields[at_video]] = fields[at_subset].lower()
    ids = _ids(subsets)
    return {ids[name]: subset for name, subset in subsets.items()}


def _segments(videos: list[Video], source: str) -> tuple[list[Segment], tuple[str, ...]]:
    annotated = [segment for video in videos for segment in video.segments]
    return usable(annotated, {video.id: video.duration for video in videos}, source)


def _whole_videos(videos: list[Video], source: str) -> tuple[list[Segment], tuple[str, ...]]:
    """MMAction2's way: a video under the label of its first annotation."""
    labelled = [video for video in videos if video.segments]
    several = [video for video in labelled if len({segment.label for segment in video.segments}) > 1]
    notes = []
    if several:
        notes.append(
            f"{counted(len(several), 'video')} of {source} with several classes, under the first of them: "
            f"{some([video.id for video in several])}."
        )
    return [Segment(video.id, video.segments[0].label, 0.0, 0.0) for video in labelled], tuple(notes)


def _unknown_subsets(videos: list[Video], annotations: Annotations) -> tuple[str, ...]:
    """Videos that the list of subsets does not have."""
    unknown = [video.id for video in videos if not video.subset]
    if not unknown:
        return ()
    where = annotations.subsets or annotations.file
    return (f"{counted(len(unknown), 'video')} left out, because {where} names no subset: {some(unknown)}.",)
