"""What `ftwiz check` and `ftwiz split` are pointed at: a recipe, or a folder of videos that has none yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.dataset.inspect import inspect_folder
from engine.recipe import Recipe, load_recipe, nested, preset_names, recipe_from


def is_data(source: str) -> bool:
    """Whether it is a folder; presets come first, as in `ftwiz run`."""
    return source not in preset_names() and os.path.isdir(os.path.expanduser(source))


def recipe_of(source: str, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe; for a folder, one with nothing but the [dataset] that was recognised in it.

    Raises RecipeError or DataError, one sentence.
    """
    if not is_data(source):
        return load_recipe(source, overrides)
    # Whoever names the format knows more than can be seen.
    table = {"root": source} if "dataset.format" in overrides else inspect_folder(*_places(source, overrides)).table
    recognised = {f"dataset.{key}": value for key, value in table.items()}
    return recipe_from(nested({**recognised, **overrides}), label="--set")


def _places(source: str, overrides: Mapping[str, Any]) -> tuple[Path, Path | None]:
    """The folder of the videos and that of their lists, None where one has both: `source` is the other one of what
    the overrides name."""
    if root := overrides.get("dataset.root"):
        return Path(root), Path(overrides.get("dataset.annotations") or source)
    annotations = overrides.get("dataset.annotations")
    return Path(source), Path(annotations) if annotations else None
