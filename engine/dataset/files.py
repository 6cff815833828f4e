"""What lies on disk. Every folder is read once: a question a file is slow for long lists and on network disks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.dataset.clips import Note
from engine.errors import DataError

VIDEO_EXTENSIONS = frozenset(
    {".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"}
)


def is_video(name: str) -> bool:
    """By its extension, in any case. Hidden files (also macOS's `._clip.mp4`) are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


def require_folder(path: str, key: str) -> Path:
    """The folder that a recipe key names. DataError when it is not given, not there, or a file."""
    folder = Path(path)
    if not path:
        raise DataError(f"[dataset] {key} is empty; set it to the folder of your {_MEANING[key]}.")
    if os.path.isfile(folder):
        raise DataError(f"[dataset] {key} = {path} is a file; give the folder it lies in.")
    if not os.path.isdir(folder):
        raise DataError(f"[dataset] {key} = {path} does not exist (looked from {Path.cwd()}).")
    return folder


_MEANING = {"root": "videos", "val_root": "validation videos", "annotations": "annotation files"}


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from None


def subfolders(folder: str | Path) -> list[str]:
    """Names of the folders in a folder that are not hidden, sorted."""
    return [entry.name for entry in entries(folder) if is_folder(entry) and not entry.name.startswith(".")]


def videos_in(folder: str | Path) -> list[str]:
    """Names of the videos directly in a folder, sorted."""
    return [entry.name for entry in entries(folder) if is_video(entry.name) and _is_file(entry)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Also through a link; a link that leads in a circle or nowhere is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


@dataclass
class Found:
    """What a walk through a folder met. videos: paths below that folder, parts joined by "/", sorted."""

    videos: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # extension → files
    hidden: int = 0
    broken_links: int = 0
    not_utf8: int = 0

    def add(self, other: Found) -> None:
        """Take over the other's counts of what was left out."""
        self.others += other.others
        self.hidden += other.hidden
        self.broken_links += other.broken_links
        self.not_utf8 += other.not_utf8

    def notes(self, where: str = "") -> Iterator[str]:
        """Sentences, each after `where`."""
        if self.others:
            kinds = ", ".join(kind or "no extension" for kind, _ in self.others.most_common(5))
            yield f"{where}{counted(self.others.total(), 'file')} left out, not a video by extension: {kinds}."
        if self.hidden:
            yield f"{where}{counted(self.hidden, 'hidden file')} left out."
        if self.broken_links:
            what = "a link that leads nowhere, or no regular file"
            text = f"{where}{counted(self.broken_links, 'file')} left out: {what}."
            yield Note(text, "left_out")
        if self.not_utf8:
            text = (
                f"{where}{counted(self.not_utf8, 'file')} left out, because the name is not UTF-8; rename to include."
            )
            yield Note(text, "left_out")


def videos_below(folder: str | Path) -> Found:
    """All videos in a folder, however deep. Links are followed, but no folder is entered twice."""
    found = Found()
    for path, entry in _files_below(folder):
        _count(entry, path, found)
    found.videos.sort()
    return found


def by_stem(videos: Sequence[str]) -> dict[str, list[str]]:
    """File name without extension → the paths that have it, for lists that name a video but not where it lies."""
    found: dict[str, list[str]] = {}
    for path in videos:
        found.setdefault(os.path.splitext(path.rpartition("/")[2])[0], []).append(path)
    return found


def has_video(folder: str | Path) -> bool:
    """Whether any video is in a folder, however deep; stops at the first."""
    return any(is_video(entry.name) and _is_file(entry) for _, entry in _files_below(folder))


def _files_below(folder: str | Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    entered: set[tuple[int, int]] = set()
    waiting = [("", str(folder))]
    while waiting:
        below, place = waiting.pop()
        found = entries(place)
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        for entry in found:
            if not is_folder(entry):
                yield f"{below}{entry.name}", entry
            elif not entry.name.startswith("."):
                waiting.append((f"{below}{entry.name}/", entry.path))


def _count(entry: os.DirEntry[str], path: str, found: Found) -> None:
    if entry.name.startswith("."):
        found.hidden += 1
    elif not is_video(entry.name):
        found.others[os.path.splitext(entry.name)[1].lower()] += 1
    elif not _is_file(entry):
        found.broken_links += 1
    elif not _is_utf8(path):
        found.not_utf8 += 1
    else:
        found.videos.append(path)


def _is_utf8(name: str) -> bool:
    """Names that are not come as surrogates, which neither the run log nor a report could hold."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


class Disk:
    """Answers which files exist (or which folders, with `folders`), from one listing a folder.

    With ignore_case, a file is found when its name differs only in case; exact names come first.
    """

    def __init__(self, ignore_case: bool = False, folders: bool = False) -> None:
        self.ignore_case = ignore_case
        self._wanted = is_folder if folders else _is_file
        self._exact: dict[str, frozenset[str]] = {}
        self._folded: dict[str, dict[str, str]] = {}

    def find(self, path: str) -> str | None:
        """The path as it is on disk, or None."""
        folder, name = os.path.split(path)
        names = self._exact.get(folder)
        if names is None:
            names = self._list(folder)
        if name in names:
            return path
        if not self.ignore_case:
            return None
        actual = self._folded[folder].get(name.casefold())
        return os.path.join(folder, actual) if actual else None

    def _list(self, folder: str) -> frozenset[str]:
        names = frozenset(_names(folder, self._wanted))
        self._exact[folder] = names
        if self.ignore_case:
            self._folded[folder] = {name.casefold(): name for name in sorted(names, reverse=True)}
        return names


def _names(folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as found:
            yield from (entry.name for entry in found if wanted(entry))
    except PermissionError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from None
    except (OSError, ValueError):  # not there, not a folder, or a name that no system allows
        return


def missing_note(missing: Sequence[str], listed: int, source: str | Path, noun: str = "video") -> tuple[str, ...]:
    """The sentence on listed videos that are not there; none when nothing is missing."""
    if not missing:
        return ()
    text = (
        f"{len(missing)} of {counted(listed, noun)} listed in {source} {'is' if len(missing) == 1 else 'are'} "
        f"missing and left out, e.g. {', '.join(missing[:3])}."
    )
    return (Note(text, "missing", missing),)


def counted(number: int, noun: str, plural: str = "") -> str:
    """1, "clip" → "1 clip"; 2, "clip" → "2 clips"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first few of many names, as text."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def the_only(found: list[Path], folder: Path, kind: str, absent: str) -> Path:
    """The one file of its kind in a folder. DataError, with the names, where there are several; `absent` for none."""
    if not found:
        raise DataError(absent)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} has {len(found)} files {kind}: {names}; keep the right one there.")
    return found[0]
