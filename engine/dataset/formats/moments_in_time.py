"""Moments in Time (v1, v2): a file of categories, and CSV files without a header of "file, label, agree, disagree"."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import (
    Disk,
    counted,
    entries,
    is_folder,
    is_video,
    missing_note,
    require_folder,
    the_only,
)
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.lists import csv_rows, find_lists, numbered_lines
from engine.errors import DataError
from engine.recipe import Dataset

# The zip has training/ and validation/; MMAction2's preparation makes videos/ of them, and through a slip video/.
_FOLDERS = {
    "train": ("training", "videos/training", "videos", "video", "train", ""),
    "val": ("validation", "videos/validation", "video", "videos", "val", ""),
}

# A video, its first label, and all its labels where it may have several.
Listed = tuple[str, int, tuple[int, ...]]


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids are the categories' file's, or those of [dataset] classes."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    categories = _categories_file(require_folder(dataset.annotations, "annotations") if dataset.annotations else root)
    names = read_categories(categories)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(categories)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(categories))

    train_list, val_list = find_lists(dataset, ".csv", otherwise=dataset.root)
    label_of = {name: classes.index(name) for name in names}
    train, val = _entries(train_list, label_of, categories), _entries(val_list, label_of, categories)
    train_clips, train_notes = clips_of(train, root, "train", train_list)
    val_clips, val_notes = clips_of(val, val_root, "val", val_list)
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes)


def categories_in(folder: Path) -> list[Path]:
    """moments_categories.txt, category_momentsv2.txt; not those of Multi-Moments, which has other labels."""
    found = [folder / entry.name for entry in entries(folder) if not is_folder(entry)]
    return [path for path in found if is_categories_file(path) and "multi" not in path.name.lower()]


def is_categories_file(path: Path) -> bool:
    """By its name, of either dataset."""
    name = path.name.lower()
    return name.endswith(".txt") and "moments" in name and "categor" in name


def read_categories(path: Path) -> list[str]:
    """Names in the order of their ids: "name,id" a line (v1), or bare names that are in that order (v2)."""
    lines = [(line, *_name_and_id(text)) for line, text in numbered_lines(path)]
    if not lines:
        raise DataError(f"{path} names no category.")
    with_ids = lines[0][2] is not None
    names: dict[int, str] = {}
    for place, (line, name, label) in enumerate(lines):
        if (label is not None) != with_ids:
            raise DataError(f'{path}:{line}: either every line is "name,id", or none is.')
        names[place if label is None else label] = name
    if sorted(names) != list(range(len(lines))):
        raise DataError(f"{path}: the ids must be 0 to {len(lines) - 1}, each once.")
    if len(set(names.values())) < len(names):
        raise DataError(f"{path}: a category stands on two lines.")
    return [names[label] for label in sorted(names)]


def _name_and_id(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*\S)\s*,\s*([0-9]{1,9})", text)
    return (normal(match[1]), int(match[2])) if match else (normal(text), None)


def is_list(path: Path) -> bool:
    """Whether the first line is a video and a name: Multi-Moments in Time has ids after the video."""
    try:
        _, fields = next(csv_rows(path), (1, []))
    except DataError:
        return False
    return len(fields) > 1 and is_video(fields[0].rpartition("/")[2]) and not fields[1].isdecimal()


def _categories_file(folder: Path) -> Path:
    return the_only(
        categories_in(folder),
        folder,
        "of categories",
        f"{folder} has no moments_categories.txt; set [dataset] annotations to the folder it lies in.",
    )


def _entries(path: Path, label_of: dict[str, int], categories: Path) -> list[Listed]:
    found: list[Listed] = []
    for line, fields in csv_rows(path):
        if len(fields) < 2 or not fields[0] or not fields[1]:
            raise DataError(f'{path}:{line}: the row must be "file,label", with or without the votes after it.')
        label = label_of.get(normal(fields[1]))
        if label is None:
            hint = '; format = "multi_moments_in_time" reads lists of ids' if fields[1].isdecimal() else ""
            raise DataError(
                f'{path}:{line}: "{fields[1]}" is none of the {len(label_of)} categories in {categories}; labels are '
                f"names, in the second column{hint}."
            )
        found.append((fields[0], label, ()))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def clips_of(listed: list[Listed], root: Path, split: str, source: Path) -> tuple[ClipTable, tuple[str, ...]]:
    """The listed videos that are in a folder where a split's videos may lie, and the sentence on those that are not."""
    disk = Disk()
    there = [folder for folder in _FOLDERS[split] if os.path.isdir(root / folder)]
    places = [os.path.join(root, folder) for folder in there]
    clips = ClipPacker()
    missing: list[str] = []
    for video, label, labels in listed:
        path = next((found for place in places if (found := disk.find(os.path.join(place, video)))), None)
        if path is None:
            missing.append(video)
        else:
            clips.append(Clip(path, label, labels=labels))
    if not clips:
        raise DataError(
            f"none of the {counted(len(listed), 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(root, _FOLDERS[split][0], missing[0])}; correct [dataset] root."
        )
    return clips.table(missing), missing_note(missing, len(listed), source)
