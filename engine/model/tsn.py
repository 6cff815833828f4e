"""TSN, Temporal Segment Networks (Wang et al. 2016, https://arxiv.org/abs/1608.00859).

A few frames, one from each part of the video, go through an image classifier one by one; their features are averaged.
"""

from __future__ import annotations

import torch

from engine.model.recognizer import Recognizer


class TSN(Recognizer):
    """backbone: [N, C, H, W] → [N, D]; head: [B, T, D] → [B, num_classes]."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames [B, T, C, H, W] → logits [B, num_classes]."""
        batch, time = frames.shape[:2]
        features = self.backbone(frames.flatten(0, 1))  # [B*T, D]
        return self.head(features.unflatten(0, (batch, time)))  # [B, num_classes]
