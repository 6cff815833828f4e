"""A folder a class: root/CLASS/* (a split is made), or root/{train,val[,test]}/CLASS/*.

A clip is a video, or a folder of frames where the classes hold no videos.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from engine.dataset.clips import Clip, ClipLists, ClipTable, Note
from engine.dataset.files import (
    Found,
    counted,
    entries,
    has_video,
    is_folder,
    require_folder,
    some,
    subfolders,
    videos_below,
    videos_in,
)
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.frames import FOLDERS_LOOKED_INTO, FrameNames, detect, frame_folders_below
from engine.dataset.formats.groups import group_in_name
from engine.dataset.formats.held_out import hold_out
from engine.errors import DataError
from engine.recipe import Dataset

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(dataset: Dataset, num_classes: int | None, flow: bool) -> ClipLists:
    """Classes are the folders' names, sorted; clips in folders inside a class folder belong to it."""
    root = require_folder(dataset.root, "root")
    splits = split_folders(root)
    of_frames = flow or is_of_frames(root)
    if "val" in splits:
        parts = [_scan(root, splits["train"], of_frames), _scan(root, splits["val"], of_frames)]
    elif "train" in splits:
        parts = [_scan(root, splits["train"], of_frames)]
    else:
        parts = [_scan(root, "", of_frames)]
        _refuse_wrapped(root, parts[0])

    found = {name: folder for part in reversed(parts) for name, folder in part.folder_of_class.items()}
    classes = class_order(sorted(found), dataset.classes, found)
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(root))
    notes = [note for part in parts for note in part.notes()]
    names = _frame_names(parts, root, dataset, flow) if of_frames else None
    notes += names.notes() if names else ()
    decided = {"filename_template": names.template, "start_index": names.start_index} if names else {}
    lists = _labelled(parts, classes, root, names.start_index if names else 0)
    if "val" in splits:
        return ClipLists(classes, lists[0], lists[1], tuple(notes), decided)
    if "test" in splits:
        notes.append(f"{root / splits['test']} is left alone: validation clips are held out of the training clips.")
    train, val, how = hold_out(lists[0], classes, dataset)
    return ClipLists(classes, train, val, (*notes, *how), decided)


def is_of_frames(root: Path) -> bool:
    """Whether the first class with any clip has folders of frames, and no video."""
    splits = split_folders(root)
    place = root / splits["train"] if splits else root
    for name in subfolders(place):
        if any(True for _ in frame_folders_below(place / name)):
            return not has_video(place / name)
        if has_video(place / name):
            return False
    return False


def split_folders(root: Path) -> dict[str, str]:
    """{"train": its folder's name, "val": …, "test": …} as far as they are there; {} when the folders are classes."""
    folders = subfolders(root)
    splits: dict[str, str] = {}
    for name in folders:
        split = SPLIT_NAMES.get(name.lower())
        if split in splits:
            raise DataError(f"{root} has two folders for one split, {splits[split]} and {name}; keep one of them.")
        if split:
            splits[split] = name
    if "train" not in splits:
        _refuse_splits_as_classes(root, splits, folders)
        return {}
    has_class_folders = bool(subfolders(root / splits["train"]))
    if not has_class_folders:
        _refuse_splits_as_classes(root, splits, folders)
    only_splits = len(splits) > 1 or len(folders) == 1
    return splits if has_class_folders and only_splits else {}


def _refuse_splits_as_classes(root: Path, splits: dict[str, str], folders: list[str]) -> None:
    """`train` and `val` full of loose videos would otherwise become two classes of those names."""
    if not splits or len(splits) < len(folders):
        return
    if "train" not in splits:
        raise DataError(f"{root} has {', '.join(splits.values())} but no train folder; add {root / 'train'}.")
    train = root / splits["train"]
    raise DataError(
        f"{train} has {counted(len(videos_in(train)), 'video')} directly in it but no class folders; "
        "put each class in a folder of its own."
    )


@dataclass
class _Part:
    """The class folders of the root, or of one split. clips: (class, path below the root)."""

    folder: Path
    kind: str  # what a clip is called
    folder_of_class: dict[str, str] = field(default_factory=dict)
    clips: list[tuple[str, str]] = field(default_factory=list)
    left_out: Found = field(default_factory=Found)
    empty: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        notes: list[str] = []
        if self.empty:
            text = f"No class, because no {self.kind} is inside: {some(self.empty)} in {self.folder}."
            notes.append(Note(text, "empty_folder", [str(self.folder / name) for name in self.empty]))
        if self.hidden:
            notes.append(f"No class, because hidden: {some(self.hidden)} in {self.folder}.")
        if self.loose:
            text = (
                f"{counted(len(self.loose), 'video')} directly in {self.folder} left out, because no class folder "
                f"says what it shows: {some(self.loose)}."
            )
            notes.append(Note(text, "extra", [str(self.folder / name) for name in self.loose]))
        return notes + list(self.left_out.notes(f"{self.folder}: "))


def _scan(root: Path, split: str, of_frames: bool) -> _Part:
    part = _Part(root / split, "folder of frames" if of_frames else "video")
    for entry in entries(part.folder):
        if not is_folder(entry):
            continue
        if entry.name.startswith("."):
            part.hidden.append(entry.name)
            continue
        if of_frames:
            clips = list(frame_folders_below(entry.path))
        else:
            found = videos_below(entry.path)
            part.left_out.add(found)
            clips = found.videos
        if not clips:
            part.empty.append(entry.name)
            continue
        name = normal(entry.name)
        part.folder_of_class[name] = entry.path
        below = f"{split}/{entry.name}" if split else entry.name
        part.clips += [(name, f"{below}/{clip}") for clip in clips]
    part.loose = [] if of_frames else videos_in(part.folder)
    if not part.clips:
        raise DataError(_why_empty(part))
    return part


def _why_empty(part: _Part) -> str:
    if part.loose:
        return (
            f"{part.folder} has {counted(len(part.loose), 'video')} directly in it but no class folders; "
            "put each class in a folder of its own."
        )
    kinds = "folders of frames" if part.kind != "video" else "videos"
    seen = f"only folders without {'them' if part.kind != 'video' else 'video'}: {some(part.empty)}"
    return (
        f"{part.folder} has no {kinds}: expected a folder for each class with {kinds} in it, and found "
        f"{seen if part.empty else 'no folder'}."
    )


def _refuse_wrapped(root: Path, part: _Part) -> None:
    """root/videos/CLASS/* would otherwise be read as one class, "videos"."""
    if len(part.folder_of_class) != 1:
        return
    ((only, folder),) = part.folder_of_class.items()
    inner = {clip.split("/")[1] if clip.count("/") > 1 else "" for _, clip in part.clips}
    if len(inner) > 1 and "" not in inner:
        raise DataError(
            f"{root} holds one folder, {only}, and the class folders are inside it; set [dataset] root = {folder}."
        )


def _frame_names(parts: list[_Part], root: Path, dataset: Dataset, flow: bool) -> FrameNames:
    """What the images are called, by some folders at even distances."""
    folders = [os.path.join(root, path) for part in parts for _, path in part.clips]
    return detect(folders[:: max(1, len(folders) // FOLDERS_LOOKED_INTO)], dataset, flow)


def _labelled(parts: list[_Part], classes: tuple[str, ...], root: Path, first_frame: int) -> list[ClipTable]:
    ids = {name: label for label, name in enumerate(classes)}
    return [
        ClipTable(
            Clip(os.path.join(root, clip), ids[name], group_in_name(_name_of(clip, part)), first_frame=first_frame)
            for name, clip in part.clips
        )
        for part in parts
    ]


def _name_of(clip: str, part: _Part) -> str:
    """As a video's, which has an extension."""
    name = clip.rpartition("/")[2]
    return name if part.kind == "video" else f"{name}."
