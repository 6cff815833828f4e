"""3D ResNets: SlowOnly (Feichtenhofer et al. 2018, https://arxiv.org/abs/1812.03982) and I3D (Carreira and Zisserman
2017, https://arxiv.org/abs/1705.07750) as MMAction2 builds them.

An image ResNet whose kernels also reach over time: a stem of so many frames, and in some blocks a first convolution of
3x1x1 (time, height, width). Tensors are called as in torchvision's ResNets, so that image weights find their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.non_local import insert_non_local

Triple = tuple[int, int, int]  # time, height, width
MakeConv = Callable[..., nn.Module]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _conv3d(in_channels: int, out_channels: int, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Conv3d:
    padding = tuple(side // 2 for side in kernel)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Layout:
    """What makes one 3D ResNet another.

    inflate: for each stage, which blocks reach over time; a pattern is repeated as often as there are blocks.
    lateral: for each stage, channels that enter it beside those of the stage before (SlowFast).
    """

    stem_frames: int = 1
    stem_stride: int = 1  # in time, like all below
    pool1_stride: int = 1
    pool2: bool = False  # a max pool over two frames after layer1
    strides: tuple[int, int, int, int] = (1, 1, 1, 1)
    inflate: tuple[tuple[bool, ...], ...] = ((True,),) * 4
    width: int = 64  # channels of the stem
    lateral: tuple[int, int, int, int] = (0, 0, 0, 0)
    conv: MakeConv = _conv3d
    norm: Callable[[int], nn.Module] = nn.BatchNorm3d


SLOWONLY = Layout(inflate=((False,), (False,), (True,), (True,)))
# Every other block reaches over time; as https://github.com/facebookresearch/video-nonlocal-net has it.
I3D = Layout(
    stem_frames=5,
    stem_stride=2,
    pool1_stride=2,
    pool2=True,
    inflate=((True,), (True, False), (True, False), (False, True)),
)
# MMAction2's heavy I3D: all blocks do, and only pool2 halves the time.
I3D_HEAVY = Layout(stem_frames=5, pool2=True)
# PySlowFast's and PyTorchVideo's, for 8 frames: likewise only pool2 does (configs/Kinetics/I3D_8x8_R50.yaml).
I3D_8X8 = replace(I3D, stem_stride=1, pool1_stride=1)


class BasicBlock(nn.Module):
    """Two convolutions of 3x3x3, or 1x3x3 where the block does not reach over time."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: Triple, inflate: bool, caffe: bool, layout: Layout):
        super().__init__()
        kernel = (3 if inflate else 1, 3, 3)
        self.conv1 = layout.conv(in_channels, width, kernel, stride)
        self.bn1 = layout.norm(width)
        self.conv2 = layout.conv(width, width, kernel)
        self.bn2 = layout.norm(width)
        self.downsample = _downsample(in_channels, width, stride, layout)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → [B, width, T', H', W']."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1x1 (3x1x1 where the block reaches over time), 1x3x3, 1x1x1."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: Triple, inflate: bool, caffe: bool, layout: Layout):
        super().__init__()
        first, second = (stride, (1, 1, 1)) if caffe else ((1, 1, 1), stride)
        self.conv1 = layout.conv(in_channels, width, (3 if inflate else 1, 1, 1), first)
        self.bn1 = layout.norm(width)
        self.conv2 = layout.conv(width, width, (1, 3, 3), second)
        self.bn2 = layout.norm(width)
        self.conv3 = layout.conv(width, width * self.expansion, (1, 1, 1))
        self.bn3 = layout.norm(width * self.expansion)
        self.downsample = _downsample(in_channels, width * self.expansion, stride, layout)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → [B, 4 * width, T', H', W']."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


def _downsample(in_channels: int, out_channels: int, stride: Triple, layout: Layout) -> nn.Sequential | None:
    """The shortcut of a block that changes the shape; MMAction2 looks at height and width only."""
    if stride[1] == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(layout.conv(in_channels, out_channels, (1, 1, 1), stride), layout.norm(out_channels))


class ResNet3d(nn.Module):
    """Stem, four stages, the average over time and space."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, depth: int, layout: Layout, caffe: bool = False, block: Any = None):
        """caffe: a bottleneck halves height and width in its first convolution, not in the 3x3 one."""
        super().__init__()
        width = layout.width
        self.conv1 = layout.conv(3, width, (layout.stem_frames, 7, 7), (layout.stem_stride, 2, 2))
        self.bn1 = layout.norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.MaxPool3d((1, 3, 3), (layout.pool1_stride, 2, 2), padding=(0, 1, 1))
        self.pool2 = nn.MaxPool3d((2, 1, 1)) if layout.pool2 else nn.Identity()
        kind = block or (BasicBlock if depth < 50 else Bottleneck)
        channels = width
        for stage, count in enumerate(BLOCKS[depth]):
            blocks: list[nn.Module] = []
            for number, inflate in enumerate(islice(cycle(layout.inflate[stage]), count)):
                halve = 2 if stage > 0 and number == 0 else 1
                stride = (layout.strides[stage] if number == 0 else 1, halve, halve)
                entering = channels + layout.lateral[stage] if number == 0 else channels
                blocks.append(kind(entering, width * 2**stage, stride, inflate, caffe, layout))
                channels = width * 2**stage * kind.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.features = channels
        initialise(self)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """[B, 3, T, H, W] → [B, D]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(clip))))  # [B, 64, T', H/4, W/4]
        x = self.pool2(self.layer1(x))  # [B, 256, T'', H/4, W/4]
        x = self.layer2(x)  # [B, 512, T'', H/8, W/8]
        x = self.layer3(x)  # [B, 1024, T'', H/16, W/16]
        x = self.layer4(x)  # [B, 2048, T'', H/32, W/32]
        return x.mean(dim=(2, 3, 4))


def slowonly(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of SlowOnly: the slow pathway of SlowFast alone. It never halves the time."""
    network = ResNet3d(depth_of(model), SLOWONLY, caffe=model.style == "caffe")
    if not model.stem_pool:
        network.maxpool = nn.Identity()
    insert_non_local(network, model)
    return network


def i3d(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of I3D; resnet50-heavy is the one whose blocks all reach over time, resnet50-8x8 PySlowFast's."""
    resnet, _, kind = model.backbone.partition("-")
    layouts = {"": I3D, "heavy": I3D_HEAVY, "8x8": I3D_8X8}
    plain = model.model_copy(update={"backbone": resnet if kind in layouts else model.backbone})
    network = ResNet3d(depth_of(plain), layouts[kind], caffe=model.style == "caffe")
    insert_non_local(network, model, first=1)
    return network


def initialise(network: nn.Module) -> None:
    """As He et al. 2015 for convolutions before a ReLU (https://arxiv.org/abs/1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def depth_of(model: recipe.Model) -> int:
    """ "resnet50" → 50. Raises RecipeError for what is no plain ResNet."""
    depth = model.backbone.removeprefix("resnet")
    if not depth.isdigit() or int(depth) not in BLOCKS:
        names = ", ".join(f"resnet{depth}" for depth in BLOCKS)
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for {model.recognizer}, which takes {names}.')
    return int(depth)
