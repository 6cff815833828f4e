"""How good a model is on labelled clips: loss, accuracies, confusions, and a report a person can open."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from engine.atomic import write_text
from engine.dataset.augment import normalise
from engine.dataset.clips import Clip
from engine.dataset.loader import Batch, Batches, ClipsAtTestTime, ValidationClips
from engine.dataset.mirror import mirror_of, require_mirror_images
from engine.dataset.workers import ClipLoader
from engine.device import autocast
from engine.recipe import Recipe
from engine.torchvision_schemas import torchmetrics


@dataclass(frozen=True)
class Metrics:
    """Over the clips that could be decoded. Accuracies are shares, 0..1; NaN where there was no clip."""

    loss: float
    top1: float
    top5: float  # top-k, k = min(5, classes)
    mean_class_accuracy: float  # over the classes that have clips
    per_class: list[float]  # NaN where a class has no clip
    confusion: torch.Tensor  # int64 [true class, predicted class]
    predictions: list[tuple[int, int, float]]  # (clip number, predicted class, its probability)

    def most_confused(self, most: int = 5) -> list[tuple[int, int, int]]:
        """(true class, predicted class, clips), the most frequent mistakes first."""
        mistakes = self.confusion.clone().fill_diagonal_(0)
        counts, places = mistakes.flatten().sort(descending=True, stable=True)
        classes = len(mistakes)
        pairs = zip(places[:most].tolist(), counts[:most].tolist(), strict=True)
        return [(place // classes, place % classes, count) for place, count in pairs if count > 0]


def evaluate(
    model: nn.Module, clips: Sequence[Clip], recipe: Recipe, test_views: bool = False, workers: int = 0
) -> Metrics:
    """Measure `model` (on the device it is on) on `clips`, as the recipe it was built from says.

    test_views: `run.test_clips` clips (or `run.test_segments` frames) of a video and many crops of each, averaged as
    `run.average_clips` says; else the one centre view that validation during training uses. Clips that cannot be
    decoded are left out.
    """
    dataset = (ClipsAtTestTime if test_views else ValidationClips)(clips, recipe)
    asked = recipe.schedule.batch_size
    batch_size = 1 if test_views or asked == "auto" else asked
    device = next(model.parameters()).device
    loader = ClipLoader(dataset, Batches(len(clips), batch_size), workers, pin_memory=device.type == "cuda")
    return measure(model, loader, recipe, device)


def measure(
    model: nn.Module,
    loader: Iterable[Batch],
    recipe: Recipe,
    device: torch.device,
    between_batches: Callable[[Batch], None] = lambda batch: None,
) -> Metrics:
    """One pass in eval mode. `between_batches` sees each batch after it was used, and may raise to end the pass."""
    classes = int(recipe.head.num_classes)
    metrics = torchmetrics.classification
    top1 = metrics.MulticlassAccuracy(classes, average="micro").to(device)
    top5 = metrics.MulticlassAccuracy(classes, top_k=min(5, classes), average="micro").to(device)
    confusion = metrics.MulticlassConfusionMatrix(classes).to(device)
    losses: list[torch.Tensor] = []
    predictions: list[tuple[int, int, float]] = []
    with _evaluating(model):
        for batch in loader:
            if len(batch.labels):
                labels = batch.labels.to(device)  # [B]
                scores = _scores(model, batch.frames.to(device), recipe)  # log-probabilities [B, num_classes]
                losses.append(F.nll_loss(scores, labels, reduction="none"))
                top1.update(scores, labels)
                top5.update(scores, labels)
                confusion.update(scores, labels)
                probability, predicted = scores.exp().max(dim=1)
                predictions += zip(batch.clips, predicted.tolist(), probability.tolist(), strict=True)
            between_batches(batch)
    counts = confusion.compute().cpu()
    per_class = counts.diag() / counts.sum(dim=1)  # 0/0 is NaN: a class without clips
    return Metrics(
        loss=float(torch.cat(losses).mean()) if losses else float("nan"),
        top1=float(top1.compute()) if losses else float("nan"),
        top5=float(top5.compute()) if losses else float("nan"),
        mean_class_accuracy=float(per_class.nanmean()),
        per_class=per_class.tolist(),
        confusion=counts,
        predictions=predictions,
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients; the mode it was in comes back, also where the pass was ended early."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _scores(model: nn.Module, frames: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """uint8 frames [B, T, 3, H, W], or [B, views, T, 3, H, W] → log-probabilities [B, num_classes].

    No more views go through the model at once than a training batch has clips: thirty may not fit into memory.
    """
    views = frames if frames.dim() == 6 else frames[:, None]
    portions = views.flatten(0, 1).split(recipe.schedule.batch_size)
    with autocast(frames.device, recipe.run.precision):
        logits = torch.cat([model(normalise(portion, recipe.model)) for portion in portions])
    logits = logits.float().unflatten(0, views.shape[:2])  # [B, views, num_classes]
    if recipe.run.test_crops == 10 and frames.dim() == 6:
        logits = _as_seen_in_the_mirror(logits, recipe)
    if recipe.run.average_clips == "score":
        return logits.mean(dim=1).log_softmax(dim=1)
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(views.shape[1])  # log of the mean probability


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
    """confusion.csv, per_class.csv and predictions.csv, each replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = metrics.confusion.tolist()
    _write_csv(
        folder / "confusion.csv",
        ["true class", *classes],
        [[name, *row] for name, row in zip(classes, counts, strict=True)],
    )
    _write_csv(
        folder / "per_class.csv",
        ["class", "clips", "accuracy"],
        [
            [name, sum(row), f"{accuracy:.4f}" if sum(row) else ""]
            for name, row, accuracy in zip(classes, counts, metrics.per_class, strict=True)
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


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
