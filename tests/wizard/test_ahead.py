"""A log that another process reads is the same log, whatever becomes of that process."""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
from pathlib import Path

import pytest

from engine.events import LogReader, to_line
from engine.run_folder import RunFolder
from tests.runs import step_at
from tests.wizard.test_followed import RUN, a_log, alike, plainly, points, without_types
from wizard import ahead
from wizard.ahead import AheadReader, read_ahead
from wizard.followed import FollowedRun

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # pytest-xdist has threads, `ftwiz watch` has none
]


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch):
    monkeypatch.setattr(ahead, "LONG", 1000)
    monkeypatch.setattr(ahead, "SLICE_BYTES", 5000)


def steps(first: int, last: int) -> bytes:
    return "".join(to_line(step_at(number, RUN)) + "\n" for number in range(first, last + 1)).encode()


def written(folder: Path, log: bytes) -> Path:
    (folder / "events.jsonl").write_bytes(log)
    return folder / "events.jsonl"


def follow(reader: LogReader) -> FollowedRun:
    run = FollowedRun(RunFolder(reader.path.parent), reader=reader)
    read_all(run)
    return run


def read_all(run: FollowedRun) -> None:
    while run.read(5000)[1]:
        pass


def check_is_whole(run: FollowedRun) -> None:
    """Nothing is missing, and nothing there twice."""
    plain = plainly(run.folder.events.read_bytes())
    assert without_types(run.state) == without_types(plain.state)
    for name, curve in plain.curves.items():
        assert alike(points(getattr(run, name)), curve), name


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_run_that_one_process_reads(tmp_path, seed):
    path = written(tmp_path, a_log(random.Random(seed)) + steps(1000, 1010))
    reader = read_ahead(path)
    assert isinstance(reader, AheadReader)
    alone, other = FollowedRun(RunFolder(tmp_path)), follow(reader)
    alone.read()
    assert without_types(other.state) == without_types(alone.state)
    assert other.rhythm.phase == alone.rhythm.phase and other.began == alone.began
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert alike(points(getattr(other, name)), points(getattr(alone, name)))


def test_what_is_written_later_is_read_too(tmp_path):
    """Be it the second half of a line."""
    log = to_line(RUN).encode() + b"\n" + steps(1, 100)
    path = written(tmp_path, log[:-100])
    run = follow(read_ahead(path))
    assert run.state.steps[-1].step == 99
    with open(path, "ab") as file:
        file.write(log[-100:] + steps(101, 150))
    read_all(run)
    check_is_whole(run)


@pytest.mark.parametrize("pieces", [0, 1, 5])
def test_a_process_that_is_killed_is_done_without(tmp_path, pieces):
    path = written(tmp_path, to_line(RUN).encode() + b"\n" + steps(1, 3000))
    reader = read_ahead(path)
    assert isinstance(reader, AheadReader)
    run = FollowedRun(RunFolder(tmp_path), reader=reader)
    for _ in range(pieces):
        run.read(5000)
    if reader._process:
        os.kill(reader._process, signal.SIGKILL)
    read_all(run)
    check_is_whole(run)


def test_a_full_disk_under_the_temporary_file_is_none_for_the_log(tmp_path):
    path = written(tmp_path, to_line(RUN).encode() + b"\n" + steps(1, 3000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        reader = read_ahead(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_is_whole(follow(reader))


def test_no_process_reads_for_a_viewer_that_has_gone(tmp_path):
    path = written(tmp_path, steps(1, 100))
    with tempfile.TemporaryFile() as pieces:
        ahead._write_pieces(path, pieces.fileno(), parent=os.getpid())  # which is not its parent
        assert os.fstat(pieces.fileno()).st_size == 0
        ahead._write_pieces(path, pieces.fileno(), parent=os.getppid())
        assert os.fstat(pieces.fileno()).st_size > 0


def test_the_process_is_gone_when_all_is_read(tmp_path):
    reader = read_ahead(written(tmp_path, steps(1, 100)))
    assert isinstance(reader, AheadReader)
    process = reader._process
    follow(reader)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_short_log_or_none_needs_no_process(tmp_path, monkeypatch):
    assert type(read_ahead(tmp_path / "events.jsonl")) is LogReader
    path = written(tmp_path, steps(1, 2))
    assert path.stat().st_size < 1000 and type(read_ahead(path)) is LogReader
    written(tmp_path, steps(1, 100))
    monkeypatch.delattr(os, "fork")
    assert type(read_ahead(path)) is LogReader


def test_where_no_process_is_to_be_had_this_one_reads(tmp_path, monkeypatch):
    path = written(tmp_path, to_line(RUN).encode() + b"\n" + steps(1, 100))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    reader = read_ahead(path)
    assert type(reader) is LogReader
    check_is_whole(follow(reader))
