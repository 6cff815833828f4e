"""Non-local blocks (Wang et al. 2017, https://arxiv.org/abs/1711.07971) as MMAction2 puts them into ResNets.

Behind every other block of layer2 and layer3, each place of the feature map, in all frames, takes in what stands at all
other places, weighed by how alike they are. A new block adds nothing yet: it can be put into a trained network.
"""

from __future__ import annotations

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError

_STAGES = ("layer2", "layer3")


class NonLocal(nn.Module):
    """x + norm(out(y)), where y is the mean of g over all places, weighed by the likeness of theta and phi.

    likeness: "gaussian" compares x itself, the others what theta and phi make of it. A "dot_product" is divided by the
    number of places, the others weigh by a softmax; in front of it "scaled_embedded_gaussian" divides by the square
    root of the width, as transformers do. Places to take in are thinned out to one of 2 x 2 (the maximum).
    """

    def __init__(self, channels: int, likeness: str):
        super().__init__()
        width = channels // 2
        self.embeds, self.is_dot_product = likeness != "gaussian", likeness == "dot_product"
        self.scale = width**-0.5 if likeness == "scaled_embedded_gaussian" else 1.0
        self.g = nn.Conv3d(channels, width, kernel_size=1)
        if self.embeds:
            self.theta = nn.Conv3d(channels, width, kernel_size=1)
            self.phi = nn.Conv3d(channels, width, kernel_size=1)
        self.thin_out = nn.MaxPool3d((1, 2, 2))
        self.out = nn.Conv3d(width, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm3d(channels)
        for conv in self.children():
            if isinstance(conv, nn.Conv3d) and conv.bias is not None:
                nn.init.normal_(conv.weight, std=0.01)
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, T, H, W] → the same shape."""
        theta, phi = (self.theta(x), self.phi(x)) if self.embeds else (x, x)
        theta = theta.flatten(2).transpose(1, 2)  # [B, T*H*W, C']
        phi = self.thin_out(phi).flatten(2)  # [B, C', T*H/2*W/2]
        g = self.thin_out(self.g(x)).flatten(2).transpose(1, 2)  # [B, T*H/2*W/2, C/2]
        likeness = self.scale * (theta @ phi)  # [B, T*H*W, T*H/2*W/2]
        weights = likeness / likeness.shape[-1] if self.is_dot_product else likeness.softmax(dim=-1)
        y = (weights @ g).transpose(1, 2).unflatten(2, x.shape[2:])  # [B, C/2, T, H, W]
        return x + self.norm(self.out(y))


class NonLocalOverSegments(NonLocal):
    """For an image network that sees the frames of a clip one by one."""

    def __init__(self, channels: int, likeness: str, segments: int):
        super().__init__(channels, likeness)
        self.segments = segments

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B*T, C, H, W] → the same shape."""
        clip = x.unflatten(0, (-1, self.segments)).transpose(1, 2)  # [B, C, T, H, W]
        return super().forward(clip).transpose(1, 2).flatten(0, 1)


def insert_non_local(backbone: nn.Module, model: recipe.Model, first: int = 0, over_segments: bool = False) -> None:
    """Put them behind the blocks number first, first + 2, …; `non_local_block` of the block, which keeps its names.

    Raises RecipeError for a network without bottlenecks.
    """
    if model.non_local == "none":
        return
    blocks = [block for stage in _STAGES for block in list(getattr(backbone, stage, ()))[first::2]]
    if not blocks or not all(hasattr(block, "conv3") for block in blocks):
        raise RecipeError(
            f"[model] non_local is for ResNets of bottlenecks, from resnet50 on, not for {model.backbone}."
        )
    for block in blocks:
        channels = block.conv3.out_channels
        if over_segments:
            non_local: NonLocal = NonLocalOverSegments(channels, model.non_local, model.segments)
        else:
            non_local = NonLocal(channels, model.non_local)
        block.add_module("non_local_block", non_local)
        block.register_forward_hook(_then_non_local)


def _then_non_local(block: nn.Module, _given: object, result: torch.Tensor) -> torch.Tensor:
    return block.get_submodule("non_local_block")(result)
