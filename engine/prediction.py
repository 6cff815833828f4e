"""What a trained model says of videos that nobody has labelled: `from engine import predict`.

`python -m engine.prediction RUN_DIR`, a JSON document on stdin (`Wish`), is the process behind `ftwiz predict`. It says
on stdout, a JSON document a line, what it is about to do ({"begun": …}), then of each video what the model makes of it
({"name": …, "probabilities": […]}) or why it makes nothing of it ({"name": …, "reason": …}).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engine.answer import answer, say
from engine.dataset.clips import Clip
from engine.dataset.decode import open_video
from engine.dataset.formats.frames import common_template, images_of
from engine.dataset.reader import DecodeError
from engine.device import choose_device, choose_precision, describe
from engine.errors import DataError, DeviceError
from engine.evaluation import batches_of, evaluating, logits_of
from engine.metrics import tally_for
from engine.recipe import Recipe
from engine.run_folder import RunFolder
from engine.trained import load_trained, moved_to


@dataclass(frozen=True)
class Prediction:
    """name: as `Clip.name`. probabilities: of each class, in the order of the ids; they sum to 1 where a clip has one
    class. reason: why there are none."""

    name: str
    probabilities: tuple[float, ...] = ()
    reason: str = ""


def predict(
    model: nn.Module,
    videos: Iterable[str | Path | Clip],
    recipe: Recipe,
    test_views: bool = True,
    workers: int = 0,
) -> Iterator[Prediction]:
    """What `model` (on the device it is on) says of each video, as the recipe it was built from shows it to the model.

    videos: files, or folders of frames; or Clips, whose labels are of no interest. test_views: as for `evaluate`: the
    frames, clips and crops of [run], spread over the whole video; else the one centre view that validation uses. One
    that does not decode has a reason instead. They come in their order, but those with a reason after their batch.
    """
    clips = [video if isinstance(video, Clip) else whole(os.fspath(video), recipe) for video in videos]
    if not clips:
        return
    device = next(model.parameters()).device
    tally = tally_for(recipe, device)
    for batch in batches_of(clips, recipe, test_views, workers, device):
        if batch.clips:
            with evaluating(model):  # not while the caller has its turn
                found = tally.probabilities_of(logits_of(model, batch.frames.to(device), recipe)).tolist()
            for number, probabilities in zip(batch.clips, found, strict=True):
                yield Prediction(clips[number].name, tuple(probabilities))
        for name, reason in batch.skipped:
            yield Prediction(name, reason=reason)


def whole(path: str, recipe: Recipe) -> Clip:
    """A video, or all frames of a folder, from the number on that they are counted from there."""
    if not os.path.isdir(path):
        return Clip(path, 0)
    flow, template = recipe.model.modality == "flow", recipe.dataset.filename_template
    try:
        images = images_of(path, common_template([path], flow) if template == "auto" else template, flow)
    except DataError:
        images = None  # told when it is opened
    return Clip(path, 0, first_frame=images.first if images else 0)


def parts_of(path: str, every: float) -> list[Clip]:
    """A video in parts of `every` seconds. A rest shorter than half a part belongs to the one before it.

    Raises DecodeError.
    """
    times = open_video(path).times()
    frame = float(times[-1] - times[-2]) if len(times) > 1 else 0.0
    length = float(times[-1]) + frame
    parts = max(1, math.floor(length / every + 0.5))
    return [Clip(path, 0, start=part * every, end=(part + 1) * every if part + 1 < parts else 0.0)
            for part in range(parts)]  # fmt: skip


# --- the process behind `ftwiz predict` -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """checkpoint: best, last, epoch-005; "" for the best there is. every: seconds a part, 0 for whole videos. device:
    as run.device; "" for the run's own, or what there is."""

    videos: list[str]
    checkpoint: str = ""
    test_views: bool = True
    every: float = 0.0
    device: str = ""


def _fulfil(run: RunFolder, wish: Wish) -> None:
    trained = load_trained(run, wish.checkpoint)
    device, precision, note = choose_place(trained.recipe, wish.device)
    trained = moved_to(trained, device, precision)
    clips, unreadable = _clips(wish, trained.recipe)
    recipe = trained.recipe
    say(
        {
            "begun": len(clips) + len(unreadable),
            "checkpoint": trained.checkpoint,
            "epochs_trained": trained.epochs,
            "classes": list(trained.classes),
            "multi_label": recipe.head.multi_label,
            "device": describe(device),
            "segments": (recipe.run.test_segments if wish.test_views else 0) or recipe.model.frames,
            "test_clips": recipe.run.test_clips if wish.test_views else 1,
            "dense": bool(recipe.model.clip_len),
            "crops": recipe.run.test_crops if wish.test_views else 1,
            "note": note,
        }
    )
    for name, reason in unreadable:
        say({"name": name, "reason": reason})
    workers = min(int(recipe.run.workers), len(clips))
    for found in predict(trained.model, clips, recipe, wish.test_views, workers):
        told = {"reason": found.reason} if found.reason else {"probabilities": found.probabilities}
        say({"name": found.name, **told})


def _clips(wish: Wish, recipe: Recipe) -> tuple[list[Clip], list[tuple[str, str]]]:
    """What to look at; and of what cannot be cut into parts, the name and the reason."""
    if not wish.every:
        return [whole(path, recipe) for path in wish.videos], []
    clips: list[Clip] = []
    unreadable = []
    for path in wish.videos:
        try:
            clips += parts_of(path, wish.every)
        except DecodeError as error:
            unreadable.append((path, str(error)))
    return clips, unreadable


def choose_place(recipe: Recipe, asked: str) -> tuple[torch.device, str, str]:
    """Where to compute, in which precision, and a sentence where that is not what the run was trained on.

    Raises DeviceError for an asked device that is not there.
    """
    note = ""
    try:
        device = choose_device(asked or recipe.run.device)
    except DeviceError:
        if asked:
            raise
        device = choose_device("auto")
        note = f"The run was trained on {recipe.run.device}, which is not here: this is computed on {describe(device)}."
    is_the_same = device.type == torch.device(recipe.run.device).type if recipe.run.device != "auto" else False
    return device, choose_precision(recipe.run.precision if is_the_same else "auto", device), note


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict, and say so on stdout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.prediction", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run folder with a checkpoint in it")
    run = RunFolder(parser.parse_args(arguments).run_dir)
    return answer(lambda: _fulfil(run, Wish(**json.load(sys.stdin))))


if __name__ == "__main__":
    sys.exit(main())
