"""What must not straddle two splits: clips of one source video, or of one UCF101 group."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from engine.dataset.formats.classes import normal
from engine.dataset.formats.files import counted
from engine.dataset.formats.lists import read_text
from engine.errors import DataError

_UCF_NAME = re.compile(r"v_(.+)_g(\d+)_c\d+\.", re.IGNORECASE)


def ucf_group(file_name: str) -> str:
    """v_Archery_g08_c01.avi → "Archery_g08"; "" for any other name."""
    match = _UCF_NAME.match(file_name)
    return f"{match[1]}_g{match[2]}" if match else ""


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
