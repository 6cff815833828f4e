"""The same batches in the same order, whatever becomes of the worker processes that decode them.

A worker may be killed (out of memory), crash in a decoder, or hang in one for ever. The clip it had in hand is then
tried once more in a throw-away process with a time limit. One that is at fault is left out and named like any other
that does not decode; new workers go on where the trainer stands.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_one
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import signal_handling

from engine.dataset.loader import Batch, Batches, ClipDataset, ClipsAround, Item, View, begin_worker, build_loader
from engine.errors import DeviceError

_SHARED_MEMORY = "/dev/shm"
_SECONDS_TO_DIE = 5.0  # between the last that is heard of a process and its exit code
_NOTHING = -1


class TooLittleSharedMemoryError(DeviceError):
    """The workers cannot hand over their batches; nothing is wrong with the training so far."""


class ClipLoader:
    """Iterate it for the batches of an epoch: those that `batches` says, its `done` first ones left out."""

    def __init__(
        self,
        dataset: ClipDataset,
        batches: Batches,
        workers: int,
        pin_memory: bool,
        on_loss: Callable[[str], None] = lambda sentence: None,
    ):
        """workers: 0 decodes in this process, which nothing protects. on_loss hears a sentence for each lost worker."""
        self._dataset, self._batches = dataset, batches
        self._workers, self._pin_memory, self._on_loss = workers, pin_memory, on_loss
        self._in_hand = RawArray("q", [_NOTHING] * workers)  # the clip that each worker decodes just now
        self._at_fault: dict[int, str] = {}  # clips that ended a worker, and how: no worker is to try them again
        self._loader: DataLoader | None = None
        self._processes: list[BaseProcess] = []

    def __iter__(self) -> Iterator[Batch]:
        """Raises TooLittleSharedMemoryError."""
        began = given = self._batches.done
        lost_at = -1
        try:
            while given < len(self._batches):
                self._batches.done = given
                for batch in self._until_a_loss():
                    yield batch
                    given += 1
                if given == len(self._batches):
                    return
                self._batches.done = given
                is_explained = self._look_into_the_loss()
                if lost_at == given and not is_explained:  # twice at one place, for no reason that can be found
                    yield self._decode_without_workers()
                    given += 1
                else:
                    lost_at = given
        finally:
            self._batches.done = began

    def _until_a_loss(self) -> Iterator[Batch]:
        """The batches that are not done yet; ends early where a worker is lost."""
        try:
            if self._has_lost_one():  # between two epochs
                return
            batches = self._ask_workers()
            while not self._has_lost_one():
                with _raising_when_one_dies(self._processes):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch
        except _SharedMemoryIsFull:
            raise TooLittleSharedMemoryError(_too_little_shared_memory()) from None
        except Exception as error:
            if not _tells_of_a_loss(error):
                raise

    def _ask_workers(self) -> Iterator[Batch]:
        if self._loader is not None:
            return iter(self._loader)
        dataset = _InAWorker(self._dataset, self._in_hand, self._at_fault) if self._workers else self._dataset
        self._loader = build_loader(dataset, self._batches, self._workers, self._pin_memory)
        others = multiprocessing.active_children()
        with _keeping_the_signal_handler():
            batches = iter(self._loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in others]
        return batches

    def _has_lost_one(self, within: float = 0.0) -> bool:
        return bool(wait_for_one([process.sentinel for process in self._processes], within))

    def _look_into_the_loss(self) -> bool:
        """End all workers, try what the dead ones had in hand, and tell. Returns whether a clip is at fault."""
        how = self._end_workers()
        in_hand = sorted({number for number in self._in_hand if number != _NOTHING} - self._at_fault.keys())
        self._in_hand[:] = [_NOTHING] * self._workers
        decoded = decode_alone(self._dataset, [(self._batches.epoch, number) for number in in_hand])
        at_fault = {number: view for number, view in decoded if isinstance(view, str)}
        if how == "SIGBUS" and not at_fault:
            raise TooLittleSharedMemoryError(_too_little_shared_memory())
        self._at_fault |= at_fault
        self._on_loss(_sentence(how, [self._dataset.clips[number].name for number in at_fault]))
        return bool(at_fault)

    def _end_workers(self) -> str:
        """Returns how the first of them died. Of the others, none has a clip in hand when this returns."""
        self._has_lost_one(within=_SECONDS_TO_DIE)
        dead = [process for process in self._processes if process.exitcode is not None]
        codes = [process.exitcode for process in dead]
        self._loader = None  # they finish their batch; those that do not listen are ended
        for process in self._processes:
            process.kill()
            process.join(_SECONDS_TO_DIE)
        self._processes = []
        return _how_it_died(codes[0]) if codes else "no word"

    def _decode_without_workers(self) -> Batch:
        """The batch that is due."""
        items = next(islice(self._batches, 1))
        batch = self._dataset.batch_of(decode_alone(self._dataset, items))
        return batch.pin_memory() if self._pin_memory else batch


def decode_alone(dataset: ClipDataset, items: Sequence[tuple[int, int]]) -> list[Item]:
    """The same as asking `dataset` for each item; one that does not come back gets the reason why.

    Each is decoded in a throw-away process, which serves for the next one too as long as it lives.
    """
    decoded: list[Item] = []
    while len(decoded) < len(items):
        decoded += _decode_until_one_fails(dataset, items[len(decoded) :])
    return decoded


def _decode_until_one_fails(dataset: ClipDataset, items: Sequence[tuple[int, int]]) -> list[Item]:
    seconds = dataset.recipe.run.clip_timeout
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_decode_each, args=(dataset, items, sending), daemon=True)
    process.start()
    sending.close()
    decoded: list[Item] = []
    try:
        for _, number in items:
            if not receiving.poll(seconds or None):
                return [*decoded, (number, f"decoding it took longer than [run] clip_timeout = {seconds:g} s")]
            answer = receiving.recv()
            view = answer if isinstance(answer, str) else View(torch.from_numpy(answer[0]), *answer[1:])
            decoded.append((number, view))
    except EOFError:
        process.join()
        decoded.append((items[len(decoded)][1], f"decoding it ended the process ({_how_it_died(process.exitcode)})"))
    finally:
        process.kill()
        process.join(_SECONDS_TO_DIE)  # one that waits for a dead disk cannot even be killed
        receiving.close()
    return decoded


def _decode_each(dataset: ClipDataset, items: Sequence[tuple[int, int]], sending: Connection) -> None:
    """Runs in the throw-away process. Pixels go through the pipe as they are: shared memory may be what is wrong."""
    begin_worker()
    torch.set_num_threads(1)
    for item in items:
        _, view = dataset[item]
        sending.send(view if isinstance(view, str) else (view.frames.numpy(), view.mirrored))


class _InAWorker(ClipsAround):
    """A dataset as a worker process sees it: with a time limit a clip, and batches in shared memory."""

    def __init__(self, dataset: ClipDataset, in_hand: Any, at_fault: dict[int, str]):
        """in_hand: shared with the trainer, a place for each worker. at_fault: clips not to be tried, and why."""
        super().__init__(dataset)
        self._in_hand, self._at_fault = in_hand, at_fault

    def __getitem__(self, item: tuple[int, int]) -> Item:
        _, number = item
        if number in self._at_fault:
            return number, self._at_fault[number]
        worker = get_worker_info()
        assert worker is not None
        self._in_hand[worker.id] = number
        with _dying_after(self.recipe.run.clip_timeout):
            view = self._dataset[item]
        self._in_hand[worker.id] = _NOTHING
        return view

    def batch_of(self, items: list[Item]) -> Batch:
        """torch would share it later, in a thread whose errors reach nobody: the trainer would wait for ever."""
        batch = self._dataset.batch_of(items)
        try:
            for value in vars(batch).values():
                if isinstance(value, torch.Tensor):
                    value.share_memory_()
        except RuntimeError as error:
            raise _SharedMemoryIsFull(str(error)) from None
        return batch


class _SharedMemoryIsFull(RuntimeError):
    """On its way from a worker to the trainer."""


@contextmanager
def _dying_after(seconds: float) -> Iterator[None]:
    """A thread of C code ends this process when the time is up, also while a decoder holds Python's lock. It prints
    where the process stood, into the run's log.txt."""
    if not seconds:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class _WorkerDied(Exception):
    """Raised while the trainer waits for a batch, and at no other time."""


@contextmanager
def _raising_when_one_dies(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """torch looks every five seconds whether its workers live; the system says it at once."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    is_waiting = True

    def on_death(number: int, frame: object) -> None:
        nonlocal is_waiting
        if is_waiting and any(process.exitcode is not None for process in processes):
            is_waiting = False
            raise _WorkerDied

    with _keeping_the_signal_handler():
        signal.signal(signal.SIGCHLD, on_death)
        yield
        is_waiting = False


@contextmanager
def _keeping_the_signal_handler() -> Iterator[None]:
    """torch's loaders install one for dying workers that raises wherever the program stands, be it in the middle of an
    optimiser step or of a checkpoint. One that an earlier loader has left goes too."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        is_torchs = getattr(before, "__module__", "") == signal_handling.__name__
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if is_torchs or before is None else before)


def _tells_of_a_loss(error: Exception) -> bool:
    """What comes when a worker is gone that was waited for. An error that a worker raised begins with "Caught"."""
    if isinstance(error, RuntimeError):
        return str(error).startswith(("DataLoader worker (pid", "Pin memory thread exited"))
    return isinstance(error, _WorkerDied | OSError | EOFError) and not str(error).startswith("Caught ")


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _sentence(how: str, at_fault: Sequence[str]) -> str:
    told = "hung or crashed" if how.startswith("exit") else f"was lost ({how})"
    if at_fault:
        return f"A worker process {told} over {', '.join(at_fault)}, which is left out; a new one goes on."
    hint = ", as happens when memory runs out" if how == "SIGKILL" else ""
    return (
        f"A worker process {told}{hint}. No clip is at fault and none is left out; a new one goes on. If it happens "
        "again, take fewer [run] workers."
    )


def _too_little_shared_memory() -> str:
    size = f" ({shutil.disk_usage(_SHARED_MEMORY).total / 2**20:.0f} MiB)"
    return (
        f"The worker processes have too little shared memory: {_SHARED_MEMORY}{size} cannot hold the batches on their "
        "way. Make it larger (docker run --shm-size=8g), or take fewer [run] workers or a smaller schedule.batch_size; "
        "with workers = 0 none is needed."
    )
