"""From a video file and frame numbers to pixels, behind one small interface.

decord reads where it is installed and can; PyAV reads the rest (other platforms, AV1). Which of the two reads a file
makes no difference to frame numbers: both count the frames in the order they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

try:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
except ImportError:  # no wheel for this platform
    decord = None


class DecodeError(Exception):
    """A file that cannot be decoded; the message is the reason, for the log. Never a reason to stop by itself."""


class VideoReader(Protocol):
    """An open video. `read` takes frame numbers in any order, repeats allowed."""

    num_frames: int

    def read(self, frames: Sequence[int]) -> np.ndarray:
        """uint8 RGB [T, H, W, 3]."""
        ...


def open_video(path: str) -> VideoReader:
    """Raises DecodeError where no reader can open it, or it holds no frame."""
    if not Path(path).is_file():
        raise DecodeError("the file is missing")
    if decord is None:
        return PyAVReader(path)
    try:
        return DecordReader(path)
    except DecodeError as decord_said:
        try:
            return PyAVReader(path)
        except DecodeError:
            raise decord_said from None


class DecordReader:
    """decord with one thread a file: the loader's workers are the parallelism."""

    def __init__(self, path: str):
        try:
            self._video = decord.VideoReader(path, num_threads=1)
            self.num_frames = len(self._video)
        except (decord.DECORDError, RuntimeError) as error:
            raise DecodeError(_reason(error)) from None
        if self.num_frames == 0:
            raise DecodeError("no frame in it")

    def read(self, frames: Sequence[int]) -> np.ndarray:
        try:
            return self._video.get_batch(list(frames)).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise DecodeError(_reason(error)) from None


class PyAVReader:
    """PyAV (FFmpeg). Counts frames by reading packets without decoding, then seeks to the key frame before a frame."""

    def __init__(self, path: str):
        import av  # here, because with decord most processes never need it

        self._errors = (av.FFmpegError, ValueError, IndexError, EOFError)
        try:
            self._container: Any = av.open(path)
            stream: Any = self._container.streams.best("video")
            if stream is None:
                raise DecodeError("no video in it")
            stream.thread_type = "NONE"
            packets = [packet for packet in self._container.demux(stream) if packet.pts is not None]
        except self._errors as error:
            raise DecodeError(_reason(error)) from None
        self._stream = stream
        self._times: list[int] = sorted(packet.pts for packet in packets if not packet.is_discard)
        self.num_frames = len(self._times)
        if self.num_frames == 0:
            raise DecodeError("no frame in it")

    def read(self, frames: Sequence[int]) -> np.ndarray:
        wanted = {self._times[frame] for frame in frames}
        try:
            pictures = self._decode(wanted)
        except self._errors as error:
            raise DecodeError(_reason(error)) from None
        if missing := len(wanted - pictures.keys()):
            raise DecodeError(f"{missing} of {len(wanted)} frames do not decode")
        return np.stack([pictures[self._times[frame]] for frame in frames])

    def _decode(self, wanted: set[int]) -> dict[int, np.ndarray]:
        """Presentation time → uint8 RGB [H, W, 3], in one pass from the key frame before the first one wanted."""
        self._container.seek(min(wanted), stream=self._stream, backward=True)
        pictures: dict[int, np.ndarray] = {}
        for frame in self._container.decode(self._stream):
            if frame.pts in wanted:
                pictures[frame.pts] = frame.to_ndarray(format="rgb24")
            if len(pictures) == len(wanted) or (frame.pts or 0) > max(wanted):
                break
        return pictures


def _reason(error: BaseException) -> str:
    """The reader's own words without its time stamps and source lines, on one line."""
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+?:\d+: ", "", str(error))
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return line[:200]
