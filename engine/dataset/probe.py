"""`python -m engine.dataset.probe SECONDS`: decodes the first, the middle and the last frame of one file after another.

A process of its own, because a broken file may hang or crash any decoder: `engine/dataset/probing.py` asks, and ends a
process that does not answer. Questions come as JSON lines on stdin, answers leave as JSON lines on stdout. The reader
is that of training. Imports no torch, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict

import av

from engine.dataset.clips import Clip
from engine.dataset.decode import open_clip, open_video
from engine.dataset.probing import Facts, Question
from engine.dataset.reader import DecodeError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# What is left of a file that was cut off in copying is less than the file says by more than rounding.
_CUT_SHARE, _CUT_SECONDS = 0.05, 0.5


def probe(question: Question) -> Facts:
    """What there is to know of a file, or why it cannot be used."""
    try:
        return _video(question.path) if os.path.isfile(question.path) else _folder(question)
    except DecodeError as error:
        return Facts(kind="undecodable", reason=explain(question.path) or _in_words(str(error)))


def _video(path: str) -> Facts:
    if not os.path.getsize(path):
        raise DecodeError("the file is empty")
    reader = open_video(path)
    images = reader.read(_first_middle_last(reader.num_frames))
    times = reader.times()
    fps = float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 and times[-1] > times[0] else 0.0
    seconds = float(times[-1]) + (1 / fps if fps else 0.0)
    facts = Facts(reader.num_frames, images.shape[2], images.shape[1], round(fps, 3), round(seconds, 3))
    cut = _cut_off(path, facts)
    return Facts(*facts.measured, kind="truncated", reason=cut) if cut else facts


def _folder(question: Question) -> Facts:
    """A folder of images. It has no times."""
    clip = Clip(question.path, 0, first_frame=question.first_frame, num_frames=question.num_frames)
    reader = open_clip(clip, question.template, question.flow)
    images = reader.read(_first_middle_last(reader.num_frames))
    return Facts(reader.num_frames, images.shape[2], images.shape[1])


def _first_middle_last(frames: int) -> list[int]:
    return sorted({0, frames // 2, frames - 1})


def _cut_off(path: str, facts: Facts) -> str:
    """Why a file that can be read is not all there; "" where it is."""
    with av.open(os.path.abspath(path)) as container:
        stream = container.streams.best("video")
        promised = stream.frames if stream else 0
        if promised and facts.frames < promised * (1 - _CUT_SHARE):
            assert stream is not None
            there = sum(packet.size > 0 for packet in container.demux(stream))  # with those that are never shown
            return _less(there, promised, "frames") if there < promised * (1 - _CUT_SHARE) else ""
        if promised or len(container.streams) > 1 or not container.duration:
            return ""  # in others the sound may last longer
        length = container.duration / av.time_base
        missing = length - facts.seconds
        if missing > max(_CUT_SECONDS, _CUT_SHARE * length):
            return _less(round(facts.seconds, 1), round(length, 1), "seconds")
    return ""


def explain(path: str) -> str:
    """Why a file is no video, in words, where its bytes tell; "" where they do not. FFmpeg says "invalid data"."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return ""
    if not size:
        return "the file is empty"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return _explain_mp4(path, size)
    if head[:4] == b"RIFF" and (end := int.from_bytes(head[4:8], "little") + 8) > size:
        return _less(size, end, "bytes")
    if _is_text(head):
        is_page = head.lstrip()[:1] == b"<"
        return "it is a web page, not a video" if is_page else "it is text, not a video"
    return ""


def _in_words(reason: str) -> str:
    return f"it is damaged, or no video: {reason}" if reason.startswith("Invalid data") else reason


def _explain_mp4(path: str, size: int) -> str:
    """An MP4 file is a row of boxes, each of which begins with its length and its name (ISO/IEC 14496-12, 4.2)."""
    names = set()
    at = 0
    with open(path, "rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            names.add(head[4:8])
            if length == 0:
                break  # to the end of the file
            if length < 8:
                return ""
            at += length
    if at > size:
        return _less(size, at, "bytes")
    return "" if b"moov" in names else "its index is missing: the recording or the copy was not finished"


def _less(there: float, promised: float, what: str) -> str:
    return f"it is cut off: {there:,} of {promised:,} {what} are there"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just the last letter cut in two
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)


def _leave_no_core() -> None:
    """A crash is an answer here: no picture of the memory need be written, which takes long and much disk."""
    if resource:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer until stdin ends. Says that it is ready first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    _leave_no_core()
    patience = int(float(sys.argv[1])) if len(sys.argv) > 1 else 0
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a decoder that prints spoils no answer
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        if patience and hasattr(signal, "alarm"):
            signal.alarm(patience)  # ends this process also where whoever asked is gone
        print(json.dumps(asdict(probe(Question(**json.loads(line))))), file=answers, flush=True)


if __name__ == "__main__":
    main()
