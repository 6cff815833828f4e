"""TSM, the Temporal Shift Module (Lin et al. 2018, https://arxiv.org/abs/1811.08383).

TSN with one change: in front of the first convolution of every residual block, an eighth of the channels comes from
the next frame and another eighth from the previous one. So frames exchange information, at no cost in parameters.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.head import ClassificationHead
from engine.model.non_local import insert_non_local
from engine.model.tsn import TSN
from engine.torchvision_schemas import torchvision

_STAGES = ("layer1", "layer2", "layer3", "layer4")


class TSM(TSN):
    """A torchvision ResNet or MobileNetV2 whose residual branches see their neighbours in time. Adds no parameters,
    renames none."""

    def __init__(self, backbone: nn.Module, head: ClassificationHead, model: recipe.Model):
        super().__init__(backbone, head, model)
        takes = all(hasattr(backbone, stage) for stage in _STAGES) or isinstance(
            backbone, torchvision.models.MobileNetV2
        )
        if not takes:
            raise RecipeError(
                f'[model] backbone = "{model.backbone}" has no residual stages; tsm takes a ResNet or mobilenet_v2.'
            )
        self.segments = model.segments
        insert_shift(backbone, model.segments, model.shift_div)
        insert_non_local(backbone, model, over_segments=True)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames [B, T, C, H, W], T = segments → logits [B, num_classes]."""
        if frames.shape[1] != self.segments:
            raise ValueError(f"this TSM shifts among {self.segments} frames, but was given {frames.shape[1]}")
        return super().forward(frames)


class ShiftedConv2d(nn.Conv2d):
    """A convolution whose input is shifted in time first."""

    def __init__(self, conv: nn.Conv2d, segments: int, shift_div: int):
        super().__init__(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,  # type: ignore[arg-type]
            conv.dilation, conv.groups, conv.bias is not None, device="meta",  # type: ignore[arg-type]
        )  # fmt: skip
        self.weight, self.bias = conv.weight, conv.bias
        self.segments, self.shift_div = segments, shift_div

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[B*T, C, H, W] → [B*T, C', H', W']."""
        return super().forward(temporal_shift(frames, self.segments, self.shift_div))


def temporal_shift(frames: torch.Tensor, segments: int, shift_div: int) -> torch.Tensor:
    """[B*T, C, H, W] → the same shape: channels [0, fold) from the next frame, [fold, 2*fold) from the previous one,
    zeros beyond the ends; fold = C // shift_div."""
    clips = frames.unflatten(0, (-1, segments))  # [B, T, C, H, W]
    fold = frames.shape[1] // shift_div
    from_next = F.pad(clips[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    from_previous = F.pad(clips[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([from_next, from_previous, clips[:, :, 2 * fold :]], dim=2).flatten(0, 1)


def insert_shift(backbone: nn.Module, segments: int, shift_div: int) -> None:
    """Shift in front of the first convolution of each residual branch (as MMAction2 does).

    Of a ResNet: in every block, or in every other one if it is as deep as 101. Of MobileNetV2: in the blocks that have
    a shortcut, in front of the convolution that widens them.
    """
    if isinstance(backbone, torchvision.models.MobileNetV2):
        for block in backbone.features:
            if getattr(block, "use_res_connect", False):
                block.conv[0][0] = ShiftedConv2d(block.conv[0][0], segments, shift_div)
        return
    stages = [backbone.get_submodule(stage) for stage in _STAGES]
    every = 2 if len(list(stages[2].children())) >= 23 else 1
    for stage in stages:
        for block in list(stage.children())[::every]:
            block.conv1 = ShiftedConv2d(block.get_submodule("conv1"), segments, shift_div)  # type: ignore[arg-type]
