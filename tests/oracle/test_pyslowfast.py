"""Our recognizers compute what PySlowFast computes: its raw logits, from a .pyth in its names, to 2e-6.

vectors_pyslowfast/NAME.npy was written by PySlowFast's own networks (float32, CPU, eval, the last activation left out)
from the weights and frames of rule.py, normalised with its mean of 0.45 and std of 0.225; NAME.json holds the keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.model import build_model
from engine.recipe import recipe_from
from engine.weights.load import load_weights
from tests.oracle.rule import make_frames, make_value

pytestmark = pytest.mark.slow  # `make quick` does without

VECTORS = Path(__file__).parent / "vectors_pyslowfast"
TOLERANCE = 2e-6  # of max |logit|
SLOWFAST_8X8 = {"resample_rate": 4, "speed_ratio": 4, "lateral_kernel": 7, "lateral_norm": True}
MODELS: dict[str, dict[str, Any]] = {
    "c2d_8x8_r50": {"recognizer": "c2d", "backbone": "resnet50-8x8"},
    "i3d_8x8_r50": {"recognizer": "i3d", "backbone": "resnet50-8x8"},
    "slowfast_8x8_r50": {"recognizer": "slowfast", "backbone": "resnet50", **SLOWFAST_8X8},
    "x3d_s": {"recognizer": "x3d", "backbone": "x3d_s"},
    "mvit_b_16x4": {"recognizer": "mvit", "backbone": "mvit_v1_b"},
}


def difference(name: str, folder: Path, **model_keys: Any) -> tuple[float, tuple[str, ...]]:
    """Of our logits from PySlowFast's, relative to max |logit|; and what the report doubts."""
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    videos, frames, _, size, _ = vector["input_shape"]
    state = {}
    for key, shape, dtype in vector["keys"]:
        value = make_value(key, shape, dtype.startswith("float"))
        state[key] = torch.zeros(shape, dtype=torch.int64) if value is None else torch.from_numpy(value)
    torch.save({"model_state": state, "epoch": 0}, folder / f"{name}.pyth")
    recipe = recipe_from(
        {
            "model": {**MODELS[name], "clip_len": frames, **model_keys},
            "head": {"num_classes": 400, "dropout": 0.0},
            "dataset": {"short_side": 256, "frame_size": size},
        }
    )
    model = build_model(recipe)
    report = load_weights(model, str(folder / f"{name}.pyth"), recipe)
    assert len(report.kept) == len(model.state_dict()) and not report.dropped
    clip = (make_frames(videos, frames, size, size).astype(np.float32) - 114.75) / 57.375
    with torch.inference_mode():
        ours = model.eval()(torch.from_numpy(clip)).numpy()
    theirs = np.load(VECTORS / f"{name}.npy")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max()), report.doubts


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "slowfast_8x8_r50" else name for name in MODELS]
)
def test_the_logits_are_pyslowfasts(name: str, tmp_path: Path) -> None:
    far, doubts = difference(name, tmp_path)
    assert far <= TOLERANCE and doubts == ()


@pytest.mark.parametrize("name", ["i3d_8x8_r50", "c2d_8x8_r50"])
def test_mmactions_network_of_that_name_is_another_and_the_report_says_so(name: str, tmp_path: Path) -> None:
    far, doubts = difference(name, tmp_path, backbone="resnet50")
    assert far > 1e-3
    assert 'model.backbone = "resnet50-8x8" computes what the file was trained for.' in doubts[0]
