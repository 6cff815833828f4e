"""A training clip from decoded frames to the model's input: crop, then one resize on uint8, then normalise the batch
(ours), against the order MMAction2's configs spell out: resize to short side 256, crop, resize to 224, normalise in
the worker. Decoding is the same for both and is left out; its share is printed beside.

    python benchmarks/data_path.py [VIDEO …]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from paired import compare

from engine.dataset.augment import normalise, training_view
from engine.dataset.decode import open_video
from engine.dataset.sampling import random_frames
from engine.recipe import load_recipe

RECIPE = load_recipe("tsm-r50-kinetics400")


def ours(frames: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    return normalise(training_view(frames, RECIPE.dataset, rng)[None], RECIPE.model)


def resize_first(frames: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """The same crops, in the other order and in float."""
    height, width = frames.shape[1:3]
    scale = RECIPE.dataset.short_side / min(height, width)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    pixels = F.interpolate(pixels, (round(height * scale), round(width * scale)), mode="bilinear", antialias=True)
    as_frames = pixels.permute(0, 2, 3, 1).numpy()
    view = training_view(as_frames, RECIPE.dataset, rng)
    return normalise(view[None], RECIPE.model)


def main() -> None:
    torch.set_num_threads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as folder:
        videos = [Path(name) for name in sys.argv[1:]] or [_make_video(Path(folder) / "video.mp4")]
        for path in videos:
            rng = np.random.default_rng(0)
            began = time.perf_counter()
            video = open_video(str(path))
            frames = video.read(random_frames(video.num_frames, RECIPE.model.segments, rng))
            decoding = time.perf_counter() - began
            ratio = compare(lambda f=frames, r=rng: ours(f, r), lambda f=frames, r=rng: resize_first(f, r))
            height, width = frames.shape[1:3]
            print(
                f"{path.name} {width}x{height}: ours / resize-first = {ratio}; decoding took {decoding * 1000:.0f} ms"
            )


def _make_video(path: Path) -> Path:
    """340x256, ten seconds: what Kinetics looks like after the usual preparation."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        texture = rng.integers(0, 255, (32, 43, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:, :340]
        for number in range(300):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(texture, number, 1)), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
