"""Starting a training: a process of its own, in its own session, that outlives whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from engine.run_folder import RunFolder


def start_engine(run: RunFolder, resume: bool = False) -> subprocess.Popen[bytes]:
    """Run `python -m engine RUN_DIR` detached from this terminal, its output in the run's log.txt.

    -P keeps the working folder off the module path: a folder of the user's called `engine` must not be run.
    """
    command = [sys.executable, "-P", "-m", "engine", str(run.path), *(["--resume"] if resume else [])]
    with open(run.log, "ab") as log, signals_kept():
        engine = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    with suppress(OSError):  # a full disk, which the engine tells of
        run.claim(engine.pid)  # it does so itself in a moment; until then nobody else is to start one
    return engine


@contextmanager
def signals_kept() -> Iterator[None]:
    """Signals that come in here are heard at its end: between starting a process and knowing of it, one would leave it
    behind. The process itself gets them only when it asks; else one that came in the second before the engine listens
    would end it without a word."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
