"""The learning rate as arithmetic: what the optimiser is given, and what a person is shown. Torch-free.

`engine/schedule.py` asks here at every step, so that both are the same.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.recipe import Schedule


def scaled_lr(schedule: Schedule) -> float:
    """The recipe's lr for the batch that is really used: linear scaling (Goyal et al. 2017, arXiv:1706.02677).

    While the batch is "auto", nobody knows it: then the lr as it is.
    """
    if schedule.lr_batch_size == 0 or schedule.batch_size == "auto":
        return schedule.lr
    return schedule.lr * schedule.batch_size / schedule.lr_batch_size


def lr_arithmetic(schedule: Schedule) -> str:
    """How `scaled_lr` came about, e.g. "lr 0.005 × 16/256 = 0.0003125"."""
    if schedule.lr_batch_size == 0:
        return f"lr {schedule.lr:g} (not scaled)"
    if schedule.batch_size == "auto":
        return f"lr {schedule.lr:g} × the batch that fits / {schedule.lr_batch_size}"
    return f"lr {schedule.lr:g} × {schedule.batch_size}/{schedule.lr_batch_size} = {scaled_lr(schedule):.4g}"


def lr_at(schedule: Schedule, epochs_done: float) -> float:
    """The learning rate of the backbone's weights after so many epochs, fractions included.

    Milestones count from the start of the run; one that falls into the warm-up takes effect at its end.
    """
    lr = scaled_lr(schedule)
    warmup = min(schedule.warmup_epochs, schedule.epochs)
    if epochs_done < warmup:
        return lr * (schedule.warmup_start + (1 - schedule.warmup_start) * epochs_done / warmup)
    if schedule.lr_policy == "step":
        return lr * schedule.gamma ** bisect_right(schedule.milestones, epochs_done)
    if schedule.lr_policy == "cosine":
        done = (epochs_done - warmup) / max(schedule.epochs - warmup, 1e-9)
        return lr * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return lr


def lr_for_recipe(rate: float, schedule: Schedule, batch_size: int) -> float:
    """`scaled_lr` the other way round: the `lr` of a recipe that trains with `rate` at this batch."""
    return rate * schedule.lr_batch_size / batch_size if schedule.lr_batch_size else rate


def steepest(points: Sequence[tuple[float, float]]) -> float | None:
    """The rate at which the loss falls the fastest, over the logarithm of the rate, of (rate, smoothed loss) points.

    None where it falls by less than a twentieth of what it was: no rate of these made it learn.
    """
    lowest = min(range(len(points)), key=lambda place: points[place][1], default=0)
    falling = points[: lowest + 1]
    if len(falling) < 3 or falling[-1][1] > 0.95 * points[0][1]:
        return None
    slopes = [
        (after - before) / math.log(higher / lower)
        for (lower, before), (higher, after) in zip(falling, falling[2:], strict=False)
    ]
    return falling[slopes.index(min(slopes)) + 1][0]
