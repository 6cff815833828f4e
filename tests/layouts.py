"""Datasets laid out as published ones are: what is refused, and training on tiny videos for two epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.dataset.formats import read_clips
from engine.errors import DataError, ExitCode
from engine.events import RunFinished, RunState
from engine.recipe import Dataset
from tests.clips import write_recipe
from tests.engines import engines
from tests.videos import make_video
from wizard.run import prepare


def refusal(dataset: Dataset, num_classes: int | None = None) -> str:
    """The one sentence with which the dataset is refused."""
    with pytest.raises(DataError) as caught:
        read_clips(dataset, num_classes)
    assert caught.value.exit_code == ExitCode.DATA
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def write_clip(path: Path, seed: int) -> Path:
    """A clip of 10 frames: VP9 in a .webm, H.264 in any other."""
    if path.suffix != ".webm":
        return make_video(path, frames=10, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 255, (10, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def train_as(table: dict[str, Any], folder: Path, **tables: str) -> RunState:
    """The end of a run of two epochs on the dataset that `table` ([dataset], as recognised) names; further lines of
    other tables as for `write_recipe`. The recipe is prepared as `ftwiz run` does, and an engine of its own trains."""
    dataset = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    recipe = write_recipe(
        folder / "recipe.toml",
        Path(table["root"]),
        dataset=dataset,
        schedule="epochs = 2\nbatch_size = 2",
        run=f'output = "{folder / "runs"}"',
        **tables,
    )
    run = prepare(str(recipe), None, {})
    assert engines().start(run).wait(300) == 0, run.log.read_text(encoding="utf-8")
    state = run.state()
    assert isinstance(state.ended, RunFinished) and [done.epoch for done in state.validations] == [1, 2]
    return state
