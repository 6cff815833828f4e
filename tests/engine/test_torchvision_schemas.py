"""torchvision imports beside any torch; nothing is declared that is there already."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import torchvision_schemas


def run(code: str, beside: Path | None = None) -> str:
    path = os.pathsep.join(str(place) for place in [beside, *sys.path] if place)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_schemas_that_are_there_are_left_alone() -> None:
    """As beside a matching build, which declares them itself. A second declaration would raise."""
    if torchvision_schemas.LIBRARY is None:
        return  # here they do match: nothing was declared
    assert (
        run(
            """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from engine import torchvision_schemas
print(torchvision_schemas.LIBRARY is None, hasattr(torchvision_schemas.torchvision.models, "resnet18"))
"""
        )
        == "True True"
    )


@pytest.mark.slow
def test_both_work_and_transformers_is_not_imported_along(tmp_path: Path) -> None:
    """torchmetrics would, where it is installed: here by a package that ends the process. Nor does anything of ours,
    before a recipe asks for a network of it."""
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "transformers-9.0.0.dist-info").mkdir()
    (tmp_path / "transformers-9.0.0.dist-info" / "METADATA").write_text("Name: transformers\nVersion: 9.0.0\n")
    code = """
import sys
from engine.torchvision_schemas import torchmetrics, torchvision
import engine.train
print("transformers" in sys.modules)
import torch
model = torchvision.models.squeezenet1_1(weights=None).eval()
accuracy = torchmetrics.classification.MulticlassAccuracy(1000)
print(model(torch.zeros(1, 3, 64, 64)).shape[1], bool(accuracy))
"""
    assert run(code, beside=tmp_path).split() == ["False", "1000", "True"]
