"""Clips that cannot be used, each with the reason, in a text file that a person can read and edit. Torch-free.

A line is `name<TAB>reason`; the name is `Clip.name`: the path, and the part of the video where the clip is one. A clip
whose line is deleted is tried again. Lines that begin with # are comments.

A run keeps one of its own, of clips that did not decode while it trained. The one of a dataset is written by
`ftwiz check`; its clips are left out when the lists are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.atomic import atomic_write
from engine.dataset.clips import Clip, ClipLists, ClipTable, packed
from engine.errors import DataError

# Above the lines that a person added to a dataset's quarantine.txt, which no check may take away.
_OWN = "# Lines below this one are yours: ftwiz check leaves them alone."
_HEADER = """\
# Clips that training leaves out: a path, a tab, the reason. Written by ftwiz check, which renews these lines.
"""


class Quarantine:
    """The clips of one `quarantine.txt`. Each addition is in the file before `add` returns, or, where the disk is full,
    before the next one does."""

    def __init__(self, path: Path):
        self.path = path
        self.reasons = read_quarantine(path)  # by name, in the order they were found
        self._unwritten: dict[str, str] = {}

    def add(self, name: str, reason: str, on_disk: bool = True) -> bool:
        """Put a clip in; returns False, and changes nothing, where it is in already. on_disk: False where another
        process writes the same file."""
        if name in self.reasons:
            return False
        self.reasons[name] = reason
        if on_disk:
            self._unwritten[name] = reason
        with suppress(OSError):
            for waiting in list(self._unwritten):
                append_quarantine(self.path, waiting, self._unwritten[waiting])
                del self._unwritten[waiting]
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
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _entries(text)


def _entries(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, reason = line.rpartition("\t") if "\t" in line else (line, "", "")
        if name.strip() and not line.startswith("#"):
            found.setdefault(_name(name), reason)
    return found


def append_quarantine(path: Path, name: str, reason: str) -> None:
    """Add one line, on disk before this returns. Half a line that a killed process left is ended first."""
    line = _line(name, reason).encode("utf-8", "surrogateescape")
    with open(path, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read() == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


class LeftOut:
    """What a dataset's quarantine.txt leaves out. Names in it may be relative to the folder that it lies in."""

    def __init__(self, path: Path):
        """Raises DataError where there is no such file."""
        if not path.is_file():
            raise DataError(
                f"[dataset] quarantine = {path} does not exist (looked from {Path.cwd()}); `ftwiz check` writes it, "
                'and quarantine = "" does without.'
            )
        self.path = path
        self.reasons = {_absolute(name, path.parent): reason for name, reason in read_quarantine(path).items()}
        self._files = {os.path.basename(name).partition(" [")[0] for name in self.reasons}

    def holds(self, clip: Clip) -> bool:
        """Whether the clip is in, by itself or because its whole file is."""
        if os.path.basename(clip.path).partition(" [")[0] not in self._files:
            return False  # what most clips are, told without asking where they lie
        return _absolute(clip.path) in self.reasons or _absolute(clip.name) in self.reasons

    def without(self, clips: Sequence[Clip]) -> tuple[ClipTable, int]:
        """The clips that are not in, and how many are."""
        table = packed(clips)
        if not self.reasons:
            return table, 0
        kept = ClipTable(clip for clip in table if not self.holds(clip))
        kept.missing = table.missing
        return kept, len(table) - len(kept)

    def copy_to(self, path: Path) -> None:
        """The same for another folder: every name is absolute."""
        _save(path, "".join(_line(name, reason) for name, reason in self.reasons.items()))


def renew(path: Path, found: Mapping[str, str], looked_at: Callable[[str], bool]) -> None:
    """Write what a check found into a dataset's quarantine.txt: absolute names and reasons.

    What people wrote stays, and so do the lines of clips that this check did not look at, such as another dataset's.
    No file is made where there is nothing to write. Raises OSError.
    """
    before, own = _sections(path)
    others = {name: why for name, why in before.items() if not looked_at(_absolute(name, path.parent))}
    if not found and not path.exists():
        return
    relative = {_relative(name, path.parent): reason for name, reason in found.items()}
    lines = [_HEADER, *(_line(name, reason) for name, reason in {**others, **relative}.items()), f"{_OWN}\n", own]
    _save(path, "".join(lines))


def _save(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def _sections(path: Path) -> tuple[dict[str, str], str]:
    """What a check wrote, and what a person did, as text. A file that no check has written is a person's."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return {}, ""
    written, mark, own = text.partition(f"{_OWN}\n")
    return (_entries(written), own) if mark else ({}, text)


def _absolute(name: str, folder: Path | str = "") -> str:
    return os.path.abspath(os.path.join(folder, name))


def _relative(name: str, folder: Path) -> str:
    """Names of what lies below the folder, so that folder and videos can move together."""
    start = os.path.join(os.path.abspath(folder), "")
    return name.removeprefix(start)


def _line(name: str, reason: str) -> str:
    return f"{_written(name)}\t{' '.join(reason.split())}\n"


def _written(name: str) -> str:
    """A name on one line: as it is, or as a JSON string where it holds a line break or a tab, or looks like one."""
    plain = not name.startswith(('"', "#")) and name == name.strip() and not any(mark in name for mark in "\t\n\r")
    return name if plain else json.dumps(name, ensure_ascii=False)


def _name(written: str) -> str:
    if written.startswith('"'):
        try:
            if isinstance(name := json.loads(written), str):
                return name
        except ValueError:
            pass  # a person wrote a name that begins with a quotation mark
    return written
