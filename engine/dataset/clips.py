"""The one shape that every dataset format is read into. Torch-free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled video file.

    path: absolute, or relative to the working folder. label: index into the class names. group: what must not
    straddle two splits (a UCF101 group, a source video); "" where nothing is known.
    """

    path: str
    label: int
    group: str = ""


@dataclass(frozen=True)
class ClipLists:
    """A dataset as read: names and clips, and sentences worth telling (what was missing, how the split was made)."""

    classes: tuple[str, ...]
    train: tuple[Clip, ...]
    val: tuple[Clip, ...]
    notes: tuple[str, ...] = ()

    def counts(self, clips: tuple[Clip, ...]) -> dict[str, int]:
        """Clips a class, by name, in the order of the ids; classes without a clip are 0."""
        seen = Counter(clip.label for clip in clips)
        return {name: seen[label] for label, name in enumerate(self.classes)}
