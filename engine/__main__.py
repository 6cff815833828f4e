"""`python -m engine RUN_DIR [--resume | --test | --lr-range …]`: the training process.

Reads recipe.toml there and leaves the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path

from engine.control import Interrupted, Signals, leave_at_once
from engine.errors import DeviceError, ExitCode, FtwizError
from engine.events import EventLog, RunFailed, RunInterrupted, WarningsAside
from engine.recipe import Recipe, load_recipe
from engine.run_folder import RunFolder
from engine.torchrun import begin, code_of_an_interruption, fail, require_a_clip_for_each, train_with_torchrun


def main() -> int:
    arguments = _arguments()
    run = RunFolder(arguments.run_dir)
    with Signals(is_our_process=True) as signals:
        if arguments.test or arguments.lr_range:
            return _look(run, arguments.lr_range, signals)
        if arguments.ranks:
            return _train_with_others(run, arguments.resume, arguments.ranks, signals)
        return _train(run, arguments.resume, signals)


def _train(run: RunFolder, resume: bool, signals: Signals) -> int:
    log = EventLog(run.events)
    signals.on_leave = lambda: _log_interrupted(run, EventLog(run.events), signals.came)
    try:
        signals.let_in()
        with run.writing("process.json"):
            run.take_word()  # said to a process that is gone
            run.claim()
        recipe = load_recipe(run.recipe)
        require_a_clip_for_each(recipe)
        if recipe.run.gpus > 1:
            return train_with_torchrun(run, resume, recipe.run.gpus, signals)
        _fit(recipe, run, resume, signals)
    except Interrupted:
        return code_of_an_interruption(run)
    except (Exception, KeyboardInterrupt) as error:
        if signals.came and not signals.are_held:  # whatever an import makes of it when it is interrupted
            _log_interrupted(run, log, signals.came)
            return code_of_an_interruption(run)
        text, exit_code = _explained(error, run)
        print(text, file=sys.stderr)
        log.write(RunFailed, error=text, exit_code=int(exit_code))
        return exit_code
    return ExitCode.OK


def _fit(recipe: Recipe, run: RunFolder, resume: bool, signals: Signals) -> None:
    with signals.held():  # an exception in the middle of it, and torch ends the process with SIGABRT
        from engine.train import fit  # takes seconds: a bad recipe is told before

    fit(recipe, run.path, resume, signals)


def _train_with_others(run: RunFolder, resume: bool, ranks: Path, signals: Signals) -> int:
    """One of the processes of a training on several GPUs. The first one has the log; how it went is read there, so
    that no orderly end is a failure to torchrun."""
    is_the_first = begin(ranks, run)
    log: EventLog = EventLog(run.events) if is_the_first else WarningsAside()
    signals.on_leave = lambda: _log_interrupted(run, EventLog(run.events), signals.came)
    try:
        if is_the_first:
            signals.let_in()
        _fit(load_recipe(run.recipe), run, resume, signals)
    except Interrupted:
        pass
    except (Exception, KeyboardInterrupt) as error:
        if signals.came and not signals.are_held:
            _log_interrupted(run, log, signals.came)
        elif not _is_loss_of_another(error):
            text, exit_code = _explained(error, run)
            print(text, file=sys.stderr)
            log.write(RunFailed, error=text, exit_code=int(exit_code))
            if not is_the_first:
                fail(ranks, text, exit_code)
        elif is_the_first:
            print(error, file=sys.stderr)
    else:
        return ExitCode.OK
    # The process group is still there, and one of it is gone. When Python takes that down at its end, gloo now and then
    # ends the process with SIGABRT ("terminate called without an active exception").
    sys.stdout.flush()
    sys.stderr.flush()
    leave_at_once(ExitCode.OK)


def _is_loss_of_another(error: BaseException) -> bool:
    from engine.distributed import LostError

    return isinstance(error, LostError)


def _look(run: RunFolder, lr_range: list[str] | None, signals: Signals) -> int:
    """What changes nothing in the run's log: the final test, and the learning-rate range test."""
    try:
        signals.let_in()
        with signals.held():  # as for a training
            from engine.final_test import test_run
            from engine.lr_range import lr_range_test

        if not lr_range:
            test_run(run)
            return ExitCode.OK
        low, high, steps = lr_range
        for rate, loss in lr_range_test(load_recipe(run.recipe), run, float(low), float(high), int(steps)):
            print(json.dumps({"lr": rate, "loss": loss}), flush=True)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        text, exit_code = _explained(error, run)
        print(text, file=sys.stderr)
        return exit_code
    return ExitCode.OK


def _log_interrupted(run: RunFolder, log: EventLog, signal: str) -> None:
    """A signal came before anything was trained: a new run has nothing to lose, a resumed one lost nothing."""
    saved = run.state().checkpoints
    checkpoints = run.checkpoints_to_resume()
    log.write(
        RunInterrupted,
        signal=signal,
        checkpoint=f"checkpoints/{checkpoints[0].name}" if checkpoints else "",
        step=saved[-1].step if saved else 0,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run folder with a recipe.toml in it")
    parser.add_argument("--resume", action="store_true", help="go on from checkpoints/last.pt")
    parser.add_argument("--test", action="store_true", help="measure checkpoints/best.pt with the test-time views")
    parser.add_argument(
        "--lr-range", nargs=3, metavar=("LOW", "HIGH", "STEPS"), help="try learning rates; a JSON line for each"
    )
    parser.add_argument(
        "--ranks", type=Path, metavar="DIR", help="be one of the processes that share each batch; torchrun's to say"
    )
    return parser.parse_args()


def _explained(error: BaseException, run: RunFolder) -> tuple[str, ExitCode]:
    """What to tell the user, and the exit code. What is ours to mend leaves its traceback in log.txt."""
    if isinstance(error, FtwizError):
        return str(error), error.exit_code
    from engine.memory import ADVICE, is_out_of_memory

    if is_out_of_memory(error):
        return f"The device is out of memory. {ADVICE}", DeviceError.exit_code
    traceback.print_exception(error)
    text = f"Unexpected {type(error).__name__}: {error}. The traceback is in {run.log}; please report it."
    return text, ExitCode.TRAINING


if __name__ == "__main__":
    sys.exit(main())
