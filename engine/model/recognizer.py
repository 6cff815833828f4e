"""What all recognizers are: a backbone that turns frames into features, and a head that turns features into scores."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine import recipe
from engine.head import ClassificationHead
from engine.model.stages import Stages, stages_of


class Recognizer(nn.Module):
    """Subclasses say in `forward` how the frames go through the backbone.

    State dict: `backbone.*`, and `head.fc.*` for the last layer, the only one that depends on the number of classes.
    """

    def __init__(self, backbone: nn.Module, head: ClassificationHead, model: recipe.Model):
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.norm_eval = model.norm_eval

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised RGB frames [B, T, 3, H, W] → logits [B, num_classes]."""
        raise TypeError("a Recognizer says in a subclass how it takes frames")

    def train(self, mode: bool = True) -> Recognizer:
        """With norm_eval, batch normalisation stays in eval mode: small batches would spoil its statistics."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def stages(self) -> Stages:
        """The parts of the backbone from the frames on, the stem first: names of modules and parameters.

        Of a ResNet the stem and four stages, of a transformer the embedding and a stage for each block. Every
        parameter of the backbone is in exactly one, the head's are in none.
        """
        return tuple(tuple(f"backbone.{name}" for name in stage) for stage in stages_of(self.backbone))


class ClipRecognizer(Recognizer):
    """A 3D network: it sees the frames of a clip together. backbone: [B, 3, T, H, W] → [B, D]."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised RGB frames [B, T, 3, H, W] → logits [B, num_classes]."""
        return self.head(self.backbone(frames.transpose(1, 2)))
