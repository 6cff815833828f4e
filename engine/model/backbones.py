"""Image classifiers as backbones, the last layer taken off: any of torchvision's or timm's, and a slim one of ours."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from engine.errors import RecipeError
from engine.model.slim_resnet import resnet10_slim
from engine.model.timm_backbone import PREFIX, TimmBackbone
from engine.torchvision_schemas import torchvision

_IMAGENET_CLASSES = 1000
_OURS = {"resnet10_slim": resnet10_slim}
# These two return a tuple while training unless told otherwise.
_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def image_backbone(name: str, frame_size: int, style: str = "pytorch", channels: int = 3) -> tuple[nn.Module, int]:
    """The classifier `name` without its last layer, and how many features it gives an image.

    The module takes [N, channels, frame_size, frame_size] and returns [N, features], pooled as the classifier pools.
    "torchvision.NAME" is the classifier as MMAction2 uses it, which computes something else for some of them;
    "timm.NAME" one of timm, where that is installed.
    style: "caffe" for a ResNet that halves the image in the first convolution of a bottleneck.
    """
    complaint = f"[dataset] frame_size = {frame_size} does not suit the backbone {name}; the usual size is 224"
    if name.startswith(PREFIX):
        if style == "caffe":
            raise RecipeError(f'[model] style = "caffe" is for ResNets of torchvision; {name} is of timm.')
        of_timm = TimmBackbone(name.removeprefix(PREFIX), frame_size, channels)
        return of_timm, count_features(of_timm, (channels, frame_size, frame_size), complaint)
    as_mmaction2_does = name.startswith("torchvision.")
    plain = name.removeprefix("torchvision.")
    if plain not in backbone_names():
        close = difflib.get_close_matches(plain, backbone_names(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see torchvision's list of classification models."
        raise RecipeError(f'[model] backbone = "{name}" is not an image classifier of torchvision; {hint}')
    if plain in _OURS:
        classifier = _OURS[plain]()
    else:
        classifier = torchvision.models.get_model(plain, weights=None, **_OPTIONS.get(plain, {}))
    if as_mmaction2_does and hasattr(classifier, "features"):
        backbone: nn.Module = FeaturesOnly(classifier)
    elif as_mmaction2_does and isinstance(classifier, torchvision.models.MaxVit):
        backbone = classifier
        backbone.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        backbone = _without_last_layer(classifier)
    if style == "caffe":
        halve_in_first_convolution(backbone, name)
    if channels != 3:
        _take_channels(backbone, channels)
    return backbone, count_features(backbone, (channels, frame_size, frame_size), complaint)


def backbone_names() -> list[str]:
    """All that `model.backbone` can name, but for "torchvision." in front of them."""
    return [*torchvision.models.list_models(module=torchvision.models), *_OURS]


def _without_last_layer(classifier: nn.Module) -> nn.Module:
    """Replace the layer that gives the 1000 ImageNet scores: the last linear one, or SqueezeNet's last convolution.
    Dropout in front of it goes too: the head has its own."""
    path, _ = [
        (path, layer)
        for path, layer in classifier.named_modules()
        if getattr(layer, "out_features", getattr(layer, "out_channels", None)) == _IMAGENET_CLASSES
    ][-1]
    parent, _, child = path.rpartition(".")
    siblings = classifier.get_submodule(parent)
    names = [name for name, _ in siblings.named_children()]
    before = names[max(names.index(child) - 1, 0)]
    setattr(siblings, child, nn.Identity())
    if isinstance(siblings.get_submodule(before), nn.Dropout):
        setattr(siblings, before, nn.Identity())
    return classifier


class FeaturesOnly(nn.Module):
    """What MMAction2 takes of a torchvision classifier that has `features`: these, averaged over the image.

    So a DenseNet has no ReLU and a Swin no norm behind them, and none of the hidden layers of a VGG or MobileNetV3.
    """

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.features = classifier.get_submodule("features")
        self.channels_last = isinstance(classifier, torchvision.models.SwinTransformer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] → [N, D]."""
        return self.features(image).mean(dim=(1, 2) if self.channels_last else (2, 3))


def _take_channels(backbone: nn.Module, channels: int) -> None:
    """Replace the first convolution by one for so many channels, initialised as torchvision's ResNets are."""
    path, first = next((path, layer) for path, layer in backbone.named_modules() if isinstance(layer, nn.Conv2d))
    conv = nn.Conv2d(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
        first.dilation, first.groups, first.bias is not None,  # type: ignore[arg-type]
    )  # fmt: skip
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    parent, _, child = path.rpartition(".")
    setattr(backbone.get_submodule(parent), child, conv)


def halve_in_first_convolution(resnet: nn.Module, name: str) -> None:
    """The ResNets of Caffe halve the image in conv1 (1x1) of a bottleneck, PyTorch's in conv2 (3x3). The same tensors,
    other numbers."""
    if not isinstance(resnet, torchvision.models.ResNet):
        raise RecipeError(f'[model] style = "caffe" is for ResNets; the backbone {name} is none.')
    for block in resnet.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def count_features(backbone: nn.Module, example: tuple[int, ...], complaint: str) -> int:
    """Pass a batch without memory (on torch's meta device) through: learns the width, and whether its shape fits.

    Raises RecipeError where it does not: `complaint`, which says what the shape is of, and torch's reason.
    """
    everything = [*backbone.named_parameters(), *backbone.named_buffers()]  # also buffers that are not saved
    without_memory = {key: value.to("meta") for key, value in everything}
    batch = torch.empty(1, *example, device="meta")
    try:
        return functional_call(backbone.eval(), without_memory, (batch,)).shape[1]
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(f"{complaint} ({reason.rstrip('.!')}).") from None
    finally:
        backbone.train()
