"""Which part of a network each of its tensors belongs to, so that a report of 320 tensors has seven lines."""

from __future__ import annotations

from collections import Counter

from engine.model.recognizer import Recognizer
from engine.model.stages import Stages

STEM, HEAD = "stem", "head"


def parts_of(model: Recognizer) -> dict[str, str]:
    """For each tensor of the state dict the name of its part: "stem", "layer1" to "layer4" of a ResNet, "blocks.0" of a
    transformer, "head"."""
    stages = model.stages()
    module_of = {key: _module(key, stages) for key in model.state_dict()}
    tensors = Counter(module_of.values())
    titles = {name: _title(max(stage, key=tensors.__getitem__)) for stage in stages[1:] for name in stage}
    return {key: HEAD if key.startswith("head.") else titles.get(name, STEM) for key, name in module_of.items()}


def _module(key: str, stages: Stages) -> str:
    """The name in `stages` that a tensor is below, "" where it is below none (a buffer of places)."""
    names = {name for stage in stages for name in stage}
    parents = (key.rsplit(".", depth)[0] for depth in range(key.count(".") + 1))
    return next((name for name in parents if name in names), "")


def _title(module: str) -> str:
    """backbone.slow_path.layer1 → layer1; backbone.blocks.3 → blocks.3."""
    before, _, last = module.rpartition(".")
    return f"{before.rpartition('.')[2]}.{last}" if last.isdecimal() else last
