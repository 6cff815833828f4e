"""C3D (Tran et al. 2014, https://arxiv.org/abs/1412.0767): eight convolutions of 3x3x3 and two linear layers.

It takes 16 frames of 112 x 112 and no others: its first linear layer sees every place of the last feature map.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.resnet3d import initialise
from engine.model.stages import Stages

_STAGES = (("conv1a",), ("conv2a",), ("conv3a", "conv3b"), ("conv4a", "conv4b"), ("conv5a", "conv5b"))
_CHANNELS = (3, 64, 128, 256, 256, 512, 512, 512, 512)


class C3D(nn.Module):
    """[B, 3, 16, 112, 112] → [B, 4096]."""

    def __init__(self) -> None:
        super().__init__()
        names = [name for stage in _STAGES for name in stage]
        for name, (before, after) in zip(names, pairwise(_CHANNELS), strict=True):
            self.add_module(name, nn.Conv3d(before, after, kernel_size=3, padding=1))
        self.pools = nn.ModuleList(
            [nn.MaxPool3d((1, 2, 2)), *(nn.MaxPool3d(2) for _ in range(3)), nn.MaxPool3d(2, padding=(0, 1, 1))]
        )
        self.relu = nn.ReLU(inplace=True)
        self.fc6 = nn.Linear(8192, 4096)
        self.dropout = nn.Dropout(0.5)
        self.fc7 = nn.Linear(4096, 4096)
        initialise(self)
        for layer in (self.fc6, self.fc7):
            nn.init.normal_(layer.weight, std=0.005)
            nn.init.zeros_(layer.bias)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, 16, 112, 112] → [B, 4096]."""
        x = clip
        for names, pool in zip(_STAGES, self.pools, strict=True):
            for name in names:
                x = self.relu(self.get_submodule(name)(x))
            x = pool(x)  # at last [B, 512, 1, 4, 4]
        x = self.dropout(self.relu(self.fc6(x.flatten(1))))
        return self.relu(self.fc7(x))

    def stages(self) -> Stages:
        """What lies between two pools, then the linear layers."""
        return (*_STAGES, ("fc6", "fc7"))


def c3d(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of C3D."""
    if model.backbone != "c3d":
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for c3d, which takes c3d.')
    return C3D()
