"""Experiment trackers, fed with the events of the log: TensorBoard, Weights & Biases, MLflow, trackio. Torch-free.

A tracker hears what the log is told and can hold nothing up: each works in a thread of its own, and one that fails is
named in a warning while training goes on. Resumed runs go on in the same tracker run; what they do again takes the
place of what was undone as far as the tracker can do that (TensorBoard hides it, the others show both).
"""

from __future__ import annotations

import importlib
import json
import math
import queue
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from engine.atomic import write_text
from engine.errors import RecipeError
from engine.events import Event, EventLog, LogReader, Message, RunFinished, RunStarted, Step, Validation, WentBack
from engine.recipe import Recipe, document_of, to_toml
from engine.run_folder import RunFolder

PROJECT = "ftwiz"  # what trackers call the collection of runs, where the user's settings for them name no other
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
_MOST_WAITING = 100_000  # events that a tracker may be behind
_SECONDS_TO_FINISH = 30.0


def require_packages(trackers: Iterable[str]) -> None:
    """Raise RecipeError where a tracker's package is not installed."""
    missing = [name for name in trackers if find_spec(_PACKAGES[name]) is None]
    if missing:
        raise RecipeError(
            f'[run] trackers has "{missing[0]}", whose package is not installed; install it with: '
            f'pip install "ftwiz[{",".join(missing)}]"'
        )


@contextmanager
def tracking(recipe: Recipe, run: RunFolder, log: EventLog) -> Iterator[None]:
    """Feed the recipe's trackers with what is written to the log inside the `with`; a tracker that is new to the run
    hears all that came before too. Raises RecipeError where a package cannot be imported."""
    for name in recipe.run.trackers:
        _import(name)
    feeds = [_Feed(name, recipe, run, log) for name in recipe.run.trackers]
    for feed in feeds:
        log.listeners.append(feed.hear)
        feed.start()
    try:
        yield
    finally:
        for feed in feeds:
            feed.hang_up()
        for feed in feeds:
            log.listeners.remove(feed.hear)
            feed.finish(_SECONDS_TO_FINISH / len(feeds))


def measured(event: Event) -> dict[str, float]:
    """The numbers of a step or a validation under the names that trackers show; empty for all other events."""
    match event:
        case Step():
            names = {
                "train": ("loss", "accuracy", "lr", "grad_norm"),
                "speed": ("clips_per_s", "data_wait", "memory_mb"),
            }
        case Validation():
            names = {
                "val": ("loss", "top1", "top5", "mean_class_accuracy", "mean_average_precision", "sample_map")
            }  # fmt: skip
        case _:
            return {}
    found = {f"{part}/{name}": float(getattr(event, name)) for part, own in names.items() for name in own}
    return {name: value for name, value in found.items() if math.isfinite(value)}


class Tracker(ABC):
    """One tracker run. `id` is what it is found again by."""

    id: str

    def take(self, event: Event) -> None:
        if isinstance(event, WentBack):
            self.go_back(event.step)
        elif isinstance(event, Step | Validation) and (values := measured(event)):
            self.log(values, event.step, event.t)

    @abstractmethod
    def log(self, values: dict[str, float], step: int, t: float) -> None:
        """t: unix seconds."""

    @abstractmethod
    def finish(self, is_complete: bool) -> None:
        """Everything is written when this returns. is_complete: the run came to its end."""

    def go_back(self, step: int) -> None:
        """What was logged of later steps is undone. Most trackers can only show it beside what comes in its place."""
        return


@dataclass(frozen=True)
class Beginning:
    """What a tracker run begins with. id: that of the run it goes on with, "" for a new one; step: done so far."""

    recipe: Recipe
    run: RunFolder
    id: str
    step: int


class TensorBoard(Tracker):
    """Event files in the run folder, written by tensorboardX: the viewer need not be installed where one trains."""

    def __init__(self, beginning: Beginning):
        self.id = "tensorboard"
        self._folder = beginning.run.path / "tensorboard"
        self._writer = self._open(beginning.step + 1 if beginning.id else None)
        if not beginning.id:
            lines = to_toml(document_of(beginning.recipe)).splitlines()
            self._writer.add_text("recipe", "\n".join(f"    {line}" for line in lines), 0)  # Markdown's code block

    def log(self, values: dict[str, float], step: int, t: float) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step, walltime=t)
        self._writer.flush()

    def go_back(self, step: int) -> None:
        self._writer.close()
        self._writer = self._open(step + 1)

    def finish(self, is_complete: bool) -> None:
        self._writer.close()

    def _open(self, purge_step: int | None) -> Any:
        """purge_step: TensorBoard hides what earlier files say of this step and later ones. It reads files in the order
        of their names, which hold whole seconds."""
        from tensorboardX import SummaryWriter

        number = len(list(self._folder.glob("events.*")))
        return SummaryWriter(str(self._folder), purge_step=purge_step, filename_suffix=f".{number:05d}")


class WeightsAndBiases(Tracker):
    """Where and whether it uploads is wandb's own setting (`wandb login`, WANDB_MODE=offline, WANDB_PROJECT)."""

    def __init__(self, beginning: Beginning):
        import wandb

        self.id = beginning.id or uuid.uuid4().hex
        self._run = wandb.init(
            project=wandb.setup().settings.project or PROJECT,
            name=beginning.run.path.name,
            id=self.id,
            resume="allow",
            dir=str(beginning.run.path),
            config=document_of(beginning.recipe),
            settings=wandb.Settings(console="off", silent=True),
        )
        self._run.define_metric("*", step_metric="step")  # its own count of steps cannot go back

    def log(self, values: dict[str, float], step: int, t: float) -> None:
        self._run.log({**values, "step": step})

    def finish(self, is_complete: bool) -> None:
        self._run.finish(exit_code=0 if is_complete else 1)


class MLflow(Tracker):
    """Where it writes is MLflow's own setting (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME)."""

    def __init__(self, beginning: Beginning):
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        self.id = beginning.id
        if self.id:
            self._client.update_run(self.id, status="RUNNING")
            return
        self.id = self._client.create_run(self._experiment(), run_name=beginning.run.path.name).info.run_id
        flat = _flat(document_of(beginning.recipe))
        self._client.log_batch(self.id, params=[Param(key, str(value)[:500]) for key, value in flat.items()])

    def _experiment(self) -> str:
        from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME

        name = MLFLOW_EXPERIMENT_NAME.get() or PROJECT
        experiment = self._client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else self._client.create_experiment(name)

    def log(self, values: dict[str, float], step: int, t: float) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, int(1000 * t), step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def finish(self, is_complete: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if is_complete else "KILLED")


class Trackio(Tracker):
    """On this machine, for `trackio show`."""

    def __init__(self, beginning: Beginning):
        import trackio

        self.id = beginning.id or f"{beginning.run.path.name}-{uuid.uuid4().hex[:4]}"
        config = _flat(document_of(beginning.recipe))
        self._run = trackio.init(
            PROJECT, self.id, config=config, resume="must" if beginning.id else "never", embed=False
        )

    def log(self, values: dict[str, float], step: int, t: float) -> None:
        self._run.log(values, step)

    def finish(self, is_complete: bool) -> None:
        self._run.finish()


_TRACKERS: dict[str, Callable[[Beginning], Tracker]] = {
    "tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow, "trackio": Trackio,
}  # fmt: skip


class _Feed(threading.Thread):
    """Brings events from the log to one tracker. `hear`, `hang_up` and `finish` belong to the trainer's thread."""

    def __init__(self, name: str, recipe: Recipe, run: RunFolder, log: EventLog):
        super().__init__(name=name, daemon=True)
        self._tracker, self._recipe, self._run, self._log = name, recipe, run, log
        self._events: queue.Queue[Event | None] = queue.Queue(_MOST_WAITING)
        self._failure = ""
        self._is_over = self._is_complete = False
        earlier = LogReader(log.path).read()
        self._step = next((event.first_step for event in reversed(earlier) if isinstance(event, RunStarted)), 0)
        self._id = read_ids(run).get(name, "")
        if not self._id:
            for event in _not_undone(earlier):
                self.hear(event)

    def hear(self, event: Event) -> None:
        self._warn_if_failed()
        if isinstance(event, RunFinished):
            self._is_complete = True
        if not self._is_over and (measured(event) or isinstance(event, WentBack)):
            try:
                self._events.put_nowait(event)
            except queue.Full:
                self._failure = f"it is {_MOST_WAITING} events behind"
                self._warn_if_failed()

    def hang_up(self) -> None:
        """Nothing more will come."""
        try:
            self._events.put_nowait(None)
        except queue.Full:
            self._failure = self._failure or "it is too far behind"

    def finish(self, seconds: float) -> None:
        self.join(seconds)
        self._warn_if_failed()
        if self.is_alive() and not self._is_over:
            text = (
                f"{self._tracker} had not taken everything {seconds:g} s after the end; the last values may be missing."
            )
            self._log.write(Message, level="warning", text=text)

    def run(self) -> None:
        try:
            tracker = _TRACKERS[self._tracker](Beginning(self._recipe, self._run, self._id, self._step))
            if not self._id:
                _remember(self._run, self._tracker, tracker.id)
            while event := self._events.get():
                tracker.take(event)
            tracker.finish(self._is_complete)
        except BaseException as error:  # a library that calls sys.exit ends no training either
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self._failure = lines[0][:300]

    def _warn_if_failed(self) -> None:
        if self._failure and not self._is_over:
            self._is_over = True
            text = f"{self._tracker} gets nothing more of this run ({self._failure}). The training goes on without it."
            self._log.write(Message, level="warning", text=text)


def _not_undone(events: Sequence[Event]) -> list[Event]:
    """Steps and validations without those that a resume or a retry went back over."""
    kept: list[Event] = []
    for event in events:
        match event:
            case RunStarted(first_step=step) | WentBack(step=step):
                kept = [done for done in kept if isinstance(done, Step | Validation) and done.step <= step]
            case Step() | Validation():
                kept.append(event)
    return kept


# --- which tracker runs belong to this run ----------------------------------------------------------------------------

_writing = threading.Lock()


def read_ids(run: RunFolder) -> dict[str, str]:
    """Tracker → the id of its run, from trackers.json in the run folder."""
    try:
        ids = json.loads(run.trackers.read_text(encoding="utf-8"))
        return {str(name): str(found) for name, found in ids.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def _remember(run: RunFolder, tracker: str, id: str) -> None:
    with _writing:
        write_text(run.trackers, json.dumps({**read_ids(run), tracker: id}, indent=2) + "\n")


# --- small things -----------------------------------------------------------------------------------------------------


def _import(tracker: str) -> None:
    """Before any worker process is forked: a fork in the middle of another thread's import may hang."""
    require_packages([tracker])
    try:
        importlib.import_module(_PACKAGES[tracker])
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RecipeError(f'[run] trackers has "{tracker}", whose package cannot be imported: {reason}.') from None


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """{"schedule": {"lr": 0.01}} → {"schedule.lr": 0.01}; lists as text."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": one for inner, one in _flat(value).items()}
        else:
            found[key] = str(value) if isinstance(value, list) else value
    return found
