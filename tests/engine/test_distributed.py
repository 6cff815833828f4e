"""Two processes that share each batch train what one trains, and none is left behind, whatever happens to one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint import load_checkpoint
from engine.dataset.loader import Batches
from engine.errors import RecipeError
from engine.events import (
    CheckpointSaved,
    ClipSkipped,
    Paused,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    Step,
    Validation,
    WentBack,
)
from engine.recipe import Recipe, load_recipe
from engine.run_folder import RunFolder, create_run_folder
from engine.torchrun import require_a_clip_for_each
from tests.clips import make_dataset, write_recipe
from tests.engine.test_resume import Watched, assert_same, events_of, left_by, until_silent
from tests.engines import Engine, Engines, engines, until
from tests.runs import claimed_by_a_process
from wizard.launch import start_engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its training processes"),
]

# 13 clips, one of which does not decode, in batches of 4: of the last one, of a single clip, one process has nothing.
# Nothing here is drawn or measured on a part of the batch (no dropout, no mixing, no batch normalisation's statistics).
SAME = {
    "model": 'backbone = "resnet10_slim"\nnorm_eval = true',
    "head": "dropout = 0.0",
    "dataset": "max_bad_fraction = 0.2",
    "schedule": "epochs = 2\nbatch_size = 4\nmicro_batch_size = 1\nlr = 0.02\nema = 0.5\nwarmup_epochs = 1\n"
    "grad_clip_norm = 1.0\ncheckpoint_steps = 1",
    "run": 'device = "cpu"\ndeterministic = true',
}
# And all that they do draw and measure by themselves.
OWN = {
    "model": 'backbone = "resnet10_slim"',
    "head": "dropout = 0.5",
    "dataset": "max_bad_fraction = 0.2",
    "schedule": "epochs = 3\nbatch_size = 4\nmixup = 0.3\nema = 0.9\ncheckpoint_steps = 1",
    "run": 'device = "cpu"\ndeterministic = true\nlog_interval = 2',
}


SECOND_IS_SHORT_OF_MEMORY = """
import os, torch, engine.train
backward = engine.train.backward
def short_of_memory(training, frames, labels, of):
    if os.environ["RANK"] == "1" and len(labels) > 1:
        raise torch.OutOfMemoryError("out of memory")
    return backward(training, frames, labels, of)
engine.train.backward = short_of_memory
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_dataset(tmp_path_factory.mktemp("videos"))
    (root / "train" / "rises" / "bad.mp4").write_bytes(b"no video")
    return root


@pytest.fixture(scope="module", name="engines")
def _engines() -> Engines:
    return engines()


def new_run(folder: Path, videos: Path, tables: dict[str, str], gpus: int, **overrides: Any) -> RunFolder:
    changed = {"run.gpus": gpus} | {key.replace("__", "."): value for key, value in overrides.items()}
    recipe = load_recipe(write_recipe(folder / "r.toml", videos, **tables), changed)
    run = create_run_folder(recipe, folder / f"run-of-{gpus}", datetime.now())
    run.claim()
    return run


def end(engines: tuple[Engine, Engine]) -> None:
    assert [engine.wait() for engine in engines] == [0, 0]


def train(engines: Engines, run: RunFolder, *arguments: str) -> RunFolder:
    if load_recipe(run.recipe).run.gpus == 2:
        end(engines.start_two(run, *arguments))
    else:
        engines.start(run, *arguments).wait()
    assert run.state().ended, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory, videos: Path, engines: Engines) -> RunFolder:
    return train(engines, new_run(tmp_path_factory.mktemp("one"), videos, SAME, gpus=1))


def assert_same_training(one: RunFolder, two: RunFolder) -> None:
    """To rounding: sums of shares are added up in another order."""
    first, second = (load_checkpoint(run.checkpoints / "last.pt") for run in (one, two))
    for part in ("model", "average"):
        assert all(
            torch.allclose(tensor.float(), second[part][name].float(), rtol=0, atol=1e-5)
            for name, tensor in first[part].items()
        ), part
    moved = max((first["model"][name] - first["average"][name]).abs().max() for name in first["average"])
    assert moved > 1e-3, "it learned nothing to speak of"
    for kind, fields in ((Step, ("loss", "accuracy", "grad_norm", "lr")), (Validation, ("loss", "top1", "top5"))):
        events = [events_of(run, kind) for run in (one, two)]
        assert len(events[0]) == len(events[1]) > 0
        for each, other in zip(*events, strict=True):
            expected = [getattr(each, field) for field in fields]
            assert [getattr(other, field) for field in fields] == pytest.approx(expected, rel=1e-4), kind


def test_two_processes_train_what_one_does(tmp_path: Path, videos: Path, engines: Engines, of_one: RunFolder) -> None:
    """Also where one of them is short of memory, and works through its share in smaller parts."""
    two = new_run(tmp_path, videos, SAME, gpus=2, schedule__micro_batch_size="auto")
    end(engines.start_two(two, first_of_all=SECOND_IS_SHORT_OF_MEMORY))
    assert "Out of memory at step 1 with 2 clips at a time" in two.log.read_text()
    assert isinstance(two.state().ended, RunFinished), two.log.read_text()
    assert_same_training(of_one, two)
    for name in ("confusion.csv", "per_class.csv"):
        assert (two.report / name).read_bytes() == (of_one.report / name).read_bytes()
    rows = [(run.report / "predictions.csv").read_text().splitlines() for run in (of_one, two)]
    assert [row.rpartition(",")[0] for row in rows[0]] == [row.rpartition(",")[0] for row in rows[1]]
    assert len(rows[0]) == len(set(rows[0])) == 7, "each clip once"
    assert two.quarantine.read_text() == of_one.quarantine.read_text()
    assert len(events_of(two, ClipSkipped)) == len(events_of(two, RunStarted)) == 1
    assert events_of(two, RunStarted)[0].device.startswith("CPU, 2 processes")
    assert len(events_of(two, CheckpointSaved)) == len(events_of(of_one, CheckpointSaved))


def test_a_run_changes_its_number_of_processes(
    tmp_path: Path, videos: Path, engines: Engines, of_one: RunFolder
) -> None:
    run = new_run(tmp_path, videos, SAME, gpus=2)
    pair = engines.start_two(run)
    assert Watched(run, pair[0]).waits_for(Step, 3)
    pair[0].send("SIGINT")
    end(pair)
    (interrupted,) = events_of(run, RunInterrupted)
    assert interrupted.signal == "SIGINT" and not interrupted.lost_steps
    recipe = run.recipe.read_text()
    run.recipe.write_text(recipe.replace("gpus = 2", "gpus = 1"))
    one = engines.start(run, "--resume")
    assert Watched(run, one).waits_for(Step, 2)
    one.send("SIGTERM")
    assert one.wait() == 75
    run.recipe.write_text(recipe)
    run.claim()
    end(engines.start_two(run, "--resume"))
    assert isinstance(run.state().ended, RunFinished), run.log.read_text()
    assert [started.first_step for started in events_of(run, RunStarted)][1] == interrupted.step
    last = [load_checkpoint(each.checkpoints / "last.pt")["model"] for each in (of_one, run)]
    assert all(torch.allclose(tensor.float(), last[1][name].float(), atol=1e-5) for name, tensor in last[0].items())


def test_resumed_it_ends_bit_for_bit_as_if_nothing_had_been(tmp_path: Path, videos: Path, engines: Engines) -> None:
    """In spite of what each process draws and measures by itself."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = train(engines, new_run(tmp_path / "whole", videos, OWN, gpus=2))
    run = new_run(tmp_path / "parts", videos, OWN, gpus=2)
    pair = engines.start_two(run)
    assert Watched(run, pair[0]).waits_for(CheckpointSaved, 5)
    for engine in pair:
        engine.kill()
    pair = engines.start_two(run, "--resume")
    assert Watched(run, pair[0]).waits_for(CheckpointSaved, 2)
    pair[0].send("SIGTERM")
    end(pair)
    train(engines, run, "--resume")
    assert_same(left_by(run), left_by(whole))


def test_words_are_said_to_both(tmp_path: Path, videos: Path, engines: Engines) -> None:
    run = new_run(tmp_path, videos, OWN, gpus=2, schedule__epochs=200)
    pair = engines.start_two(run)
    assert Watched(run, pair[0]).waits_for(CheckpointSaved, 2)
    run.say("pause")
    until(lambda: bool(events_of(run, Paused)))
    paused_at, saved = events_of(run, Paused)[0].step, Watched(run, pair[0])
    run.say("checkpoint")
    assert saved.waits_for(CheckpointSaved)
    assert events_of(run, CheckpointSaved)[-1].step == paused_at
    run.say("stop")
    end(pair)
    ended = run.state().ended
    assert isinstance(ended, RunFinished) and ended.stopped_early
    assert load_checkpoint(run.checkpoints / "last.pt")["step"] == paused_at


def test_a_second_sigint_leaves_one_that_hangs(tmp_path: Path, videos: Path, engines: Engines) -> None:
    run = new_run(tmp_path, videos, OWN, gpus=2, schedule__epochs=500)
    first, second = engines.start_two(run)
    assert Watched(run, first).waits_for(CheckpointSaved, 2)
    second.send("SIGSTOP")
    until_silent(run)
    first.send("SIGINT")
    time.sleep(1)
    assert first.poll() is None, "the first one waits for the step"
    first.send("SIGINT")
    assert first.wait(10) == 130
    (interrupted,) = events_of(run, RunInterrupted)
    assert (interrupted.signal, interrupted.checkpoint) == ("SIGINT", "checkpoints/last.pt")
    second.send("SIGCONT")
    assert second.wait() == 0


# --- what goes wrong in one of them -----------------------------------------------------------------------------------

SECOND_HAS_A_BUG = """
import os, engine.train
def spoilt(*arguments):
    raise KeyError("a bug")
if os.environ["RANK"] == "1":
    engine.train.backward = spoilt
"""


def test_what_one_fails_of_is_told(tmp_path: Path, videos: Path, engines: Engines) -> None:
    run = new_run(tmp_path, videos, SAME, gpus=2)
    end(engines.start_two(run, first_of_all=SECOND_HAS_A_BUG))
    text, code = json.loads((tmp_path / "run-of-2-ranks" / "failed.json").read_text())
    assert "KeyError" in text and code == 1
    assert not run.state().ended, "the process that started both has the last word"


def test_they_diverge_together(tmp_path: Path, videos: Path, engines: Engines) -> None:
    diverging = {"lr": 1e30, "grad_clip_norm": 0.0, "warmup_epochs": 0, "ema": 0.0, "retries_at_half_lr": 2}
    run = new_run(tmp_path, videos, SAME, gpus=2, **{f"schedule__{key}": to for key, to in diverging.items()})
    failed = train(engines, run).state().ended
    assert isinstance(failed, RunFailed) and failed.exit_code == 1
    assert [event.lr for event in events_of(run, WentBack)] == [5e29, 2.5e29]


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="there are GPUs enough")
def test_gpus_that_are_not_there_are_told(tmp_path: Path, videos: Path, engines: Engines) -> None:
    run = train(engines, new_run(tmp_path, videos, SAME, gpus=2, run__device="auto"))
    failed = run.state().ended
    assert isinstance(failed, RunFailed) and failed.exit_code == 5
    assert failed.error.startswith("[run] gpus = 2, but ")


def test_they_end_with_the_process_that_started_them(tmp_path: Path, videos: Path, engines: Engines) -> None:
    run = new_run(tmp_path, videos, OWN, gpus=2, schedule__epochs=500)
    starter = claimed_by_a_process(run)
    pair = engines.start_two(run)
    assert Watched(run, pair[0]).waits_for(CheckpointSaved, 2)
    starter.kill()
    starter.wait()
    ended = {engine.wait() for engine in pair}
    assert -signal.SIGKILL in ended <= {-signal.SIGKILL, 0}, "the second to notice may have lost the first before"
    assert run.status(run.state()) == "crashed"


# --- under torchrun ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_under_torchrun(tmp_path: Path, videos: Path) -> None:
    """Ctrl-C saves one checkpoint and ends all; a process that is killed ends all, with a sentence."""
    recipe = write_recipe(tmp_path / "r.toml", videos, **{**OWN, "schedule": f"{OWN['schedule']}\nepochs = 500"})
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "wizard.cli", "run", str(recipe), "--run-dir", str(folder), "--gpus", "2"]
    run = RunFolder(folder)

    def started(*more: str) -> subprocess.Popen[str]:
        seen = len(events_of(run, Step))
        process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True)
        while len(events_of(run, Step)) < seen + 2 and process.poll() is None:
            time.sleep(0.2)  # as long as four processes start, nothing is to keep them from it
        assert run.status(run.state()) == "running"
        assert len(processes_of(run)) == 4, "the one that is claimed, torchrun, and two that train"
        return process

    process = started()
    os.killpg(run.pid(), signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75, said
    (interrupted,) = events_of(run, RunInterrupted)
    assert not interrupted.lost_steps and not processes_of(run)
    assert len([saved for saved in events_of(run, CheckpointSaved) if saved.step == interrupted.step]) <= 2

    process = started("--resume")
    (second,) = [pid for pid in processes_of(run) if b"RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    os.kill(second, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "One of the 2 processes was lost" in said
    assert run.status(run.state()) == "failed" and not processes_of(run)
    assert load_checkpoint(run.checkpoints / "last.pt")["step"] >= interrupted.step
    assert "[1] " not in run.log.read_text() or "Traceback" not in run.log.read_text().split("[1] ")[1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_before_there_is_a_process_to_hear_it_a_signal_ends_all(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos, SAME, gpus=2)
    engine = start_engine(run)
    until(lambda: time.sleep(0.1) or len(processes_of(run)) == 2, otherwise="torchrun is not started")
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(60) == 130, run.log.read_text()
    assert [event.signal for event in events_of(run, RunInterrupted)] == ["SIGTERM"]
    assert not processes_of(run)


def processes_of(run: RunFolder) -> list[int]:
    """Those that have the run's folder among their arguments, but for the command that waits for them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(run.path).encode() in arguments and b"wizard.cli" not in arguments:
            found.append(int(path.name))
    return found


# --- without training -------------------------------------------------------------------------------------------------


def test_shares_in_their_order_are_the_batch() -> None:
    def batches(size: int, rank: int) -> list[list[tuple[int, int]]]:
        return list(Batches(11, 4, shuffle_seed=3, share=(rank, size)))

    for size in (2, 3, 5):
        shares = zip(*[batches(size, rank) for rank in range(size)], strict=True)
        assert [[item for share in each for item in share] for each in shares] == batches(1, 0)


def test_what_cannot_be_shared_is_refused() -> None:
    for device in ("cuda:1", "mps"):
        with pytest.raises(ValueError, match="is a single one"):
            Recipe.model_validate({"run": {"device": device, "gpus": 2}})
    with pytest.raises(RecipeError, match="has not a clip for each"):
        require_a_clip_for_each(Recipe.model_validate({"run": {"gpus": 3}, "schedule": {"batch_size": 2}}))


def test_a_program_of_ones_own_is_one_process(tmp_path: Path) -> None:
    from engine import fit

    recipe = Recipe.model_validate({"run": {"gpus": 2}})
    with pytest.raises(RecipeError, match="start them with `ftwiz run`"):
        fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
