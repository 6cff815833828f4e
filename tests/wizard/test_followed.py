"""A run that is read fast is the run that is read line by line, whatever its log looks like."""

from __future__ import annotations

import json
import math
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from engine.events import (
    EVENTS,
    CheckpointSaved,
    ClipSkipped,
    Event,
    Message,
    Paused,
    Resumed,
    RunInterrupted,
    RunStarted,
    RunState,
    Step,
    Validation,
    ValidationStarted,
    WentBack,
    to_line,
)
from engine.run_folder import RunFolder
from tests.runs import BEGIN, started, step_at, validation_at
from wizard.followed import FollowedRun
from wizard.rhythm import Rhythm
from wizard.widgets.series import Series

RUN = started(epochs=100, steps_per_epoch=49)

# --- the plain way ----------------------------------------------------------------------------------------------------


@dataclass
class PlainFold:
    """Line after line by json, each event by itself, each point in a list. Slow, and easy to believe."""

    state: RunState = field(default_factory=RunState)
    rhythm: Rhythm = field(default_factory=Rhythm)
    others: list[Event] = field(default_factory=list)
    curves: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {"train_loss": [], "val_loss": [], "train_accuracy": [], "val_accuracy": []}
    )

    def take(self, event: Event) -> None:
        self.state.apply(event)
        self.rhythm.take(event)
        del self.state.steps[:-1]
        steps_per_epoch = self.state.started.steps_per_epoch if self.state.started else 1
        match event:
            case Step():
                self.curves["train_loss"].append((event.step / steps_per_epoch, event.loss))
                self.curves["train_accuracy"].append((event.step / steps_per_epoch, event.accuracy))
                return
            case Validation():
                self.curves["val_loss"].append((event.step / steps_per_epoch, event.loss))
                self.curves["val_accuracy"].append((event.step / steps_per_epoch, event.key))
            case RunStarted() | WentBack():
                last = event.first_step if isinstance(event, RunStarted) else event.step
                for name, points in self.curves.items():
                    self.curves[name] = [point for point in points if point[0] <= last / steps_per_epoch]
        self.others.append(event)


def plain_event(line: bytes) -> Event | None:
    try:
        document = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("v") != 1 or str(document.get("event")) not in EVENTS:
        return None
    kind = EVENTS[document["event"]]
    values: dict[str, Any] = {f.name: document[f.name] for f in fields(kind) if f.name in document}
    for f in fields(kind):
        if f.name not in values:
            continue
        value = values[f.name]
        if f.type == "float":
            if isinstance(value, str | bool | list):
                return None
            values[f.name] = math.nan if value is None else value
        elif f.type == "list[float]":
            values[f.name] = [math.nan if item is None else item for item in value]
        elif f.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
            return None
    try:
        return kind(**values)
    except TypeError:  # a field is missing
        return None


def plainly(log: bytes) -> PlainFold:
    plain = PlainFold()
    for line in log.split(b"\n")[:-1]:
        if event := plain_event(line):
            plain.take(event)
    return plain


# --- logs with everything in them -------------------------------------------------------------------------------------


def as_document(event: Event) -> dict[str, Any]:
    return dict(json.loads(to_line(event)))


def compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def in_another_order(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact(dict(chance.sample(list(document.items()), len(document))))


def with_a_key_more(document: dict[str, Any], chance: random.Random) -> bytes:
    more = chance.choice([1, None, "动作 🎬", ["\u2028", {"loss": 5}], {"step": 7}, True])
    items = [*document.items()]
    items.insert(chance.randint(2, len(items)), ("of a newer ftwiz", more))
    return compact(dict(items))


def with_a_key_less(document: dict[str, Any], chance: random.Random) -> bytes:
    gone = chance.choice(list(document))
    return compact({key: value for key, value in document.items() if key != gone})


def with_no_number(document: dict[str, Any], chance: random.Random) -> bytes:
    key = chance.choice(["loss", "accuracy", "grad_norm", "eta_s"])
    return compact({**document, key: chance.choice([math.nan, math.inf, -math.inf, None])})


def with_a_whole_number(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact({**document, chance.choice(["loss", "accuracy", "t", "lr"]): chance.randint(0, 3)})


def with_what_is_no_number(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact({**document, chance.choice(["loss", "step", "t"]): chance.choice(["much", True, []])})


def with_a_step_that_is_none(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact({**document, "step": chance.choice([None, 1.5])})


def with_a_huge_number(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact(document).replace(
        b'"loss":', b'"loss":' + chance.choice([b"1e300,", b"1e999,", b"-1e300,"]) + b'"x":'
    )


def cut_short(document: dict[str, Any], chance: random.Random) -> bytes:
    line = compact(document)
    return line[: chance.randint(1, len(line) - 1)]


def cut_in_two(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact(document).replace(b",", b",\n", 1)


def twice_on_a_line(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact(document) * 2


def damaged(document: dict[str, Any], chance: random.Random) -> bytes:
    line = bytearray(compact(document))
    line[chance.randrange(len(line))] = chance.choice(b'\x00\xff{}[]",:0x')
    return bytes(line)


def of_a_newer_version(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact({**document, "v": chance.choice([2, "1", 0])})


def of_an_unknown_kind(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact({**document, "event": chance.choice(["steps", "teleported", None, ["step"]])})


def with_blanks(document: dict[str, Any], chance: random.Random) -> bytes:
    return chance.choice([b" ", b"", b"\t"]) + json.dumps(document).encode() + chance.choice([b" ", b"\r", b""])


def with_a_carriage_return(document: dict[str, Any], chance: random.Random) -> bytes:
    return compact(document) + b"\r"


def nothing_at_all(document: dict[str, Any], chance: random.Random) -> bytes:
    return chance.choice([b"", b"\r", b"not json", b"\xff\xfe", b"null", b"[]", b"{}", b'"step"'])


ODD: list[Callable[[dict[str, Any], random.Random], bytes]] = [
    in_another_order, with_a_key_more, with_a_key_less, with_no_number, with_a_whole_number, with_what_is_no_number,
    with_a_step_that_is_none, with_a_huge_number, cut_short, cut_in_two, twice_on_a_line, damaged, of_a_newer_version,
    of_an_unknown_kind, with_blanks, with_a_carriage_return, nothing_at_all,
]  # fmt: skip


def other_event(step: int, chance: random.Random) -> Event:
    t = BEGIN + step
    before = chance.randint(0, step)
    return chance.choice(
        [
            started(RUN.epochs, RUN.steps_per_epoch, before, t),
            WentBack(t, before, 1, "checkpoints/last.pt", 0.5, "lr 0.5", "the loss is nan", 1, 2),
            replace(validation_at(1 + step // 49, RUN), t=t),
            replace(validation_at(1 + step // 49, RUN), t=t, per_class=[math.nan, 0.5], top1=math.nan),
            ValidationStarted(t, 1, 80),
            ClipSkipped(t, "动作/a\udcff\u2028.mp4", "no frames", 1),
            Message(t, "info", '{"v":1,"event":"step",'),
            CheckpointSaved(t, "checkpoints/last.pt", step, 1),
            Paused(t, step),
            Resumed(t, step),
            RunInterrupted(t, "SIGTERM", "checkpoints/last.pt", step),
        ]
    )


def a_log(chance: random.Random) -> bytes:
    """Some hundred lines: long rows of steps, other events, and lines that are odd in every way there is."""
    how_odd = chance.choice([0.0, 0.01, 0.2])
    lines, step = [], 0
    for _ in range(chance.choice([3, 40, 400])):
        step += chance.choice([1, 1, 1, 10])
        if chance.random() < 0.03:
            event = other_event(step, chance)
            step = event.first_step if isinstance(event, RunStarted) else step
            lines.append(to_line(event).encode("utf-8"))
        elif chance.random() < how_odd:
            lines.append(chance.choice(ODD)(as_document(step_at(step, RUN)), chance))
        else:
            lines.append(to_line(step_at(step, RUN, chance.random() * 10)).encode("utf-8"))
    return b"\n".join([to_line(RUN).encode("utf-8"), *lines, b""])


# --- the same run -----------------------------------------------------------------------------------------------------


def points(series: Series) -> list[tuple[float, float]]:
    return [(x, series.value(index)) for index, x in enumerate(series.xs)]


def alike(found: Any, expected: Any) -> bool:
    """Equal, with NaN equal to itself."""
    return repr(found) == repr(expected)


def as_gaps(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, float(y) if math.isfinite(y) else math.nan) for x, y in curve]


def without_types(state: RunState) -> dict[str, Any]:
    """1 and 1.0 are the same number."""
    return json.loads(json.dumps({f.name: _plain(getattr(state, f.name)) for f in fields(state)}))


def _plain(value: Any) -> Any:
    if isinstance(value, Event):
        return [type(value).__name__, *(_plain(getattr(value, f.name)) for f in fields(value))]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int | float) else value


def read_in_pieces(log: bytes, path: Path, chance: random.Random) -> tuple[FollowedRun, list[Event]]:
    """While it is written, at any byte, and with any limit."""
    run, events = FollowedRun(RunFolder(path)), []
    cuts = sorted(chance.randint(0, len(log)) for _ in range(chance.choice([0, 1, 20])))
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        with open(run.folder.events, "ab") as file:
            file.write(log[start:end])
        limit = chance.choice([None, 100, 1000, 50_000])
        is_behind = True
        while is_behind:
            found, is_behind = run.read(limit)
            events += found
    return run, events


@pytest.mark.parametrize("seed", range(60))
def test_read_fast_and_read_plainly_are_the_same_run(tmp_path, seed):
    chance = random.Random(seed)
    log = a_log(chance)
    run, events = read_in_pieces(log, tmp_path, chance)
    plain = plainly(log)
    assert without_types(run.state) == without_types(plain.state)
    assert alike(
        [_plain(event) for event in events if not isinstance(event, Step)], [_plain(event) for event in plain.others]
    )
    for name, curve in plain.curves.items():
        assert alike(points(getattr(run, name)), as_gaps(curve)), name
    assert run.rhythm.phase == plain.rhythm.phase
    assert run.epochs(7) == 7 / plain.state.started.steps_per_epoch


@pytest.mark.parametrize("seed", range(20))
def test_without_curves_it_is_the_same_run_too(tmp_path, seed):
    chance = random.Random(seed)
    log = a_log(chance)
    (tmp_path / "events.jsonl").write_bytes(log)
    run = FollowedRun(RunFolder(tmp_path), with_curves=False)
    run.read(chance.choice([None, 1000, 50_000]))
    while run.read(50_000)[1]:
        pass
    plain = plainly(log)
    assert without_types(run.state) == without_types(plain.state)
    assert run.rhythm.phase == plain.rhythm.phase


def test_the_last_line_waits_until_it_is_whole(tmp_path):
    run = FollowedRun(RunFolder(tmp_path))
    log = "".join(to_line(event) + "\n" for event in [RUN, step_at(1, RUN), step_at(2, RUN)]).encode()
    run.folder.events.write_bytes(log[:-1])
    run.read()
    assert [step.step for step in run.state.steps] == [1] and len(run.train_loss) == 1
    with open(run.folder.events, "ab") as file:
        file.write(log[-1:])
    run.read()
    assert [step.step for step in run.state.steps] == [2] and len(run.train_loss) == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_lowest_and_highest_of_any_stretch(seed):
    """However the points came: one by one, many at once, with gaps, and after some were taken back."""
    chance = random.Random(seed)
    series, ys = Series(), array("d")
    for _ in range(60):
        more = [chance.gauss(0, 1) if chance.random() < 0.999 else math.nan for _ in range(chance.randint(0, 300))]
        if chance.random() < 0.2:
            for y in more:
                series.append(len(ys), y)
                ys.append(y)
        else:
            series.extend(array("d", range(len(ys), len(ys) + len(more))), more)
            ys.extend(more)
        if chance.random() < 0.1 and ys:
            keep = chance.randrange(len(ys))
            series.cut_after(keep)
            del ys[keep + 1 :]
    for _ in range(300):
        start = chance.randint(0, len(ys))
        stop = chance.randint(start, len(ys))
        finite = [y for y in ys[start:stop] if math.isfinite(y)]
        assert series.extent(start, stop) == ((min(finite), max(finite)) if finite else None)
