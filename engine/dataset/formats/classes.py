"""Class names and ids: names travel between copies of a dataset, ids do not, so names are matched by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from engine.errors import DataError


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


def require_class_count(classes: Sequence[str], num_classes: int | None, source: str) -> None:
    """DataError when [head] num_classes is a number and not the number of classes found."""
    if num_classes is not None and num_classes != len(classes):
        raise DataError(
            f"{source} has {len(classes)} classes, but [head] num_classes is {num_classes}; "
            f'set head.num_classes = {len(classes)} or "auto".'
        )
