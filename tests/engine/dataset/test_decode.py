"""The right pixels for a frame number, whatever the container does; a reason instead of a crash for a bad file."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.dataset import decode
from engine.dataset.clips import Clip
from engine.dataset.decode import DecodeError, DecordReader, PyAVReader, open_clip, open_video
from tests.videos import make_video

needs_decord = pytest.mark.skipif(decode.decord is None, reason="decord is not installed")


def encode(
    path: Path,
    frames: int = 40,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
    turned: int = 0,
    **options: str,
) -> Path:
    """A video whose every frame is different. times: of the frames, in milliseconds. turned: degrees, a note."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.thread_count, stream.options = 1, options
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if "bf" in options:
            stream.codec_context.max_b_frames = int(options["bf"])
        if turned:
            stream.set_display_rotation(turned)
        for number in range(frames):
            image = np.full((height, width, 3), (number * 6 % 256, 90, 255 - number * 6 % 256), np.uint8)
            at = number % (width - 8)
            image[4:20, at : at + 8] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def irregular_times(frames: int) -> list[int]:
    return np.random.default_rng(3).integers(10, 200, frames).cumsum().tolist()


# Those that decord reads as well, and those that it would get wrong.
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "one GOP with B-frames": ("mp4", {"frames": 120, "g": "250", "bf": "3"}),
    "short GOPs with B-frames": ("mp4", {"g": "12", "bf": "3"}),
    "only key frames": ("mp4", {"g": "1"}),
    "variable frame rate": ("mp4", {"times": irregular_times(40), "g": "15", "bf": "3"}),
    "Matroska": ("mkv", {"g": "12", "bf": "3"}),
    "WebM": ("webm", {"codec": "libvpx-vp9", "g": "12"}),
    "MPEG-4 in AVI": ("avi", {"codec": "mpeg4", "g": "12"}),
    "odd size": ("mp4", {"size": (63, 47), "pixels": "yuv444p"}),
    "grey": ("mp4", {"pixels": "gray"}),
    "one frame": ("mp4", {"frames": 1}),
    "two frames": ("mp4", {"frames": 2}),
}
HARD: dict[str, tuple[str, dict[str, Any]]] = {
    "open GOPs": ("mp4", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "open GOPs in Matroska": ("mkv", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "H.264 with B-frames in AVI": ("avi", {"g": "12", "bf": "3"}),
    "MPEG-4 with B-frames in AVI": ("avi", {"codec": "mpeg4", "g": "12", "bf": "2"}),
    "MPEG transport stream": ("ts", {"g": "12", "bf": "3"}),
    "H.264 without a container": ("h264", {"g": "12"}),
    "10 bits a colour": ("mp4", {"pixels": "yuv420p10le"}),
    "frames of the same time": ("mkv", {"times": [40 * (number // 2) for number in range(40)], "g": "10", "bf": "0"}),
    "AV1": ("mp4", {"codec": "libsvtav1", "frames": 12}),
}
ALL = PLAIN | HARD


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The file of a case, made once."""
    folder = tmp_path_factory.mktemp("videos")

    def video(name: str) -> str:
        suffix, arguments = ALL[name]
        if (codec := arguments.get("codec", "libx264")) not in av.codecs_available:
            pytest.skip(f"this FFmpeg has no {codec}")
        path = folder / f"{name}.{suffix}"
        return str(path if path.exists() else encode(path, **arguments))

    return video


def in_order(path: str | Path) -> np.ndarray:
    """Every frame as FFmpeg shows them from first to last: what all random access is compared with."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])  # type: ignore[arg-type]


class Refuses:
    """Stands behind a DecordReader that must do without help."""

    def __init__(self, num_frames: int):
        self.num_frames = num_frames

    def read(self, frames: Sequence[int]) -> np.ndarray:
        raise AssertionError("decord should have read this")

    def times(self) -> np.ndarray:
        raise AssertionError("nobody asks for these")


# --- the right frames -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_random_access_gives_the_frames_of_playing_in_order(name: str, video: Callable[[str], str]) -> None:
    played = in_order(video(name))
    assert len(played) == ALL[name][1].get("frames", 40)
    reader = open_video(video(name))
    assert reader.num_frames == len(played)

    shuffled = random.Random(0).sample(range(len(played)), min(len(played), 25))
    for number in shuffled:
        assert np.array_equal(reader.read([number])[0], played[number]), number
    for numbers in (shuffled, sorted(shuffled), range(len(played))):
        frames = reader.read(numbers)
        assert frames.dtype == np.uint8 and frames.flags.c_contiguous
        assert np.array_equal(frames, played[list(numbers)])
    again = [shuffled[0], shuffled[-1], shuffled[0]]
    assert np.array_equal(reader.read(again), played[again])


@needs_decord
@pytest.mark.parametrize("name", PLAIN)
def test_decord_and_pyav_give_the_same(name: str, video: Callable[[str], str]) -> None:
    path = video(name)
    assert isinstance(open_video(path), DecordReader)
    pyav = PyAVReader(path)
    decord = DecordReader(path, Refuses(pyav.num_frames))
    for numbers in ([pyav.num_frames - 1], range(0, pyav.num_frames, 7), range(pyav.num_frames)):
        assert np.array_equal(decord.read(numbers), pyav.read(numbers))


@pytest.mark.parametrize("name", HARD)
def test_what_decord_gets_wrong_is_kept_from_it(name: str, video: Callable[[str], str]) -> None:
    assert isinstance(open_video(video(name)), PyAVReader)


def test_without_decord_pyav_reads_everything(video: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "decord", None)
    assert isinstance(open_video(video("short GOPs with B-frames")), PyAVReader)


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_video_is_turned_the_way_it_is_shown(turned: int, tmp_path: Path) -> None:
    """Telephones store portrait videos lying down, with a note."""
    path = encode(tmp_path / "turned.mp4", turned=turned)
    lying = in_order(path)  # of the same file: x264 does not write the same bytes every time
    upright = np.rot90(lying, turned // 90, axes=(1, 2))
    for reader in (open_video(str(path)), PyAVReader(str(path))):
        assert np.array_equal(reader.read([0, 7, 39]), upright[[0, 7, 39]])


def test_the_best_of_two_video_streams_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, (width, height) in zip(streams, [(32, 32), (96, 64)], strict=True):
            stream.width, stream.height, stream.pix_fmt, stream.thread_count = width, height, "yuv420p", 1
        for number in range(10):
            for stream in streams:
                image = np.full((stream.height, stream.width, 3), number * 20, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    for reader in (open_video(str(path)), PyAVReader(str(path))):
        assert reader.num_frames == 10
        assert np.array_equal(reader.read([9, 2]), in_order(path)[[9, 2]])


def test_no_file_stays_open(tmp_path: Path) -> None:
    """Also where Python collects no garbage for a while."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    path = str(encode(tmp_path / "video.mp4", frames=3))
    PyAVReader(path).read([0])
    before = len(os.listdir("/proc/self/fd"))
    readers = [PyAVReader(path) for _ in range(20)]
    assert [reader.read([2]).shape for reader in readers] == [(1, 48, 64, 3)] * 20
    assert len(os.listdir("/proc/self/fd")) == before


NAMES = ["with space.mp4", "视频 – häßlich.mp4", "100%.mp4", "-dash.mp4", "a:b.mp4", "[x]'\"&.mp4", "no suffix"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "video.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name)):
        assert open_video(path).read([3]).shape == (1, 48, 64, 3)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.mp4"
    try:
        os.rename(make_video(tmp_path / "video.mp4"), name)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert open_video(os.fsdecode(name)).read([3]).shape == (1, 48, 64, 3)


# --- when frames are shown, and parts of a video ----------------------------------------------------------------------


def shown_at(name: str) -> list[float]:
    """In seconds from the first frame."""
    arguments = ALL[name][1]
    times = arguments.get("times", [40 * number for number in range(arguments.get("frames", 40))])
    return [(time - times[0]) / 1000 for time in times]


@pytest.mark.parametrize("name", [name for name in ALL if name != "frames of the same time"])
def test_frames_are_shown_when_the_file_says(name: str, video: Callable[[str], str]) -> None:
    times = open_video(video(name)).times()
    assert times.dtype == np.float64 and times == pytest.approx(shown_at(name), abs=1e-9)


@pytest.mark.parametrize("name", ["variable frame rate", "open GOPs in Matroska", "H.264 with B-frames in AVI", "WebM"])
def test_a_part_has_the_frames_on_screen_in_it(name: str, video: Callable[[str], str]) -> None:
    path, times = video(name), shown_at(name)
    played = in_order(path)
    for first, last in [(0, 0), (0, 7), (5, 5), (13, 30), (25, 39), (39, 39)]:
        # From while the first is on screen until while the last is.
        until_next = times[last + 1] - times[last] if last < 39 else 0.04
        start, end = times[first] + (0.001 if first else 0), times[last] + until_next / 2
        part = open_clip(Clip(path, 0, start=start, end=end))
        assert part.num_frames == last - first + 1
        assert np.array_equal(part.read(range(part.num_frames)), played[first : last + 1])
        assert np.array_equal(part.read([part.num_frames - 1, 0]), played[[last, first]])


def test_a_part_begins_with_the_frame_of_its_start_and_ends_before_that_of_its_end(
    video: Callable[[str], str],
) -> None:
    """Times in lists have one or two decimals; at 25 frames a second they often are a frame's own."""
    path = video("short GOPs with B-frames")
    parts = {(0.4, 0.8): range(10, 20), (0.4, 0.41): [10], (0.44, 0.44): [11], (0.0, 0.04): [0], (1.56, 1.6): [39]}
    for (start, end), numbers in parts.items():
        part = open_clip(Clip(path, 0, start=start, end=end))
        assert np.array_equal(part.read(range(part.num_frames)), in_order(path)[list(numbers)])


def test_a_part_ends_where_the_file_does(video: Callable[[str], str]) -> None:
    path = video("short GOPs with B-frames")  # 1.6 s
    last = in_order(path)[-1:]
    for start, end, frames in [(1.0, 90.0, 15), (1.0, 0.0, 15), (1.57, 1.6, 1), (1.59, 90.0, 1), (0.0, 90.0, 40)]:
        part = open_clip(Clip(path, 0, start=start, end=end))
        assert part.num_frames == frames
        assert np.array_equal(part.read([frames - 1]), last)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "video.mp4")
    for frames in (30, 20):
        os.replace(encode(tmp_path / "new.mp4", frames=frames), path)
        assert open_video(path).num_frames == frames
        assert open_clip(Clip(path, 0, start=0.4)).num_frames == frames - 10
        assert np.array_equal(open_video(path).read([frames - 1])[0], in_order(path)[-1])


@pytest.mark.parametrize("start", [1.6, 72.8])
def test_a_part_past_the_end_has_a_reason(start: float, video: Callable[[str], str]) -> None:
    with pytest.raises(DecodeError, match=rf"^the part begins at {start:.2f} s, and the video ends at 1.60 s$"):
        open_clip(Clip(video("short GOPs with B-frames"), 0, start=start, end=start + 5))


def test_times_count_from_the_first_frame_that_is_shown(shared: Path) -> None:
    """Hidden frames at the start, and a first time that is not 0, move nothing."""
    hidden = open_video(str(shared / "data/videos/odd/discard_first_keyframe.mp4"))
    assert hidden.times()[0] == 0 and len(hidden.times()) == hidden.num_frames == 25
    for name in ("arm_wrestling.mp4", "flipping_a_pancake.mkv"):
        times = open_video(str(shared / "data/videos" / name)).times()
        assert times[0] == 0 and (np.diff(times) > 0).all()


# --- bad files --------------------------------------------------------------------------------------------------------


def _audio_alone(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def _index_first(path: Path) -> bytes:
    """An MP4 with its index at the front: cut short, it still opens."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 48, "yuv420p", 1
        noise = np.random.default_rng(0)
        for _ in range(40):
            image = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def make_bad_files(folder: Path) -> None:
    good = make_video(folder / "good.mp4", frames=40).read_bytes()
    front = _index_first(folder / "front.mp4")
    contents = {
        "text": b"This is no video.\n" * 100,
        "empty": b"",
        "random bytes": np.random.default_rng(0).bytes(50_000),
        "cut in half": good[: len(good) // 2],
        "cut in half, index first": front[: len(front) // 2],
        "zeros after the index": front[:4000] + bytes(len(front) - 4000),
        "a PNG header": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_bytes(content)
    _audio_alone(folder / "audio alone.mp4")
    (folder / "a folder.mp4").mkdir()
    os.mkfifo(folder / "a pipe.mp4")  # opening it waits for ever
    for seed in range(40):
        damaged, noise = bytearray(front if seed % 2 else good), np.random.default_rng(seed)
        for at in noise.integers(0, len(damaged), 1 + seed):
            damaged[at] ^= noise.integers(1, 256)
        (folder / f"damaged {seed:02}.mp4").write_bytes(damaged)


BAD = {
    "text": "Invalid data found when processing input",
    "empty": "Invalid data found when processing input",
    "random bytes": "Invalid data found when processing input",
    "cut in half": "Invalid data found when processing input",
    "cut in half, index first": "Invalid data found when processing input",
    "zeros after the index": "Invalid data found when processing input",
    "a PNG header": "Invalid data found when processing input",
    "audio alone": "no video in it",
    "a folder": "it is a folder",
    "a pipe": "it is no regular file",
    "missing": "the file is missing",
}

_READ_ALL = """
import json, sys
from engine.dataset.decode import DecodeError, open_video
for path in sys.argv[1:]:
    try:
        video = open_video(path)
        frames = video.read([video.num_frames - 1, 0, video.num_frames // 2])
        print(json.dumps([path, "read", list(frames.shape)]), flush=True)
    except DecodeError as error:
        print(json.dumps([path, "DecodeError", str(error)]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """File → how reading it ended, in a process of its own: a crash or a hang is a failure with the file's name."""
    folder = tmp_path_factory.mktemp("bad")
    make_bad_files(folder)
    paths = [str(path) for path in sorted(folder.iterdir())] + [str(folder / "missing.mp4")]
    done = subprocess.run([sys.executable, "-c", _READ_ALL, *paths], stdout=subprocess.PIPE, text=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {paths[len(lines)]}"
    return {Path(path).stem: (how, what) for path, how, what in lines}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_has_a_reason(name: str, outcomes: dict[str, tuple[str, Any]]) -> None:
    assert outcomes[name] == ("DecodeError", BAD[name])


def test_damaged_files_are_read_or_refused(outcomes: dict[str, tuple[str, Any]]) -> None:
    damaged = [outcome for name, outcome in outcomes.items() if name.startswith("damaged")]
    assert len(damaged) == 40
    assert {how for how, _ in damaged} == {"read", "DecodeError"}  # some of each, so that both are tested
    for how, what in damaged:
        assert how == "read" or (what and "\n" not in what and "/" not in what)


def test_a_matroska_file_cut_short_shows_what_it_has(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mkv", g="12", bf="0")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    reader = open_video(str(cut))
    assert 10 < reader.num_frames < 40
    assert np.array_equal(reader.read(range(8)), in_order(whole)[:8])


# --- real videos ------------------------------------------------------------------------------------------------------

REAL = {
    "arm_wrestling.mp4": 280,
    "flipping_a_pancake.mkv": 310,
    "nasa_two_streams.mp4": 390,
    "odd/discard_first_keyframe.mp4": 25,
    "odd/h265.mp4": 10,
}


@pytest.mark.parametrize("name", REAL)
def test_real_videos(name: str, shared: Path) -> None:
    path = str(shared / "data" / "videos" / name)
    played = in_order(path)
    numbers = [int(number) for number in np.random.default_rng(0).integers(0, len(played), 12)]
    for reader in (open_video(path), PyAVReader(path)):
        assert reader.num_frames == len(played) == REAL[name]
        assert np.array_equal(reader.read(numbers), played[numbers])
        assert all(np.array_equal(reader.read([number])[0], played[number]) for number in numbers[:4])


def test_real_av1_and_a_real_corrupted_file(shared: Path) -> None:
    odd = shared / "data" / "videos" / "odd"
    av1 = open_video(str(odd / "av1.mkv"))
    assert av1.num_frames == 125 and av1.read([124, 3]).shape == (2, 360, 640, 3)
    with pytest.raises(DecodeError, match=r"^Invalid data found when processing input$"):
        corrupted = open_video(str(odd / "corrupted.mp4"))
        corrupted.read(range(corrupted.num_frames))
