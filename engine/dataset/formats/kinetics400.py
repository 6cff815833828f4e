"""Kinetics' CSV files (400, 600, 700, 710): columns by name, videos found by their YouTube id wherever they lie."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable, Note
from engine.dataset.files import by_stem, counted, missing_note, require_folder, videos_below
from engine.dataset.formats.classes import named_classes, require_class_count
from engine.dataset.formats.lists import NamedEntry, csv_rows, find_lists
from engine.errors import DataError
from engine.recipe import Dataset

NEEDED = ("label", "youtube_id")
# Ids hold "_" and "-" themselves, so the times are taken from the right: ID_000017_000027.mp4.
_TIMED_NAME = re.compile(r"(.+)_(\d{1,6})_(\d{1,6})")


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Classes are the training list's labels, sorted, or [dataset] classes. A clip's group is its YouTube id."""
    root = require_folder(dataset.root, "root")
    train_list, val_list = find_lists(dataset, ".csv", otherwise=dataset.root)
    train, val = read_rows(train_list), read_rows(val_list)
    classes, ids = named_classes(
        [row.entry for row in train], [row.entry for row in val], (train_list, val_list), dataset.classes
    )
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(train_list))

    places = [_Videos(root)]
    if dataset.val_root:
        places.append(_Videos(require_folder(dataset.val_root, "val_root")))
    train_clips, train_notes = _clips(train, places[0], "train", train_list, ids)
    val_clips, val_notes = _clips(val, places[-1], "val", val_list, ids)
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes + _unlisted(places))


def is_list(path: Path) -> bool:
    """Whether the first line names Kinetics' columns."""
    try:
        _, header = next(csv_rows(path), (1, []))
    except DataError:
        return False
    return set(NEEDED) <= {name.lower() for name in header}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the CSV. start, end: seconds in the YouTube video; None where the list has no times."""

    label: str
    youtube_id: str
    start: int | None
    end: int | None
    line: int

    @property
    def entry(self) -> NamedEntry:
        return self.name, self.label, self.line

    @property
    def name(self) -> str:
        """The file's name in the official copies, without extension."""
        if self.start is None or self.end is None:
            return self.youtube_id
        return f"{self.youtube_id}_{self.start:06d}_{self.end:06d}"


def read_rows(path: Path) -> list[Row]:
    """The rows of a list, whatever the order of its columns. DataError when there are no labels."""
    rows = csv_rows(path)
    line, first = next(rows, (1, [""]))
    header = [name.lower() for name in first]
    for column in NEEDED:
        if column not in header:
            raise DataError(
                f"{path}:{line}: no column `{column}`; Kinetics' lists have label, youtube_id, time_start, time_end, "
                f"and this one has {', '.join(first) or 'no line'}"
                + ("; test lists without labels cannot be trained or judged on." if "youtube_id" in header else ".")
            )
    found = [_row(dict(zip(header, fields, strict=False)), path, line) for line, fields in rows]
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def _row(fields: dict[str, str], path: Path, line: int) -> Row:
    for column in NEEDED:
        if not fields.get(column):
            raise DataError(f"{path}:{line}: the row has no {column}; every row needs a label and a youtube_id.")
    start, end = (_seconds(fields.get(column, ""), path, line) for column in ("time_start", "time_end"))
    return Row(fields["label"], fields["youtube_id"], start, end, line)


def _seconds(text: str, path: Path, line: int) -> int | None:
    """Some releases write 417, some 417.0."""
    if not text:
        return None
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise DataError(f'{path}:{line}: "{text}" is not a time in seconds.') from None


@dataclass
class _Videos:
    """What lies below a folder: class folders, split folders or none at all, for the id says which video it is."""

    root: Path
    paths: list[str] = field(init=False)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        found = videos_below(self.root)
        self.paths = found.videos
        self._bare: dict[str, list[str]] = {}
        self._timed: dict[tuple[str, int, int], list[str]] = {}
        for stem, paths in by_stem(found.videos).items():
            self._bare[stem] = paths
            if match := _TIMED_NAME.fullmatch(stem):
                self._timed.setdefault((match[1], int(match[2]), int(match[3])), []).extend(paths)

    def find(self, row: Row, split: str, alone: bool) -> str | None:
        """alone: no other clip was cut from this YouTube video, so that its id is enough of a name."""
        timed = self._timed.get((row.youtube_id, row.start, row.end), []) if row.start is not None and row.end else []
        found = timed or (self._bare.get(row.youtube_id, []) if alone else [])
        if not found:
            return None
        path = min(found, key=lambda path: (not _repaired(path), not _in_split(path, split), path))
        self.used.update(found)
        return path


def _repaired(path: str) -> bool:
    """CVDF ships replacements for corrupted videos in a folder of their own; they are the better copy."""
    return "replacement" in path.rpartition("/")[0]


def _in_split(path: str, split: str) -> bool:
    return any(split in folder.lower() for folder in path.split("/")[:-1])


def _clips(
    rows: list[Row], videos: _Videos, split: str, source: Path, ids: dict[str, int]
) -> tuple[ClipTable, tuple[str, ...]]:
    several = _cut_more_than_once(rows)
    clips = ClipPacker()
    missing: list[str] = []
    for row in rows:
        path = videos.find(row, split, alone=row.youtube_id not in several)
        if path is None:
            missing.append(row.name)
        else:
            clips.append(Clip(os.path.join(videos.root, path), ids[row.label], row.youtube_id))
    if not clips:
        raise DataError(
            f"none of the {counted(len(rows), 'video')} listed in {source} is in {videos.root} or a folder in it, e.g. "
            f"{missing[0]}.mp4; correct [dataset] root."
        )
    return clips.table(missing), missing_note(missing, len(rows), source)


def _cut_more_than_once(rows: list[Row]) -> set[str]:
    """YouTube ids of several clips. A file that bears only the id could be any of them, or all of the video."""
    first: dict[str, str] = {}
    return {row.youtube_id for row in rows if first.setdefault(row.youtube_id, row.name) != row.name}


def _unlisted(places: list[_Videos]) -> tuple[str, ...]:
    extra = sorted(path for videos in places for path in videos.paths if path not in videos.used)
    if not extra:
        return ()
    text = f"{counted(len(extra), 'video')} on disk in neither list and left out, e.g. {extra[0]}."
    return (Note(text, "extra", extra),)
