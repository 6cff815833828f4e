"""Run folders for tests: realistic logs without training, and processes that claim a run."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from engine.events import (
    CheckpointSaved,
    ClipSkipped,
    Event,
    Message,
    RunStarted,
    Step,
    Validation,
    ValidationStarted,
    WeightsLoaded,
    to_line,
)
from engine.recipe import Recipe
from engine.run_folder import RunFolder, create_run_folder

BEGIN = 4_000_000_000.0  # in the year 2096: no run of these has been silent for long
CLASSES = [
    "archery",
    "打篮球",
    "[b]old[/b] dance",
    "a class with a name that is longer than any panel",
    "gym",
    "judo",
    "ski",
]

_CLAIM_AND_WAIT = """
import sys, time
from pathlib import Path
from engine.run_folder import RunFolder
RunFolder(Path(sys.argv[1])).claim()
print("claimed", flush=True)
time.sleep(600)
"""


def started(epochs: int = 8, steps_per_epoch: int = 40, first_step: int = 0, t: float = BEGIN) -> RunStarted:
    return RunStarted(
        t=t,
        name="tsn-ucf101",
        classes=CLASSES,
        train_clips=320,
        val_clips=80,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=8,
        lr=0.0003125,
        lr_arithmetic="lr 0.01 × 8/256 = 0.0003125",
        device="cuda:0",
        precision="bf16",
        workers=4,
        parameters=23_712_933,
        chance=1 / 6,
        first_step=first_step,
    )


def step_at(step: int, run: RunStarted, loss: float | None = None) -> Step:
    epochs = step / run.steps_per_epoch
    total = run.epochs * run.steps_per_epoch
    return Step(
        t=run.t + step,
        step=step,
        epoch=(step - 1) // run.steps_per_epoch + 1,
        loss=2.0 * math.exp(-epochs / 3) if loss is None else loss,
        accuracy=1 - 0.8 * math.exp(-epochs / 3),
        lr=0.0003125,
        grad_norm=3.25,
        clips_per_s=152.4,
        data_wait=0.125,
        memory_mb=3210.0,
        eta_s=float(total - step),
    )


def validation_at(step: int, run: RunStarted) -> Validation:
    epoch = step // run.steps_per_epoch
    top1 = 0.9 - 0.7 * math.exp(-epoch / 3)
    return Validation(
        t=run.t + step,
        epoch=epoch,
        step=step,
        loss=2.2 * math.exp(-epoch / 4),
        top1=top1,
        top5=min(top1 + 0.1, 1.0),
        mean_class_accuracy=top1 - 0.01,
        per_class=[0.95, 0.25, 0.5, 0.625, math.nan, 0.75, 1.0],
        confused=[[1, 0, 12], [3, 2, 4]],
        best=True,
    )


def history(steps: int, run: RunStarted, seed: int = 0) -> Iterator[Event]:
    """What an engine logs up to a step: weights, a start, steps with noise, validations, checkpoints, a warning."""
    noise = random.Random(seed)
    yield WeightsLoaded(run.t, "tsn-r50-kinetics400.pth", 318, 2, 2, 1.0, ["318 kept", "2 new: fc.weight, fc.bias"])
    yield run
    for step in range(2, steps + 1, 2):
        made = step_at(step, run)
        yield Step(**{**vars(made), "loss": made.loss * (1 + 0.15 * noise.gauss(0, 1))})
        if step == 50:
            yield Message(run.t + step, "warning", "12 clips are shorter than 8 frames; their frames repeat.")
            yield ClipSkipped(run.t + step, "videos/打篮球/v_07.avi", "moov atom not found", made.epoch)
        if step % run.steps_per_epoch == 0:
            yield ValidationStarted(run.t + step, made.epoch, run.val_clips)
            yield validation_at(step, run)
            for name in ("last.pt", "best.pt"):
                yield CheckpointSaved(run.t + step, f"checkpoints/{name}", step, made.epoch)


def make_run(
    folder: Path, events: Iterator[Event] | list[Event] = (), log: str = "", recipe: Recipe | None = None
) -> RunFolder:
    run = create_run_folder(recipe or Recipe(name="tsn-ucf101"), folder, datetime(2026, 1, 2))
    append(run, *events)
    run.log.write_text(log, encoding="utf-8")
    return run


def append(run: RunFolder, *events: Event) -> None:
    with open(run.events, "a", encoding="utf-8") as file:
        file.writelines(to_line(event) + "\n" for event in events)


def claimed_by_a_process(run: RunFolder) -> subprocess.Popen[str]:
    """A process that says it trains this run, and then only waits."""
    command = [sys.executable, "-c", _CLAIM_AND_WAIT, str(run.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "claimed\n"
    return process


def left_by_a_process(run: RunFolder) -> None:
    """The run was claimed by a process that is gone: the pid is another's by now."""
    run.claim()
    claimed = json.loads(run.process.read_text())
    run.process.write_text(json.dumps({**claimed, "started": "long ago"}))
