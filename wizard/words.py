"""How ftwiz says numbers, names and moments: the same words wherever they are shown."""

from __future__ import annotations

import math
import os
import re
import shlex
import time
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from engine.recipe import Dataset, Model, Recipe

UNKNOWN = "–"


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
    said = f"{_places_of(recipe.model, training)}; {_crop_of(recipe.dataset, training)}."
    blends = [name for name, alpha in (("Mixup", recipe.schedule.mixup), ("CutMix", recipe.schedule.cutmix)) if alpha]
    if not (training and blends):
        return said
    comes, blend = ("comes", "blends") if len(blends) == 1 else ("come", "blend")
    return f"{said} {' and '.join(blends)} {comes} after this and {blend} clips of a batch: not shown."


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


def sentence_case(text: str) -> str:
    """A capital letter first, unless the word has one of its own, as mAP has."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def moment(seconds: float) -> str:
    """Unix seconds as local time: "2026-11-24 14:02"."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as one word of a shell's command line. Letters of any language need no quotes."""
    text = os.fspath(path)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)
