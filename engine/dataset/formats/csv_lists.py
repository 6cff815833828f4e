"""Lists of a path and a label in a CSV file: PySlowFast's, PyTorchVideo's, Hugging Face's metadata.csv, and your own.

With or without a header; separated by commas, tabs or spaces; labels are ids or names, several of a video as "a|b".
"""

from __future__ import annotations

import ast
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.atomic import write_text
from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable, Note
from engine.dataset.files import (
    VIDEO_EXTENSIONS,
    Disk,
    counted,
    is_video,
    missing_note,
    require_folder,
    some,
    subfolders,
)
from engine.dataset.formats.classes import (
    base_note,
    named_classes,
    numbered_classes,
    require_class_count,
    require_labels_inside,
)
from engine.dataset.formats.folders import SPLIT_NAMES
from engine.dataset.formats.groups import below_root, group_in_name
from engine.dataset.formats.held_out import hold_out
from engine.dataset.formats.lists import (
    Entry,
    NamedEntry,
    csv_rows,
    find_one_or_two,
    have_several,
    label_of,
    numbered_lines,
    videos_of,
)
from engine.dataset.formats.segments import seconds
from engine.errors import DataError
from engine.recipe import Dataset

METADATA = "metadata.csv"
# Between the classes of one video.
SEPARATOR = "|"
_PATH_COLUMNS = ("path", "video_path", "file_name", "filename", "file", "filepath", "file_path", "video", "video_name")
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "label_name", "category", "target")
_EXTENSIONS = "|".join(sorted(extension[1:] for extension in VIDEO_EXTENSIONS))
_SPLIT_COLUMNS = ("split", "subset")
_GROUP_COLUMNS = ("source", "group")
# Of a part of an untrimmed video, in seconds. Not Kinetics' time_start and time_end: its videos are cut already.
_START_COLUMNS, _END_COLUMNS = ("start", "start_time", "start_seconds"), ("end", "end_time", "end_seconds")
# A path may hold spaces and a label too; the extension tells where one ends.
_SPACED = re.compile(rf"(.*\.(?:{_EXTENSIONS}))\s+(\S.*)", re.IGNORECASE)
_HAS_VIDEO = re.compile(rf"\.(?:{_EXTENSIONS})(?:[\s,\"]|$)", re.IGNORECASE)
# How many paths of a list are tried to find the folder that they start from.
_PROBES = 200


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids keep their numbers, named by [dataset] classes. Names are sorted, or in the order of [dataset] classes.

    A list with a column `split` is both lists; one that stands alone is split here. With the columns `start` and `end`
    (seconds; an empty end is that of the file), a clip is a part of its video.
    """
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    lists = [_one_label_a_row(listed, dataset.classes) for listed in _lists(dataset)]
    rows = [listed.rows for listed in lists]
    sources = [listed.path for listed in lists]
    notes: tuple[str, ...] = ()
    if _is_id(rows[0][0][1]):
        entries = [_with_ids(listed, dataset.first_label) for listed in lists]
        ids = [label for listed in entries for _, label, _ in listed]
        classes = numbered_classes(dataset.classes, num_classes, max(ids))
        for listed, source in zip(entries, sources, strict=True):
            require_labels_inside(listed, source, len(classes), min(ids), dataset.first_label)
        notes = base_note(min(ids), sources[0])
    else:
        classes, id_of = named_classes(rows[0], rows[-1], (sources[0], sources[-1]), dataset.classes)
        require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(sources[0]))
        entries = [_named(listed, id_of) for listed in rows]
    several = any(map(have_several, entries))
    clips, found = _clips(entries[0], lists[0], root, "root", several)
    notes = found + notes
    if len(lists) == 1:
        train, val, how = hold_out(clips, classes, dataset)
        return ClipLists(classes, train, val, notes + how)
    val, found = _clips(entries[1], lists[1], val_root, "val_root" if dataset.val_root else "root", several)
    return ClipLists(classes, clips, val, tuple(dict.fromkeys(notes + found)))


def write_split(path: Path, lists: ClipLists, dataset: Dataset) -> None:
    """Write a split as one list with the columns path, label, split and source (and start and end, where clips are
    parts of videos), which `read` takes for both lists.

    Paths are relative to [dataset] root. Raises DataError where a list of videos and names cannot say it.
    """
    refuse = "a list of videos and labels cannot say it, so the split must stay as the dataset has it"
    for clip in (*lists.train, *lists.val):
        if clip.num_frames:
            raise DataError(f"{clip.name} is a folder of frames; {refuse}.")
    if numbers := [name for place, name in enumerate(lists.classes) if _is_id(name) and name != str(place)]:
        raise DataError(f"The class name {numbers[0]} would be taken for an id; {refuse}.")
    if lists.multi_label and (names := [name for name in lists.classes if labels_in(name) != (name,)]):
        raise DataError(f"The class name {names[0]} would be taken for several; {refuse}.")
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    with_parts = any(clip.start or clip.end for clip in (*lists.train, *lists.val))
    rows.writerow(("path", "label", "split", "source") + (("start", "end") if with_parts else ()))
    for split, clips in (("train", lists.train), ("val", lists.val)):
        for clip in clips:
            part = (clip.start, clip.end or "") if with_parts else ()
            label = SEPARATOR.join(lists.classes[label] for label in clip.all_labels)
            rows.writerow((below_root(clip.path, dataset), label, split, clip.group, *part))
    write_text(path, text.getvalue())


@dataclass
class _List:
    """The rows of one split. groups: the source of each, parts: its start and end, where columns say so."""

    path: Path
    rows: list[NamedEntry]
    groups: list[str] | None = None
    parts: list[tuple[float, float]] | None = None

    def only(self, places: Iterable[int], rows: list[NamedEntry] | None = None) -> _List:
        """Some of the rows, in an order; or others (`rows`) made of the rows at these places."""
        places = list(places)
        return _List(
            self.path,
            rows if rows is not None else [self.rows[at] for at in places],
            self.groups and [self.groups[at] for at in places],
            self.parts and [self.parts[at] for at in places],
        )


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
        header = _header(first, delimiter)
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


def _header(line: str, delimiter: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in line.split(delimiter)]


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
        f"{path}:{line}: {video} has two numbers after it, which may be a frame count and a label; several labels are "
        'written 3|5, or read as format = "mmaction_video".'
    )


def _lists(dataset: Dataset) -> list[_List]:
    """Training and validation; or one list of all clips."""
    folder = dataset.annotations or dataset.root
    train: Path
    val: Path | None
    if not dataset.train_list and not dataset.val_list and (found := metadata_in(Path(folder))):
        train, val = found
    else:
        train, val = find_one_or_two(dataset, ".csv", otherwise=dataset.root)
    listed = _read(train)
    if val in (None, train) and (splits := _column(train, _SPLIT_COLUMNS)):
        return _by_split(listed, splits)
    return [listed] if val is None else [listed, _read(val)]


def _read(path: Path) -> _List:
    rows = read_list(path)
    starts, ends = _column(path, _START_COLUMNS), _column(path, _END_COLUMNS)
    return _List(
        path, rows, _column(path, _GROUP_COLUMNS), _parts(path, rows, starts, ends) if starts or ends else None
    )


def _parts(
    path: Path, rows: list[NamedEntry], starts: list[str] | None, ends: list[str] | None
) -> list[tuple[float, float]]:
    nothing = [""] * len(rows)
    return [
        (seconds(start or 0, f"{path}:{line}"), seconds(end or 0, f"{path}:{line}"))
        for start, end, (_, _, line) in zip(starts or nothing, ends or nothing, rows, strict=True)
    ]


def _column(path: Path, names: tuple[str, ...]) -> list[str] | None:
    """What a column with one of the names says in each row; None where there is no such column."""
    _, first = next(numbered_lines(path), (0, ""))
    for delimiter in (",", "\t"):
        header = _header(first, delimiter)
        at = next((header.index(name) for name in names if name in header), None)
        if set(header) & set(_PATH_COLUMNS) and at is not None:
            return [fields[at] if len(fields) > at else "" for _, fields in islice(csv_rows(path, delimiter), 1, None)]
    return None


def _by_split(listed: _List, splits: list[str]) -> list[_List]:
    """Test rows are judged on where there are no validation rows."""
    rows: dict[str, list[int]] = {}
    for place, (split, row) in enumerate(zip(splits, listed.rows, strict=True)):
        if split.lower() not in SPLIT_NAMES:
            raise DataError(f'{listed.path}:{row[2]}: the split must be train, val or test, and is "{split}".')
        rows.setdefault(SPLIT_NAMES[split.lower()], []).append(place)
    if "train" not in rows:
        raise DataError(f"{listed.path}: no row's split is train.")
    parts = [rows["train"], rows.get("val") or rows.get("test") or []]
    return [listed.only(part) for part in parts if part]


def _one_label_a_row(listed: _List, classes: Sequence[str]) -> _List:
    """A row for each label of a video; where every video has one, the rows as they are."""
    labels = {cell: labels_in(cell) for cell in {cell for _, cell, _ in listed.rows} if cell not in classes}
    if all(len(names) == 1 and names[0] == cell for cell, names in labels.items()):
        return listed
    rows: list[NamedEntry] = []
    places: list[int] = []
    for place, (video, cell, line) in enumerate(listed.rows):
        names = labels.get(cell, (cell,))
        rows += [(video, name, line) for name in names]
        places += [place] * len(names)
    return listed.only(places, rows)


def labels_in(cell: str) -> tuple[str, ...]:
    """The labels that stand in one cell: separated by "|" or ";", or as a list such as pandas and JSON write.

    Ids may be separated by commas and spaces too; names hold these themselves. A name that holds a separator is one
    label where [dataset] classes names it so.
    """
    text = cell
    if _LIST.fullmatch(cell):
        try:
            listed = ast.literal_eval(cell)
        except (ValueError, SyntaxError):
            listed = None  # "[Something] colliding with [something]" is a name
        if isinstance(listed, list) and listed and all(isinstance(label, str | int) for label in listed):
            return tuple(str(label).strip() for label in listed)
    elif not re.search(r"[|;]|^[0-9]+[\s,]", cell):
        return (cell,)
    if ids := _IDS.fullmatch(text):
        return tuple(re.split(r"[\s,|;]+", ids[1]))
    return tuple(name for part in re.split("[|;]", text) if (name := part.strip())) or (cell,)


_LIST = re.compile(r"\[.*\]", re.DOTALL)
_IDS = re.compile(r"\[?\s*([0-9]+(?:[\s,|;]+[0-9]+)*)\s*\]?")


def _is_id(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdecimal()


def _with_ids(listed: _List, first_label: int) -> list[Entry]:
    advice = "the training list starts with ids, and all labels must be of one kind"
    return [(video, label_of(text, listed.path, line, first_label, advice), line) for video, text, line in listed.rows]


def _named(rows: list[NamedEntry], id_of: dict[str, int]) -> list[Entry]:
    return [(video, id_of[label], line) for video, label, line in rows]


def _clips(
    entries: list[Entry], listed: _List, root: Path, key: str, several: bool
) -> tuple[ClipTable, tuple[str, ...]]:
    """several: whether a clip of the dataset may have more than one class."""
    disk, source = Disk(), listed.path
    start, where = _start(entries, source, root, disk)
    clips = ClipPacker()
    missing: list[str] = []
    empty: list[str] = []
    for place, video, labels in videos_of(entries):
        path = disk.find(os.path.join(start, video))
        begin, end = listed.parts[place] if listed.parts else (0.0, 0.0)
        if path is None:
            missing.append(video)
        elif begin < 0 or end < 0 or (end and end <= begin):
            empty.append(f"line {entries[place][2]}")
        else:
            group = (listed.groups[place] if listed.groups else "") or group_in_name(os.path.basename(video))
            clips.append(Clip(path, labels[0], group, labels if several else (), begin, end))
    total = len(clips) + len(missing) + len(empty)
    if not clips and missing:
        raise DataError(
            f"none of the {counted(total, 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(root, missing[0])}, and neither the list's folder nor the working folder has it; correct "
            f"[dataset] {key}."
        )
    notes = (f"Paths in {source} {where}.", *missing_note(missing, total, source))
    if empty:
        what = f"{counted(len(empty), 'part')} in {source} left out, because the end is not after the start"
        notes += (Note(f"{what}: {some(empty)}.", "segments", empty),)
    return clips.table(missing), notes


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
