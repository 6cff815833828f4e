"""What the training minimises: cross entropy for one class a clip, binary cross entropy for several."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from engine.recipe import Recipe


class ClipLoss(nn.Module):
    """A loss a clip, so that a batch can be worked through in parts, and classes can count differently."""

    class_weights: torch.Tensor

    def __init__(self, label_smoothing: float, class_weights: torch.Tensor):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", class_weights)  # float [num_classes]

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """logits [B, num_classes]; targets: class ids int64 [B], or shares of the classes float [B, num_classes]
        (mixed clips; with head.multi_label always, 1 for each class of a clip) → [B]."""
        raise TypeError("a ClipLoss says in a subclass what it minimises")


class OneOfTheClasses(ClipLoss):
    """Cross entropy over the softmax: the classes exclude each other."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing, reduction="none")
        if targets.dim() == 1:
            return losses * self.class_weights[targets]
        return losses * (targets @ self.class_weights) / targets.sum(dim=1)


class AnyOfTheClasses(ClipLoss):
    """Binary cross entropy over sigmoids, summed over the classes: minus the log-likelihood of a clip's labels.

    By the sum, a logit's gradient is probability - target, as it is for cross entropy, so one learning rate suits both
    and any number of classes. MMAction2 takes the mean over the classes, and for the 313 of Multi-Moments in Time
    multiplies it by a loss_weight of 160 to make up for that.

    Label smoothing ε makes targets of target * (1 - ε) + ε / num_classes, as MMAction2's BaseHead does.
    """

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[1]
        losses = F.binary_cross_entropy_with_logits(logits, targets, weight=self.class_weights, reduction="none")
        return losses.sum(dim=1)


def build_loss(recipe: Recipe, class_weights: torch.Tensor | None = None) -> ClipLoss:
    """The loss that head.multi_label asks for. class_weights: float [num_classes], what a clip of each class counts;
    None: all the same."""
    if class_weights is None:
        class_weights = torch.ones(int(recipe.head.num_classes))
    kind = AnyOfTheClasses if recipe.head.multi_label else OneOfTheClasses
    return kind(recipe.schedule.label_smoothing, class_weights)
