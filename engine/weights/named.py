"""torchvision://NAME and timm://NAME: published weights by the name that a library knows them under, as an address."""

from __future__ import annotations

import difflib
import re

from engine.errors import WeightsError

_ENUM = re.compile(r"\w+_Weights(\.\w+)?")  # as torchvision writes it: ResNet50_Weights.IMAGENET1K_V2


def address_of(source: str) -> str:
    """torchvision://NAME → the address of its first published weights (IMAGENET1K_V1, KINETICS400_V1), which the
    recipes that MMAction2 published start from; torchvision://NAME.VERSION → of those, DEFAULT being the best ones; any
    other source is returned as it is. NAME.VERSION may be spelt as torchvision does: ResNet50_Weights.DEFAULT."""
    if _ENUM.fullmatch(source):
        source = f"torchvision://{source}"
    return _in_torchvision(source) if source.startswith("torchvision://") else source


def _in_torchvision(source: str) -> str:
    from engine.torchvision_schemas import torchvision  # a second of imports that other sources do not need

    models = torchvision.models
    name, _, version = source.removeprefix("torchvision://").strip("/").partition(".")
    name = name.lower().removesuffix("_weights")
    known = [*models.list_models(module=models), *models.list_models(module=models.video)]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see torchvision's list of classification models."
        raise WeightsError(f"{source}: torchvision has no image or video classifier of that name; {hint}")
    published = models.get_model_weights(name)
    if not version:
        return next(iter(published)).url
    if version.upper() in published.__members__:  # DEFAULT is among these, an alias
        return published[version.upper()].url
    there = ", ".join(weights.name for weights in published)
    raise WeightsError(f"{source}: there is no {version}; there is {there}.")
