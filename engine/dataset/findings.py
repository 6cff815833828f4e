"""What would hurt a training, as data: each function looks for one kind of trouble in a dataset. Torch-free.

A code is stable, for scripts. An error makes training or its validation wrong; a warning is worth a look.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.dataset.clips import Clip, ClipLists, Note, packed
from engine.dataset.files import counted, some, videos_below
from engine.dataset.formats.groups import ucf_group
from engine.dataset.probing import Facts
from engine.recipe import Dataset, Recipe

Severity = Literal["error", "warning"]
Digests = Mapping[str, str]  # path → of its content, where another file has the same size

# The commonest class has so many times the clips of the rarest.
IMBALANCE = 10
# What a class needs to be learned from a pretrained network, by what maintainers tell their users.
FEW_CLIPS = 20
# A picture whose short side is smaller than this shows nothing that a network could see.
TINY = 32
# Frames a second of one clip in ten are so many times those of another one in ten.
MIXED_FPS = 2
# Lists whose videos are missing to more than this share were looked for in the wrong place.
MANY_MISSING = 0.5


@dataclass(frozen=True)
class Problem:
    """One finding. message: what is wrong and what to do, in one or two sentences. files: those it is about."""

    code: str
    severity: Severity
    message: str
    files: tuple[str, ...] = ()


def what_the_reader_told(lists: ClipLists) -> Iterator[Problem]:
    """Notes with a code; those that are looked into here are left out."""
    for note in lists.notes:
        if isinstance(note, Note) and note.code not in ("missing", "leakage", "empty_class"):
            severity: Severity = "error" if note.code == "one_based_labels" else "warning"
            yield Problem(note.code, severity, str(note), note.files)


# --- files that are there and files that are not ----------------------------------------------------------------------


def missing_files(lists: ClipLists, dataset: Dataset) -> Iterator[Problem]:
    """What a list names and the disk has not."""
    for split, clips in both(lists):
        missing = packed(clips).missing
        if not missing:
            continue
        listed = len(missing) + len(clips)
        root = (dataset.val_root if split == "val" else "") or dataset.root
        wrong_place = len(missing) > MANY_MISSING * listed
        remedy = (
            "Is [dataset] root right?"
            if wrong_place
            else "Training goes on without them; put them there, or take them off the list."
        )
        names = list(dict.fromkeys(missing))
        listed_for = f"{len(missing)} of {counted(listed, 'clip')} listed for {_SPLITS[split]}"
        message = f"{listed_for} {_are(missing)} not in {root}. {remedy}"
        yield Problem("missing", "error" if wrong_place else "warning", message, tuple(names))


def extra_files(lists: ClipLists, dataset: Dataset) -> Iterator[Problem]:
    """Videos below the root that no list names, in the formats whose lists name all there are."""
    if dataset.format not in ("csv", "mmaction_video", "moments_in_time", "ucf101"):
        return
    used = {os.path.abspath(path) for _, clips in both(lists) for path in packed(clips).paths()}
    extra = [
        path
        for root in dict.fromkeys(root for root in (dataset.root, dataset.val_root) if root)
        for video in videos_below(root).videos
        if not video.startswith("test/") and os.path.abspath(path := os.path.join(root, video)) not in used
    ]
    if extra:
        message = (
            f"{counted(len(extra), 'video')} in {dataset.root} {_are(extra)} in no list, and so in no training. "
            "Add what belongs there."
        )
        yield Problem("extra", "warning", message, tuple(extra))


def unusable_clips(
    lists: ClipLists, dataset: Dataset, reasons: Mapping[str, str], holds: Callable[[Clip], bool]
) -> Iterator[Problem]:
    """reasons: name of a file or a clip → why it cannot be used. holds: whether a clip is among them."""
    if not reasons:
        return
    total = len(lists.train) + len(lists.val)
    out = [clip for _, clips in both(lists) for clip in clips if holds(clip)]
    without = Counter(label for clip in lists.train if not holds(clip) for label in clip.all_labels)
    before = lists.counts(lists.train)
    emptied = [name for label, name in enumerate(lists.classes) if before[name] and not without[label]]
    message = f"{len(out)} of {counted(total, 'clip')} cannot be used."
    severity: Severity = "warning"
    if emptied:
        severity = "error"
        message += f" That leaves no training clip of {some(emptied)}."
    if len(out) > dataset.max_bad_fraction * total:
        severity = "error"
        message += f" More than max_bad_fraction = {dataset.max_bad_fraction:g} under [dataset] allows."
    message += " Get them again or re-encode them; until then training leaves them out."
    yield Problem("undecodable", severity, message, tuple(reasons))


# --- labels -----------------------------------------------------------------------------------------------------------


def empty_classes(lists: ClipLists) -> Iterator[Problem]:
    """Classes that cannot be learned, or not be judged."""
    train, val = lists.counts(lists.train), lists.counts(lists.val)
    counts_from_1 = any(isinstance(note, Note) and note.code == "one_based_labels" for note in lists.notes)
    first = {lists.classes[0]} if counts_from_1 else set()
    unlearned = [name for name in lists.classes if not train[name] and name not in first]
    unjudged = [name for name in lists.classes if train[name] and not val[name]]
    if judged := [name for name in unlearned if val[name]]:
        message = f"{_classes(judged, lists)} with validation clips but no training clip: {some(judged)}. "
        yield Problem("empty_class", "error", f"{message}What is not trained is not recognised; add clips.")
    if absent := [name for name in unlearned if not val[name]]:
        message = f"{_classes(absent, lists)} without any clip: {some(absent)}. Add clips, or leave the name out."
        yield Problem("empty_class", "warning", message)
    if unjudged and lists.val:
        message = f"{_classes(unjudged, lists)} without a validation clip: {some(unjudged)}. "
        yield Problem("empty_class", "warning", f"{message}Nothing will tell how well that is learned.")


def imbalance(lists: ClipLists, recipe: Recipe) -> Iterator[Problem]:
    """Rare classes beside frequent ones, where the recipe does nothing about it."""
    counts = {name: number for name, number in lists.counts(lists.train).items() if number}
    if len(counts) < 2 or recipe.dataset.balance != "none":
        return
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] < IMBALANCE * counts[least]:
        return
    message = (
        f'"{most}" has {counted(counts[most], "training clip")}, "{least}" only {counts[least]}. '
        'balance = "sampler" (or "weights") under [dataset] makes rare classes count as much as frequent ones.'
    )
    yield Problem("imbalance", "warning", message)


def few_clips(lists: ClipLists) -> tuple[str, ...]:
    """The sentence on classes that are small; not a problem, but worth knowing."""
    counts = {name: number for name, number in lists.counts(lists.train).items() if 0 < number < FEW_CLIPS}
    if not counts:
        return ()
    least = min(counts, key=counts.__getitem__)
    return (
        f"{_classes(list(counts), lists)} with fewer than {FEW_CLIPS} training clips, {least} with {counts[least]}: "
        "start from pretrained weights, and expect the accuracy to depend on the split.",
    )


# --- the same twice ---------------------------------------------------------------------------------------------------


def copies(lists: ClipLists, digests: Digests) -> Iterator[Problem]:
    """The same clip or the same content more than once: in both splits, under different labels, or just twice."""
    places: dict[tuple[object, ...], list[tuple[str, Clip]]] = {}
    for split, clips in both(lists):
        for clip in clips:
            places.setdefault(_identity(clip, digests), []).append((split, clip))
    repeated = [found for found in places.values() if len(found) > 1]
    across = [found for found in repeated if len({split for split, _ in found}) > 1]
    if same := [found for found in across if len({clip.path for _, clip in found}) == 1]:
        message = f"{counted(len(same), 'video')} in both training and validation. Take each out of one of them."
        yield Problem("leakage", "error", message, _paths(same))
    if copied := [found for found in across if found not in same]:
        message = (
            f"{counted(len(copied), 'video')} in both training and validation, under two names. Delete one of each."
        )
        yield Problem("leakage", "error", message, _paths(copied))
    contradicting = [found for found in repeated if len({clip.all_labels for _, clip in found}) > 1]
    if contradicting and not lists.multi_label:
        names = " and ".join(dict.fromkeys(f'"{lists.classes[clip.label]}"' for _, clip in contradicting[0]))
        message = (
            f"{counted(len(contradicting), 'video')} with more than one label, such as {names}, under one name or two. "
            "Keep the right one of each."
        )
        yield Problem("conflicting_labels", "error", message, _paths(contradicting))
    if twice := [again for found in repeated if (again := _twice(found))]:
        message = (
            f"{counted(len(twice), 'clip')} more than once in one split, under one name or several. Keep one of each, "
            "or they count double."
        )
        yield Problem("duplicate", "warning", message, _paths(twice))


def _identity(clip: Clip, digests: Digests) -> tuple[object, ...]:
    return digests.get(clip.path) or clip.path, clip.start, clip.end, clip.first_frame, clip.num_frames


def _twice(found: list[tuple[str, Clip]]) -> list[tuple[str, Clip]]:
    """Those that a split has more than once under one label."""
    times = Counter((split, clip.all_labels) for split, clip in found)
    return [(split, clip) for split, clip in found if times[split, clip.all_labels] > 1]


def _paths(found: Iterable[Sequence[tuple[str, Clip]]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(clip.path for each in found for _, clip in each))


def shared_sources(lists: ClipLists, dataset: Dataset, digests: Digests) -> Iterator[Problem]:
    """Clips of one source in both splits, other than those that are the same clip."""
    train = {_identity(clip, digests)[0] for clip in lists.train}
    val = {_identity(clip, digests)[0] for clip in lists.val}
    both_have = train & val
    sources: dict[str, list[Clip]] = {}
    groups = packed(lists.train).groups() & packed(lists.val).groups()
    if not groups:
        return
    sides: dict[str, set[str]] = {}
    for split, clips in both(lists):
        for clip in clips:
            if clip.group in groups and _identity(clip, digests)[0] not in both_have:
                sources.setdefault(clip.group, []).append(clip)
                sides.setdefault(clip.group, set()).add(split)
    straddling = {group: clips for group, clips in sources.items() if len(sides[group]) == 2}
    kinds: dict[str, list[str]] = {}
    for group, clips in straddling.items():
        kinds.setdefault(_kind_of_source(clips[0], dataset), []).append(group)
    for kind, names in kinds.items():
        message = (
            f"{counted(len(names), kind)} with clips in both training and validation, e.g. {min(names)}: validation "
            "will look better than it is. Move all clips of one source to the same side."
        )
        yield Problem("leakage", "error", message, tuple(clip.path for name in names for clip in straddling[name]))


def _kind_of_source(clip: Clip, dataset: Dataset) -> str:
    if dataset.groups or dataset.group_pattern:
        return "source"
    if dataset.format in ("kinetics400", "activitynet"):
        return "YouTube video"
    if dataset.format == "thumos14":
        return "video"
    name = os.path.basename(clip.path)
    if ucf_group(name):
        return "UCF101 group"
    return "YouTube video" if name.startswith(f"{clip.group}_") and len(clip.group) == 11 else "source"


# --- what the videos are like -----------------------------------------------------------------------------------------


def short_clips(lists: ClipLists, recipe: Recipe, frames_of: Callable[[Clip], int]) -> Iterator[Problem]:
    """frames_of: frames of a clip, 0 where it is not known."""
    model = recipe.model
    if model.clip_len:
        needed = (model.clip_len - 1) * model.frame_interval + 1
        what = f"[model] clip_len = {model.clip_len} and frame_interval = {model.frame_interval} span"
        happens = "They begin anew where they end"
    else:
        needed, what = model.segments, f"[model] segments = {model.segments} take"
        happens = "They show some frames twice"
    lengths = [(frames_of(clip), clip) for _, clips in both(lists) for clip in clips]
    short = [(frames, clip) for frames, clip in lengths if 0 < frames < needed]
    if not short:
        return
    frames, clip = min(short, key=lambda found: found[0])
    message = (
        f"{counted(len(short), 'clip')} of {len(lengths)} with fewer frames than the {needed} that {what}, e.g. "
        f"{clip.name} with {frames}. {happens}, which is fine for a few; else choose smaller numbers."
    )
    yield Problem("short_clips", "warning", message, tuple(dict.fromkeys(clip.path for _, clip in short)))


def odd_pictures(facts: Mapping[str, Facts], recipe: Recipe) -> Iterator[Problem]:
    """Videos of hardly any pixels; very different frame rates, where the distance of frames matters."""
    seen = {path: found for path, found in facts.items() if found.width}
    if tiny := [path for path, found in seen.items() if min(found.width, found.height) < TINY]:
        message = (
            f"{counted(len(tiny), 'video')} with a short side below {TINY} pixels, scaled up to "
            f"{recipe.dataset.short_side}. Are these thumbnails? Take the videos themselves."
        )
        yield Problem("low_resolution", "warning", message, tuple(tiny))
    rates = sorted(found.fps for found in seen.values() if found.fps)
    if not recipe.model.clip_len or len(rates) < 10:
        return
    slow, fast = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
    if fast >= MIXED_FPS * slow:
        message = (
            f"Frame rates differ: a tenth of the videos has {slow:g} a second or less, a tenth {fast:g} or more, so "
            "that the same number of frames lasts longer in some. Re-encode to one rate if motion matters."
        )
        yield Problem("mixed_fps", "warning", message)


# --- words ------------------------------------------------------------------------------------------------------------

_SPLITS = {"train": "training", "val": "validation"}


def both(lists: ClipLists) -> tuple[tuple[str, Sequence[Clip]], tuple[str, Sequence[Clip]]]:
    """The splits by name."""
    return ("train", lists.train), ("val", lists.val)


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _classes(names: Sequence[str], lists: ClipLists) -> str:
    return f"{len(names)} of {counted(len(lists.classes), 'class', 'classes')}"
