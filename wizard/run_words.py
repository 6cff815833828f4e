"""How ftwiz says what happens in a run: the same words in the progress lines and on the dashboard."""

from __future__ import annotations

import math

from engine.events import (
    CheckpointSaved,
    ClipSkipped,
    Event,
    Message,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    Step,
    Validation,
    ValidationStarted,
    WeightsLoaded,
    WentBack,
)  # fmt: skip
from engine.run_folder import RunFolder, Status
from wizard.words import count, duration, moment, number, percent, printable, quoted, rate, sentence_case

# What the metrics of a Validation event are called. mAP is the mean of the clips' own, as for Multi-Moments in Time.
METRIC_NAMES = {"top1": "top-1", "sample_map": "mAP", "mean_average_precision": "class mAP"}


def run_name(run: RunFolder) -> str:
    """What to call a run: the name of its folder."""
    return printable(run.path.resolve().name)


def describe(event: Event, started: RunStarted | None = None) -> str:
    """An event as one line for a person; `started` says how many epochs and steps there are."""
    return printable(_sentence(event, started))


def _sentence(event: Event, started: RunStarted | None) -> str:
    epochs = f"/{started.epochs}" if started else ""
    match event:
        case RunStarted():
            begun = f"goes on after step {event.first_step}" if event.first_step else "started"
            return (
                f"{event.name} {begun}: {count(event.train_clips, 'training clip')}, "
                f"{count(event.val_clips, 'validation clip')}, {len(event.classes)} classes, "
                f"{count(event.epochs, 'epoch')} on {event.device} ({event.precision}); {event.lr_arithmetic}"
            )
        case WeightsLoaded():
            return (
                f"weights from {event.source}: {event.kept} tensors kept ({percent(event.backbone_share)} of the "
                f"backbone), {event.reinitialised} new, {event.dropped} dropped"
            )
        case Message():
            return f"warning: {event.text}" if event.level == "warning" else event.text
        case Step():
            total = f"/{started.epochs * started.steps_per_epoch}" if started else ""
            return (
                f"epoch {event.epoch}{epochs}  step {event.step}{total}  loss {number(event.loss)}  "
                f"{accuracy_name(started)} {percent(event.accuracy)}  lr {rate(event.lr)}  "
                f"{number(event.clips_per_s, 3)} clips/s  data wait {percent(event.data_wait)}  "
                f"ETA {duration(event.eta_s)}"
            )
        case WentBack():
            return (
                f"{event.reason}: went back to step {event.step} with half the learning rate, {event.lr_arithmetic} "
                f"(retry {event.retry} of {event.retries})"
            )
        case ClipSkipped():
            return f"left out {event.path}: {event.reason}"
        case ValidationStarted():
            return f"epoch {event.epoch}{epochs}: validating on {count(event.clips, 'clip')}"
        case Validation():
            best = ", the best so far" if event.best else ""
            chance = f" (chance {percent(started.chance)})" if started else ""
            others = "".join(f", {name} {percent(share)}" for name, share in other_metrics(event))
            key = f"{metric_name(event.key_metric)} {percent(event.key)}{chance}"
            return f"epoch {event.epoch}{epochs}: validation {key}{others}, loss {number(event.loss)}{best}"
        case CheckpointSaved():
            return f"saved {event.path} at step {event.step}"
        case Paused():
            return f"paused after step {event.step}"
        case Resumed():
            return f"goes on from step {event.step}"
        case RunFinished():
            how = "stopped as asked" if event.stopped_early else "finished"
            value = getattr(event, f"best_{event.key_metric}", math.nan)
            best = f", best {metric_name(event.key_metric)} {percent(value)}" if event.best_epoch else ""
            best += f" in epoch {event.best_epoch}" if event.best_epoch else ""
            bad = (
                f"; {count(event.clips_left_out, 'clip')} left out, see quarantine.txt" if event.clips_left_out else ""
            )
            return f"{how} after {duration(event.seconds)}{best}{bad}"
        case RunInterrupted():
            return f"interrupted by {event.signal} at step {event.step}; {_what_is_saved(event)}"
        case RunFailed():
            return f"failed: {event.error}"
    return ""


def metric_name(key: str) -> str:
    """What to call a metric of a Validation event; its own name where a newer ftwiz wrote it."""
    return METRIC_NAMES.get(key, key)


def accuracy_name(started: RunStarted | None) -> str:
    """What the `accuracy` of a run's steps is."""
    return metric_name(started.key_metric) if started and started.key_metric != "top1" else "accuracy"


def other_metrics(validation: Validation) -> list[tuple[str, float]]:
    """What one line has room for besides the key metric: a name and a share each.

    With five classes or fewer, the five likeliest are all there are: top-5 would be 100 % and say nothing.
    """
    several = not math.isnan(validation.sample_map)
    found = [("class mAP", validation.mean_average_precision), ("top-1 hit", validation.top1)] if several else []
    if len(validation.per_class) > 5:
        found.append(("top-5 hit" if several else "top-5", validation.top5))
    return found


def _what_is_saved(event: RunInterrupted) -> str:
    if not event.checkpoint:
        return "nothing is saved" if event.lost_steps else "nothing was there to save"
    if event.lost_steps:
        return f"not saved: {event.checkpoint} is {count(event.lost_steps, 'step')} older"
    return f"{event.checkpoint} is saved"


def resume_command(run: RunFolder) -> str:
    """What to type to go on with a run that ended early."""
    return f"ftwiz run --resume --run-dir {quoted(run.path)}"


def what_next(run: RunFolder, status: Status, ended: RunFinished | RunInterrupted | RunFailed | None) -> str:
    """For a run that is over: how it ended and what can be done now. Empty while it goes on."""
    if not run.path.is_dir():
        return f"{run.path} is gone: somebody moved or removed the run folder."
    resumable = bool(run.checkpoints_to_resume())
    again = (
        f"Go on from its last checkpoint: {resume_command(run)}"
        if resumable
        else f"It left no checkpoint; start it anew: ftwiz run {quoted(run.recipe)}"
    )
    match status, ended:
        case "finished", RunFinished():
            more = f".\n{again}" if ended.stopped_early and resumable else "."
            return sentence_case(describe(ended)) + more
        case "interrupted", RunInterrupted():
            return f"{sentence_case(describe(ended))}.\n{again}"
        case "failed", RunFailed():
            return f"{ended.error}\nExit code {ended.exit_code}; the whole story is in {run.log}."
        case "crashed", _:
            return f"The training process is gone without a word; see {run.log}.\n{again}"
    return ""


def what_stalled(run: RunFolder, since: float, expectation: str) -> str:
    """For a run whose process lives and says nothing. since: unix seconds; expectation: what should have come."""
    if host := run.other_host():
        process, kill = f"Its process is on {host}; see there whether it lives", f"end process {run.pid()} there"
    else:
        process, kill = f"Process {run.pid()} lives", f"kill -9 {run.pid()}"
    more = f", then {resume_command(run)}" if run.checkpoints_to_resume() else ""
    return (
        f"Nothing came since {moment(since)}; {expectation}. {process}: a video, a disk, a network share or other work "
        f"may hold it up ({run.log}).\ns asks it to save and stop; where it does not answer: {kill}{more}"
    )
