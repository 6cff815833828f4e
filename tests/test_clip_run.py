"""A 3D network, from the command line to the last report: weights, dense clips, training, views at test time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.events import LogReader, Step, WeightsLoaded
from engine.model import build_model
from engine.recipe import recipe_from
from engine.run_folder import RunFolder
from tests.clips import make_dataset, write_recipe
from tests.engine.weights.mmaction_names import mmaction_state

MODEL = 'recognizer = "slowonly"\nbackbone = "resnet18"\nclip_len = 4\nframe_interval = 2'


def ftwiz(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "wizard.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_fine_tune_and_test_a_3d_network(tmp_path: Path) -> None:
    model = {"recognizer": "slowonly", "backbone": "resnet18", "clip_len": 8}
    torch.manual_seed(0)
    kinetics = build_model(recipe_from({"model": model, "head": {"num_classes": 400}}))
    torch.save({"state_dict": mmaction_state(kinetics.state_dict())}, tmp_path / "slowonly.pth")
    write_recipe(
        tmp_path / "recipe.toml",
        make_dataset(tmp_path / "clips"),
        model=MODEL,
        weights='load_from = "slowonly.pth"',
        schedule="epochs = 4\nlr = 0.003\nfreeze = 'stem'",
        run="test_clips = 2\ntest_crops = 3\nworkers = 1",
    )
    plan = ftwiz("run", "recipe.toml", "--dry-run", cwd=tmp_path)
    assert "slowonly, resnet18, 4 frames, every 2nd a clip" in plan.stdout
    done = ftwiz("run", "recipe.toml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    run = RunFolder(tmp_path / "run")
    events = LogReader(run.events).read()
    (loaded,) = (event for event in events if isinstance(event, WeightsLoaded))
    assert loaded.report[0] == "SlowOnly ResNet-18 from slowonly.pth (MMAction2 names)"
    assert loaded.report[2] == "re-initialised 2 of 122 tensors: head 400 → 3 (expected: the class count differs)"
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3]), "the last epoch's steps, and the first's"
    before = kinetics.state_dict()
    after = torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]
    assert torch.equal(after["backbone.conv1.weight"], before["backbone.conv1.weight"]), "the stem was frozen"
    assert not torch.equal(after["backbone.layer1.0.conv1.weight"], before["backbone.layer1.0.conv1.weight"])

    tested = ftwiz("test", "run", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert "6 clips, 2 places in time × 4 frames × 3 crops" in tested.stderr
    result = json.loads((run.report / "test" / "test.json").read_text())
    assert (result["clips"], result["test_clips"], result["crops"], result["segments"]) == (6, 2, 3, 4)
