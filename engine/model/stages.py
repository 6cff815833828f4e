"""A backbone in the order that frames go through it: what can be frozen, or learn slower, as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from engine.torchvision_schemas import torchvision

Stages = tuple[tuple[str, ...], ...]  # names of modules and parameters; the first is the stem, which sees pixels

# Children that only hold a row of others, in torchvision's models, in ours and in those of transformers and timm.
_ROWS = ("features", "encoder", "layers", "layer", "blocks", "trunk_output", "net", "stages")
_JOINS_WHAT_IT_FOLLOWS = (_NormBase, nn.LayerNorm, nn.GroupNorm)
_JOINS_WHAT_FOLLOWS_IT = (
    torchvision.models.densenet._Transition,
    torchvision.models.swin_transformer.PatchMerging,
    torchvision.models.swin_transformer.PatchMergingV2,
)


def stages_of(backbone: nn.Module) -> Stages:
    """The backbone's own `stages()` where it has one; else a stage for each child that has parameters, in their order.

    A norm joins what it follows, what halves a feature map between two stages the later one, and a parameter outside
    any child (a class token) the stem. So a ResNet has five: conv1 and bn1, then layer1 to layer4.
    """
    if own := getattr(backbone, "stages", None):
        return own()
    loose: list[str] = []
    halving: list[str] = []
    stages: list[list[str]] = []
    for name, part in _parts(backbone):
        if isinstance(part, nn.Parameter):
            loose.append(name)
        elif stages and isinstance(part, _JOINS_WHAT_IT_FOLLOWS):
            stages[-1].append(name)
        elif stages and _halves(part):
            halving.append(name)
        else:
            stages.append([*halving, name])
            halving = []
    stages[0] += loose
    return tuple(map(tuple, stages))


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    """A module's own parameters, then its children that have any; rows of children one by one."""
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter
    for name, child in module.named_children():
        if name in _ROWS or name == getattr(module, "base_model_prefix", None):
            yield from _parts(child, f"{prefix}{name}.")
        elif next(child.parameters(), None) is not None:
            yield prefix + name, child


def _halves(part: nn.Module) -> bool:
    """DenseNet's and Swin's layers between stages, and ConvNeXt's norm with a convolution."""
    if isinstance(part, _JOINS_WHAT_FOLLOWS_IT):
        return True
    return isinstance(part, nn.Sequential) and len(part) == 2 and isinstance(part[0], _JOINS_WHAT_IT_FOLLOWS)
