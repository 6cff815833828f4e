"""What a folder is, before anyone has said so: its format, classes and counts. Torch-free, decodes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from engine.dataset.files import (
    Disk,
    counted,
    entries,
    has_video,
    is_folder,
    is_video,
    some,
    subfolders,
    videos_in,
)
from engine.dataset.formats import (
    FRAME_READERS,
    activitynet,
    csv_lists,
    kinetics400,
    mmaction_rawframes,
    moments_in_time,
    multi_moments_in_time,
    read_clips,
    something_v1,
    something_v2,
    thumos14,
    ucf101,
)
from engine.dataset.formats.folders import is_of_frames, split_folders
from engine.dataset.formats.frames import frame_folders_below, images_in
from engine.dataset.formats.groups import read_groups
from engine.dataset.formats.lists import NO_LISTS, TRAIN, VAL, lists_named, numbered_lines, read_entries
from engine.errors import DataError
from engine.recipe import Dataset

# How many entries of a list are tried when looking for the folder that its paths start from.
PROBES = 200
# How many folders are tried for being clips themselves.
PROBES_FOR_FRAMES = 5
# In how many folders of a folder lists are looked for.
MOST_PLACES = 2000


@dataclass(frozen=True)
class Inspection:
    """What was recognised. table: the keys of [dataset] that say so, paths usable from the current folder.

    modality: that of the frames, as [model] modality. multi_label: whether a clip may have several classes, as [head]
    multi_label; the counts are of classes then, not of clips.
    """

    format: str
    why: tuple[str, ...]
    table: dict[str, Any]
    classes: tuple[str, ...]
    train_counts: dict[str, int]
    val_counts: dict[str, int]
    notes: tuple[str, ...]
    modality: str = "rgb"
    multi_label: bool = False
    train_clips: int = 0
    val_clips: int = 0


def inspect_folder(
    path: Path, annotations: Path | None = None, given: Mapping[str, Any] | None = None, modality: str = ""
) -> Inspection:
    """Recognise the dataset in a folder; `annotations` says where its lists are, if not inside.

    given: keys of [dataset] on folders of frames that somebody has answered already. modality: [model] modality, ""
    where it is not known.
    Raises DataError, one sentence: what was looked for, and what was seen; UndecidedError where both can be.
    """
    path = _folder(path)
    annotations = _folder(annotations) if annotations else None
    if not entries(path):
        raise DataError(f"{path} is empty; put a folder of videos for each class in it.")
    guess = None
    for recognise in _WITH_LISTS:
        guess = guess or recognise(path, annotations)
    if guess is None and annotations and not (guess := _as_one_list(path, annotations)):
        raise DataError(
            _half_a_dataset(annotations) or f"{annotations} holds no {_LISTS_LOOKED_FOR}; it has {_seen(annotations)}."
        )
    if guess is None and (of_frames := _frames_without_class(path)):
        raise DataError(
            f"{path} has folders of frames, such as {of_frames}, but nothing that says their classes; sort them into a "
            "folder for each class, or give the folder of their lists."
        )
    guess = guess or _as_folders_or_one_list(path, annotations)
    if guess is None:
        raise DataError(_not_recognised(path))
    if guess.table["format"] in FRAME_READERS:
        guess.table.update(given or {})
    guess.modality = modality or guess.modality
    return _inspection(guess)


@dataclass
class _Guess:
    table: dict[str, Any]
    why: list[str]
    notes: list[str]
    modality: str = "rgb"


def _inspection(guess: _Guess) -> Inspection:
    """The reader has the last word: what is shown is what a run would read."""
    lists = read_clips(Dataset(**guess.table), modality=guess.modality)
    return Inspection(
        format=guess.table["format"],
        why=tuple(guess.why),
        table=guess.table,
        classes=lists.classes,
        train_counts=lists.counts(lists.train),
        val_counts=lists.counts(lists.val),
        notes=(*guess.notes, *lists.notes),
        modality=guess.modality,
        multi_label=lists.multi_label,
        train_clips=len(lists.train),
        val_clips=len(lists.val),
    )


def _folder(path: Path) -> Path:
    path = Path(os.path.expanduser(path))
    if os.path.isfile(path):
        raise DataError(f"{path} is a file; give the folder it lies in.")
    if not os.path.isdir(path):
        raise DataError(f"{path} does not exist (looked from {Path.cwd()}).")
    return path


# --- lists ------------------------------------------------------------------------------------------------------------


def _places(path: Path, annotations: Path | None) -> list[Path]:
    """Where lists may lie. A folder of so many others holds the clips themselves, which none of them is looked into."""
    if annotations:
        return [annotations]
    folders = subfolders(path)
    return [path, *(path / name for name in folders if len(folders) <= MOST_PLACES)]


def _holder(path: Path, annotations: Path | None) -> Path:
    """Any folder above the videos, where the reader looks in folders. Lists may lie beside the videos' folder."""
    return path if annotations or has_video(path) else path.parent


def _pairs(folder: Path, kind: str, known: Callable[[Path], bool]) -> Iterator[tuple[Path, Path]]:
    """Training lists of a kind, each with the validation list of the same name but for the split's word."""
    val_lists = [path for path in lists_named(folder, VAL, kind) if known(path)]
    for train_list in lists_named(folder, TRAIN, kind):
        if not known(train_list):
            continue
        name = train_list.name.lower()
        alike = [path for path in val_lists if path.name.lower() in _val_names(name)]
        if alike or len(val_lists) == 1:
            yield train_list, (alike or val_lists)[0]


def _val_names(train_name: str) -> set[str]:
    short = train_name.replace("training", "train")
    return {short.replace("train", word) for word in ("val", "validate", "validation", "test")}


def _other_lists(pairs: list[tuple[Path, Path]]) -> list[str]:
    others = [train_list.name for train_list, _ in pairs[1:]]
    return [f"Took {pairs[0][0].name}; there are other lists too: {some(others)}."] if others else []


# --- ucf101 -----------------------------------------------------------------------------------------------------------


def _as_ucf101(path: Path, annotations: Path | None) -> _Guess | None:
    lists = ucf101.annotation_folder(annotations or path)
    split = next((n for n in (1, 2, 3) if lists and (lists / f"trainlist0{n}.txt").is_file()), None)
    if lists is None or split is None:
        return None
    classes = ucf101.read_class_list(lists / ucf101.CLASS_LIST)
    # Someone may point at the lists' own folder; the videos then lie beside it.
    places = [path] if annotations else [path, path.parent]
    root = next((found for place in places if (found := ucf101.holds_classes(place, classes))), path)
    return _Guess(
        table={"format": "ucf101", "root": str(root), "annotations": str(lists), "split": split},
        why=[f"{ucf101.CLASS_LIST} and trainlist0{split}.txt are in {lists}.", f"Class folders are in {root}."],
        notes=[],
    )


# --- kinetics400 ------------------------------------------------------------------------------------------------------


def _as_kinetics400(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        pairs = list(_pairs(folder, ".csv", kinetics400.is_list))
        if not pairs:
            continue
        train_list, val_list = pairs[0]
        return _Guess(
            table={
                "format": "kinetics400",
                "root": str(_holder(path, annotations)),
                "train_list": str(train_list),
                "val_list": str(val_list),
            },
            why=[f"{train_list} and {val_list} have the columns label and youtube_id."],
            notes=_other_lists(pairs),
        )
    return None


# --- moments_in_time --------------------------------------------------------------------------------------------------


def _as_moments_in_time(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        categories = moments_in_time.categories_in(folder)
        pairs = list(_pairs(folder, ".csv", moments_in_time.is_list))
        if len(categories) != 1 or not pairs:
            continue
        names = [found.name for found in (categories[0], *pairs[0])]
        return _Guess(
            table={"format": "moments_in_time", "root": str(_holder(path, annotations)), "annotations": str(folder)},
            why=[f"{names[0]}, {names[1]} and {names[2]} are in {folder}."],
            notes=[],
        )
    return None


# --- multi_moments_in_time --------------------------------------------------------------------------------------------


def _as_multi_moments_in_time(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        categories = multi_moments_in_time.categories_in(folder)
        pairs = list(_pairs(folder, multi_moments_in_time.list_kind(folder), multi_moments_in_time.is_list))
        if len(categories) != 1 or not pairs:
            continue
        names = [found.name for found in (categories[0], *pairs[0])]
        holder = str(_holder(path, annotations))
        return _Guess(
            table={"format": "multi_moments_in_time", "root": holder, "annotations": str(folder)},
            why=[f"{names[0]}, {names[1]} and {names[2]} are in {folder}, with ids after each video."],
            notes=[],
        )
    return None


# --- something_v2 -----------------------------------------------------------------------------------------------------


def _as_something_v2(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        labels = [found for found in something_v2.labels_named(folder) if something_v2.is_labels(found)]
        lists = lists_named(folder, TRAIN, ".json"), lists_named(folder, VAL, ".json")
        if not labels or not all(lists):
            continue
        names = [found[0].name for found in (labels, *lists)]
        return _Guess(
            table={"format": "something_v2", "root": str(_holder(path, annotations)), "annotations": str(folder)},
            why=[f"{names[0]}, {names[1]} and {names[2]} are in {folder}."],
            notes=[],
        )
    return None


# --- thumos14 ---------------------------------------------------------------------------------------------------------


def _as_thumos14(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        if thumos14.is_annotated(folder):
            names = some([found.name for found in thumos14.annotation_files(folder)])
            return _Guess(
                table={"format": "thumos14", "root": str(_holder(path, annotations)), "annotations": str(folder)},
                why=[f"{folder} has segments of THUMOS14's videos: {names}."],
                notes=[],
            )
    return None


# --- activitynet ------------------------------------------------------------------------------------------------------


def _as_activitynet(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        if found := activitynet.annotations_in(folder):
            files = str(found.file) + (f" and {found.subsets}" if found.subsets else "")
            return _Guess(
                table={"format": "activitynet", "root": str(_holder(path, annotations)), "annotations": str(folder)},
                why=[f"Segments of videos are listed in {files}."],
                notes=[],
            )
    return None


# --- something_v1 -----------------------------------------------------------------------------------------------------


def _as_something_v1(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        labels = something_v1.labels_named(folder)
        pairs = list(_pairs(folder, ".csv", something_v1.is_list))
        if len(labels) != 1 or not pairs:
            continue
        train = something_v1.read_list(pairs[0][0])
        root = _root_of(pairs[0][0], path, train, folders=True)
        names = [found.name for found in (labels[0], *pairs[0])]
        return _Guess(
            table={"format": "something_v1", "root": str(root), "annotations": str(folder)},
            why=[f"{names[0]}, {names[1]} and {names[2]} are in {folder}.", f"Folders of frames are in {root}."],
            notes=[],
            modality=_modality(root, train),
        )
    return None


# --- mmaction_rawframes -----------------------------------------------------------------------------------------------


def _as_mmaction_rawframes(path: Path, annotations: Path | None) -> _Guess | None:
    pairs = [
        pair
        for folder in _places(path, annotations)
        for kind in (".txt", ".csv", ".json")
        for pair in _pairs(folder, kind, mmaction_rawframes.is_list)
    ]
    if not pairs:
        return None
    train_list, val_list = pairs[0]
    train, val = mmaction_rawframes.read_list(train_list), mmaction_rawframes.read_list(val_list)
    try:
        root = _root_of(train_list, path, train.rows, folders=True)
    except DataError:
        if any(_pairs(train_list.parent, ".txt", _lists_videos)):
            return None  # frames were listed, but the videos are what there is
        raise
    val_root = _root_of(val_list, path, val.rows, first=root, folders=True)
    table = {
        "format": "mmaction_rawframes", "root": str(root), "train_list": str(train_list), "val_list": str(val_list),
    }  # fmt: skip
    if val_root != root:
        table["val_root"] = str(val_root)
    return _Guess(
        table=table,
        why=[f"{train_list} and {val_list} list folders of frames.", f"Their paths start in {root}."],
        notes=_other_lists(pairs),
        modality=_modality(root, train.rows),
    )


def _modality(root: Path, entries: Sequence[tuple[str, Any, int]]) -> str:
    """Flow where the first folder has nothing else: a folder with both is read as pictures."""
    folder = next((os.path.join(root, name) for name, _, _ in entries if os.path.isdir(root / name)), str(root))
    is_flow_only = bool(images_in(folder, flow=True)) and not images_in(folder, flow=False)
    return "flow" if is_flow_only else "rgb"


# --- mmaction_video ---------------------------------------------------------------------------------------------------


def _as_mmaction_video(path: Path, annotations: Path | None) -> _Guess | None:
    pairs = [
        pair
        for folder in _places(path, annotations)
        for kind in (".txt", ".json")
        for pair in _pairs(folder, kind, _lists_videos)
    ]
    if not pairs:
        return None
    train_list, val_list = pairs[0]
    root = _root_of(train_list, path, read_entries(train_list))
    val_root = _root_of(val_list, path, read_entries(val_list), first=root)
    table = {
        "format": "mmaction_video", "root": str(root), "train_list": str(train_list), "val_list": str(val_list),
    }  # fmt: skip
    if val_root != root:
        table["val_root"] = str(val_root)
    return _Guess(
        table=table,
        why=[
            f"{train_list} and {val_list} list videos and the numbers of their classes.",
            f"Their paths start in {root}.",
        ],
        notes=_other_lists(pairs),
    )


def _lists_videos(path: Path) -> bool:
    """Whether the first line is a video and numbers, or the first entry of JSON names a video. Lists of frame folders
    have no video in the first column."""
    try:
        if path.suffix.lower() == ".json":
            return bool(read_entries(path))
        _, line = next(numbered_lines(path), (0, ""))
    except DataError:
        return False
    listed = re.fullmatch(r"(.*?\S)(?:\s+[0-9]+)+", line)
    return listed is not None and is_video(listed[1].rpartition("/")[2])


def _root_of(
    source: Path, path: Path, entries: Sequence[tuple[str, Any, int]], first: Path | None = None, folders: bool = False
) -> Path:
    """The folder under which most of a list's first videos (or `folders` of frames) are found; DataError when it is
    none."""
    listed = [video for video, _, _ in entries[:PROBES]]
    places = [first] if first else []
    places += [path, *(path / name for name in subfolders(path)), source.parent, path.parent, Path()]
    disk = Disk(folders=folders)

    def matches(place: Path) -> int:
        return sum(disk.find(str(place / video)) is not None for video in listed)

    best = max(places, key=matches)
    if not matches(best):
        raise DataError(
            f"{source} lists {'folders' if folders else 'videos'} such as {listed[0]}, but none of its first "
            f"{len(listed)} is in {path} or a folder in it; give the folder that the list's paths start from."
        )
    return best


# --- csv --------------------------------------------------------------------------------------------------------------


def _as_csv(path: Path, annotations: Path | None) -> _Guess | None:
    for folder in _places(path, annotations):
        if found := csv_lists.metadata_in(folder):
            return _Guess(
                table={"format": "csv", "root": str(path), "annotations": str(folder)},
                why=[f"{found[0]} and {found[1]} name the videos beside them."],
                notes=[],
            )
    pairs = [pair for folder in _places(path, annotations) for pair in _pairs(folder, ".csv", csv_lists.is_list)]
    if not pairs:
        return None
    train_list, val_list = pairs[0]
    root = _root_of(train_list, path, csv_lists.read_list(train_list))
    val_root = _root_of(val_list, path, csv_lists.read_list(val_list), first=root)
    table = {"format": "csv", "root": str(root), "train_list": str(train_list), "val_list": str(val_list)}
    if val_root != root:
        table["val_root"] = str(val_root)
    return _Guess(table, [f"{train_list} and {val_list} list videos and labels."], _other_lists(pairs))


# --- one list, to be split --------------------------------------------------------------------------------------------


def _as_one_list(path: Path, annotations: Path | None) -> _Guess | None:
    """A list of all clips, where there is no other list."""
    for folder in _places(path, annotations):
        for kind, name, known, rows_of in _ONE_LIST:
            files = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
            lists = [file for file in files if file.suffix.lower() == kind and file.name not in NO_LISTS]
            found = [file for file in lists if known(file)]
            if len(found) != 1:
                continue
            of_frames, rows = name in FRAME_READERS, rows_of(found[0])
            root = _root_of(found[0], path, rows, folders=of_frames)
            listed = "folders of frames" if of_frames else "videos and labels"
            return _Guess(
                table={"format": name, "root": str(root), "train_list": str(found[0])},
                why=[f"{found[0]} lists {listed}, and is the only list."],
                notes=[],
                modality=_modality(root, rows) if of_frames else "rgb",
            )
    return None


def _frame_rows(path: Path) -> Sequence[tuple[str, Any, int]]:
    return mmaction_rawframes.read_list(path).rows


# Extension, format, whether a file is such a list, and its rows.
_ONE_LIST: tuple[tuple[str, str, Callable[[Path], bool], Callable[[Path], Sequence[tuple[str, Any, int]]]], ...] = (
    (".csv", "csv", csv_lists.is_list, csv_lists.read_list),
    (".txt", "mmaction_video", _lists_videos, read_entries),
    (".txt", "mmaction_rawframes", mmaction_rawframes.is_list, _frame_rows),
)


def _as_folders_or_one_list(path: Path, annotations: Path | None) -> _Guess | None:
    """Folders of classes are the better guess, but a folder of all videos beside a list of them is no class."""
    guess = _as_folders(path)
    if guess and len(_class_folders(Path(guess.table["root"]))) > 1:
        return guess
    return _as_one_list(path, annotations) or guess


# From the format with the most to be known by to that with the least.
_WITH_LISTS = (
    _as_ucf101, _as_thumos14, _as_activitynet, _as_something_v2, _as_something_v1, _as_moments_in_time,
    _as_multi_moments_in_time,
    _as_kinetics400, _as_mmaction_rawframes,
    _as_mmaction_video, _as_csv,
)  # fmt: skip

# --- folders ----------------------------------------------------------------------------------------------------------


def _as_folders(path: Path) -> _Guess | None:
    root = _unwrapped(path)
    splits, classes, of_frames = split_folders(root), _class_folders(root), is_of_frames(root)
    if not classes:
        return None
    first = root / splits.get("train", "") / classes[0]
    frames = [(name, None, 0) for name in islice(frame_folders_below(first), 1)] if of_frames else []
    guess = _Guess({"format": "folders", "root": str(root)}, [], [], _modality(first, frames) if of_frames else "rgb")
    clips = "folders of frames" if of_frames else "videos"
    if splits:
        guess.why.append(f"{root} has {', '.join(splits.values())}, with a folder for each class inside.")
    else:
        guess.why.append(f"{root} has {counted(len(classes), 'folder')} of {clips}, one for each class.")
    if "val" not in splits:
        _add_groups(guess, root / "groups.csv")
    return guess


def _class_folders(root: Path) -> list[str]:
    """Names of the folders with clips: in the root, or in its train folder."""
    splits = split_folders(root)
    place = root / splits["train"] if splits else root
    holds_clips = _holds_frames if is_of_frames(root) else has_video
    return [name for name in subfolders(place) if holds_clips(place / name)]


def _unwrapped(path: Path) -> Path:
    """path, or the one folder in it that holds all clips in class folders of its own (path/videos/CLASS/*)."""
    if split_folders(path):
        return path
    holds_clips = _holds_frames if is_of_frames(path) else has_video
    holders = [name for name in subfolders(path) if holds_clips(path / name)]
    if len(holders) == 1 and not videos_in(inner := path / holders[0]):
        with_clips = [name for name in subfolders(inner) if holds_clips(inner / name)]
        if len(with_clips) > 1 or (with_clips and split_folders(inner)):
            return inner
    return path


def _holds_frames(folder: Path) -> bool:
    return any(True for _ in frame_folders_below(folder))


def _add_groups(guess: _Guess, path: Path) -> None:
    if not path.is_file():
        return
    try:
        sources = read_groups(path)
    except DataError as error:
        guess.notes.append(f"groups.csv is not used: {error}")
        return
    guess.table["groups"] = str(path)
    guess.why.append(f"{path} names the source of each clip: {counted(len(set(sources.values())), 'source')}.")


# --- not recognised ---------------------------------------------------------------------------------------------------


def _frames_without_class(path: Path) -> str:
    """The first folder in `path` that is a clip itself, where several of those that come first are."""
    first = [path / name for name in subfolders(path)[:PROBES_FOR_FRAMES]]
    of_frames = [folder.name for folder in first if images_in(str(folder), False) or images_in(str(folder), True)]
    if len(of_frames) < 2 or any(has_video(folder) or _holds_frames(folder) for folder in first):
        return ""
    return of_frames[0]


def _not_recognised(path: Path) -> str:
    if loose := videos_in(path):
        above = path.absolute().parent
        classes = sum(bool(videos_in(above / name)) for name in subfolders(above)[:PROBES])
        meant = f", or name {above}, which has {classes} folders of videos" if classes > 1 else ""
        return (
            f"{path} has {counted(len(loose), 'video')} directly in it but no class folders; "
            f"put each class in a folder of its own{meant}."
        )
    return _half_a_dataset(path) or (
        f"{path} is no dataset known here: looked for a folder of videos for each class, for train and val folders of "
        f"such, and for {_LISTS_LOOKED_FOR}; it has {_seen(path)}."
    )


_LISTS_LOOKED_FOR = (
    f"annotation files known here: {ucf101.CLASS_LIST} with trainlist01.txt, the files of ActivityNet, Kinetics, "
    'Moments in Time, Something-Something and THUMOS14, and *train*.txt or *train*.csv with lines of "path label"'
)


def _half_a_dataset(folder: Path) -> str:
    """What to say of lists of one split that lie without those of the other; "" where there are none."""
    for kind, known in _LISTS:
        train, val = ([path.name for path in lists_named(folder, words, kind) if known(path)] for words in (TRAIN, VAL))
        if bool(train) != bool(val):
            missing = "validation" if train else "training"
            return (
                f"{folder} has {some(train or val)}, but no {missing} list of that kind; put one beside it, with "
                f'"{"val" if train else "train"}" in its name.'
            )
    return ""


# Extension of the lists that a split has one of, and whether a file is one.
_LISTS: tuple[tuple[str, Callable[[Path], bool]], ...] = (
    (".csv", kinetics400.is_list), (".csv", moments_in_time.is_list), (".csv", multi_moments_in_time.is_list),
    (".csv", something_v1.is_list), (".csv", csv_lists.is_list), (".txt", _lists_videos),
    (".txt", mmaction_rawframes.is_list),
)  # fmt: skip


def _seen(path: Path) -> str:
    names = [entry.name + ("/" if is_folder(entry) else "") for entry in entries(path)]
    return some(names) or "nothing in it"
