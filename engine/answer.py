"""How a process of the engine answers a question of the wizard: JSON lines on stdout, the last one maybe an error.

The asking side is `wizard/inquiry.py`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from engine.errors import DeviceError, ExitCode, FtwizError


def say(document: dict[str, Any]) -> None:
    """One line. ASCII: file names that are not UTF-8 stay what they are."""
    print(json.dumps(document), flush=True)


def answer(work: Callable[[], None]) -> int:
    """Do the work, which says what it finds; what goes wrong is said last, as {"error": …, "exit_code": …}.

    Returns the exit code for the process. What is ours to mend leaves its traceback on stderr.
    """
    try:
        work()
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        text, exit_code = _explained(error)
        say({"error": text, "exit_code": int(exit_code)})
        return exit_code
    return ExitCode.OK


def _explained(error: Exception) -> tuple[str, ExitCode]:
    if isinstance(error, FtwizError):
        return str(error), error.exit_code
    from engine.memory import is_out_of_memory  # torch, which has been imported where this can happen

    if is_out_of_memory(error):
        return "The device is out of memory; take --device cpu, or close what else uses it.", DeviceError.exit_code
    traceback.print_exception(error)
    return f"Unexpected {type(error).__name__}: {error}. The traceback is above; please report it.", ExitCode.TRAINING
