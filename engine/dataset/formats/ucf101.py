"""UCF101's official lists: classInd.txt, trainlist0N.txt, testlist0N.txt. Validation is the official test list."""

from __future__ import annotations

import os
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import Disk, counted, missing_note, require_folder, some, subfolders
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.groups import ucf_group
from engine.dataset.formats.lists import Entry, numbered_lines, whole_number
from engine.errors import DataError
from engine.recipe import Dataset

CLASS_LIST = "classInd.txt"
# What the official zip unpacks to, and what MMAction2 renames it to.
_ANNOTATION_FOLDERS = ("", "ucfTrainTestlist", "annotations", "annotations/ucfTrainTestlist")


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids are the official ones less 1, or those of [dataset] classes. A clip's group is its class and gNN."""
    root = require_folder(dataset.root, "root")
    annotations = _annotations(dataset)
    names = read_class_list(annotations / CLASS_LIST)
    place = dict.fromkeys(names, str(annotations / CLASS_LIST))
    classes = class_order(names, dataset.classes, place)
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else place[names[0]])

    train_list, val_list = split_lists(annotations, dataset.split)
    videos = holds_classes(root, names) or root
    label_of = {name: classes.index(name) for name in names}
    train, train_notes = _clips(_entries(train_list, names), train_list, videos, names, label_of)
    val, val_notes = _clips(_entries(val_list, names), val_list, videos, names, label_of)
    return ClipLists(classes, train, val, train_notes + val_notes)


def annotation_folder(base: Path) -> Path | None:
    """The folder with classInd.txt: base itself, or one the known copies put it in."""
    return next((base / name for name in _ANNOTATION_FOLDERS if (base / name / CLASS_LIST).is_file()), None)


def split_lists(annotations: Path, split: int) -> tuple[Path, Path]:
    """The official (train, test) lists of a split. DataError names what is there instead."""
    paths = annotations / f"trainlist0{split}.txt", annotations / f"testlist0{split}.txt"
    for path in paths:
        if not path.is_file():
            there = some(sorted(found.name for found in annotations.glob("t*list0?.txt")), 6) or "no split list"
            raise DataError(f"[dataset] split = {split} needs {path}, which does not exist; {annotations} has {there}.")
    return paths


def holds_classes(root: Path, classes: list[str]) -> Path | None:
    """The folder with most of the class folders: root, or one in it (UCF-101, videos). None when there is no such."""
    wanted = {name.casefold() for name in classes}

    def matches(folder: Path) -> int:
        return sum(name.casefold() in wanted for name in subfolders(folder))

    best = max([root, *(root / name for name in subfolders(root))], key=matches)
    return best if matches(best) else None


def read_class_list(path: Path) -> list[str]:
    """Names in the order of their ids, which must be 1, 2, 3 … in any order of lines."""
    names: dict[int, str] = {}
    for line, text in numbered_lines(path):
        number, _, name = text.partition(" ")
        label = whole_number(number, path, line, 'write "id name"')
        if not name.strip() or label in names:
            raise DataError(f'{path}:{line}: "{text}" must be an id that no other line has, and a class name.')
        names[label] = normal(name.strip())
    if not names or set(names) != set(range(1, len(names) + 1)):
        raise DataError(f"{path}: the ids must be 1 to {len(names)}, one a line.")
    if len(set(names.values())) < len(names):
        raise DataError(f"{path}: a class name stands on two lines.")
    return [names[label] for label in sorted(names)]


def _annotations(dataset: Dataset) -> Path:
    base = require_folder(dataset.annotations, "annotations") if dataset.annotations else Path(dataset.root)
    found = annotation_folder(base)
    if found is None:
        raise DataError(f"{base} has no {CLASS_LIST}; set [dataset] annotations to the folder of the official lists.")
    return found


def _entries(path: Path, names: list[str]) -> list[Entry]:
    """(path, index into names, line). The folder says the class; where an id is given, it must agree."""
    index = {name.casefold(): place for place, name in enumerate(names)}
    found: list[Entry] = []
    for line, text in numbered_lines(path):
        video, *number = text.rsplit(None, 1)
        folder = video.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
        place = index.get(normal(folder).casefold())
        if place is None:
            raise DataError(
                f'{path}:{line}: the folder in "{text}" is none of the {len(names)} classes in {CLASS_LIST}.'
            )
        if number and whole_number(number[0], path, line, 'write "Class/video id"') != place + 1:
            raise DataError(
                f"{path}:{line}: id {number[0]} is not that of {names[place]}, which is {place + 1} in {CLASS_LIST}."
            )
        found.append((video, place, line))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def _clips(
    entries: list[Entry], source: Path, videos: Path, names: list[str], label_of: dict[str, int]
) -> tuple[ClipTable, tuple[str, ...]]:
    # Copies differ in case: class and folder HandstandPushups, files v_HandStandPushups_*, in some only the folder.
    disk = Disk(ignore_case=True)
    folder_of = {name.casefold(): name for name in subfolders(videos)}
    clips = ClipPacker()
    missing: list[str] = []
    for listed, place, _ in entries:
        name = names[place]
        file = os.path.basename(listed)
        path = disk.find(os.path.join(videos, folder_of.get(name.casefold(), name), file))
        if path is None:
            missing.append(listed)
            continue
        group = ucf_group(file)
        clips.append(Clip(path, label_of[name], f"{name}_{group.rpartition('_')[2]}" if group else ""))
    if not clips:
        raise DataError(
            f"none of the {counted(len(entries), 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(videos, missing[0])}; correct [dataset] root."
        )
    return clips.table(missing), missing_note(missing, len(entries), source)
