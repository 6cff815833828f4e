"""What a training will take, worked out from a few steps that were measured. Torch-free.

`engine/estimate.py` measures, in a process of its own; a `Measurement` is what it found. Another number of epochs
needs no other measurement: `forecast` works the totals out for any schedule that trains with the same steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.recipe import Recipe, Schedule, with_absolute_paths

# Keys that change neither a step nor a checkpoint: what was measured holds for recipes that differ in them alone.
_LEAVES_STEPS_ALONE = {
    "head": ("dropout", "init_std"),
    "dataset": ("flip", "max_bad_fraction"),
    "schedule": (
        "epochs", "lr", "lr_batch_size", "lr_policy", "milestones", "gamma", "warmup_epochs", "warmup_start",
        "weight_decay", "label_smoothing", "early_stopping", "retries_at_half_lr", "validation_interval",
        "checkpoint_interval", "keep_checkpoints", "checkpoint_steps", "checkpoint_minutes",
    ),
    "weights": ("load_from", "backbone", "allow_partial"),
    "run": ("output", "trackers", "log_interval", "average_clips", "test_segments", "test_clips", "test_crops",
            "test_short_side", "test_frame_size"),
}  # fmt: skip

# A few steps on a machine that does other things too are not known better than this.
LEAST_SPREAD, MOST_SPREAD = 0.1, 0.9
# What torch's loader has in hand for each worker process (DataLoader's prefetch_factor).
_AHEAD = 2


@dataclass(frozen=True)
class Pass:
    """A pass over clips, as measured: an epoch of training, or a validation. Times in seconds."""

    clips: int  # in the whole pass
    batch_size: int
    compute_s: float  # of a whole batch: what the device does, and what is done around it
    decode_s: float  # of a clip, in one process
    steps: int  # that were measured
    compute_spread: float  # by how much compute_s may be wrong, as a share of it
    decode_spread: float

    @property
    def batches(self) -> int:
        return -(-self.clips // self.batch_size)


@dataclass(frozen=True)
class Measurement:
    """What a few real steps took, and where."""

    device: str
    precision: str
    workers: int
    cores: int  # of this machine that the process may use
    batch_size: int
    micro_batch_size: int  # clips on the device at a time
    train: Pass
    val: Pass | None  # None: there are no validation clips
    memory_mb: float  # the most that the device held; without a GPU, the training process
    memory_limit_mb: float  # of the device or the machine; 0 where nobody says
    checkpoint_bytes: int
    clips_skipped: int  # of those that were tried
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What follows for a whole training. Times in seconds; of the total, from and to."""

    steps_per_epoch: int
    step_s: float
    clips_per_s: float
    data_wait: float  # share of an epoch that is spent waiting for clips to be decoded
    epoch_s: float
    validation_s: float  # of one validation; 0 without validation clips
    validations: int
    total_s: float
    total_from_s: float
    total_to_s: float
    checkpoint_bytes: int  # of one
    checkpoints: int  # the most that there are at a time
    disk_bytes: int


def forecast(measured: Measurement, schedule: Schedule) -> Forecast:
    """The training as `schedule` says it, in steps as they were measured."""
    epoch_s, waited = _seconds_of(measured.train, measured.workers)
    files = checkpoints_held(schedule, validates=measured.val is not None)
    return Forecast(
        steps_per_epoch=measured.train.batches,
        step_s=epoch_s / measured.train.batches,
        clips_per_s=measured.train.clips / epoch_s,
        data_wait=waited / epoch_s,
        epoch_s=epoch_s,
        validation_s=_seconds_of(measured.val, measured.workers)[0] if measured.val else 0.0,
        validations=_validations(schedule, schedule.epochs) if measured.val else 0,
        total_s=_total(measured, schedule),
        total_from_s=_total(measured, schedule, surely=-1),
        total_to_s=_total(measured, schedule, surely=1),
        checkpoint_bytes=measured.checkpoint_bytes,
        checkpoints=files,
        disk_bytes=files * measured.checkpoint_bytes,
    )


def _total(measured: Measurement, schedule: Schedule, surely: int = 0) -> float:
    """Seconds of all epochs and validations. surely: -1 for the least that they may be, 1 for the most."""
    seconds = schedule.epochs * _seconds_of(measured.train, measured.workers, surely)[0]
    if measured.val:
        seconds += _validations(schedule, schedule.epochs) * _seconds_of(measured.val, measured.workers, surely)[0]
    return seconds


def _seconds_of(measured: Pass, workers: int, surely: int = 0) -> tuple[float, float]:
    sizes = [measured.batch_size] * (measured.clips // measured.batch_size)
    if rest := measured.clips % measured.batch_size:
        sizes.append(rest)
    compute_s = measured.compute_s / measured.batch_size * (1 + surely * measured.compute_spread)
    return pass_seconds(sizes, compute_s, measured.decode_s * (1 + surely * measured.decode_spread), workers)


def pass_seconds(sizes: Sequence[int], compute_s: float, decode_s: float, workers: int) -> tuple[float, float]:
    """How long a pass over batches of these sizes takes, and how much of it is waiting for them, in seconds.

    compute_s, decode_s: of one clip. Worker processes take the batches in turn and are at most two each ahead of the
    trainer, as in torch's DataLoader; none: the trainer decodes by itself.
    """
    if not workers:
        waited = sum(sizes) * decode_s
        return sum(sizes) * compute_s + waited, waited
    now = waited = 0.0
    is_free = [0.0] * workers  # when each worker can begin with another batch
    asked = [0.0] * min(_AHEAD * workers, len(sizes))  # when each batch was asked for
    for number, size in enumerate(sizes):
        worker = number % workers
        is_free[worker] = max(is_free[worker], asked[number]) + size * decode_s
        waited += max(0.0, is_free[worker] - now)
        now = max(now, is_free[worker])
        asked.append(now)
        now += size * compute_s
    return now, waited


def checkpoints_held(schedule: Schedule, validates: bool) -> int:
    """The most files of a checkpoint's size that a run holds between two saves. Several names of one file (last.pt and
    epoch-050.pt) count once; best.pt may be of any epoch, and last-previous.pt is the one before last.pt."""
    end, keep, interval = schedule.epochs, schedule.keep_checkpoints, schedule.checkpoint_interval
    usual = range(1, min(end, (keep + 2) * interval) + 1) if keep else ()  # afterwards it goes on like this
    most = 0
    for epoch in {*usual, max(1, end - 1), end}:
        made = [*range(interval, epoch + 1, interval)]
        if epoch == end and end % interval:
            made.append(end)
        held = {*made[-keep:], epoch, max(1, epoch - 1)}
        most = max(most, len(held) + (validates and _validations(schedule, epoch) > 0 and epoch > len(held)))
    return most + (schedule.retries_at_half_lr > 0)


def _validations(schedule: Schedule, epochs: int) -> int:
    """How many there are in the first epochs: one after every so many, and one after the last of all."""
    extra = epochs == schedule.epochs and epochs % schedule.validation_interval > 0
    return epochs // schedule.validation_interval + extra


def is_measured_by(recipe: Recipe, measured: Recipe) -> bool:
    """Whether what was measured with one recipe holds for the other: they differ in nothing that a step depends on."""
    return _of_a_step(recipe) == _of_a_step(measured)


def _of_a_step(recipe: Recipe) -> dict[str, Any]:
    document = with_absolute_paths(recipe).model_dump(exclude={"name"})
    for table, keys in _LEAVES_STEPS_ALONE.items():
        for key in keys:
            del document[table][key]
    return document


# --- between the processes --------------------------------------------------------------------------------------------


def document_of(measured: Measurement) -> dict[str, Any]:
    """As plain values, for JSON."""
    return asdict(measured)


def measurement_of(document: dict[str, Any]) -> Measurement:
    """The other way round."""
    passes = {name: Pass(**document[name]) if document[name] else None for name in ("train", "val")}
    return Measurement(**{**document, **passes, "notes": tuple(document["notes"])})


def to_line(document: dict[str, Any]) -> str:
    """One line of what the measuring process says."""
    return json.dumps(document, ensure_ascii=False)


# --- how well a mean is known -----------------------------------------------------------------------------------------


def spread_of(seconds: Sequence[float], least: float = LEAST_SPREAD) -> float:
    """By how much the mean of these times may be off, as a share of it."""
    if len(seconds) < 2:
        return MOST_SPREAD
    mean = sum(seconds) / len(seconds)
    variance = sum((one - mean) ** 2 for one in seconds) / (len(seconds) - 1)
    return spread_of_mean(mean, variance, len(seconds), least)


def spread_of_mean(mean: float, variance: float, amount: int, least: float = LEAST_SPREAD) -> float:
    """Two standard errors, and never less than what a busy machine does to any measurement."""
    return min(MOST_SPREAD, max(least, 2 * math.sqrt(variance / amount) / max(mean, 1e-9)))
