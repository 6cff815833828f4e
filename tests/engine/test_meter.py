"""Means between two step events, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engine.meter import Meter, peak_memory_mb

CPU = torch.device("cpu")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(CPU, clock)


def add(meter: Meter, loss: float, right: list[bool], grad_norm: float = 1.0) -> None:
    meter.add(torch.full((len(right),), loss), torch.tensor(right), torch.tensor(grad_norm))


def test_loss_and_accuracy_are_means_over_clips_not_steps(meter: Meter) -> None:
    """A batch with fewer clips (the last one, or one with bad clips) weighs less."""
    add(meter, 1.0, [True, True, True, False], grad_norm=2.0)
    add(meter, 4.0, [False], grad_norm=4.0)
    fields = meter.read()
    assert fields["loss"] == pytest.approx((4 * 1.0 + 4.0) / 5)
    assert fields["accuracy"] == pytest.approx(3 / 5)
    assert fields["grad_norm"] == pytest.approx(3.0)


def test_reading_starts_anew(meter: Meter, clock: Clock) -> None:
    add(meter, 5.0, [False])
    clock.seconds += 2
    meter.read()
    add(meter, 1.0, [True, True], 7.0)
    clock.seconds += 4
    fields = meter.read()
    assert (fields["loss"], fields["accuracy"], fields["grad_norm"]) == (1.0, 1.0, 7.0)
    assert fields["clips_per_s"] == pytest.approx(2 / 4)


def test_the_wait_for_clips_is_a_share_of_the_time(meter: Meter, clock: Clock) -> None:
    def loader() -> Iterator[str]:
        for name in ("a", "b", "c"):
            clock.seconds += 1  # a slow disk
            yield name

    seen = []
    for batch in meter.waiting_for(loader()):
        seen.append(batch)
        clock.seconds += 3  # a step
    assert seen == ["a", "b", "c"]
    assert meter.read()["data_wait"] == pytest.approx(3 / 12)
    clock.seconds += 1
    assert meter.read()["data_wait"] == 0.0


def test_a_batch_may_be_false_or_a_tensor(meter: Meter) -> None:
    batches = [torch.zeros(2), torch.zeros(0), 0, ""]
    assert [id(batch) for batch in meter.waiting_for(batches)] == [id(batch) for batch in batches]


def test_validation_is_no_slow_training(meter: Meter, clock: Clock) -> None:
    add(meter, 1.0, [True])
    clock.seconds += 2
    began = meter.now()
    clock.seconds += 50
    meter.leave_out(began)
    clock.seconds += 2
    assert meter.read()["clips_per_s"] == pytest.approx(1 / 4)


def test_the_forecast_counts_everything(meter: Meter, clock: Clock) -> None:
    assert meter.seconds_a_step() == 0.0
    for _ in range(4):
        add(meter, 1.0, [True])
        clock.seconds += 2
        meter.read()
    began = meter.now()
    clock.seconds += 12  # validation
    meter.leave_out(began)
    assert meter.seconds_a_step() == pytest.approx(20 / 4)


def test_nothing_done_yet_is_no_division_by_zero(meter: Meter) -> None:
    fields = meter.read()
    assert [fields[name] for name in ("loss", "accuracy", "grad_norm", "clips_per_s", "data_wait")] == [0.0] * 5


def test_the_losses_graph_is_not_kept(meter: Meter) -> None:
    losses = torch.zeros(2, requires_grad=True) * 1
    meter.add(losses, torch.tensor([True, True]), torch.tensor(1.0))
    kept = [value for value in vars(meter).values() if isinstance(value, torch.Tensor)]
    assert kept and not any(value.requires_grad for value in kept)


def test_memory_is_in_mib() -> None:
    before = peak_memory_mb(CPU)
    held = torch.ones(64 * 2**18)  # 64 MiB
    assert 30 < before < 100_000 and peak_memory_mb(CPU) >= before
    assert held.sum() > 0


def test_a_pause_is_no_time(meter: Meter, clock: Clock) -> None:
    """Not in the speed, not in the forecast; also where a validation was left out around it."""
    add(meter, 1.0, [True, True])
    clock.seconds += 1
    began = meter.now()
    clock.seconds += 2  # of validation
    meter.pause()
    clock.seconds += 1000
    meter.go_on()
    clock.seconds += 3  # of validation
    meter.leave_out(began)
    clock.seconds += 4
    assert meter.read()["clips_per_s"] == pytest.approx(2 / 5)
    assert meter.seconds_a_step() == pytest.approx(10)
