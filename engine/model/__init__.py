"""The recognizers, and how a recipe becomes one."""

from __future__ import annotations

from torch import nn

from engine.errors import RecipeError
from engine.head import build_head
from engine.model.backbones import image_backbone
from engine.model.tsm import TSM
from engine.model.tsn import TSN
from engine.recipe import Recipe

RECOGNIZERS: dict[str, type[TSN]] = {"tsn": TSN, "tsm": TSM}


def build_model(recipe: Recipe) -> nn.Module:
    """The recognizer of a recipe, randomly initialised.

    Its `forward(frames)` takes normalised float RGB [B, T, C, H, W] and returns logits [B, num_classes]. Its state dict
    is `backbone.*`, in the names of the image classifier it is made of, and `head.fc.*`.
    Raises RecipeError where the backbone is unknown, does not fit the recognizer or cannot take frames of this size.
    """
    num_classes = recipe.head.num_classes
    if num_classes == "auto":
        raise RecipeError(
            '[head] num_classes is "auto", which only a dataset can tell; give a number to build a model.'
        )
    backbone, features = image_backbone(recipe.model.backbone, recipe.dataset.frame_size)
    head = build_head(recipe.head, recipe.model.recognizer, features, num_classes)
    return RECOGNIZERS[recipe.model.recognizer](backbone, head, recipe.model)
