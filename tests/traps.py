"""A dataset with one of each trap that people fall into, and the files that a check must name for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from tests.videos import make_video


def write_audio_only(path: Path) -> None:
    """A healthy MP4 file without a picture in it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), dtype=np.int16), format="s16", layout="mono")
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def write_truncated(path: Path) -> None:
    """The first half of a video, as a broken download leaves it."""
    make_video(path, frames=40, seed=99)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.mp4": (lambda path: path.touch(), "the file is empty"),
    "text.mp4": (lambda path: path.write_text("a readme\n" * 100, encoding="utf-8"), "it is text, not a video"),
    "page.mp4": (lambda path: path.write_text("<!doctype html><p>404", encoding="utf-8"), "it is a web page"),
    "sound.mp4": (write_audio_only, "no video in it"),
    "half.mp4": (write_truncated, "it is cut off"),
    "noise.mp4": (lambda path: path.write_bytes(np.random.default_rng(7).bytes(9000)), "Invalid data"),
}


def seed_traps(folder: Path) -> dict[tuple[str, str], set[str]]:
    """MMAction2's lists and videos in `folder`; returns (code, severity) → the names of the files it is about.

    Three classes, in lists that count from 1: 30 videos of the first, 4 of the second, 2 of the third.
    """
    videos, seed = folder / "videos", iter(range(1000))
    train = {f"run{number:02}.mp4": 1 for number in range(24)} | {f"walk{number}.mp4": 2 for number in range(3)}
    val = {f"run{number}.mp4": 1 for number in (90, 91, 92, 93)} | {"walk9.mp4": 2}
    train |= {"jump0.mp4": 3}  # 24 against 1, and nothing to judge it by
    train |= {"v_run_g01_c01.mp4": 1, "abcdefgh-_0_000000_000010.mp4": 1}
    val |= {"v_run_g01_c02.mp4": 1, "abcdefgh-_0_000010_000020.mp4": 1}
    for name in (*train, *val):
        make_video(videos / name, seed=next(seed))
    make_video(videos / "short.mp4", frames=5, seed=next(seed))
    make_video(videos / "thumbnail.mp4", size=(32, 24), seed=next(seed))
    train |= {"short.mp4": 1, "thumbnail.mp4": 1, "missing.mp4": 1}
    make_video(videos / "in no list.mp4", seed=next(seed))
    val |= {"run00.mp4": 1}  # in both lists
    for copy, original, listed, label in (
        ("copy in val.mp4", "run01.mp4", val, 1),
        ("copy in train.mp4", "run02.mp4", train, 1),
        ("copy of another class.mp4", "run03.mp4", train, 2),
    ):
        (videos / copy).write_bytes((videos / original).read_bytes())
        listed[copy] = label
    for name, (write, _) in BROKEN.items():
        write(videos / name)
        train[name] = 1
    for split, listed in (("train", train), ("val", val)):
        text = "".join(f"{name} {label}\n" for name, label in listed.items())
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    return {
        ("one_based_labels", "error"): set(),
        ("leakage", "error"): {
            "run00.mp4", "run01.mp4", "copy in val.mp4", "v_run_g01_c01.mp4", "v_run_g01_c02.mp4",
            "abcdefgh-_0_000000_000010.mp4", "abcdefgh-_0_000010_000020.mp4",
        },
        ("conflicting_labels", "error"): {"run03.mp4", "copy of another class.mp4"},
        ("undecodable", "error"): set(BROKEN),
        ("duplicate", "warning"): {"run02.mp4", "copy in train.mp4"},
        ("missing", "warning"): {"missing.mp4"},
        ("empty_class", "warning"): set(),
        ("imbalance", "warning"): set(),
        ("short_clips", "warning"): {"short.mp4"},
        ("low_resolution", "warning"): {"thumbnail.mp4"},
        ("extra", "warning"): {"in no list.mp4"},
    }  # fmt: skip
