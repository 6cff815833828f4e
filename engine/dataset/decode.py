"""From a clip and frame numbers to pixels, behind one small interface.

Frames are numbered in the order they are shown, and turned the way they are shown. PyAV lists the packets of every
file, which takes milliseconds; then decord reads those files that it reads right, and PyAV all others. Which of the two
it is makes no difference to the pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from typing import Any, Protocol

import av
import numpy as np

from engine.dataset.clips import Clip
from engine.dataset.images import ImageFolder
from engine.dataset.reader import DecodeError, FrameReader

try:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
except ImportError:  # no wheel for this platform
    decord = None


class VideoReader(FrameReader, Protocol):
    """An open video file, all of it."""

    def times(self) -> np.ndarray:
        """float64 [num_frames]: when each frame is shown, in seconds from the first. Raises DecodeError."""
        ...


def open_clip(clip: Clip, template: str = "auto", flow: bool = False) -> FrameReader:
    """The frames that belong to a clip: of a video, or of a folder of images. Raises DecodeError where there are none.

    template: [dataset] filename_template. flow: x and y of optical flow, which only folders have.
    """
    if os.path.isdir(clip.path):
        return ImageFolder(clip, template, flow)
    if flow and os.path.exists(clip.path):
        raise DecodeError("it is a file, and optical flow lies in folders of images")
    video = open_video(clip.path)
    return PartOfVideo(video, clip.start, clip.end) if clip.start or clip.end else video


def open_video(path: str) -> VideoReader:
    """Raises DecodeError where the file cannot be opened, or holds no frame."""
    path = os.path.abspath(path)  # FFmpeg would take a:b.mp4 for an address
    if not os.path.isfile(path):
        what = "it is a folder" if os.path.isdir(path) else "it is no regular file"  # a pipe would be waited for
        raise DecodeError(what if os.path.exists(path) else "the file is missing")
    status = os.stat(path)
    video = _indexed(path, status.st_size, status.st_mtime_ns)
    if decord is None or not video.suits_decord:
        return video
    try:
        return DecordReader(path, video)
    except DecodeError:  # a codec that decord does not have (AV1), a name that is not UTF-8
        return video


@lru_cache(maxsize=64)
def _indexed(path: str, size: int, modified_ns: int) -> PyAVReader:
    """Kept for a while: going through the packets of a long video takes longer than decoding what a clip needs, and an
    untrimmed one has many clips."""
    return PyAVReader(path)


class PartOfVideo:
    """What a video shows from `start` to `end` (seconds; end 0.0: the end of the file), as if it were all there is.

    The first frame is the one on screen at `start`, the last is the last that comes up before `end`; never less than
    one. What lies past the end of the video is left out; DecodeError where nothing else is asked for.
    """

    def __init__(self, video: VideoReader, start: float, end: float):
        times = video.times()
        length = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.0)
        if start and start >= length:
            raise DecodeError(f"the part begins at {start:.2f} s, and the video ends at {length:.2f} s")
        first = max(0, int(np.searchsorted(times, start, side="right")) - 1)
        after_last = int(np.searchsorted(times, end, side="left")) if end else len(times)
        self._video, self._first = video, first
        self.num_frames = max(1, after_last - first)
        self._times = times[first : first + self.num_frames]

    def read(self, frames: Sequence[int]) -> np.ndarray:
        return self._video.read([self._first + frame for frame in frames])

    def times(self) -> np.ndarray:
        """float64 [num_frames]: when each frame is shown, in seconds from the beginning of the video."""
        return self._times


class DecordReader:
    """decord with one thread a file: the loader's workers are the parallelism."""

    def __init__(self, path: str, otherwise: VideoReader):
        """otherwise: reads what decord gives up on, such as a portrait video of a telephone, stored lying down."""
        try:
            self._video = decord.VideoReader(path, num_threads=1)
        except (decord.DECORDError, RuntimeError, ValueError) as error:
            raise DecodeError(str(error)) from None
        if len(self._video) != otherwise.num_frames:
            raise DecodeError(f"decord counts {len(self._video)} frames, PyAV {otherwise.num_frames}")
        self._otherwise = otherwise
        self.num_frames = otherwise.num_frames

    def read(self, frames: Sequence[int]) -> np.ndarray:
        try:
            return self._video.get_batch(list(frames)).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError):
            return self._otherwise.read(frames)

    def times(self) -> np.ndarray:
        return self._otherwise.times()


class PyAVReader:
    """PyAV (FFmpeg).

    MP4 and Matroska tell the exact time of every frame: decoding begins at the key frame before a wanted one. In other
    containers times are guesses: decoding begins at the beginning, and frames are counted.
    """

    def __init__(self, path: str):
        self._path = path
        with _open(path) as (container, stream):
            packets = [packet for packet in container.demux(stream) if packet.size]
            shown = [packet for packet in packets if not packet.is_discard]
            if not shown:
                raise DecodeError("no frame in it")
            self.num_frames = len(shown)
            # Of each frame, as shown: its time, and that of the key frame to begin at. None: frames are counted.
            self._times = self._starts = np.empty(0, np.int64)
            if _has_exact_times(container, packets):
                starts = _key_frames_before(packets)
                self._times = np.array(sorted(packet.pts for packet in shown), np.int64)
                self._starts = np.array([starts[time] for time in self._times.tolist()], np.int64)
            self._tick: Fraction = stream.time_base
            self._rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.suits_decord = _suits_decord(container, stream, packets)

    def times(self) -> np.ndarray:
        if len(self._times):
            ticks = self._times - self._times[0]
            return ticks * self._tick.numerator / self._tick.denominator
        if not self._rate:
            raise DecodeError("it says neither when its frames are shown nor how many a second")
        return np.arange(self.num_frames) * self._rate.denominator / self._rate.numerator

    def read(self, frames: Sequence[int]) -> np.ndarray:
        wanted = self._times[list(frames)].tolist() if len(self._times) else list(frames)
        with _open(self._path) as (container, stream):
            if len(self._times):
                starts = dict(zip(wanted, self._starts[list(frames)].tolist(), strict=True))
                pictures = _from_key_frames(container, stream, starts)
            else:
                pictures = _pictures(enumerate(container.decode(stream)), set(wanted))
            if missing := len(set(wanted) - pictures.keys()):
                raise DecodeError(f"{missing} of {len(set(wanted))} frames do not decode")
            return np.stack([pictures[at] for at in wanted])


@contextmanager
def _open(path: str) -> Iterator[tuple[Any, Any]]:
    """The container and its best video stream. What FFmpeg says against the file becomes a DecodeError."""
    try:
        with av.open(path) as container:
            stream: Any = container.streams.best("video")
            if stream is None:
                raise DecodeError("no video in it")
            stream.thread_type = "NONE"
            yield container, stream
    except (av.FFmpegError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DecodeError(reason.splitlines()[0][:200]) from None


def _has_exact_times(container: Any, packets: Sequence[Any]) -> bool:
    times = {packet.pts for packet in packets}
    return container.format.name.startswith(("mov", "matroska")) and None not in times and len(times) == len(packets)


def _key_frames_before(packets: Sequence[Any]) -> dict[int, int]:
    """Packets in the order they are stored → time of a frame: time of the key frame that its decoding begins at."""
    key = earlier = packets[0].pts
    starts: dict[int, int] = {}
    for packet in packets:
        if packet.is_keyframe:
            earlier, key = key, packet.pts
        is_leading = packet.pts < key  # stored after a key frame, shown before it (open GOP): needs the earlier one too
        starts[packet.pts] = earlier if is_leading else key
    return starts


def _suits_decord(container: Any, stream: Any, packets: Sequence[Any]) -> bool:
    """decord returns other frames than asked where some are hidden, where groups of pictures are open, in AVI with
    B-frames and in MPEG streams; and wrong colours for more than 8 bits."""
    if stream.format is None or any(part.bits != 8 for part in stream.format.components):
        return False
    if any(packet.is_discard for packet in packets):
        return False
    if container.format.name == "avi":
        return not stream.codec_context.has_b_frames
    if not _has_exact_times(container, packets):
        return False
    latest_key = packets[0].pts
    for packet in packets:
        latest_key = packet.pts if packet.is_keyframe else latest_key
        if packet.pts < latest_key:
            return False
    return True


def _from_key_frames(container: Any, stream: Any, starts: dict[int, int]) -> dict[int, np.ndarray]:
    """Of the wanted times, each with the time of the key frame to begin at, the pictures."""
    pictures: dict[int, np.ndarray] = {}
    for start, times in groupby(sorted(starts), key=starts.__getitem__):
        container.seek(start, stream=stream)
        pictures |= _pictures(((frame.pts, frame) for frame in container.decode(stream)), set(times))
    return pictures


def _pictures(shown: Iterable[tuple[int, av.VideoFrame]], wanted: set[int]) -> dict[int, np.ndarray]:
    """Of frames as they are shown, the wanted ones as uint8 RGB [H, W, 3], turned as the file says."""
    last = max(wanted)
    pictures: dict[int, np.ndarray] = {}
    for at, frame in shown:
        if at in wanted:
            pictures[at] = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        if at >= last:
            break
    return pictures
