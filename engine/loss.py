"""What the training minimises: cross entropy for one class a clip, binary cross entropy for several."""

from __future__ import annotations

import torch
from torch import nn

from engine.recipe import Recipe


def build_loss(recipe: Recipe, class_weights: torch.Tensor | None = None) -> nn.Module:
    """`loss(logits [B, num_classes], targets)` → the mean over the batch, a scalar.

    targets: int64 class ids [B], or float shares of the classes [B, num_classes] (mixed clips).
    class_weights: float [num_classes], what each class counts; None: all the same.
    """
    return nn.CrossEntropyLoss(weight=class_weights, label_smoothing=recipe.schedule.label_smoothing)
