"""Mixup and CutMix: a clip and its neighbour in the batch become one, and so do their classes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.recipe import Recipe
from engine.torchvision_schemas import torchvision

# (float frames [B, T, C, H, W], targets [B] or [B, num_classes]) → the same, mixed; targets are shares then.
Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def build_mix(recipe: Recipe) -> Mix:
    """torchvision's MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) and CutMix (Yun et al. 2019,
    https://arxiv.org/abs/1905.04899); where both are on, one of them by chance for each batch.

    All frames of a clip are mixed alike. Draws from torch's global generator, whose state is in every checkpoint.
    """
    schedule, classes = recipe.schedule, int(recipe.head.num_classes)
    v2 = torchvision.transforms.v2
    kinds = []
    if schedule.mixup:
        kinds.append(v2.MixUp(alpha=schedule.mixup, num_classes=classes))
    if schedule.cutmix:
        kinds.append(v2.CutMix(alpha=schedule.cutmix, num_classes=classes))
    if not kinds:
        return lambda frames, targets: (frames, targets)
    choose = v2.RandomChoice(kinds)

    def mix(frames: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(frames) < 2:
            return frames, targets  # nobody to mix with
        mixed, shares = choose(torchvision.tv_tensors.Video(frames), targets)
        return mixed.as_subclass(torch.Tensor), shares

    return mix
