"""What every reader of a clip's frames offers, whatever the frames are stored in. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class DecodeError(Exception):
    """A clip that cannot be decoded; the message is the reason, for the log. Never a reason to stop by itself."""


class FrameReader(Protocol):
    """The frames of a clip, numbered from 0. `read` takes numbers in any order, repeats allowed."""

    num_frames: int

    def read(self, frames: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3], or x and y of optical flow [T, H, W, 2]. Raises DecodeError."""
        ...
