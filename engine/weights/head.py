"""What becomes of a file's head, the one layer that depends on the classes: kept, kept for some classes, made anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from engine.errors import WeightsError
from engine.recipe import Recipe
from engine.weights.report import Shape, first_names, matching_rows, same_name, shape_text

_WEIGHT = "head.fc.weight"
Shapes = Mapping[str, Shape]  # by our names


def rows_by_name(
    there: Shapes, here: Shapes, classes: Sequence[str], recipe: Recipe, backbone_only: bool, path: Path
) -> dict[int, int] | None:
    """[head] reuse = "matching": for each class that the file knows, its row here → its row there; None: not asked for.

    classes: the file's. Raises WeightsError where nothing can be matched, whatever the classes are.
    """
    if recipe.head.reuse != "matching":
        return None
    weight, wanted = there.get(_WEIGHT), here[_WEIGHT]
    if backbone_only:
        why = "[weights] backbone takes no head; name the source in load_from instead"
    elif weight is None:
        why = f"{path} has no head that could be read; take another file"
    elif math.prod(weight[1:]) != wanted[1]:
        why = f"those of {path} are {shape_text(weight[1:])} numbers long and not {wanted[1]}; take another file"
    elif len(classes) != weight[0]:
        why = f"{path} does not name its classes; take a file that does"
    elif not recipe.dataset.classes:
        why = "the recipe does not name its own; give it a dataset"
    else:
        return matching_rows(recipe.dataset.classes, classes)
    raise WeightsError(f'[head] reuse = "matching" keeps rows by the names of their classes, but {why}, or "same".')


def head_change_of(
    there: Shapes,
    here: Shapes,
    classes: Sequence[str],
    recipe: Recipe,
    backbone_only: bool,
    matched: Mapping[int, int] | None,
) -> str:
    """Why the head cannot be kept as it is; "" where it can. matched: what `rows_by_name` gave."""
    weight, (rows, _), wanted = there.get(_WEIGHT), here[_WEIGHT], recipe.dataset.classes
    if weight is None:
        has_another = any(key.startswith(("head.", "cls_head.")) for key in there)
        return f"head (expected: the file has {'another kind' if has_another else 'none'})"
    change = f"head {weight[0]} → {rows}"
    if matched:
        return f"{change}, kept {len(matched)} of {rows} rows: {first_names([wanted[row] for row in matched])}"
    if matched is not None:
        return f"{change}, kept none of {rows} rows: the file knows none of these classes"
    if backbone_only:
        return f"{change} (expected: only the backbone is taken)"
    if recipe.head.reuse == "none":
        return f'{change} (expected: [head] reuse = "none")'
    if weight[0] != rows:
        return f"{change} (expected: the class count differs)"
    if any(there.get(key) != shape for key, shape in here.items() if key.startswith("head.")):
        return f"head (its shape {shape_text(weight)} differs from {shape_text(here[_WEIGHT])})"
    if len(wanted) == len(classes) == rows:
        for place, (new, old) in enumerate(zip(wanted, classes, strict=True)):
            if same_name(new) != same_name(old):
                return f'head (as many classes, but other ones: class {place} was "{old}", is "{new}")'
    return ""


def with_rows(ours: torch.Tensor, theirs: torch.Tensor, rows: Mapping[int, int]) -> torch.Tensor:
    """[classes here, …] with the rows (here → there) taken from [classes there, …], which may be a convolution of 1."""
    made = ours.clone()
    made[list(rows)] = theirs.reshape(len(theirs), *ours.shape[1:])[list(rows.values())].to(ours.dtype)
    return made
