"""A training with everything it needs, set up from a recipe; saved to and restored from a checkpoint.

`engine/train.py` has the loop itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from engine.checkpoint import keep_as, load_checkpoint, random_state, restore_random_state, save_checkpoint
from engine.dataset.clips import Clip, ClipLists, packed
from engine.dataset.formats import read_clips
from engine.dataset.formats.classes import require_two_classes
from engine.dataset.loader import Batches, TrainingClips, ValidationClips, build_loader
from engine.device import (
    autocast,
    choose_device,
    choose_precision,
    choose_workers,
    describe,
    make_deterministic,
)
from engine.errors import RecipeError, WeightsError
from engine.events import CheckpointSaved, EventLog, Message, RunStarted, WeightsLoaded
from engine.learning_rate import lr_arithmetic, scaled_lr
from engine.loss import ClipLoss, build_loss
from engine.model import build_model
from engine.provenance import write_provenance
from engine.recipe import Recipe, save_recipe
from engine.run_folder import RunFolder
from engine.schedule import build_optimizer, build_scheduler
from engine.weights.fetch import Progress
from engine.weights.load import LoadReport, initialise


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
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    batches: Batches
    loader: DataLoader
    val_loader: DataLoader | None  # None: no validation clips
    epoch: int = 1  # the one being trained, 1-based
    step: int = 0  # optimiser steps done in the whole run
    skipped: int = 0  # clips of this epoch that did not decode
    best_top1: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0  # of earlier processes, for the sum at the end

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    @property
    def steps_done_in_epoch(self) -> int:
        return self.step - (self.epoch - 1) * self.steps_per_epoch

    def autocast(self) -> AbstractContextManager:
        return autocast(self.device, self.recipe.run.precision)

    def say(self, text: str, level: str = "info") -> None:
        self.log.write(Message, level=level, text=text)

    def save(self, names: Sequence[str] = ("last.pt",)) -> None:
        """Write a checkpoint under the first name, and give it the others (best.pt, epoch-005.pt)."""
        first, *others = names
        save_checkpoint(self.run.checkpoints / first, self._state(), self.recipe)
        for name in others:
            keep_as(self.run.checkpoints / first, name)
        for name in names:
            self.log.write(CheckpointSaved, path=f"checkpoints/{name}", step=self.step, epoch=self.epoch)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": random_state(),
            "epoch": self.epoch,
            "step": self.step,
            "skipped": self.skipped,
            "best_top1": self.best_top1,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
        }

    def restore(self, path: Path) -> None:
        """Go on where a checkpoint was written. Raises WeightsError where it is another model's or other classes'."""
        state = load_checkpoint(path)
        if state["classes"] != list(self.recipe.dataset.classes):
            raise WeightsError(
                f"{path} was trained on other classes than the dataset has now; a run goes on with its own. To start "
                "a new run from these weights, name the checkpoint in [weights] load_from."
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise WeightsError(
                f"{path} holds another model or optimiser than the recipe describes; undo the change to the recipe, or "
                "start a new run with the checkpoint in [weights] load_from."
            ) from None
        self.scheduler.load_state_dict(state["scheduler"])
        for name in ("epoch", "step", "skipped", "best_top1", "best_epoch", "seconds"):
            setattr(self, name, state[name])
        restore_random_state(state["random"])


def set_up(recipe: Recipe, run: RunFolder, log: EventLog, resume: bool) -> Training:
    """Decide every "auto", read the dataset, build the model, load the weights; the run folder gets the result.

    Raises the FtwizError of whatever does not work.
    """
    device = choose_device(recipe.run.device)
    if recipe.run.deterministic:
        make_deterministic()
    torch.manual_seed(recipe.run.seed)

    asked_classes = recipe.head.num_classes
    clips = read_clips(recipe.dataset, None if asked_classes == "auto" else asked_classes)
    require_two_classes(clips.classes, recipe.dataset.root)
    recipe = _resolved(recipe, clips, device)
    check_test_frames(recipe)

    model = build_model(recipe)
    report = None if resume else initialise(model, recipe, on_progress=_log_download(log))
    model.to(device)
    optimizer = build_optimizer(model, recipe.schedule)
    batches = Batches(len(clips.train), recipe.schedule.batch_size, shuffle_seed=recipe.run.seed)
    workers = int(recipe.run.workers)
    on_gpu = device.type == "cuda"
    training = Training(
        recipe=recipe,
        run=run,
        log=log,
        device=device,
        clips=clips,
        model=model,
        loss=build_loss(recipe).to(device),
        optimizer=optimizer,
        scheduler=build_scheduler(optimizer, recipe.schedule, steps_per_epoch=len(batches)),
        batches=batches,
        loader=build_loader(TrainingClips(clips.train, recipe), batches, workers, pin_memory=on_gpu),
        val_loader=_val_loader(clips.val, recipe, workers, pin_memory=on_gpu),
    )
    if resume:
        training.restore(run.checkpoints / "last.pt")
    else:
        save_recipe(recipe, run.recipe)
        source = report.source if report else ""
        write_provenance(run.provenance, clips, recipe.run.seed, device, source, report.sha256 if report else "")
    _announce(training, report, resume)
    return training


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
    document["dataset"]["classes"] = clips.classes
    document["run"]["device"] = str(device)
    document["run"]["precision"] = choose_precision(recipe.run.precision, device)
    document["run"]["workers"] = choose_workers(recipe.run.workers, device)
    return Recipe.model_validate(document)


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


def _val_loader(clips: Sequence[Clip], recipe: Recipe, workers: int, pin_memory: bool) -> DataLoader | None:
    if not clips:
        return None
    batches = Batches(len(clips), recipe.schedule.batch_size)
    return build_loader(ValidationClips(clips, recipe), batches, workers, pin_memory)


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
        batch_size=recipe.schedule.batch_size,
        lr=scaled_lr(recipe.schedule),
        lr_arithmetic=lr_arithmetic(recipe.schedule),
        device=describe(training.device),
        precision=recipe.run.precision,
        workers=int(recipe.run.workers),
        parameters=sum(parameter.numel() for parameter in training.model.parameters()),
        chance=_chance(clips.val or clips.train),
        first_step=training.step,
    )
    for note in clips.notes:
        training.say(note)
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


def _chance(clips: Sequence[Clip]) -> float:
    """Accuracy of always guessing the commonest class."""
    return max(packed(clips).label_counts().values()) / len(clips)
