"""Trackers hold what the log holds, never end a training, and a resumed run goes on in the same tracker run."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import tracking as module
from engine.errors import RecipeError
from engine.events import EventLog, RunFinished, WentBack
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder
from engine.tracking import Beginning, Tracker, measured, read_ids, require_packages, tracking
from engine.train import fit
from tests.clips import make_dataset, write_recipe
from tests.runs import make_run, started, step_at, validation_at

START = started(epochs=2, steps_per_epoch=4)


def recipe(*trackers: str) -> Recipe:
    return recipe_from({"run": {"trackers": list(trackers)}})


def write(log: EventLog, *events: Any) -> None:
    for event in events:
        log.write(type(event), **{name: value for name, value in vars(event).items() if name != "t"})


def warnings(run: RunFolder) -> list[str]:
    return [message.text for message in run.state().messages if message.level == "warning"]


class Remembers(Tracker):
    """A tracker that only remembers, and fails at a step of choice."""

    fails_at = 0
    begun: list[Beginning]
    logged: list[tuple[int, dict[str, float]]]
    ends: list[bool]

    def __init__(self, beginning: Beginning):
        self.begun.append(beginning)
        self.id = beginning.id or "first"

    def log(self, values: dict[str, float], step: int, t: float) -> None:
        if step == self.fails_at:
            raise ConnectionError("no route to host\nand much more")
        self.logged.append((step, values))

    def go_back(self, step: int) -> None:
        self.logged[:] = [(done, values) for done, values in self.logged if done <= step]

    def finish(self, is_complete: bool) -> None:
        self.ends.append(is_complete)


@pytest.fixture
def remembers(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Remembers]]:
    """It stands in the place of wandb."""
    kind = type("Fresh", (Remembers,), {"begun": [], "logged": [], "ends": []})
    monkeypatch.setitem(module._TRACKERS, "wandb", kind)
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    sys.modules["wandb"].__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    yield kind


def test_names_and_numbers() -> None:
    assert measured(step_at(3, START)) == {
        "train/loss": pytest.approx(2.0 * 2.718281828 ** (-0.25)),
        "train/accuracy": pytest.approx(1 - 0.8 * 2.718281828 ** (-0.25)),
        "train/lr": 0.0003125,
        "train/grad_norm": 3.25,
        "speed/clips_per_s": 152.4,
        "speed/data_wait": 0.125,
        "speed/memory_mb": 3210.0,
    }
    found = measured(validation_at(4, START))
    assert found["val/top1"] == validation_at(4, START).top1
    assert "val/mean_average_precision" not in found, "a number that was not measured is none"
    assert measured(START) == {}


def test_a_tracker_hears_what_the_log_is_told(tmp_path: Path, remembers: type[Remembers]) -> None:
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe("wandb"), run, log):
        write(log, step_at(2, START), step_at(4, START), validation_at(4, START))
        write(log, RunFinished(0.0, best_top1=0.5, best_epoch=1, seconds=1.0))
    assert [step for step, _ in remembers.logged] == [2, 4, 4]
    assert remembers.ends == [True] and read_ids(run) == {"wandb": "first"}
    assert warnings(run) == [] and log.listeners == []


def test_a_resumed_run_goes_on_in_the_same_tracker_run(tmp_path: Path, remembers: type[Remembers]) -> None:
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe("wandb"), run, log):
        write(log, step_at(2, START), step_at(4, START))
    assert remembers.ends == [False]

    write(log, started(epochs=2, steps_per_epoch=4, first_step=2))
    with tracking(recipe("wandb"), run, log):
        write(log, step_at(4, START))
    first, second = remembers.begun
    assert (first.id, first.step) == ("", 0) and (second.id, second.step) == ("first", 2)
    assert [step for step, _ in remembers.logged] == [2, 4, 4]


def test_a_tracker_that_is_new_to_a_run_hears_what_came_before(tmp_path: Path, remembers: type[Remembers]) -> None:
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START, step_at(2, START), step_at(4, START), step_at(6, START))
    write(log, started(epochs=2, steps_per_epoch=4, first_step=4), step_at(6, START))
    with tracking(recipe("wandb"), run, log):
        write(log, step_at(8, START))
    assert [step for step, _ in remembers.logged] == [2, 4, 6, 8]


def test_a_tracker_that_fails_is_named_once_and_nothing_else_happens(
    tmp_path: Path, remembers: type[Remembers]
) -> None:
    remembers.fails_at = 4
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe("wandb"), run, log):
        write(log, *(step_at(step, START) for step in (2, 4, 6, 8)))
    assert [step for step, _ in remembers.logged] == [2]
    assert warnings(run) == ["wandb gets nothing more of this run (no route to host). The training goes on without it."]
    assert [step.step for step in run.state().steps] == [2, 4, 6, 8]


def test_a_tracker_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, remembers: type[Remembers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_TO_FINISH", 0.2)
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    monkeypatch.setattr(remembers, "log", lambda *_: module.threading.Event().wait())
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe("wandb"), run, log):
        write(log, *(step_at(step, START) for step in (1, 2, 3, 4, 5, 6, 7, 8)))
    (warning,) = warnings(run)
    assert "3 events behind" in warning


def test_a_package_that_is_missing_is_told_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "trackio" else object())
    require_packages(["wandb"])
    with pytest.raises(RecipeError, match=r'trackers has "trackio".*pip install "ftwiz\[trackio\]"'):
        require_packages(["wandb", "trackio"])


def test_a_name_that_is_no_tracker(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[run]\ntrackers = ["tensorbord"]\n')
    with pytest.raises(RecipeError, match=r"recipe.toml:2: .*\[run\] trackers.*did you mean \"tensorboard\""):
        load_recipe(path)


def test_a_tracker_that_is_slow_at_the_end_is_not_waited_for(
    tmp_path: Path, remembers: type[Remembers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_TO_FINISH", 0.2)
    monkeypatch.setattr(remembers, "finish", lambda *_: module.threading.Event().wait())
    run = make_run(tmp_path / "run")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe("wandb"), run, log):
        write(log, step_at(1, START))
    assert warnings(run) == ["wandb had not taken everything 0.2 s after the end; the last values may be missing."]


# --- the real ones ----------------------------------------------------------------------------------------------------


def tracked_run(tmp_path: Path, *trackers: str) -> RunFolder:
    """Eight steps and two validations, resumed after the sixth step, gone back to the fourth after that."""
    run = make_run(tmp_path / "tracked")
    log = EventLog(run.events)
    write(log, START)
    with tracking(recipe(*trackers), run, log):
        write(log, step_at(2, START), step_at(4, START), validation_at(4, START), step_at(6, START), step_at(7, START))
    write(log, started(epochs=2, steps_per_epoch=4, first_step=6))
    with tracking(recipe(*trackers), run, log):
        write(log, step_at(8, START))
        write(log, WentBack(0.0, 4, 2, "checkpoints/last.pt", 0.005, "lr 0.005", "the loss is nan", 1, 2))
        write(log, step_at(6, START, loss=0.25), step_at(8, START, loss=0.125), validation_at(8, START))
        write(log, RunFinished(0.0, best_top1=0.5, best_epoch=1, seconds=1.0))
    assert warnings(run) == []
    return run


def test_tensorboard_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    run = tracked_run(tmp_path, "tensorboard")
    assert len(list((run.path / "tensorboard").glob("events.out.tfevents.*"))) == 3

    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    read.Reload()
    losses = [(point.step, point.value) for point in read.Scalars("train/loss")]
    expected = [step_at(2, START).loss, step_at(4, START).loss, 0.25, 0.125]
    assert losses == [(step, pytest.approx(loss)) for step, loss in zip((2, 4, 6, 8), expected, strict=True)]
    assert [point.step for point in read.Scalars("val/top1")] == [4, 8]
    assert read.Scalars("train/loss")[0].wall_time == pytest.approx(run.state().steps[0].t)
    assert b"trackers" in read.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0]


def test_tensorboard_files_hold_the_values_whoever_reads_them(tmp_path: Path) -> None:
    """Without the viewer: the records of the files, by tensorboardX's own protocol buffers."""
    pytest.importorskip("tensorboardX")
    run = tracked_run(tmp_path, "tensorboard")
    losses = [(step, value) for step, tag, value in points_in(run.path / "tensorboard") if tag == "train/loss"]
    assert [step for step, _ in losses] == [2, 4, 6, 7, 8, 6, 8]
    assert losses[-2:] == [(6, 0.25), (8, 0.125)]
    assert [step for step, tag, _ in points_in(run.path / "tensorboard") if tag == "begins anew"] == [7, 5]


def points_in(folder: Path) -> list[tuple[int, str, float]]:
    """(step, name, value) in the order they were written, and where a file hides what earlier ones say."""
    from tensorboardX.proto.event_pb2 import Event as Record

    points: list[tuple[int, str, float]] = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # length, its checksum, the record, its checksum
            length = int.from_bytes(content[:8], "little")
            record = Record.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            points += [(record.step, value.tag, value.simple_value) for value in record.summary.value]
            points += [(record.step, "begins anew", 0.0)] if record.HasField("session_log") else []
    return points


def test_a_training_leaves_the_same_values_in_its_log_and_in_its_tracker(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    videos = make_dataset(tmp_path / "videos")
    path = write_recipe(tmp_path / "r.toml", videos, run='trackers = ["tensorboard"]', schedule="epochs = 1")
    training = fit(load_recipe(path), tmp_path / "run")
    state = training.run.state()
    assert isinstance(state.ended, RunFinished) and len(state.steps) == 3
    assert read_ids(training.run) == {"tensorboard": "tensorboard"}
    points = points_in(training.run.path / "tensorboard")
    for name, field in {"train/loss": "loss", "train/lr": "lr", "speed/data_wait": "data_wait"}.items():
        expected = [(step.step, pytest.approx(getattr(step, field))) for step in state.steps]
        assert [(step, value) for step, tag, value in points if tag == name] == expected
    (validation,) = state.validations
    assert (3, "val/top1", pytest.approx(validation.top1)) in points


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tracked_run(tmp_path, "wandb")
    folders = sorted((run.path / "wandb").glob("offline-run-*"))
    assert {folder.name.rpartition("-")[2] for folder in folders} == {read_ids(run)["wandb"]}
    losses = []
    for path in sorted((run.path / "wandb").glob("offline-run-*/*.wandb")):
        for data in records_of(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            row = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            if "train/loss" in row:
                losses.append((int(row["step"]), float(row["train/loss"])))
    assert [step for step, _ in losses] == [2, 4, 6, 7, 8, 6, 8] and losses[-1] == (8, 0.125)


def records_of(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of 32 KiB; a piece of a record has a checksum, a length, and which piece it is."""
    at, record = 7, b""  # behind wandb's own header
    while at < len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        length, piece = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if piece in (1, 4):  # the whole record, or its last piece
            yield record
            record = b""


def test_mlflow_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    run = tracked_run(tmp_path, "mlflow")
    client = MlflowClient()
    tracked = client.get_run(read_ids(run)["mlflow"])
    assert tracked.info.status == "FINISHED" and tracked.data.params["schedule.batch_size"] == "32"
    losses = [(metric.step, metric.value) for metric in client.get_metric_history(tracked.info.run_id, "train/loss")]
    assert sorted(step for step, _ in losses) == [2, 4, 6, 6, 7, 8, 8] and (8, 0.125) in losses


def test_trackio_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # it looks once, when it is imported
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    run = tracked_run(tmp_path, "trackio")
    logs = SQLiteStorage.get_logs("ftwiz", read_ids(run)["trackio"])
    losses = [(log["step"], log["train/loss"]) for log in logs if "train/loss" in log]
    assert sorted(step for step, _ in losses) == [2, 4, 6, 6, 7, 8, 8] and (8, 0.125) in losses
