"""Clips that cannot be used, each with the reason, in a text file that a person can read and edit. Torch-free.

A line is `name<TAB>reason`; the name is `Clip.name`: the path, and the part of the video where the clip is one. A clip
whose line is deleted is tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists
from engine.errors import DataError


class Quarantine:
    """The clips of one `quarantine.txt`. Each addition is in the file before `add` returns."""

    def __init__(self, path: Path):
        self.path = path
        self.reasons = read_quarantine(path)  # by name, in the order they were found

    def add(self, name: str, reason: str) -> bool:
        """Put a clip in; returns False, and changes nothing, where it is in already."""
        if name in self.reasons:
            return False
        self.reasons[name] = reason
        append_quarantine(self.path, name, reason)
        return True

    def holds(self, clip: Clip) -> bool:
        """Whether the clip is in, by itself or because its whole file is."""
        return clip.name in self.reasons or clip.path in self.reasons

    def among(self, clips: Sequence[Clip]) -> Callable[[int], bool]:
        """Tells of the number of a clip in `clips` whether it is in."""
        return lambda number: bool(self.reasons) and self.holds(clips[number])

    def require_at_most(self, share: float, clips: ClipLists) -> None:
        """Raises DataError where more than this share of all clips is in. Clips are counted once, whatever happens."""
        total = len(clips.train) + len(clips.val)
        if len(self) > share * total:
            name, reason = list(self.reasons.items())[-1]
            raise DataError(
                f"{len(self)} of {total} clips cannot be decoded, more than [dataset] max_bad_fraction = {share:g} "
                f"allows; the last one is {name} ({reason}). All of them are in {self.path}; one whose line is deleted "
                "there is tried again."
            )

    def __len__(self) -> int:
        return len(self.reasons)


def read_quarantine(path: Path) -> dict[str, str]:
    """Name → reason. A file that is not there holds none; a line without a reason is fine."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, reason = line.rpartition("\t") if "\t" in line else (line, "", "")
        if name.strip():
            found.setdefault(_name(name), reason)
    return found


def append_quarantine(path: Path, name: str, reason: str) -> None:
    """Add one line, on disk before this returns. Half a line that a killed process left is ended first."""
    line = f"{_written(name)}\t{' '.join(reason.split())}\n".encode("utf-8", "surrogateescape")
    with open(path, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read() == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _written(name: str) -> str:
    """A name on one line: as it is, or as a JSON string where it holds a line break or a tab, or looks like one."""
    plain = not name.startswith('"') and name == name.strip() and not any(mark in name for mark in "\t\n\r")
    return name if plain else json.dumps(name, ensure_ascii=False)


def _name(written: str) -> str:
    if written.startswith('"'):
        try:
            if isinstance(name := json.loads(written), str):
                return name
        except ValueError:
            pass  # a person wrote a name that begins with a quotation mark
    return written
