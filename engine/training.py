"""A training with everything it needs, set up from a recipe; saved to and restored from a checkpoint.

`engine/train.py` has the loop itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
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
)
from engine.dataset.balance import chances, class_weights
from engine.dataset.clips import ClipLists
from engine.dataset.formats import read_clips
from engine.dataset.formats.classes import require_kind_of_labels, require_two_classes
from engine.dataset.loader import Batches, ClipDataset, TrainingClips, ValidationClips
from engine.dataset.mirror import mirror_note, mirror_of
from engine.dataset.quarantine import LeftOut, Quarantine
from engine.dataset.workers import ClipLoader
from engine.device import (
    autocast,
    choose_channels_last,
    choose_device,
    choose_precision,
    choose_workers,
    describe,
    make_deterministic,
    make_fast,
    store_channels_last,
)
from engine.errors import DeviceError, RecipeError, WeightsError
from engine.events import CheckpointSaved, EventLog, Message, RunInterrupted, RunStarted, WeightsLoaded
from engine.learning_rate import lr_arithmetic, scaled_lr
from engine.lora import add_corrections
from engine.loss import ClipLoss, build_loss
from engine.memory import ADVICE, STEPS_AN_EPOCH, free_cached_memory, largest_batch
from engine.meter import Meter
from engine.metrics import chance_level
from engine.mixing import Mix, build_mix
from engine.model import build_model
from engine.provenance import changed_clips, write_provenance
from engine.randomness import random_state, restore_random_state, seed_generators
from engine.recipe import Recipe, save_recipe
from engine.resume import require_the_same
from engine.run_folder import LAST, RunFolder
from engine.schedule import build_average, build_optimizer, build_scheduler, is_frozen_at, set_base_lrs, set_frozen
from engine.weights.fetch import Progress
from engine.weights.load import LoadReport, initialise

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
        where writing fails otherwise.
        """
        names = self.names_owed = list(dict.fromkeys([*names, *self.names_owed]))
        with self.run.writing(f"The checkpoint of step {self.step}"):
            self.log.sync()  # what it goes on from must not be older than what the log tells
            save_checkpoint(self.run, {**self._state(), "names": names}, self.recipe, names)
            drop_old_epochs(self.run, self.epoch - 1, self.recipe.schedule.keep_checkpoints)
        self.names_owed, self.saved_step = (), self.step
        self.meter.saved()
        self._announce_saved(names)

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


def set_up(recipe: Recipe, run: RunFolder, log: EventLog, resume: bool) -> Training:
    """Decide every "auto", read the dataset, build the model, load the weights; the run folder gets the result.

    Raises the FtwizError of whatever does not work.
    """
    device = choose_device(recipe.run.device)
    if recipe.run.deterministic:
        make_deterministic()
    else:
        make_fast(recipe.run.tf32)
    seed_generators(recipe.run.seed)

    asked = recipe
    asked_classes = recipe.head.num_classes
    clips = read_clips(recipe.dataset, None if asked_classes == "auto" else asked_classes, recipe.model.modality)
    require_two_classes(clips.classes, recipe.dataset.root)
    require_kind_of_labels(clips, recipe.head.multi_label, recipe.dataset.root)
    clips = replace(clips, notes=clips.notes + mirror_note(recipe, clips.classes))
    recipe = _resolved(recipe, clips, device)
    if not resume:
        recipe = _with_its_own_quarantine(recipe, run)
    check_test_frames(recipe)

    model = build_model(recipe)
    report = None if resume else initialise(model, recipe, on_progress=_log_download(log))
    if recipe.schedule.lora:
        add_corrections(model, recipe)
    model.to(device)
    if choose_channels_last(recipe.run.channels_last, device):
        store_channels_last(model)
    loss = build_loss(recipe, _class_weights(clips, recipe)).to(device)
    recipe = _with_a_batch_that_fits(recipe, model, loss, clips, device)
    average = build_average(model, recipe.schedule)  # a copy: before the model is compiled
    if recipe.run.compile:
        model.compile()

    set_frozen(model, recipe.schedule, epoch=max(1, recipe.schedule.unfreeze_at_epoch))
    optimizer = build_optimizer(model, recipe, device)
    batches = Batches(
        len(clips.train), int(recipe.schedule.batch_size), shuffle_seed=recipe.run.seed, chances=_chances(clips, recipe)
    )
    val_batches = Batches(len(clips.val), int(recipe.schedule.micro_batch_size))
    quarantine = Quarantine(run.quarantine)
    training = Training(
        recipe=recipe,
        run=run,
        log=log,
        device=device,
        clips=clips,
        model=model,
        loss=loss,
        mix=build_mix(recipe),
        optimizer=optimizer,
        scheduler=build_scheduler(optimizer, recipe.schedule, steps_per_epoch=len(batches)),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.run.precision == "fp16"),
        average=average,
        batches=batches,
        loader=_loader(TrainingClips(clips.train, recipe), batches, device, quarantine, log),
        val_loader=_loader(ValidationClips(clips.val, recipe), val_batches, device, quarantine, log)
        if clips.val
        else None,
        quarantine=quarantine,
        meter=Meter(device),
        micro_batch_size=int(recipe.schedule.micro_batch_size),
    )
    quarantine.require_at_most(recipe.dataset.max_bad_fraction, clips)
    if resume:
        training.restore()
    else:
        source = report.source if report else ""
        with run.writing("The recipe"):
            save_recipe(recipe, run.recipe)
            write_provenance(run.provenance, asked, clips, device, source, report.sha256 if report else "")
    set_frozen(model, recipe.schedule, training.epoch)
    _announce(training, report, resume)
    return training


def _with_its_own_quarantine(recipe: Recipe, run: RunFolder) -> Recipe:
    """The run goes on with the clips it began with, whatever a later check finds."""
    if not recipe.dataset.quarantine:
        return recipe
    LeftOut(Path(recipe.dataset.quarantine)).copy_to(run.left_out)
    dataset = recipe.dataset.model_copy(update={"quarantine": str(run.left_out.absolute())})
    return recipe.model_copy(update={"dataset": dataset})


def _log_download(log: EventLog) -> Progress:
    """A line in the log for every tenth of a file that is fetched; every 10 MB where its size is not known."""
    told = 0

    def on_progress(received: int, total: int | None) -> None:
        nonlocal told
        part = received * 10 // total if total else received // 10_000_000
        if part > told:
            told = part
            whole = f" of {total / 1e6:.0f}" if total else ""
            log.write(Message, level="info", text=f"Fetching the weights: {received / 1e6:.0f}{whole} MB.")

    return on_progress


def _resolved(recipe: Recipe, clips: ClipLists, device: torch.device) -> Recipe:
    """The recipe with every "auto" decided and the class names in it."""
    document = recipe.model_dump()
    document["head"]["num_classes"] = len(clips.classes)
    document["dataset"] |= {**clips.decided, "classes": clips.classes}
    if mirror_of(clips.classes).one_sided:  # which `mirror_note` says
        document["dataset"]["flip"] = 0.0
        document["run"]["test_crops"] = min(recipe.run.test_crops, 3)
    document["run"]["device"] = str(device)
    document["run"]["precision"] = choose_precision(recipe.run.precision, device)
    document["run"]["workers"] = choose_workers(recipe.run.workers, device)
    return Recipe.model_validate(document)


def _with_a_batch_that_fits(
    recipe: Recipe, model: nn.Module, loss: ClipLoss, clips: ClipLists, device: torch.device
) -> Recipe:
    """The recipe with batch_size and micro_batch_size decided; tries steps where the batch is "auto"."""
    schedule = recipe.schedule
    batch_size, micro_batch_size = schedule.batch_size, schedule.micro_batch_size
    if batch_size == "auto":
        one = next(batch for batch in _one_clip_at_a_time(clips, recipe) if len(batch.labels))
        batch_size = min(largest_batch(model, recipe, loss, one, device), max(1, len(clips.train) // STEPS_AN_EPOCH))
    micro_batch_size = batch_size if micro_batch_size == "auto" else min(micro_batch_size, batch_size)
    sizes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size}
    return recipe.model_copy(update={"schedule": schedule.model_copy(update=sizes)})


def _one_clip_at_a_time(clips: ClipLists, recipe: Recipe) -> ClipLoader:
    workers = min(int(recipe.run.workers), 1)
    return ClipLoader(TrainingClips(clips.train, recipe), Batches(len(clips.train), 1), workers, pin_memory=False)


def _class_weights(clips: ClipLists, recipe: Recipe) -> torch.Tensor | None:
    if recipe.dataset.balance != "weights":
        return None
    return torch.tensor(class_weights(clips.train, len(clips.classes)), dtype=torch.float32)


def _chances(clips: ClipLists, recipe: Recipe) -> np.ndarray | None:
    return chances(clips.train, len(clips.classes)) if recipe.dataset.balance == "sampler" else None


def check_test_frames(recipe: Recipe) -> None:
    """Raise RecipeError where the frames that [run] wants at test time are not those that the model can take."""
    model, run = recipe.model, recipe.run
    if model.clip_len and run.test_segments:
        raise RecipeError(
            f"[run] test_segments = {run.test_segments} is for frames spread over the video, but [model] clip_len = "
            f"{model.clip_len} takes dense clips; set test_segments to 0, and test_clips to how many clips."
        )
    if run.test_clips > 1 and not model.clip_len:
        raise RecipeError(
            f"[run] test_clips = {run.test_clips} is for dense clips, but this recipe spreads [model] segments over "
            "the video; set test_clips to 1 (test_segments takes more frames), or give [model] clip_len."
        )
    if model.recognizer != "tsn" and run.test_segments not in (0, model.segments):
        raise RecipeError(
            f"[run] test_segments = {run.test_segments}, but {model.recognizer} works on the {model.segments} frames "
            f"of [model] segments together; set it to {model.segments} or 0."
        )
    _check_test_size(recipe)


def _check_test_size(recipe: Recipe) -> None:
    dataset = recipe.dataset_at_test_time
    if dataset.frame_size > dataset.short_side:
        raise RecipeError(
            f"[run] test_frame_size is {dataset.frame_size}: it is cut out of frames whose short side is "
            f"{dataset.short_side} at test time, so it cannot be larger; set test_short_side too."
        )
    if dataset.frame_size != recipe.dataset.frame_size:
        try:
            with torch.device("meta"):  # no memory: only to see whether the network takes them
                build_model(recipe.model_copy(update={"dataset": dataset}))
        except RecipeError:
            raise RecipeError(
                f"[run] test_frame_size = {dataset.frame_size} does not suit {recipe.model.backbone}, which only takes "
                f"frames of the size that it is trained on, {recipe.dataset.frame_size}; set it to 0."
            ) from None


def _loader(
    dataset: ClipDataset, batches: Batches, device: torch.device, quarantine: Quarantine, log: EventLog
) -> ClipLoader:
    """Clips in quarantine are not tried; a lost worker process is a warning in the log."""
    batches.leaves_out = quarantine.among(dataset.clips)
    return ClipLoader(
        dataset,
        batches,
        workers=int(dataset.recipe.run.workers),
        pin_memory=device.type == "cuda",
        on_loss=lambda sentence: log.write(Message, level="warning", text=sentence),
    )


def _announce(training: Training, report: LoadReport | None, resume: bool) -> None:
    """The first events of the log: what was found, what was chosen, what was reused."""
    recipe, clips = training.recipe, training.clips
    training.log.write(
        RunStarted,
        name=recipe.name,
        classes=list(clips.classes),
        train_clips=len(clips.train),
        val_clips=len(clips.val),
        epochs=recipe.schedule.epochs,
        steps_per_epoch=training.steps_per_epoch,
        batch_size=int(recipe.schedule.batch_size),
        lr=scaled_lr(recipe.schedule),
        lr_arithmetic=lr_arithmetic(recipe.schedule),
        device=describe(training.device),
        precision=recipe.run.precision,
        workers=int(recipe.run.workers),
        parameters=sum(parameter.numel() for parameter in training.model.parameters()),
        chance=chance_level(clips.val or clips.train, recipe),
        key_metric=recipe.head.key_metric,
        first_step=training.step,
    )
    for note in clips.notes:
        training.say(note)
    _say_what_is_frozen(training)
    if report:
        training.log.write(
            WeightsLoaded,
            source=report.source,
            kept=len(report.kept),
            reinitialised=len(report.reinitialised),
            dropped=len(report.dropped),
            backbone_share=report.backbone_share,
            report=report.lines(),
        )
    elif not resume:
        training.say("No pretrained weights: every parameter starts at random.", level="warning")
    if not clips.val:
        training.say("There are no validation clips: nothing will tell how well this generalises.", level="warning")


def _say_what_is_frozen(training: Training) -> None:
    schedule = training.recipe.schedule
    what = []
    if schedule.lora:
        what.append(f"LoRA of rank {schedule.lora}")
    if is_frozen_at(schedule, training.epoch):
        until = f" until epoch {schedule.unfreeze_at_epoch}" if schedule.unfreeze_at_epoch else ""
        what.append(f'freeze = "{schedule.freeze}"{until}')
    if what:
        parameters = list(training.model.parameters())
        learning = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        all_of_them = sum(parameter.numel() for parameter in parameters)
        training.say(f"{', '.join(what)}: {learning:,} of {all_of_them:,} parameters learn.")
