"""`ftwiz split`: the split into training and validation clips as a list that the csv format reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.dataset.formats import read_clips
from engine.dataset.formats.csv_lists import write_split
from engine.errors import DataError, RecipeError
from engine.recipe import to_toml
from wizard.sources import recipe_of
from wizard.words import count


def write_split_of(source: str, output: Path, overrides: Mapping[str, Any]) -> None:
    """Write the split and say what a recipe must say to train on it. An existing file is left as it is."""
    if os.path.lexists(output):
        raise RecipeError(f"{output} is there already, and others may train on it; give another name.")
    dataset = recipe_of(source, overrides).dataset
    lists = read_clips(dataset)
    try:
        write_split(output, lists, dataset)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}.") from None
    table = {"format": "csv", "root": dataset.root, "train_list": str(output)}
    print(output)
    _say(
        *lists.notes,
        f"Wrote {output}: {count(len(lists.train), 'training clip')} and {count(len(lists.val), 'validation clip')}. "
        "Whoever has this in a recipe trains on the same split:",
        "",
        to_toml({"dataset": table}).rstrip(),
    )


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
