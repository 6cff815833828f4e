"""torchvision://NAME and timm://NAME: published weights by the name that a library knows them under, as an address."""

from __future__ import annotations

import difflib
import re

from engine.errors import RecipeError, WeightsError
from engine.model.timm_backbone import PREFIX, imported
from engine.recipe import spelt_out


def address_of(source: str) -> str:
    """torchvision://NAME → the address of its first published weights (IMAGENET1K_V1, KINETICS400_V1), which the
    recipes that MMAction2 published start from; torchvision://NAME.VERSION, or ResNet50_Weights.IMAGENET1K_V2 as
    torchvision spells it → of those, DEFAULT being the best ones; timm://NAME → its place on the Hugging Face Hub. Any
    other source is returned as it is. Raises WeightsError where there are no such weights."""
    source = spelt_out(source)
    if source.startswith("timm://"):
        return _in_timm(source)
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


def _in_timm(source: str) -> str:
    """timm knows which of several published weights a bare NAME means; NAME.TAG says it, and needs no timm."""
    name = source.removeprefix("timm://").strip("/").removeprefix(PREFIX)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise WeightsError(f'"{source}" names no weights of timm: write timm://NAME or timm://NAME.TAG.')
    if "." in name:
        return f"hf://timm/{name}"
    try:
        timm = imported(f"{source} (without a tag, as in {source}.a1_in1k)")
    except RecipeError as error:
        raise WeightsError(str(error)) from None
    published = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if published is None or not (published.hf_hub_id or published.url):
        close = difflib.get_close_matches(name, timm.list_models(pretrained=True), n=1)
        hint = f"did you mean timm://{close[0]}?" if close else "timm.list_pretrained() lists them."
        raise WeightsError(f"{source}: timm {timm.__version__} has no weights of that name; {hint}")
    if published.hf_hub_id:
        file = f"/{published.hf_hub_filename}" if published.hf_hub_filename else ""
        return f"hf://{published.hf_hub_id}{file}"
    return published.url
