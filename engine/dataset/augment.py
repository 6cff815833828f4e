"""From decoded frames to what the model sees: crop, mirror, resize on uint8 in the worker, normalise on the device.

Every frame of a clip gets the same crop. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from engine import recipe

# multiscale: where a crop may stand, in quarters of the room it has (top, left). The first five are corners and centre.
_POSITIONS = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))


@dataclass(frozen=True)
class Box:
    """A crop, in pixels of the decoded frame."""

    top: int
    left: int
    height: int
    width: int


def training_view(frames: np.ndarray, dataset: recipe.Dataset, rng: np.random.Generator) -> tuple[torch.Tensor, bool]:
    """uint8 [T, H, W, C] → uint8 [T, C, frame_size, frame_size], randomly cropped and mirrored, and whether it is."""
    height, width = frames.shape[1:3]
    box = _CROPS[dataset.crop](height, width, dataset, rng)
    mirrored = bool(rng.random() < dataset.flip)
    view = cut(frames, box, dataset.frame_size, mirrored)
    return (_rand_augmented(view, dataset, rng) if dataset.rand_augment else view), mirrored


def centre_view(frames: np.ndarray, dataset: recipe.Dataset) -> torch.Tensor:
    """uint8 [T, H, W, C] → uint8 [T, C, frame_size, frame_size], the middle."""
    height, width = frames.shape[1:3]
    side = _crop_side(height, width, dataset)
    return cut(frames, Box((height - side) // 2, (width - side) // 2, side, side), dataset.frame_size)


def views_at_test_time(frames: np.ndarray, dataset: recipe.Dataset, crops: int) -> torch.Tensor:
    """uint8 [T, H, W, C] → uint8 [crops, T, C, frame_size, frame_size].

    1: the centre. 3: start, middle and end of the long side. 10: corners and centre, each mirrored too, those last.
    """
    height, width = frames.shape[1:3]
    side = _crop_side(height, width, dataset)
    down, right = height - side, width - side
    if crops == 1:
        return centre_view(frames, dataset)[None]
    if crops == 3:
        along_height = height > width
        places = [(down * i // 2, right // 2) if along_height else (down // 2, right * i // 2) for i in range(3)]
        return torch.stack([cut(frames, Box(*place, side, side), dataset.frame_size) for place in places])
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    plain = [cut(frames, Box(*place, side, side), dataset.frame_size) for place in places]
    return torch.stack([*plain, *(mirror(view) for view in plain)])


def cut(frames: np.ndarray, box: Box, size: int, mirrored: bool = False) -> torch.Tensor:
    """Crop, resize to size x size (bilinear, antialiased, on uint8), mirror. [T, H, W, C] → [T, C, size, size]."""
    cropped = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    pixels = torch.from_numpy(np.ascontiguousarray(cropped)).permute(0, 3, 1, 2)
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return (mirror(pixels) if mirrored else pixels).contiguous()


def mirror(frames: torch.Tensor) -> torch.Tensor:
    """uint8 [T, C, H, W] left to right. In flow (C = 2, x and y) what moved left then moves right: x is inverted."""
    mirrored = frames.flip(-1)
    if mirrored.shape[1] == 2:
        mirrored[:, 0] = 255 - mirrored[:, 0]
    return mirrored


def stack_flow(pairs: torch.Tensor, length: int) -> torch.Tensor:
    """[..., T * length, 2, H, W] → [..., T, 2 * length, H, W]: the channels x, y, x, y, … of consecutive pairs."""
    return pairs.unflatten(-4, (-1, length)).flatten(-4, -3)


def normalise(frames: torch.Tensor, model: recipe.Model) -> torch.Tensor:
    """uint8 [B, T, C, H, W] → float32 of the same shape, minus mean, divided by std, on the frames' device."""
    repeats = model.channels // len(model.mean)
    mean = torch.tensor(model.mean * repeats, device=frames.device).view(-1, 1, 1)
    std = torch.tensor(model.std * repeats, device=frames.device).view(-1, 1, 1)
    return (frames.float() - mean) / std


def _rand_augmented(view: torch.Tensor, dataset: recipe.Dataset, rng: np.random.Generator) -> torch.Tensor:
    """torchvision's RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719), the same for every frame.

    It draws from torch's global generator: that one is seeded from `rng` here, and put back as it was.
    """
    from engine.torchvision_schemas import torchvision  # takes longer than torch, and few recipes need it here

    augment = torchvision.transforms.v2.RandAugment(dataset.rand_augment_ops, dataset.rand_augment)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        return augment(torchvision.tv_tensors.Video(view)).as_subclass(torch.Tensor)


def _crop_side(height: int, width: int, dataset: recipe.Dataset) -> int:
    """The side of a frame_size crop from a frame scaled to short_side, in pixels of the frame as decoded: cropping
    first and resizing once gives the same view as resizing first, for less work."""
    short = min(height, width)
    return max(1, min(short, round(short * dataset.frame_size / dataset.short_side)))


def _multiscale(height: int, width: int, dataset: recipe.Dataset, rng: np.random.Generator) -> Box:
    """Height and width each a scale of the short side, not too far apart, at fixed places (TSN's corner cropping)."""
    scales, gap = dataset.crop_scales, dataset.crop_scale_gap
    pairs = [(h, w) for i, h in enumerate(scales) for j, w in enumerate(scales) if abs(i - j) <= gap]
    scale_h, scale_w = pairs[rng.integers(len(pairs))]
    crop_h, crop_w = (max(1, int(min(height, width) * scale)) for scale in (scale_h, scale_w))
    down, right = _POSITIONS[rng.integers(dataset.crop_positions)]
    return Box((height - crop_h) * down // 4, (width - crop_w) * right // 4, crop_h, crop_w)


def _random_resized(height: int, width: int, dataset: recipe.Dataset, rng: np.random.Generator) -> Box:
    """8 % to 100 % of the area at an aspect of 3/4 to 4/3 (Szegedy et al. 2014); the centre if ten tries do not fit."""
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        crop_w, crop_h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_h <= height and 0 < crop_w <= width:
            top, left = rng.integers(height - crop_h + 1), rng.integers(width - crop_w + 1)
            return Box(int(top), int(left), crop_h, crop_w)
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side, side)


def _random(height: int, width: int, dataset: recipe.Dataset, rng: np.random.Generator) -> Box:
    """The size of the validation crop, anywhere."""
    side = _crop_side(height, width, dataset)
    return Box(int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side, side)


_CROPS = {"multiscale": _multiscale, "random_resized": _random_resized, "random": _random}
