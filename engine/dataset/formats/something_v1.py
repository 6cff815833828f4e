"""Something-Something V1: frames in a folder a video, named by id; CSV files with ";", since labels have commas."""

from __future__ import annotations

import os
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import Disk, counted, missing_note, require_folder, the_only
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.frames import detect
from engine.dataset.formats.lists import find_lists, lists_named, numbered_lines
from engine.errors import DataError
from engine.recipe import Dataset

# (video id, class name, line)
Entry = tuple[str, str, int]


def read(dataset: Dataset, num_classes: int | None, flow: bool) -> ClipLists:
    """Ids are those of the labels file, in its order, or those of [dataset] classes. Frames are counted on disk."""
    root = require_folder(dataset.root, "root")
    folder = require_folder(dataset.annotations, "annotations") if dataset.annotations else root
    sources = find_lists(dataset, ".csv", otherwise=dataset.root)
    labels = _labels_file(folder)
    names = read_labels(labels)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(labels)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(labels))

    label_of = {name: classes.index(name) for name in names}
    train, val = read_list(sources[0]), read_list(sources[1])
    for entries, source in ((train, sources[0]), (val, sources[1])):
        _require_known(entries, label_of, source, labels)
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    train_there, train_missing, train_notes = _on_disk(train, root, sources[0])
    val_there, val_missing, val_notes = _on_disk(val, val_root, sources[1])
    frames = detect([path for path, _ in (*train_there[:15], *val_there[:5])], dataset, flow)
    return ClipLists(
        classes,
        _clips(train_there, train_missing, label_of, frames.start_index),
        _clips(val_there, val_missing, label_of, frames.start_index),
        frames.notes() + train_notes + val_notes,
        {"filename_template": frames.template, "start_index": frames.start_index},
    )


def labels_named(folder: Path) -> list[Path]:
    """The files that may hold the class names: something-something-v1-labels.csv."""
    return lists_named(folder, ("labels",), ".csv")


def read_labels(path: Path) -> list[str]:
    """Class names, one a line, in the order of their ids."""
    names: list[str] = []
    for line, text in numbered_lines(path):
        if ";" in text:
            raise DataError(f'{path}:{line}: "{text}" is not a class name alone; the labels file has one a line.')
        if (name := normal(text)) in names:
            raise DataError(f'{path}:{line}: "{name}" stands there a second time.')
        names.append(name)
    if not names:
        raise DataError(f"{path} names no class.")
    return names


def read_list(path: Path) -> list[Entry]:
    """Lines of "id;class name". A name may hold commas and quotes."""
    entries: list[Entry] = []
    for line, text in numbered_lines(path):
        video, semicolon, name = (part.strip() for part in text.partition(";"))
        if not semicolon or not name:
            raise DataError(
                f'{path}:{line}: "{text}" must be an id and its class, "100218;Holding something"; a list without '
                "classes, such as the test list, cannot be trained or judged on."
            )
        entries.append((video, normal(name), line))
    if not entries:
        raise DataError(f"{path} lists no video.")
    return entries


def is_list(path: Path) -> bool:
    """Whether its first line is a number, a semicolon and a name."""
    try:
        _, text = next(numbered_lines(path), (0, ""))
    except DataError:
        return False
    video, semicolon, name = text.partition(";")
    return video.strip().isdecimal() and bool(semicolon) and bool(name.strip())


def _labels_file(folder: Path) -> Path:
    return the_only(
        labels_named(folder),
        folder,
        "named *labels*.csv",
        f"{folder} has no something-something-v1-labels.csv; set [dataset] annotations to its folder.",
    )


def _require_known(entries: list[Entry], label_of: dict[str, int], source: Path, labels: Path) -> None:
    for video, name, line in entries:
        if name not in label_of:
            raise DataError(
                f'{source}:{line}: "{name}" (video {video}) is none of the {len(label_of)} classes in {labels}.'
            )


def _on_disk(
    entries: list[Entry], root: Path, source: Path
) -> tuple[list[tuple[str, str]], list[str], tuple[str, ...]]:
    """(folder, class name) of the videos that are there; the others, and the sentence on them."""
    disk = Disk(folders=True)
    there: list[tuple[str, str]] = []
    missing: list[str] = []
    for video, name, _ in entries:
        path = os.path.join(root, video)
        if disk.find(path):
            there.append((path, name))
        else:
            missing.append(video)
    if not there:
        raise DataError(
            f"none of the {counted(len(entries), 'video')} listed in {source} has a folder of frames in {root}, e.g. "
            f"{missing[0]}; correct [dataset] root."
        )
    return there, missing, missing_note(missing, len(entries), source)


def _clips(there: list[tuple[str, str]], missing: list[str], label_of: dict[str, int], start_index: int) -> ClipTable:
    clips = ClipPacker()
    for path, name in there:
        clips.append(Clip(path, label_of[name], first_frame=start_index))
    return clips.table(missing)
