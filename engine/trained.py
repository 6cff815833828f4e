"""The network that a run trained, as it was measured: a checkpoint, in the model of the run's recipe."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.checkpoint import load_best, load_checkpoint, weights_in
from engine.errors import WeightsError
from engine.model import build_model
from engine.model.recognizer import Recognizer
from engine.recipe import Recipe, load_recipe
from engine.run_folder import BEST, LAST, RunFolder


@dataclass(frozen=True)
class Trained:
    """model: on the CPU, in eval mode. checkpoint: the name of its file. epochs: how many it was trained for."""

    model: Recognizer
    recipe: Recipe
    classes: tuple[str, ...]
    checkpoint: str
    epochs: int


def load_trained(run: RunFolder, name: str = "") -> Trained:
    """The checkpoint `name` of a run ("last", "epoch-005"), or its best one; last.pt where nothing was validated.

    Raises RecipeError, WeightsError.
    """
    recipe = load_recipe(run.recipe)
    best = BEST if (run.checkpoints / BEST).exists() else LAST
    path = run.checkpoints / (f"{name}.pt" if name else best)
    checkpoint = load_checkpoint(path) if name else load_best(run)
    classes = tuple(checkpoint["classes"])
    recipe = recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"classes": classes})})
    model = build_model(recipe)
    try:
        model.load_state_dict(weights_in(checkpoint))
    except RuntimeError as error:
        first = str(error).partition("\n")[2].strip().partition("\n")[0]
        raise WeightsError(
            f"{path} does not fit the model of {run.recipe}; was [model] changed since? {first}"
        ) from None
    return Trained(model.eval(), recipe, classes, path.name, checkpoint["epoch"] - 1)


def moved_to(trained: Trained, device: torch.device, precision: str) -> Trained:
    """On a device, to compute there in such a precision."""
    run = trained.recipe.run.model_copy(update={"device": str(device), "precision": precision})
    recipe = trained.recipe.model_copy(update={"run": run})
    return Trained(trained.model.to(device), recipe, trained.classes, trained.checkpoint, trained.epochs)
