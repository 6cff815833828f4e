"""`ftwiz lr RECIPE`: the learning-rate range test, drawn in the terminal."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from engine.errors import ExitCode, RecipeError
from engine.learning_rate import lr_for_recipe, steepest
from engine.recipe import Recipe, load_recipe
from engine.run_folder import RunFolder
from wizard.run import prepare
from wizard.widgets.braille import Canvas, spans
from wizard.widgets.scale import Scale, tick_texts
from wizard.widgets.series import Series
from wizard.words import quoted

ROWS = 12
WIDEST = 100
Points = list[tuple[float, float]]  # (learning rate, smoothed loss)


def try_rates(
    source: str, overrides: Mapping[str, Any], low: float, high: float, steps: int, as_json: bool = False
) -> int:
    """Runs the test in a process and a folder of its own, and prints what it found; returns the exit code."""
    if not 0 < low < high:
        raise RecipeError(f"--low {low:g} and --high {high:g}: the rates rise from a positive one to a larger one.")
    with tempfile.TemporaryDirectory(prefix="ftwiz-lr-") as folder:
        run = prepare(source, Path(folder) / "run", overrides)
        points, code = _measured(run, low, high, steps)
        if code != ExitCode.OK:
            return code
        recipe = load_recipe(run.recipe)  # as the engine resolved it
    best = steepest(points)
    lr = None if best is None else lr_for_recipe(best, recipe.schedule, int(recipe.schedule.batch_size))
    if as_json:
        document = {"points": [{"lr": rate, "loss": loss} for rate, loss in points], "steepest": best, "lr": lr}
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(chart(points, best, shutil.get_terminal_size().columns)))
        print(verdict(source, recipe, points, best, lr), file=sys.stderr)
    return code


def _measured(run: RunFolder, low: float, high: float, steps: int) -> tuple[Points, int]:
    command = [sys.executable, "-P", "-m", "engine", str(run.path), "--lr-range", str(low), str(high), str(steps)]
    points: Points = []
    console = Console(stderr=True)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as engine,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("Trying learning rates", total=steps)
        assert engine.stdout is not None
        for line in engine.stdout:
            point = json.loads(line)
            points.append((point["lr"], point["loss"]))
            progress.advance(task)
    return points, engine.returncode


def verdict(source: str, recipe: Recipe, points: Points, best: float | None, lr: float | None) -> str:
    """What a person does with the curve."""
    schedule = recipe.schedule
    if best is None or lr is None:
        return (
            "No rate made the loss fall by a twentieth. Try more --steps, a higher --high, or look at the clips: are "
            "the labels right?"
        )
    scaled = ""
    if schedule.lr_batch_size:
        scaled = f" (lr {lr:.2g} × {schedule.batch_size}/{schedule.lr_batch_size} = {best:.2g})"
    turn = min(points, key=lambda point: point[1])[0]
    return (
        f"The loss falls fastest at {best:.2g} and turns up after {turn:.2g}, for batches of {schedule.batch_size}.\n"
        f"lr = {lr:.2g} under [schedule] trains at that rate{scaled}; yours is {schedule.lr:g}. Try it:\n"
        f"  ftwiz run {quoted(source)} --set schedule.lr={lr:.2g}"
    )


def chart(points: Points, best: float | None, width: int) -> list[str]:
    """Lines of text: the loss over the logarithm of the rate, in braille, with a mark under the best rate."""
    if not points:
        return ["The loss was not a number from the first step on."]
    losses = [loss for _, loss in points]
    scale = Scale(min(losses), max(losses) + 1e-9, ROWS * 4, log=False)
    ticks = scale.ticks()
    labels = dict(zip((round(scale.row(tick)) // 4 for tick in ticks), tick_texts(ticks), strict=True))
    margin = max(map(len, labels.values())) + 1
    columns = max(20, min(width, WIDEST) - margin - 2)
    canvas = Canvas(columns, ROWS)
    first, last = (math.log10(rate) for rate in (points[0][0], points[-1][0]))
    extent = max(last - first, 1e-9)
    series = Series()
    for rate, loss in points:
        series.append(math.log10(rate) - first, loss)
    canvas.draw(spans(series, scale, extent, columns * 2), style=1)
    lines = [
        f"{labels.get(row, ''):>{margin}}│" + "".join(canvas.character(row, cell) or " " for cell in range(columns))
        for row in range(ROWS)
    ]
    lines += [" " * margin + "└" + "─" * columns, " " * (margin + 1) + _decades(first, last, columns)]
    if best is not None:
        place = min(int((math.log10(best) - first) / extent * columns), columns - 1)
        lines[ROWS] = lines[ROWS][: margin + 1 + place] + "▲" + lines[ROWS][margin + 2 + place :]
    return [line.rstrip() for line in lines]


def _decades(first: float, last: float, columns: int) -> str:
    """The powers of ten under the axis, as many as there is room for."""
    text = ""
    for decade in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1):
        label = f"1e{decade}"
        place = round((decade - first) / max(last - first, 1e-9) * (columns - 1))
        place = min(place, columns - len(label))
        if not text or place > len(text):
            text = text.ljust(place) + label
    return text
