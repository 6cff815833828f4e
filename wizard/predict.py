"""`ftwiz predict`: what a run's model says of videos that nobody has labelled."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.atomic import atomic_write
from engine.dataset.files import videos_below
from engine.dataset.formats.csv_lists import SEPARATOR
from engine.dataset.formats.frames import frame_folders_below, images_in
from engine.errors import DataError, ExitCode, RecipeError
from engine.recipe import load_recipe
from engine.run_folder import RunFolder
from engine.weights.sources import locate
from wizard.inquiry import Inquiry
from wizard.progress import can_animate
from wizard.words import count, percent, printable, views_text

LISTS = (".txt", ".lst")
NARROWEST_NAME = 20
Rows = tuple[list[str], list[list[str]]]  # a header, and rows


@dataclass(frozen=True)
class Asked:
    """What the command line says. top: how many classes to name. threshold: from which probability on a clip is of a
    class, where it may be of several. every: seconds a part, 0 for whole videos."""

    top: int = 5
    threshold: float | None = None
    one_view: bool = False
    every: float = 0.0
    device: str = ""


@dataclass
class Said:
    """What came of it so far. begun: what the engine is about, as engine/prediction.py says it."""

    run: RunFolder
    asked: Asked
    begun: dict[str, Any] = field(default_factory=dict)
    probabilities: dict[str, list[float]] = field(default_factory=dict)  # by the video's name
    reasons: dict[str, str] = field(default_factory=dict)  # of those that do not decode
    interrupted: bool = False

    @property
    def classes(self) -> list[str]:
        return self.begun["classes"]

    @property
    def several(self) -> bool:
        """Whether a clip may be of several classes."""
        return self.begun["multi_label"]

    def likeliest(self, name: str) -> list[tuple[str, float]]:
        """The classes of a video to name: the `top` likeliest; where it may have several, those over the threshold."""
        ranked = sorted(zip(self.classes, self.probabilities[name], strict=True), key=lambda pair: -pair[1])
        return self.over_threshold(name) if self.several else ranked[: self.asked.top]

    def over_threshold(self, name: str) -> list[tuple[str, float]]:
        """The likeliest first."""
        least = 0.5 if self.asked.threshold is None else self.asked.threshold
        over = [pair for pair in zip(self.classes, self.probabilities[name], strict=True) if pair[1] > least]
        return sorted(over, key=lambda pair: -pair[1])

    def best(self, name: str) -> tuple[str, float]:
        return max(zip(self.classes, self.probabilities[name], strict=True), key=lambda pair: pair[1])

    @property
    def exit_code(self) -> ExitCode:
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.DATA if self.reasons else ExitCode.OK


def predict_videos(run: RunFolder, checkpoint: str, videos: Sequence[str], asked: Asked) -> Said:
    """Ask the engine of each video. One that cannot be used is a sentence on stderr; the others go on.

    Raises the FtwizError of whatever does not work at all. Ctrl-C ends it early, with what there is.
    """
    recipe = load_recipe(run.recipe)
    if asked.threshold is not None and not recipe.head.multi_label:
        raise RecipeError(
            "--threshold is for a run whose clips may have several classes; here each has one: see --top."
        )
    locate(f"{run.path}:{checkpoint}" if checkpoint else str(run.path))
    said = Said(run, asked)
    found = [path for path in _found(videos, said) if path not in said.reasons]
    if not found:
        _tell(said.reasons)
        raise DataError("There is no video left to look at; name videos, folders of them, or a list of paths.")
    wish = {
        "videos": found,
        "checkpoint": checkpoint,
        "test_views": not asked.one_view,
        "every": asked.every,
        "device": asked.device,
    }
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with (
        Inquiry("engine.prediction", [str(run.path)], json.dumps(wish)) as inquiry,
        Progress(*columns, console=console, transient=True, disable=not can_animate(sys.stderr)) as progress,
    ):
        task = progress.add_task("loading the model", total=None)
        try:
            for line in inquiry.answers():
                if "begun" in line:
                    said.begun = line
                    progress.update(task, description="looking at videos", total=line["begun"])
                    continue
                if "reason" in line:
                    said.reasons[line["name"]] = line["reason"]
                else:
                    said.probabilities[line["name"]] = line["probabilities"]
                progress.advance(task)
        except KeyboardInterrupt:
            if not said.begun:
                raise
            said.interrupted = True
    _tell(said.reasons)
    return said


def _tell(reasons: dict[str, str]) -> None:
    for name, reason in reasons.items():
        print(printable(f"{name}: {reason.rstrip('.')}."), file=sys.stderr)


# --- which videos -----------------------------------------------------------------------------------------------------


def _found(asked: Sequence[str], said: Said) -> list[str]:
    """The videos and folders of frames that are meant, each once; what means none gets a reason."""
    found: dict[str, str] = {}  # by where it lies, however it is written
    for text in asked:
        for path in _listed(text) if text == "-" or text.lower().endswith(LISTS) else [text]:
            below = _below(path)
            if not below:
                said.reasons[path] = "there is no video in it" if os.path.isdir(path) else "it does not exist"
            for place in below:
                found.setdefault(os.path.abspath(place), place)
    return list(found.values())


def _listed(path: str) -> Iterator[str]:
    """The paths in a list, one a line; relative ones are looked up beside the list, then in the working folder."""
    if path == "-":
        lines, folder = sys.stdin.read().splitlines(), ""
    else:
        try:
            with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
                lines, folder = file.read().splitlines(), os.path.dirname(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    for line in map(str.strip, lines):
        beside = os.path.join(folder, line)
        if line and not line.startswith("#"):
            yield beside if os.path.exists(beside) else line


def _below(path: str) -> list[str]:
    """Of a folder all videos in it, however deep; or, where there are none, itself or its folders of frames."""
    if not os.path.isdir(path):
        return [path] if os.path.exists(path) else []
    if videos := videos_below(path).videos:
        return [os.path.join(path, video) for video in videos]
    if images_in(path, flow=False) or images_in(path, flow=True):
        return [path]
    return [os.path.join(path, folder) for folder in frame_folders_below(path)]


# --- what is printed --------------------------------------------------------------------------------------------------


def as_document(said: Said) -> dict[str, Any]:
    """For `--json`: what was asked and how, and of each video its classes and their probabilities."""
    return {
        "run": str(said.run.path),
        "checkpoint": said.begun["checkpoint"],
        "epochs_trained": said.begun["epochs_trained"],
        "device": said.begun["device"],
        "views": {key: said.begun[key] for key in ("segments", "test_clips", "crops")},
        **{key: value for key, value in asdict(said.asked).items() if key in ("every", "threshold")},
        "multi_label": said.several,
        "videos": [
            {"file": name, "classes": [{"class": of, "probability": share} for of, share in said.likeliest(name)]}
            for name in said.probabilities
        ],
        "skipped": [{"file": name, "reason": reason} for name, reason in said.reasons.items()],
    }


def as_csv(said: Said) -> str:
    """A row a video: as report/predictions.csv names them, and then the probability of every class."""
    head = (
        ["predicted classes", "likeliest class", "probability"] if said.several else ["predicted class", "probability"]
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *head, *said.classes])
    for name, probabilities in said.probabilities.items():
        best, share = said.best(name)
        over = [SEPARATOR.join(of for of, _ in said.over_threshold(name))] if said.several else []
        writer.writerow([name, *over, best, f"{share:.4f}", *(f"{each:.6g}" for each in probabilities)])
    return text.getvalue()


def write_csv(path: Path, said: Said) -> None:
    """Raises RecipeError where it cannot be written."""
    try:
        with atomic_write(path) as file:
            file.write(as_csv(said).encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise RecipeError(f"--csv {path} cannot be written: {error.strerror}.") from None


def as_table(said: Said, width: int | None) -> Rows:
    """A row a video; of a single one, a row a class. width: of the terminal; None where no line is to be cut."""
    names = list(said.probabilities)
    if len(names) == 1:
        found = said.likeliest(names[0]) or [said.best(names[0])]
        return ["CLASS", "PROBABILITY"], [[printable(of), percent(share)] for of, share in found]
    header = ["VIDEO", "CLASSES"] if said.several else ["VIDEO", "CLASS", "PROBABILITY", "NEXT"]
    for others in (2, 1, 0):
        rows = [
            [printable(name), *(_several(said, name) if said.several else _one(said, name, others))] for name in names
        ]
        room = None if width is None else width - _width_of([row[1:] for row in [header, *rows]])
        if room is None or room >= NARROWEST_NAME:
            break
    if room is None:
        return header, rows
    return header, [[_cut_left(row[0], max(NARROWEST_NAME, room)), *row[1:]] for row in rows]


def _width_of(rows: Sequence[Sequence[str]]) -> int:
    """Of the columns and the gaps before them."""
    return sum(max(map(cell_len, column)) + 2 for column in zip(*rows, strict=True))


def _one(said: Said, name: str, others: int) -> list[str]:
    (best, share), *following = said.likeliest(name)
    following = following[:others]
    return [printable(best), percent(share), ", ".join(f"{printable(of)} {percent(part)}" for of, part in following)]


def _several(said: Said, name: str) -> list[str]:
    if found := said.over_threshold(name):
        return [", ".join(f"{printable(of)} {percent(share)}" for of, share in found)]
    of, share = said.best(name)
    return [f"none ({printable(of)} {percent(share)})"]


def _cut_left(text: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - 1:
        text = text[1:]
    return f"…{text}"


def summary(said: Said) -> Iterator[str]:
    """What was done, for people."""
    begun = said.begun
    if begun["note"]:
        yield begun["note"]
    if said.interrupted:
        yield f"Interrupted after {len(said.probabilities)} of {begun['begun']}."
    yield (
        f"{count(len(said.probabilities), 'part' if said.asked.every else 'video')}, {_looked_at(said)}; "
        f"{begun['checkpoint']} ({count(begun['epochs_trained'], 'epoch')}) of {printable(str(said.run.path))}"
    )


def _looked_at(said: Said) -> str:
    """Which frames of each: "8 frames × 1 crop over the whole of each"."""
    begun, each = said.begun, f"each {said.asked.every:g} s" if said.asked.every else "each"
    views = views_text(begun["segments"], begun["crops"], begun["test_clips"])
    in_the_middle = begun["dense"] and begun["test_clips"] == 1
    return f"{views} {'from the middle' if in_the_middle else 'over the whole'} of {each}"
