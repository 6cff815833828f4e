"""A few real steps in a process of their own: what they say is true of a real run, and nothing is left behind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import engine.estimate
from engine.errors import ExitCode
from engine.estimate import main, measure_steps
from engine.model import build_model
from engine.recipe import Recipe, load_recipe
from engine.train import fit
from tests.clips import make_dataset, write_recipe


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


def everything_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
def test_what_is_measured_is_true_of_a_real_run(tmp_path: Path, videos: Path) -> None:
    source = write_recipe(
        tmp_path / "recipe.toml", videos, schedule="epochs = 4\nbatch_size = 5\nema = 0.9", run="workers = 1"
    )
    before = everything_in(tmp_path), everything_in(videos)
    done = subprocess.run(
        [sys.executable, "-m", "wizard.cli", "estimate", str(source), "--json", "--seconds", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (everything_in(tmp_path), everything_in(videos)) == before
    measured, told = (json.loads(done.stdout)[key] for key in ("measurement", "forecast"))
    assert (measured["train"]["clips"], measured["val"]["clips"], measured["workers"]) == (12, 6, 1)
    assert measured["train"]["steps"] >= 3 and measured["batch_size"] == 5
    for name in ("clips_per_s", "step_s", "epoch_s", "validation_s", "total_from_s"):
        assert told[name] > 0, name
    assert told["total_from_s"] < told["total_s"] < told["total_to_s"]
    assert 0 <= told["data_wait"] <= 1
    assert measured["train"]["compute_s"] > 0 and measured["train"]["decode_s"] > 0
    assert measured["memory_mb"] > 100  # torch alone

    run = fit(load_recipe(source), tmp_path / "run").run
    files = {path.stat().st_ino: path.stat().st_size for path in run.checkpoints.glob("*.pt")}
    assert told["steps_per_epoch"] == run.state().started.steps_per_epoch
    assert len(files) <= told["checkpoints"] <= len(files) + 1  # the best may be one of those that are kept anyway
    assert measured["checkpoint_bytes"] == pytest.approx(max(files.values()), rel=0.05)
    assert told["disk_bytes"] == pytest.approx(told["checkpoints"] * max(files.values()), rel=0.05)


def test_what_is_wrong_is_a_sentence_on_stdout(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = write_recipe(tmp_path / "recipe.toml", videos / "nowhere")
    assert main([str(nowhere)]) == ExitCode.DATA
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "nowhere does not exist" in said["error"] and said["exit_code"] == 3

    monkeypatch.setattr(sys, "stdin", io.StringIO(nowhere.read_text(encoding="utf-8")))
    assert main(["-"]) == ExitCode.DATA
    monkeypatch.setattr(sys, "stdin", io.StringIO("epochs ="))
    assert main(["-"]) == ExitCode.RECIPE
    assert main([str(tmp_path / "none.toml")]) == ExitCode.RECIPE


def test_none_that_decodes_is_a_sentence(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "videos")
    for path in root.rglob("*.mp4"):
        path.write_bytes(b"no video")
    recipe = load_recipe(write_recipe(tmp_path / "recipe.toml", root))
    with pytest.raises(engine.estimate.DataError, match="none of the training clips can be decoded"):
        measure_steps(recipe, seconds=0)


def test_a_batch_that_does_not_fit_is_told_with_one_that_would(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_small_device(recipe: Recipe) -> Any:
        model = build_model(recipe)
        real = model.forward

        def forward(frames: torch.Tensor) -> torch.Tensor:
            if len(frames) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(frames)

        model.forward = forward  # type: ignore[method-assign]
        return model

    monkeypatch.setattr(engine.estimate, "build_model", on_a_small_device)
    recipe = load_recipe(write_recipe(tmp_path / "recipe.toml", videos, schedule="batch_size = 8"))
    measured = measure_steps(recipe, seconds=0)
    assert (measured.batch_size, measured.micro_batch_size) == (8, 2)
    assert measured.notes[0].startswith("8 clips at a time do not fit") and "batch_size = 2" in measured.notes[0]
    assert measured.train.steps >= 3
