"""The learning-rate range test: a few steps with a rate that rises from tiny to huge, and the loss at each.

Smith 2015, https://arxiv.org/abs/1506.01186. Where the loss falls the fastest is a good rate to train with; where it
turns up is more than the network can take.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.dataset.loader import Batch
from engine.distributed import on_one_gpu
from engine.events import EventLog
from engine.learning_rate import scaled_lr
from engine.recipe import Recipe
from engine.run_folder import RunFolder
from engine.schedule import clip_gradients
from engine.set_up import set_up
from engine.train import gradients_of
from engine.training import Training

# Beyond so many times the lowest loss there is nothing to learn (fastai's rule).
_DIVERGED = 4.0
_SMOOTHING = 0.9


def lr_range_test(recipe: Recipe, run: RunFolder, low: float, high: float, steps: int) -> Iterator[tuple[float, float]]:
    """Yields (rate of the backbone's weights, smoothed loss) after every step; ends early where the loss explodes.

    `run` is a folder of its own to work in: the weights are spoilt afterwards and nothing of them is kept.
    """
    training = set_up(on_one_gpu(recipe), run, EventLog(run.events), resume=False)
    full = scaled_lr(training.recipe.schedule)
    speeds = [group["initial_lr"] / full for group in training.optimizer.param_groups]
    mean, lowest = 0.0, float("inf")
    for step, batch in zip(range(steps), training.endless_batches()):  # noqa: B905 – the shorter one ends it
        rate = low * (high / low) ** (step / max(steps - 1, 1))
        for group, speed in zip(training.optimizer.param_groups, speeds, strict=True):
            group["lr"] = rate * speed
        loss = _step(training, batch)
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smooth = mean / (1 - _SMOOTHING ** (step + 1))
        lowest = min(lowest, smooth)
        if not smooth <= _DIVERGED * lowest:  # or NaN
            return
        yield rate, smooth


def _step(training: Training, batch: Batch) -> float:
    losses, _ = gradients_of(training, batch, of=len(batch.labels))
    training.scaler.unscale_(training.optimizer)
    clip_gradients(training.model.parameters(), training.recipe.schedule)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    loss = losses.mean()
    return loss.item() if torch.isfinite(loss) else float("nan")
