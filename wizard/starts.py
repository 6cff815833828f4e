"""What can be started from: the rows of the weights table, their presets, and whether a download is here already."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from engine.recipe import Model, Recipe, load_recipe, preset_names
from engine.recognizers import family_of
from engine.weights.published import PUBLISHED, Published
from wizard.words import frames_of

# The two rows of the weights table that are no published checkpoint.
OWN, SCRATCH = "own", "scratch"
# What torchvision calls the files, which only torchvision knows and importing it takes seconds; held by a test.
TORCHVISION_FILES = {"torchvision://resnet50": "resnet50-0676ba61.pth"}


def start_keys(modality: str = "rgb") -> list[str]:
    """The rows of the weights table, in order: the published checkpoints by their preset, then one's own, then none."""
    return [*(published.preset for published in PUBLISHED if published.modality == modality), OWN, SCRATCH]


def start_title(key: str) -> str:
    """What to call a row of the weights table in one line."""
    if published := published_for(key):
        return f"{published.name}, {published.pretrained_on}"
    return {OWN: "a file or an address of yours", SCRATCH: "nothing: train from scratch"}[key]


def published_for(key: str) -> Published | None:
    """The published checkpoint of a row; None for the rows that have none."""
    return next((published for published in PUBLISHED if published.preset == key), None)


def presets_for(modality: str) -> list[str]:
    """The models that weights of one's own, or none, may belong to."""
    return [name for name in preset_names() if preset_recipe(name).model.modality == modality]


def preset_title(name: str) -> str:
    """What to call a preset's model in one line; several presets may share a network."""
    model = preset_recipe(name).model
    published = published_for(name)
    return f"{published.name if published else model_title(model)}, {frames_of(model)} ({name})"


def model_title(model: Model) -> str:
    """TSN ResNet-50, CSN ir-ResNet-152."""
    backbone = re.sub(r"resnet([0-9]+)", r"ResNet-\1", model.backbone)
    return f"{family_of(model)} {backbone.rpartition('/')[2]}"


def checkpoints_folder() -> Path:
    """Where downloads are kept."""
    from engine.weights.fetch import checkpoints_folder  # the first screen does not wait for it

    return checkpoints_folder()


def is_cached(published: Published) -> bool:
    """Whether a published checkpoint is on this disk already, or will have to be downloaded."""
    from engine.weights.hub import cached_weights, hub_source

    if hub := hub_source(published.load_from):
        return cached_weights(hub) is not None
    return (checkpoints_folder() / file_of(published)).is_file()


def file_of(published: Published) -> str:
    """The file name that its download is kept under; of the Hub, the repository's."""
    return TORCHVISION_FILES.get(published.backbone) or published.load_from.rpartition("/")[2]


def nearest_preset(model: Model) -> str:
    """The preset that agrees in most; what differs is then spelt out."""

    def likeness(preset: str) -> tuple[bool, bool, int]:
        other = preset_recipe(preset).model
        agreeing = sum(getattr(model, key) == getattr(other, key) for key in Model.model_fields)
        return model.recognizer == other.recognizer, model.backbone == other.backbone, agreeing

    return max(presets_for(model.modality), key=likeness)


@cache
def preset_recipe(name: str) -> Recipe:
    return load_recipe(name)
