"""From a few measured steps to a whole training: arithmetic that can be followed by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forecast import (
    LEAST_SPREAD,
    Measurement,
    Pass,
    checkpoints_held,
    document_of,
    forecast,
    is_measured_by,
    measurement_of,
    pass_seconds,
    spread_of,
)
from engine.recipe import Recipe, Schedule, recipe_from

TRAIN = Pass(clips=100, batch_size=10, compute_s=2.0, decode_s=0.1, steps=9, compute_spread=0.1, decode_spread=0.2)
VAL = Pass(clips=20, batch_size=10, compute_s=1.0, decode_s=0.1, steps=3, compute_spread=0.1, decode_spread=0.2)
MEASURED = Measurement(
    device="CPU, 2 threads",
    precision="fp32",
    workers=1,
    cores=4,
    batch_size=10,
    micro_batch_size=10,
    train=TRAIN,
    val=VAL,
    memory_mb=900.0,
    memory_limit_mb=16_000.0,
    checkpoint_bytes=100_000_000,
    clips_skipped=0,
)


# --- waiting for clips ------------------------------------------------------------------------------------------------


def test_without_workers_decoding_and_computing_take_turns() -> None:
    assert pass_seconds([4, 4, 2], compute_s=0.5, decode_s=0.1, workers=0) == pytest.approx((6.0, 1.0))


def test_a_slow_device_waits_for_the_first_batch_only() -> None:
    seconds, waited = pass_seconds([4] * 10, compute_s=0.5, decode_s=0.1, workers=1)
    assert waited == pytest.approx(0.4)
    assert seconds == pytest.approx(0.4 + 10 * 2.0)


def test_a_slow_worker_sets_the_pace() -> None:
    seconds, waited = pass_seconds([4] * 10, compute_s=0.1, decode_s=0.5, workers=1)
    assert seconds == pytest.approx(10 * 2.0 + 0.4)  # the last batch is computed when all is decoded
    assert waited == pytest.approx(seconds - 10 * 0.4)


def test_two_workers_halve_the_waiting() -> None:
    one, _ = pass_seconds([4] * 100, compute_s=0.01, decode_s=0.5, workers=1)
    two, _ = pass_seconds([4] * 100, compute_s=0.01, decode_s=0.5, workers=2)
    assert two == pytest.approx(one / 2, rel=0.02)


def test_more_workers_than_batches_help_nobody() -> None:
    sizes = [8, 8, 8]
    assert pass_seconds(sizes, 0.1, 0.2, workers=3) == pytest.approx(pass_seconds(sizes, 0.1, 0.2, workers=16))


def test_workers_are_two_batches_ahead_and_no_more() -> None:
    """While the device takes 10 s a batch, the worker's 1 s is hidden but for the first; it never idles it."""
    seconds, waited = pass_seconds([1] * 6, compute_s=10.0, decode_s=1.0, workers=1)
    assert (seconds, waited) == pytest.approx((61.0, 1.0))


@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=40),
    st.floats(0.001, 1.0),
    st.floats(0.001, 1.0),
    st.integers(0, 8),
)
def test_a_pass_takes_no_less_than_either_side_and_no_more_than_both(
    sizes: list[int], compute_s: float, decode_s: float, workers: int
) -> None:
    seconds, waited = pass_seconds(sizes, compute_s, decode_s, workers)
    compute, decode = sum(sizes) * compute_s, sum(sizes) * decode_s
    slack = 1e-9 + 1e-9 * (compute + decode)
    assert max(compute, decode / max(workers, 1)) - slack <= seconds <= compute + decode + slack
    assert waited == pytest.approx(seconds - compute, abs=1e-6)


# --- the whole training -----------------------------------------------------------------------------------------------


def test_the_total_is_epochs_and_validations() -> None:
    told = forecast(MEASURED, Schedule(epochs=10, validation_interval=4, batch_size=10))
    assert told.steps_per_epoch == 10
    assert told.epoch_s == pytest.approx(1.0 + 10 * 2.0)  # the first batch is waited for
    assert told.validation_s == pytest.approx(1.0 + 2 * 1.0)
    assert told.validations == 3  # after 4, 8 and the last
    assert told.total_s == pytest.approx(10 * told.epoch_s + 3 * told.validation_s)
    assert told.total_from_s < told.total_s < told.total_to_s
    assert told.clips_per_s == pytest.approx(100 / 21)
    assert told.data_wait == pytest.approx(1 / 21)


def test_without_validation_clips_none_is_counted() -> None:
    told = forecast(replace(MEASURED, val=None), Schedule(epochs=3))
    assert (told.validations, told.validation_s) == (0, 0.0)
    assert told.total_s == pytest.approx(3 * told.epoch_s)


def test_a_smaller_last_batch_takes_less() -> None:
    odd = replace(MEASURED, train=replace(TRAIN, clips=95), val=None)
    assert forecast(odd, Schedule()).epoch_s == pytest.approx(1.0 + 9.5 * 2.0)
    assert forecast(odd, Schedule()).steps_per_epoch == 10


@pytest.mark.parametrize(
    ("schedule", "files"),
    [
        ({"epochs": 1}, 1),  # last, best and epoch-001 are one file
        ({"epochs": 2}, 2),
        ({"epochs": 50}, 4),  # the newest three, among them last and the one before it, and the best
        ({"epochs": 50, "keep_checkpoints": 1}, 3),  # last, the one before, the best
        ({"epochs": 50, "checkpoint_interval": 5}, 6),  # three, last, the one before, the best
        ({"epochs": 50, "keep_checkpoints": 0}, 50),
        ({"epochs": 50, "keep_checkpoints": 0, "checkpoint_interval": 10}, 7),
        ({"epochs": 50, "retries_at_half_lr": 2}, 5),  # and start.pt
    ],
)
def test_how_many_checkpoints_there_are_at_a_time(schedule: dict[str, int], files: int) -> None:
    assert checkpoints_held(Schedule(**schedule), validates=True) == files


def test_without_validation_there_is_no_best_checkpoint() -> None:
    assert checkpoints_held(Schedule(epochs=50), validates=False) == 3


# --- what a measurement holds for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"name": "other"}, True),
        ({"schedule": {"epochs": 3, "lr": 0.1, "milestones": [1], "checkpoint_interval": 7}}, True),
        ({"weights": {"load_from": "mine.pth"}}, True),
        ({"schedule": {"batch_size": 16}}, False),
        ({"schedule": {"freeze": "backbone"}}, False),
        ({"dataset": {"root": "elsewhere"}}, False),
        ({"model": {"segments": 5}}, False),
        ({"run": {"workers": 4}}, False),
    ],
)
def test_a_measurement_holds_until_a_step_changes(change: dict, holds: bool) -> None:
    assert is_measured_by(recipe_from(change), Recipe()) is holds


# --- how well it is known ---------------------------------------------------------------------------------------------


def test_the_spread_is_two_standard_errors_and_never_nothing() -> None:
    assert spread_of([2.0] * 20) == LEAST_SPREAD
    assert spread_of([1.0, 3.0], least=0.0) == pytest.approx(0.9)  # 2 × √2 / √2 / 2 = 1, more than can be
    assert spread_of([1.0, 2.0] * 50, least=0.0) == pytest.approx(2 * 0.5025 / 10 / 1.5, rel=1e-3)
    assert spread_of([1.0]) == 0.9


def test_it_goes_through_json() -> None:
    for measured in (MEASURED, replace(MEASURED, val=None, notes=("a", "b"))):
        assert measurement_of(json.loads(json.dumps(document_of(measured)))) == measured
