"""`ftwiz check`: the report on a dataset, for a person in a terminal or as JSON, and its quarantine.txt."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from engine.dataset.check import Report, Videos, check
from engine.dataset.findings import Problem
from engine.dataset.quarantine import renew
from engine.errors import DataError, ExitCode
from engine.recipe import QUARANTINE, Recipe, preset_names
from engine.run_folder import RunFolder
from wizard.progress import can_animate
from wizard.sources import is_data, recipe_of
from wizard.words import count, cut, printable

FILES_SHOWN = 8
CLASSES_SHOWN = 12
PIPE_WIDTH = 100


def check_dataset(source: str, overrides: Mapping[str, Any], time_limit: float, as_json: bool) -> int:
    """Check, write quarantine.txt, print; returns the exit code: 3 where training would be wrong."""
    recipe = recipe_of(source, overrides)
    workers = os.cpu_count() or 1 if recipe.run.workers == "auto" else max(1, recipe.run.workers)
    with _Bar(sys.stderr) as bar:
        report = check(recipe, memory_of(recipe), workers, time_limit, on_progress=bar.show)
    quarantine = _keep_quarantine(report, _places(source, recipe))
    if as_json:
        path = str(quarantine) if quarantine else None
        document = {**report.document(), "quarantine": {"path": path, "clips": len(report.unusable)}}
        print(json.dumps(document, indent=2))  # ASCII: file names that are not UTF-8 stay what they are
    else:
        _Paper(sys.stdout).print(report, quarantine, _is_found(source, quarantine, recipe))
    return ExitCode.OK if report.ok else ExitCode.DATA


class _GivenUp(Exception):
    """Nobody wants to know any more."""


def check_in_background(recipe: Recipe, tell: Callable[[int, int], bool]) -> Report | None:
    """A check that leaves half the machine to the user and writes no quarantine.txt; None where it was given up.

    tell: called with the files that are done and all there are, a hundred times and while nothing happens; returns
    whether to go on.
    """
    told = -1

    def on_progress(done: int, total: int) -> None:
        nonlocal told
        if done == told or done * 100 // max(total, 1) > told * 100 // max(total, 1):
            told = done
            if not tell(done, total):
                raise _GivenUp

    try:
        return check(recipe, memory_of(recipe), max(1, (os.cpu_count() or 1) // 2), on_progress=on_progress)
    except (_GivenUp, DataError):
        return None


# --- where things are kept --------------------------------------------------------------------------------------------


def memory_of(recipe: Recipe) -> Path:
    """The file in which answers are remembered, one a dataset. Reads the environment."""
    root = os.path.abspath(recipe.dataset.root)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = f"{os.path.basename(root)}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}.jsonl"
    return Path(cache).expanduser() / "ftwiz" / "check" / name


def _places(source: str, recipe: Recipe) -> list[Path]:
    """Where quarantine.txt may be written, the best first: where training looks for it."""
    folder = None if is_data(source) or source in preset_names() else Path(source).expanduser().parent
    if folder and RunFolder(folder).events.exists():
        folder = None  # what a run leaves out is decided
    elif recipe.dataset.quarantine:
        return [Path(recipe.dataset.quarantine)]
    anywhere = [Path(recipe.dataset.root) / QUARANTINE, Path(QUARANTINE)]
    return anywhere if folder is None else [folder / QUARANTINE, *anywhere]


def _keep_quarantine(report: Report, places: Sequence[Path]) -> Path | None:
    """The file that names what cannot be used; None where there is nothing to name, or no place to write."""
    if not report.names:
        return None  # nothing was looked at
    found = {os.path.abspath(name): reason for name, reason in report.unusable.items()}
    for path in places:
        try:
            renew(path, found, report.names.__contains__)
        except OSError:
            continue
        return path if path.exists() else None
    return None


def _is_found(source: str, quarantine: Path | None, recipe: Recipe) -> bool:
    """Whether training finds the file by itself, or must be told."""
    return quarantine is None or quarantine in _places(source, recipe)[:-1] or bool(recipe.dataset.quarantine)


# --- while it works ---------------------------------------------------------------------------------------------------


class _Bar:
    """A progress bar on a terminal; nothing anywhere else."""

    def __init__(self, stream: TextIO):
        columns = (TextColumn("looking at videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=stream), transient=True, disable=not can_animate(stream))
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


# --- the report for a person ------------------------------------------------------------------------------------------

_STYLES = {"error": "bold red", "warning": "yellow"}
_SPLITS = {"train": "training", "val": "validation"}


class _Paper:
    """Prints lines as wide as the terminal, coloured where it has colours; in a pipe no line is cut."""

    def __init__(self, stream: TextIO):
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._cuts = self._console.is_terminal
        self._width = self._console.width if self._cuts else PIPE_WIDTH

    def print(self, report: Report, quarantine: Path | None, is_found: bool) -> None:
        if report.splits:
            self._say(_summary(report), style="bold")
            self._table(_split_rows(report))
            self._table(_class_rows(report))
        for problem in report.problems:
            self._problem(problem, report)
        if lines := [*report.notes, *_videos(report.videos)]:
            self._heading("Worth knowing")
            for line in lines:
                self._wrapped(line)
        if lines := list(_kept(report, quarantine, is_found)):
            self._heading("Left out")
            for line in lines:
                self._wrapped(line)
        verdict, style = _verdict(report)
        self._heading(verdict, style)
        self._wrapped(
            f"{count(report.looked_at, 'file')} decoded, {report.remembered:,} unchanged since the last check."
        )

    def _problem(self, problem: Problem, report: Report) -> None:
        self._heading(f"{problem.severity}: {problem.code.replace('_', ' ')}", _STYLES[problem.severity])
        self._wrapped(problem.message)
        shown = [_with_reason(file, report) for file in problem.files]
        more = len(shown) - FILES_SHOWN if len(shown) > FILES_SHOWN + 1 else 0
        for line in shown[:FILES_SHOWN] if more else shown:
            self._say(f"    {line}", cut_from=4)
        if more:
            self._say(f"    and {more:,} more")

    def _heading(self, text: str, style: str = "bold") -> None:
        self._say("")
        self._say(text, style=style)

    def _wrapped(self, text: str) -> None:
        text = printable(text)
        if not self._cuts:
            self._say(f"  {text}")
            return
        for line in textwrap.wrap(text, self._width - 2, break_on_hyphens=False) or [""]:
            self._say(f"  {line}")

    def _table(self, rows: Sequence[Sequence[str]]) -> None:
        """A row of titles and rows of a name and numbers."""
        self._say("")
        widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
        widths[0] = min(widths[0], max(20, self._width - sum(widths[1:]) - 3 * len(widths)))
        for place, row in enumerate(rows):
            first = cut(row[0], widths[0])
            cells = [first + " " * (widths[0] - cell_len(first))]
            cells += [" " * (width - cell_len(cell)) + cell for cell, width in zip(row[1:], widths[1:], strict=True)]
            self._say(f"  {'   '.join(cells)}".rstrip(), style="dim" if place == 0 else "")

    def _say(self, text: str, style: str = "", cut_from: int = 0) -> None:
        text = printable(text)
        if self._cuts and cut_from and cell_len(text) > self._width:
            text = _without_middle(text, self._width, cut_from)
        self._console.print(Text(text, style=style), soft_wrap=True)


def _without_middle(text: str, width: int, start: int) -> str:
    """A path's end says more than its beginning."""
    while cell_len(text) > width - 1:
        text = text[:start] + text[start + 1 :]
    return f"{text[:start]}…{text[start:]}"


def _summary(report: Report) -> str:
    clips = sum(split.found for split in report.splits.values())
    return f"{report.root}: {count(clips, 'clip')} of {len(report.classes)} classes ({report.format})"


def _split_rows(report: Report) -> list[list[str]]:
    rows = [["", "listed", "missing", "unusable", "classes"]]
    for name, split in report.splits.items():
        numbers = (split.listed, split.missing, split.unusable, split.classes)
        rows.append([_SPLITS[name], *(f"{value:,}" for value in numbers)])
    return rows


def _class_rows(report: Report) -> list[list[str]]:
    """Every class, or the rarest and the commonest of many."""
    train, val = (report.splits[name].clips_of_class for name in ("train", "val"))
    names = list(report.classes)
    more = len(names) - CLASSES_SHOWN
    if more > 1:
        ordered = sorted(names, key=lambda name: -train[name])
        half = CLASSES_SHOWN // 2
        names = [*ordered[:half], "", *ordered[-half:]]
    rows = [["class", "training", "validation"]]
    for name in names:
        if name or more <= 1:
            rows.append([name, f"{train[name]:,}", f"{val[name]:,}"])
        else:
            rows.append([f"… {more:,} between these", "", ""])
    return rows


def _with_reason(file: str, report: Report) -> str:
    reason = report.unusable.get(file)
    return f"{file}: {reason}" if reason else file


def _videos(videos: Videos) -> Iterator[str]:
    if not videos.files:
        return
    sizes = [f"{size} ({amount:,})" for size, amount in list(videos.sizes.items())[:3]]
    others = len(videos.sizes) - 3
    text = f"Pictures: {', '.join(sizes)}" + (f" and {others} other sizes" if others > 0 else "")
    for spread, unit in ((videos.fps, "frames a second"), (videos.seconds, "seconds"), (videos.frames, "frames")):
        if spread:
            least, median, most = (f"{round(value, 1):,g}" for value in (spread.least, spread.median, spread.most))
            text += f"; {least} {unit}" if least == most else f"; {least} to {most} {unit}, median {median}"
    yield f"{text}."


def _kept(report: Report, quarantine: Path | None, is_found: bool) -> Iterator[str]:
    amount = len(report.unusable)
    if quarantine and amount:
        yield f"{quarantine} names {count(amount, 'file')} that training leaves out."
        if not is_found:
            yield f'Keep it beside your recipe, or name it there: quarantine = "{quarantine}" under [dataset].'
    elif amount:
        yield "quarantine.txt could be written nowhere, so training will find out for itself."


def _verdict(report: Report) -> tuple[str, str]:
    errors = sum(problem.severity == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    if errors:
        others = f", {count(warnings, 'warning')}" if warnings else ""
        return f"{count(errors, 'error')}{others}: training on this would be wrong.", _STYLES["error"]
    if warnings:
        return f"{count(warnings, 'warning')}, nothing that keeps you from training.", _STYLES["warning"]
    return "Nothing found that would hurt.", "bold green"
