"""What a 3D network takes of an image network: kernels repeated over time, and what transformers need besides.

Every function maps tensors by our names. A network made so gives, on a clip that stands still, what the image network
gave on the image (Carreira and Zisserman 2017, https://arxiv.org/abs/1705.07750, section 2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from engine.weights.report import COPIED, INFLATED, REPEATED, Shape


class Made(NamedTuple):
    """A tensor made for the 3D network, and of which shape it was; how: for the report."""

    tensor: torch.Tensor
    there: Shape
    how: str


def made_from_image(name: str, here: Shape, theirs: Mapping[str, torch.Tensor]) -> Made | None:
    """The tensor `name` of a 3D network, of the shape `here`, from an image network's; None where it is not made."""
    image = theirs.get(name)
    if image is not None:
        there = tuple(image.shape)
        if is_image_kernel_of(there, here):
            return Made(inflated(image, here[2]), there, INFLATED)
        if name.endswith(".relative_position_bias_table") and there != here and there[1:] == here[1:]:
            return Made(repeated(image, here[0]), there, REPEATED) if here[0] % there[0] == 0 else None
        return None
    over_space = name.replace(".temporal_attn.", ".attn.").replace(".temporal_norm1.", ".norm1.")
    if over_space != name and over_space in theirs:
        return Made(theirs[over_space], tuple(theirs[over_space].shape), COPIED)
    return None


def is_image_kernel_of(there: Shape, here: Shape) -> bool:
    """Whether one kernel is the other without its time."""
    return len(there) == 4 and len(here) == 5 and there == here[:2] + here[3:]


def inflated(kernel: torch.Tensor, frames: int) -> torch.Tensor:
    """[out, in, h, w] → [out, in, frames, h, w], divided by their number."""
    return kernel.unsqueeze(2).expand(-1, -1, frames, -1, -1) / frames


def repeated(table: torch.Tensor, rows: int) -> torch.Tensor:
    """[places of a window in an image, heads] → [rows, heads]: the same for every distance in time (Liu et al. 2021,
    https://arxiv.org/abs/2106.13230, section 3.3)."""
    return table.repeat(rows // len(table), 1)
