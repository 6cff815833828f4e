"""How ftwiz says numbers and events: the same words in the progress lines and on the dashboard."""

from __future__ import annotations

import math
import os
import re
import shlex
import time

from rich.cells import cell_len, set_cell_size

from engine.events import (
    CheckpointSaved,
    ClipSkipped,
    Event,
    Message,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    Step,
    Validation,
    ValidationStarted,
    WeightsLoaded,
    WentBack,
)
from engine.recipe import Dataset, Model, Recipe
from engine.run_folder import RunFolder, Status

UNKNOWN = "–"

# What the metrics of a Validation event are called. mAP is the mean of the clips' own, as for Multi-Moments in Time.
METRIC_NAMES = {"top1": "top-1", "sample_map": "mAP", "mean_average_precision": "class mAP"}


def percent(share: float) -> str:
    """0.4167 → "41.7 %"."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else UNKNOWN


def number(value: float, digits: int = 4) -> str:
    """A number to so many significant digits, short: 0.4123, 5e-05, 152.3."""
    if not math.isfinite(value):
        return UNKNOWN
    if value and (abs(value) < 1e-4 or abs(value) >= 1e6):
        return f"{value:.{max(digits - 3, 0)}e}"
    places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return f"{value:.{min(max(places, 0), 6)}f}"


def frames_of(model: Model) -> str:
    """What the recognizer sees of a clip: "8 frames", "8 frames in a row", "8 frames, every 4th", "8 × 5 of flow"."""
    if model.modality == "flow":
        return f"{model.segments} × {model.flow_length} frames of flow"
    if not model.clip_len:
        return f"{model.frames} frames" if model.frames > 1 else "1 frame"
    interval = model.frame_interval
    last_two = interval % 100 if interval % 100 in (11, 12, 13) else interval % 10
    nth = f"{interval}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last_two, 'th') }"
    return f"{model.clip_len} frames in a row" if interval == 1 else f"{model.clip_len} frames, every {nth}"


def sampling_of(recipe: Recipe, training: bool) -> str:
    """Which frames of a clip the recognizer is given, and which part of them, in a sentence."""
    return f"{_places_of(recipe.model, training)}; {_crop_of(recipe.dataset, training)}."


def _places_of(model: Model, training: bool) -> str:
    if model.clip_len:
        return f"{sentence_case(frames_of(model))}, from {'a random place' if training else 'the middle'}"
    parts = count(model.segments, "part")
    if model.modality == "flow":
        place = "a random place" if training else "the middle"
        drawn = "" if model.flow_length == 1 else " (here the first)"
        return f"{count(model.flow_length, 'pair')} of flow{drawn}, x and y, from {place} of each of {parts}"
    return f"{'A random' if training else 'The middle'} frame from each of {parts}"


def _crop_of(dataset: Dataset, training: bool) -> str:
    size, side = f"{dataset.frame_size} × {dataset.frame_size}", dataset.short_side
    if not training:
        return f"the middle of the picture, {size}"
    least, most = min(dataset.crop_scales), max(dataset.crop_scales)
    share = f"{100 * least:g} to {100 * most:g} %" if least < most else f"{100 * most:g} %"
    crop = {
        "multiscale": f"a crop of {share} of the short side, scaled to {size}",
        "random_resized": f"a crop of 8 to 100 % of the area, scaled to {size}",
        "random": f"a crop of {size}, the short side being {side}",
    }[dataset.crop]
    mirrored = f"{100 * dataset.flip:g} % are mirrored" if dataset.flip else "none is mirrored"
    return f"{crop}; {mirrored}" + (f"; RandAugment {dataset.rand_augment}" if dataset.rand_augment else "")


def views_text(frames: int, crops: int, test_clips: int = 1) -> str:
    """What is looked at of each clip at test time: "8 frames × 10 crops", "4 places in time × 8 frames × 1 crop"."""
    views = f"{count(frames, 'frame')} × {count(crops, 'crop')}"
    return f"{count(test_clips, 'place')} in time × {views}" if test_clips > 1 else views


def gflops_text(value: float) -> str:
    """3.27, 32.9, 2,828."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rate(value: float) -> str:
    """A learning rate: 0.005, 0.0003125, 3.125e-05."""
    return f"{value:.4g}" if math.isfinite(value) else UNKNOWN


def duration(seconds: float) -> str:
    """4325 → "1 h 12 min"; the two largest units are enough."""
    if not math.isfinite(seconds):
        return UNKNOWN
    total = max(round(seconds), 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {total % 60} s"
    return f"{total} s"


def clock(seconds: float) -> str:
    """4325 → "1:12:05"."""
    total = max(int(seconds), 0) if math.isfinite(seconds) else 0
    return f"{total // 3600}:{total // 60 % 60:02}:{total % 60:02}"


def memory(megabytes: float) -> str:
    """3210 → "3.1 GiB"."""
    if not math.isfinite(megabytes):
        return UNKNOWN
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes:.0f} MiB"


def count(amount: int, noun: str) -> str:
    """1 → "1 clip", 9537 → "9,537 clips"."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def cut(text: str, width: int) -> str:
    """At most `width` terminal cells of `text`, an ellipsis where something is left out."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def printable(text: str) -> str:
    """One line that any terminal takes: no control characters, and file names that are not UTF-8 spelt out."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text)


def run_name(run: RunFolder) -> str:
    """What to call a run: the name of its folder."""
    return printable(run.path.resolve().name)


def describe(event: Event, started: RunStarted | None = None) -> str:
    """An event as one line for a person; `started` says how many epochs and steps there are."""
    return printable(_sentence(event, started))


def _sentence(event: Event, started: RunStarted | None) -> str:
    epochs = f"/{started.epochs}" if started else ""
    match event:
        case RunStarted():
            begun = f"goes on after step {event.first_step}" if event.first_step else "started"
            return (
                f"{event.name} {begun}: {count(event.train_clips, 'training clip')}, "
                f"{count(event.val_clips, 'validation clip')}, {len(event.classes)} classes, "
                f"{count(event.epochs, 'epoch')} on {event.device} ({event.precision}); {event.lr_arithmetic}"
            )
        case WeightsLoaded():
            return (
                f"weights from {event.source}: {event.kept} tensors kept ({percent(event.backbone_share)} of the "
                f"backbone), {event.reinitialised} new, {event.dropped} dropped"
            )
        case Message():
            return f"warning: {event.text}" if event.level == "warning" else event.text
        case Step():
            total = f"/{started.epochs * started.steps_per_epoch}" if started else ""
            return (
                f"epoch {event.epoch}{epochs}  step {event.step}{total}  loss {number(event.loss)}  "
                f"{accuracy_name(started)} {percent(event.accuracy)}  lr {rate(event.lr)}  "
                f"{number(event.clips_per_s, 3)} clips/s  data wait {percent(event.data_wait)}  "
                f"ETA {duration(event.eta_s)}"
            )
        case WentBack():
            return (
                f"{event.reason}: went back to step {event.step} with half the learning rate, {event.lr_arithmetic} "
                f"(retry {event.retry} of {event.retries})"
            )
        case ClipSkipped():
            return f"left out {event.path}: {event.reason}"
        case ValidationStarted():
            return f"epoch {event.epoch}{epochs}: validating on {count(event.clips, 'clip')}"
        case Validation():
            best = ", the best so far" if event.best else ""
            chance = f" (chance {percent(started.chance)})" if started else ""
            others = "".join(f", {name} {percent(share)}" for name, share in other_metrics(event))
            key = f"{metric_name(event.key_metric)} {percent(event.key)}{chance}"
            return f"epoch {event.epoch}{epochs}: validation {key}{others}, loss {number(event.loss)}{best}"
        case CheckpointSaved():
            return f"saved {event.path} at step {event.step}"
        case Paused():
            return f"paused after step {event.step}"
        case Resumed():
            return f"goes on from step {event.step}"
        case RunFinished():
            how = "stopped as asked" if event.stopped_early else "finished"
            value = getattr(event, f"best_{event.key_metric}", math.nan)
            best = f", best {metric_name(event.key_metric)} {percent(value)}" if event.best_epoch else ""
            best += f" in epoch {event.best_epoch}" if event.best_epoch else ""
            bad = (
                f"; {count(event.clips_left_out, 'clip')} left out, see quarantine.txt" if event.clips_left_out else ""
            )
            return f"{how} after {duration(event.seconds)}{best}{bad}"
        case RunInterrupted():
            return f"interrupted by {event.signal} at step {event.step}; {_what_is_saved(event)}"
        case RunFailed():
            return f"failed: {event.error}"
    return ""


def metric_name(key: str) -> str:
    """What to call a metric of a Validation event; its own name where a newer ftwiz wrote it."""
    return METRIC_NAMES.get(key, key)


def accuracy_name(started: RunStarted | None) -> str:
    """What the `accuracy` of a run's steps is."""
    return metric_name(started.key_metric) if started and started.key_metric != "top1" else "accuracy"


def other_metrics(validation: Validation) -> list[tuple[str, float]]:
    """What one line has room for besides the key metric: a name and a share each.

    With five classes or fewer, the five likeliest are all there are: top-5 would be 100 % and say nothing.
    """
    several = not math.isnan(validation.sample_map)
    found = [("class mAP", validation.mean_average_precision), ("top-1 hit", validation.top1)] if several else []
    if len(validation.per_class) > 5:
        found.append(("top-5 hit" if several else "top-5", validation.top5))
    return found


def sentence_case(text: str) -> str:
    """A capital letter first, unless the word has one of its own, as mAP has."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def _what_is_saved(event: RunInterrupted) -> str:
    if not event.checkpoint:
        return "nothing is saved" if event.lost_steps else "nothing was there to save"
    if event.lost_steps:
        return f"not saved: {event.checkpoint} is {count(event.lost_steps, 'step')} older"
    return f"{event.checkpoint} is saved"


def resume_command(run: RunFolder) -> str:
    """What to type to go on with a run that ended early."""
    return f"ftwiz run --resume --run-dir {quoted(run.path)}"


def what_next(run: RunFolder, status: Status, ended: RunFinished | RunInterrupted | RunFailed | None) -> str:
    """For a run that is over: how it ended and what can be done now. Empty while it goes on."""
    if not run.path.is_dir():
        return f"{run.path} is gone: somebody moved or removed the run folder."
    resumable = bool(run.checkpoints_to_resume())
    again = (
        f"Go on from its last checkpoint: {resume_command(run)}"
        if resumable
        else f"It left no checkpoint; start it anew: ftwiz run {quoted(run.recipe)}"
    )
    match status, ended:
        case "finished", RunFinished():
            more = f".\n{again}" if ended.stopped_early and resumable else "."
            return sentence_case(describe(ended)) + more
        case "interrupted", RunInterrupted():
            return f"{sentence_case(describe(ended))}.\n{again}"
        case "failed", RunFailed():
            return f"{ended.error}\nExit code {ended.exit_code}; the whole story is in {run.log}."
        case "crashed", _:
            return f"The training process is gone without a word; see {run.log}.\n{again}"
    return ""


def what_stalled(run: RunFolder, since: float, expectation: str) -> str:
    """For a run whose process lives and says nothing. since: unix seconds; expectation: what should have come."""
    if host := run.other_host():
        process, kill = f"Its process is on {host}; see there whether it lives", f"end process {run.pid()} there"
    else:
        process, kill = f"Process {run.pid()} lives", f"kill -9 {run.pid()}"
    more = f", then {resume_command(run)}" if run.checkpoints_to_resume() else ""
    return (
        f"Nothing came since {moment(since)}; {expectation}. {process}: a video, a disk, a network share or other work "
        f"may hold it up ({run.log}).\ns asks it to save and stop; where it does not answer: {kill}{more}"
    )


def moment(seconds: float) -> str:
    """Unix seconds as local time: "2026-11-24 14:02"."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as one word of a shell's command line. Letters of any language need no quotes."""
    text = os.fspath(path)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)
