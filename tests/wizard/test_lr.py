"""The learning-rate range test: from the curve to a rate for the recipe, and the command on real videos."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from engine.learning_rate import lr_for_recipe, scaled_lr, steepest
from engine.recipe import Recipe, Schedule
from tests.clips import make_dataset, write_recipe
from wizard.lr import chart, verdict


def curve(fall_at: float = 1e-3, turn_at: float = 1e-1) -> list[tuple[float, float]]:
    """A loss of 1 that falls to 0.2 around fall_at and rises from turn_at on."""
    points = []
    for step in range(121):
        rate = 10 ** (-6 + step / 20)
        fall = 0.8 / (1 + math.exp(-4 * math.log10(rate / fall_at)))
        points.append((rate, 1 - fall + max(0.0, math.log10(rate / turn_at))))
    return points


@pytest.mark.parametrize("fall_at", [1e-4, 1e-3, 1e-2])
def test_the_steepest_fall_is_found(fall_at: float) -> None:
    found = steepest(curve(fall_at))
    assert found is not None and found == pytest.approx(fall_at, rel=0.15)


def test_a_loss_that_never_falls_has_no_good_rate() -> None:
    assert steepest([(10.0**-place, 1.0) for place in range(6, 0, -1)]) is None
    assert steepest([]) is None
    assert steepest(curve()[:3]) is None
    recipe = Recipe()
    assert "No rate made the loss fall" in verdict("r.toml", recipe, curve()[:3], None, None)


def test_a_rate_becomes_the_lr_that_trains_at_it() -> None:
    for schedule in (Schedule(batch_size=16, lr_batch_size=256), Schedule(batch_size=16, lr_batch_size=0)):
        lr = lr_for_recipe(0.003, schedule, 16)
        assert scaled_lr(schedule.model_copy(update={"lr": lr})) == pytest.approx(0.003)
    recipe = Recipe(schedule=Schedule(batch_size=16, lr_batch_size=256))
    said = verdict("my recipe.toml", recipe, curve(), 0.003, lr_for_recipe(0.003, recipe.schedule, 16))
    assert "(lr 0.048 × 16/256 = 0.003); yours is 0.01" in said
    assert "ftwiz run 'my recipe.toml' --set schedule.lr=0.048" in said


@pytest.mark.parametrize("width", [20, 80, 300])
def test_the_chart_marks_the_rate_and_fits(width: int) -> None:
    lines = chart(curve(), 1e-3, width)
    assert max(map(len, lines)) <= max(width, 28)
    axis = next(line for line in lines if "└" in line)
    halfway = (axis.index("└") + len(axis)) / 2  # 1e-3 is in the middle of 1e-6 to 1
    assert axis.index("▲") == pytest.approx(halfway, abs=2)
    assert lines[-1].split()[0] == "1e-6" and len(set(lines[-1].split())) == len(lines[-1].split())


def test_a_loss_that_is_never_a_number_draws_no_chart() -> None:
    assert chart([], None, 80) == ["The loss was not a number from the first step on."]


def ftwiz(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wizard.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_finds_a_rate_and_leaves_nothing(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "videos")
    model = 'backbone = "resnet10_slim"\nsegments = 2'
    write_recipe(tmp_path / "r.toml", root, model=model, schedule='batch_size = "auto"\nlr_batch_size = 256')
    done = ftwiz("lr", "r.toml", "--steps", "60", "--low", "1e-5", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 1e-5 < found["steepest"] < 0.5 and found["lr"] == pytest.approx(found["steepest"] * 256)
    assert [point["lr"] for point in found["points"]] == sorted(point["lr"] for point in found["points"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.toml", "videos"]


def test_rates_that_do_not_rise_are_a_sentence(tmp_path: Path) -> None:
    done = ftwiz("lr", "r.toml", "--low", "1", "--high", "0.1", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--low 1 and --high 0.1: the rates rise from a positive one to a larger one.\n"
