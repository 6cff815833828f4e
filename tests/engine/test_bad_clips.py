"""Trainings on data that goes bad under their hands, and whose worker processes are killed: nothing else is lost."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from engine.dataset import loader
from engine.dataset.clips import Clip
from engine.dataset.decode import open_clip
from engine.dataset.quarantine import read_quarantine
from engine.dataset.reader import FrameReader
from engine.errors import DataError
from engine.events import ClipSkipped, Message, RunFailed, RunFinished, Step, Validation
from engine.run_folder import RunFolder
from tests.clips import make_dataset
from tests.engine.test_train import events_of, model_hash, new_run, train, wait_for
from tests.engines import engines

BROKEN = Path("train", "rises", "1.mp4")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


def left_out(run: RunFolder) -> list[str]:
    """Names in the event log, in quarantine.txt and in the count at the end: they must agree."""
    names = [event.path for event in events_of(run, ClipSkipped)]
    assert list(read_quarantine(run.quarantine)) == names
    ended = run.state().ended
    assert not isinstance(ended, RunFinished) or ended.clips_left_out == len(names)
    return names


def warnings(run: RunFolder) -> str:
    return "\n".join(message.text for message in events_of(run, Message) if message.level == "warning")


@pytest.mark.slow
def test_a_clip_that_does_not_decode_is_named_once_and_not_tried_again(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "videos")
    (root / BROKEN).write_bytes(b"no video")
    run = new_run(tmp_path, root, schedule="epochs = 3", dataset="max_bad_fraction = 0.06")
    state = train(run)
    assert isinstance(state.ended, RunFinished)
    assert left_out(run) == [str(root / BROKEN)]


@pytest.mark.slow
def test_too_many_of_them_end_the_run_with_what_was_reached(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "videos")
    for name in ("1.mp4", "2.mp4"):
        (root / "train" / "rises" / name).write_bytes(b"no video")
    run = new_run(tmp_path, root, dataset="max_bad_fraction = 0.06")
    with pytest.raises(DataError, match=r"2 of 18 clips cannot be decoded.*max_bad_fraction = 0\.06.*quarantine\.txt"):
        train(run)
    assert (run.checkpoints / "last.pt").exists()
    with pytest.raises(DataError, match="2 of 18"):
        train(run, resume=True)

    make_dataset(root)  # the files are mended, and so is the list
    run.quarantine.unlink()
    assert isinstance(train(run, resume=True).ended, RunFinished)


@pytest.mark.slow
def test_a_crash_and_a_hang_in_a_decoder(tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights as where these clips never decoded: nothing else was changed by the loss of workers."""
    crashing, hanging = videos / BROKEN, videos / "val" / "falls" / "0.mp4"

    def reference(clip: Clip, *how: Any) -> FrameReader:
        return open_clip(Clip("nowhere.mp4", 0) if clip.path in (str(crashing), str(hanging)) else clip, *how)

    def bad_decoder(clip: Clip, *how: Any) -> FrameReader:
        if clip.path == str(crashing):
            faulthandler.disable()  # pytest's own would print where
            os.kill(os.getpid(), signal.SIGSEGV)
        if clip.path == str(hanging):
            time.sleep(3600)
        return open_clip(clip, *how)

    runs = []
    for name, decoder in {"reference": reference, "bad": bad_decoder}.items():
        run = new_run(tmp_path, videos, name, run="workers = 2\nclip_timeout = 3", dataset="max_bad_fraction = 0.2")
        monkeypatch.setattr(loader, "open_clip", decoder)
        train(run)
        assert sorted(left_out(run)) == sorted([str(crashing), str(hanging)])
        runs.append(run)
    assert model_hash(runs[0]) == model_hash(runs[1])
    reasons = read_quarantine(runs[1].quarantine)
    assert "SIGSEGV" in reasons[str(crashing)] and "clip_timeout = 3 s" in reasons[str(hanging)]
    assert str(crashing) in warnings(runs[1]) and str(hanging) in warnings(runs[1])


@pytest.mark.slow
def test_a_worker_is_killed_from_outside(tmp_path: Path, videos: Path) -> None:
    tables = {"run": "workers = 2", "schedule": "epochs = 40\nvalidation_interval = 20", "head": "dropout = 0.5"}
    whole, cut = (new_run(tmp_path, videos, name, **tables) for name in ("whole", "cut"))
    train(whole)

    engine = engines().start(cut)
    for steps in (2, 30):
        wait_for(cut, Step, steps)
        os.kill(children(engine.pid)[0], signal.SIGKILL)
    assert engine.wait(120) == 0, cut.log.read_text()
    assert warnings(cut).count("was lost (SIGKILL), as happens when memory runs out") == 2
    assert left_out(cut) == []
    assert model_hash(cut) == model_hash(whole)
    assert [(step.step, step.loss) for step in cut.state().steps] == [(s.step, s.loss) for s in whole.state().steps]


@pytest.mark.slow
def test_a_clip_is_deleted_during_training(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "videos")
    run = new_run(tmp_path, root, schedule="epochs = 12", run="workers = 1", dataset="max_bad_fraction = 0.2")
    engine = engines().start(run)
    wait_for(run, Validation)
    (root / BROKEN).unlink()
    (root / "val" / "waits" / "0.mp4").write_bytes(b"another file by now")
    assert engine.wait(120) == 0, run.log.read_text()
    assert sorted(left_out(run)) == sorted([str(root / BROKEN), str(root / "val" / "waits" / "0.mp4")])
    assert read_quarantine(run.quarantine)[str(root / BROKEN)] == "the file is missing"


@pytest.mark.slow
def test_what_is_in_quarantine_stays_there_when_a_run_is_resumed(tmp_path: Path) -> None:
    """Also where the file was mended meanwhile: else the resumed run would be another one."""
    root = make_dataset(tmp_path / "videos")
    good = (root / BROKEN).read_bytes()
    (root / BROKEN).write_bytes(b"no video")
    tables = {"schedule": "epochs = 3", "dataset": "max_bad_fraction = 0.06"}
    whole, cut = (new_run(tmp_path, root, name, **tables) for name in ("whole", "cut"))
    train(whole)

    engine = engines().start(cut)
    wait_for(cut, Step, 4)
    engine.send("SIGTERM")
    assert engine.wait(60) == 75
    (root / BROKEN).write_bytes(good)
    assert engines().start(cut, "--resume").wait(120) == 0
    assert left_out(cut) == left_out(whole) == [str(root / BROKEN)]
    assert model_hash(cut) == model_hash(whole)
    assert events_of(cut, RunFailed) == []


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)
