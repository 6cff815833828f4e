"""CSN, channel-separated networks (Tran et al. 2019, https://arxiv.org/abs/1904.02811), as MMAction2 builds them.

A 3D ResNet whose 3x3x3 convolutions are depthwise: channels mix in 1x1x1 convolutions only. In the interaction-reduced
network (ir) those of the bottleneck do it; the interaction-preserved one (ip) adds one in front of the depthwise one.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.model.resnet3d import BLOCKS, Bottleneck, Layout, ResNet3d, Triple, depth_of

CSN = Layout(stem_frames=3, strides=(1, 2, 2, 2), norm=partial(nn.BatchNorm3d, eps=1e-3))


class SeparatedBottleneck(Bottleneck):
    """1x1x1, 3x3x3 depthwise (ip: 1x1x1 before it), 1x1x1."""

    preserves = False  # whether channels interact in front of the depthwise convolution

    def __init__(self, in_channels: int, width: int, stride: Triple, inflate: bool, caffe: bool, layout: Layout):
        super().__init__(in_channels, width, stride, inflate=False, caffe=caffe, layout=layout)
        depthwise = nn.Conv3d(width, width, 3, (1, 1, 1) if caffe else stride, padding=1, groups=width, bias=False)
        convolutions = [layout.conv(width, width, (1, 1, 1))] if self.preserves else []
        parts = [OrderedDict(conv=conv, bn=layout.norm(width)) for conv in (*convolutions, depthwise)]
        self.conv2 = nn.Sequential(*map(nn.Sequential, parts))
        self.bn2 = nn.Identity()  # each convolution has its own


class PreservingBottleneck(SeparatedBottleneck):
    """The ip block."""

    preserves = True


def csn(model: recipe.Model, frame_size: int) -> nn.Module:
    """The backbone of CSN: ir-resnet152, ip-resnet152, or those of 50 and 101 layers."""
    kind, _, resnet = model.backbone.partition("-")
    names = [f"{kind}-resnet{depth}" for kind in ("ir", "ip") for depth in BLOCKS if depth >= 50]
    if model.backbone not in names:
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for csn, which takes {", ".join(names)}.')
    depth = depth_of(model.model_copy(update={"backbone": resnet}))
    block = PreservingBottleneck if kind == "ip" else SeparatedBottleneck
    return ResNet3d(depth, CSN, caffe=model.style == "caffe", block=block)
