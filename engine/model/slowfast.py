"""SlowFast (Feichtenhofer et al. 2018, https://arxiv.org/abs/1812.03982) as MMAction2 builds it.

Two 3D ResNets see one clip: the slow one few of its frames with many channels, the fast one many frames with an eighth
of the channels. After each stage but the last, the fast one's features join the slow one's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.resnet3d import SLOWONLY, Layout, ResNet3d, depth_of
from engine.model.stages import Stages

_CHANNEL_RATIO = 8  # the slow pathway's channels are so many times the fast one's
_STAGES = ("layer1", "layer2", "layer3", "layer4")


class SlowFast(nn.Module):
    """[B, 3, T, H, W] → [B, D_fast + D_slow]."""

    def __init__(self, slow_depth: int, fast_depth: int, model: recipe.Model):
        super().__init__()
        self.slow_interval, self.fast_interval = model.resample_rate, model.resample_rate // model.speed_ratio
        caffe = model.style == "caffe"
        fast = Layout(stem_frames=5, width=64 // _CHANNEL_RATIO)
        expansion = 1 if slow_depth < 50 else 4
        # Channels of the fast pathway behind its stem and behind its first three stages.
        channels = [fast.width, *(fast.width * 2**stage * expansion for stage in range(3))]
        c1, c2, c3, c4 = (2 * count for count in channels)
        self.slow_path = ResNet3d(slow_depth, replace(SLOWONLY, lateral=(c1, c2, c3, c4)), caffe)
        self.fast_path = ResNet3d(fast_depth, fast, caffe)
        for name, count in zip(("conv1", *_STAGES[:3]), channels, strict=True):
            self.slow_path.add_module(f"{name}_lateral", _lateral(count, model))
        self.features = self.fast_path.features + self.slow_path.features

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, D_fast + D_slow]."""
        slow = _stem(self.slow_path, clip[:, :, :: self.slow_interval])  # [B, 64, T/8, H/4, W/4]
        fast = _stem(self.fast_path, clip[:, :, :: self.fast_interval])  # [B, 8, T, H/4, W/4]
        slow = self._joined(slow, fast, "conv1")  # [B, 80, T/8, H/4, W/4]
        for stage in _STAGES:
            slow = self.slow_path.get_submodule(stage)(slow)
            fast = self.fast_path.get_submodule(stage)(fast)
            if stage != _STAGES[-1]:
                slow = self._joined(slow, fast, stage)
        return torch.cat([fast.mean(dim=(2, 3, 4)), slow.mean(dim=(2, 3, 4))], dim=1)

    def _joined(self, slow: torch.Tensor, fast: torch.Tensor, stage: str) -> torch.Tensor:
        """The fast features, their frames thinned out to the slow ones', behind the slow features."""
        lateral = self.slow_path.get_submodule(f"{stage}_lateral")
        return torch.cat([slow, lateral(fast)], dim=1)

    def stages(self) -> Stages:
        """A stage holds both pathways and the lateral convolution behind it."""
        stem = [f"{path}.{name}" for path in ("slow_path", "fast_path") for name in ("conv1", "bn1")]
        return (
            (*stem, "slow_path.conv1_lateral"),
            *((f"slow_path.{name}", f"fast_path.{name}", f"slow_path.{name}_lateral") for name in _STAGES[:3]),
            ("slow_path.layer4", "fast_path.layer4"),
        )


def _stem(path: ResNet3d, clip: torch.Tensor) -> torch.Tensor:
    return path.maxpool(path.relu(path.bn1(path.conv1(clip))))


def _lateral(channels: int, model: recipe.Model) -> nn.Sequential:
    """[B, C, T, H, W] → [B, 2C, T / speed_ratio, H, W]: one convolution over time."""
    kernel, stride = model.lateral_kernel, model.speed_ratio
    conv = nn.Conv3d(channels, 2 * channels, (kernel, 1, 1), (stride, 1, 1), (kernel // 2, 0, 0), bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    parts: list[tuple[str, nn.Module]] = [("conv", conv)]
    if model.lateral_norm:
        parts += [("bn", nn.BatchNorm3d(2 * channels)), ("relu", nn.ReLU(inplace=True))]
    return nn.Sequential(OrderedDict(parts))


def slowfast(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of SlowFast. "resnet101-resnet50": a slow pathway of 101 layers, a fast one of 50."""
    if model.resample_rate % model.speed_ratio:
        raise RecipeError(
            f"[model] resample_rate = {model.resample_rate} must be a multiple of speed_ratio = {model.speed_ratio}: "
            "the slow pathway sees every resample_rate-th frame, the fast one speed_ratio times as many."
        )
    slow, _, fast = model.backbone.partition("-")
    slow_depth, fast_depth = (depth_of(model.model_copy(update={"backbone": name})) for name in (slow, fast or slow))
    if (slow_depth < 50) != (fast_depth < 50):
        raise RecipeError(
            f'[model] backbone = "{model.backbone}": both pathways need blocks of one kind, that of ResNets below 50 '
            "layers or that of the deeper ones."
        )
    return SlowFast(slow_depth, fast_depth, model)
