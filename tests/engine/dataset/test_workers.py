"""Worker processes that are killed, crash or hang: the same batches come, but for the clip at fault."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils import signal_handling

from engine.dataset.clips import Clip
from engine.dataset.loader import Batch, Batches, ValidationClips, View, build_loader
from engine.dataset.workers import ClipLoader, decode_alone
from engine.recipe import Recipe, recipe_from
from tests.videos import make_video

pytestmark = pytest.mark.slow  # `make quick` does without

CLIPS = 10
ROOT = Path(__file__).resolve().parents[3]


def recipe(clip_timeout: float = 60.0) -> Recipe:
    return recipe_from(
        {
            "model": {"segments": 2},
            "dataset": {"short_side": 40, "frame_size": 32},
            "run": {"clip_timeout": clip_timeout},
        }
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("clips")
    return [Clip(str(make_video(folder / f"{n}.mp4", frames=4, size=(64, 48), seed=n)), n % 2) for n in range(CLIPS)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_as_a_worker() -> None:
    if get_worker_info():
        die()


def crash() -> None:
    faulthandler.disable()  # pytest's own would print where
    ctypes.string_at(0)


def hang() -> None:
    while True:
        time.sleep(1)


def hang_with_the_lock_of_python() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def stumble() -> None:
    raise ZeroDivisionError("no frames a second")


class Faulty(ValidationClips):
    """Decodes like any other, but for some clips, whose decoder does what a test wants."""

    def __init__(
        self, clips: list[Clip], recipe: Recipe, faults: dict[int, Callable[[], None]], once: Path | None = None
    ):
        super().__init__(clips, recipe)
        self.faults, self.once = faults, once

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        if number in self.faults and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            self.faults[number]()
        return super().view(clip, epoch, number)


def load(dataset: ValidationClips, workers: int = 2, epochs: int = 1, **options: Any) -> tuple[list[Batch], list[str]]:
    """All batches, and what was said about lost workers."""
    said: list[str] = []
    batches = Batches(len(dataset), 2)
    loader = ClipLoader(dataset, batches, workers, pin_memory=False, on_loss=said.append, **options)
    found = []
    for batches.epoch in range(1, epochs + 1):
        found += list(loader)
    return found, said


def undisturbed(clips: list[Clip], without: tuple[int, ...] = ()) -> list[Batch]:
    batches = Batches(CLIPS, 2)
    batches.leaves_out = lambda number: number in without
    return list(build_loader(ValidationClips(clips, recipe()), batches, 0, pin_memory=False))


def assert_equal(some: list[Batch], others: list[Batch]) -> None:
    assert [batch.clips for batch in some] == [batch.clips for batch in others]
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize(
    ("fault", "seconds", "reason"),
    [
        (die, 60, r"decoding it ended the process \(SIGKILL\)"),
        (crash, 60, r"decoding it ended the process \(SIGSEGV\)"),
        (hang, 1.5, r"longer than \[run\] clip_timeout = 1.5 s"),
        (hang_with_the_lock_of_python, 1.5, r"longer than \[run\] clip_timeout = 1.5 s"),
    ],
)
def test_the_clip_that_ends_its_decoder_is_left_out_by_name(
    fault: Callable[[], None], seconds: float, reason: str, clips: list[Clip]
) -> None:
    found, said = load(Faulty(clips, recipe(seconds), {5: fault}))
    assert_equal(found, undisturbed(clips, without=(5,)))
    ((name, why),) = [pair for batch in found for pair in batch.skipped]
    assert name == clips[5].name and re.search(reason, why)
    assert any(clips[5].name in sentence for sentence in said)


def test_a_worker_that_is_killed_once_costs_no_clip(clips: list[Clip], tmp_path: Path) -> None:
    """Out of memory, for example: nothing is wrong with the clip it had in hand."""
    found, said = load(Faulty(clips, recipe(), {4: die}, once=tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert_equal(found, undisturbed(clips))
    assert [batch.skipped for batch in found] == [[]] * 5
    (sentence,) = said
    assert "SIGKILL" in sentence and "memory" in sentence and "fewer [run] workers" in sentence


def test_a_batch_that_workers_cannot_do_comes_without_them(clips: list[Clip]) -> None:
    """Its clips decode one by one, and still each worker dies over it: the training must not turn in circles."""
    found, said = load(Faulty(clips, recipe(), {6: die_as_a_worker}))
    assert_equal(found, undisturbed(clips))
    assert 2 <= len(said) <= 8 and all("SIGKILL" in sentence for sentence in said)


def test_two_bad_clips_of_one_batch_are_both_found(clips: list[Clip]) -> None:
    found, _ = load(Faulty(clips, recipe(), {2: crash, 3: die}), workers=1)
    assert_equal(found, undisturbed(clips, without=(2, 3)))
    assert [name for batch in found for name, _ in batch.skipped] == [clips[2].name, clips[3].name]


def test_the_next_epoch_goes_on_with_new_workers(clips: list[Clip]) -> None:
    found, _ = load(Faulty(clips, recipe(), {9: crash}), epochs=2)
    assert_equal(found, undisturbed(clips, without=(9,)) * 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clip_that_raises_something_unexpected_is_left_out_too(workers: int, clips: list[Clip]) -> None:
    found, said = load(Faulty(clips, recipe(), {1: stumble}), workers)
    assert_equal(found, undisturbed(clips, without=(1,)))
    assert found[0].skipped == [(clips[1].name, "unexpected ZeroDivisionError: no frames a second")]
    assert said == []


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_left_out_is_not_tried_and_moves_no_other_clip(workers: int, clips: list[Clip]) -> None:
    batches = Batches(CLIPS, 2)
    batches.leaves_out = lambda number: number in (4, 5)
    found = list(ClipLoader(Faulty(clips, recipe(), {4: die, 5: die}), batches, workers, pin_memory=False))
    assert [batch.clips for batch in found] == [[0, 1], [2, 3], [], [6, 7], [8, 9]]
    assert_equal(found, undisturbed(clips, without=(4, 5)))


def test_a_death_is_told_when_a_batch_is_asked_for_and_not_in_the_middle_of_a_step(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own signal handler would raise wherever the trainer stands, also one that another loader has left."""
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    next(iter(build_loader(ValidationClips(clips, recipe()), Batches(2, 2), 1, pin_memory=False)))
    assert callable(signal.getsignal(signal.SIGCHLD))
    batches = Batches(CLIPS, 2)
    loader = ClipLoader(ValidationClips(clips, recipe()), batches, 2, pin_memory=False)
    arriving = iter(loader)
    first = next(arriving)
    dead = active_children()
    for process in dead:
        process.kill()
    for process in dead:
        process.join()  # the signal handler runs here
    assert_equal([first, *arriving], undisturbed(clips))


def test_a_worker_dies_between_two_epochs(clips: list[Clip]) -> None:
    batches = Batches(CLIPS, 2)
    loader = ClipLoader(ValidationClips(clips, recipe()), batches, 2, pin_memory=False)
    assert_equal(list(loader), undisturbed(clips))
    for process in active_children():
        process.kill()
        process.join()
    assert_equal(list(loader), undisturbed(clips))
    assert batches.done == 0


def test_a_resumed_epoch_begins_where_it_stood(clips: list[Clip]) -> None:
    batches = Batches(CLIPS, 2)
    batches.done = 2
    loader = ClipLoader(Faulty(clips, recipe(), {6: crash}), batches, 1, pin_memory=False)
    assert_equal(list(loader), undisturbed(clips, without=(6,))[2:])
    assert batches.done == 2


def test_one_by_one_is_the_same(clips: list[Clip]) -> None:
    dataset = Faulty(clips, recipe(), {1: crash, 2: stumble})
    good, crashed, stumbled, last = decode_alone(dataset, [(1, number) for number in range(4)])
    assert torch.equal(good[1].frames, dataset[1, 0][1].frames) and torch.equal(last[1].frames, dataset[1, 3][1].frames)
    assert crashed == (1, "decoding it ended the process (SIGSEGV)")
    assert stumbled == (2, "unexpected ZeroDivisionError: no frames a second")


_WITH_LITTLE_SHARED_MEMORY = """
import sys
from engine.dataset.clips import Clip
from engine.dataset.loader import Batches, ValidationClips
from engine.dataset.workers import ClipLoader
from engine.errors import DeviceError
from engine.recipe import recipe_from
recipe = recipe_from({"model": {"segments": 8}, "dataset": {"short_side": 256, "frame_size": 224}})
clips = [Clip(sys.argv[1], 0)] * 8
try:
    print(len(list(ClipLoader(ValidationClips(clips, recipe), Batches(8, 4), 1, pin_memory=False))))
except DeviceError as error:
    print(error)
"""


@pytest.mark.slow  # imports torch
def test_too_little_shared_memory_is_a_sentence(clips: list[Clip]) -> None:
    """A container's default, made here by a /dev/shm of one megabyte."""
    mount = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    if subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us make /dev/shm small")
    command = f'{mount} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", command, sys.executable, _WITH_LITTLE_SHARED_MEMORY, clips[0].path],
        cwd=ROOT,
        timeout=120,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"shared memory: /dev/shm \(1 MiB\).*--shm-size.*workers", done.stdout), done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    gc.collect()  # an iterator that a traceback holds on to
    for process in active_children():
        process.join(10)
    assert active_children() == []
