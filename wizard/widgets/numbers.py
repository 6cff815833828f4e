"""The figures of a run that are not curves, the most wanted first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.advice import DATA_BOUND
from engine.events import RunState, Validation
from wizard.run_words import metric_name, other_metrics
from wizard.words import UNKNOWN, clock, count, memory, number, percent, printable, rate

NONE_YET = Content.styled("no numbers yet", "$foreground 60%")


class Numbers(VerticalScroll):
    """Two columns, name and value; scrolls where there are more than fit."""

    DEFAULT_CSS = """
    Numbers > Static { text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def compose(self) -> Iterator[Static]:
        yield Static(NONE_YET)

    def show(self, state: RunState, other: Validation | None = None) -> None:
        """other: the best validation of the run that this one is compared with."""
        pairs = list(_pairs(state, other))
        lines = [Content.assemble((f"{name:<12}", "$foreground 60%"), value) for name, value in pairs]
        self.query_one(Static).update(Content("\n").join(lines) if lines else NONE_YET)


def _pairs(state: RunState, other: Validation | None) -> Iterator[tuple[str, Content]]:
    started, step, best = state.started, state.steps[-1] if state.steps else None, state.best
    if best:
        name = "" if best.key_metric == "top1" else f" {metric_name(best.key_metric)}"
        more = Content(f"{name} in epoch {best.epoch}")
        if other:
            more = Content.assemble(f"{name} vs ", (percent(other.key), "$secondary"))
        yield "best", Content.assemble((percent(best.key), "bold $success"), more)
    if step:
        yield "lr", Content(rate(step.lr))
        yield "grad norm", Content(number(step.grad_norm))
        yield "speed", Content(f"{number(step.clips_per_s, 3)} clips/s")
        yield "data wait", _data_wait(step.data_wait)
        yield "memory", Content(memory(step.memory_mb))
    if started:
        yield "device", Content(printable(f"{started.device}, {started.precision}"))
    if state.checkpoints:
        saved = state.checkpoints[-1]
        yield "saved", Content(f"{saved.path.rpartition('/')[2]}, step {saved.step:,}")
    if state.validations:
        last = state.validations[-1]
        for name, share in other_metrics(last):
            yield name, Content(percent(share))
        if not math.isnan(last.mean_class_accuracy):
            yield "class mean", Content(percent(last.mean_class_accuracy))
    if started:
        yield "chance", Content(percent(started.chance))
        yield "clips", Content(f"{started.train_clips:,} train, {started.val_clips:,} val")
        yield "batch", Content(f"{count(started.batch_size, 'clip')}, {count(started.workers, 'worker')}")
        yield "parameters", Content(f"{started.parameters / 1e6:.1f} million")
        yield "elapsed", Content(clock(state.last_time - started.t))
    if state.weights:
        yield "reused", Content(f"{percent(state.weights.backbone_share)} of the backbone")
    if warnings := sum(message.level == "warning" for message in state.messages):
        yield "warnings", Content.styled(f"{warnings}, see Events", "$warning")
    if state.skipped:
        bad = len({event.path for event in state.skipped})
        yield "left out", Content.styled(f"{count(bad, 'clip')}, see Events", "$warning")


def _data_wait(share: float) -> Content:
    if share >= DATA_BOUND:
        return Content.styled(f"{100 * share:.0f} %, reading is the limit", "$warning")
    return Content(f"{100 * share:.0f} % of the time" if share == share else UNKNOWN)
