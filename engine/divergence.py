"""A loss that is no finite number: it never reaches the weights, and where the recipe allows, training goes back to a
good checkpoint and tries again with half the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from engine.checkpoint import DamagedError
from engine.control import Control
from engine.dataset.loader import Batch
from engine.errors import TrainingError
from engine.events import WentBack
from engine.learning_rate import lr_arithmetic, scaled_lr
from engine.recipe import save_recipe
from engine.run_folder import BEST, LAST, START
from engine.schedule import set_base_lrs
from engine.training import Training

_NAMED_CLIPS = 5


class DivergedError(TrainingError):
    """The loss or its gradients are not finite. what: "the loss is nan at step 7 (clips: …)"; step: 7, not taken."""

    def __init__(self, what: str, advice: str, step: int):
        super().__init__(f"{what[0].upper()}{what[1:]}, before any weight was changed by it. {advice}")
        self.what, self.step = what, step


def require_finite(training: Training, losses: torch.Tensor, grad_norm: torch.Tensor, batch: Batch) -> None:
    """Raise DivergedError before the optimiser sees the gradients: the weights stay those of the last good step, in
    memory and in last.pt. losses: [B].

    In fp16 gradients may overflow now and then: the scaler leaves such a step out and scales less from then on.
    """
    loss = losses.mean()
    may_overflow = training.scaler.is_enabled() and training.scaler.get_scale() > 1
    if torch.isfinite(loss) and (may_overflow or torch.isfinite(grad_norm)):
        return
    what = f"gradient's norm is {grad_norm.item()}" if torch.isfinite(loss) else f"loss is {loss.item()}"
    step, schedule = training.step + 1, training.recipe.schedule
    by_itself = "" if schedule.retries_at_half_lr else "; schedule.retries_at_half_lr does so by itself"
    raise DivergedError(
        f"the {what} at step {step} ({_clips_of(training, losses, batch)})",
        f"Try half the learning rate (--set schedule.lr={schedule.lr / 2:g}{by_itself}), a warm-up "
        "(schedule.warmup_epochs) or a smaller schedule.grad_clip_norm.",
        step,
    )


def go_back(training: Training, diverged: DivergedError, control: Control) -> None:
    """To the last good checkpoint, with half the learning rate from there on. Raises `diverged` where no retry is left.

    Where the last try has not come further than the one before it, its checkpoint was not good either: then to the best
    one, and then to the start.
    """
    retry, retries = training.retries + 1, training.recipe.schedule.retries_at_half_lr
    if retry > retries:
        raise diverged
    training.in_vain = training.in_vain + 1 if diverged.step <= training.diverged_at else 0
    training.diverged_at = max(diverged.step, training.diverged_at)

    schedule = training.recipe.schedule.model_copy(update={"lr": training.recipe.schedule.lr / 2})
    training.recipe = training.recipe.model_copy(update={"schedule": schedule})
    set_base_lrs(training.optimizer, training.scheduler, [float(lr) / 2 for lr in training.scheduler.base_lrs])
    checkpoint = _restore_one_of(training, list(_good_checkpoints(training))[training.in_vain :])
    training.world.wait()  # until all have read what the first one is about to replace
    training.retries = retry
    control.write(lambda: _keep(training))
    training.log.write(
        WentBack,
        step=training.step,
        epoch=training.epoch,
        checkpoint=f"checkpoints/{checkpoint.name}",
        lr=scaled_lr(schedule),
        lr_arithmetic=lr_arithmetic(schedule),
        reason=diverged.what,
        retry=retry,
        retries=retries,
    )


def _keep(training: Training) -> None:
    """For a resume, which takes the learning rate from the recipe."""
    with training.run.writing("The recipe"):
        save_recipe(training.recipe, training.run.recipe)
    training.save()


def _good_checkpoints(training: Training) -> Iterator[Path]:
    """From the last one to the start; the same one under two names comes once."""
    last, best, start = (training.run.checkpoints / name for name in (LAST, BEST, START))
    yield last
    if best.exists() and not best.samefile(last):
        yield best
    if start.exists():
        yield start


def _restore_one_of(training: Training, checkpoints: list[Path]) -> Path:
    for path in checkpoints[:-1]:
        try:
            training.restore(path)
            return path
        except DamagedError as error:
            training.say(f"{error} Goes back further.", level="warning")
    training.restore(checkpoints[-1])
    return checkpoints[-1]


def _clips_of(training: Training, losses: torch.Tensor, batch: Batch) -> str:
    """Names of a batch's clips, those with a bad loss of their own first."""
    bad = ~torch.isfinite(losses.cpu())
    blames = bool(bad.any()) and not bool(bad.all())
    numbers = sorted(range(len(batch.clips)), key=lambda place: not bad[place])
    if blames:
        numbers = numbers[: int(bad.sum())]
    names = ", ".join(training.clips.train[batch.clips[place]].name for place in numbers[:_NAMED_CLIPS])
    more = f" and {len(numbers) - _NAMED_CLIPS} more" if len(numbers) > _NAMED_CLIPS else ""
    return f"{'of these clips' if blames else 'clips'}: {names}{more}"
