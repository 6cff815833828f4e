"""`python -m engine.dataset.views`: shows clips as the model will see them, one after the other.

`engine/dataset/contact_sheet.py` asks, a JSON line a clip on stdin. An answer is a JSON line on stdout and then the
pixels. Frames, crop and mirroring are those of training, by the same code and the same random numbers: asked for epoch
3, it is what epoch 3 of a run with this recipe shows the model. It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import torch

from engine.dataset.clips import ClipTable
from engine.dataset.contact_sheet import Row, Wish
from engine.dataset.formats import read_dataset
from engine.dataset.loader import ClipDataset, TrainingClips, ValidationClips, View
from engine.dataset.mirror import decided_by_data
from engine.errors import FtwizError
from engine.recipe import Recipe


class Clips:
    """The clips of one split as training or validation shows them, by class."""

    def __init__(self, recipe: Recipe, split: str):
        """Raises DataError, RecipeError."""
        lists = read_dataset(recipe)
        self.recipe = decided_by_data(recipe, lists)
        self.is_training = split == "train"
        clips = lists.train if self.is_training else lists.val
        self.dataset: ClipDataset = (TrainingClips if self.is_training else ValidationClips)(clips, self.recipe)

    def row(self, wish: Wish) -> Row:
        """One clip."""
        numbers = _numbers_of(self.dataset.clips, wish.label)
        if not len(numbers):
            return Row(f"this class has no {'training' if self.is_training else 'validation'} clip")
        order = np.random.default_rng([self.recipe.run.seed, wish.label]).permutation(len(numbers))
        number = int(numbers[order[wish.take % len(order)]])
        _, view = self.dataset[wish.epoch, number]
        clip = self.dataset.clips[number]
        row = Row(name=clip.name, number=number, seen_as=self._names(clip.all_labels))
        if isinstance(view, str):
            return replace(row, trouble=view)
        mirrored = self.dataset.mirror.images(clip.all_labels)
        return replace(
            row,
            seen_as=self._names(mirrored) if view.mirrored else row.seen_as,
            mirrored=view.mirrored,
            frames=_pictures(view, self.recipe.model.flow_length),
            **self._places(number, view),
        )

    def _names(self, labels: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.recipe.dataset.classes[label] for label in labels)

    def _places(self, number: int, view: View) -> dict[str, Any]:
        """Which frames of how many, and when they are shown."""
        model = self.recipe.model
        step = model.flow_length if model.modality == "flow" else 1
        frames = tuple(view.numbers[::step])
        reader = self.dataset.open(self.dataset.clips[number])
        times = getattr(reader, "times", None)  # a folder of images has none
        seconds = tuple(round(float(time), 3) for time in times()[list(frames)]) if times else ()
        return {"numbers": frames, "num_frames": reader.num_frames, "seconds": seconds}


def _numbers_of(clips: ClipTable, label: int) -> np.ndarray:
    """The clips of a class, in the order of the list."""
    if clips.multi_label:
        return np.array([number for number, clip in enumerate(clips) if label in clip.all_labels], np.int64)
    return np.flatnonzero(np.asarray(clips.columns["label"]) == label)


def _pictures(view: View, flow_length: int) -> np.ndarray:
    """See `Row.frames`."""
    frames = view.frames
    if frames.shape[1] == 2:
        first = frames[::flow_length]  # [T, 2, H, W]
        frames = torch.cat([first[:, :1], first[:, 1:]], dim=-1).expand(-1, 3, -1, -1)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())


@lru_cache(maxsize=2)
def _clips(recipe: str, split: str) -> Clips:
    return Clips(Recipe.model_validate_json(recipe), split)


def _answer(question: dict[str, Any]) -> Row:
    recipe = json.dumps(question.pop("recipe"), sort_keys=True)
    wish = Wish(**question)
    try:
        return _clips(recipe, wish.split).row(wish)
    except FtwizError as error:
        return Row(refusal=" ".join(str(error).split()))


def _say(row: Row, answers: BinaryIO) -> None:
    frames = row.frames
    facts = {name: value for name, value in asdict(replace(row, frames=None)).items() if name != "frames"}
    if frames is not None:
        facts["shape"] = frames.shape
    answers.write(json.dumps(facts).encode() + b"\n")
    if frames is not None:
        answers.write(frames.tobytes())
    answers.flush()


def main() -> None:
    """Answer until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    if hasattr(os, "nice"):
        os.nice(5)  # whoever asks is at work on the same machine
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a decoder that prints spoils no answer
    for line in sys.stdin:
        _say(_answer(json.loads(line)), answers)


if __name__ == "__main__":
    main()
