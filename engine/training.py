"""A training with everything it needs; saved to and restored from a checkpoint.

`engine/set_up.py` makes one from a recipe, `engine/train.py` has the loop itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from engine.checkpoint import (
    drop_old_epochs,
    load_checkpoint,
    load_newest,
    make_last,
    remove_leftovers,
    save_checkpoint,
    size_of_checkpoint,
)
from engine.dataset.clips import ClipLists
from engine.dataset.loader import Batch, Batches
from engine.dataset.quarantine import Quarantine
from engine.dataset.workers import ClipLoader
from engine.device import (
    autocast,
)
from engine.distributed import World
from engine.errors import DataError, DeviceError, WeightsError
from engine.events import CheckpointSaved, EventLog, Message, RunInterrupted
from engine.loss import ClipLoss
from engine.memory import ADVICE, free_cached_memory
from engine.meter import Meter
from engine.mixing import Mix
from engine.provenance import changed_clips
from engine.randomness import random_state, restore_random_state
from engine.recipe import Recipe
from engine.resume import require_the_same
from engine.run_folder import LAST, RunFolder
from engine.schedule import set_base_lrs, set_frozen

# What a training counts as it goes, besides the state of its parts.
_COUNTERS = (
    "epoch", "step", "best", "best_epoch", "validations_since_best", "retries", "micro_batch_size",
)  # fmt: skip


@dataclass
class Training:
    """What the loop works on. Everything that changes is in a checkpoint."""

    recipe: Recipe  # resolved: no "auto" left
    run: RunFolder
    log: EventLog
    world: World  # the processes that share each batch: ALONE, but on several GPUs
    device: torch.device
    clips: ClipLists
    model: nn.Module
    loss: ClipLoss
    mix: Mix
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    scaler: torch.amp.GradScaler  # of the loss, in fp16; does nothing in other precisions
    average: AveragedModel | None  # of the weights, where schedule.ema is on
    batches: Batches
    meter: Meter
    loader: ClipLoader
    val_loader: ClipLoader | None  # None: no validation clips
    quarantine: Quarantine  # clips that did not decode
    micro_batch_size: int  # clips on the device at a time; smaller after a step that did not fit into memory
    epoch: int = 1  # the one being trained, 1-based
    step: int = 0  # optimiser steps done in the whole run
    best: float = -1.0  # of the key metric
    best_epoch: int = 0
    validations_since_best: int = 0
    retries: int = 0  # after a loss that was not finite
    diverged_at: int = 0  # the furthest step that such a loss came at
    in_vain: int = 0  # retries that came no further
    seconds: float = 0.0  # of the processes before this one
    saved_step: int = -1  # of the last checkpoint, -1 before the first
    names_owed: Sequence[str] = ()  # of a checkpoint that found no room

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    @property
    def steps_done_in_epoch(self) -> int:
        return self.step - (self.epoch - 1) * self.steps_per_epoch

    @property
    def seconds_so_far(self) -> float:
        """Of training, in this process and those before it."""
        return self.seconds + self.meter.seconds()

    @property
    def model_to_measure(self) -> nn.Module:
        return self.average.module if self.average else self.model

    def begin_epoch(self) -> None:
        """Training mode, what is frozen in this epoch, and the batches that are not done yet."""
        schedule = self.recipe.schedule
        self.model.train()
        set_frozen(self.model, schedule, self.epoch)
        if self.epoch == schedule.unfreeze_at_epoch and not self.steps_done_in_epoch:
            self.say(f"Epoch {self.epoch}: the whole network learns from here on.")
        self.batches.epoch, self.batches.done = self.epoch, self.steps_done_in_epoch

    def endless_batches(self, loader: ClipLoader | None = None) -> Iterator[Batch]:
        """Epoch after epoch, from the training's loader or another one of its batches. Raises DataError where no clip
        of an epoch decodes."""
        while True:
            self.begin_epoch()
            seen = 0
            for batch in loader or self.loader:
                seen += len(batch.labels)
                if len(batch.labels):
                    yield batch
                self.step += 1
            if not seen:
                raise DataError(f"{self.recipe.dataset.root}: none of the training clips can be decoded.")
            self.epoch += 1

    def has_stopped_improving(self) -> bool:
        """Whether schedule.early_stopping ends the training here; says so."""
        schedule, since = self.recipe.schedule, self.validations_since_best
        if not schedule.early_stopping or since < schedule.early_stopping:
            return False
        self.say(
            f"Stopped before epoch {self.epoch} of {schedule.epochs}: {since} validations in a row were no better than "
            f"epoch {self.best_epoch} (early_stopping = {schedule.early_stopping} under [schedule])."
        )
        return True

    def halve_micro_batch(self) -> None:
        """After a step that did not fit into memory. Raises DeviceError where it held a single clip."""
        free_cached_memory(self.device)
        if self.micro_batch_size == 1:
            raise DeviceError(f"Out of memory at step {self.step + 1} with a single clip at a time. {ADVICE}")
        before, self.micro_batch_size = self.micro_batch_size, self.micro_batch_size // 2
        self.say(
            f"Out of memory at step {self.step + 1} with {before} clips at a time: goes on with "
            f"{self.micro_batch_size}, and adds up their gradients. The batch stays {self.recipe.schedule.batch_size} "
            "clips and the learning rate what it was.",
            level="warning",
        )

    def autocast(self) -> AbstractContextManager:
        return autocast(self.device, self.recipe.run.precision)

    def say(self, text: str, level: str = "info") -> None:
        self.log.write(Message, level=level, text=text)

    def save(self, names: Sequence[str] = (LAST,)) -> None:
        """Write a checkpoint as last.pt and under the other names (best.pt, epoch-005.pt).

        Raises DiskFullError where there is no room (the next save then makes up for these names too), TrainingError
        where writing fails otherwise. Of several processes the first one alone writes.
        """
        if not self.world.is_first:
            return
        names = self.names_owed = list(dict.fromkeys([*names, *self.names_owed]))
        with self.run.writing(f"The checkpoint of step {self.step}"):
            self.log.sync()  # what it goes on from must not be older than what the log tells
            save_checkpoint(self.run, {**self._state(), "names": names}, self.recipe, names)
            drop_old_epochs(self.run, self.epoch - 1, self.recipe.schedule.keep_checkpoints)
        self.names_owed, self.saved_step = (), self.step
        self.meter.saved()
        self._announce_saved(names)

    def checkpoint_size(self) -> int:
        """The bytes that a checkpoint of now would take."""
        return size_of_checkpoint({**self._state(), "names": (LAST,)}, self.recipe)

    def log_interrupted(self, log: EventLog, signal: str) -> None:
        """The last event of a process that a signal ends."""
        is_saved = self.saved_step >= 0
        log.write(
            RunInterrupted,
            signal=signal,
            checkpoint=f"checkpoints/{LAST}" if is_saved else "",
            step=self.step,
            lost_steps=self.step - max(self.saved_step, 0),
        )

    def _announce_saved(self, names: Sequence[str]) -> None:
        for name in names:
            self.log.write(CheckpointSaved, path=f"checkpoints/{name}", step=self.step, epoch=self.epoch)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "averaged_steps": int(self.average.n_averaged) if self.average else 0,
            "random": random_state(),
            "meter": self.meter.state(),
            "steps_per_epoch": self.steps_per_epoch,
            "seconds": self.seconds_so_far,
            **{name: getattr(self, name) for name in _COUNTERS},
        }

    def restore(self, checkpoint: Path | None = None) -> None:
        """Go on where a checkpoint was written: the newest whole one, and says so where last.pt is not whole. The
        learning rate is the recipe's, whatever it was then.

        Raises WeightsError where there is none, or where it is another model's or other classes'.
        """
        remove_leftovers(self.run)
        base_lrs = [float(lr) for lr in self.scheduler.base_lrs]
        state, path, damage = (load_checkpoint(checkpoint), checkpoint, []) if checkpoint else load_newest(self.run)
        notes = require_the_same(path, state, self.recipe, self.steps_per_epoch)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average:
                self.average.module.load_state_dict(state["average"])
                self.average.n_averaged.fill_(state["averaged_steps"])
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(
                f"{path} does not fit the model and the optimiser that this version of ftwiz builds from the recipe "
                f"({reason}); go on with the version that started the run."
            ) from None
        self.scheduler.load_state_dict(state["scheduler"])
        set_base_lrs(self.optimizer, self.scheduler, base_lrs)
        self.scaler.load_state_dict(state["scaler"])
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.saved_step = self.step
        self.meter.restore(state["meter"])
        restore_random_state(state["random"])
        if checkpoint:
            return
        self.seconds = state["seconds"]
        if path.name != LAST:
            make_last(path)
            what = "; ".join(damage) or f"{LAST} is missing"
            self.say(f"{what}. Goes on from {path.name} instead, saved after step {self.step}.", level="warning")
        for note in [*notes, *changed_clips(self.run.provenance, self.clips)]:
            self.say(note, level="warning")
        self._announce_what_was_not(state["names"])

    def _announce_what_was_not(self, names: Sequence[str]) -> None:
        """A process that was killed right after it saved had no time to say so."""
        said = {(saved.path, saved.step, saved.epoch) for saved in self.run.state().checkpoints}
        self._announce_saved([name for name in names if (f"checkpoints/{name}", self.step, self.epoch) not in said])
