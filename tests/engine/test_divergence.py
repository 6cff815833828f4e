"""A loss that is no finite number reaches no weight, its clips are named, and a retry goes on from what was good."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import torch

from engine.checkpoint import load_checkpoint
from engine.divergence import DivergedError
from engine.errors import TrainingError
from engine.events import RunFinished, RunStarted, Step, WentBack
from engine.loss import OneOfTheClasses
from engine.recipe import load_recipe
from tests.clips import make_dataset
from tests.engine.test_train import events_of, model_hash, new_run, train
from tests.engines import engines

RETRIES = "retries_at_half_lr = 3\nepochs = 3"  # of three steps each


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


def spoil(monkeypatch: pytest.MonkeyPatch, *steps: int, clips: int = 99) -> None:
    """The training losses computed in these places (from 1, over all tries) are not numbers, for so many clips."""
    compute, computed = OneOfTheClasses.forward, 0

    def forward(self: OneOfTheClasses, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal computed
        losses = compute(self, logits, targets)
        computed += 1
        if computed in steps:
            losses[:clips] *= float("nan")
        return losses

    monkeypatch.setattr(OneOfTheClasses, "forward", forward)


def test_a_learning_rate_out_of_all_bounds(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos, schedule="lr = 1e30\ngrad_clip_norm = 0.0\nmomentum = 0.0")
    with pytest.raises(TrainingError, match=r"The (loss|gradient's norm) is .* at step \d+ \(clips: .*mp4.*lr=5e\+29"):
        train(run)


def test_the_weights_are_those_of_the_last_good_step(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 5)
    run = new_run(tmp_path, videos, schedule="epochs = 3")
    with pytest.raises(DivergedError, match="The loss is nan at step 5") as caught:
        train(run)
    assert caught.value.step == 5 and "retries_at_half_lr" in str(caught.value)
    saved = load_checkpoint(run.checkpoints / "last.pt")
    assert saved["step"] == 3
    assert all(value.isfinite().all() for value in saved["model"].values())


def test_the_clips_whose_own_loss_is_bad_are_named(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 2, clips=1)
    with pytest.raises(DivergedError, match=r"of these clips: [^,]*\.mp4\)"):
        train(new_run(tmp_path, videos))


@pytest.mark.slow
def test_a_retry_is_a_run_with_half_the_rate(tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the first step: bit for bit the run that a recipe with half the rate describes."""
    half = new_run(tmp_path, videos, "half", schedule=f"{RETRIES}\nlr = 0.005", head="dropout = 0.5")
    train(half)
    spoil(monkeypatch, 2)
    retried = new_run(tmp_path, videos, "retried", schedule=f"{RETRIES}\nlr = 0.01", head="dropout = 0.5")
    state = train(retried)

    assert isinstance(state.ended, RunFinished)
    (back,) = events_of(retried, WentBack)
    assert (back.step, back.epoch, back.retry, back.retries) == (0, 1, 1, 3)
    assert back.lr == 0.005 and back.lr_arithmetic.startswith("lr 0.005")
    assert re.fullmatch(r"the loss is nan at step 2 \(clips: .*\)", back.reason)
    assert load_recipe(retried.recipe).schedule.lr == 0.005
    assert model_hash(retried) == model_hash(half)
    assert [(step.step, step.loss, step.lr) for step in state.steps] == [
        (step.step, step.loss, step.lr) for step in half.state().steps
    ]
    assert state.started is not None and state.started.lr == 0.005


@pytest.mark.slow
def test_it_goes_back_to_the_last_checkpoint_first_and_then_further(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 1 to 5 go well; 6 does not, 5 and 4 neither: last.pt (step 3), then the start; then all is well."""
    spoil(monkeypatch, 6, 8)
    run = new_run(tmp_path, videos, schedule=f"{RETRIES}\nvalidation_interval = 3")
    state = train(run)
    first, second = events_of(run, WentBack)
    assert (first.step, first.checkpoint, first.lr) == (3, "checkpoints/last.pt", 0.005)
    assert (second.step, second.checkpoint, second.lr) == (0, "checkpoints/start.pt", 0.0025)
    assert [step.step for step in state.steps] == list(range(1, 10))
    assert {step.lr for step in state.steps} == {0.0025}


def test_when_no_retry_is_left_the_run_ends(tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 2, 4)
    run = new_run(tmp_path, videos, schedule="retries_at_half_lr = 1")
    with pytest.raises(DivergedError, match=r"schedule\.lr=0\.0025"):
        train(run)
    assert len(events_of(run, WentBack)) == 1


@pytest.mark.slow
def test_a_resumed_run_keeps_the_halved_rate(tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 5)
    whole, cut = (new_run(tmp_path, videos, name, schedule=f"{RETRIES}\nlr_policy = 'cosine'") for name in ("a", "b"))
    train(whole)
    assert len(events_of(whole, WentBack)) == 1
    monkeypatch.undo()

    assert engines().start(cut, first_of_all=_UNTIL_AFTER_THE_RETRY).wait() == -signal.SIGKILL
    assert len(events_of(cut, WentBack)) == 1 and events_of(cut, Step)[-1].step == 5
    train(cut, resume=True)
    assert events_of(cut, RunStarted)[-1].lr == 0.005
    assert model_hash(cut) == model_hash(whole)
    assert [(step.step, step.loss, step.lr) for step in cut.state().steps] == [
        (step.step, step.loss, step.lr) for step in whole.state().steps
    ]
    assert load_checkpoint(cut.checkpoints / "last.pt")["retries"] == 1


_UNTIL_AFTER_THE_RETRY = """
import os, signal
import pytest
from engine.events import EventLog, Step, WentBack
from tests.engine.test_divergence import spoil
spoil(pytest.MonkeyPatch(), 5)
went_back = False
write = EventLog.write
def write_and_die(self, kind, **fields):
    global went_back
    write(self, kind, **fields)
    went_back |= kind is WentBack
    if went_back and kind is Step and fields["step"] == 5:
        os.kill(os.getpid(), signal.SIGKILL)
EventLog.write = write_and_die
"""
