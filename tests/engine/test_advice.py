"""Advice on series of numbers: what is wrong is told, once and in plain words; a good run hears nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.advice import Adviser, Course, advice, is_guessing
from engine.events import Event, EventLog, LogReader, Message, RunStarted, Step, Validation, WentBack
from engine.recipe import recipe_from

CLASSES = [f"class {label}" for label in range(6)]
STEPS = 10  # an epoch


def course(clips: int = 100, cores: int = 8, epochs: int = 12, workers: int = 2, **tables: Any) -> Course:
    """Six classes with so many training clips each; 120 validation clips."""
    found = Course(recipe_from(tables), dict.fromkeys(CLASSES, clips), cores)
    found.take(
        RunStarted(
            t=0.0, name="run", classes=CLASSES, train_clips=6 * clips, val_clips=120, epochs=epochs,
            steps_per_epoch=STEPS, batch_size=8, lr=0.01, lr_arithmetic="lr 0.01", device="cpu", precision="fp32",
            workers=workers, parameters=10, chance=1 / 6,
        )
    )  # fmt: skip
    return found


def epoch(number: int, loss: float, accuracy: float, wait: float = 0.1, seconds: float = 10.0) -> Iterable[Step]:
    for step in (1, STEPS // 2, STEPS):
        yield Step(
            t=100.0 * number + seconds * step / STEPS, step=(number - 1) * STEPS + step, epoch=number, loss=loss,
            accuracy=accuracy, lr=0.01, grad_norm=1.0, clips_per_s=9.0, data_wait=wait, memory_mb=9.0, eta_s=9.0,
        )  # fmt: skip


def validation(number: int, loss: float, top1: float, best: bool = False, **more: Any) -> Validation:
    fields = {"top5": 1.0, "mean_class_accuracy": top1, "per_class": [top1] * 6, "confused": [], **more}
    return Validation(
        t=100.0 * number + 50, epoch=number, step=number * STEPS, loss=loss, top1=top1, best=best, **fields
    )


def told(found: Course, series: Iterable[tuple[float, ...]]) -> dict[str, str]:
    """All that is said in the course of epochs of (training loss, accuracy, validation loss, top-1)."""
    everything = dict(advice(found))
    best = -1.0
    for number, (loss, accuracy, val_loss, top1) in enumerate(series, 1):
        for event in (*epoch(number, loss, accuracy), validation(number, val_loss, top1, best=top1 > best)):
            found.take(event)
            everything = advice(found) | everything  # what was said stays said
        best = max(best, top1)
    return everything


# The demo's runs on two cores, seed 0: epochs of (training loss, accuracy, validation loss, top-1).
FINE_TUNED = [
    (1.610, 0.431, 1.332, 0.633), (1.308, 0.742, 1.031, 0.658), (0.945, 0.688, 0.849, 0.667),
    (0.787, 0.802, 0.771, 0.733), (0.757, 0.775, 0.638, 0.833), (0.577, 0.906, 0.738, 0.775),
    (0.550, 0.865, 0.521, 0.883), (0.405, 0.973, 0.472, 0.925), (0.533, 0.898, 0.444, 0.917),
    (0.410, 0.958, 0.432, 0.933), (0.401, 0.931, 0.432, 0.917), (0.360, 0.914, 0.431, 0.925),
]  # fmt: skip
PRETRAINED = [
    (1.862, 0.191, 1.872, 0.142), (1.660, 0.303, 1.469, 0.383), (0.982, 0.597, 0.679, 0.725),
    (0.497, 0.842, 0.322, 0.917), (0.262, 0.958, 0.171, 0.967), (0.193, 0.968, 0.161, 0.958),
]  # fmt: skip
FROM_SCRATCH = [
    (1.812, 0.167, 1.793, 0.175), (1.734, 0.312, 1.818, 0.167), (1.678, 0.304, 1.847, 0.158),
    (1.531, 0.604, 1.874, 0.175), (1.394, 0.609, 1.908, 0.150), (1.238, 0.741, 1.898, 0.192),
    (1.046, 0.823, 1.912, 0.208), (0.853, 0.888, 1.938, 0.192), (0.778, 0.961, 1.955, 0.217),
    (0.705, 0.931, 1.943, 0.217), (0.700, 0.903, 1.953, 0.208), (0.616, 0.906, 1.940, 0.208),
]  # fmt: skip


@pytest.mark.parametrize("series", [FINE_TUNED, PRETRAINED])
def test_good_runs_hear_nothing(series: list[tuple[float, ...]]) -> None:
    assert told(course(), series) == {}


def test_what_is_wrong_with_training_from_scratch_on_few_clips() -> None:
    found = told(course(clips=12), FROM_SCRATCH)
    assert found.keys() == {"few clips", "validation guessing"}
    assert found["few clips"].startswith("6 of 6 classes have fewer than 20 training clips (class 0 12, class 1 12,")
    assert "recognises 61 % of its training clips" in found["validation guessing"]
    assert "(18 %, chance 17 %)" in found["validation guessing"]


@pytest.mark.parametrize("seed", range(60))
def test_noise_on_a_good_run_is_no_reason_to_warn(seed: int) -> None:
    """Slow and fast learners, from good weights and from none, with noise as of 120 validation clips."""
    noise = random.Random(seed)
    speed, start, end = noise.uniform(0.5, 4), noise.uniform(0.17, 0.8), noise.uniform(0.85, 0.99)
    series = []
    for number in range(30):
        accuracy = end - (end - start) * math.exp(-(number + 1) / speed)
        loss = 2.2 * (1 - accuracy) + 0.1
        series.append(
            (
                loss * noise.gauss(1, 0.05),
                min(noise.gauss(accuracy, 0.02), 1.0),
                (loss + 0.1) * noise.gauss(1, 0.05),
                sum(noise.random() < accuracy - 0.03 for _ in range(120)) / 120,
            )
        )
    assert told(course(epochs=30), series) == {}


@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_guesses_is_told_so(seed: int) -> None:
    noise = random.Random(seed)

    def share(clips: int) -> float:
        return sum(noise.random() < 1 / 6 for _ in range(clips)) / clips

    series = [(1.8, share(600), 1.8, share(120)) for _ in range(12)]
    found = told(course(), series)
    assert found.keys() - {"loss"} == {"guessing"} and "no better than guessing" in found["guessing"]
    assert "chance 17 %" in found["guessing"] and "ftwiz lr" in found["guessing"]


def test_a_few_clips_cannot_tell_guessing_from_learning() -> None:
    assert is_guessing(0.2, 120, 1 / 6) and not is_guessing(0.3, 120, 1 / 6)
    assert is_guessing(0.05, 120, 1 / 6), "worse than guessing is no better"
    assert not is_guessing(1 / 3, 6, 1 / 3)
    assert not is_guessing(math.nan, 120, 1 / 6) and not is_guessing(0.1, 0, 1 / 6)


def test_a_low_top1_among_unequal_classes_may_be_good() -> None:
    """The commonest class holds 80 % of the clips; the model knows the others."""
    found = course()
    found.take(RunStarted(**{**vars(found.started), "chance": 0.8, "t": 1.0}))
    for number in range(1, 8):
        for event in (*epoch(number, 1.0, 0.5), validation(number, 1.0, 0.7, mean_class_accuracy=0.75)):
            found.take(event)
    assert "guessing" not in advice(found) and "validation guessing" not in advice(found)


def test_mixed_clips_are_judged_by_validation_alone() -> None:
    series = [(1.8, 0.16, 1.8 - 0.1 * number, 0.3 + 0.05 * number) for number in range(8)]
    assert "guessing" not in told(course(schedule={"mixup": 0.8}), series)


def test_a_loss_that_does_not_move() -> None:
    found = told(course(), [(1.70 - 0.001 * number, 0.30, 1.7, 0.35 + 0.01 * number) for number in range(8)])
    assert found.keys() == {"loss"}
    assert "hardly moves: 1.7 in epoch 1, 1.7 in epoch 5" in found["loss"] and "too small" in found["loss"]


def test_a_loss_that_rises() -> None:
    found = told(course(), [(1.0 + 0.1 * number, 0.5, 1.0, 0.5) for number in range(8)])
    assert "has risen: 1 in epoch 1, 1.4 in epoch 5" in found["loss"] and "too large" in found["loss"]
    spikes = [(1.0, 0.5, 1.0, 0.5), *[(0.2, 0.9, 0.3, 0.9)] * 8, *[(1.5, 0.4, 1.4, 0.5)] * 2, (0.2, 0.9, 0.3, 0.9)]
    assert told(course(), spikes) == {}


def test_overfitting() -> None:
    fall = [(1.5 / (number + 1), 0.5 + 0.05 * number) for number in range(10)]
    rises = [1.2, 0.9, 0.8, 0.85, 0.9, 0.97, 1.05, 1.1, 1.15, 1.2]
    stays = [0.5, 0.6, 0.7, 0.7, 0.69, 0.7, 0.69, 0.68, 0.69, 0.68]
    series = [(*trained, loss, top1) for trained, loss, top1 in zip(fall, rises, stays, strict=True)]
    found = told(course(), series)
    assert found.keys() == {"overfitting"}
    assert "since epoch 5: the training loss fell from 0.392 to 0.217" in found["overfitting"]
    assert "validation loss rose from 0.85 to 1.04" in found["overfitting"]

    better = [(*trained, loss, 0.5 + 0.04 * number) for number, (*trained, loss, _) in enumerate(series)]
    assert told(course(), better) == {}, "surer of its mistakes, but still more often right"
    zigzag = [(*trained, 0.8 + 0.3 * (number % 2), 0.6) for number, (*trained, _, _) in enumerate(series)]
    assert told(course(), zigzag) == {}


def test_waiting_for_clips() -> None:
    def waits(cores: int, wait: float, seconds: float = 30.0) -> dict[str, str]:
        found = course(cores=cores)
        for number in (1, 2):
            for step in epoch(number, 1.0 / number, 0.5, wait=wait if number > 1 else 1.0, seconds=seconds):
                found.take(step)
        return advice(found)

    assert waits(cores=8, wait=0.3) == {}, "the first epoch does not count"
    assert waits(cores=8, wait=0.7, seconds=3.0) == {}, "too short to judge"
    assert "70 % of the time" in waits(cores=8, wait=0.7)["waiting"]
    assert "more [run] workers would help (it has 2, this machine 8 cores)" in waits(cores=8, wait=0.7)["waiting"]
    assert "more [run] workers" not in waits(cores=2, wait=0.7)["waiting"]


def test_classes_never_predicted() -> None:
    found = course(epochs=10)
    for number in range(1, 8):
        never = [2, 5] if number != 6 else [5]
        for event in (*epoch(number, 1.0 / number, 0.7), validation(number, 1.0 / number, 0.6, never_predicted=never)):
            found.take(event)
        assert ("never predicted" in advice(found)) == (number in (6, 7)), number
    assert "1 of 6 classes is never predicted: class 5." in advice(found)["never predicted"]


def test_a_validation_loss_that_is_no_number() -> None:
    found = told(course(), [(1.0 / number, 0.7, math.nan, 0.3) for number in range(1, 3)])
    assert found.keys() == {"validation loss"}
    assert told(course(), [(1.0 / number, 0.7, math.nan, math.nan) for number in range(1, 3)]) == {}


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ({"lr": 0.01, "lr_batch_size": 0}, ""),
        ({"optimizer": "adamw", "lr": 0.01, "lr_batch_size": 0}, "large"),
        ({"lr": 50.0, "batch_size": 32}, "large"),
        ({"lr": 1e-7, "batch_size": 8}, "small"),
    ],
)
def test_learning_rates_far_from_the_usual(schedule: dict[str, Any], word: str) -> None:
    sentence = advice(course(schedule=schedule)).get("learning rate", "")
    assert (f"unusually {word} for" in sentence) if word else not sentence


def test_some_classes_of_few_clips() -> None:
    found = course()
    found.class_clips = {**dict.fromkeys(CLASSES, 50), "class 3": 19, "class 1": 4}
    assert advice(found)["few clips"].startswith(
        "2 of 6 classes have fewer than 20 training clips (class 1 4, class 3 19)."
    )


# --- in a log ---------------------------------------------------------------------------------------------------------


def topics(path: Path) -> list[str]:
    return [event.topic for event in LogReader(path).read() if isinstance(event, Message)]


def write(log: EventLog, events: Iterable[Event]) -> None:
    for event in events:
        log.write(type(event), **{name: value for name, value in vars(event).items() if name != "t"})


def test_each_warning_is_given_once_in_the_life_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    started = course(clips=10).started
    assert started is not None
    write(log, [started])
    Adviser(Course(recipe_from({}), dict.fromkeys(CLASSES, 10)), log)
    assert topics(path) == ["few clips"]
    for number in range(1, 9):
        write(log, [*epoch(number, 1.8, 0.1), validation(number, 1.8, 0.1)])
    assert topics(path) == ["few clips", "guessing"]
    (warning,) = [event for event in LogReader(path).read() if isinstance(event, Message) and event.topic == "guessing"]
    assert warning.level == "warning"

    again = EventLog(path)  # a resumed run
    write(again, [RunStarted(**{**vars(started), "first_step": 4 * STEPS})])
    Adviser(Course(recipe_from({}), dict.fromkeys(CLASSES, 10)), again)
    for number in range(5, 9):
        write(again, [*epoch(number, 1.8, 0.1), validation(number, 1.8, 0.1)])
    assert topics(path) == ["few clips", "guessing"]


def test_what_was_undone_does_not_count() -> None:
    found = course()
    for number in range(1, 5):
        for event in (*epoch(number, 1.8, 0.1), validation(number, 1.8, 0.1)):
            found.take(event)
    found.take(WentBack(0.0, STEPS + 5, 2, "checkpoints/last.pt", 0.005, "lr 0.005", "the loss is nan", 1, 2))
    assert [done.number for done in found.epochs] == [1] and [done.epoch for done in found.validations] == [1]
    for event in epoch(2, 1.0, 0.5):
        found.take(event)
    assert [done.number for done in found.epochs] == [1, 2]
