"""The recognizers, and how a recipe becomes one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.head import build_head
from engine.model.backbones import count_features, image_backbone
from engine.model.c2d import c2d
from engine.model.c3d import c3d
from engine.model.csn import csn
from engine.model.hugging_face import transformers_recognizer
from engine.model.r2plus1d import r2plus1d
from engine.model.recognizer import ClipRecognizer, Recognizer
from engine.model.resnet3d import i3d, slowonly
from engine.model.slowfast import slowfast
from engine.model.timesformer import timesformer
from engine.model.torchvision_video import video_classifier
from engine.model.tsm import TSM
from engine.model.tsn import TSN
from engine.model.vit import videomae
from engine.model.x3d import x3d
from engine.recipe import Recipe

# Those that see frames one by one take image classifiers; the others are 3D networks, each with a backbone of its own.
FRAME_RECOGNIZERS: dict[str, type[TSN]] = {"tsn": TSN, "tsm": TSM}
CLIP_BACKBONES: dict[str, Callable[[recipe.Model, int], nn.Module]] = {
    "c2d": c2d,
    "i3d": i3d,
    "slowonly": slowonly,
    "slowfast": slowfast,
    "r2plus1d": r2plus1d,
    "r3d": video_classifier,
    "mc3": video_classifier,
    "s3d": video_classifier,
    "swin3d": video_classifier,
    "mvit": video_classifier,
    "c3d": c3d,
    "x3d": x3d,
    "csn": csn,
    "timesformer": timesformer,
    "videomae": videomae,
}


def build_model(recipe: Recipe) -> Recognizer:
    """The recognizer of a recipe, randomly initialised.

    Its `forward(frames)` takes normalised float [B, T, C, H, W], T = model.frames, and returns logits
    [B, num_classes]. Its state dict is `backbone.*`, in torchvision's names where it has the network, and `head.fc.*`.
    Raises RecipeError where the backbone is unknown, does not fit the recognizer or cannot take such frames.
    """
    num_classes = recipe.head.num_classes
    if num_classes == "auto":
        raise RecipeError(
            '[head] num_classes is "auto", which only a dataset can tell; give a number to build a model.'
        )
    model, size = recipe.model, recipe.dataset.frame_size
    if model.recognizer == "transformers":
        return transformers_recognizer(recipe, num_classes)
    if model.recognizer in FRAME_RECOGNIZERS:
        backbone, features = image_backbone(model.backbone, size, model.style, model.channels)
        head = build_head(recipe.head, model.recognizer, features, num_classes)
        return FRAME_RECOGNIZERS[model.recognizer](backbone, head, model)
    backbone = CLIP_BACKBONES[model.recognizer](model, size)
    complaint = f"{model.recognizer} with {model.backbone} cannot take {model.frames} frames of {size} x {size}"
    features = count_features(backbone, (3, model.frames, size, size), complaint)
    head = build_head(recipe.head, model.recognizer, features, num_classes)
    return ClipRecognizer(backbone, head, model)


def build_shapes(recipe: Recipe) -> Recognizer:
    """The same without memory for its parameters, on the meta device: to look at names and shapes only."""
    try:
        with torch.device("meta"):
            return build_model(recipe)
    except RuntimeError:  # torchvision's RegNets compute their widths with tensors
        return build_model(recipe)
