"""C2D (Wang et al. 2017, https://arxiv.org/abs/1711.07971), the baseline of non-local networks, as MMAction2 builds it.

An image ResNet that sees frame by frame, but for a max pool over pairs of frames after layer1 and an average over time
at the end. Tensors are called as in torchvision's ResNets.
"""

from __future__ import annotations

import torch
from torch import nn

from engine import recipe
from engine.model.backbones import halve_in_first_convolution
from engine.model.resnet3d import BLOCKS, depth_of
from engine.torchvision_schemas import torchvision


class C2D(torchvision.models.ResNet):
    """[B, 3, T, H, W] → [B, D]. padding: of the stem's max pool; MMAction2's has none, torchvision's and PySlowFast's
    has 1."""

    def __init__(self, depth: int, padding: int = 0):
        resnet = torchvision.models.resnet
        super().__init__(resnet.BasicBlock if depth < 50 else resnet.Bottleneck, list(BLOCKS[depth]))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=padding)
        self.pool2 = nn.MaxPool3d((2, 1, 1))
        self.fc = nn.Identity()

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, D]."""
        frames = clip.transpose(1, 2)  # [B, T, 3, H, W]
        x = self.maxpool(self.relu(self.bn1(self.conv1(frames.flatten(0, 1)))))  # [B*T, 64, H/4, W/4]
        x = self.layer1(x).unflatten(0, frames.shape[:2]).transpose(1, 2)  # [B, 256, T, H/4, W/4]
        x = self.pool2(x).transpose(1, 2)  # [B, T/2, 256, H/4, W/4]
        half = x.shape[:2]
        x = self.layer4(self.layer3(self.layer2(x.flatten(0, 1))))  # [B*T/2, 2048, H/32, W/32]
        return x.unflatten(0, half).mean(dim=(1, 3, 4))


def c2d(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of C2D; resnet50-8x8 is PySlowFast's (configs/Kinetics/C2D_8x8_R50.yaml)."""
    plain = model.model_copy(update={"backbone": model.backbone.removesuffix("-8x8")})
    network = C2D(depth_of(plain), padding=int(model.backbone.endswith("-8x8")))
    if model.style == "caffe":
        halve_in_first_convolution(network, model.backbone)
    return network
