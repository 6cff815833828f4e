"""`ftwiz estimate`: how long a training will take and what it needs, from a few real steps in a process of its own."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engine.errors import DeviceError, ExitCode
from engine.forecast import Forecast, Measurement, document_of, forecast, measurement_of
from engine.recipe import Recipe, load_recipe, to_toml, with_absolute_paths
from engine.recipe import document_of as document_of_recipe
from wizard.inquiry import Inquiry
from wizard.progress import can_animate
from wizard.words import count, duration, memory, number

# From here on a training waits for its clips rather than for its device, and below this hardly ever.
DATA_BOUND, HARDLY = 0.5, 0.1
SECONDS = 15.0


def print_estimate(source: str, overrides: Mapping[str, Any], seconds: float, as_json: bool) -> int:
    """Measure and print; returns the exit code. Raises the FtwizError of whatever would not work."""
    recipe = load_recipe(source, overrides)
    beside, console = busy(), Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    measuring = Measuring(recipe, seconds, quiet=False)
    try:
        with Progress(*columns, console=console, transient=True, disable=not can_animate(sys.stderr)) as progress:
            task = progress.add_task("starting", total=None)
            measured = measuring.result(lambda doing: progress.update(task, description=doing))
    finally:
        measuring.stop()
    estimate = Estimate(recipe, measured)
    if as_json:
        document = {"measurement": document_of(measured), "forecast": asdict(estimate.forecast)}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return ExitCode.OK
    print(estimate.where())
    rows = estimate.rows()
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"  {label:<{width}}  {text}")
    for note in filter(None, [beside, *estimate.notes()]):
        print(f"  {note}")
    return ExitCode.OK


class Measuring:
    """The process that measures. It leaves nothing behind, however it ends."""

    def __init__(self, recipe: Recipe, seconds: float = SECONDS, quiet: bool = True, nice: int = 0):
        """seconds: of steps, at the most. quiet: what else it prints is of no interest (a screen is being drawn).
        nice: as in nice(1)."""
        options = ["--seconds", str(seconds), "--nice", str(nice)]
        toml = to_toml(document_of_recipe(with_absolute_paths(recipe)))
        self._inquiry = Inquiry("engine.estimate", ["-", *options], toml, quiet)

    def result(self, tell: Callable[[str], None]) -> Measurement:
        """Wait for what it finds; tell hears what it is doing. Raises the FtwizError that it ends with."""
        for said in self._inquiry.answers():
            if "measurement" in said:
                return measurement_of(said["measurement"])
            steps = f": {said['steps']} done" if "steps" in said else ""
            each = f", {short(said['seconds'])} each" if "seconds" in said else ""
            tell(f"{said['doing']}{steps}{each}")
        raise DeviceError("The process that measures found nothing; `ftwiz run` tells more in the run's log.txt.")

    def stop(self) -> None:
        """End it and its workers at once; nothing happens where it has ended by itself."""
        self._inquiry.stop()


# --- in words ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What was measured, for a recipe that trains in such steps."""

    recipe: Recipe
    measured: Measurement

    @property
    def forecast(self) -> Forecast:
        return forecast(self.measured, self.recipe.schedule)

    def where(self) -> str:
        """What the numbers stand for."""
        measured = self.measured
        workers = count(measured.workers, "worker process").replace("processs", "processes")
        return (
            f"{measured.device} ({measured.precision}), {workers}: {count(measured.train.steps, 'step')} measured "
            "with random weights."
        )

    def remark(self) -> str:
        """One line for a recipe file."""
        epochs, device = count(self.recipe.schedule.epochs, "epoch"), self.measured.device
        return f"Measured on {device}: {number(self.forecast.clips_per_s, 3)} clips/s, {epochs} in {self.total()}."

    def rows(self) -> list[tuple[str, str]]:
        """What it takes, each with a label."""
        return [
            ("speed", self.speed()),
            ("an epoch", self.epoch()),
            (count(self.recipe.schedule.epochs, "epoch"), self.total()),
            ("memory", self.memory()),
            ("checkpoints", self.disk()),
            ("clips", self.waiting()),
        ]

    def speed(self) -> str:
        told = self.forecast
        return f"{number(told.clips_per_s, 3)} clips/s; a step of {self.measured.batch_size} takes {short(told.step_s)}"

    def epoch(self) -> str:
        told, measured = self.forecast, self.measured
        validation = f", and {short(told.validation_s)} to validate ({measured.val.clips:,})" if measured.val else ""
        return f"{short(told.epoch_s)} ({count(measured.train.clips, 'clip')}){validation}"

    def each(self) -> str:
        """An epoch and its validation, in few words."""
        told = self.forecast
        validation = f", validation {short(told.validation_s)}" if self.measured.val else ""
        return f"an epoch {short(told.epoch_s)}{validation}"

    def total(self) -> str:
        told = self.forecast
        least, most = short(told.total_from_s), short(told.total_to_s)
        return f"about {least}" if least == most else f"{least} to {most}"

    def memory(self) -> str:
        measured = self.measured
        limit = f" of {memory(measured.memory_limit_mb)}" if measured.memory_limit_mb else ""
        return f"{memory(measured.memory_mb)}{limit} at most"

    def disk(self) -> str:
        told = self.forecast
        files = "" if told.checkpoints == 1 else f", up to {size(told.disk_bytes)} for {told.checkpoints} at a time"
        return f"{size(told.checkpoint_bytes)} each{files}; {size(free_disk(self.recipe))} are free"

    def waiting(self) -> str:
        """Whether reading the clips decides the speed, and what would help."""
        told, measured = self.forecast, self.measured
        share = f"{100 * told.data_wait:.0f} %"
        if told.data_wait < HARDLY:
            return f"come in time: {share} of the time is spent waiting for them"
        bound = "decode-bound: " if told.data_wait >= DATA_BOUND else ""
        return f"{bound}waiting takes {share} of the time{self._what_helps(measured, told)}"

    def _what_helps(self, measured: Measurement, told: Forecast) -> str:
        if measured.workers >= measured.cores:
            return "; smaller videos would help (a short side of 256 pixels, a key frame every 12 frames)"
        more = min(measured.cores, 8)
        if measured.device.startswith("CPU") or more <= measured.workers:
            return f"; more [run] workers may help ({measured.cores} cores)"
        faster = forecast(replace(measured, workers=more), self.recipe.schedule)
        return f"; with workers = {more} under [run] an epoch would take about {short(faster.epoch_s)}"

    def notes(self) -> list[str]:
        """What may go wrong."""
        told, notes = self.forecast, list(self.measured.notes)
        if told.disk_bytes > free_disk(self.recipe):
            notes.append(
                f"The checkpoints will not fit: {size(told.disk_bytes)} are needed in {self.recipe.run.output}/. "
                "Keep fewer (keep_checkpoints under [schedule]), or write them elsewhere (output under [run])."
            )
        if skipped := self.measured.clips_skipped:
            notes.append(f"{count(skipped, 'clip')} could not be decoded meanwhile; `ftwiz check` finds them all.")
        return notes


def busy() -> str:
    """What else the processor does, where that makes everything measured now too slow; else ""."""
    if not hasattr(os, "getloadavg"):
        return ""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < 0.75 * cores:
        return ""
    return (
        f"Other processes keep this machine busy (load {load:.1f} on {count(cores, 'core')}): alone, a run is faster."
    )


def short(seconds: float) -> str:
    """A time as one says it that was not measured to the second: 0.35 s, 12 s, 2 min 10 s, 1 h 50 min, 2 h."""
    if seconds < 9.5:
        return f"{number(seconds, 2)} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    unit = 5 if seconds < 600 else 60 if seconds < 3600 else 300 if seconds < 36_000 else 1800
    rounded = duration(math.floor(seconds / unit + 0.5) * unit)
    return rounded.removesuffix(" 0 s").removesuffix(" 0 min").removesuffix(" 0 h")


def size(size_bytes: float) -> str:
    """290 MB, 1.2 GB: powers of ten, as disks have them."""
    for unit, amount in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= amount:
            return f"{number(size_bytes / amount, 2 if size_bytes < 10 * amount else 3)} {unit}".replace(".0 ", " ")
    return f"{size_bytes / 1e3:.0f} kB"


def free_disk(recipe: Recipe) -> int:
    """Bytes that are free where runs are written."""
    folder = Path(recipe.run.output).expanduser().absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
