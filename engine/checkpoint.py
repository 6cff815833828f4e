"""Checkpoints: written aside, fsynced and renamed; readable with weights_only=True; enough to go on bit for bit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from engine.atomic import atomic_write
from engine.errors import WeightsError
from engine.recipe import Recipe, document_of, to_toml

FORMAT = "ftwiz-checkpoint"
FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any], recipe: Recipe) -> None:
    """Write `state` (plain values, tensors and state dicts) with the recipe and the class names beside it."""
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "recipe": to_toml(document_of(recipe)),
        "classes": list(recipe.dataset.classes),
        **state,
    }
    with atomic_write(path) as file:
        torch.save(document, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, on the CPU. Raises WeightsError where it is missing, damaged or somebody else's."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: the run was ended before its first checkpoint.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # torch raises many kinds for a damaged file; none of them is worth a traceback
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(f"{path} is damaged and cannot be loaded ({reason}).") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise WeightsError(f"{path} is not a checkpoint of an ftwiz run; as pretrained weights, name it in load_from.")
    if document.get("version") != FORMAT_VERSION:
        raise WeightsError(f"{path} was written by another version of ftwiz (format {document.get('version')}).")
    return document


def weights_in(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint of ours was measured with: the moving average of the weights where there is one."""
    return checkpoint["average"] or checkpoint["model"]


def keep_as(checkpoint: Path, name: str) -> None:
    """Give a checkpoint a second name (best.pt, epoch-005.pt) without writing its bytes again where links work."""
    target = checkpoint.with_name(name)
    aside = checkpoint.with_name(f".{name}.part")
    aside.unlink(missing_ok=True)
    try:
        os.link(checkpoint, aside)
    except OSError:  # a file system without links
        with open(checkpoint, "rb") as file, atomic_write(target) as copy:
            shutil.copyfileobj(file, copy)
        return
    os.replace(aside, target)
    aside.unlink(missing_ok=True)  # where both are one file already, replacing does nothing


def random_state() -> dict[str, Any]:
    """The generators that the training process draws from (dropout); loaders have their own, which need no saving."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])  # maybe on another machine
