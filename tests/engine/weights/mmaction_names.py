"""Our state dicts in MMAction2's names: the way back, for files that tests make themselves."""

from __future__ import annotations

import re

import torch


def mmaction_state(state: dict[str, torch.Tensor], shifted: bool = False) -> dict[str, torch.Tensor]:
    """A ResNet recognizer's state dict as MMAction2 saves it; with `shifted`, as its TSM does."""
    return {_mmaction_name(key, shifted): value for key, value in state.items()}


def _mmaction_name(key: str, shifted: bool) -> str:
    key = key.replace("head.fc.", "cls_head.fc_cls.")
    key = key.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")
    key = re.sub(r"\bconv(\d)\.", r"conv\1.conv.", key)
    key = re.sub(r"\bbn(\d)\.", r"conv\1.bn.", key)
    return re.sub(r"(layer.*\.conv1\.conv)\.", r"\1.net.", key) if shifted else key


def swin_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """torchvision's image Swin as its authors saved it."""
    return {_swin_name(key): value for key, value in state.items()}


def _swin_name(key: str) -> str:
    key = key.replace("features.0.0.", "patch_embed.proj.").replace("features.0.2.", "patch_embed.norm.")
    key = key.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")
    if match := re.match(r"features\.(\d)\.", key):
        place = int(match[1])
        stage = f"layers.{(place - 1) // 2}." + ("blocks." if place % 2 else "downsample.")
        key = stage + key[match.end() :]
    return key
