"""`ftwiz weights`: what a training would reuse of a source of weights, on a terminal, in a pipe or as JSON."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from engine.errors import ExitCode, RecipeError
from engine.recipe import Recipe, load_recipe, parse_override, preset_names
from engine.run_folder import RunFolder
from engine.weights.published import PUBLISHED
from engine.weights.report import COUNTER, LoadReport, TensorNote, percent, shape_text
from engine.weights.sources import locate
from wizard.progress import can_animate
from wizard.weights import WeightsInquiry
from wizard.words import cut, printable, quoted

PIPE_WIDTH = 100
MOST_PARTS = 10  # a network of more has its equal ones in one row
CLASSES_SHOWN = 12
_NOT_LEARNT = (COUNTER, ".running_mean", ".running_var", ".relative_position_index")
BAR_CELLS = 24


def show_weights(
    source: str, recipe_name: str, sets: Sequence[str], backbone_only: bool, every_tensor: bool, as_json: bool
) -> int:
    """Fetch, compare, print; returns the exit code. Raises the FtwizError that a run would end with."""
    recipe_name = recipe_name or recipe_that_goes_with(source)
    recipe = load_recipe(recipe_name, dict(parse_override(text) for text in sets))
    with _Waiting(sys.stderr) as waiting, WeightsInquiry(recipe, source, backbone_only) as inquiry:
        report = inquiry.report(waiting.show)
    if as_json:
        print(json.dumps(report.document(), indent=2))  # ASCII: file names that are not UTF-8 stay what they are
    else:
        paper = _Paper(sys.stdout)
        paper.print(report, every_tensor)
        paper.print_next("")
        command = " ".join([f"ftwiz run {quoted(recipe_name)}", *(f"--set {quoted(text)}" for text in sets)])
        for line in _next_steps(report, recipe, command, backbone_only or not (source or recipe.weights.load_from)):
            paper.print_next(line)
    return ExitCode.OK


def recipe_that_goes_with(source: str) -> str:
    """Of a run its own recipe, of a published file the preset that starts from it. Nothing is guessed."""
    if not source:
        raise RecipeError("Name a source of weights, a recipe, or both: `ftwiz weights SOURCE --for recipe.toml`.")
    if source.endswith(".toml") or source in preset_names():
        raise RecipeError(
            f"{source} is a recipe; what it starts from is shown by `ftwiz weights --for {quoted(source)}`."
        )
    if "://" not in source:
        run = locate(source).parent.parent
        if RunFolder(run).events.is_file():
            return str(RunFolder(run).recipe)
    name = source.rpartition("/")[2]
    for published in PUBLISHED:
        if name and name == published.load_from.rpartition("/")[2]:
            return published.preset
    raise RecipeError(
        f"Which model should {source} fit? Say --for and a recipe, or a preset such as {PUBLISHED[0].preset} "
        "(`ftwiz presets` lists them)."
    )


def _next_steps(report: LoadReport, recipe: Recipe, command: str, backbone_only: bool) -> Iterator[str]:
    """The command that trains from it, and what could be kept besides."""
    weights, key = recipe.weights, "backbone" if backbone_only else "load_from"
    option = ""
    if report.source != (weights.load_from or weights.backbone):
        option = f" --set {quoted(f'weights.{key}={report.source}')}"
        if backbone_only and weights.load_from:  # which would win
            option = f" --set weights.load_from={option}"
    yield f"Train from it: {command}{option}"
    if report.known_classes and report.head_change and not backbone_only and recipe.head.reuse == "same":
        yield "To keep what it knows of those classes, add: --set head.reuse=matching"


class _Waiting:
    """While the engine works: a spinner, and a bar while it fetches. On a terminal only."""

    def __init__(self, stream: TextIO):
        console = Console(file=stream)
        columns = (SpinnerColumn(style="cyan"), TextColumn("{task.description}"))
        fetching = (*columns, BarColumn(bar_width=24), DownloadColumn(), TimeRemainingColumn())
        self._plain = Progress(*columns, console=console, transient=True, disable=not can_animate(stream))
        self._bar = Progress(*fetching, console=console, transient=True, disable=not can_animate(stream))
        self._plain.add_task("comparing the weights with the model", total=None)
        self._task = self._bar.add_task("fetching the weights", total=None)

    def __enter__(self) -> _Waiting:
        self._plain.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._plain.stop()
        self._bar.stop()

    def show(self, received: int, total: int | None) -> None:
        done = received == total
        shown, hidden = (self._plain, self._bar) if done else (self._bar, self._plain)
        hidden.stop()
        shown.start()
        self._bar.update(self._task, completed=received, total=total)


# --- the report for a person ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One part of the model, or several equal ones: how much it has, and what becomes of it."""

    part: str
    tensors: int
    parameters: int
    fate: str
    style: str


def rows_of(report: LoadReport) -> list[Row]:
    """The parts in the order of the network, the head last."""
    fates: dict[str, list[tuple[str, TensorNote]]] = {}
    for fate, notes in (("kept", report.kept), ("new", report.reinitialised), ("missing", report.missing)):
        for note in notes:
            fates.setdefault(note.part, []).append((fate, note))
    rows = [_row(part, found) for part, found in fates.items()]
    rows.sort(key=lambda row: row.part == "head")
    return _joined(rows) if len(rows) > MOST_PARTS else rows


def _row(part: str, found: Sequence[tuple[str, TensorNote]]) -> Row:
    notes = [note for _, note in found]
    fates = Counter(fate for fate, note in found)
    parameters = sum(math.prod(note.here or ()) for note in notes if not note.name.endswith(_NOT_LEARNT))
    if fates["new"]:
        shapes = _shapes(note for fate, note in found if fate == "new")
        words, style = f"re-initialised: {shapes}".rstrip(": "), "yellow"
    elif wanting := [note for fate, note in found if fate == "missing" and not note.name.endswith(COUNTER)]:
        words, style = f"{len(wanting)} of them not in the file", "bold red"
    else:
        how = Counter(note.reason for note in notes if note.reason and note.reason != "not in the file")
        words, style = ", ".join(["kept", *(f"{times} {reason}" for reason, times in how.items())]), "green"
    return Row(part, len(notes), parameters, words, style)


def _shapes(notes: Iterable[TensorNote]) -> str:
    """Of the weights, without the biases beside them: 400×2048 → 7×2048."""
    weights = [note for note in notes if len(note.here or ()) > 1]
    return ", ".join(f"{shape_text(note.there)} → {shape_text(note.here)}" if note.there else "" for note in weights)


def _joined(rows: Sequence[Row]) -> list[Row]:
    """Equal neighbours in one row: blocks.0 … blocks.11."""

    def kind(row: Row) -> tuple[str, str]:
        return re.sub(r"\d+", "", row.part), row.fate

    joined = []
    for _, neighbours in groupby(rows, kind):
        first, *others = neighbours
        last = others[-1] if others else first
        name = f"{first.part} … {last.part}" if others else first.part
        tensors, parameters = (sum(getattr(row, key) for row in (first, *others)) for key in ("tensors", "parameters"))
        joined.append(Row(name, tensors, parameters, first.fate, first.style))
    return joined


class _Paper:
    """Prints lines as wide as the terminal, coloured where it has colours; in a pipe no line is cut."""

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._cuts = self._console.is_terminal
        self._width = self._console.width if self._cuts else PIPE_WIDTH

    def print(self, report: LoadReport, every_tensor: bool) -> None:
        self._say(f"{report.model} from {report.path.name}", "bold")
        for label, text in _facts(report):
            self._wrapped(f"{label:<9}{text}", indent=9)
        self._say("")
        self._bar(report)
        self._say("")
        self._table(rows_of(report))
        self._say("")
        for line in _sums(report):
            self._wrapped(line)
        if classes := list(_classes(report)):
            self._say("")
            for line in classes:
                self._wrapped(line)
        for doubt in report.doubts:
            self._say("")
            self._wrapped(f"Check: {doubt}", style="yellow")
        if every_tensor:
            self._every_tensor(report)

    def print_next(self, text: str) -> None:
        self._say(text)

    def _bar(self, report: LoadReport) -> None:
        filled = math.floor(report.backbone_share * BAR_CELLS)
        colour = "green" if report.backbone_share >= 0.95 else "yellow"
        text = Text("  ")
        text.append("━" * filled, style=colour).append("─" * (BAR_CELLS - filled), style="dim")
        text.append(f"  {percent(report.backbone_share)} of the backbone's parameters are reused")
        self._console.print(text, soft_wrap=True)

    def _table(self, rows: Sequence[Row]) -> None:
        cells = [
            ["part", "tensors", "parameters"],
            *([row.part, f"{row.tensors:,}", f"{row.parameters:,}"] for row in rows),
        ]
        widths = [max(cell_len(line[column]) for line in cells) for column in range(3)]
        fates, styles = ["", *(row.fate for row in rows)], ["dim", *(row.style for row in rows)]
        for place, (part, tensors, parameters) in enumerate(cells):
            text = f"  {part:<{widths[0]}}   {tensors:>{widths[1]}}   {parameters:>{widths[2]}}   "
            line = Text(text, style="dim" if place == 0 else "")
            fate = cut(fates[place], self._width - cell_len(text)) if self._cuts else fates[place]
            line.append(fate, style=styles[place])
            line.rstrip()
            self._console.print(line, soft_wrap=True)

    def _every_tensor(self, report: LoadReport) -> None:
        kinds = (
            ("Kept", "green", report.kept),
            ("Re-initialised", "yellow", report.reinitialised),
            ("Not in the file", "red", report.missing),
            ("Dropped: in the file, not in this model", "dim", report.dropped),
        )
        for title, style, notes in kinds:
            if notes:
                self._say("")
                self._say(title, f"bold {style}")
                for note in notes:
                    self._say(f"  {_tensor(note)}")

    def _wrapped(self, text: str, style: str = "", indent: int = 2) -> None:
        text = printable(text)
        if not self._cuts:
            self._say(f"  {text}", style)
            return
        for line in textwrap.wrap(text, self._width - 2, subsequent_indent=" " * indent, break_on_hyphens=False) or [
            ""
        ]:
            self._say(f"  {line}", style)

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style=style), soft_wrap=True)


def _facts(report: LoadReport) -> Iterator[tuple[str, str]]:
    if report.source != str(report.path):
        yield "source", report.source
    if report.taken_from:
        yield "through", report.taken_from
    yield "file", str(report.path)
    yield "sha256", report.sha256[:16]
    yield "names", report.dialect


def _sums(report: LoadReport) -> Iterator[str]:
    """The report's own lines, without those that are said elsewhere on the paper."""
    elsewhere = ("taken from ", "check: ", "the file knows ", "it knows ", "none of ")
    yield from (line for line in report.lines()[1:] if not line.startswith(elsewhere))


def _classes(report: LoadReport) -> Iterator[str]:
    source, known = report.source_classes, report.known_classes
    if not source:
        yield "The file does not name its classes."
        return
    yield f"The file knows {len(source)} classes: {_names(source)}."
    if report.classes and known:
        yield f"Of your {len(report.classes)} it knows {len(known)} already: {_names(known)}."
    elif report.classes:
        yield f"None of your {len(report.classes)} classes is among them."


def _names(names: Sequence[str]) -> str:
    more = len(names) - CLASSES_SHOWN
    return ", ".join(names[:CLASSES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _tensor(note: TensorNote) -> str:
    there, here = (shape_text(shape) if shape is not None else "" for shape in (note.there, note.here))
    shapes = f"{there} → {here}" if there and here and there != here else there or here
    return f"{note.name}  {shapes}" + (f"  ({note.reason})" if note.reason else "")
