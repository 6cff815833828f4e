"""What must not straddle two splits: clips of one source video, or of one UCF101 group."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.dataset.clips import Clip, ClipTable, Note, packed
from engine.dataset.files import counted
from engine.dataset.formats.classes import normal
from engine.dataset.formats.lists import read_text
from engine.errors import DataError
from engine.recipe import Dataset

_UCF_NAME = re.compile(r"v_(.+)_g(\d+)_c\d+\.", re.IGNORECASE)
# What Kinetics' copies and those of its many relatives are called: an id of 11 characters, start and end in seconds.
_YOUTUBE_NAME = re.compile(r"([\w-]{11})_\d{6}_\d{6}\.", re.ASCII)


def ucf_group(file_name: str) -> str:
    """v_Archery_g08_c01.avi → "Archery_g08"; "" for any other name."""
    match = _UCF_NAME.match(file_name)
    return f"{match[1]}_g{match[2]}" if match else ""


def group_in_name(file_name: str) -> str:
    """The source that a published name tells: a UCF101 group, or a YouTube id (0wR5jVB-WPk_000417_000427.mp4); else
    ""."""
    if group := ucf_group(file_name):
        return group
    match = _YOUTUBE_NAME.match(file_name)
    return match[1] if match else ""


def regrouped(clips: Sequence[Clip], dataset: Dataset) -> tuple[ClipTable, tuple[str, ...]]:
    """The clips with the sources that [dataset] groups or group_pattern names for them, and sentences about it.

    Raises DataError where groups leaves out a clip, and where group_pattern fits none.
    """
    table = packed(clips)
    if not dataset.groups and not dataset.group_pattern:
        return table, ()
    files = [below_root(clip.path, dataset) for clip in table]
    notes: tuple[str, ...] = ()
    if dataset.groups:
        path = Path(dataset.groups)
        of_file = read_groups(path)
        require_all_listed(files, of_file, path)
        sources = [of_file[file_key(file)] for file in files]
    else:
        pattern = re.compile(dataset.group_pattern)
        sources = [(match[1] or "") if (match := pattern.search(file)) else "" for file in files]
        notes = _unmatched(files, sources, dataset.group_pattern)
    named = ClipTable(replace(clip, group=source or clip.group) for clip, source in zip(table, sources, strict=True))
    named.missing = table.missing
    return named, notes


def below_root(path: str, dataset: Dataset) -> str:
    """A clip's path from the dataset's root on, with "/" between its parts; the whole path where it lies elsewhere."""
    for root in (dataset.root, dataset.val_root):
        for spelling in (root, os.path.abspath(root)) if root else ():
            if path.startswith(folder := os.path.join(spelling, "")):
                return path[len(folder) :].replace(os.sep, "/")
    return path.replace(os.sep, "/")


def _unmatched(files: Sequence[str], sources: Sequence[str], pattern: str) -> tuple[str, ...]:
    alone = sorted(file for file, source in zip(files, sources, strict=True) if not source)
    if files and len(alone) == len(files):
        raise DataError(
            f"[dataset] group_pattern = {pattern} fits none of the {counted(len(files), 'path')} below the root, such "
            f"as {files[0]}; correct it."
        )
    if not alone:
        return ()
    text = f"group_pattern does not fit {len(alone)} of {counted(len(files), 'clip')}, e.g. {alone[0]}."
    return (Note(text, "group_pattern", alone),)


def read_groups(path: Path) -> dict[str, str]:
    """A CSV with the columns `file` (relative to the dataset's root) and `source`: file → source."""
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        for column in ("file", "source"):
            if column not in header:
                raise DataError(
                    f"{path}:1: no column `{column}`; the first line must name the columns file and source, "
                    f"and is {','.join(header) or 'empty'}."
                )
        at_file, at_source = header.index("file"), header.index("source")
        sources: dict[str, str] = {}
        for row in rows:
            if not any(row):
                continue
            if len(row) <= max(at_file, at_source) or not row[at_file].strip() or not row[at_source].strip():
                raise DataError(f"{path}:{rows.line_num}: the row must name both a file and its source.")
            file, source = file_key(row[at_file].strip()), row[at_source].strip()
            if sources.setdefault(file, source) != source:
                raise DataError(
                    f"{path}:{rows.line_num}: {file} has a second source, {source}, after {sources[file]}; keep one."
                )
        return sources
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not valid CSV: {error}.") from None


def file_key(path: str) -> str:
    """A path below the root in the one spelling that both sides are compared in."""
    return normal(posixpath.normpath(path.replace("\\", "/")))


def require_all_listed(files: Iterable[str], sources: dict[str, str], path: Path) -> None:
    """DataError when a video has no row: a split that guesses its source would leak."""
    if unlisted := [file for file in files if file_key(file) not in sources]:
        raise DataError(
            f"{path}: {counted(len(unlisted), 'video')} without a row, e.g. {unlisted[0]}; add a row with its source "
            "(files are relative to the dataset's root)."
        )
