"""Decision 1, the head: from the backbone's features to one score a class.

Only the last layer, `fc`, depends on the number of classes; it is what fine-tuning replaces.
"""

from __future__ import annotations

import torch
from torch import nn

from engine import recipe


class ClassificationHead(nn.Module):
    """Dropout and one linear layer; subclasses say where frames are averaged."""

    def __init__(self, features: int, num_classes: int, dropout: float, init_std: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, num_classes)
        nn.init.normal_(self.fc.weight, std=init_std)
        nn.init.zeros_(self.fc.bias)


class TSNHead(ClassificationHead):
    """Average the frames' features, then classify (MMAction2's TSNHead with AvgConsensus)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, T, D] → logits [B, num_classes]."""
        return self.fc(self.dropout(features.mean(dim=1)))


class TSMHead(ClassificationHead):
    """Classify each frame, then average the scores (MMAction2's TSMHead): dropout hits each frame by itself."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, T, D] → logits [B, num_classes]."""
        return self.fc(self.dropout(features)).mean(dim=1)


class ClipHead(ClassificationHead):
    """Classify the features of a clip, for 3D networks (MMAction2's I3DHead, SlowFastHead, …)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, D] → logits [B, num_classes]."""
        return self.fc(self.dropout(features))


HEADS: dict[str, type[ClassificationHead]] = {"tsn": TSNHead, "tsm": TSMHead}  # of all others: ClipHead


def build_head(head: recipe.Head, recognizer: str, features: int, num_classes: int) -> ClassificationHead:
    """The head of a recognizer whose backbone gives `features` numbers a frame, or a clip."""
    return HEADS.get(recognizer, ClipHead)(features, num_classes, head.dropout, head.init_std)
