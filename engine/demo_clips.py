"""Makes the videos of `ftwiz demo`: textured things that move over textured backgrounds. The motion is the class.

No single frame tells the class. In every class the thing is, at any moment, equally likely to be anywhere, in any
position, size and colour: whatever leaves the picture on one side comes back on the other, so that no place is
special. Only the order of frames says that something slides left and not right.

    python -m engine.demo_clips DIR --seed 0 --pretraining 250 --motions 12 --val 20

writes DIR/pretraining and DIR/motions, each {train,val}/CLASS/NNN.mp4, so many a class. Torch-free.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from engine.errors import ExitCode

FRAMES = 16
FRAME_RATE = 12
SIDE = 64  # pixels
SLOWEST, FASTEST = 0.45, 0.9  # sides in the length of a clip
TURNS_A_SIDE = 1.3  # of circles and swings: what goes to and fro is as easy to see as what goes straight
SMALLEST, LARGEST = 0.18, 0.36  # radius of a thing, in sides
TURN = 2 * np.pi

# --- the motions ------------------------------------------------------------------------------------------------------

# A motion says where a thing is, seen from a place chosen at random. travelled: the way so far, in sides [FRAMES].
# Returns (right, down) in sides, each [FRAMES].
Motion = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _straight(right: float, down: float) -> Motion:
    length = np.hypot(right, down)

    def motion(travelled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return travelled * right / length, travelled * down / length

    return motion


def _circle(turns: int) -> Motion:
    """turns: 1 for clockwise, -1 for the other way round."""

    def motion(travelled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        radius = rng.uniform(0.15, 0.25)
        angle = TURN * (rng.uniform() + turns * TURNS_A_SIDE * travelled)
        return radius * np.cos(angle), radius * np.sin(angle)

    return motion


def _swing(right: float, down: float) -> Motion:
    """Back and forth along a line."""

    def motion(travelled: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        reach = rng.uniform(0.15, 0.25)
        away = reach * np.sin(TURN * (rng.uniform() + TURNS_A_SIDE * travelled))
        return right * away, down * away

    return motion


PRETRAINING: dict[str, Motion] = {
    "slides left": _straight(-1, 0),
    "slides right": _straight(1, 0),
    "slides up": _straight(0, -1),
    "slides down": _straight(0, 1),
    "circles clockwise": _circle(1),
    "circles counterclockwise": _circle(-1),
}
MOTIONS: dict[str, Motion] = {
    "drifts up left": _straight(-1, -1),
    "drifts up right": _straight(1, -1),
    "drifts down left": _straight(-1, 1),
    "drifts down right": _straight(1, 1),
    "sways sideways": _swing(1, 0),
    "bobs up and down": _swing(0, 1),
}

# --- one clip ---------------------------------------------------------------------------------------------------------


def draw_clip(motion: Motion, rng: np.random.Generator) -> np.ndarray:
    """A thing that moves: uint8 RGB [FRAMES, SIDE, SIDE, 3]."""
    background, thing = _distinct_colours(rng)
    pixels = _paint_background(background, rng)
    frames = np.repeat(pixels[None], FRAMES, axis=0)
    radius = SMALLEST * (LARGEST / SMALLEST) ** rng.uniform()
    right, down = motion(np.linspace(0, rng.uniform(SLOWEST, FASTEST), FRAMES), rng)
    x, y = rng.uniform() + right, rng.uniform() + down

    # Only the pixels around the thing are computed: `rows` and `columns` run over the edges and come back by modulo.
    reach = np.arange(-np.ceil(radius * SIDE) - 1, np.ceil(radius * SIDE) + 2)
    columns = np.floor(x[:, None, None] * SIDE) + reach[None, None, :]
    rows = np.floor(y[:, None, None] * SIDE) + reach[None, :, None]
    colour, cover = _paint_thing(
        ((columns + 0.5) / SIDE - x[:, None, None]) / radius,
        ((rows + 0.5) / SIDE - y[:, None, None]) / radius,
        edge_width=1 / (SIDE * radius),
        colours=thing,
        rng=rng,
    )
    here = np.arange(FRAMES)[:, None, None], rows.astype(int) % SIDE, columns.astype(int) % SIDE
    under = frames[here]
    frames[here] = under + cover * (colour - under)
    return (np.clip(frames, 0, 1) * 255).astype(np.uint8)


def _distinct_colours(rng: np.random.Generator) -> np.ndarray:
    """Two colours of the background and two of the thing, [2, 2, 3]; the pairs differ in brightness,
    which a video keeps sharp, unlike colour."""
    while True:
        colours = rng.uniform(0, 1, (2, 2, 3)).astype(np.float32)
        brightness = colours.mean(axis=1) @ np.array([0.3, 0.6, 0.1], dtype=np.float32)
        if abs(brightness[0] - brightness[1]) > 0.25:
            return colours


def _paint_background(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft waves of two colours with some grain: float [SIDE, SIDE, 3]."""
    at = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    share = _waves(at[None, :], at[:, None], 3, (0.4, 2.5), rng)[..., None] / 2 + 0.5
    grain = 0.02 * rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    return colours[0] * share + colours[1] * (1 - share) + grain


def _paint_thing(
    right: np.ndarray, down: np.ndarray, edge_width: float, colours: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A disc with two to five lobes, striped or spotted, its edge soft and shaded.

    right, down: where each pixel is, seen from the middle, in radii. Returns colours [..., 3] and cover 0..1 [..., 1].
    """
    right, down = (np.asarray(axis, dtype=np.float32) for axis in (right, down))
    tilt = rng.uniform(0, TURN)
    u = np.float32(np.cos(tilt)) * right + np.float32(np.sin(tilt)) * down
    v = np.float32(np.cos(tilt)) * down - np.float32(np.sin(tilt)) * right
    depth = rng.uniform(0.08, 0.22)
    outline = 1 - depth + depth * np.cos(int(rng.integers(2, 6)) * np.arctan2(v, u))
    distance = np.sqrt(u * u + v * v)
    cover = np.clip((outline - distance) / edge_width + 0.5, 0, 1)
    share = np.clip(1.6 * _waves(u, v, 2, (0.4, 1.2), rng), -0.5, 0.5)[..., None] + 0.5
    shade = 1.05 - 0.35 * np.minimum(distance, 1)[..., None] ** 2
    return (colours[0] * share + colours[1] * (1 - share)) * shade, cover[..., None]


def _waves(
    x: np.ndarray, y: np.ndarray, count: int, frequencies: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """The mean of some sine waves in random directions, float32 -1..1, in the shape of x and y together."""
    total = np.zeros(1, dtype=np.float32)
    for _ in range(count):
        frequency, direction, phase = TURN * rng.uniform(*frequencies), rng.uniform(0, TURN), rng.uniform(0, TURN)
        along_x, along_y = np.float32(frequency * np.cos(direction)), np.float32(frequency * np.sin(direction))
        total = total + np.sin(along_x * x + along_y * y + np.float32(phase))
    return total / np.float32(count)


def write_clip(path: Path, frames: np.ndarray) -> None:
    """Write RGB frames, uint8 [T, H, W, 3], as H.264 in MP4."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        # Constant qp, because x264's rate control (crf) does not write the same bytes every time.
        stream.options = {"preset": "veryfast", "qp": "16"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


# --- both datasets ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """Clips a class, of each dataset and split."""

    pretraining: int
    motions: int
    val: int


@dataclass(frozen=True)
class PlannedClip:
    """A clip to be made. key: what its random numbers come from, besides the seed."""

    path: Path
    motion: Motion
    key: tuple[int, ...]


def plan_clips(folder: Path, size: Size) -> Iterator[PlannedClip]:
    """Every clip of both datasets, in the order of making."""
    datasets = (("pretraining", PRETRAINING, size.pretraining), ("motions", MOTIONS, size.motions))
    for dataset, (name, motions, train) in enumerate(datasets):
        for split, (split_name, clips) in enumerate((("train", train), ("val", size.val))):
            for label, (title, motion) in enumerate(motions.items()):
                for number in range(clips):
                    path = folder / name / split_name / title / f"{number:03d}.mp4"
                    yield PlannedClip(path, motion, (dataset, split, label, number))


def make_clips(planned: Iterable[PlannedClip], seed: int) -> Iterator[Path]:
    """Draw and write the clips; yields each path when it is written."""

    def make(clip: PlannedClip) -> Path:
        clip.path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(clip.path, draw_clip(clip.motion, np.random.default_rng([seed, *clip.key])))
        return clip.path

    with ThreadPoolExecutor(2) as pool:  # the encoder, and most of numpy, let another thread run meanwhile
        yield from pool.map(make, planned)


def main() -> int:
    """Write both datasets, and after every 50 clips how many are done, out of how many."""
    parser = argparse.ArgumentParser(prog="python -m engine.demo_clips", description="Makes the demo's videos.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    for name, what in (("pretraining", "to pretrain on"), ("motions", "to fine-tune on"), ("val", "to validate on")):
        parser.add_argument(f"--{name}", type=int, required=True, metavar="N", help=f"clips a class {what}")
    asked = parser.parse_args()
    planned = list(plan_clips(asked.folder, Size(asked.pretraining, asked.motions, asked.val)))
    try:
        for done, _ in enumerate(make_clips(planned, asked.seed), start=1):
            if done % 50 == 0 or done == len(planned):
                print(done, len(planned), flush=True)
    except (OSError, av.codec.codec.UnknownCodecError) as error:
        print(f"{asked.folder}: {error}", file=sys.stderr)
        return ExitCode.DATA
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
