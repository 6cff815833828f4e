"""`python -m engine.estimate RECIPE`: a few real steps, measured, that leave nothing behind.

Sets up as a run does: the real clips in real worker processes, the real model on the real device. Only the weights are
random, since they change no time, and the learning rate is 0. RECIPE is a file, or `-` for TOML on stdin.

Says on stdout, a JSON document a line, what it is doing ({"doing": …, "steps": …, "seconds": … of one}) and last what
it found: a `Measurement` ({"measurement": …}) or what is wrong ({"error": …, "exit_code": …}).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import get_worker_info

from engine.dataset.loader import Batch, Batches, ClipDataset, ClipsAround, Item, TrainingClips, ValidationClips
from engine.dataset.workers import ClipLoader
from engine.device import available_cores, describe
from engine.distributed import on_one_gpu
from engine.errors import DataError, DeviceError, ExitCode, FtwizError, RecipeError
from engine.evaluation import measure
from engine.events import EventLog
from engine.forecast import MOST_SPREAD, Measurement, Pass, document_of, spread_of, spread_of_mean, to_line
from engine.memory import ADVICE, is_out_of_memory, memory_limit_mb
from engine.meter import peak_memory_mb
from engine.model import build_model
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder
from engine.schedule import clip_gradients
from engine.set_up import decide, prepare_device, put_together
from engine.train import gradients_of
from engine.training import Training

# What is measured stands for hours: long enough for a mean, short enough to wait for.
SECONDS = 15.0
VALIDATION_SECONDS = 5.0
LEAST_STEPS = 3
# Enough, once the mean of so many steps is known this well.
_STEADY_STEPS, _STEADY, _STEADY_CLIPS = 8, 0.05, 16
# Nothing is written in here, and nothing can be.
_NOWHERE = RunFolder(Path(os.devnull, "run"))

Tell = Callable[..., None]


def measure_steps(recipe: Recipe, tell: Tell = lambda doing, **more: None, seconds: float = SECONDS) -> Measurement:
    """A few steps and validation batches of what `recipe` would train. tell(doing, steps=…) hears what goes on.

    seconds: of measured steps; at least LEAST_STEPS are done, and no more once their times are steady.
    Raises the FtwizError of whatever would not work; DeviceError where not even one clip fits into memory.
    """
    gpus, recipe = recipe.run.gpus, on_one_gpu(recipe)
    device = prepare_device(recipe)
    tell("reading the dataset")
    recipe, clips = decide(recipe, device)
    tries = ", trying which batch fits" if recipe.schedule.batch_size == "auto" else ""
    tell(f"building the model{tries}")
    training = put_together(recipe, clips, build_model(recipe), device, _NOWHERE, EventLog(_NOWHERE.events))
    recipe = training.recipe
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # what trying a batch took is not what the steps take
    asked = training.micro_batch_size
    try:
        train, skipped = _training_pass(training, tell, seconds)
        size = training.checkpoint_size()
        val = _validation_pass(training, tell) if clips.val else None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"The device is out of memory. {ADVICE}") from None
    return Measurement(
        device=describe(device),
        precision=recipe.run.precision,
        workers=int(recipe.run.workers),
        cores=available_cores(),
        batch_size=int(recipe.schedule.batch_size),
        micro_batch_size=training.micro_batch_size,
        train=train,
        val=val,
        memory_mb=peak_memory_mb(device),
        memory_limit_mb=_memory_limit_mb(device),
        checkpoint_bytes=size,
        clips_skipped=skipped,
        notes=_notes(training, asked, gpus),
    )


# --- training steps ---------------------------------------------------------------------------------------------------


def _training_pass(training: Training, tell: Tell, seconds: float) -> tuple[Pass, int]:
    """Steps until their time is known, the first ones left out; and how many clips did not decode on the way."""
    recipe, clips, batch_size = training.recipe, training.clips.train, training.batches.batch_size
    stopwatch = _Stopwatch(training.device)
    dataset = _TimedClips(TrainingClips(clips, recipe))
    workers = int(recipe.run.workers)
    loader = ClipLoader(dataset, training.batches, workers, pin_memory=training.device.type == "cuda")
    for group in training.optimizer.param_groups:
        group["lr"] = 0.0  # weights that were never trained are not to explode
    training.epoch = max(1, training.recipe.schedule.unfreeze_at_epoch)  # the epochs that need the most
    training.step = (training.epoch - 1) * training.steps_per_epoch
    warm_up = 1 if training.device.type == "cpu" and not recipe.run.compile else 3
    tell("the first step, the slowest")
    began, skipped = stopwatch.now(), 0
    for batch in training.endless_batches(loader):
        skipped += len(batch.skipped)
        stopwatch.begin()
        _step(training, batch)
        stopwatch.end(len(batch.labels))
        if len(stopwatch) == warm_up:
            stopwatch.forget()
            warm_up, began = 0, stopwatch.now()
        tell("training steps", steps=len(stopwatch), seconds=stopwatch.last)
        if warm_up or len(stopwatch) < LEAST_STEPS:
            continue
        if stopwatch.now() - began >= seconds or (stopwatch.is_steady() and dataset.clips_timed >= _STEADY_CLIPS):
            break
    return stopwatch.pass_of(len(clips), batch_size, dataset), skipped


def _step(training: Training, batch: Batch) -> None:
    """What `engine.train.train_epoch` does with a batch."""
    gradients_of(training, batch, of=len(batch.labels))
    training.scaler.unscale_(training.optimizer)
    float(clip_gradients(training.model.parameters(), training.recipe.schedule))
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.average:
        training.average.update_parameters(training.model)


# --- validation -------------------------------------------------------------------------------------------------------


class _Enough(Exception):
    """Ends a validation that has shown how long it takes."""


def _validation_pass(training: Training, tell: Tell) -> Pass:
    recipe, clips, batch_size = training.recipe, training.clips.val, training.micro_batch_size
    tell("validating")
    stopwatch = _Stopwatch(training.device)
    dataset = _TimedClips(ValidationClips(clips, recipe))
    batches = Batches(len(clips), batch_size)
    loader = ClipLoader(dataset, batches, int(recipe.run.workers), pin_memory=training.device.type == "cuda")
    began = stopwatch.now()

    def timed() -> Iterator[Batch]:
        for batch in loader:
            stopwatch.begin()
            yield batch

    def between_batches(batch: Batch) -> None:
        stopwatch.end(len(batch.labels))
        tell("validating", steps=len(stopwatch))
        if len(stopwatch) > LEAST_STEPS and stopwatch.now() - began >= VALIDATION_SECONDS:
            raise _Enough

    with suppress(_Enough):
        for _ in range(LEAST_STEPS):
            measure(training.model_to_measure, timed(), recipe, training.device, between_batches)
            if len(stopwatch) > LEAST_STEPS:
                break
    stopwatch.forget_first()
    return stopwatch.pass_of(len(clips), batch_size, dataset)


# --- clocks -----------------------------------------------------------------------------------------------------------


class _Stopwatch:
    """How long each batch keeps the trainer busy, from when it has its frames to when the device is done."""

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter):
        self._device, self.now = device, clock
        self._steps: list[tuple[float, int]] = []  # seconds, clips
        self.last = 0.0  # seconds of the last one

    def __len__(self) -> int:
        return len(self._steps)

    def begin(self) -> None:
        self._began = self.now()

    def end(self, clips: int) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.last = self.now() - self._began
        if clips:
            self._steps.append((self.last, clips))

    def forget(self) -> None:
        self._steps.clear()

    def forget_first(self) -> None:
        """The warm-up, where there is more."""
        if len(self._steps) > 1:
            del self._steps[0]

    def is_steady(self) -> bool:
        return len(self) >= _STEADY_STEPS and spread_of(self._of_a_clip(), least=0.0) <= _STEADY

    def _of_a_clip(self) -> list[float]:
        return [seconds / clips for seconds, clips in self._steps]

    def pass_of(self, clips: int, batch_size: int, dataset: _TimedClips) -> Pass:
        """A pass over so many clips, from what was measured. Raises DataError where nothing was."""
        done = sum(clips for _, clips in self._steps)
        if not done:
            raise DataError(f"{dataset.recipe.dataset.root}: none of the clips that were tried can be decoded.")
        decode_s, decode_spread = dataset.seconds_a_clip()
        return Pass(
            clips=clips,
            batch_size=batch_size,
            compute_s=sum(seconds for seconds, _ in self._steps) / done * batch_size,
            decode_s=decode_s,
            steps=len(self),
            compute_spread=spread_of(self._of_a_clip()),
            decode_spread=decode_spread,
        )


class _TimedClips(ClipsAround):
    """A dataset that sums up, over all worker processes, how long its clips take to decode and to put into a batch."""

    def __init__(self, dataset: ClipDataset):
        super().__init__(dataset)
        places = max(1, int(dataset.recipe.run.workers))
        # Of each worker: clips, seconds, seconds squared. In memory that all of them share.
        self._sums = [RawArray("d", places) for _ in range(3)]
        self._is_warm = False

    def __getitem__(self, item: tuple[int, int]) -> Item:
        began = time.perf_counter()
        view = self._dataset[item]
        if self._is_warm:  # a process's first clip waits for the decoder itself
            self._add(clips=1, seconds=time.perf_counter() - began)
        self._is_warm = True
        return view

    def batch_of(self, items: list[Item]) -> Batch:
        began = time.perf_counter()
        batch = self._dataset.batch_of(items)
        self._add(clips=0, seconds=time.perf_counter() - began)
        return batch

    def _add(self, clips: int, seconds: float) -> None:
        worker = get_worker_info()
        for amounts, amount in zip(self._sums, (clips, seconds, clips * seconds**2), strict=True):
            amounts[worker.id if worker else 0] += amount

    @property
    def clips_timed(self) -> int:
        return round(sum(self._sums[0]))

    def seconds_a_clip(self) -> tuple[float, float]:
        """The mean, and by how much it may be wrong, as a share."""
        clips, seconds, squared = (sum(amounts) for amounts in self._sums)
        if not clips or not seconds:
            return seconds, MOST_SPREAD
        mean = seconds / clips
        variance = max(0.0, squared / clips - mean**2)
        return mean, spread_of_mean(mean, variance, int(clips))


# --- around it --------------------------------------------------------------------------------------------------------


def _memory_limit_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**20
    return memory_limit_mb()


def _notes(training: Training, asked: int, gpus: int) -> tuple[str, ...]:
    notes = []
    if gpus > 1:
        notes.append(
            f"Measured on one device. The {gpus} of [run] gpus share each batch, so that a step may take as little as "
            f"1/{gpus} of this, where the clips are decoded that fast."
        )
    if training.micro_batch_size < asked:
        notes.append(
            f"{asked} clips at a time do not fit into the memory of the device: training goes on with "
            f"{training.micro_batch_size} at a time and adds up their gradients. batch_size = "
            f"{training.micro_batch_size} under [schedule] would fit whole."
        )
    if training.recipe.schedule.unfreeze_at_epoch > 1 and training.recipe.schedule.freeze != "none":
        notes.append(
            f"Epochs before {training.recipe.schedule.unfreeze_at_epoch} learn less and are quicker than this."
        )
    return tuple(notes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and say so on stdout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.estimate", description=__doc__)
    parser.add_argument("recipe", help="a recipe file, a preset's name, or - for TOML on stdin")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of measured steps")
    parser.add_argument("--nice", type=int, default=0, help="leave the processor to others first, 0 to 19")
    asked = parser.parse_args(arguments)
    if asked.nice and hasattr(os, "nice"):
        os.nice(asked.nice)
    try:
        measured = measure_steps(_recipe(asked.recipe), _say_what_goes_on, asked.seconds)
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERRUPTED
    except FtwizError as error:
        _say({"error": str(error), "exit_code": int(error.exit_code)})
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        _say({"error": f"Unexpected {type(error).__name__}: {error}. Please report it.", "exit_code": 1})
        return ExitCode.TRAINING
    _say({"measurement": document_of(measured)})
    return ExitCode.OK


def _recipe(source: str) -> Recipe:
    if source != "-":
        return load_recipe(source)
    try:
        return recipe_from(tomllib.loads(sys.stdin.read()), label="stdin")
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"stdin: this is not TOML: {error}.") from None


def _say_what_goes_on(doing: str, **more: float) -> None:
    _say({"doing": doing, **more})


def _say(document: dict[str, Any]) -> None:
    print(to_line(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
