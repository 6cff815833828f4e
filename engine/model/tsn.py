"""TSN, Temporal Segment Networks (Wang et al. 2016, https://arxiv.org/abs/1608.00859).

A few frames, one from each part of the video, go through an image classifier one by one; their features are averaged.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine import recipe
from engine.head import ClassificationHead
from engine.model.backbones import image_stages


class TSN(nn.Module):
    """backbone: [N, 3, H, W] → [N, D]; head: [B, T, D] → [B, num_classes]."""

    def __init__(self, backbone: nn.Module, head: ClassificationHead, model: recipe.Model):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.norm_eval = model.norm_eval

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised RGB frames [B, T, 3, H, W] → logits [B, num_classes]."""
        batch, time = frames.shape[:2]
        features = self.backbone(frames.flatten(0, 1))  # [B*T, D]
        return self.head(features.unflatten(0, (batch, time)))  # [B, num_classes]

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The parts of the backbone from the frames on, the stem first: names of modules and parameters."""
        return tuple(tuple(f"backbone.{name}" for name in stage) for stage in image_stages(self.backbone))

    def train(self, mode: bool = True) -> TSN:
        """With norm_eval, batch normalisation stays in eval mode: small batches would spoil its statistics."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
