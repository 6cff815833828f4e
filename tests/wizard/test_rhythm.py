"""When silence means that a training hangs, and when it only means that something takes long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.events import Event, Message, Paused, Resumed, ValidationStarted
from engine.run_folder import RunFolder
from tests.runs import BEGIN, append, make_run, started, step_at, validation_at
from wizard.followed import FollowedRun

START = started()  # 40 steps an epoch; in tests.runs a step takes a second


class Clock:
    now = BEGIN

    def __call__(self) -> float:
        return self.now


def followed(folder: Path, *events: Event) -> tuple[FollowedRun, Clock]:
    """A live run that was read to its end at the time of its last event."""
    run = make_run(folder / "run", list(events))
    run.claim()
    clock = Clock()
    clock.now = events[-1].t if events else BEGIN
    reader = FollowedRun(run, clock)
    reader.read()
    return reader, clock


def stalls_after(run: FollowedRun, clock: Clock) -> float:
    """Seconds of silence until the run counts as stalled, to ten seconds; somebody looks all the time."""
    began = clock.now
    for seconds in range(0, 8000, 10):
        clock.now = began + seconds
        if run.status() == "stalled":
            return seconds
    raise AssertionError("never")


def slow_steps(seconds: float) -> list[Event]:
    return [replace(step_at(step, START), t=BEGIN + step * seconds) for step in range(1, 11)]


def test_fast_steps_are_missed_after_two_minutes(tmp_path):
    run, clock = followed(tmp_path, START, *(step_at(step, START) for step in range(1, 31)))
    assert run.rhythm.expectation() == "the next steps usually take 1 s"
    assert stalls_after(run, clock) == 130


def test_slow_steps_get_more_time(tmp_path):
    run, clock = followed(tmp_path, START, *slow_steps(60))
    assert stalls_after(run, clock) == 310


def test_what_steps_take_is_learnt_the_same_one_by_one(tmp_path):
    run, clock = followed(tmp_path, START)
    for step in slow_steps(60):
        append(run.folder, step)
        run.read()
    clock.now = BEGIN + 600
    assert stalls_after(run, clock) == 310


@pytest.mark.parametrize("events", [[START], [START, step_at(30, START), ValidationStarted(BEGIN + 30, 1, 80)]])
def test_what_was_not_seen_yet_gets_a_quarter_of_an_hour(tmp_path, events):
    """Workers that start, a network that is compiled."""
    assert stalls_after(*followed(tmp_path, *events)) == 910


def test_a_first_validation_of_many_clips_gets_the_time_that_they_need(tmp_path):
    slow = replace(step_at(30, START), clips_per_s=2.0)
    run, clock = followed(tmp_path, START, slow, ValidationStarted(BEGIN + 30, 1, 1000))
    assert stalls_after(run, clock) == 2510


def test_a_validation_is_measured_by_the_one_before(tmp_path):
    first = replace(validation_at(40, START), t=BEGIN + 340)
    run, clock = followed(
        tmp_path, START, step_at(40, START), ValidationStarted(BEGIN + 40, 1, 80), first,
        replace(step_at(80, START), t=BEGIN + 400), ValidationStarted(BEGIN + 400, 2, 80),
    )  # fmt: skip
    assert run.rhythm.expectation() == "a validation usually takes 5 min 0 s"
    assert stalls_after(run, clock) == 1510


def test_any_word_is_a_sign_of_life(tmp_path):
    run, clock = followed(tmp_path, START, step_at(1, START), step_at(2, START))
    clock.now += 119
    append(run.folder, Message(clock.now, "warning", "One clip more."))
    run.read()
    assert stalls_after(run, clock) == 130


def test_a_pause_lasts_as_long_as_it_likes(tmp_path):
    run, clock = followed(tmp_path, START, step_at(1, START), step_at(2, START), Paused(BEGIN + 3, 2))
    with pytest.raises(AssertionError, match="never"):
        stalls_after(run, clock)
    assert run.status() == "paused"
    append(run.folder, Resumed(clock.now, 2))
    run.read()
    assert stalls_after(run, clock) == 910


def test_before_the_training_begins_nothing_stalls(tmp_path):
    """A download may take hours."""
    run, clock = followed(tmp_path, Message(BEGIN, "info", "Fetching the weights: 10 of 100 MB."))
    with pytest.raises(AssertionError, match="never"):
        stalls_after(run, clock)
    assert run.status() == "starting"


def test_a_machine_that_slept_does_not_accuse_the_run(tmp_path):
    run, clock = followed(tmp_path, START, *(step_at(step, START) for step in range(1, 31)))
    assert run.status() == "running"
    clock.now += 8 * 3600
    assert run.status() == "running"
    assert stalls_after(run, clock) == 130


def test_the_clock_of_another_machine_is_not_believed(tmp_path):
    run, clock = followed(tmp_path, START, *(step_at(step, START) for step in range(1, 31)))
    claimed = run.folder.process.read_text()
    run.folder.process.write_text(claimed.replace('"host": "', '"host": "not-'))
    clock.now += 3600  # theirs is an hour behind ours
    later = FollowedRun(RunFolder(run.folder.path), clock)
    later.read()
    assert stalls_after(later, clock) == 130
