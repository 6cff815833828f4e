"""X3D (Feichtenhofer 2020, https://arxiv.org/abs/2004.04730) as MMAction2 builds it.

A narrow 3D ResNet: the wide convolution of a bottleneck is depthwise, every other block weighs its channels (squeeze
and excitation), and the time is never halved. X3D-XS, -S and -M are one network for clips of different sizes.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.resnet3d import initialise
from engine.model.stages import Stages

_DEPTH = {"x3d_xs": 2.2, "x3d_s": 2.2, "x3d_m": 2.2, "x3d_l": 5.0}  # times the blocks of the smallest network
_BLOCKS = (1, 2, 5, 3)
_WIDTH = 24
_STAGES = ("layer1", "layer2", "layer3", "layer4")


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what all of them are on average (Hu et al. 2017, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = _rounded(channels / 16)
        self.fc1 = nn.Conv3d(channels, squeezed, kernel_size=1)
        self.fc2 = nn.Conv3d(squeezed, channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → the same shape."""
        mean = x.mean(dim=(2, 3, 4), keepdim=True)
        return x * self.fc2(self.fc1(mean).relu()).sigmoid()


def _rounded(channels: float) -> int:
    """To a multiple of 8, at least 8 and at least 90 % of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class Block(nn.Module):
    """1x1x1 to 2.25 times the channels, 3x3x3 depthwise, 1x1x1 back."""

    def __init__(self, in_channels: int, out_channels: int, halve: bool, weigh: bool):
        super().__init__()
        wide, stride = int(2.25 * out_channels), (1, 2, 2) if halve else (1, 1, 1)
        self.conv1 = nn.Conv3d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(wide)
        self.conv2 = nn.Conv3d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm3d(wide)
        self.se_module = SqueezeExcitation(wide) if weigh else nn.Identity()
        self.conv3 = nn.Conv3d(wide, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out_channels)
        self.downsample = None
        if halve or in_channels != out_channels:
            shortcut = nn.Conv3d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.swish = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → [B, C', T, H', W']."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.swish(self.se_module(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class X3D(nn.Module):
    """[B, 3, T, H, W] → [B, 2048]. The wide layer fc1, MMAction2 has it in the head, is the same for any classes."""

    def __init__(self, depth: float):
        super().__init__()
        self.conv1_s = nn.Conv3d(3, _WIDTH, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv1_t = nn.Conv3d(_WIDTH, _WIDTH, (5, 1, 1), padding=(2, 0, 0), groups=_WIDTH, bias=False)
        self.bn1 = nn.BatchNorm3d(_WIDTH)
        self.relu = nn.ReLU(inplace=True)
        before = _WIDTH
        for stage, name in enumerate(_STAGES):
            channels, blocks = _WIDTH * 2**stage, []
            for number in range(math.ceil(depth * _BLOCKS[stage])):
                blocks.append(Block(before, channels, halve=number == 0, weigh=number % 2 == 0))
                before = channels
            self.add_module(name, nn.Sequential(*blocks))
        wide = int(2.25 * before)
        self.conv5 = nn.Conv3d(before, wide, 1, bias=False)
        self.bn5 = nn.BatchNorm3d(wide)
        self.fc1 = nn.Linear(wide, 2048, bias=False)
        initialise(self)
        nn.init.normal_(self.fc1.weight, std=0.01)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, 2048]."""
        x = self.relu(self.bn1(self.conv1_t(self.conv1_s(clip))))  # [B, 24, T, H/2, W/2]
        for name in _STAGES:
            x = self.get_submodule(name)(x)  # at last [B, 192, T, H/32, W/32]
        x = self.relu(self.bn5(self.conv5(x)))  # [B, 432, T, H/32, W/32]
        return self.relu(self.fc1(x.mean(dim=(2, 3, 4))))

    def stages(self) -> Stages:
        """The stem is two convolutions; the last stage has the layers behind it."""
        return (
            ("conv1_s", "conv1_t", "bn1"),
            *((name,) for name in _STAGES[:3]),
            (_STAGES[3], "conv5", "bn5", "fc1"),
        )


def x3d(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of X3D."""
    if model.backbone not in _DEPTH:
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for x3d, which takes {", ".join(_DEPTH)}.')
    return X3D(_DEPTH[model.backbone])
