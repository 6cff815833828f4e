"""Something-Something V2's JSON files: the class is the template without its brackets, the video is its id."""

from __future__ import annotations

import os
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import by_stem, counted, missing_note, require_folder, the_only, videos_below
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.lists import find_lists, lists_named, read_json
from engine.errors import DataError
from engine.recipe import Dataset


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids are those of the labels file, or those of [dataset] classes."""
    root = require_folder(dataset.root, "root")
    folder = require_folder(dataset.annotations, "annotations") if dataset.annotations else root
    train_list, val_list = find_lists(dataset, ".json", otherwise=dataset.root)
    labels = _labels_file(folder)
    names = read_labels(labels)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(labels)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(labels))

    label_of = {name: classes.index(name) for name in names}
    train, val = _entries(train_list, label_of, labels), _entries(val_list, label_of, labels)
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    videos = by_stem(videos_below(root).videos)
    val_videos = by_stem(videos_below(val_root).videos) if val_root != root else videos
    train_clips, train_notes = _clips(train, root, videos, train_list)
    val_clips, val_notes = _clips(val, val_root, val_videos, val_list)
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes)


def labels_named(folder: Path) -> list[Path]:
    """The files that may hold the class names: labels.json, something-something-v2-labels.json."""
    return lists_named(folder, ("labels",), ".json")


def read_labels(path: Path) -> list[str]:
    """Names in the order of their ids, which are 0, 1, 2 … and written as text."""
    loaded = read_json(path)
    if not isinstance(loaded, dict) or not all(str(label).isdecimal() for label in loaded.values()):
        raise DataError(f'{path}: must be one object of class names and ids, such as {{"Holding something": "0"}}.')
    ids = {normal(name): int(label) for name, label in loaded.items()}
    if not ids or sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{path}: the ids must be 0 to {len(ids) - 1}, each once.")
    return sorted(ids, key=ids.__getitem__)


def is_labels(path: Path) -> bool:
    """Whether it holds class names and ids, which other datasets' labels.json may not."""
    try:
        return bool(read_labels(path))
    except DataError:
        return False


def class_of(template: str) -> str:
    """ "[Something] falling like a feather" → "Something falling like a feather"; nothing else changes."""
    return normal(template.replace("[", "").replace("]", ""))


def _labels_file(folder: Path) -> Path:
    return the_only(
        labels_named(folder),
        folder,
        "named *labels*.json",
        f"{folder} has no labels.json or something-something-v2-labels.json; set [dataset] annotations to its folder.",
    )


def _entries(path: Path, label_of: dict[str, int], labels: Path) -> list[tuple[str, int]]:
    """(video id, label) of each entry."""
    loaded = read_json(path)
    if not isinstance(loaded, list):
        raise DataError(f'{path}: must be a list of objects with "id" and "template".')
    found: list[tuple[str, int]] = []
    for number, entry in enumerate(loaded, start=1):
        if not isinstance(entry, dict) or not str(entry.get("id", "")):
            raise DataError(f'{path}: entry {number} has no "id".')
        template = entry.get("template")
        if not isinstance(template, str):
            raise DataError(
                f'{path}: entry {number} (id {entry["id"]}) has no "template"; a list without classes, such as '
                "test.json, cannot be trained or judged on."
            )
        label = label_of.get(class_of(template))
        if label is None:
            raise DataError(
                f'{path}: entry {number} (id {entry["id"]}): "{class_of(template)}" is none of the {len(label_of)} '
                f"classes in {labels}."
            )
        found.append((str(entry["id"]), label))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def _clips(
    entries: list[tuple[str, int]], root: Path, videos: dict[str, list[str]], source: Path
) -> tuple[ClipTable, tuple[str, ...]]:
    # Some copies are .webm, some were made .mp4; the id says which video it is.
    clips = ClipPacker()
    missing: list[str] = []
    for video, label in entries:
        if found := videos.get(video):
            clips.append(Clip(os.path.join(root, found[0]), label))
        else:
            missing.append(video)
    if not clips:
        raise DataError(
            f"none of the {counted(len(entries), 'video')} listed in {source} is in {root} or a folder in it, "
            f"e.g. {missing[0]}.webm; correct [dataset] root."
        )
    return clips.table(missing), missing_note(missing, len(entries), source)
