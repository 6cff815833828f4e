"""THE loop. One optimiser step reads from top to bottom in `train_epoch`; everything it works on is a `Training`."""

from __future__ import annotations

import math
import os
from contextlib import nullcontext
from pathlib import Path

import torch

from engine.advice import Adviser, Course
from engine.control import Control, Interrupted, Signals, Stopped
from engine.dataset.augment import normalise
from engine.dataset.loader import Batch
from engine.dataset.workers import TooLittleSharedMemoryError
from engine.device import available_cores
from engine.distributed import join, leave
from engine.divergence import DivergedError, go_back, require_finite
from engine.errors import DataError, RecipeError, TrainingError
from engine.evaluation import Metrics, measure, write_report
from engine.events import (
    ClipSkipped,
    EventLog,
    Paused,
    Resumed,
    RunFinished,
    Step,
    Validation,
    ValidationStarted,
    WarningsAside,
)
from engine.memory import is_out_of_memory
from engine.meter import Meter
from engine.metrics import training_accuracy
from engine.recipe import Recipe
from engine.run_folder import LAST, START, RunFolder
from engine.schedule import clip_gradients
from engine.set_up import set_up
from engine.tracking import require_packages, tracking
from engine.training import Training


def fit(
    recipe: Recipe, run_dir: str | os.PathLike[str], resume: bool = False, signals: Signals | None = None
) -> Training:
    """Train as the recipe says, logging to and saving in `run_dir`; returns the finished training.

    signals: those of a process that hears them already; None: heard from here to the end of the training.
    On several GPUs, each process that torchrun started calls this; the first one alone logs and saves.
    Raises Interrupted, after a checkpoint is saved, when SIGINT, SIGTERM or SIGUSR1 came; else the FtwizError of what
    went wrong.
    """
    run, world = RunFolder(Path(run_dir)), join(recipe.run)
    if world.is_first and run.events.exists() and not resume:
        raise RecipeError(f"{run.path} already holds a run; go on with it (resume), or give another folder.")
    with run.writing("The run"):
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        if world.size == 1:  # else by the process that started all
            run.claim()
    require_packages(recipe.run.trackers)
    log = EventLog(run.events) if world.is_first else WarningsAside()
    training = set_up(recipe, run, log, resume, world)
    Adviser(Course(training.recipe, training.clips.counts(training.clips.train), available_cores()), log)
    watched = tracking(training.recipe, run, log) if world.is_first else nullcontext()
    with nullcontext(signals) if signals else Signals() as heard, watched:
        train(training, heard)
    leave(world)
    return training


def train(training: Training, signals: Signals) -> None:
    """All epochs that are left, and the last event."""
    run, log, meter = training.run, training.log, training.meter
    stopped = False

    def on_pause(paused: bool) -> None:
        if paused:
            log.write(Paused, step=training.step)
            meter.pause()
        else:
            log.write(Resumed, step=training.step)
            meter.go_on()

    def on_full(what: str) -> None:
        training.say(f"{what} Training waits, and goes on by itself once there is room.", level="warning")

    signals.on_leave = lambda: training.log_interrupted(EventLog(run.events), signals.came)
    with Control(run, signals, training.save, on_pause, on_full, training.world.is_first) as control:
        try:
            control.attend()
            if training.recipe.schedule.retries_at_half_lr and not training.step:
                control.write(lambda: training.save([LAST, START]))
            while training.epoch <= training.recipe.schedule.epochs and not training.has_stopped_improving():
                try:
                    train_epoch(training, meter, control)
                    validate_and_save(training, meter, control)
                except DivergedError as diverged:
                    go_back(training, diverged, control)
        except Interrupted as interrupted:
            save_if_possible(training)
            training.log_interrupted(log, str(interrupted))
            raise
        except Stopped:
            training.save()
            stopped = True
        except (DataError, TooLittleSharedMemoryError):
            save_if_possible(training)
            raise
    key_metric = training.recipe.head.key_metric
    log.write(
        RunFinished,
        **{"best_top1": math.nan, f"best_{key_metric}": training.best if training.best_epoch else math.nan},
        key_metric=key_metric,
        best_epoch=training.best_epoch,
        seconds=training.seconds_so_far,
        stopped_early=stopped,
        clips_left_out=len(training.quarantine),
    )
    signals.on_leave = lambda: None


def save_if_possible(training: Training) -> None:
    """On the way out for another reason; a full disk is no better one."""
    try:
        training.save()
    except TrainingError as error:
        training.say(str(error), level="warning")


def train_epoch(training: Training, meter: Meter, control: Control) -> None:
    """The rest of the current epoch: all of it, or what a resumed run had not done yet."""
    schedule, model, optimizer, scaler = training.recipe.schedule, training.model, training.optimizer, training.scaler
    training.begin_epoch()
    for share in meter.waiting_for(training.loader):
        batch = training.world.whole(share)  # on one GPU the same
        report_skipped(training, batch)
        if batch.clips:
            losses, accuracy = gradients_of(training, share, of=len(batch.clips))  # [B], [B]
            scaler.unscale_(optimizer)
            grad_norm = clip_gradients(model.parameters(), schedule)
            require_finite(training, losses, grad_norm, batch)
            scaler.step(optimizer)
            scaler.update()
            if training.average:
                training.average.update_parameters(model)
            meter.add(losses, accuracy, grad_norm)
        training.scheduler.step()
        training.step += 1
        log_step(training, meter)
        save_where_due(training, meter, control)
        control.attend()


def gradients_of(training: Training, share: Batch, of: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the mean loss of the `of` clips of a batch, summed over micro-batches and processes → the loss of
    each clip [B], and its training_accuracy [B]. share: the clips of this process."""
    training.world.draw_apart(training.recipe.run.seed, training.step)
    losses, accuracy = training.world.joined(gradients_of_share(training, share, of))
    training.world.add_up_gradients(training.model)
    return losses, accuracy


def gradients_of_share(training: Training, share: Batch, of: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The micro-batches' losses and accuracies. Where one does not fit into memory, all is done again in halves."""
    while True:
        training.optimizer.zero_grad()
        try:
            return [backward(training, *part, of) for part in share.split(training.micro_batch_size)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        training.halve_micro_batch()  # out of the except: the error holds on to what did not fit


def backward(
    training: Training, frames: torch.Tensor, labels: torch.Tensor, of: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradients of uint8 frames [b, T, C, H, W], as part of a batch of so many clips."""
    frames = frames.to(training.device, non_blocking=True)
    targets = labels.to(training.device, non_blocking=True)  # [b], or [b, num_classes]
    frames, targets = training.mix(normalise(frames, training.recipe.model), targets)
    with training.autocast():
        logits = training.model(frames)  # [b, num_classes]
    losses = training.loss(logits.float(), targets)  # [b]
    training.scaler.scale(losses.sum() / of).backward()
    accuracy = training_accuracy(logits.detach().float(), targets, training.recipe.head.multi_label)  # [b]
    return losses.detach(), accuracy


def save_where_due(training: Training, meter: Meter, control: Control) -> None:
    """In the middle of an epoch, as checkpoint_steps and checkpoint_minutes ask for it."""
    schedule = training.recipe.schedule
    by_steps = schedule.checkpoint_steps and training.step % schedule.checkpoint_steps == 0
    by_time = schedule.checkpoint_minutes and meter.minutes_since_save() >= schedule.checkpoint_minutes
    if by_steps or by_time:
        control.write(training.save)


def validate_and_save(training: Training, meter: Meter, control: Control) -> None:
    """What ends an epoch: validation where it is due, the checkpoints, and the step to the next epoch."""
    schedule, epoch = training.recipe.schedule, training.epoch
    is_last = epoch == schedule.epochs
    names = ["last.pt"]
    if training.val_loader and (is_last or epoch % schedule.validation_interval == 0):
        names += ["best.pt"] if validate(training, meter, control) else []
    if is_last or epoch % schedule.checkpoint_interval == 0:
        names += [f"epoch-{epoch:03d}.pt"]
    training.epoch += 1  # the checkpoint goes on with the next epoch
    control.write(lambda: training.save(names))


def validate(training: Training, meter: Meter, control: Control) -> bool:
    """Measure on the validation clips, log it, keep the report of the best; returns whether this is the best so far."""
    assert training.val_loader is not None
    began, clips, epoch = meter.now(), training.clips.val, training.epoch
    training.log.write(ValidationStarted, epoch=epoch, clips=len(clips))

    def between_batches(batch: Batch) -> None:
        report_skipped(training, batch)
        control.attend(can_checkpoint=False)

    model, recipe = training.model_to_measure, training.recipe
    metrics = measure(model, training.val_loader, recipe, training.device, between_batches, training.world)
    best = metrics.key > training.best
    if best:
        control.write(lambda: write_the_report(training, metrics))  # may end here: nothing has changed so far
        training.best, training.best_epoch = metrics.key, epoch
    training.validations_since_best = 0 if best else training.validations_since_best + 1
    training.log.write(
        Validation,
        epoch=epoch,
        step=training.step,
        loss=metrics.loss,
        top1=metrics.top1,
        top5=metrics.top5,
        mean_class_accuracy=metrics.mean_class_accuracy,
        per_class=metrics.per_class,
        confused=[list(pair) for pair in metrics.most_confused()],
        best=best,
        mean_average_precision=metrics.mean_average_precision,
        sample_map=metrics.sample_map,
        key_metric=metrics.key_metric,
        never_predicted=metrics.never_predicted(),
    )
    meter.leave_out(began)
    return best


def write_the_report(training: Training, metrics: Metrics) -> None:
    with training.run.writing("The report"):
        write_report(training.run.report, metrics, training.clips.val, training.clips.classes)


def report_skipped(training: Training, batch: Batch) -> None:
    """Put the clips of a batch that did not decode into quarantine; too many of them end the run."""
    for name, reason in batch.skipped:
        with training.run.writing(f"{name} among the clips that are left out"):
            is_new = training.quarantine.add(name, reason, on_disk=training.world.is_first)
        if is_new:
            training.log.write(ClipSkipped, path=name, reason=reason, epoch=training.epoch)
    training.quarantine.require_at_most(training.recipe.dataset.max_bad_fraction, training.clips)


def log_step(training: Training, meter: Meter) -> None:
    """A Step event every log_interval steps, and at the end of each epoch."""
    per_epoch, step = training.steps_per_epoch, training.step
    if step % training.recipe.run.log_interval and step % per_epoch:
        return
    left = training.recipe.schedule.epochs * per_epoch - step
    measured = training.world.gather(meter.read())
    of_the_worst = {name: max(each[name] for each in measured) for name in ("data_wait", "memory_mb")}
    training.log.write(
        Step,
        step=step,
        epoch=training.epoch,
        lr=training.scheduler.get_last_lr()[0],
        eta_s=left * meter.seconds_a_step(),
        **(measured[0] | of_the_worst),
    )
