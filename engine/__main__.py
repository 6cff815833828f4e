"""`python -m engine RUN_DIR [--resume | --test | --lr-range …]`: the training process.

Reads recipe.toml there and leaves the rest.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from pathlib import Path

from engine.errors import DeviceError, ExitCode, FtwizError
from engine.events import EventLog, RunFailed, RunInterrupted
from engine.recipe import load_recipe
from engine.run_folder import RunFolder


def main() -> int:
    arguments = _arguments()
    run = RunFolder(arguments.run_dir)
    for name in ("SIGTERM", "SIGUSR1"):  # until the loop has its own: leave as on Ctrl-C, nothing is lost yet
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    only_looks = arguments.test or arguments.lr_range is not None
    if not only_looks:
        run.claim()
    log = EventLog(run.events)
    try:
        if arguments.lr_range:
            return _lr_range(run, *arguments.lr_range)
        return _test(run) if arguments.test else _train(run, arguments.resume)
    except FtwizError as error:
        return _failed(log, str(error), error.exit_code, only_looks)
    except KeyboardInterrupt:
        if not only_looks:
            log.write(RunInterrupted, signal="SIGINT", checkpoint="", step=0)
        return ExitCode.INTERRUPTED
    except Exception as error:
        if _is_out_of_memory(error):
            return _failed(log, _OUT_OF_MEMORY, DeviceError.exit_code, only_looks)
        traceback.print_exc()  # into log.txt: this one is ours to mend
        text = f"Unexpected {type(error).__name__}: {error}. The traceback is in {run.log}; please report it."
        return _failed(log, text, ExitCode.TRAINING, only_looks)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run folder with a recipe.toml in it")
    parser.add_argument("--resume", action="store_true", help="go on from checkpoints/last.pt")
    parser.add_argument("--test", action="store_true", help="measure checkpoints/best.pt with the test-time views")
    parser.add_argument(
        "--lr-range", nargs=3, metavar=("LOW", "HIGH", "STEPS"), help="try learning rates; a JSON line for each"
    )
    return parser.parse_args()


def _train(run: RunFolder, resume: bool) -> int:
    from engine.control import Interrupted  # torch takes seconds to import: a bad recipe is told before
    from engine.train import fit

    try:
        fit(load_recipe(run.recipe), run.path, resume)
    except Interrupted:
        return ExitCode.INTERRUPTED_RESUMABLE
    return ExitCode.OK


def _test(run: RunFolder) -> int:
    from engine.final_test import test_run

    test_run(run)
    return ExitCode.OK


def _lr_range(run: RunFolder, low: str, high: str, steps: str) -> int:
    from engine.lr_range import lr_range_test

    for rate, loss in lr_range_test(load_recipe(run.recipe), run, float(low), float(high), int(steps)):
        print(json.dumps({"lr": rate, "loss": loss}), flush=True)
    return ExitCode.OK


_OUT_OF_MEMORY = (
    "The device is out of memory. Use a smaller schedule.batch_size (the learning rate follows it), fewer "
    "model.segments, a smaller dataset.frame_size, or a smaller backbone."
)


def _is_out_of_memory(error: Exception) -> bool:
    """torch has a class for GPUs; the CPU's allocator raises a plain RuntimeError."""
    return (
        type(error).__name__ == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or (isinstance(error, RuntimeError) and "not enough memory" in str(error))
    )


def _failed(log: EventLog, text: str, exit_code: ExitCode, only_looks: bool) -> int:
    print(text, file=sys.stderr)
    if not only_looks:
        log.write(RunFailed, error=text, exit_code=int(exit_code))
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
