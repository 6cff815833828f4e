"""What has to stay the same for a run to go on, and the words for what has not. Torch-free.

A resumed run ends bit for bit like one that was never interrupted only where its recipe is what it was. [run] may
change (another device, other workers), all but the seed, which decides the order of the clips.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import RecipeError, WeightsError
from engine.recipe import Recipe, document_of, recipe_from

# Other values of these make another model, or parts that do not fit the saved ones.
_OF_THE_MODEL = ("model.", "head.num_classes", "schedule.optimizer", "schedule.batch_size", "schedule.ema")
_MOST = 3  # so many changes are spelt out


def may_change(key: str) -> bool:
    return key.startswith("run.") and key != "run.seed"


def changes(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    """ "schedule.lr" → its value before and after, for each key that differs. The name says nothing, the class names
    are compared by themselves, and of the clips to leave out a run has a list of its own."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return {key: (old[key], new[key]) for key in new if old[key] != new[key] and key != "dataset.quarantine"}


def told(changed: dict[str, tuple[Any, Any]]) -> str:
    """`[schedule] lr is 0.02, was 0.01; …`"""
    sentences = []
    for key, (before, after) in list(changed.items())[:_MOST]:
        table, _, name = key.partition(".")
        sentences.append(f"[{table}] {name} is {_shown(after)}, was {_shown(before)}")
    more = len(changed) - len(sentences)
    return "; ".join(sentences) + (f"; and {more} more" if more > 0 else "")


def asked_recipe(provenance: Path) -> Recipe | None:
    """The recipe as the run was started with it, before "auto" was decided; None where that is not known."""
    try:
        document = json.loads(provenance.read_text(encoding="utf-8"))
        return recipe_from(document["recipe"])
    except (OSError, ValueError, KeyError, TypeError, RecipeError):  # an older run, or a file that somebody spoilt
        return None


def require_the_same(checkpoint: Path, saved: dict[str, Any], recipe: Recipe, steps_per_epoch: int) -> list[str]:
    """Compares a checkpoint's document with what is to go on from it. Returns what else has changed, a sentence each.

    Raises WeightsError where it is of other classes, another model, or epochs of another length.
    """
    remedy = (
        f'Undo the change, or start a new run from these weights: load_from = "{checkpoint}" under [weights], without '
        "--resume."
    )
    if others := _class_changes(saved["classes"], recipe.dataset.classes):
        raise WeightsError(f"{checkpoint} is of other classes than the dataset has now: {others}. {remedy}")
    changed = changes(recipe_from(tomllib.loads(saved["recipe"])), recipe)
    if model := {key: pair for key, pair in changed.items() if key.startswith(_OF_THE_MODEL)}:
        raise WeightsError(f"{checkpoint} is of another model than the recipe describes: {told(model)}. {remedy}")
    if saved["steps_per_epoch"] != steps_per_epoch:
        raise WeightsError(
            f"{checkpoint} is of epochs of {saved['steps_per_epoch']} steps, and the training clips make "
            f"{steps_per_epoch} now, so that there is no place to go on at. {remedy}"
        )
    decisions = {key: pair for key, pair in changed.items() if not may_change(key)}
    return [f"The recipe has changed since {checkpoint.name} was saved: {told(decisions)}."] if decisions else []


def _class_changes(before: Sequence[str], after: Sequence[str]) -> str:
    if list(before) == list(after):
        return ""
    new = [name for name in after if name not in set(before)]
    gone = [name for name in before if name not in set(after)]
    if not new and not gone:
        return "the same ones in another order"
    parts = [f"{_listed(names)} {word}" for names, word in ((new, "new"), (gone, "gone")) if names]
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:_MOST])
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"


def _flat(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    for table, values in document_of(recipe).items():
        if isinstance(values, dict):
            yield from ((f"{table}.{key}", value) for key, value in values.items() if key != "classes")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
