"""R(2+1)D (Tran et al. 2017, https://arxiv.org/abs/1711.11248) as MMAction2 builds it. torchvision's r2plus1d_18 has
another stem, other widths and plain shortcuts: its weights do not fit here, nor these there.

A 3D ResNet in which a convolution over the frame and one over time, with a ReLU between them, take the place of every
3D convolution, also in the shortcuts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from engine import recipe
from engine.model.resnet3d import Layout, ResNet3d, Triple, depth_of
from engine.model.torchvision_video import video_classifier


class Conv2Plus1d(nn.Module):
    """A convolution over height and width, then one over time."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple, stride: Triple = (1, 1, 1)):
        super().__init__()
        time, height, width = kernel
        middle = _channels_between(in_channels, out_channels, height, width)
        self.conv_s = nn.Conv3d(
            in_channels, middle, (1, height, width), (1, *stride[1:]), (0, height // 2, width // 2), bias=False
        )
        self.bn_s = nn.BatchNorm3d(middle)
        self.relu = nn.ReLU(inplace=True)
        self.conv_t = nn.Conv3d(middle, out_channels, (time, 1, 1), (stride[0], 1, 1), (time // 2, 0, 0), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → [B, C', T', H', W']."""
        return self.conv_t(self.relu(self.bn_s(self.conv_s(x))))


def _channels_between(in_channels: int, out_channels: int, height: int, width: int) -> int:
    """As many as give the pair the parameters of a 3D convolution over 3 frames (Tran et al. 2017, section 3.5);
    MMAction2 reckons with 3 frames for shorter kernels too."""
    area = height * width
    return int(3 * in_channels * out_channels * area / (in_channels * area + 3 * out_channels))


R2PLUS1D = Layout(
    stem_frames=3,
    strides=(1, 2, 2, 2),
    conv=Conv2Plus1d,
    norm=partial(nn.BatchNorm3d, eps=1e-3),  # bn_s between the two convolutions has 1e-5
)


def r2plus1d(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of R(2+1)D: MMAction2's for the name of a ResNet, torchvision's for r2plus1d_18."""
    if model.backbone == "r2plus1d_18":
        return video_classifier(model, frame_size)
    return ResNet3d(depth_of(model), R2PLUS1D, caffe=model.style == "caffe")
