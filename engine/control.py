"""What may come between two steps: a word from a viewer, a signal from the system, a disk that is full.

Words (the run folder's `control` file): pause, resume, checkpoint, stop. Signals: SIGINT, SIGTERM, SIGUSR1 (a
cluster's warning). The loop asks between steps and during validation, so that each is answered within a step.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from engine.errors import DiskFullError, ExitCode
from engine.run_folder import RunFolder

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
_POLL_SECONDS = 0.2
_ECHO_SECONDS = 0.5
_POLLS_UNTIL_RETRY = 150  # half a minute


class Interrupted(KeyboardInterrupt):
    """A signal came, and the training has come to rest; the message is the signal's name.

    A KeyboardInterrupt, so that no `except Exception` on the way takes it for an error.
    """


class InterruptedEarly(KeyboardInterrupt):
    """A signal came before the training began.

    Not KeyboardInterrupt itself: Python remembers one that passed through an `eval`, as in many an import, and dies of
    it at the very end, whoever has handled it.
    """


class Stopped(Exception):
    """Somebody said `stop`. Save and finish."""


class Signals:
    """Hears SIGINT, SIGTERM and SIGUSR1 while `with Signals() as signals:` lasts.

    While `are_held` is off (nothing has been trained yet), the first one raises InterruptedEarly wherever the process
    stands. While it is on, the first one is only noted, in `came`: the step is finished. SIGINT after another signal
    leaves at once, even where the process stands in a call that never returns: `on_leave` has the last word.
    """

    def __init__(self, is_our_process: bool = False):
        """is_our_process: there is nothing in it but a training. Signals end it from its first line on, and when the
        training is over none disturbs its end. Else, in somebody's program, the training alone is what they mean."""
        self._is_our_process = is_our_process
        self.are_held = not is_our_process
        self.came = ""  # the name of the first signal, "" for none
        self.on_leave: Callable[[], None] = lambda: None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self  # a training in a thread of somebody's program: signals are that program's
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        threading.Thread(target=self._leave_at_the_second, daemon=True).start()
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        self._wakeup_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._before:
            return
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._is_our_process else handler)
        self._mouth.close()  # ends the thread
        self._before = {}

    def let_in(self) -> None:
        """Those that came before anybody listened: whoever starts an engine keeps them back until here."""
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    @contextmanager
    def held(self) -> Iterator[None]:
        """For what must not be broken off before the training begins; the signal is answered at its end."""
        self.are_held = True
        yield
        self.are_held = False
        if self.came:
            raise InterruptedEarly(self.came)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first = not self.came
        self.came = self.came or signal.Signals(number).name
        if is_first and not self.are_held:
            raise InterruptedEarly(self.came)

    def _leave_at_the_second(self) -> None:
        """In a thread, which Python tells of each signal at once; a handler has to wait until the main thread is back
        from decoding a file that never ends."""
        first = ""
        with self._ear as ear:
            while numbers := ear.recv(64):
                if first and signal.SIGINT in numbers:
                    self._leave(first)
                if not first and (known := [number for number in numbers if number in _SIGNALS]):
                    first = signal.Signals(known[0]).name
                    _forget_echoes(ear)

    def _leave(self, first: str) -> None:
        self.came = self.came or first  # where the main thread never came back to be told
        try:
            self.on_leave()
        finally:
            leave_at_once(ExitCode.INTERRUPTED)


def leave_at_once(code: ExitCode) -> NoReturn:
    """End the process, and its workers, without what Python and torch do at the end of one; not even the standard
    streams are flushed, for which a thread might wait that never comes back."""
    for child in multiprocessing.active_children():  # workers that hang notice nothing by themselves
        with suppress(OSError):
            child.kill()
    os._exit(code)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Signals that come in here are heard at its end: between starting a process and knowing of it, one would leave it
    behind. The process itself gets them only when it asks; else one that came in the second before the engine listens
    would end it without a word."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_echoes(ear: socket.socket) -> None:
    """One signal may come twice, when a cluster sends it to all processes and one of them passes it on."""
    time.sleep(_ECHO_SECONDS)
    ear.setblocking(False)
    with suppress(BlockingIOError):
        ear.recv(64)
    ear.setblocking(True)


class Control:
    """Installed for the length of a training: `with Control(...) as control: … control.attend()`."""

    def __init__(
        self,
        run: RunFolder,
        signals: Signals,
        on_checkpoint: Callable[[], None],
        on_pause: Callable[[bool], None],
        on_full: Callable[[str], None],
        is_followed: bool = True,
    ):
        """on_checkpoint saves one now; on_pause hears True when the run pauses, False when it goes on; on_full hears
        what found no room on the disk, before the pause that follows. is_followed: False in a process that is not the
        first of a training on several GPUs: it writes and answers nothing, and waits for that one in the next step."""
        self._run, self._signals = run, signals
        self._on_checkpoint, self._on_pause, self._on_full = on_checkpoint, on_pause, on_full
        self._is_followed = is_followed
        self._is_paused = False

    def __enter__(self) -> Control:
        self._signals.are_held = True
        return self

    def __exit__(self, *_: object) -> None:
        """Signals stay held: what is left to do takes no time."""

    def attend(self, can_checkpoint: bool = True) -> None:
        """Answer what came since the last call. Raises Interrupted or Stopped; returns after a pause is over.

        can_checkpoint: False during validation, where a checkpoint is due anyway in a moment.
        """
        if not self._is_followed:
            return
        word: str | None = self._run.take_word()
        if word == "pause":
            word = self._pause()
        if word == "checkpoint" and can_checkpoint:
            self.write(self._on_checkpoint)
        self._raise_interrupted()
        if word == "stop":
            raise Stopped

    def write(self, action: Callable[[], None]) -> None:
        """Do `action`, which writes to the disk. Where that is full, pause until there is room: nothing is lost.

        Raises Interrupted or Stopped where somebody ends the pause.
        """
        if not self._is_followed:
            return
        try:
            action()
        except DiskFullError as error:
            was_paused = self._is_paused
            self._on_full(str(error))
            self._set_paused(True)
            self._try_until_done(action)
            self._set_paused(was_paused)

    def _try_until_done(self, action: Callable[[], None]) -> None:
        """Every half a minute, and whenever somebody says `resume` or `checkpoint`."""
        polls = 0
        while True:
            time.sleep(_POLL_SECONDS)
            polls += 1
            word = self._run.take_word()
            self._raise_interrupted()
            if word == "stop":
                raise Stopped
            if word in ("resume", "checkpoint") or polls % _POLLS_UNTIL_RETRY == 0:
                with suppress(DiskFullError):
                    return action()

    def _pause(self) -> str | None:
        self._set_paused(True)
        while not self._signals.came:
            word = self._run.take_word()
            if word == "checkpoint":
                self.write(self._on_checkpoint)
            elif word in ("resume", "stop"):
                self._set_paused(False)
                return word
            time.sleep(_POLL_SECONDS)
        return None

    def _set_paused(self, paused: bool) -> None:
        if paused != self._is_paused:
            self._is_paused = paused
            self._on_pause(paused)

    def _raise_interrupted(self) -> None:
        if self._signals.came:
            raise Interrupted(self._signals.came)
