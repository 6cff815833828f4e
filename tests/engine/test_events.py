"""The run log: every event survives the trip through a line, and a reader copes with whatever a log can look like."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    EVENTS,
    FORMAT_VERSION,
    CheckpointSaved,
    ClipSkipped,
    Event,
    EventLog,
    LogReader,
    Message,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    RunState,
    Step,
    StepBlock,
    Validation,
    ValidationStarted,
    WeightsLoaded,
    WentBack,
    from_line,
    to_line,
)

# --- events of any content --------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=30)  # lone surrogates too: file names need not be UTF-8
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    float: FLOAT,
    int: st.integers(),
    str: TEXT,
    bool: st.booleans(),
    list[str]: st.lists(TEXT, max_size=4),
    list[float]: st.lists(FLOAT, max_size=4),
    list[int]: st.lists(st.integers(), max_size=4),
    list[list[Any]]: st.lists(st.tuples(TEXT, TEXT, st.integers()).map(list), max_size=3),
}


def any_event(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: BY_TYPE[hints[f.name]] for f in fields(kind)})


ANY_EVENT = st.one_of([any_event(kind) for kind in EVENTS.values()])


def started(t: float = 0.0, first_step: int = 0) -> RunStarted:
    return RunStarted(
        t=t, name="run", classes=["a", "b"], train_clips=16, val_clips=4, epochs=3, steps_per_epoch=4, batch_size=4,
        lr=0.1, lr_arithmetic="lr 0.1", device="cpu", precision="fp32", workers=0, parameters=10, chance=0.5,
        first_step=first_step,
    )  # fmt: skip


def step(number: int, t: float = 0.0, loss: float = 1.0) -> Step:
    return Step(
        t=t, step=number, epoch=1 + (number - 1) // 4, loss=loss, accuracy=0.5, lr=0.1, grad_norm=1.0, clips_per_s=9.0,
        data_wait=0.1, memory_mb=100.0, eta_s=5.0,
    )  # fmt: skip


def validation(epoch: int, top1: float, t: float = 0.0) -> Validation:
    return Validation(
        t=t, epoch=epoch, step=4 * epoch, loss=1.0, top1=top1, top5=1.0, mean_class_accuracy=top1,
        per_class=[top1, top1], confused=[["a", "b", 2]], best=True,
    )  # fmt: skip


def fold(events: list[Event]) -> RunState:
    state = RunState()
    for event in events:
        state.apply(event)
    return state


# --- one line ---------------------------------------------------------------------------------------------------------


def test_names_are_the_class_names_in_snake_case() -> None:
    assert EVENTS["run_started"] is RunStarted
    assert EVENTS["step"] is Step
    assert len(EVENTS) == 14


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_every_event_comes_back_equal(kind: type[Event]) -> None:
    @given(any_event(kind))
    def comes_back(event: Event) -> None:
        line = to_line(event)
        assert "\n" not in line
        assert from_line(line) == event
        assert from_line(line.encode("utf-8")) == event

    comes_back()


def test_a_line_is_what_the_design_says() -> None:
    line = to_line(Message(t=1.5, level="info", text="光流"))
    assert line == '{"v":1,"event":"message","t":1.5,"level":"info","text":"光流","topic":""}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_json_has_no_word_for_is_null_and_comes_back_as_nan(value: float) -> None:
    line = to_line(step(1, loss=value))
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    event = from_line(line)
    assert isinstance(event, Step) and math.isnan(event.loss) and event.accuracy == 0.5


def test_nan_inside_a_list_is_null_too() -> None:
    event = Validation(
        t=0.0, epoch=1, step=4, loss=1.0, top1=0.5, top5=1.0, mean_class_accuracy=0.5, per_class=[0.5, math.nan],
        confused=[], best=False,
    )  # fmt: skip
    line = to_line(event)
    assert json.loads(line, parse_constant=pytest.fail)["per_class"] == [0.5, None]
    back = from_line(line)
    assert isinstance(back, Validation) and back.per_class[0] == 0.5 and math.isnan(back.per_class[1])


def test_unknown_fields_are_left_out_so_that_logs_can_grow() -> None:
    line = to_line(Paused(t=1.0, step=3))[:-1] + ',"reason":"coffee"}'
    assert from_line(line) == Paused(t=1.0, step=3)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "null",
        "7",
        '"step"',
        "[]",
        "{}",
        '{"v":1}',
        '{"event":"paused","t":1.0,"step":1}',  # no version
        '{"v":1,"event":"paused","t":1.0}',  # a field is missing
        '{"v":1,"event":"teleported","t":1.0}',  # an event of a newer ftwiz
        '{"v":1,"event":["paused"],"t":1.0}',
        '{"v":1,"event":"paused","t":1.0,"st',  # half a line
        "[" * 100_000,
        b'{"v":1,"event":"message","t":1.0,"level":"info","text":"\xff"}',
        b"\x00\x00\x00",
    ],
)
def test_what_is_no_event_is_none(line: str | bytes) -> None:
    assert from_line(line) is None


def test_a_newer_format_is_not_guessed_at() -> None:
    document = json.loads(to_line(Paused(t=1.0, step=3)))
    document["v"] = FORMAT_VERSION + 1
    assert from_line(json.dumps(document)) is None


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_log_grows_by_one_line_an_event_with_the_clocks_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    ticks = iter([1.5, 2.5, 3.5])
    log = EventLog(path, clock=lambda: next(ticks))
    assert not path.exists()
    log.write(Paused, step=3)
    assert LogReader(path).read() == [Paused(1.5, 3)]
    log.write(Resumed, step=3)
    EventLog(path, clock=lambda: next(ticks)).write(Message, level="info", text="\udcff\n二")
    assert LogReader(path).read() == [Paused(1.5, 3), Resumed(2.5, 3), Message(3.5, "info", "\udcff\n二")]
    assert path.read_bytes().count(b"\n") == 3


def test_the_next_process_starts_a_line_of_its_own(tmp_path: Path) -> None:
    """What a killed process left half written must not swallow the first event after it."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(as_log([Paused(1.0, 1)]) + '{"v":1,"event":"message","text":"二'.encode()[:-1])
    reader = LogReader(path)
    assert reader.read() == [Paused(1.0, 1)]
    EventLog(path, clock=lambda: 2.0).write(Resumed, step=1)
    assert reader.read() == [Resumed(2.0, 1)]
    assert LogReader(path).read() == [Paused(1.0, 1), Resumed(2.0, 1)]


# --- a growing log ----------------------------------------------------------------------------------------------------


def as_log(events: list[Event]) -> bytes:
    return b"".join(to_line(event).encode("utf-8") + b"\n" for event in events)


def test_no_log_yet_is_an_empty_one(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "events.jsonl")
    assert reader.read() == []
    (tmp_path / "events.jsonl").write_bytes(as_log([Paused(1.0, 1)]))
    assert reader.read() == [Paused(1.0, 1)]
    assert reader.read() == []


@given(events=st.lists(ANY_EVENT, max_size=5), data=st.data())
def test_a_log_reads_the_same_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], data: st.DataObject
) -> None:
    """Written in pieces and read between them: half lines and halved characters wait for the rest."""
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    log = as_log(events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=6)))
    reader, got = LogReader(path), []
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        with open(path, "ab") as file:
            file.write(log[start:end])
        got += reader.read()
    assert got == events


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 10**6])
def test_a_limit_only_spreads_the_same_events_over_more_reads(tmp_path: Path, limit: int) -> None:
    events: list[Event] = [Message(float(n), "info", "动作 🎬 é" * n) for n in range(6)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(as_log(events))
    reader, got, reads = LogReader(path), [], 0
    while reader.offset < path.stat().st_size:
        got += reader.read(limit)
        reads += 1
    assert got == events
    assert reads == math.ceil(path.stat().st_size / limit)


def test_a_log_that_shrank_was_replaced_and_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(as_log([Paused(1.0, 1), Resumed(2.0, 1), Paused(3.0, 2)]) + b'{"v":1,"half')
    reader = LogReader(path)
    assert len(reader.read()) == 3
    path.write_bytes(as_log([Paused(9.0, 1)]))
    assert reader.read() == [Paused(9.0, 1)]


def test_lines_of_a_newer_version_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        as_log([Paused(1.0, 1)])
        + b'{"v":1,"event":"teleported","t":1.5}\n\nnot json\n\xff\xfe\n{"v":2,"event":"paused","t":1.6,"step":1}\n'
        + as_log([Resumed(2.0, 1)])
    )
    assert LogReader(path).read() == [Paused(1.0, 1), Resumed(2.0, 1)]


# --- the fold ---------------------------------------------------------------------------------------------------------


def test_a_whole_run_folds_into_what_a_viewer_shows() -> None:
    weights = WeightsLoaded(0.1, "a.pth", 10, 2, 1, 0.9, ["kept 10"])
    message = Message(0.2, "warning", "slow disk")
    skipped = ClipSkipped(0.3, "a.mp4", "no frames", 1)
    saved = CheckpointSaved(1.2, "checkpoints/last.pt", 4, 1)
    state = fold([started(0.0), weights, message, skipped, step(2, 0.5), step(4, 1.0)])
    assert (state.weights, state.messages, state.skipped) == (weights, [message], [skipped])
    assert [s.step for s in state.steps] == [2, 4]
    assert state.total_steps == 12
    assert state.best is None and state.ended is None

    state.apply(ValidationStarted(1.0, epoch=1, clips=4))
    assert state.validating == ValidationStarted(1.0, epoch=1, clips=4)
    state.apply(validation(1, 0.75, 1.1))
    assert state.validating is None
    state.apply(saved)
    assert state.checkpoints == [saved]
    end = RunFinished(2.0, best_top1=0.75, best_epoch=1, seconds=2.0)
    state.apply(end)
    assert state.ended == end and state.last_time == 2.0


def test_pausing_and_going_on() -> None:
    state = fold([started(), Paused(1.0, 2)])
    assert state.paused
    state.apply(Resumed(2.0, 2))
    assert not state.paused


@pytest.mark.parametrize(
    "end", [RunFinished(9.0, 0.5, 1, 9.0), RunInterrupted(9.0, "SIGINT", "", 2), RunFailed(9.0, "loss is NaN", 1)]
)
def test_an_end_in_the_middle_of_a_validation_leaves_none_going(end: Event) -> None:
    state = fold([started(), ValidationStarted(1.0, 1, 4), end])
    assert state.validating is None and state.ended == end


def test_a_resumed_run_forgets_what_was_done_after_its_checkpoint() -> None:
    before = [started(), step(2), step(4), validation(1, 0.5), step(6), step(8), validation(2, 0.9), Paused(1.0, 8)]
    state = fold([*before, RunInterrupted(2.0, "SIGKILL", "", 8)])
    assert state.best is not None and state.best.epoch == 2

    state.apply(started(t=3.0, first_step=6))
    assert [s.step for s in state.steps] == [2, 4, 6]
    assert [v.epoch for v in state.validations] == [1]
    assert state.best is not None and state.best.epoch == 1
    assert (state.ended, state.paused, state.validating) == (None, False, None)

    state.apply(step(8))
    assert [s.step for s in state.steps] == [2, 4, 6, 8]


def test_a_retry_forgets_what_it_goes_back_over_and_has_another_rate() -> None:
    state = fold([started(), step(2), step(4), validation(1, 0.5), step(6), validation(2, 0.9)])
    state.apply(WentBack(3.0, 4, 2, "checkpoints/last.pt", 0.05, "lr 0.05", "the loss is nan at step 7", 1, 2))
    assert [s.step for s in state.steps] == [2, 4] and [v.epoch for v in state.validations] == [1]
    assert state.started is not None and (state.started.lr, state.started.lr_arithmetic) == (0.05, "lr 0.05")
    assert state.ended is None


def test_a_run_started_over_forgets_all_steps() -> None:
    state = fold([started(), step(2), validation(1, 0.5), started(t=5.0)])
    assert state.steps == [] and state.validations == []


def test_the_best_is_the_earliest_of_equals_and_never_unmeasured() -> None:
    state = fold([started(), validation(1, math.nan)])
    assert state.best is None
    for done in (validation(2, 0.5), validation(3, 0.8), validation(4, 0.8), validation(5, math.nan)):
        state.apply(done)
    assert state.best is not None and state.best.epoch == 3


def test_the_best_is_that_of_the_runs_own_key_metric() -> None:
    """Two epochs disagree: the clips' mean average precision decides, as the event says, not the top-1 hits."""
    epochs = [replace(validation(n, top1), sample_map=other, key_metric="sample_map") for n, top1, other in
              [(1, 0.9, 0.2), (2, 0.1, 0.6), (3, 0.95, math.nan)]]  # fmt: skip
    state = fold([started(), *epochs])
    assert state.best is not None and (state.best.epoch, state.best.key) == (2, 0.6)
    unknown = replace(validation(4, 0.5), key_metric="of a newer ftwiz")
    assert math.isnan(unknown.key) and fold([started(), unknown]).best is None
    assert math.isnan(replace(validation(4, 0.5), key_metric="per_class").key)


def test_a_log_from_before_there_was_more_than_one_metric() -> None:
    line = (
        '{"v":1,"event":"validation","t":1.0,"epoch":1,"step":4,"loss":1.0,"top1":0.5,"top5":1.0,'
        '"mean_class_accuracy":0.5,"per_class":[0.5],"confused":[],"best":true}'
    )
    event = from_line(line)
    assert isinstance(event, Validation) and (event.key_metric, event.key) == ("top1", 0.5)
    assert math.isnan(event.sample_map)
    end = from_line('{"v":1,"event":"run_finished","t":2.0,"best_top1":0.5,"best_epoch":1,"seconds":2.0}')
    assert isinstance(end, RunFinished) and (end.key_metric, end.best_top1) == ("top1", 0.5)


@given(events=st.lists(ANY_EVENT, max_size=8))
def test_a_log_and_the_events_themselves_fold_alike(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    path = tmp_path_factory.mktemp("fold") / "events.jsonl"
    path.write_bytes(as_log(events))
    assert fold(LogReader(path).read()) == fold(events)


# --- steps in a row ---------------------------------------------------------------------------------------------------


def test_blocks_hold_the_same_steps_in_the_same_order(tmp_path: Path) -> None:
    events = [started(), *map(step, range(1, 5)), validation(1, 0.5), step(5, loss=math.nan), step(6)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(as_log(events) + b'{"v":1,"event":"step","t":broken}\n' + as_log([step(7)]))
    found = LogReader(path).read_blocks()
    kinds = [len(part) if isinstance(part, StepBlock) else type(part) for part in found]
    assert kinds == [RunStarted, 4, Validation, 3]
    first, second = (part for part in found if isinstance(part, StepBlock))
    assert first.curves() == ([1, 2, 3, 4], [1.0] * 4, [0.5] * 4) and first.last() == step(4)
    steps, losses, _ = second.curves()
    assert steps == [5, 6, 7] and math.isnan(losses[0]) and second.last() == step(7)


def test_lines_of_which_none_is_whole_are_no_block(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"event":"step","t":broken}\n')
    assert LogReader(path).read_blocks() == []
