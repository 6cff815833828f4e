"""How good predictions are: accuracies where the classes exclude each other, average precisions where they do not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from engine.dataset.clips import Clip, packed
from engine.recipe import Recipe
from engine.torchvision_schemas import torchmetrics


@dataclass(frozen=True)
class Metrics:
    """Over the clips that could be decoded. Accuracies and precisions are shares, 0..1; NaN where there was no clip,
    and where the dataset is of the other kind (one class a clip, or several)."""

    loss: float
    top1: float  # of several classes a clip: how often the likeliest class is one of its own
    top5: float  # top-k, k = min(5, classes)
    mean_class_accuracy: float  # over the classes that have clips
    per_class: list[float]  # accuracy or average precision; NaN where a class has no clip
    confusion: torch.Tensor | None  # int64 [true class, predicted class]; several classes a clip have none
    predictions: list[tuple[int, int, float]]  # (clip number, likeliest class, its probability)
    mean_average_precision: float = math.nan  # over the classes that have clips
    sample_map: float = math.nan  # the average precision of a clip's own ranking of the classes, over the clips
    key_metric: str = "top1"
    probabilities: torch.Tensor | None = None  # several classes a clip: float [predictions, num_classes]

    @property
    def key(self) -> float:
        """What decides which epoch is the best."""
        return float(getattr(self, self.key_metric))

    def most_confused(self, most: int = 5) -> list[tuple[int, int, int]]:
        """(true class, predicted class, clips), the most frequent mistakes first."""
        if self.confusion is None:
            return []
        mistakes = self.confusion.clone().fill_diagonal_(0)
        counts, places = mistakes.flatten().sort(descending=True, stable=True)
        classes = len(mistakes)
        pairs = zip(places[:most].tolist(), counts[:most].tolist(), strict=True)
        return [(place // classes, place % classes, count) for place, count in pairs if count > 0]

    def never_predicted(self, of_clips: int = 3) -> list[int]:
        """Classes that have so many clips or more, and are not what the model said of any clip."""
        if self.confusion is None:
            return []
        never = (self.confusion.sum(dim=0) == 0) & (self.confusion.sum(dim=1) >= of_clips)
        return never.nonzero().flatten().tolist()


# --- while training ---------------------------------------------------------------------------------------------------


def training_accuracy(logits: torch.Tensor, targets: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """Of each clip, what the key metric is the mean of → [B], 0..1.

    logits [B, num_classes]; targets: class ids [B], or shares of the classes [B, num_classes]. Mixed clips are
    recognised by the larger of their shares.
    """
    if multi_label:
        return average_precision(logits, targets > 0)
    best = logits.argmax(dim=1)
    if targets.dim() == 1:
        return best == targets
    return targets.gather(1, best[:, None])[:, 0] == targets.amax(dim=1)


def average_precision(scores: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """Average precision of each row: the mean, over what is relevant, of the precision at its score. Equal scores share
    the last one's rank. NaN where nothing is relevant. scores, relevant: [rows, columns] → [rows].

    Over the classes of each clip, its mean is MMAction2's mmit_mean_average_precision and torchmetrics'
    MultilabelRankingAveragePrecision, which goes through the clips one by one and so is too slow for every step.
    """
    falling, order = scores.nan_to_num().sort(dim=1, descending=True)  # a NaN has no rank, and ends the run elsewhere
    relevant = relevant.gather(1, order)
    rank = torch.searchsorted(-falling, -falling, right=True)  # from 1 on
    precision = relevant.cumsum(dim=1).gather(1, rank - 1) / rank
    return (precision * relevant).sum(dim=1) / relevant.sum(dim=1)


def chance_level(clips: Sequence[Clip], recipe: Recipe) -> float:
    """The key metric of calling the same classes the likeliest for every clip: the commonest ones."""
    seen = packed(clips).label_counts()
    if not recipe.head.multi_label:
        return max(seen.values()) / len(clips)
    common = torch.tensor([[float(seen[label]) for label in range(int(recipe.head.num_classes))]])
    of_classes: dict[tuple[int, ...], float] = {}  # many clips have the same ones
    total = 0.0
    for clip in packed(clips):
        if clip.all_labels not in of_classes:
            relevant = torch.zeros_like(common, dtype=torch.bool)
            relevant[0, list(clip.all_labels)] = True
            of_classes[clip.all_labels] = float(average_precision(common, relevant))
        total += of_classes[clip.all_labels]
    return total / len(clips)


# --- over a whole pass ------------------------------------------------------------------------------------------------


class Tally(ABC):
    """Takes in batch by batch what a model said, and sums it up."""

    def __init__(self, recipe: Recipe, device: torch.device):
        self.classes = int(recipe.head.num_classes)
        self.average_scores = recipe.run.average_clips == "score"
        self.losses: list[torch.Tensor] = []
        self.predictions: list[tuple[int, int, float]] = []

    @abstractmethod
    def add(self, clips: list[int], logits: torch.Tensor, labels: torch.Tensor) -> None:
        """clips: their numbers; logits: float32 [B, views, num_classes]; labels: as in a Batch."""

    @abstractmethod
    def probabilities_of(self, logits: torch.Tensor) -> torch.Tensor:
        """Of each class: the views of each clip taken together, [B, views, num_classes] → [B, num_classes]."""

    @abstractmethod
    def metrics(self) -> Metrics: ...

    def loss(self) -> float:
        return float(torch.cat(self.losses).mean()) if self.losses else math.nan

    def remember(self, clips: list[int], probabilities: torch.Tensor) -> None:
        """The likeliest class of each clip, of [B, num_classes]."""
        probability, predicted = probabilities.max(dim=1)
        self.predictions += zip(clips, predicted.tolist(), probability.tolist(), strict=True)


class OneOfTheClassesTally(Tally):
    """Softmax, accuracies, confusions."""

    def __init__(self, recipe: Recipe, device: torch.device):
        super().__init__(recipe, device)
        of = torchmetrics.classification
        alone: dict[str, Any] = {"sync_on_compute": False}  # each of several processes is given all clips
        top_k = min(5, self.classes)
        self.top1 = of.MulticlassAccuracy(self.classes, average="micro", **alone).to(device)
        self.top5 = of.MulticlassAccuracy(self.classes, top_k=top_k, average="micro", **alone).to(device)
        self.confusion = of.MulticlassConfusionMatrix(self.classes, **alone).to(device)

    def add(self, clips: list[int], logits: torch.Tensor, labels: torch.Tensor) -> None:
        scores = self._log_probabilities(logits)
        self.losses.append(F.nll_loss(scores, labels, reduction="none"))
        for metric in (self.top1, self.top5, self.confusion):
            metric.update(scores, labels)
        self.remember(clips, scores.exp())

    def probabilities_of(self, logits: torch.Tensor) -> torch.Tensor:
        return self._log_probabilities(logits).exp()

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        if self.average_scores:
            return logits.mean(dim=1).log_softmax(dim=1)
        return _log_mean(logits.log_softmax(dim=2))

    def metrics(self) -> Metrics:
        counts = self.confusion.compute().cpu()
        per_class = counts.diag() / counts.sum(dim=1)  # 0/0 is NaN: a class without clips
        return Metrics(
            loss=self.loss(),
            top1=float(self.top1.compute()) if self.losses else math.nan,
            top5=float(self.top5.compute()) if self.losses else math.nan,
            mean_class_accuracy=float(per_class.nanmean()),
            per_class=per_class.tolist(),
            confusion=counts,
            predictions=self.predictions,
        )


class AnyOfTheClassesTally(Tally):
    """Sigmoids and average precisions. Those need all clips at once, which are kept on the CPU."""

    def __init__(self, recipe: Recipe, device: torch.device):
        super().__init__(recipe, device)
        self.probabilities: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []

    def add(self, clips: list[int], logits: torch.Tensor, labels: torch.Tensor) -> None:
        yes, no = self._log_probabilities(logits), self._log_probabilities(-logits)  # [B, num_classes]
        self.losses.append(-(labels * yes + (1 - labels) * no).sum(dim=1))
        probabilities = self._from_logarithms(yes, no)
        self.remember(clips, probabilities)
        self.probabilities.append(probabilities)
        self.labels.append(labels.cpu() > 0)

    def probabilities_of(self, logits: torch.Tensor) -> torch.Tensor:
        return self._from_logarithms(self._log_probabilities(logits), self._log_probabilities(-logits))

    def _from_logarithms(self, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
        """In float32 all that is surer than 1 - 6e-8 would be equal, and a ranking of equals says nothing."""
        return (yes - no).cpu().double().sigmoid()

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of a yes; those of the negative logits are of a no."""
        if self.average_scores:
            return F.logsigmoid(logits.mean(dim=1))
        return _log_mean(F.logsigmoid(logits))

    def metrics(self) -> Metrics:
        nothing = torch.empty(0, self.classes)
        probabilities, labels = torch.cat([nothing, *self.probabilities]), torch.cat([nothing > 0, *self.labels])
        likeliest = labels.gather(1, probabilities.topk(min(5, self.classes), dim=1).indices)
        # torchmetrics calls the precision of a class without clips 0; like MMAction2, we leave such a class out.
        precision = torchmetrics.functional.classification.binary_average_precision
        per_class = [
            float(precision(scores, own.long())) if own.any() else math.nan
            for scores, own in zip(probabilities.T, labels.T, strict=True)
        ]
        return Metrics(
            loss=self.loss(),
            top1=float(likeliest[:, 0].float().mean()),
            top5=float(likeliest.any(dim=1).float().mean()),
            mean_class_accuracy=math.nan,
            per_class=per_class,
            confusion=None,
            predictions=self.predictions,
            mean_average_precision=float(torch.tensor(per_class).nanmean()),
            sample_map=float(average_precision(probabilities, labels).mean()),
            key_metric="sample_map",
            probabilities=probabilities,
        )


def tally_for(recipe: Recipe, device: torch.device) -> Tally:
    """The one that head.multi_label asks for."""
    return (AnyOfTheClassesTally if recipe.head.multi_label else OneOfTheClassesTally)(recipe, device)


def _log_mean(log_probabilities: torch.Tensor) -> torch.Tensor:
    """The logarithm of the views' mean probability: [B, views, num_classes] → [B, num_classes]."""
    return log_probabilities.logsumexp(dim=1) - math.log(log_probabilities.shape[1])
