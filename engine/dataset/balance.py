"""Rare classes that count as much as frequent ones. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.dataset.clips import Clip, packed


def class_weights(clips: Sequence[Clip], num_classes: int) -> np.ndarray:
    """What a clip of each class counts, float64 [num_classes]: all classes together the same, the mean over all clips
    1. A class without clips counts 1."""
    seen = packed(clips).label_counts()
    total = sum(seen.values())
    return np.array([total / (len(seen) * seen[label]) if seen[label] else 1.0 for label in range(num_classes)])


def chances(clips: Sequence[Clip], num_classes: int) -> np.ndarray:
    """The chance of each clip to be drawn, float64 [clips], so that every class is seen equally often."""
    of_class = class_weights(clips, num_classes)
    weights = np.array([of_class[list(clip.all_labels)].mean() for clip in clips])
    return weights / weights.sum()
