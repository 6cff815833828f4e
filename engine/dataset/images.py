"""Frames that lie in a folder as images: a file each, or two for optical flow. Read by Pillow.

A 340x256 JPEG takes Pillow 0.5 ms and PyAV 0.9 ms, and Pillow reads every kind of image that frames are stored in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from engine.dataset.clips import Clip
from engine.dataset.formats.frames import Images, common_template, file_name, images_of
from engine.dataset.reader import DecodeError
from engine.errors import DataError

# Grey values of more than 8 bits, which Pillow would cut off at 255.
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class ImageFolder:
    """The frames of a clip that is a folder of images, or a part of it.

    Where the clip says how many frames there are, no folder is listed: only the last of them is looked for.
    """

    def __init__(self, clip: Clip, template: str, flow: bool):
        """template: as [dataset] filename_template; auto: seen in this folder. Raises DecodeError where the frames that
        the clip names are not there."""
        self._folder, self._axes = clip.path, ("x", "y") if flow else ("",)
        try:
            self._template = common_template([clip.path], flow) if template == "auto" else template
            self._first = clip.first_frame
            self.num_frames = self._as_listed(clip.num_frames) if clip.num_frames else self._as_on_disk()
        except DataError as error:
            raise DecodeError(str(error)) from None

    def read(self, frames: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3]; flow: x and y, uint8 [T, H, W, 2]. Raises DecodeError."""
        pictures = {frame: self._picture(self._first + frame) for frame in set(frames)}
        if len(shapes := {picture.shape for picture in pictures.values()}) > 1:
            sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in sorted(shapes))
            raise DecodeError(f"its images have different sizes, {sizes}")
        return np.stack([pictures[frame] for frame in frames])

    def _picture(self, number: int) -> np.ndarray:
        """uint8 [H, W, 3 or 2]."""
        if len(self._axes) == 1:
            return self._load(number, "", "RGB")
        x, y = (self._load(number, axis, "L") for axis in self._axes)
        if x.shape != y.shape:
            raise DecodeError(f"{self._name(number, 'x')} has another size than its y")
        return np.stack([x, y], axis=-1)

    def _load(self, number: int, axis: str, mode: str) -> np.ndarray:
        """An image as Pillow's `mode`, turned the way its EXIF says it is shown."""
        name = self._name(number, axis)
        try:
            with Image.open(os.path.join(self._folder, name)) as image:
                if image.mode in _DEEP_MODES:
                    raise DecodeError(f"{name} has more than 8 bits a pixel")
                return np.asarray(ImageOps.exif_transpose(image).convert(mode))
        except FileNotFoundError:
            raise DecodeError(f"{name} is missing") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # Pillow repeats the whole path where it does not know an image.
            reason = "it is no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
            raise DecodeError(f"{name}: {reason}") from None

    def _name(self, number: int, axis: str = "") -> str:
        return file_name(self._template, number, self._folder, axis)

    def _as_listed(self, listed: int) -> int:
        """Flow lies between frames: where a list counts the frames, there is one less of it."""
        counts = [listed, listed - 1] if len(self._axes) == 2 and listed > 1 else [listed]
        for count in counts:
            names = [self._name(self._first + count - 1, axis) for axis in self._axes]
            if all(os.path.exists(os.path.join(self._folder, name)) for name in names):
                return count
        there = self._on_disk()
        found = f"it holds {there.count}, {there.first} to {there.last}" if there else "it holds none"
        raise DecodeError(f"{names[0]} is missing: {listed} images from {self._first} on are listed, {found}")

    def _as_on_disk(self) -> int:
        there = self._on_disk()
        if there is None or there.last < self._first:
            raise DecodeError(f"no {self._name(self._first, self._axes[0])} in it, nor a later one")
        return there.last - self._first + 1

    def _on_disk(self) -> Images | None:
        return images_of(self._folder, self._template, flow=len(self._axes) == 2)
