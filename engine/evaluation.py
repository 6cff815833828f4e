"""How good a model is on labelled clips: one pass over them, and a report a person can open."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.atomic import write_text
from engine.dataset.augment import normalise
from engine.dataset.clips import Clip
from engine.dataset.formats.csv_lists import SEPARATOR
from engine.dataset.loader import Batch, Batches, ClipsAtTestTime, ValidationClips
from engine.dataset.mirror import mirror_of, require_mirror_images
from engine.dataset.workers import ClipLoader
from engine.device import autocast
from engine.distributed import ALONE, World
from engine.metrics import Metrics, tally_for
from engine.recipe import Recipe


def evaluate(
    model: nn.Module, clips: Sequence[Clip], recipe: Recipe, test_views: bool = False, workers: int = 0
) -> Metrics:
    """Measure `model` (on the device it is on) on `clips`, as the recipe it was built from says.

    test_views: `run.test_clips` clips (or `run.test_segments` frames) of a video and many crops of each, averaged as
    `run.average_clips` says; else the one centre view that validation during training uses. Clips that cannot be
    decoded are left out.
    """
    device = next(model.parameters()).device
    return measure(model, batches_of(clips, recipe, test_views, workers, device), recipe, device)


def batches_of(
    clips: Sequence[Clip], recipe: Recipe, test_views: bool, workers: int, device: torch.device
) -> Iterable[Batch]:
    """The clips in their order, as `evaluate` shows them to a model on `device`."""
    dataset = (ClipsAtTestTime if test_views else ValidationClips)(clips, recipe)
    asked = recipe.schedule.batch_size
    batch_size = 1 if test_views or asked == "auto" else asked
    return ClipLoader(dataset, Batches(len(clips), batch_size), workers, pin_memory=device.type == "cuda")


def measure(
    model: nn.Module,
    loader: Iterable[Batch],
    recipe: Recipe,
    device: torch.device,
    between_batches: Callable[[Batch], None] = lambda batch: None,
    world: World = ALONE,
) -> Metrics:
    """One pass in eval mode. `between_batches` sees each batch after it was used, and may raise to end the pass.

    world: the processes whose loaders have each a share of every batch; all get the measurements of all clips.
    """
    tally = tally_for(recipe, device)
    with evaluating(model):
        for batch in loader:
            whole = world.whole(batch)
            if whole.clips:
                own = [_measured(model, batch, recipe, device)] if batch.clips else []
                logits, labels = world.joined(own)
                tally.add(whole.clips, logits.to(device), labels.to(device))
            between_batches(whole)
    return tally.metrics()


def _measured(
    model: nn.Module, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [B, views, num_classes] and labels."""
    return logits_of(model, batch.frames.to(device), recipe), batch.labels.to(device)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; the mode it was in comes back, also where the pass was ended early."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def logits_of(model: nn.Module, frames: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """uint8 frames [B, T, 3, H, W], or [B, views, T, 3, H, W] → float32 logits [B, views, num_classes].

    No more views go through the model at once than a training batch has clips: thirty may not fit into memory.
    """
    views = frames if frames.dim() == 6 else frames[:, None]
    portions = views.flatten(0, 1).split(recipe.schedule.batch_size)
    with autocast(frames.device, recipe.run.precision):
        logits = torch.cat([model(normalise(portion, recipe.model)) for portion in portions])
    logits = logits.float().unflatten(0, views.shape[:2])
    has_mirrored_views = frames.dim() == 6 and recipe.run.test_crops == 10
    return _as_seen_in_the_mirror(logits, recipe) if has_mirrored_views else logits


def _as_seen_in_the_mirror(logits: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Of every ten views the last five are mirrored: what looks like a turn to the left there is one to the right.

    [B, views, num_classes] → the same, these views' columns exchanged. Raises RecipeError where a class has no image.
    """
    mirror = mirror_of(recipe.dataset.classes)
    require_mirror_images(mirror)
    if not mirror.pairs:
        return logits
    views = torch.arange(logits.shape[1], device=logits.device)
    image = torch.tensor(mirror.image, device=logits.device)
    return torch.where((views % 10 >= 5)[:, None], logits[..., image], logits)


def write_report(folder: Path, metrics: Metrics, clips: Sequence[Clip], classes: Sequence[str]) -> None:
    """per_class.csv, predictions.csv and, where a clip has one class, confusion.csv, each replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    if metrics.probabilities is not None:
        _report_on_several_classes(folder, metrics, metrics.probabilities, clips, classes)
    elif metrics.confusion is not None:
        _report_on_one_class(folder, metrics, metrics.confusion.tolist(), clips, classes)


def _report_on_one_class(
    folder: Path, metrics: Metrics, confusion: list[list[int]], clips: Sequence[Clip], classes: Sequence[str]
) -> None:
    _write_csv(
        folder / "confusion.csv",
        ["true class", *classes],
        [[name, *row] for name, row in zip(classes, confusion, strict=True)],
    )
    _write_csv(
        folder / "per_class.csv",
        ["class", "clips", "accuracy"],
        [
            [name, sum(row), f"{accuracy:.4f}" if sum(row) else ""]
            for name, row, accuracy in zip(classes, confusion, metrics.per_class, strict=True)
        ],
    )
    _write_csv(
        folder / "predictions.csv",
        ["file", "true class", "predicted class", "probability"],
        [
            [clips[number].name, classes[clips[number].label], classes[predicted], f"{probability:.4f}"]
            for number, predicted, probability in metrics.predictions
        ],
    )


def _report_on_several_classes(
    folder: Path, metrics: Metrics, probabilities: torch.Tensor, clips: Sequence[Clip], classes: Sequence[str]
) -> None:
    measured = [clips[number] for number, _, _ in metrics.predictions]
    of_class = Counter(label for clip in measured for label in clip.all_labels)
    _write_csv(
        folder / "per_class.csv",
        ["class", "clips", "average precision"],
        [
            [name, of_class[label], f"{precision:.4f}" if of_class[label] else ""]
            for label, (name, precision) in enumerate(zip(classes, metrics.per_class, strict=True))
        ],
    )
    _write_csv(
        folder / "predictions.csv",
        ["file", "true classes", "predicted classes", "likeliest class", "probability"],
        [
            [
                clip.name,
                SEPARATOR.join(classes[label] for label in clip.all_labels),
                SEPARATOR.join(classes[label] for label in (said > 0.5).nonzero().flatten().tolist()),
                classes[likeliest],
                f"{probability:.4f}",
            ]
            for clip, said, (_, likeliest, probability) in zip(
                measured, probabilities, metrics.predictions, strict=True
            )
        ],
    )


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
