"""MMAction2's VideoDataset: lists of "path label" or, for several classes, "path label label", as text or JSON.

Labels count from 0. Where there is one list, it is split.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipPacker, ClipTable
from engine.dataset.files import Disk, counted, missing_note, require_folder
from engine.dataset.formats.classes import base_note, numbered_classes, require_labels_inside
from engine.dataset.formats.groups import group_in_name
from engine.dataset.formats.held_out import hold_out
from engine.dataset.formats.lists import Entry, find_one_or_two, have_several, read_entries, text_or_json, videos_of
from engine.errors import DataError
from engine.recipe import Dataset


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Class names are [dataset] classes, and numbers for ids beyond them. Where any video has several labels, the
    dataset is multi-label, and every clip has `labels`."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    train_list, val_list = find_one_or_two(dataset, text_or_json(dataset))
    train = read_entries(train_list, dataset.first_label)
    val = read_entries(val_list, dataset.first_label) if val_list else []

    classes = numbered_classes(dataset.classes, num_classes, max(label for _, label, _ in (*train, *val)))
    first = min(label for _, label, _ in (*train, *val))
    for listed, source in ((train, train_list), (val, val_list or train_list)):
        require_labels_inside(listed, source, len(classes), first, dataset.first_label)
    several = have_several(train) or have_several(val)
    train_clips, notes = _clips(train, root, train_list, "root", several)
    notes += base_note(first, train_list)
    if val_list is None:
        train_clips, val_clips, how = hold_out(train_clips, classes, dataset)
        return ClipLists(classes, train_clips, val_clips, notes + how)
    val_clips, val_notes = _clips(val, val_root, val_list, "val_root" if dataset.val_root else "root", several)
    return ClipLists(classes, train_clips, val_clips, notes + val_notes)


def _clips(
    entries: list[Entry], root: Path, source: Path, key: str, several: bool
) -> tuple[ClipTable, tuple[str, ...]]:
    """several: whether a clip of the dataset may have more than one label."""
    disk = Disk()
    folder = str(root)
    clips = ClipPacker()
    missing: list[str] = []
    for place, listed, labels in videos_of(entries):
        path = os.path.join(folder, listed)
        if disk.find(path):
            clips.append(Clip(path, labels[0], group_in_name(os.path.basename(listed)), labels if several else ()))
        else:
            if listed[-1].isdigit():
                _refuse_frames(listed, folder, f"{source}:{entries[place][2]}")
            missing.append(listed)
    total = len(clips) + len(missing)
    if not clips:
        raise DataError(
            f"none of the {counted(total, 'video')} listed in {source} is there; the first would be "
            f"{os.path.join(folder, missing[0])}; correct [dataset] {key}."
        )
    return clips.table(missing), missing_note(missing, total, source)


def _refuse_frames(listed: str, folder: str, where: str) -> None:
    """A list of folders reads like one of ours whose paths end in numbers."""
    numbers = re.fullmatch(r"(.*?\S)(?:\s+\d+)+", listed)
    if numbers and os.path.isdir(os.path.join(folder, numbers[1])):
        raise DataError(f'{where}: {numbers[1]} is a folder of frames; format = "mmaction_rawframes" reads such lists.')
