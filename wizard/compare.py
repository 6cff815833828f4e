"""Two runs side by side: what came of them, and what differs in their recipes. For the command and the dashboard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from engine.events import Validation
from engine.run_folder import RunFolder
from wizard.followed import FollowedRun
from wizard.run_words import metric_name, run_name
from wizard.summary import Summary, summary_of
from wizard.words import UNKNOWN, count, duration, moment, number, percent, printable


class Row(NamedTuple):
    """One thing that both runs have, in words."""

    name: str
    left: str
    right: str


def results(left: Summary, right: Summary) -> list[Row]:
    """How far each came, and what it reached."""
    ours, theirs = dict(_results(left)), dict(_results(right))
    return [Row(name, ours[name], theirs[name]) for name in ours]


def recipe_changes(left: RunFolder, right: RunFolder) -> dict[str, tuple[Any, Any]]:
    """ "schedule.lr" → its value in each run's recipe, for each key that differs; where runs are put changes none.
    Raises RecipeError."""
    from engine.recipe import load_recipe  # a dashboard that compares nothing need not load it
    from engine.resume import changes

    changed = changes(load_recipe(left.recipe), load_recipe(right.recipe))
    return {key: pair for key, pair in changed.items() if key != "run.output"}


def recipe_rows(changed: dict[str, tuple[Any, Any]]) -> list[Row]:
    return [Row(key, _value(left), _value(right)) for key, (left, right) in changed.items()]


def verdict(left: FollowedRun, right: FollowedRun) -> str:
    """Which is better and by how much, or why that cannot be said; "" where one has no result yet."""
    ours, theirs = left.state.best, right.state.best
    if ours is None or theirs is None:
        return ""
    if why := _why_not_comparable(left, right):
        return why
    name, share = metric_name(ours.key_metric), ours.key - theirs.key
    if round(100 * share, 1) == 0:
        return f"Both reached the same {name}.{_caution(left, right)}"
    points = f"{abs(100 * share):.1f} points of {name}{_in_clips(left, share)}"
    ahead = left if share > 0 else right
    return f"{run_name(ahead.folder)} is ahead by {points}.{_caution(left, right)}"


def other_run(left: FollowedRun, right: FollowedRun) -> str:
    """One line for who looks at `left`: the other one's name and state, and both results."""
    ours, theirs = left.state.best, right.state.best
    best = f"best {_best(ours)} vs {_best(theirs)}" if ours or theirs else ""
    return "  ".join(filter(None, (f"╌╌ {run_name(right.folder)}", right.status(), best)))


def as_document(left: FollowedRun, right: FollowedRun) -> dict[str, Any]:
    """For `--json`: a summary each, every key that differs with both values, and the verdict."""
    return {
        "runs": [asdict(summary_of(run)) for run in (left, right)],
        "recipe": {key: list(pair) for key, pair in recipe_changes(left.folder, right.folder).items()},
        "verdict": verdict(left, right),
    }


def as_table(left: FollowedRun, right: FollowedRun) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of what `ftwiz compare` prints."""
    rows = [*results(summary_of(left), summary_of(right)), *recipe_rows(recipe_changes(left.folder, right.folder))]
    return ["", run_name(left.folder), run_name(right.folder)], [list(row) for row in rows]


def _results(run: Summary) -> Iterator[tuple[str, str]]:
    yield "status", run.status
    yield "began", moment(run.began)
    yield "epochs", f"{run.epoch}/{run.epochs}"
    yield "best", run.best_in_words()
    yield "val loss", UNKNOWN if run.best_loss is None else number(run.best_loss)
    yield "took", UNKNOWN if run.seconds is None else duration(run.seconds)
    yield "speed", UNKNOWN if run.clips_per_s is None else f"{number(run.clips_per_s, 3)} clips/s"
    yield "parameters", UNKNOWN if run.parameters is None else f"{run.parameters / 1e6:.1f} million"


def _best(best: Validation | None) -> str:
    return percent(best.key) if best else UNKNOWN


def _value(value: Any) -> str:
    """As a recipe says it; a path below the working folder as one would type it."""
    if isinstance(value, str) and value:
        return printable(value.removeprefix(os.path.join(os.getcwd(), "")))
    return json.dumps(value, ensure_ascii=False)


def _why_not_comparable(left: FollowedRun, right: FollowedRun) -> str:
    ours, theirs, mine, other = left.state.started, right.state.started, left.state.best, right.state.best
    if mine and other and mine.key_metric != other.key_metric:
        names = " and ".join(metric_name(best.key_metric) for best in (mine, other))
        return f"They are measured by different metrics, {names}, which do not compare."
    if ours and theirs and sorted(ours.classes) != sorted(theirs.classes):
        return "Their classes differ, so their results do not compare."
    return ""


def _caution(left: FollowedRun, right: FollowedRun) -> str:
    """The list that is hashed has paths: a dataset that was moved is another one too."""
    hashes = _validation_clips(left.folder), _validation_clips(right.folder)
    differ = all(hashes) and hashes[0] != hashes[1]
    return " Their validation clips differ, or lie elsewhere: compare with care." if differ else ""


def _validation_clips(run: RunFolder) -> str:
    """The hash of the list of them; "" where it is not recorded."""
    try:
        found = json.loads(run.provenance.read_text(encoding="utf-8"))["clips"]["val"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(found)


def _in_clips(run: FollowedRun, share: float) -> str:
    """How many validation clips that is: with few of them, points look like more than they are."""
    started, best = run.state.started, run.state.best
    if started is None or best is None or best.key_metric != "top1" or not started.val_clips:
        return ""
    return f", {round(abs(share) * started.val_clips)} of {count(started.val_clips, 'validation clip')}"
