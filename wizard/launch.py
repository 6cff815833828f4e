"""Starting a training: a process of its own, in its own session, that outlives whoever started it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

from engine.control import signals_kept
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
