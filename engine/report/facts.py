"""What a run's folder says of it, read back: log, recipe, the CSV files of its report."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from engine.dataset.clips import Clip
from engine.dataset.decode import open_clip
from engine.dataset.formats.csv_lists import SEPARATOR
from engine.dataset.reader import DecodeError
from engine.events import RunState
from engine.recipe import Recipe, load_recipe
from engine.run_folder import RunFolder, Status

MISTAKES_SHOWN = 12
PICTURE_SIDE = 240  # pixels of the longer side
_PART_OF_VIDEO = re.compile(r"(?P<path>.+) \[(?P<start>[\d.]+)–(?:(?P<end>[\d.]+) s|the end)\]")
_PART_OF_FOLDER = re.compile(r"(?P<path>.+) \[frames (?P<first>\d+)–(?P<last>\d+)\]")


@dataclass(frozen=True)
class OfClass:
    """score: its accuracy, or its average precision where a clip may have several classes; None without clips."""

    name: str
    clips: int
    score: float | None


@dataclass(frozen=True)
class Mistake:
    """picture: the frame in the middle, as a data: address; "" where the clip cannot be read any more."""

    file: str
    true: str
    predicted: str
    probability: float
    picture: str = ""


@dataclass(frozen=True)
class Facts:
    """confusion: [true class][predicted class], clips; [] where a clip may have several classes. test: test.json."""

    run: RunFolder
    recipe: Recipe
    state: RunState
    status: Status
    classes: list[OfClass] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    mistaken: int = 0
    test: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def read_facts(run: RunFolder) -> Facts:
    """All of it, as far as it is there: a run that is not finished has a report too. Raises RecipeError."""
    recipe, state = load_recipe(run.recipe), run.state()
    mistakes = _mistakes(_rows(run.report / "predictions.csv"), recipe.head.multi_label)
    return Facts(
        run=run,
        recipe=recipe,
        state=state,
        status=run.status(state),
        classes=_classes(_rows(run.report / "per_class.csv")),
        confusion=[[int(count) for count in list(row.values())[1:]] for row in _rows(run.report / "confusion.csv")],
        mistakes=[_with_picture(mistake, recipe) for mistake in mistakes[:MISTAKES_SHOWN]],
        mistaken=len(mistakes),
        test=_document(run.report / "test" / "test.json"),
        provenance=_document(run.provenance),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError):  # not validated yet
        return []
    names = [f"{place} {name}" for place, name in enumerate(header)]  # a class may be called like another column
    return [dict(zip(names, row, strict=False)) for row in rows]


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _classes(rows: Sequence[dict[str, str]]) -> list[OfClass]:
    found = [list(row.values()) for row in rows]
    return [OfClass(name, int(clips), float(score) if score else None) for name, clips, score in found]


def _mistakes(rows: Sequence[dict[str, str]], several: bool) -> list[Mistake]:
    """The surest first."""
    found = []
    for row in rows:
        values = list(row.values())
        true, predicted, probability = (values[1], values[-2], float(values[-1]))
        if predicted not in (true.split(SEPARATOR) if several else [true]):
            found.append(Mistake(values[0], true.replace(SEPARATOR, ", ") if several else true, predicted, probability))
    return sorted(found, key=lambda mistake: -mistake.probability)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _with_picture(mistake: Mistake, recipe: Recipe) -> Mistake:
    picture = picture_of(mistake.file, recipe)
    return Mistake(mistake.file, mistake.true, mistake.predicted, mistake.probability, picture)


def picture_of(name: str, recipe: Recipe) -> str:
    """The frame in the middle of a clip, by `Clip.name`, as a data: address; "" where it cannot be read."""
    try:
        reader = open_clip(clip_named(name), recipe.dataset.filename_template, recipe.model.modality == "flow")
        pixels = reader.read([reader.num_frames // 2])[0]
    except (DecodeError, OSError, ValueError):
        return ""
    image = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"


def clip_named(name: str) -> Clip:
    """The clip that a report calls so."""
    if not os.path.exists(name):
        if part := _PART_OF_VIDEO.fullmatch(name):
            return Clip(part["path"], 0, start=float(part["start"]), end=float(part["end"] or 0))
        if part := _PART_OF_FOLDER.fullmatch(name):
            first, last = int(part["first"]), int(part["last"])
            return Clip(part["path"], 0, first_frame=first, num_frames=last - first + 1)
    return Clip(name, 0)
