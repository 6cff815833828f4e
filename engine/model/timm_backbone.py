"""timm's image classifiers as backbones, `backbone = "timm.NAME"`, as MMAction2 uses them: `pip install 'ftwiz[timm]'`.

What `forward_features` gives is averaged over all its places, a transformer's class token being one of them
(mmaction/models/recognizers/recognizer2d.py). What timm has behind that is not used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn

from engine.errors import RecipeError
from engine.torchvision_schemas import torchvision  # noqa: F401, timm imports it, which needs to be prepared

PREFIX = "timm."


class TimmBackbone(nn.Module):
    """State dict: `net.` and timm's own names."""

    def __init__(self, name: str, frame_size: int, channels: int):
        """name: timm's, with or without a tag (resnet50.a1_in1k). Raises RecipeError where timm does not have it."""
        super().__init__()
        timm = imported(f'[model] backbone = "{PREFIX}{name}"')
        if not timm.is_model(name.partition(".")[0]):
            close = difflib.get_close_matches(name, timm.list_models(), n=1)
            hint = f"did you mean {PREFIX}{close[0]}?" if close else "timm.list_models() lists them."
            raise RecipeError(f'[model] backbone = "{PREFIX}{name}" is not a model of timm {timm.__version__}; {hint}')
        options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
        published = timm.get_pretrained_cfg(name, allow_unregistered=True)
        if published and published.fixed_input_size:  # a transformer's table of places is as large as its images
            options["img_size"] = frame_size
        try:
            self.net: Any = timm.create_model(name, pretrained=False, **options)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise RecipeError(
                f"[dataset] frame_size = {frame_size} does not suit the backbone {PREFIX}{name} ({reason})."
            ) from None
        self.channels_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] → [N, D]."""
        features = self.net.forward_features(image)  # [N, D, h, w], [N, h, w, D], or [N, places, D]
        if features.dim() == 3:
            return features.mean(dim=1)
        return features.mean(dim=(1, 2) if self.channels_last else (2, 3))

    @property
    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and std that timm's weights were trained with, of RGB values of 0..255."""
        of_timm = self.net.default_cfg
        mean, std = (tuple(round(255 * value, 3) for value in of_timm[key]) for key in ("mean", "std"))
        return mean, std

    def names_of(self, keys: Iterable[str]) -> dict[str, str]:
        """For each key of timm's, MMAction2's or our state dict, what we call it."""
        last = self.net.default_cfg.get("classifier") or "head"
        last = last if isinstance(last, str) else last[0]  # a distilled model has two
        keys = list(keys)
        of_mmaction = any(key.startswith("backbone.") for key in keys)
        names = {}
        for key in keys:
            if key.startswith(("backbone.net.", "head.fc.")) and of_mmaction:
                names[key] = key
            elif key.startswith("cls_head.fc_cls."):
                names[key] = key.replace("cls_head.fc_cls.", "head.fc.")
            elif key.startswith(f"{last}.") and not of_mmaction:
                names[key] = f"head.fc.{key.removeprefix(f'{last}.')}"
            else:
                names[key] = f"backbone.net.{key.removeprefix('backbone.')}"
        return names


def imported(wanted_by: str) -> ModuleType:
    """The library. Raises RecipeError where it is not installed: what wants it, and the command."""
    try:
        import timm
    except ImportError:
        raise RecipeError(
            f"{wanted_by} needs the timm library, which is not installed: pip install 'ftwiz[timm]'"
        ) from None
    return timm
