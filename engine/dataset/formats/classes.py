"""Class names and ids: names travel between copies of a dataset, ids do not, so names are matched by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from engine.dataset.clips import ClipLists, Note
from engine.dataset.files import counted, some
from engine.dataset.formats.lists import Entry, NamedEntry
from engine.errors import DataError, RecipeError

# Above any dataset's. A number above it in the label's place is something else: a size, a date, a frame count.
MOST_CLASSES = 100_000
COUNTS_FROM_1 = "if the lists count from 1, set first_label = 1 under [dataset]"


def normal(name: str) -> str:
    """One spelling for names that look the same: macOS writes é as two characters, others as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def class_order(found: Sequence[str], given: Sequence[str], where: Mapping[str, str]) -> tuple[str, ...]:
    """The classes in the order of their ids: `given` ([dataset] classes) where there are any, else `found`.

    where: class → the place it was found at, for the message. DataError when a class found is not among the given.
    """
    if not given:
        return tuple(found)
    known = {normal(name) for name in given}
    for name in found:
        if name not in known:
            raise DataError(
                f'{where[name]}: "{name}" is none of the {len(given)} names in [dataset] classes; add it there, '
                "or take its clips away."
            )
    return tuple(normal(name) for name in given)


def require_two_classes(classes: Sequence[str], root: str) -> None:
    """DataError when there is nothing to tell apart."""
    if len(classes) < 2:
        raise DataError(f"{root} has only one class, {classes[0]}; to tell apart takes at least two.")


def require_kind_of_labels(lists: ClipLists, multi_label: bool, root: str) -> None:
    """RecipeError when [head] multi_label is not what the dataset is: neither is trained as the other by accident.

    DataError when every clip has the same classes: whatever the model said would be right, and every precision 1.
    """
    if multi_label and not lists.multi_label:
        raise RecipeError(f"[head] multi_label is true, but every clip of {root} has one class only; set it to false.")
    if not lists.multi_label:
        return
    if not multi_label:
        clip = next(clip for clips in (lists.train, lists.val) for clip in clips if clip.labels)
        of = next((clip for clips in (lists.train, lists.val) for clip in clips if len(clip.labels) > 1), clip)
        names = some([lists.classes[label] for label in of.all_labels])
        raise RecipeError(
            f"[head] multi_label is false, but clips of {root} may have several classes ({of.name}: {names}); "
            "set it to true."
        )
    clips = chain(lists.train, lists.val)
    first = set(next(clips).all_labels)
    if all(set(clip.all_labels) == first for clip in clips):
        names = some([lists.classes[label] for label in sorted(first)])
        raise DataError(f"every clip of {root} has the same classes ({names}); there is nothing to tell apart.")


def require_class_count(classes: Sequence[str], num_classes: int | None, source: str) -> None:
    """DataError when [head] num_classes is a number and not the number of classes found."""
    if num_classes is not None and num_classes != len(classes):
        raise DataError(
            f"{source} has {len(classes)} classes, but [head] num_classes is {num_classes}; "
            f'set head.num_classes = {len(classes)} or "auto".',
            code="num_classes",
        )


def numbered_classes(given: tuple[str, ...], num_classes: int | None, highest: int) -> tuple[str, ...]:
    """The classes of a list that has ids only: the given names ([dataset] classes), and numbers for ids beyond them."""
    if num_classes is not None and len(given) > num_classes:
        raise DataError(
            f"[dataset] classes names {len(given)} classes, but [head] num_classes is {num_classes}; "
            f'set head.num_classes = {len(given)} or "auto".',
            code="num_classes",
        )
    count = num_classes or len(given) or min(highest + 1, MOST_CLASSES)
    return given + tuple(str(label) for label in range(len(given), count))


def require_labels_inside(
    listed: Sequence[Entry], source: Path, classes: int, first: int, first_label: int = 0
) -> None:
    """DataError when an id is not below the number of classes. first: the lowest id of all lists. first_label: what was
    subtracted from the ids that the list has."""
    for _, label, line in listed:
        if label >= classes:
            hint = f"; {COUNTS_FROM_1}" if first == 1 else ""
            known = f"{first_label}..{classes - 1 + first_label}"
            raise DataError(
                f"label {label + first_label} in {source}:{line} is outside the {counted(classes, 'class', 'classes')} "
                f"({known}); correct the label, or [head] num_classes and [dataset] classes{hint}.",
                code="one_based_labels" if first == 1 and label == classes else "label_range",
            )


def base_note(first: int, source: Path) -> tuple[str, ...]:
    """The sentence on a list whose lowest id is 1."""
    if first != 1:
        return ()
    return (Note(f"The lowest label in {source} is 1, and labels count from 0; {COUNTS_FROM_1}.", "one_based_labels"),)


def named_classes(
    train: Sequence[NamedEntry], val: Sequence[NamedEntry], sources: tuple[Path, Path], given: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes of lists that have names, and each listed label's id.

    The order is that of `given` ([dataset] classes) where there are any, else the training list's names, sorted. Copies
    write one name with spaces or with underscores, with straight or with curly quotes: these are one class.
    DataError when a label is not among the classes.
    """
    spelling: dict[str, str] = {}
    for name in given or sorted({label for _, label, _ in train}):
        spelling.setdefault(_alike(name), normal(name))
    classes = tuple(spelling.values()) if given else tuple(sorted(spelling.values()))
    place = {name: number for number, name in enumerate(classes)}
    ids: dict[str, int] = {}
    for listed, source in ((train, sources[0]), (val, sources[1])):
        for _, label, line in listed:
            if label in ids:
                continue
            if _alike(label) not in spelling:
                among = "the names in [dataset] classes" if given else f"the classes in {sources[0]}"
                raise DataError(
                    f'{source}:{line}: "{label}" is none of {among}; correct the label, or name all classes in '
                    "[dataset] classes."
                )
            ids[label] = place[spelling[_alike(label)]]
    return classes, ids


def _alike(name: str) -> str:
    """What the spellings of one class name have in common."""
    return " ".join(normal(name).replace("\u2019", "'").replace("_", " ").replace('"', "").split())
