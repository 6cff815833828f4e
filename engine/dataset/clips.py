"""The one shape that every dataset format is read into. Torch-free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled video file, folder of frames, or part of either.

    path: absolute, or relative to the working folder. label: index into the class names. group: what must not
    straddle two splits (a UCF101 group, a source video); "" where nothing is known.

    labels: every class of a multi-label clip (`label` is the first of them); () in a single-label dataset.
    start, end: the part of an untrimmed video, in seconds; end 0.0 means to the end of the file.
    first_frame, num_frames: the part of a folder of frames: the number of its first image as the file names count,
    and how many; num_frames 0 means all there are from first_frame on.
    """

    path: str
    label: int
    group: str = ""
    labels: tuple[int, ...] = ()
    start: float = 0.0
    end: float = 0.0
    first_frame: int = 0
    num_frames: int = 0


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
