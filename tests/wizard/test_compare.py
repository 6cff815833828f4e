"""Two runs side by side, and the list of runs, as the commands print them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RecipeError
from engine.events import RunFinished
from engine.recipe import recipe_from
from engine.run_folder import RunFolder
from tests.runs import BEGIN, CLASSES, history, left_by_a_process, make_run, started, step_at, validation_at
from wizard.compare import as_document, as_table, verdict
from wizard.summary import read_run, summary_of

START = started()


def run_of(folder: Path, name: str, lr: float, top1: float, **changes: object) -> RunFolder:
    """One epoch, finished, by a recipe with this rate."""
    start = replace(START, **changes)
    events = [start, step_at(40, start), replace(validation_at(40, start), top1=top1)]
    events += [RunFinished(BEGIN + 45, top1, 1, 45.0)]
    return make_run(
        folder / name, events, recipe=recipe_from({"name": name, "schedule": {"lr": lr}, "run": {"output": f"/{name}"}})
    )


@pytest.fixture
def two(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    return run_of(tmp_path, "快", 0.02, 0.8), run_of(tmp_path, "slow", 0.005, 0.75)


def test_what_differs_and_what_came_of_it(two):
    header, rows = as_table(*map(read_run, two))
    said = {name: (left, right) for name, left, right in rows}
    assert header == ["", "快", "slow"]
    assert said["best"] == ("top-1 80.0 % (epoch 1)", "top-1 75.0 % (epoch 1)")
    assert said["status"] == ("finished", "finished") and said["epochs"] == ("1/8", "1/8")
    assert said["took"] == ("45 s", "45 s") and said["speed"] == ("152 clips/s", "152 clips/s")
    assert said["schedule.lr"] == ("0.02", "0.005")
    assert [name for name in said if "." in name] == ["schedule.lr"]  # the name of a recipe changes nothing


def test_points_are_told_with_the_clips_they_are(two):
    assert verdict(*map(read_run, two)) == "快 is ahead by 5.0 points of top-1, 4 of 80 validation clips."
    assert verdict(*map(read_run, reversed(two))) == "快 is ahead by 5.0 points of top-1, 4 of 80 validation clips."
    assert verdict(*map(read_run, (two[0], two[0]))) == "Both reached the same top-1."


def test_results_that_do_not_compare_are_not_compared(tmp_path, two):
    other = run_of(tmp_path, "other", 0.02, 0.9, classes=CLASSES[:-1])
    assert verdict(*map(read_run, (two[0], other))) == "Their classes differ, so their results do not compare."
    for run, sha256 in zip(two, ("aa", "bb"), strict=True):
        run.provenance.write_text(json.dumps({"clips": {"val": {"count": 80, "sha256": sha256}}}))
    said = (
        "快 is ahead by 5.0 points of top-1, 4 of 80 validation clips. Their validation clips differ, or lie elsewhere"
    )
    assert verdict(*map(read_run, two)).startswith(said)
    start = replace(START, key_metric="sample_map")
    done = replace(validation_at(40, start), sample_map=0.6, key_metric="sample_map")
    several = make_run(tmp_path / "several", [start, step_at(40, start), done])
    assert "different metrics, top-1 and mAP" in verdict(*map(read_run, (two[0], several)))


def test_a_run_without_a_result_yet(tmp_path, two):
    young = read_run(make_run(tmp_path / "young"))
    said = {name: right for name, _, right in as_table(read_run(two[0]), young)[1]}
    assert said["best"] == said["took"] == said["speed"] == "–" and said["epochs"] == "0/0"
    assert verdict(read_run(two[0]), young) == ""


def test_json_has_the_values_themselves(two):
    document = json.loads(json.dumps(as_document(*map(read_run, two)), allow_nan=False))
    assert [run["best"] for run in document["runs"]] == [0.8, 0.75]
    assert document["recipe"] == {"schedule.lr": [0.02, 0.005]}


def test_a_loss_that_is_no_number_is_null_in_json(tmp_path):
    lost = replace(validation_at(40, START), loss=math.inf)
    assert summary_of(read_run(make_run(tmp_path / "run", [START, step_at(40, START), lost]))).best_loss is None


def test_a_recipe_that_cannot_be_read_is_told_by_its_file(two):
    two[1].recipe.write_text("[schedule\n")
    with pytest.raises(RecipeError, match=r"slow/recipe\.toml"):
        as_table(*map(read_run, two))


@pytest.mark.slow
def test_the_commands(tmp_path, two):
    """A process each: what a shell sees."""

    def ftwiz(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wizard.cli", *arguments, "--runs", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    crashed = make_run(tmp_path / "crashed", history(140, START))
    left_by_a_process(crashed)
    told = ftwiz("compare", "快", "slow")
    assert told.returncode == 0 and "schedule.lr  0.02" in told.stdout
    assert told.stderr == "快 is ahead by 5.0 points of top-1, 4 of 80 validation clips.\n"
    listed = ftwiz("runs").stdout.splitlines()
    assert listed[0].split() == ["RUN", "STATUS", "EPOCH", "BEST"]
    assert "快       finished  1/8    top-1 80.0 % (epoch 1)" in listed
    assert "crashed  crashed   4/8    top-1 64.2 % (epoch 3)" in listed
    missing = ftwiz("compare", "快", "nothing")
    assert missing.returncode == 2 and missing.stderr.startswith("nothing is not a run folder")
