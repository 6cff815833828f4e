"""From a recipe to a `Training` that can begin: every "auto" decided, dataset read, model built, weights loaded."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.dataset.balance import chances, class_weights
from engine.dataset.clips import ClipLists
from engine.dataset.formats import read_dataset
from engine.dataset.loader import Batch, Batches, ClipDataset, TrainingClips, ValidationClips
from engine.dataset.mirror import decided_by_data, mirror_note
from engine.dataset.quarantine import LeftOut, Quarantine
from engine.dataset.workers import ClipLoader
from engine.device import (
    choose_channels_last,
    choose_device,
    choose_precision,
    choose_workers,
    describe,
    make_deterministic,
    make_fast,
    store_channels_last,
)
from engine.distributed import ALONE, World
from engine.errors import DataError, RecipeError
from engine.events import EventLog, Message, RunStarted, WeightsLoaded
from engine.learning_rate import lr_arithmetic, scaled_lr
from engine.lora import add_corrections
from engine.loss import ClipLoss, build_loss
from engine.memory import STEPS_AN_EPOCH, largest_batch
from engine.meter import Meter
from engine.metrics import chance_level
from engine.mixing import build_mix
from engine.model import build_model, build_shapes
from engine.provenance import write_provenance
from engine.randomness import seed_generators
from engine.recipe import Recipe, save_recipe
from engine.run_folder import LAST, RunFolder
from engine.schedule import build_average, build_optimizer, build_scheduler, is_frozen_at, set_frozen
from engine.training import Training
from engine.weights.fetch import Progress
from engine.weights.load import LoadReport, initialise


def set_up(recipe: Recipe, run: RunFolder, log: EventLog, resume: bool, world: World = ALONE) -> Training:
    """Decide every "auto", read the dataset, build the model, load the weights; the run folder gets the result.

    world: of several processes, all set up the same; the first one writes, and loads the weights that all get.
    Raises the FtwizError of whatever does not work.
    """
    asked, device = recipe, prepare_device(recipe, world)
    with world.first_before_others():
        recipe, clips = decide(recipe, device, world)
    if not resume:
        recipe = _with_its_own_quarantine(recipe, run, world)
    model = build_model(recipe)
    loads = world.is_first and not resume
    report = initialise(model, recipe, on_progress=_log_download(log)) if loads else None
    training = put_together(recipe, clips, model, device, run, log, world)
    training.quarantine.require_at_most(recipe.dataset.max_bad_fraction, clips)
    if resume:
        with world.first_before_others():  # which finds one that is whole, and makes it the last
            training.restore(None if world.is_first else run.checkpoints / LAST)
    elif world.is_first:
        source = report.source if report else ""
        with run.writing("The recipe"):
            save_recipe(training.recipe, run.recipe)
            device_name = describe(device, world.size)
            write_provenance(run.provenance, asked, clips, device_name, source, report.sha256 if report else "")
    set_frozen(model, recipe.schedule, training.epoch)
    if world.is_first:
        _announce(training, report, resume)
    return training


def prepare_device(recipe: Recipe, world: World = ALONE) -> torch.device:
    """The device that the recipe names, as fast or as deterministic as it wants it, and the generators seeded."""
    device = choose_device(recipe.run.device, world)
    if recipe.run.deterministic:
        make_deterministic()
    else:
        make_fast(recipe.run.tf32)
    seed_generators(recipe.run.seed)
    return device


def decide(recipe: Recipe, device: torch.device, world: World = ALONE) -> tuple[Recipe, ClipLists]:
    """The recipe with every "auto" decided but those of the batch, which a model has to try; and its clips."""
    clips = read_dataset(recipe)
    clips = replace(clips, notes=clips.notes + mirror_note(recipe, clips.classes))
    recipe = _resolved(recipe, clips, device, world)
    check_test_frames(recipe)
    return recipe, clips


def put_together(
    recipe: Recipe,
    clips: ClipLists,
    model: nn.Module,
    device: torch.device,
    run: RunFolder,
    log: EventLog,
    world: World = ALONE,
) -> Training:
    """A training of `model`, whose weights are there already. Writes nothing; its recipe has the batch decided."""
    if recipe.schedule.lora:
        add_corrections(model, recipe)
    model.to(device)
    world.take_weights_of_the_first(model)
    if choose_channels_last(recipe.run.channels_last, device):
        store_channels_last(model)
    loss = build_loss(recipe, _class_weights(clips, recipe)).to(device)
    recipe = _with_a_batch_that_fits(recipe, model, loss, clips, device, world)
    average = build_average(model, recipe.schedule)  # a copy: before the model is compiled
    if recipe.run.compile:
        model.compile()

    set_frozen(model, recipe.schedule, epoch=max(1, recipe.schedule.unfreeze_at_epoch))
    optimizer = build_optimizer(model, recipe, device)
    batches = Batches(
        len(clips.train),
        int(recipe.schedule.batch_size),
        shuffle_seed=recipe.run.seed,
        chances=_chances(clips, recipe),
        share=world.share,
    )
    val_batches = Batches(len(clips.val), int(recipe.schedule.micro_batch_size) * world.size, share=world.share)
    quarantine = Quarantine(run.quarantine)
    return Training(
        recipe=recipe,
        run=run,
        log=log,
        world=world,
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


def _with_its_own_quarantine(recipe: Recipe, run: RunFolder, world: World) -> Recipe:
    """The run goes on with the clips it began with, whatever a later check finds."""
    if not recipe.dataset.quarantine:
        return recipe
    if world.is_first:
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


def _resolved(recipe: Recipe, clips: ClipLists, device: torch.device, world: World) -> Recipe:
    """The recipe with every "auto" decided and the class names in it."""
    document = decided_by_data(recipe, clips).model_dump()
    document["run"]["device"] = str(device) if world.size == 1 else device.type  # the same in all processes
    document["run"]["precision"] = choose_precision(recipe.run.precision, device)
    document["run"]["workers"] = choose_workers(recipe.run.workers, device, world.size)
    return Recipe.model_validate(document)


def _with_a_batch_that_fits(
    recipe: Recipe, model: nn.Module, loss: ClipLoss, clips: ClipLists, device: torch.device, world: World
) -> Recipe:
    """The recipe with batch_size and micro_batch_size decided; tries steps where the batch is "auto"."""
    schedule = recipe.schedule
    batch_size, micro_batch_size = schedule.batch_size, schedule.micro_batch_size
    if batch_size == "auto":
        fits = min(world.gather(largest_batch(model, recipe, loss, _one_clip(clips, recipe), device)))
        batch_size = min(fits * world.size, max(world.size, len(clips.train) // STEPS_AN_EPOCH))
    share = math.ceil(int(batch_size) / world.size)
    micro_batch_size = share if micro_batch_size == "auto" else min(micro_batch_size, share)
    sizes = {"batch_size": batch_size, "micro_batch_size": micro_batch_size}
    return recipe.model_copy(update={"schedule": schedule.model_copy(update=sizes)})


def _one_clip(clips: ClipLists, recipe: Recipe) -> Batch:
    """The first training clip that can be decoded. Raises DataError where more cannot than the recipe allows."""
    workers, share = min(int(recipe.run.workers), 1), recipe.dataset.max_bad_fraction
    total, failed = len(clips.train) + len(clips.val), 0
    name = reason = ""
    for batch in ClipLoader(
        TrainingClips(clips.train, recipe), Batches(len(clips.train), 1), workers, pin_memory=False
    ):
        if len(batch.labels):
            return batch
        failed += 1
        name, reason = batch.skipped[0]
        if failed > share * total:
            break
    raise DataError(
        f'{failed} of {total} clips cannot be decoded, found while trying which batch fits (batch_size = "auto"), and '
        f"[dataset] max_bad_fraction = {share:g}; the last one is {name} ({reason}). `ftwiz check` looks at all."
    )


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
    if run.test_clips > 2 and not model.clip_len:
        raise RecipeError(
            f"[run] test_clips = {run.test_clips} is for dense clips, but this recipe spreads [model] segments over "
            "the video; set test_clips to 1 or 2 (test_segments takes more frames), or give [model] clip_len."
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
    if dataset.frame_size != recipe.dataset.frame_size and not _takes_frames_of(dataset.frame_size, recipe):
        raise RecipeError(
            f"[run] test_frame_size = {dataset.frame_size} does not suit {recipe.model.backbone}, which only takes "
            f"frames of the size that it is trained on, {recipe.dataset.frame_size}; set it to 0."
        )


def _takes_frames_of(size: int, recipe: Recipe) -> bool:
    """Whether the network that is trained on frames of [dataset] frame_size also takes those of another size."""
    model = build_shapes(recipe).eval()
    device = next(model.parameters()).device
    try:
        model(torch.empty(1, recipe.model.frames, recipe.model.channels, size, size, device=device))
    except (RuntimeError, AssertionError, ValueError, IndexError):
        return False
    return True


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
        device=describe(training.device, training.world.size),
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
