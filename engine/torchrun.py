"""Training on several GPUs: the process of a run starts one for each under torchrun, and stays until they end.

It is what process.json names and what signals are sent to. The processes of the GPUs train together
(`engine/distributed.py`), and the first of them writes the run folder and hears what is said. Torch-free.

In a folder of its own each leaves a file by its rank with its process id, and where it fails, FAILED says why.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.atomic import write_text
from engine.control import InterruptedEarly, Signals, signals_kept
from engine.errors import ExitCode, RecipeError
from engine.events import Event, EventLog, LogReader, RunFailed, RunFinished, RunInterrupted
from engine.recipe import Recipe
from engine.run_folder import LAST, RunFolder

_FAILED = "failed.json"
_POLL_SECONDS = 0.1
# For torchrun to end the others of one that was killed; they hear nothing but SIGKILL.
_SECONDS_TO_DIE = 5
# For all to end by themselves after one has failed, which the others notice but inside of NCCL.
_SECONDS_TO_NOTICE = 60.0


def require_a_clip_for_each(recipe: Recipe) -> None:
    """Raise RecipeError where a batch has fewer clips than there are GPUs to share it."""
    gpus, batch_size = recipe.run.gpus, recipe.schedule.batch_size
    if batch_size != "auto" and batch_size < gpus:
        raise RecipeError(
            f"[run] gpus = {gpus} share each batch, and [schedule] batch_size = {batch_size} has not a clip for each; "
            "take a larger batch, or fewer GPUs."
        )


# --- the process that starts the others -------------------------------------------------------------------------------


def train_with_torchrun(run: RunFolder, resume: bool, gpus: int, signals: Signals) -> ExitCode:
    """Train in so many processes, and stay until the last one has ended. The run's log says how it went, too.

    Raises InterruptedEarly where a signal came before there was a process to hear it.
    """
    log = LogReader(run.events)
    log.offset = run.events.stat().st_size if run.events.exists() else 0
    signals.are_held = True
    with tempfile.TemporaryDirectory(prefix="ftwiz-gpus-") as folder:
        ranks = Path(folder)
        with signals_kept():  # torchrun never asks for them; the processes of the GPUs are not its own to end
            torchrun = subprocess.Popen(_command(run, resume, gpus, ranks), env=_environment(gpus))
        signals.on_leave = lambda: _leave(torchrun, ranks)
        told = _wait(torchrun, ranks, signals)
        _end_what_is_left(ranks)
        reason = _reason(ranks)
    ended = [event for event in log.read() if isinstance(event, RunFinished | RunFailed | RunInterrupted)]
    code = _outcome(run, ended[-1] if ended else None, told)
    if code is None and signals.came and not told:
        signals.are_held = False
        raise InterruptedEarly(signals.came)
    return _lost(run, gpus, reason) if code is None else code


def _command(run: RunFolder, resume: bool, gpus: int, ranks: Path) -> list[str]:
    python = [sys.executable, "-P", "-m"]
    return [
        *(*python, "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "--max-restarts=0"),
        *("--monitor-interval=0.1", f"--shutdown-timeout={_SECONDS_TO_DIE}"),
        *("--tee=3", f"--log-dir={ranks}", "--no-python"),
        *(*python, "engine", str(run.path), f"--ranks={ranks}", *(["--resume"] if resume else [])),
    ]


def _environment(gpus: int) -> Mapping[str, str]:
    """Each process gets its part of the cores, unless somebody has said otherwise; from torchrun it would get one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    prefix = {"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": "[${rank}] "}  # of each line in log.txt
    return {"OMP_NUM_THREADS": str(max(1, cores // gpus)), **prefix, **os.environ}


def _wait(torchrun: subprocess.Popen[bytes], ranks: Path, signals: Signals) -> bool:
    """Until torchrun ends. The first signal goes to the first process; returns whether one did."""
    told, failed_since = False, 0.0
    while torchrun.poll() is None:
        time.sleep(_POLL_SECONDS)
        if signals.came and not told:
            told = _tell_the_first(ranks, getattr(signal, signals.came))
            if not told:
                torchrun.kill()  # nothing has begun
        failed_since += _POLL_SECONDS if (ranks / _FAILED).exists() else 0
        if failed_since > _SECONDS_TO_NOTICE:
            torchrun.kill()
    return told


def _tell_the_first(ranks: Path, number: int) -> bool:
    """Whether it is there to be told; 0 tells it nothing."""
    try:
        os.kill(int((ranks / "0").read_text(encoding="ascii")), number)
    except (OSError, ValueError):
        return False
    return True


def _leave(torchrun: subprocess.Popen[bytes], ranks: Path) -> None:
    """At the second Ctrl-C: the first process writes the last event, and leaves."""
    if _tell_the_first(ranks, signal.SIGINT):
        with suppress(subprocess.TimeoutExpired):
            torchrun.wait(2 * _SECONDS_TO_DIE)
    torchrun.kill()
    _end_what_is_left(ranks)
    shutil.rmtree(ranks, ignore_errors=True)


def _end_what_is_left(ranks: Path) -> None:
    """Workers of a process that was killed, and all of them where torchrun was. Each one leads a session of its own."""
    for path in ranks.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            os.killpg(int(path.read_text(encoding="ascii")), signal.SIGKILL)


def _reason(ranks: Path) -> tuple[str, int]:
    """What one of the processes has failed of, and the exit code; "" where none has said so."""
    try:
        text, code = json.loads((ranks / _FAILED).read_text(encoding="utf-8"))
        return text, code
    except (OSError, ValueError):
        return "", 0


def _outcome(run: RunFolder, ended: Event | None, told: bool) -> ExitCode | None:
    """By the last word of the first process; None where it had none, or was interrupted by nobody but torchrun, which
    ends it when another one is lost."""
    match ended:
        case RunFinished():
            return ExitCode.OK
        case RunFailed():
            return ExitCode(ended.exit_code)
        case RunInterrupted() if told:
            return code_of_an_interruption(run)
    return None


def code_of_an_interruption(run: RunFolder) -> ExitCode:
    """Whether there is something to go on from."""
    return ExitCode.INTERRUPTED_RESUMABLE if run.checkpoints_to_resume() else ExitCode.INTERRUPTED


def _lost(run: RunFolder, gpus: int, reason: tuple[str, int]) -> ExitCode:
    text, code = reason
    if not text:
        code = ExitCode.TRAINING
        go_on = f"`ftwiz run --resume --run-dir {run.path}` goes on from {LAST}" if run.checkpoints_to_resume() else ""
        text = (
            f"One of the {gpus} processes was lost without a word, as happens when memory runs out, and so the others "
            f"were ended; {run.log} may say more" + (f". {go_on}." if go_on else ".")
        )
    print(text, file=sys.stderr)
    EventLog(run.events).write(RunFailed, error=text, exit_code=int(code))
    return ExitCode(code)


# --- one of those that are started ------------------------------------------------------------------------------------


def begin(ranks: Path, run: RunFolder) -> bool:
    """Say which process this is, and end where others do who could not tell. Returns whether it is the first one, which
    torchrun says."""
    rank = os.environ["RANK"]
    write_text(ranks / rank, str(os.getpid()))
    threading.Thread(target=_end_with_the_starter, args=(run, run.pid()), daemon=True).start()
    if rank != "0":
        threading.Thread(target=_end_with_the_first, args=(ranks,), daemon=True).start()
    return rank == "0"


def _end_with_the_starter(run: RunFolder, starter: int | None) -> None:
    """A process that was killed ends nobody. Who goes on with the run must not find others at work on it."""
    while run.pid() == starter and run.is_alive():
        time.sleep(1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _end_with_the_first(ranks: Path) -> None:
    """gloo tells of a connection that is closed, but not in every state that it may be in."""
    while not (ranks / "0").exists() or _tell_the_first(ranks, 0):
        time.sleep(1)
    time.sleep(_SECONDS_TO_DIE)
    os._exit(ExitCode.OK)


def fail(ranks: Path, text: str, code: ExitCode) -> None:
    """Say what another process than the first one has failed of. The first to fail has the word."""
    if not (ranks / _FAILED).exists():
        write_text(ranks / _FAILED, json.dumps([text, int(code)]))
