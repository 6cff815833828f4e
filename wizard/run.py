"""Headless training from the command line: make or find the run folder, start the engine, show what it logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.control import signals_kept
from engine.dataset.formats import read_dataset
from engine.dataset.mirror import mirror_note
from engine.errors import ExitCode, RecipeError
from engine.events import Event, Message, RunFailed, RunFinished, RunInterrupted, RunState, to_line
from engine.hugging_face import require_library
from engine.learning_rate import lr_arithmetic
from engine.recipe import Recipe, load_recipe, save_recipe, with_absolute_paths
from engine.resume import asked_recipe, changes, may_change, told
from engine.run_folder import LAST, RunFolder, create_run_folder, find_runs
from engine.torchrun import require_a_clip_for_each
from engine.tracking import require_packages
from engine.weights.sources import locate
from wizard.launch import start_engine
from wizard.progress import Progress, follow
from wizard.run_words import resume_command, what_next
from wizard.words import count, frames_of, percent, quoted, views_text


def prepare(source: str, run_dir: Path | None, overrides: Mapping[str, Any]) -> RunFolder:
    """The folder of a new run. What can be known to be wrong is told here, before a folder is made."""
    recipe = _named(source, overrides)
    require_packages(recipe.run.trackers)
    require_library(recipe.model.recognizer)
    require_a_clip_for_each(recipe)
    read_dataset(recipe)
    _check_local_weights(recipe)
    return create_run_folder(recipe, run_dir, datetime.now())


def resume_run(source: str, run_dir: Path | None, overrides: Mapping[str, Any]) -> RunFolder:
    """The folder of the run to go on with: `run_dir`, or the latest run of the recipe.

    A run goes on with its own recipe; only [run] may be changed (another device, other workers).
    """
    run = _folder_to_resume(source, run_dir, overrides)
    state = run.state()
    _refuse_running(run, state)
    if not run.checkpoints_to_resume():
        raise RecipeError(f"{run.path} has no checkpoint to go on from; start a new run with `ftwiz run RECIPE`.")
    if isinstance(state.ended, RunFinished) and not state.ended.stopped_early:
        raise RecipeError(
            f"{run.path} is finished; there is nothing to go on with. To train further from it, start a new run with "
            f'load_from = "{run.checkpoints / LAST}" under [weights].'
        )
    if others := [key for key in overrides if not may_change(key)]:
        raise RecipeError(
            f"--set {others[0]}: a resumed run keeps its recipe; only keys of [run] may be changed, without the seed."
        )
    now_asked = {**(_changes_of_the_file(source, run) if source else {}), **overrides}
    recipe = load_recipe(run.recipe, now_asked)
    require_packages(recipe.run.trackers)
    if now_asked:
        save_recipe(recipe, run.recipe)
    return run


def train(run: RunFolder, resume: bool, watch: bool = False, as_json: bool = False) -> int:
    """Start the engine on a run folder and stay until it ends; returns its exit code.

    Ctrl-C, SIGTERM and SIGUSR1 are passed on: the engine finishes its step, saves a checkpoint and ends. When the
    terminal goes away (SIGHUP), or the dashboard is left, the training goes on.
    """
    before = run.events.stat().st_size if run.events.exists() else 0
    if watch:
        return _watched(run, start_engine(run, resume))
    with ExitStack() as until_it_ends:
        with signals_kept():
            engine = start_engine(run, resume)
            passed_on = until_it_ends.enter_context(_passing_on_signals(engine))
        until_it_ends.enter_context(_ignoring_hangup())
        if as_json:
            follow(run, engine, _print_line, before)
        else:
            print(f"Run folder: {run.path}", file=sys.stderr)
            with Progress(sys.stderr) as progress:
                follow(run, engine, progress.show, before, lambda: _say_that_it_is_heard(passed_on, progress))
        code = engine.wait()
    _say_what_next(run, code)
    return code if code >= 0 else int(ExitCode.TRAINING)


def plan(source: str, overrides: Mapping[str, Any]) -> str:
    """What a run would do, in a few lines, without touching anything (`ftwiz run --dry-run`)."""
    recipe = _named(source, overrides)
    require_library(recipe.model.recognizer)
    require_a_clip_for_each(recipe)
    clips = read_dataset(recipe)
    _check_local_weights(recipe)
    schedule = recipe.schedule
    steps = "" if schedule.batch_size == "auto" else f" of {count(-(-len(clips.train) // schedule.batch_size), 'step')}"
    start = recipe.weights.load_from or recipe.weights.backbone or "nothing: every parameter starts at random"
    lines = [
        f"recipe    {source} is valid",
        f"model     {recipe.model.recognizer}, {recipe.model.backbone}, {frames_of(recipe.model)} a clip",
        f"head      {len(clips.classes)} classes{', several a clip' if clips.multi_label else ''}",
        f"dataset   {len(clips.train)} training and {count(len(clips.val), 'validation clip')}",
        f"schedule  {count(schedule.epochs, 'epoch')}{steps}, {lr_arithmetic(schedule)}",
        f"weights   from {start}",
        *_shared_by(recipe),
        *clips.notes,
        *mirror_note(recipe, clips.classes),
    ]
    return "\n".join(lines)


def _shared_by(recipe: Recipe) -> list[str]:
    if recipe.run.gpus == 1:
        return []
    what = "processes" if recipe.run.device == "cpu" else "GPUs"
    return [f"run       {recipe.run.gpus} {what} share each batch"]


def measure(run: RunFolder, as_json: bool) -> int:
    """`ftwiz test`: the engine measures, in a process of its own; what it found is printed."""
    command = [sys.executable, "-P", "-m", "engine", str(run.path), "--test"]
    code = subprocess.run(command, check=False).returncode
    if code != ExitCode.OK:
        return code
    result = json.loads((run.report / "test" / "test.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(result, indent=2))
        return code
    views = views_text(result["segments"], result["crops"], result["test_clips"])
    print("  ".join(f"{name} {percent(share)}" for name, share in _tested(result)))
    skipped = f", {result['skipped']} could not be decoded" if result["skipped"] else ""
    print(f"{count(result['clips'], 'clip')}, {views}{skipped}; details in {run.report / 'test'}", file=sys.stderr)
    return code


def _tested(result: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The metrics of a test.json by what they are called, the one that decides first."""
    if result["key_metric"] == "top1":
        named = {"top-1": "top1", "top-5": "top5", "mean class": "mean_class_accuracy"}
    else:
        named = {"mAP": "sample_map", "class mAP": "mean_average_precision", "top-1 hit": "top1", "top-5 hit": "top5"}
    return [(name, result[key]) for name, key in named.items()]


def _named(source: str, overrides: Mapping[str, Any]) -> Recipe:
    if not source:
        raise RecipeError("Name a recipe: `ftwiz run recipe.toml`. `ftwiz new` writes one.")
    recipe = load_recipe(source, overrides)
    return recipe if recipe.name else recipe.model_copy(update={"name": Path(source).stem})


def _check_local_weights(recipe: Recipe) -> None:
    """A file that is not there is told at once; an address is the engine's to fetch."""
    source = recipe.weights.load_from or recipe.weights.backbone
    if source and "://" not in source:
        locate(source)


def _folder_to_resume(source: str, run_dir: Path | None, overrides: Mapping[str, Any]) -> RunFolder:
    if run_dir:
        if not (run_dir / "recipe.toml").is_file():
            raise RecipeError(f"--run-dir {run_dir} is not a run folder (it has no recipe.toml).")
        return RunFolder(run_dir)
    recipe = _named(source, overrides)
    for run in reversed(find_runs(Path(recipe.run.output))):
        try:
            if load_recipe(run.recipe).name == recipe.name:
                return run
        except RecipeError:
            print(f"{run.path} is passed over: its recipe.toml cannot be read.", file=sys.stderr)
    raise RecipeError(f"There is no run of {source} under {recipe.run.output}/ to go on with; leave out --resume.")


def _refuse_running(run: RunFolder, state: RunState) -> None:
    if not run.is_alive() or run.status(state) in ("finished", "interrupted", "failed"):
        return
    if host := run.other_host():
        raise RecipeError(
            f"{run.path} was training on {host}, and nothing here tells whether it still is. Where it is not, remove "
            f"{run.process} and try again."
        )
    raise RecipeError(f"{run.path} is training right now; watch it with `ftwiz watch {quoted(run.path)}`.")


def _changes_of_the_file(source: str, run: RunFolder) -> dict[str, Any]:
    """What the recipe file says of [run] that it did not say when the run was started. Raises RecipeError where it
    says something else of the training."""
    before = asked_recipe(run.provenance)
    if before is None:
        return {}
    changed = changes(before, with_absolute_paths(_named(source, {})))
    if kept := {key: pair for key, pair in changed.items() if not may_change(key)}:
        raise RecipeError(
            f"{source} has changed since {run.path} was started: {told(kept)}. A resumed run keeps its recipe: undo "
            f"the change, go on as it was with `{resume_command(run)}`, or leave out --resume for a new run."
        )
    if changed:
        print(f"{source} has changed: {told(changed)}.", file=sys.stderr)
    return {key: after for key, (_, after) in changed.items()}


def _watched(run: RunFolder, engine: subprocess.Popen[bytes]) -> int:
    from wizard.dashboard import watch as show_dashboard

    show_dashboard(run)
    code = engine.poll()
    return 0 if code is None else code if code >= 0 else int(ExitCode.TRAINING)


@contextmanager
def _passing_on_signals(engine: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Yields the numbers of those that were passed on, in the order they came."""
    passed_on: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        if engine.poll() is None:
            os.kill(engine.pid, number)
            passed_on.append(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    with _handling(numbers, pass_on):
        yield passed_on


def _say_that_it_is_heard(passed_on: list[int], progress: Progress) -> None:
    """To somebody at the keyboard, who would else press Ctrl-C again at once."""
    if signal.SIGINT in passed_on and not progress.state.ended:
        passed_on.clear()
        text = "Finishing the step and saving; Ctrl-C once more leaves at once."
        progress.show(Message(time.time(), level="info", text=text))


@contextmanager
def _ignoring_hangup() -> Iterator[None]:
    """A closed terminal ends neither the training nor the printing (into a file, say)."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    with _handling([signal.SIGHUP], signal.SIG_IGN):
        yield


@contextmanager
def _handling(
    numbers: list[signal.Signals], handler: Callable[[int, object], None] | signal.Handlers
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _print_line(event: Event) -> None:
    print(to_line(event), flush=True)


def _say_what_next(run: RunFolder, code: int) -> None:
    """The one thing the events do not say: what to type next, and when the process went without a word."""
    state = run.state()
    if code and not isinstance(state.ended, RunFailed):
        *how_it_ended, command = what_next(run, run.status(state), state.ended).splitlines()
        is_told = isinstance(state.ended, RunInterrupted)  # by the event itself
        print("\n".join([command] if is_told else [*how_it_ended, command]), file=sys.stderr)
