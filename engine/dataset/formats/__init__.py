"""Published dataset formats, one file each, all read into `ClipLists`. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.dataset.clips import ClipLists, Note, packed
from engine.dataset.files import counted, require_folder, some
from engine.dataset.formats import (
    activitynet,
    csv_lists,
    folders,
    kinetics400,
    mmaction_rawframes,
    mmaction_video,
    moments_in_time,
    multi_moments_in_time,
    something_v1,
    something_v2,
    thumos14,
    ucf101,
)
from engine.dataset.formats.classes import require_kind_of_labels, require_two_classes
from engine.dataset.formats.groups import regrouped
from engine.dataset.quarantine import LeftOut
from engine.errors import DataError
from engine.recipe import Dataset, Recipe

READERS: dict[str, Callable[[Dataset, int | None], ClipLists]] = {
    "activitynet": activitynet.read,
    "csv": csv_lists.read,
    "kinetics400": kinetics400.read,
    "mmaction_video": mmaction_video.read,
    "moments_in_time": moments_in_time.read,
    "multi_moments_in_time": multi_moments_in_time.read,
    "something_v2": something_v2.read,
    "thumos14": thumos14.read,
    "ucf101": ucf101.read,
}
# Formats that may have folders of frames. The third argument: whether the frames are optical flow.
FRAME_READERS: dict[str, Callable[[Dataset, int | None, bool], ClipLists]] = {
    "folders": folders.read,
    "mmaction_rawframes": mmaction_rawframes.read,
    "something_v1": something_v1.read,
}


def read_clips(dataset: Dataset, num_classes: int | None = None, modality: str = "rgb") -> ClipLists:
    """The clips that a [dataset] table names.

    num_classes: head.num_classes where it is a number. modality: model.modality; flow is read from folders of frames.

    Raises DataError, one sentence, when something is missing or labels and classes do not fit.
    """
    require_folder(dataset.root, "root")
    if repeated := [name for place, name in enumerate(dataset.classes) if name in dataset.classes[:place]]:
        raise DataError(f"[dataset] classes names {some(repeated)} twice; every class has one id.")
    if dataset.format in FRAME_READERS:
        lists = FRAME_READERS[dataset.format](dataset, num_classes, modality == "flow")
    elif modality == "flow":
        raise DataError(
            f'[dataset] format = "{dataset.format}" reads videos, but [model] modality = "flow" takes folders of flow '
            f"images; the formats that have them are {', '.join(FRAME_READERS)}."
        )
    else:
        lists = READERS[dataset.format](dataset, num_classes)
    if not lists.train:
        raise DataError(f"[dataset] root = {dataset.root} has no training clips.")
    lists = _without_quarantined(_with_sources(lists, dataset), dataset)
    return replace(lists, notes=lists.notes + _several_classes(lists) + _coverage(lists) + _overlap(lists))


def read_dataset(recipe: Recipe) -> ClipLists:
    """The clips that a recipe trains on: at least two classes, of the kind that [head] multi_label says.

    Raises DataError where there is nothing to learn, RecipeError where the recipe means another kind of dataset.
    """
    dataset, head = recipe.dataset, recipe.head
    lists = read_clips(dataset, None if head.num_classes == "auto" else head.num_classes, recipe.model.modality)
    require_two_classes(lists.classes, dataset.root)
    require_kind_of_labels(lists, head.multi_label, dataset.root)
    return lists


def _several_classes(lists: ClipLists) -> tuple[str, ...]:
    """How many classes clips have, where they may have more than one."""
    if not lists.multi_label:
        return ()
    of_clip = [len(clip.all_labels) for clips in (lists.train, lists.val) for clip in clips]
    several = sum(number > 1 for number in of_clip)
    return (
        f"{several} of {counted(len(of_clip), 'clip')} {'has' if several == 1 else 'have'} several classes, "
        f"{sum(of_clip) / len(of_clip):.1f} a clip on average, {max(of_clip)} at most.",
    )


def _with_sources(lists: ClipLists, dataset: Dataset) -> ClipLists:
    """The sources that the recipe names; a split that was made here knows them already."""
    if not dataset.groups and not dataset.group_pattern:
        return lists
    train, val = packed(lists.train), packed(lists.val)
    clips, notes = regrouped([*train, *val], dataset)
    named_train, named_val = clips[: len(train)], clips[len(train) :]
    named_train.missing, named_val.missing = train.missing, val.missing
    return replace(lists, train=named_train, val=named_val, notes=tuple(dict.fromkeys(lists.notes + notes)))


def _without_quarantined(lists: ClipLists, dataset: Dataset) -> ClipLists:
    """After the split, so that a clip which is left out moves no other to the other side."""
    if not dataset.quarantine:
        return lists
    quarantine = LeftOut(Path(dataset.quarantine))
    (train, from_train), (val, from_val) = quarantine.without(lists.train), quarantine.without(lists.val)
    if not from_train + from_val:
        return lists
    if not train:
        raise DataError(f"{quarantine.path} leaves no training clip; mend the videos it names, or delete their lines.")
    note = (
        f"{counted(from_train + from_val, 'clip')} left out ({from_train} of training, {from_val} of validation), as "
        f"{quarantine.path} says."
    )
    return replace(lists, train=train, val=val, notes=(*lists.notes, note))


def _coverage(lists: ClipLists) -> tuple[str, ...]:
    """Classes that cannot be learned, or not be judged."""
    train, val = lists.counts(lists.train), lists.counts(lists.val)
    unlearned = [name for name in lists.classes if not train[name]]
    unjudged = [name for name in lists.classes if train[name] and not val[name]]
    notes = []
    if unlearned:
        some_in_val = " (but has validation clips)" if any(val[name] for name in unlearned) else ""
        notes.append(Note(f"Without a training clip{some_in_val}: {_classes(unlearned, lists)}.", "empty_class"))
    if unjudged and lists.val:
        notes.append(Note(f"Without a validation clip: {_classes(unjudged, lists)}.", "empty_class"))
    return tuple(notes)


def _classes(names: list[str], lists: ClipLists) -> str:
    return f"{len(names)} of {counted(len(lists.classes), 'class', 'classes')}, {some(names)}"


def _overlap(lists: ClipLists) -> tuple[str, ...]:
    """Clips of one video on both sides make validation look better than it is."""
    train, val = packed(lists.train), packed(lists.val)
    shared = {*train.paths()} & {*val.paths()}
    if shared:
        text = f"{counted(len(shared), 'video')} in both training and validation, e.g. {min(shared)}."
        return (Note(text, "leakage", sorted(shared)),)
    straddling = train.groups() & val.groups()
    if straddling:
        text = f"{counted(len(straddling), 'group')} in both training and validation, e.g. {min(straddling)}."
        return (Note(text, "leakage"),)
    return ()
