"""Small real videos for tests: H.264 in MP4, written by PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np


def make_video(
    path: Path, frames: int = 16, size: tuple[int, int] = (64, 48), seed: int = 0, fps: int = 25, gop: int = 12
) -> Path:
    """Write a clip of a square that moves over a textured background; `size` is (width, height), both even.

    `seed` decides colours, texture, place and direction. Returns `path`; its folder is made where it is missing.
    """
    return write_video(path, _moving_square(frames, size, seed), fps, gop)


def write_video(path: Path, images: Iterable[np.ndarray], fps: int = 25, gop: int = 12) -> Path:
    """Write RGB images (uint8 [H, W, 3], H and W even) as a video, a key frame every `gop` frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
                stream.options = {"preset": "veryfast", "qp": "18", "g": str(gop), "keyint_min": str(gop)}
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return path


def _moving_square(frames: int, size: tuple[int, int], seed: int) -> Iterable[np.ndarray]:
    width, height = size
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 120, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    background = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    colour = random.integers(160, 256, 3, dtype=np.uint8)
    side = max(4, min(width, height) // 3)
    place = random.uniform(0, 1, 2) * (height - side, width - side)
    angle = random.uniform(0, 2 * np.pi)
    for _ in range(frames):
        image = background.copy()
        top, left = (int(at) % (limit - side + 1) for at, limit in zip(place, (height, width), strict=True))
        image[top : top + side, left : left + side] = colour
        place = place + 2 * np.array([np.sin(angle), np.cos(angle)])
        yield image
