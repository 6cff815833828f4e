"""What was measured, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.recipe import Recipe, Schedule
from tests.engine.test_forecast import MEASURED, TRAIN
from wizard.estimate import Estimate, short, size

RECIPE = Recipe(schedule=Schedule(epochs=50, batch_size=10))
SLOW_CLIPS = replace(TRAIN, compute_s=0.2)  # 10 clips take a worker 1 s to decode


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0123, "0.012 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.9, "1 min"),
        (131, "2 min 10 s"),
        (1799, "30 min"),
        (6700, "1 h 50 min"),
        (7199, "2 h"),
        (90_000, "1 d 1 h"),
        (172_900, "2 d"),
    ],
)
def test_a_time_is_said_as_well_as_it_is_known(seconds: float, said: str) -> None:
    assert short(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (900, "1 kB"),
        (2_969_985, "3 MB"),
        (290_400_000, "290 MB"),
        (1_240_000_000, "1.2 GB"),
        (56_430_000_000, "56.4 GB"),
    ],
)
def test_a_size_has_no_more_digits_than_one_needs(amount: int, said: str) -> None:
    assert size(amount) == said


def test_what_it_takes_is_told_in_a_row_each() -> None:
    rows = dict(Estimate(RECIPE, MEASURED).rows())
    assert rows["speed"] == "4.76 clips/s; a step of 10 takes 2.1 s"
    assert rows["an epoch"] == "21 s (100 clips), and 3.0 s to validate (20)"
    assert rows["50 epochs"] == "18 min to 22 min"
    assert rows["memory"] == "900 MiB of 15.6 GiB at most"
    assert rows["checkpoints"].startswith("100 MB each, up to 400 MB for 4 at a time; ")
    assert rows["clips"].startswith("come in time")


def test_where_clips_hold_it_up_it_says_what_would_help() -> None:
    on_cpu = replace(MEASURED, train=SLOW_CLIPS, val=None)
    assert Estimate(RECIPE, on_cpu).waiting() == (
        "decode-bound: waiting takes 80 % of the time; more [run] workers may help (4 cores)"
    )
    on_gpu = replace(on_cpu, device="NVIDIA A100")
    # Four workers decode four batches a second: ten take 3 s, and the last one is computed in 0.2 s.
    assert "with workers = 4 under [run] an epoch would take about 3." in Estimate(RECIPE, on_gpu).waiting()
    assert "smaller videos would help" in Estimate(RECIPE, replace(on_gpu, workers=4, cores=4)).waiting()


def test_checkpoints_that_will_not_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Estimate(RECIPE, MEASURED).notes() == []
    monkeypatch.setattr("wizard.estimate.free_disk", lambda recipe: 300_000_000)
    (note,) = Estimate(RECIPE, MEASURED).notes()
    assert "400 MB are needed in runs/" in note and "keep_checkpoints" in note
