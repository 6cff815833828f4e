"""MMAction2's VideoDataset: two lists of "path label", labels counting from 0."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists
from engine.dataset.formats.files import (
    Disk,
    counted,
    entries,
    is_folder,
    is_video,
    missing_note,
    require_folder,
    some,
)
from engine.dataset.formats.groups import ucf_group
from engine.dataset.formats.lists import Entry, read_entries
from engine.errors import DataError
from engine.recipe import Dataset

# Above any dataset's. A number above it in the label's place is something else: a size, a date, a frame count.
MOST_CLASSES = 100_000


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Class names are [dataset] classes, and numbers for ids beyond them."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    train_list, val_list = find_lists(dataset)
    train, val = read_entries(train_list), read_entries(val_list)

    classes = _classes(dataset, num_classes, max(label for _, label, _ in (*train, *val)))
    first = min(label for _, label, _ in (*train, *val))
    for listed, source in ((train, train_list), (val, val_list)):
        _require_labels_inside(listed, source, len(classes), first)
    train_clips, train_notes = _clips(train, root, train_list, "root")
    val_clips, val_notes = _clips(val, val_root, val_list, "val_root" if dataset.val_root else "root")
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes + _base_note(first, train_list))


def find_lists(dataset: Dataset) -> tuple[Path, Path]:
    """The training and the validation list: as given, or found by name in [dataset] annotations."""
    return (
        _given_or_found(dataset.train_list, "train_list", dataset.annotations, TRAIN),
        _given_or_found(dataset.val_list, "val_list", dataset.annotations, VAL),
    )


def lists_named(folder: Path, words: tuple[str, ...]) -> list[Path]:
    """The .txt files with a word in their name that speaks for no other split; later words count if earlier find none.

    A name such as trainval.txt counts as a training list where nothing has a clearer name, never as a validation list.
    """
    files = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
    texts = [path for path in files if path.suffix.lower() == ".txt"]
    for word in words:
        named = [path for path in texts if word in path.stem.lower()]
        clear = [path for path in named if not any(other in path.stem.lower() for other in _OTHERS[word])]
        if clear or (word == "train" and named):
            return clear or named
    return []


_OTHERS = {"train": ("val", "test"), "val": ("train",), "test": ("train",)}
TRAIN, VAL = ("train",), ("val", "test")


def _given_or_found(given: str, key: str, annotations: str, words: tuple[str, ...]) -> Path:
    if given:
        return Path(given)
    if not annotations:
        raise DataError(f"[dataset] {key} is empty; name the list, or set [dataset] annotations to the lists' folder.")
    folder = require_folder(annotations, "annotations")
    found = lists_named(folder, words)
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(f"*{word}*.txt" for word in words)
    if found:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} has {len(found)} files named {wanted}: {names}; choose one with [dataset] {key}.")
    texts = some(sorted(path.name for path in folder.glob("*.txt"))) or "no .txt file"
    raise DataError(f"{folder} has no {wanted}, but {texts}; name the list with [dataset] {key}.")


def _classes(dataset: Dataset, num_classes: int | None, highest: int) -> tuple[str, ...]:
    given = dataset.classes
    if num_classes is not None and len(given) > num_classes:
        raise DataError(
            f"[dataset] classes names {len(given)} classes, but [head] num_classes is {num_classes}; "
            f'set head.num_classes = {len(given)} or "auto".'
        )
    count = num_classes or len(given) or min(highest + 1, MOST_CLASSES)
    return given + tuple(str(label) for label in range(len(given), count))


def _require_labels_inside(listed: list[Entry], source: Path, classes: int, first: int) -> None:
    for _, label, line in listed:
        if label >= classes:
            hint = "; if the list counts from 1, subtract 1 from every label" if first == 1 else ""
            raise DataError(
                f"label {label} in {source}:{line} is outside the {counted(classes, 'class', 'classes')} "
                f"(0..{classes - 1}); correct the label, or [head] num_classes and [dataset] classes{hint}."
            )


def _clips(lines: list[Entry], root: Path, source: Path, key: str) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    disk = Disk()
    folder = str(root)
    groups: dict[str, str] = {}  # one string a group, not one a clip
    clips: list[Clip] = []
    missing: list[str] = []
    for listed, label, line in lines:
        path = os.path.join(folder, listed)
        if disk.find(path):
            group = ucf_group(os.path.basename(listed)) if "_g" in listed else ""
            clips.append(Clip(path, label, groups.setdefault(group, group)))
        else:
            if listed[-1].isdigit():
                _refuse_other_columns(listed, folder, f"{source}:{line}")
            missing.append(listed)
    if not clips:
        raise DataError(
            f"none of the {counted(len(lines), 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(folder, missing[0])}; correct [dataset] {key}."
        )
    return tuple(clips), missing_note(missing, len(lines), source)


def _refuse_other_columns(listed: str, folder: str, where: str) -> None:
    """A list of another kind reads like one of ours whose paths end in numbers."""
    numbers = re.fullmatch(r"(.*?\S)(?:\s+\d+)+", listed)
    if numbers and is_video(numbers[1]):
        raise DataError(f"{where}: {numbers[1]} has more than one label; this format has one a video.")
    if numbers and os.path.isdir(os.path.join(folder, numbers[1])):
        raise DataError(f"{where}: {numbers[1]} is a folder of frames; this format lists video files.")


def _base_note(first: int, source: Path) -> tuple[str, ...]:
    if first == 0:
        return ()
    return (f"The lowest label is {first}: labels count from 0; if {source.name} counts from 1, subtract 1.",)
