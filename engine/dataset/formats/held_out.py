"""Validation clips for a dataset that has none of its own: some of its clips, held out by source and by class."""

from __future__ import annotations

from collections.abc import Sequence

from engine.dataset.clips import Clip, ClipTable, packed
from engine.dataset.formats.groups import regrouped
from engine.dataset.split import split_clips, split_notes
from engine.recipe import Dataset


def hold_out(
    clips: Sequence[Clip], classes: Sequence[str], dataset: Dataset
) -> tuple[ClipTable, ClipTable, tuple[str, ...]]:
    """(train, val, sentences on how it was done), as [dataset] val_fraction, split_seed, groups and group_pattern say.

    Raises DataError where the sources do not fit the clips.
    """
    grouped, notes = regrouped(clips, dataset)
    train, val = map(packed, split_clips(grouped, dataset.val_fraction, dataset.split_seed))
    train.missing = grouped.missing
    return train, val, notes + split_notes(classes, train, val, dataset.val_fraction, dataset.split_seed)
