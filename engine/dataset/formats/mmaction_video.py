"""MMAction2's VideoDataset: two lists of "path label", labels counting from 0."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.formats.classes import base_note, numbered_classes, require_labels_inside
from engine.dataset.formats.files import Disk, counted, is_video, missing_note, require_folder
from engine.dataset.formats.groups import ucf_group
from engine.dataset.formats.lists import Entry, find_lists, read_entries
from engine.errors import DataError
from engine.recipe import Dataset


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Class names are [dataset] classes, and numbers for ids beyond them."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    train_list, val_list = find_lists(dataset)
    train, val = read_entries(train_list), read_entries(val_list)

    classes = numbered_classes(dataset.classes, num_classes, max(label for _, label, _ in (*train, *val)))
    first = min(label for _, label, _ in (*train, *val))
    for listed, source in ((train, train_list), (val, val_list)):
        require_labels_inside(listed, source, len(classes), first)
    train_clips, train_notes = _clips(train, root, train_list, "root")
    val_clips, val_notes = _clips(val, val_root, val_list, "val_root" if dataset.val_root else "root")
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes + base_note(first, train_list))


def _clips(lines: list[Entry], root: Path, source: Path, key: str) -> tuple[ClipTable, tuple[str, ...]]:
    disk = Disk()
    folder = str(root)
    clips = ClipPacker()
    missing: list[str] = []
    for listed, label, line in lines:
        path = os.path.join(folder, listed)
        if disk.find(path):
            group = ucf_group(os.path.basename(listed)) if "_g" in listed else ""
            clips.append(Clip(path, label, group))
        else:
            if listed[-1].isdigit():
                _refuse_other_columns(listed, folder, f"{source}:{line}")
            missing.append(listed)
    if not clips:
        raise DataError(
            f"none of the {counted(len(lines), 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(folder, missing[0])}; correct [dataset] {key}."
        )
    return clips.table(), missing_note(missing, len(lines), source)


def _refuse_other_columns(listed: str, folder: str, where: str) -> None:
    """A list of another kind reads like one of ours whose paths end in numbers."""
    numbers = re.fullmatch(r"(.*?\S)(?:\s+\d+)+", listed)
    if numbers and is_video(numbers[1]):
        raise DataError(f"{where}: {numbers[1]} has more than one label; this format has one a video.")
    if numbers and os.path.isdir(os.path.join(folder, numbers[1])):
        raise DataError(f'{where}: {numbers[1]} is a folder of frames; format = "mmaction_rawframes" reads such lists.')
