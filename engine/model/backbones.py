"""Image classifiers as backbones: any of torchvision's and a slim one of ours, with the last layer taken off."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from engine.errors import RecipeError
from engine.model.slim_resnet import resnet10_slim
from engine.torchvision_schemas import torchvision

_IMAGENET_CLASSES = 1000
_OURS = {"resnet10_slim": resnet10_slim}
# These two return a tuple while training unless told otherwise.
_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
# What torchvision's classifiers call the module that holds all their stages.
_HOLDERS = ("features", "layers", "trunk_output", "blocks")


def image_backbone(name: str, frame_size: int) -> tuple[nn.Module, int]:
    """The classifier `name` without its last layer, and how many features it gives an image.

    The module takes [N, 3, frame_size, frame_size] and returns [N, features], pooled as the classifier itself pools.
    """
    if name not in backbone_names():
        close = difflib.get_close_matches(name, backbone_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see torchvision's list of classification models."
        raise RecipeError(f'[model] backbone = "{name}" is not an image classifier of torchvision; {hint}')
    if name in _OURS:
        classifier = _OURS[name]()
    else:
        classifier = torchvision.models.get_model(name, weights=None, **_OPTIONS.get(name, {}))
    backbone = _without_last_layer(classifier)
    return backbone, _features(name, backbone, frame_size)


def backbone_names() -> list[str]:
    """All that `model.backbone` can name."""
    return [*torchvision.models.list_models(module=torchvision.models), *_OURS]


def image_stages(backbone: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The parts of a backbone from the image on, by the names of their modules and parameters: what sees pixels (the
    stem), then one stage after the other. Of a vision transformer, each block is a stage."""
    if isinstance(backbone, torchvision.models.VisionTransformer):
        blocks = [f"encoder.layers.{name}" for name, _ in backbone.encoder.layers.named_children()]
        return (("class_token", "conv_proj", "encoder.pos_embedding"), *((block,) for block in blocks))
    parts: list[tuple[str, nn.Module]] = []
    for name, child in backbone.named_children():
        inner = [(f"{name}.{own}", part) for own, part in child.named_children()]
        parts += inner if name in _HOLDERS else [(name, child)]
    (stem, _), *others = [part for part in parts if any(True for _ in part[1].parameters())]
    if isinstance(others[0][1], _NormBase):
        return ((stem, others[0][0]), *((name,) for name, _ in others[1:]))
    return ((stem,), *((name,) for name, _ in others))


def _without_last_layer(classifier: nn.Module) -> nn.Module:
    """Replace the layer that gives the 1000 ImageNet scores: the last linear one, or SqueezeNet's last convolution."""
    path, _ = [
        (path, layer)
        for path, layer in classifier.named_modules()
        if getattr(layer, "out_features", getattr(layer, "out_channels", None)) == _IMAGENET_CLASSES
    ][-1]
    parent, _, child = path.rpartition(".")
    setattr(classifier.get_submodule(parent), child, nn.Identity())
    return classifier


def _features(name: str, backbone: nn.Module, frame_size: int) -> int:
    """Pass an image without memory (on torch's meta device) through it: learns the width, and whether the size fits."""
    without_memory = {key: value.to("meta") for key, value in backbone.state_dict().items()}
    image = torch.empty(1, 3, frame_size, frame_size, device="meta")
    try:
        return functional_call(backbone.eval(), without_memory, (image,)).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(
            f"[dataset] frame_size = {frame_size} does not suit the backbone {name} ({reason.rstrip('.!')}); "
            "the usual size is 224."
        ) from None
    finally:
        backbone.train()
