"""A run in a few figures: what `ftwiz runs` lists, what one chooses a run by, and what two runs are compared by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.events import RunFinished
from engine.run_folder import RunFolder
from wizard.followed import SLICE_BYTES, FollowedRun, Shown
from wizard.run_words import metric_name
from wizard.words import UNKNOWN, percent


@dataclass(frozen=True)
class Summary:
    """What is not known yet is None. best: the key metric's highest value, 0..1."""

    name: str
    status: Shown
    began: float  # unix seconds
    epoch: int
    epochs: int
    best_top1: float | None
    key_metric: str | None
    best: float | None
    best_epoch: int | None
    best_loss: float | None  # the validation loss of that epoch
    seconds: float | None  # of training; until it is finished, since its process began
    clips_per_s: float | None
    parameters: int | None
    device: str | None

    def best_in_words(self) -> str:
        """ "top-1 91.2 % (epoch 7)", or a dash."""
        if self.best is None or self.key_metric is None:
            return UNKNOWN
        return f"{metric_name(self.key_metric)} {percent(self.best)} (epoch {self.best_epoch})"


def read_run(folder: RunFolder) -> FollowedRun:
    """All that a run's log says now, without its curves."""
    run = FollowedRun(folder, with_curves=False)
    while run.read(SLICE_BYTES)[1]:
        pass
    return run


def summary_of(run: FollowedRun) -> Summary:
    """Of what was read so far."""
    state, best = run.state, run.state.best
    started, step = state.started, state.steps[-1] if state.steps else None
    seconds = state.last_time - started.t if started else None
    return Summary(
        name=run.folder.path.resolve().name,
        status=run.status(),
        began=run.began or _written(run.folder),
        epoch=step.epoch if step else 0,
        epochs=started.epochs if started else 0,
        best_top1=best.top1 if best else None,
        key_metric=best.key_metric if best else None,
        best=best.key if best else None,
        best_epoch=best.epoch if best else None,
        best_loss=_finite(best.loss) if best else None,
        seconds=state.ended.seconds if isinstance(state.ended, RunFinished) else seconds,
        clips_per_s=_finite(step.clips_per_s) if step else None,
        parameters=started.parameters if started else None,
        device=started.device if started else None,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _written(run: RunFolder) -> float:
    try:
        return run.recipe.stat().st_mtime
    except OSError:  # somebody removed the folder meanwhile
        return 0.0
