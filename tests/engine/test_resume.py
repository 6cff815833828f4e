"""Nothing makes a run lose work: killed, interrupted, out of disk, it ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint import load_checkpoint
from engine.events import (
    CheckpointSaved,
    Event,
    LogReader,
    Message,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    ValidationStarted,
    from_line,
)
from engine.recipe import load_recipe
from engine.run_folder import RunFolder, create_run_folder
from tests.clips import make_dataset, write_recipe
from tests.engines import Engine, Engines, engines, until
from wizard.launch import start_engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its training processes"),
]

# 6 epochs of 6 steps. Whatever a training has that must go on: momentum, warm-up, dropout, mixup, a moving average; and
# Step events that tell of several steps, some from before an interruption and some from after it.
TABLES = {
    "model": 'backbone = "resnet10_slim"',
    "head": "dropout = 0.5",
    "schedule": "epochs = 6\nbatch_size = 2\ncheckpoint_steps = 1\nwarmup_epochs = 1.5\nlr_policy = 'cosine'\n"
    "mixup = 0.3\nema = 0.9\ncheckpoint_interval = 3\nkeep_checkpoints = 2",
    "run": "deterministic = true\nlog_interval = 4",
}
TIMES_AND_RATES = {"t", "clips_per_s", "data_wait", "memory_mb", "eta_s", "seconds"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module", name="engines")
def _engines() -> Engines:
    return engines()


def new_run(folder: Path, videos: Path, name: str = "run", workers: int = 0) -> RunFolder:
    tables = {**TABLES, "run": f"{TABLES['run']}\nworkers = {workers}"}
    recipe = load_recipe(write_recipe(folder / "r.toml", videos, **tables))
    return create_run_folder(recipe, folder / name, datetime.now())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, videos: Path, engines: Engines) -> dict[str, Any]:
    """What is left of a run that nothing interrupts."""
    run = new_run(tmp_path_factory.mktemp("whole"), videos)
    assert engines.start(run).wait() == 0, run.log.read_text()
    return left_by(run)


def left_by(run: RunFolder) -> dict[str, Any]:
    """Everything a run leaves but times and rates: events as a viewer folds them, files, checkpoints bit for bit."""
    state = run.state()
    ended = state.ended
    assert isinstance(ended, RunFinished), run.log.read_text()
    checkpoints = sorted(path.name for path in run.checkpoints.iterdir())
    return {
        "steps": [_timeless(step) for step in state.steps],
        "validations": [_timeless(done) for done in state.validations],
        "saved": list(dict.fromkeys(_timeless(saved) for saved in state.checkpoints)),  # one more for a signal
        "ended": _timeless(ended),
        "reports": {path.name: path.read_bytes() for path in sorted(run.report.iterdir())},
        "files": checkpoints,
        "checkpoints": {
            name: _bits({**load_checkpoint(run.checkpoints / name), "recipe": "", "seconds": 0.0})
            for name in checkpoints
        },
    }


def _timeless(event: Event) -> str:
    """As text, in which NaN equals NaN."""
    return repr({key: value for key, value in asdict(event).items() if key not in TIMES_AND_RATES})


def _bits(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    return [_bits(item) for item in value] if isinstance(value, list | tuple) else value


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Part by part, so that a failure says which."""
    for key in expected:
        assert found[key] == expected[key], key


def events_of(run: RunFolder, kind: type) -> list:
    return [event for event in LogReader(run.events).read() if isinstance(event, kind)]


class Watched:
    """What an engine logs from now on."""

    def __init__(self, run: RunFolder, engine: Engine):
        self.run, self.engine = run, engine
        self._reader = LogReader(run.events)
        self._reader.offset = run.events.stat().st_size if run.events.exists() else 0
        self._seen: list[Event] = []

    def waits_for(self, kind: type, count: int = 1) -> bool:
        """Until so many events of a kind have come; False where the process ends before."""

        def is_there() -> bool:
            self._seen += self._reader.read()
            return len([event for event in self._seen if isinstance(event, kind)]) >= count

        until(lambda: is_there() or self.engine.poll() is not None)
        return is_there()


# --- SIGKILL ----------------------------------------------------------------------------------------------------------


def kill_somewhere(run: RunFolder, engine: Engine, place: str, chance: random.Random) -> bool:
    """SIGKILL at such a place; returns whether it came before the process ended by itself."""
    watched = Watched(run, engine)
    if place == "set-up":
        time.sleep(chance.uniform(0, 0.4))
    elif place == "validation":
        watched.waits_for(ValidationStarted)
    elif place == "write":
        watched.waits_for(RunStarted)
        until(lambda: any(is_aside(name) for name in os.listdir(run.checkpoints)) or engine.poll() is not None)
    else:
        watched.waits_for(CheckpointSaved, count=chance.choice([1, 1, 2]))
        time.sleep(chance.uniform(0, 0.05))
    if engine.poll() is not None:
        return False
    engine.kill()
    return True


def is_aside(name: str) -> bool:
    return name.startswith(".last.pt.")


@pytest.mark.parametrize("workers, kills, writes", [(0, 20, 4), (2, 4, 1)])
def test_killed_again_and_again_it_ends_as_if_nothing_had_been(
    workers: int, kills: int, writes: int, tmp_path: Path, videos: Path, engines: Engines, whole: dict[str, Any]
) -> None:
    """At every kind of place, and so many times in the middle of a checkpoint's write, which its half file proves."""
    run, chance = new_run(tmp_path, videos, workers=workers), random.Random(workers)
    places = ["step", "write", "set-up", "write", "step", "write", "validation", "write"]
    killed = inside = 0
    arguments: list[str] = []
    while killed < kills or inside < writes:
        assert killed < 3 * kills, f"only {inside} kills hit a write"
        place = places[killed % len(places)] if inside < writes or killed < kills else "write"
        assert kill_somewhere(run, engines.start(run, *arguments), place, chance), f"it ended after {killed} kills"
        killed += 1
        inside += any(is_aside(name) for name in os.listdir(run.checkpoints))
        assert run.status(run.state()) == "crashed"
        arguments = ["--resume"] if run.checkpoints_to_resume() else []
        if not arguments:
            run.events.unlink(missing_ok=True)
    assert engines.start(run, "--resume").wait() == 0, run.log.read_text()
    assert_same(left_by(run), whole)


# --- signals ----------------------------------------------------------------------------------------------------------


def test_signals_save_and_the_resumed_run_ends_as_if_nothing_had_been(
    tmp_path: Path, videos: Path, engines: Engines, whole: dict[str, Any]
) -> None:
    """One run that is interrupted between steps, in a pause, while a checkpoint is written, and in a validation."""
    run, arguments = new_run(tmp_path, videos), []
    places = ["step", "pause", "write", *["validation"] * 4]
    for name, place in zip(["SIGINT", "SIGUSR1", "SIGTERM", *["SIGTERM"] * 4], places, strict=True):
        engine = engines.start(run, *arguments)
        watched = Watched(run, engine)
        assert watched.waits_for(ValidationStarted if place == "validation" else CheckpointSaved)
        if place == "pause":
            run.say("pause")
            until(lambda: run.state().paused)
        elif place == "write":
            until(lambda: any(map(is_aside, os.listdir(run.checkpoints))))
        validated = len(run.state().validations)
        engine.send(name)
        assert engine.wait() == 75, run.log.read_text()
        interrupted = events_of(run, RunInterrupted)[-1]
        assert (interrupted.signal, interrupted.checkpoint) == (name, "checkpoints/last.pt")
        assert not interrupted.lost_steps
        assert load_checkpoint(run.checkpoints / "last.pt")["step"] == interrupted.step
        assert run.status(run.state()) == "interrupted"
        arguments = ["--resume"]
        if place == "validation" and len(run.state().validations) == validated:
            break  # it came before the validation was over
    else:
        pytest.fail("no signal came in the middle of a validation")
    assert engines.start(run, "--resume").wait() == 0
    assert events_of(run, RunStarted)[-1].first_step == interrupted.step
    assert_same(left_by(run), whole)


@pytest.mark.parametrize("name, seconds", [("SIGTERM", 0.0), ("SIGINT", 0.7), ("SIGUSR1", 1.5), ("SIGTERM", 2.5)])
def test_before_the_first_step_there_is_nothing_to_save(
    name: str, seconds: float, tmp_path: Path, videos: Path
) -> None:
    """While Python starts, while torch is imported, while the model is built. A process as `ftwiz run` starts it."""
    run = new_run(tmp_path, videos)
    engine = start_engine(run)
    time.sleep(seconds)
    engine.send_signal(getattr(signal, name))
    code = engine.wait(60)
    if events_of(run, CheckpointSaved):
        pytest.skip("this machine is so fast that it was training already")
    assert code == 130, run.log.read_text()
    assert events_of(run, RunInterrupted)[-1].signal == name
    assert run.status(run.state()) == "interrupted"
    assert "Traceback" not in run.log.read_text()


def test_while_a_resumed_run_is_set_up_nothing_is_lost(
    tmp_path: Path, videos: Path, engines: Engines, whole: dict[str, Any]
) -> None:
    run = new_run(tmp_path, videos)
    engine = engines.start(run)
    assert Watched(run, engine).waits_for(CheckpointSaved, 3)
    run.say("stop")
    assert engine.wait() == 0
    stopped_at = run.state().steps
    again = start_engine(run, resume=True)
    assert run.status(run.state()) == "starting", "not finished: it goes on"
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 75
    interrupted = events_of(run, RunInterrupted)[-1]
    assert (interrupted.checkpoint, interrupted.lost_steps) == ("checkpoints/last.pt", 0)
    assert interrupted.step == load_checkpoint(run.checkpoints / "last.pt")["step"]
    assert run.state().steps == stopped_at
    assert engines.start(run, "--resume").wait() == 0
    assert_same(left_by(run), whole)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker in /proc")
def test_a_second_sigint_leaves_a_loader_that_hangs(
    tmp_path: Path, videos: Path, engines: Engines, whole: dict[str, Any]
) -> None:
    run = new_run(tmp_path, videos, workers=1)
    engine = engines.start(run)
    assert Watched(run, engine).waits_for(CheckpointSaved, 2)
    (worker, *_) = Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGSTOP)
    until_silent(run)
    engine.send("SIGINT")
    time.sleep(1)
    assert engine.poll() is None, "the first one waits for the step"
    engine.send("SIGINT")
    assert engine.wait(10) == 130
    (interrupted,) = events_of(run, RunInterrupted)
    assert (interrupted.signal, interrupted.checkpoint) == ("SIGINT", "checkpoints/last.pt")
    assert interrupted.step == load_checkpoint(run.checkpoints / "last.pt")["step"] and not interrupted.lost_steps
    assert run.status(run.state()) == "interrupted"
    until(lambda: not Path(f"/proc/{worker}").exists(), otherwise="the worker lives on")
    assert engines.start(run, "--resume").wait() == 0
    assert_same(left_by(run), whole)


def until_silent(run: RunFolder) -> None:
    size, since = run.events.stat().st_size, time.monotonic()
    while time.monotonic() < since + 1:
        if (now := run.events.stat().st_size) != size:
            size, since = now, time.monotonic()
        time.sleep(0.01)


# --- a disk that is full ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    try:
        subprocess.run(mounting, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return ballast
    raise AssertionError("it is never full")


def pause_until_full(run: RunFolder, engine: Engine, disk: Path) -> tuple[Path, int]:
    """Fill the disk between two steps and wait for what comes of it. Returns the ballast and the step that is saved."""
    assert Watched(run, engine).waits_for(CheckpointSaved, 2)
    run.say("pause")
    until(lambda: run.state().paused)
    ballast = fill(disk)
    os.truncate(ballast, ballast.stat().st_size - 8192)  # room for words, not for a checkpoint
    saved = load_checkpoint(run.checkpoints / "last.pt")["step"]
    before = len(events_of(run, Message))
    run.say("resume")
    until(lambda: len(events_of(run, Message)) > before and run.state().paused)
    what = f"checkpoint of step {saved + 1}" if saved % 6 else "report"  # after an epoch, that of its validation
    assert events_of(run, Message)[-1].text == (
        f"The {what} cannot be written into {run.path}: No space left on device; what was saved before is untouched. "
        "Training waits, and goes on by itself once there is room."
    )
    assert run.status(run.state()) == "paused"
    return ballast, saved


def test_a_full_disk_loses_nothing(small_disk: Path, videos: Path, engines: Engines, whole: dict[str, Any]) -> None:
    """First somebody makes room; then a signal ends the run while there is none."""
    run = new_run(small_disk, videos)
    engine = engines.start(run)
    ballast, saved = pause_until_full(run, engine, small_disk)
    assert load_checkpoint(run.checkpoints / "last.pt")["step"] == saved
    ballast.unlink()
    run.say("resume")  # else it would wait for half a minute before it tries again

    ballast, saved = pause_until_full(run, engine, small_disk)
    engine.send("SIGTERM")
    assert engine.wait() == 75, run.log.read_text()
    (interrupted,) = events_of(run, RunInterrupted)
    assert interrupted.step - interrupted.lost_steps == saved
    assert load_checkpoint(run.checkpoints / "last.pt")["step"] == saved
    ballast.unlink()
    assert engines.start(run, "--resume").wait() == 0, run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert_same(left_by(run), whole)


def forget_to_tell_of(run: RunFolder, step: int) -> None:
    """As if the process had been killed between a save and the events that tell of it."""
    lines = run.events.read_text().splitlines(keepends=True)
    told = [line for line in lines if isinstance(event := from_line(line), CheckpointSaved) and event.step == step]
    assert told
    run.events.write_text("".join(line for line in lines if line not in told))


def test_a_write_that_will_never_work_ends_with_a_sentence(
    tmp_path: Path, videos: Path, engines: Engines, whole: dict[str, Any]
) -> None:
    """Here a limit on the size of files, as `ulimit -f` sets it."""
    run = new_run(tmp_path, videos)
    engine = engines.start(run)
    assert Watched(run, engine).waits_for(CheckpointSaved, 3)
    engine.kill()
    saved = load_checkpoint(run.checkpoints / "last.pt")["step"]
    forget_to_tell_of(run, saved)
    run.say("stop")  # to a process that is gone
    size = (run.checkpoints / "last.pt").stat().st_size
    assert engines.start(run, "--resume", largest_file=size // 2).wait() == 1
    (failed,) = events_of(run, RunFailed)
    assert failed.error == (
        f"The checkpoint of step {saved + 1} cannot be written into {run.path}: File too large (see ulimit -f); what "
        f"was saved before is untouched. Once it can, go on with `ftwiz run --resume --run-dir {run.path}`."
    )
    assert "Traceback" not in run.log.read_text() and failed.error in run.log.read_text()
    assert load_checkpoint(run.checkpoints / "last.pt")["step"] == saved
    assert engines.start(run, "--resume").wait() == 0
    assert_same(left_by(run), whole)
