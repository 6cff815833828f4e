"""Folders of frames for tests: images of a moving square, and the optical flow of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_frames(
    folder: Path, frames: int = 6, template: str = "img_{:05}.jpg", first: int = 1, seed: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:  # fmt: skip
    """Images of one colour a clip (decided by `seed`), each brighter than the last; `size` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    colour = np.random.default_rng(seed).integers(40, 160, 3)
    for number in range(frames):
        pixels = np.full((size[1], size[0], 3), colour + 10 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / template.format(first + number), quality=95)
    return folder


def write_flow(
    folder: Path, pairs: int = 6, template: str = "flow_{}_{:05}.jpg", first: int = 1, seed: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:  # fmt: skip
    """Grey images x and y: everything moves the same way, decided by `seed`; x grows with the pair's number."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = np.random.default_rng(seed).integers(30, 200, 2)
    for number in range(pairs):
        for axis, value in (("x", x + 4 * number), ("y", y)):
            pixels = np.full((size[1], size[0]), value, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / template.format(axis, first + number), quality=95)
    return folder
