"""MMAction2's RawframeDataset: lists of folders of frames, as text or JSON, labels counting from 0.

    some/folder 163 5          frames, label
    some/folder 163 5 12       frames, labels
    some/folder 40 163 5       frames before the first, frames, label

The last two look alike. What the folders hold decides between them, or [dataset] with_offset does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import Disk, counted, is_video, missing_note, require_folder
from engine.dataset.formats.classes import base_note, numbered_classes, require_labels_inside
from engine.dataset.formats.frames import FrameNames, detect, images_of
from engine.dataset.formats.groups import group_in_name
from engine.dataset.formats.held_out import hold_out
from engine.dataset.formats.lists import find_one_or_two, numbered_lines, read_json, text_or_json
from engine.errors import DataError, UndecidedError
from engine.recipe import Dataset

# How many folders are counted where the columns have two readings; the share of rows that must agree with the disk in
# one reading, and that may in the other.
FOLDERS_COUNTED = 200
AGREEMENT, DISSENT = 0.5, 0.05


T = TypeVar("T")


class Row(NamedTuple):
    """A folder and the numbers that follow it. line: of the text, or the entry's number in JSON."""

    folder: str
    numbers: tuple[int, ...]
    line: int


class Listed(NamedTuple):
    """A row whose columns are understood. offset: frames of the folder before the clip's first. labels count from 0."""

    folder: str
    offset: int
    frames: int
    labels: tuple[int, ...]
    line: int


@dataclass
class FrameList:
    """A list as read. with_offset: whether `numbers` begin with an offset; None: not known yet."""

    source: Path
    rows: list[Row]
    with_offset: bool | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def is_json(self) -> bool:
        return _is_json(self.source)

    def listed(self, first_label: int) -> list[Listed]:
        """The rows, once with_offset is known. first_label: the id of the first class, as the list counts."""
        shift = 1 if self.with_offset else 0
        found: list[Listed] = []
        for folder, numbers, line in self.rows:
            labels = numbers[shift + 1 :]
            if first_label:
                if 0 in labels:
                    raise DataError(f"{self.source}:{line}: label 0, but [dataset] first_label is 1; set it to 0.")
                labels = tuple(label - first_label for label in labels)
            found.append(Listed(folder, numbers[0] if shift else 0, numbers[shift], labels, line))
        return found


def read(dataset: Dataset, num_classes: int | None, flow: bool) -> ClipLists:
    """Class names are [dataset] classes, and numbers for ids beyond them. Where any row has several labels, the dataset
    is multi-label, and every clip has `labels`."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    sources = [source for source in find_one_or_two(dataset, text_or_json(dataset)) if source]
    lists = [read_list(source) for source in sources]
    _keep_those_on_disk(lists[0], root, "root")
    for frames in lists[1:]:
        _keep_those_on_disk(frames, val_root, "val_root" if dataset.val_root else "root")

    folders = [list(dict.fromkeys(row.folder for row in frames.rows)) for frames in lists]
    names = detect([*_spread(folders[0], 15), *_spread(folders[-1], 5)], dataset, flow)
    notes = names.notes() + _settle_columns(lists, dataset, names.template, flow)
    listed = [frames.listed(dataset.first_label) for frames in lists]
    lowest = min(min(row.labels) for rows in listed for row in rows)
    highest = max(max(row.labels) for rows in listed for row in rows)
    classes = numbered_classes(dataset.classes, num_classes, highest)
    several = any(len(row.labels) > 1 for rows in listed for row in rows)
    clips: list[ClipTable] = []
    for frames, rows in zip(lists, listed, strict=True):
        labels = [(row.folder, max(row.labels), row.line) for row in rows]
        require_labels_inside(labels, frames.source, len(classes), lowest, dataset.first_label)
        clips.append(_clips(rows, frames.missing, names.start_index, several, dataset.frame_counts == "disk"))
        notes += missing_note(frames.missing, len(rows) + len(frames.missing), frames.source, "folder")
        notes += _without_frames(rows, frames.source) + _shorter_than_listed(rows, frames, names, flow)
    decided: dict[str, Any] = {"filename_template": names.template, "start_index": names.start_index}
    if texts := [frames for frames in lists if not frames.is_json]:
        decided["with_offset"] = texts[0].with_offset
    notes += base_note(lowest, sources[0])
    if len(clips) == 1:
        train, val, how = hold_out(clips[0], classes, dataset)
        return ClipLists(classes, train, val, notes + how, decided)
    return ClipLists(classes, clips[0], clips[1], notes, decided)


def read_list(path: Path) -> FrameList:
    """The rows of a list. DataError names the line that is not a folder and numbers."""
    found = _read_json(path) if _is_json(path) else _read_text(path)
    if not found.rows:
        raise DataError(f"{path} lists no folder.")
    return found


def is_list(path: Path) -> bool:
    """Whether it lists folders of frames, by its first line (text) or first entry (JSON)."""
    try:
        if _is_json(path):
            loaded = read_json(path)
            first = loaded[0] if isinstance(loaded, list) and loaded else None
            return isinstance(first, dict) and "frame_dir" in first
        line, text = next(numbered_lines(path), (0, ""))
        return bool(line) and not is_video(os.path.basename(_row(path, line, text).folder))
    except DataError:
        return False


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> FrameList:
    rows = [_row(path, line, text) for line, text in numbered_lines(path)]
    shortest = min((len(row.numbers) for row in rows), default=0)
    return FrameList(path, rows, None if shortest > 2 else False)


def _row(path: Path, line: int, text: str) -> Row:
    folder, *rest = text.split()
    if not all(number.isdecimal() and number.isascii() for number in rest):
        # Only a path with spaces gets here; where its last part is a number, that is taken for a column.
        match = re.fullmatch(r"(.*?\S)((?:\s+\d{1,18})*)", text, re.ASCII)
        folder, rest = (match[1], match[2].split()) if match else (text, [])
    if len(rest) < 2:
        raise DataError(f'{path}:{line}: "{text}" must be a folder, its frames and its label: "folder 163 5".')
    return Row(folder, tuple(map(int, rest)), line)


def _read_json(path: Path) -> FrameList:
    loaded = read_json(path)
    if not isinstance(loaded, list):
        raise DataError(f'{path}: must be a list of objects with "frame_dir", "total_frames" and "label".')
    rows = [_json_row(path, number, entry) for number, entry in enumerate(loaded, start=1)]
    return FrameList(path, rows, with_offset=True)


def _json_row(path: Path, number: int, entry: Any) -> Row:
    """The label is a list even where it is one."""
    where = f"{path}: entry {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("frame_dir"), str):
        raise DataError(f'{where} has no "frame_dir".')
    label = entry.get("label")
    labels = label if isinstance(label, list) and label else [label]
    numbers = (entry.get("offset", 0), entry.get("total_frames"), *labels)
    for name, value in zip(("offset", "total_frames", *["label"] * len(labels)), numbers, strict=True):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DataError(f'{where} ({entry["frame_dir"]}): "{name}" must be a whole number from 0 on.')
    return Row(entry["frame_dir"], numbers, number)


def _keep_those_on_disk(frames: FrameList, root: Path, key: str) -> None:
    disk = Disk(folders=True)
    there: list[Row] = []
    for row in frames.rows:
        path = os.path.join(root, row.folder).rstrip("/")
        if disk.find(path):
            there.append(Row(path, row.numbers, row.line))
        else:
            frames.missing.append(row.folder)
    if not there:
        first = os.path.join(root, frames.missing[0])
        video = is_video(os.path.basename(first)) or os.path.isfile(first)
        hint = 'format = "mmaction_video" reads lists of video files' if video else f"correct [dataset] {key}"
        raise DataError(
            f"none of the {counted(len(frames.rows), 'folder')} listed in {frames.source} is there; the first would be "
            f"{first}; {hint}."
        )
    frames.rows = there


def _spread(found: Sequence[T], most: int) -> list[T]:
    """Some of many, at even distances."""
    return [found[place * len(found) // most] for place in range(most)] if len(found) > most else list(found)


# --- the columns ------------------------------------------------------------------------------------------------------


def _settle_columns(lists: Sequence[FrameList], dataset: Dataset, template: str, flow: bool) -> tuple[str, ...]:
    """Decide what the columns of text lists mean; a sentence where that took a look at the folders."""
    texts = [frames for frames in lists if not frames.is_json]
    notes: tuple[str, ...] = ()
    if dataset.with_offset != "auto":
        with_offset = dataset.with_offset
        if with_offset:
            _require_offsets(texts)
    elif any(frames.with_offset is False for frames in texts) or not texts:
        with_offset = False  # rows of three columns have no room for an offset
    else:
        with_offset, sentence = _as_disk_says(texts, template, flow)
        notes = (sentence,)
    for frames in texts:
        frames.with_offset = with_offset
    return notes


def _require_offsets(lists: Sequence[FrameList]) -> None:
    for frames in lists:
        for row in frames.rows:
            if len(row.numbers) < 3:
                raise DataError(
                    f"{frames.source}:{row.line}: {counted(len(row.numbers) + 1, 'column')}, but [dataset] with_offset "
                    '= true takes four, "folder offset frames label".'
                )


def _as_disk_says(lists: Sequence[FrameList], template: str, flow: bool) -> tuple[bool, str]:
    """with_offset, by the reading that agrees with the number of images in the folders. No row agrees in both: without
    an offset the frames are all there are, with one they are less. DataError where the rows do not tell."""
    rows = _spread([row for frames in lists for row in frames.rows], FOLDERS_COUNTED)
    plain = shifted = 0
    for row in rows:
        images = images_of(row.folder, template, flow)
        there = images.count if images else 0
        # Flow lies between frames: a list may count these, or the flow.
        plain += row.numbers[0] in ((there, there + 1) if flow else (there,))
        shifted += 1 <= row.numbers[1] <= there - row.numbers[0]
    readings = {"folder, frames, labels": plain, "folder, offset, frames, label": shifted}
    (chosen, most), (_, least) = sorted(readings.items(), key=lambda reading: -reading[1])
    name, first = lists[0].source, lists[0].rows[0]
    if most >= AGREEMENT * len(rows) and least <= DISSENT * len(rows):
        agreed = f"{most} of {counted(len(rows), 'row')} agree with the images on disk"
        return shifted > plain, f"The columns of {name.name} are read as {chosen}: so {agreed}."
    raise UndecidedError(
        f"{name}:{first.line}: the columns {' '.join(map(str, first.numbers))} may be frames and labels or offset, "
        f"frames and label; of {counted(len(rows), 'row')}, {plain} agree with the images on disk in the one reading "
        f"and {shifted} in the other; set [dataset] with_offset to false or true.",
        "dataset.with_offset",
    )


# --- clips ------------------------------------------------------------------------------------------------------------


def _clips(
    rows: Sequence[Listed], missing: Sequence[str], start_index: int, several: bool, count_on_disk: bool
) -> ClipTable:
    clips = ClipPacker()
    for folder, offset, frames, labels, _ in rows:
        if not frames:
            continue  # in a clip, 0 would mean all there are
        group = group_in_name(f"{os.path.basename(folder)}.")
        whole = count_on_disk and not offset
        clips.append(
            Clip(
                folder, labels[0], group, labels if several else (),
                first_frame=start_index + offset, num_frames=0 if whole else frames,
            )
        )  # fmt: skip
    return clips.table(missing)


def _without_frames(rows: Sequence[Listed], source: Path) -> tuple[str, ...]:
    empty = [row.folder for row in rows if not row.frames]
    if not empty:
        return ()
    are = "is" if len(empty) == 1 else "are"
    return (f"{counted(len(empty), 'folder')} {are} listed in {source} with 0 frames and left out, e.g. {empty[0]}.",)


def _shorter_than_listed(rows: Sequence[Listed], frames: FrameList, names: FrameNames, flow: bool) -> tuple[str, ...]:
    """The sentence on folders, of those that were looked into, with fewer images than the list says."""
    short = []
    for row in rows:
        images = names.seen.get(row.folder)
        last = names.start_index + row.offset + row.frames - 1
        if images and images.last + (1 if flow else 0) < last:
            short.append(f"{row.folder} has {images.count}, not {row.offset + row.frames}")
    if not short:
        return ()
    verb = "holds" if len(short) == 1 else "hold"
    way_out = "" if frames.with_offset else ', unless [dataset] frame_counts = "disk"'
    return (
        f"{len(short)} of the folders looked into {verb} fewer images than {frames.source} says: {short[0]}; such "
        f"clips are left out{way_out}.",
    )
