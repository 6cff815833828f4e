"""`python -m engine.doctor STEP…`: whether this machine can train, tried and not looked up; behind `ftwiz doctor`.

It says on stdout, a JSON document a line, which step comes ({"doing": …}) and what it found ({"name": …, "state": …,
"text": …, "advice": …}). A driver or a library that crashes takes this process with it: whoever asked goes on with the
steps after that one. What may not load is imported in its step.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.answer import answer, say
from engine.dataset.clips import Clip
from engine.dataset.reader import DecodeError, FrameReader
from engine.finding import BAD, NOTE, OK, Finding

if TYPE_CHECKING:
    from engine.dataset.decode import VideoReader

_FRAMES, _SIDE = 8, 64
_SHARED_MEMORY = Path("/dev/shm")
_ENOUGH_SHARED_MEMORY = 1 << 30  # two batches of 32 clips of 8 frames a worker, of 8 workers, take about as much
_DECORD_PLATFORMS = ("linux", "win32")


def torch_step() -> Iterator[Finding]:
    """Whether torch and torchvision load, and were made for each other."""
    import torch

    from engine.torchvision_schemas import torchvision

    wanted = next((line for line in requires("torchvision") or [] if line.startswith("torch==")), "").partition(";")[0]
    needs, has = wanted.removeprefix("torch==").strip(), torch.__version__.partition("+")[0]
    text = f"{torch.__version__}, {_build()}; torchvision {torchvision.__version__}"
    if len(builds := {name.partition("+")[2] for name in (torch.__version__, torchvision.__version__)} - {""}) > 1:
        text += f", which is of another build ({' and '.join(sorted(builds))}), but only in what ftwiz does not use"
    if needs and needs != has:
        advice = (
            f"torchvision {torchvision.__version__} belongs to torch {needs}: pip install --upgrade torch torchvision"
        )
        yield Finding("torch", NOTE, text, advice)
    else:
        yield Finding("torch", OK, text)


def _build() -> str:
    import torch

    if torch.version.hip:
        return f"built for ROCm {torch.version.hip}"
    if torch.version.cuda:
        return f"built for CUDA {torch.version.cuda}"
    return "built for Apple GPUs and the CPU" if torch.backends.mps.is_built() else "built for the CPU"


def device_step() -> Iterator[Finding]:
    """The device that a training would take, and whether a convolution on it gives what it gives on the CPU."""
    import torch

    from engine.device import choose_device, choose_precision, describe

    device = choose_device("auto")
    if device.type == "cpu":
        yield _no_gpu()
        return
    precision = choose_precision("auto", device)
    text = f"{describe(device)}, trains in {precision}"
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        others = torch.cuda.device_count() - 1
        text = (
            f"{describe(device)}, {total / 2**30:.0f} GiB ({free / 2**30:.0f} free), trains in {precision}"
            f"{f', and {others} more' if others else ''}"
        )
    frames, kernel = torch.randn(2, 3, 16, 16), torch.randn(4, 3, 3, 3)
    try:
        there = torch.nn.functional.conv2d(frames.to(device), kernel.to(device)).cpu()
    except (RuntimeError, torch.AcceleratorError) as error:
        first = str(error).strip().partition("\n")[0]
        yield Finding(
            "device", BAD, f"{describe(device)} does not compute: {first}",
            'update its driver, or install a torch that is built for it (pytorch.org); run.device = "cpu" goes around',
        )  # fmt: skip
        return
    if not torch.allclose(there, torch.nn.functional.conv2d(frames, kernel), atol=0.05):
        yield Finding("device", BAD, f"{describe(device)} computes wrong numbers", "see its driver and its health")
        return
    yield Finding("device", OK, text)


def _no_gpu() -> Finding:
    import torch

    threads = f"no GPU: CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    small = "small models train here; `ftwiz estimate RECIPE` says how long it takes"
    if not Path("/proc/driver/nvidia/version").exists() and shutil.which("nvidia-smi") is None:
        return Finding("device", NOTE, threads, small)
    if torch.version.cuda is None:
        advice = "there is an NVIDIA driver, but this torch has no CUDA: install one that has (pytorch.org)"
    elif os.environ.get("CUDA_VISIBLE_DEVICES", "any").strip() in ("", "-1"):
        advice = "CUDA_VISIBLE_DEVICES hides every GPU: unset it to train on one"
    else:
        advice = (
            f"there is an NVIDIA driver, but CUDA {torch.version.cuda} does not start; it may be too old: update it"
        )
    return Finding("device", NOTE, threads, advice)


def readers_step() -> Iterator[Finding]:
    """Each video reader decodes a video that is made here, and gives back what was put in."""
    import av

    from engine.dataset.decode import PyAVReader

    with tempfile.TemporaryDirectory(prefix="ftwiz-doctor-") as folder:
        path = str(Path(folder, "made.mp4"))
        try:
            made = _make_video(path)
            reader = PyAVReader(path)
            wrong = _difference(reader, made)
        except (DecodeError, OSError, av.error.FFmpegError, ValueError) as error:
            yield Finding("PyAV", BAD, f"cannot write and read a video: {error}", "pip install --force-reinstall av")
            return
        if wrong:
            yield Finding("PyAV", BAD, wrong, "pip install --force-reinstall av")
            return
        missing = [name for name in ("h264", "hevc", "vp9", "av1", "mpeg4") if not _decodes(name)]
        text = f"{av.__version__} decodes a video made here{'; not ' if missing else ''}{', '.join(missing)}"
        yield Finding("PyAV", NOTE if missing else OK, text, "pip install --upgrade av" if missing else "")
        yield _decord(path, reader, made)


def _decord(path: str, pyav: VideoReader, made: np.ndarray) -> Finding:
    from engine.dataset.decode import DecordReader, decord

    if decord is None:
        if sys.platform in _DECORD_PLATFORMS:
            return Finding("decord", NOTE, "not installed: PyAV reads all videos, more slowly", "pip install decord")
        return Finding("decord", OK, "has no wheel for this platform: PyAV reads all videos")
    try:
        wrong = _difference(DecordReader(path, pyav), made)
    except DecodeError as error:
        wrong = f"cannot read a video: {error}"
    if wrong:
        advice = "PyAV reads what decord cannot; pip install --force-reinstall decord"
        return Finding("decord", NOTE, wrong, advice)
    return Finding("decord", OK, f"{version('decord')} decodes the same")


def _make_video(path: str) -> np.ndarray:
    """Grey pictures, each brighter than the last; returns them as uint8 [T, H, W, 3]."""
    import av

    shades = np.linspace(40, 200, _FRAMES).astype(np.uint8)
    made = np.broadcast_to(shades[:, None, None, None], (_FRAMES, _SIDE, _SIDE, 3))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=10)
        stream.width = stream.height = _SIDE
        stream.pix_fmt = "yuv420p"
        for picture in made:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return made


def _difference(reader: FrameReader, made: np.ndarray) -> str:
    """What is wrong with what it reads, asked for out of order; "" for nothing. Encoding costs a few grey values."""
    if reader.num_frames != len(made):
        return f"counts {reader.num_frames} frames in a video of {len(made)}"
    order = [5, 0, 7, 2]
    worst = int(np.abs(reader.read(order).astype(int) - made[order]).max())
    return f"reads other pictures than were written (by {worst} of 255)" if worst > 12 else ""


def _decodes(codec: str) -> bool:
    import av

    try:
        av.Codec(codec, "r")
    except ValueError:  # PyAV's word for a codec that it does not have
        return False
    return True


def workers_step() -> Iterator[Finding]:
    """A worker process decodes a video and hands the frames over, as in a training."""
    from engine.dataset.loader import Batches, ValidationClips
    from engine.dataset.workers import ClipLoader
    from engine.device import available_cores
    from engine.errors import FtwizError
    from engine.memory import memory_limit_mb
    from engine.recipe import recipe_from

    recipe = recipe_from({"dataset": {"short_side": 32, "frame_size": 32}, "head": {"num_classes": 2}})
    with tempfile.TemporaryDirectory(prefix="ftwiz-doctor-") as folder:
        _make_video(str(Path(folder, "made.mp4")))
        clips = ValidationClips([Clip(str(Path(folder, "made.mp4")), 0)], recipe)
        lost: list[str] = []
        try:
            (batch,) = ClipLoader(clips, Batches(1, 1), workers=1, pin_memory=False, on_loss=lost.append)
        except FtwizError as error:
            yield Finding("workers", BAD, str(error), "until then, --set run.workers=0")
            return
    if lost or len(batch.clips) != 1:
        why = lost[0] if lost else batch.skipped[0][1]
        yield Finding("workers", BAD, f"a worker process does not hand over a clip: {why}", "--set run.workers=0")
        return
    cores, memory = available_cores(), memory_limit_mb() / 1024
    on = f"{cores} core{'s' if cores > 1 else ''}{f', {memory:.1f} GiB of memory' if memory else ''}"
    yield Finding("workers", OK, f"a worker process decodes and hands over; {on}")
    if _SHARED_MEMORY.is_dir():
        yield _shared_memory()


def _shared_memory() -> Finding:
    free = shutil.disk_usage(_SHARED_MEMORY).free
    text = f"{free / 2**30:.1f} GiB free in {_SHARED_MEMORY}, through which workers hand over batches"
    if free < _ENOUGH_SHARED_MEMORY:
        return Finding(
            "shared memory", NOTE, text, "large batches will not fit: docker run --shm-size=8g, or fewer workers"
        )
    return Finding("shared memory", OK, text)


STEPS: dict[str, Callable[[], Iterator[Finding]]] = {
    "torch": torch_step,
    "device": device_step,
    "readers": readers_step,
    "workers": workers_step,
}


def _examine(steps: Sequence[str]) -> None:
    for step in steps:
        say({"doing": step})
        try:
            for finding in STEPS[step]():
                say(finding.document())
        except PackageNotFoundError as error:
            say(Finding(step, BAD, f"{error.name} is not installed", f"pip install {error.name}").document())
        except ImportError as error:
            say(Finding(step, BAD, f"does not load: {error}", "install ftwiz and its packages anew").document())
        except Exception as error:
            traceback.print_exception(error)
            text = f"unexpected {type(error).__name__}: {error}"
            say(Finding(step, BAD, text, "please report it, with the traceback above").document())


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, and say so on stdout; returns the exit code, 0 also where something is wrong with the machine."""
    parser = argparse.ArgumentParser(prog="python -m engine.doctor", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], default=list(STEPS))
    steps = parser.parse_args(arguments).steps
    return answer(lambda: _examine(steps))


if __name__ == "__main__":
    sys.exit(main())
