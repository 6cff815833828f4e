"""Warnings in plain words about how a training goes: what the numbers mean, and what to change. Torch-free.

`advice` is a function of what was measured so far (a `Course`) and of nothing else; `Adviser` listens to a run's log
and adds each warning to it once. A warning must be right: each waits until noise cannot explain what it says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.events import Event, EventLog, LogReader, Message, RunStarted, Step, Validation, WentBack
from engine.learning_rate import scaled_lr

if TYPE_CHECKING:
    from engine.recipe import Recipe

FEW_CLIPS = 20  # of a class; below, a network learns the clips rather than the class
DATA_BOUND = 0.5  # share of waiting above which reading the clips decides how fast training is
_STEPS_TO_JUDGE = 40
_SECONDS_TO_JUDGE_SPEED = 20.0
_USUAL_LR = {"sgd": (1e-7, 0.5), "adamw": (1e-8, 3e-3)}  # for a pretrained network, whatever the batch


@dataclass(frozen=True)
class Epoch:
    """One epoch over the training clips, as augmented. waited: share of the time; seconds: how long it was measured."""

    number: int
    loss: float
    accuracy: float
    waited: float = 0.0
    seconds: float = 0.0


@dataclass
class Course:
    """What was measured so far. class_clips: training clips a class, by name. cores: of this machine."""

    recipe: Recipe
    class_clips: Mapping[str, int]
    cores: int = 1
    started: RunStarted | None = None
    epochs: list[Epoch] = field(default_factory=list)  # whole ones
    validations: list[Validation] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)  # of the epoch that goes on

    def take(self, event: Event) -> None:
        """Take an event of the log in; what a resumed or retried run does again counts once."""
        match event:
            case RunStarted():
                self.started = event
                self._go_back(event.first_step)
            case WentBack():
                self._go_back(event.step)
            case Step():
                self._steps.append(event)
                if self.started and event.step % self.started.steps_per_epoch == 0:
                    self.epochs.append(_epoch_of(self._steps))
                    self._steps = []
            case Validation():
                self.validations.append(event)

    def _go_back(self, step: int) -> None:
        assert self.started is not None
        self._steps = [done for done in self._steps if done.step <= step]
        self.epochs = [done for done in self.epochs if done.number * self.started.steps_per_epoch <= step]
        self.validations = [done for done in self.validations if done.step <= step]


class Adviser:
    """Adds advice to a log, each topic once in the life of a run, resumes included."""

    def __init__(self, course: Course, log: EventLog):
        """Hears all that the log holds already, and from then on what is written to it."""
        self._course, self._log = course, log
        self._said: set[str] = set()
        for event in LogReader(log.path).read():
            self._take(event)
        self._say_what_is_new()
        log.listeners.append(self.hear)

    def hear(self, event: Event) -> None:
        self._take(event)
        if isinstance(event, Step | Validation):
            self._say_what_is_new()

    def _take(self, event: Event) -> None:
        self._course.take(event)
        if isinstance(event, Message) and event.topic:
            self._said.add(event.topic)

    def _say_what_is_new(self) -> None:
        for topic, sentence in advice(self._course).items():
            if topic not in self._said:
                self._said.add(topic)
                self._log.write(Message, level="warning", text=sentence, topic=topic)


def advice(course: Course) -> dict[str, str]:
    """Topic → sentence, for all that is wrong just now."""
    if course.started is None:
        return {}
    found = {
        "few clips": _few_clips(course),
        "learning rate": _unusual_lr(course),
        "guessing": _no_better_than_guessing(course),
        "loss": _loss_that_does_not_fall(course),
        "validation guessing": _validation_no_better_than_guessing(course),
        "overfitting": _overfitting(course),
        "validation loss": _validation_loss_that_is_no_number(course),
        "never predicted": _classes_never_predicted(course),
        "waiting": _waiting_for_clips(course),
    }
    if found["guessing"]:
        found["loss"] = ""  # the same thing twice
    return {topic: sentence for topic, sentence in found.items() if sentence}


# --- before anything is learned ---------------------------------------------------------------------------------------


def _few_clips(course: Course) -> str:
    few = sorted((clips, name) for name, clips in course.class_clips.items() if clips < FEW_CLIPS)
    if not few:
        return ""
    shown = ", ".join(f"{name} {clips}" for clips, name in few[:3]) + (", …" if len(few) > 3 else "")
    have = "has" if len(few) == 1 else "have"
    return (
        f"{len(few)} of {len(course.class_clips)} classes {have} fewer than {FEW_CLIPS} training clips ({shown}). "
        "Expect results that vary; more clips help most, then a frozen backbone ([schedule] freeze)."
    )


def _unusual_lr(course: Course) -> str:
    schedule = course.recipe.schedule
    lr, (lowest, highest) = scaled_lr(schedule), _USUAL_LR[schedule.optimizer]
    if lowest <= lr <= highest:
        return ""
    how = "large" if lr > highest else "small"
    return (
        f"A learning rate of {lr:.3g} is unusually {how} for {schedule.optimizer} (mostly {lowest:g} to {highest:g}): "
        "see how the recipe's lr is scaled to the batch (lr and lr_batch_size under [schedule])."
    )


# --- does it learn ----------------------------------------------------------------------------------------------------


def is_guessing(accuracy: float, clips: int, chance: float) -> bool:
    """Whether an accuracy may well be that of guessing: within the upper 5 % bound of a binomial distribution (in its
    normal approximation). Where the clips are so few that hardly any result could tell, it is False."""
    if clips == 0 or not math.isfinite(accuracy):
        return False
    bound = 1.645 * math.sqrt(chance * (1 - chance) / clips)
    return bound <= 0.15 and accuracy <= chance + bound


def _no_better_than_guessing(course: Course) -> str:
    started, last = course.started, course.epochs[-2:]
    if not started or not _can_judge(course) or course.recipe.head.multi_label:
        return ""
    blends = course.recipe.schedule.mixup or course.recipe.schedule.cutmix  # then a clip has no single class
    trained = blends or all(is_guessing(epoch.accuracy, started.train_clips, _chance(course)) for epoch in last)
    validated = course.validations[-2:]
    if not trained or not all(_is_guessing(done, started) for done in validated) or (blends and not validated):
        return ""
    accuracy = validated[-1].top1 if validated else last[-1].accuracy
    return (
        f"After {last[-1].number} epochs the model is no better than guessing ({_percent(accuracy)}, chance "
        f"{_percent(started.chance)}). Look at the weights that were loaded, and try another learning rate "
        "(`ftwiz lr RECIPE` looks for one)."
    )


def _loss_that_does_not_fall(course: Course) -> str:
    if not _can_judge(course):
        return ""
    first, last = course.epochs[0], course.epochs[-1]
    lowest = min(epoch.loss for epoch in course.epochs[1:])
    course_of_it = f"{first.loss:.3g} in epoch {first.number}, {last.loss:.3g} in epoch {last.number}"
    if lowest > first.loss and min(epoch.loss for epoch in course.epochs[-2:]) > 1.2 * first.loss:
        return f"The training loss has risen: {course_of_it}. The learning rate is probably too large."
    if lowest > 0.98 * first.loss and last.accuracy < 0.9:
        return (
            f"The training loss hardly moves: {course_of_it}. The learning rate may be too small, or too much of the "
            "network frozen; where it is a trained one already, there may be nothing left to learn."
        )
    return ""


def _validation_no_better_than_guessing(course: Course) -> str:
    started, validated = course.started, course.validations[-2:]
    if not started or not _can_judge(course) or course.recipe.head.multi_label or len(validated) < 2:
        return ""
    trained, last = course.epochs[-1].accuracy, validated[-1]
    if trained < started.chance + 0.3 or not all(_is_guessing(done, started) for done in validated):
        return ""
    return (
        f"The model recognises {_percent(trained)} of its training clips, but validation clips no better than by "
        f"guessing ({_percent(last.top1)}, chance {_percent(started.chance)}): there are too few clips to learn what "
        "they have in common, or the validation clips are of another kind or labelled otherwise."
    )


def _overfitting(course: Course) -> str:
    """Three validations' mean loss is well above what it was at its lowest, none of the three was the best, and the
    training loss has fallen meanwhile. Single validations of a few hundred clips go up and down by a tenth."""
    done = course.validations
    losses = [_mean(one.loss for one in done[end - 3 : end]) for end in range(3, len(done) + 1)]
    if not losses or not all(map(math.isfinite, losses)) or any(one.best for one in done[-3:]):
        return ""
    lowest = losses.index(min(losses))
    then, now = done[lowest : lowest + 3], done[-3:]
    trained_then, trained_now = (_training_loss(course, three) for three in (then, now))
    if losses[-1] < 1.15 * losses[lowest] or not trained_now < 0.9 * trained_then:
        return ""
    return (
        f"Overfitting since epoch {then[-1].epoch}: the training loss fell from {trained_then:.3g} to "
        f"{trained_now:.3g}, the validation loss rose from {losses[lowest]:.3g} to {losses[-1]:.3g} (means of three "
        "epochs). best.pt keeps the best epoch; fewer epochs, a smaller learning rate, more dropout or a frozen "
        "backbone ([schedule] freeze) would help."
    )


def _validation_loss_that_is_no_number(course: Course) -> str:
    if not course.validations or math.isnan(course.validations[-1].top1):  # no clip was measured
        return ""
    last = course.validations[-1]
    if math.isfinite(last.loss):
        return ""
    return (
        f"The validation loss of epoch {last.epoch} is not a number, though the training loss is: the statistics of "
        "batch normalisation may have overflowed. Try a smaller learning rate, or model.norm_eval = true."
    )


def _classes_never_predicted(course: Course) -> str:
    """In the second half of a training that learns, in two validations one after the other."""
    started, last = course.started, course.validations[-2:]
    if not started or len(last) < 2 or course.recipe.head.multi_label or _is_guessing(last[-1], started):
        return ""
    never = [label for label in last[1].never_predicted if label in last[0].never_predicted]
    if last[0].epoch * 2 < started.epochs or not never:
        return ""
    names = ", ".join(started.classes[label] for label in never[:3]) + (", …" if len(never) > 3 else "")
    verb = "is never predicted" if len(never) == 1 else "are never predicted"
    return (
        f"{len(never)} of {len(started.classes)} classes {verb}: {names}. Look at their clips and labels; where they "
        'are rare, dataset.balance = "sampler" shows them more often.'
    )


# --- how fast ---------------------------------------------------------------------------------------------------------


def _waiting_for_clips(course: Course) -> str:
    """Over all epochs but the first, in which workers start and files are read for the first time."""
    measured = [epoch for epoch in course.epochs[1:] if epoch.seconds]
    seconds = sum(epoch.seconds for epoch in measured)
    waited = sum(epoch.waited * epoch.seconds for epoch in measured)
    if course.started is None or seconds < _SECONDS_TO_JUDGE_SPEED or waited < DATA_BOUND * seconds:
        return ""
    workers = course.started.workers
    more = (
        f"more [run] workers would help (it has {workers}, this machine {course.cores} cores)"
        if workers < course.cores
        else "its workers have all the cores there are: smaller videos would help (a short side of 256 pixels, a key "
        "frame every 12 frames)"
    )
    return f"{_percent(waited / seconds)} of the time the training waits for clips to be decoded; {more}."


# --- small things -----------------------------------------------------------------------------------------------------


def _epoch_of(steps: list[Step]) -> Epoch:
    pairs = list(pairwise(steps))  # the first one's time includes what came before the epoch
    seconds = sum(later.t - earlier.t for earlier, later in pairs)
    waited = sum(later.data_wait * (later.t - earlier.t) for earlier, later in pairs)
    return Epoch(
        number=steps[-1].epoch,
        loss=sum(step.loss for step in steps) / len(steps),
        accuracy=sum(step.accuracy for step in steps) / len(steps),
        waited=waited / seconds if seconds > 0 else 0.0,
        seconds=max(seconds, 0.0),
    )


def _can_judge(course: Course) -> bool:
    """Five epochs, or three where there are to be no more; and some steps, where an epoch has few."""
    if not course.started:
        return False
    epochs = len(course.epochs)
    return (
        epochs >= max(3, min(5, course.started.epochs)) and epochs * course.started.steps_per_epoch >= _STEPS_TO_JUDGE
    )


def _is_guessing(validation: Validation, started: RunStarted) -> bool:
    """By both accuracies: of classes of very different sizes, a model that knows the small ones has a low top-1."""
    return is_guessing(validation.top1, started.val_clips, started.chance) and is_guessing(
        validation.mean_class_accuracy, started.val_clips, 1 / len(started.classes)
    )


def _chance(course: Course) -> float:
    """Training accuracy of always saying the commonest class."""
    if course.recipe.dataset.balance == "sampler":
        return 1 / len(course.class_clips)
    return max(course.class_clips.values()) / max(sum(course.class_clips.values()), 1)


def _training_loss(course: Course, validations: list[Validation]) -> float:
    """Mean over the epochs of these validations; NaN where none of them was measured whole."""
    epochs = {done.epoch for done in validations}
    return _mean(epoch.loss for epoch in course.epochs if epoch.number in epochs)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
