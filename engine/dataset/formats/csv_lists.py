"""Lists of a path and a label in a CSV file: PySlowFast's, PyTorchVideo's, Hugging Face's metadata.csv, and your own.

With or without a header; separated by commas, tabs or spaces; labels are ids or names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.formats.classes import (
    base_note,
    named_classes,
    numbered_classes,
    require_class_count,
    require_labels_inside,
)
from engine.dataset.formats.files import (
    VIDEO_EXTENSIONS,
    Disk,
    counted,
    is_video,
    missing_note,
    require_folder,
    subfolders,
)
from engine.dataset.formats.folders import SPLIT_NAMES
from engine.dataset.formats.groups import ucf_group
from engine.dataset.formats.lists import Entry, NamedEntry, csv_rows, find_lists, numbered_lines, whole_number
from engine.errors import DataError
from engine.recipe import Dataset

METADATA = "metadata.csv"
_PATH_COLUMNS = ("path", "video_path", "file_name", "filename", "file", "filepath", "file_path", "video", "video_name")
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "label_name", "category", "target")
_EXTENSIONS = "|".join(sorted(extension[1:] for extension in VIDEO_EXTENSIONS))
# A path may hold spaces and a label too; the extension tells where one ends.
_SPACED = re.compile(rf"(.*\.(?:{_EXTENSIONS}))\s+(\S.*)", re.IGNORECASE)
_HAS_VIDEO = re.compile(rf"\.(?:{_EXTENSIONS})(?:[\s,\"]|$)", re.IGNORECASE)
# How many paths of a list are tried to find the folder that they start from.
_PROBES = 200


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids keep their numbers, named by [dataset] classes. Names are sorted, or in the order of [dataset] classes."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    sources = _lists(dataset)
    rows = read_list(sources[0]), read_list(sources[1])
    notes: tuple[str, ...] = ()
    if _is_id(rows[0][0][1]):
        entries = _with_ids(rows[0], sources[0]), _with_ids(rows[1], sources[1])
        ids = [label for listed in entries for _, label, _ in listed]
        classes = numbered_classes(dataset.classes, num_classes, max(ids))
        for listed, source in zip(entries, sources, strict=True):
            require_labels_inside(listed, source, len(classes), min(ids))
        notes = base_note(min(ids), sources[0])
    else:
        classes, id_of = named_classes(*rows, sources, dataset.classes)
        require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(sources[0]))
        entries = _named(rows[0], id_of), _named(rows[1], id_of)
    train_clips, train_notes = _clips(entries[0], sources[0], root, "root")
    val_clips, val_notes = _clips(entries[1], sources[1], val_root, "val_root" if dataset.val_root else "root")
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes + notes)


def metadata_in(folder: Path) -> tuple[Path, Path] | None:
    """Hugging Face's layout: a metadata.csv in the folder of each split."""
    of_split: dict[str, Path] = {}
    for name in subfolders(folder):
        split = SPLIT_NAMES.get(name.lower())
        if split and (folder / name / METADATA).is_file():
            of_split[split] = folder / name / METADATA
    val = of_split.get("val") or of_split.get("test")
    return (of_split["train"], val) if "train" in of_split and val else None


def is_list(path: Path) -> bool:
    """Whether it lists videos, by its first lines."""
    try:
        video, _, _ = next(_rows(path), ("", "", 0))
        return is_video(os.path.basename(video))
    except DataError:
        return False


def read_list(path: Path) -> list[NamedEntry]:
    """(path, label as text, line) of each row. DataError names the line that is not a path and a label."""
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path} lists no video.")
    return rows


def _rows(path: Path) -> Iterator[NamedEntry]:
    lines = list(islice(numbered_lines(path), 2))
    if not lines:
        return
    first = lines[0][1]
    for delimiter in (",", "\t"):
        header = [name.strip().strip('"').lower() for name in first.split(delimiter)]
        if len(header) > 1 and set(header) & set(_PATH_COLUMNS):
            yield from _by_columns(path, delimiter, header)
            return
    read_row = _spaced_row if any(_SPACED.fullmatch(text) for _, text in lines) else _comma_row
    for line, text in numbered_lines(path):
        if not _is_header(text, line, lines):
            yield read_row(path, line, text)


def _by_columns(path: Path, delimiter: str, header: list[str]) -> Iterator[NamedEntry]:
    at_path = next(header.index(name) for name in _PATH_COLUMNS if name in header)
    at_label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    if at_label is None:
        raise DataError(
            f"{path}:1: no column `label`; the first line must name the columns of path and label, and is "
            f"{','.join(header)}."
        )
    for line, fields in islice(csv_rows(path, delimiter), 1, None):
        if len(fields) <= max(at_path, at_label) or not fields[at_path] or not fields[at_label]:
            raise DataError(f"{path}:{line}: the row must have both a {header[at_path]} and a {header[at_label]}.")
        yield fields[at_path], fields[at_label], line


def _is_header(text: str, line: int, lines: list[tuple[int, str]]) -> bool:
    """A first line without a video, before one that has one, names the columns."""
    return (
        len(lines) == 2 and line == lines[0][0] and not _HAS_VIDEO.search(text) and bool(_HAS_VIDEO.search(lines[1][1]))
    )


def _spaced_row(path: Path, line: int, text: str) -> NamedEntry:
    match = _SPACED.fullmatch(text)
    if not match:
        raise DataError(f'{path}:{line}: "{text}" is not a video and its label; write "path label".')
    numbers = match[2].split()
    if len(numbers) > 1 and all(number.isdecimal() for number in numbers):
        raise _two_numbers(path, line, match[1])
    return match[1], match[2], line


def _comma_row(path: Path, line: int, text: str) -> NamedEntry:
    # A path may hold commas too, but never in its last part: the label comes after the last.
    video, comma, label = (part.strip().strip('"') for part in text.rpartition(","))
    if comma and label and is_video(os.path.basename(video)):
        return video, label, line
    if label.isdecimal() and is_video(os.path.basename(video.rpartition(",")[0].strip())):
        raise _two_numbers(path, line, video.rpartition(",")[0])
    raise DataError(f'{path}:{line}: "{text}" is not a video and its label; write "path,label".')


def _two_numbers(path: Path, line: int, video: str) -> DataError:
    return DataError(
        f"{path}:{line}: {video} has two numbers after it; this format has one label a video, and no more."
    )


def _lists(dataset: Dataset) -> tuple[Path, Path]:
    folder = dataset.annotations or dataset.root
    if not dataset.train_list and not dataset.val_list and (found := metadata_in(Path(folder))):
        return found
    return find_lists(dataset, ".csv", otherwise=dataset.root)


def _is_id(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdecimal()


def _with_ids(rows: list[NamedEntry], source: Path) -> list[Entry]:
    found: list[Entry] = []
    for video, text, line in rows:
        label = whole_number(
            text, source, line, "the training list starts with ids, and all labels must be of one kind"
        )
        if label < 0:
            raise DataError(f"{source}:{line}: label {label} is negative; labels count from 0.")
        found.append((video, label, line))
    return found


def _named(rows: list[NamedEntry], id_of: dict[str, int]) -> list[Entry]:
    return [(video, id_of[label], line) for video, label, line in rows]


def _clips(listed: list[Entry], source: Path, root: Path, key: str) -> tuple[ClipTable, tuple[str, ...]]:
    disk = Disk()
    start, where = _start(listed, source, root, disk)
    clips = ClipPacker()
    missing: list[str] = []
    for video, label, _ in listed:
        if path := disk.find(os.path.join(start, video)):
            clips.append(Clip(path, label, ucf_group(os.path.basename(video))))
        else:
            missing.append(video)
    if not clips:
        raise DataError(
            f"none of the {counted(len(listed), 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(root, missing[0])}, and neither the list's folder nor the working folder has it; correct "
            f"[dataset] {key}."
        )
    return clips.table(), (f"Paths in {source} {where}.", *missing_note(missing, len(listed), source))


def _start(listed: list[Entry], source: Path, root: Path, disk: Disk) -> tuple[str, str]:
    """The folder that a list's paths start from, and how to say so: where most of a sample is found."""
    sample = [video for video, _, _ in listed[:: max(1, len(listed) // _PROBES)]]
    if all(os.path.isabs(video) for video in sample):
        return "", "are absolute"
    places = {
        str(root): f"start in {root}",
        str(source.parent): f"start in the list's folder, {source.parent}",
        "": f"start in the working folder, {Path.cwd()}",
    }
    best = max(places, key=lambda place: sum(disk.find(os.path.join(place, video)) is not None for video in sample))
    return best, places[best]
