"""LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685): a transformer stays as it is, and each of its linear layers
learns a small correction beside it, the product of two thin matrices. By the peft library: `pip install 'ftwiz[lora]'`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call

from engine.errors import RecipeError
from engine.recipe import Recipe

# What a correction B A is multiplied with; peft calls it alpha / rank.
SCALE = 2.0
_A, _B, _BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer."


def add_corrections(model: nn.Module, recipe: Recipe) -> None:
    """Put a correction of rank `schedule.lora` beside every linear layer of the backbone. They start at 0.

    Raises RecipeError where the backbone has no linear layers, or peft is not installed.
    """
    rank = recipe.schedule.lora
    layers = _linear_layers(model, recipe)
    if not layers:
        raise RecipeError(
            f"[schedule] lora = {rank} is for transformers, but {recipe.model.backbone} has no linear layers in its "
            "backbone; set it to 0, and [schedule] freeze if little is to learn."
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise RecipeError(
            f"[schedule] lora = {rank} needs the peft library, which is not installed: pip install 'ftwiz[lora]'"
        ) from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=int(SCALE * rank), target_modules=layers), model)


def is_correction(name: str) -> bool:
    """Whether a parameter belongs to a correction, by its name."""
    return ".lora_" in name


def merged(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict with every correction added to its layer, under the names of a network without any."""
    layers = [name.removesuffix(_A) for name in state if name.endswith(_A)]
    if not all(f"{layer}{_B}" in state and f"{layer}{_BASE}weight" in state for layer in layers):
        return dict(state)  # somebody else's names
    plain = {name.replace(_BASE, "."): value for name, value in state.items() if not is_correction(name)}
    for layer in layers:
        correction = SCALE * state[layer + _B] @ state[layer + _A]
        plain[f"{layer}.weight"] = state[f"{layer}{_BASE}weight"] + correction
    return plain


def _linear_layers(model: nn.Module, recipe: Recipe) -> list[str]:
    """Names of the backbone's linear layers. Those whose weights somebody else multiplies with (torch's attention)
    would never use a correction; so frames without memory are passed through, to see which are called."""
    called: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith("backbone.")
    ]
    size, was_training = recipe.dataset.frame_size, model.training
    frames = torch.empty(1, recipe.model.frames, recipe.model.channels, size, size, device="meta")
    try:
        functional_call(model.eval(), {key: value.to("meta") for key, value in model.state_dict().items()}, (frames,))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(called))
