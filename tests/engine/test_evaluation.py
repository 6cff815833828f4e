"""Metrics are what plain arithmetic says they are; the report holds the same numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.dataset.clips import Clip
from engine.dataset.loader import Batch
from engine.errors import RecipeError
from engine.evaluation import Metrics, evaluate, measure, write_report
from engine.recipe import Recipe, recipe_from
from tests.videos import make_video, write_video

CPU = torch.device("cpu")


def recipe(classes: int, **run: Any) -> Recipe:
    return recipe_from(
        {
            "model": {"segments": 2, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
            "head": {"num_classes": classes},
            "dataset": {"short_side": 16, "frame_size": 16},
            "schedule": {"batch_size": 3},
            "run": run,
        }
    )


class Lookup(nn.Module):
    """The logits of a view are the row of a table that its first pixel names."""

    def __init__(self, table: np.ndarray):
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(table))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.table[frames[:, 0, 0, 0, 0].long()]


def batches(labels: Sequence[int], views: int = 1, batch_size: int = 3) -> list[Batch]:
    """Clip n shows the rows n*views … of the table. A clip that does not decode stands between the batches."""
    found = []
    for start in range(0, len(labels), batch_size):
        numbers = list(range(start, min(start + batch_size, len(labels))))
        rows = torch.tensor([[number * views + view for view in range(views)] for number in numbers])
        frames = rows[:, :, None, None, None, None].expand(-1, -1, 1, 3, 2, 2).to(torch.uint8)
        frames = frames[:, 0] if views == 1 else frames
        found += [Batch(frames, torch.tensor([labels[number] for number in numbers]), numbers)]
        found += [Batch(torch.empty(0), torch.empty(0, dtype=torch.long), [], [("bad.mp4", "why")])]
    return found


def measured(logits: np.ndarray, labels: Sequence[int], views: int = 1, **run: Any) -> Metrics:
    settings = recipe(logits.shape[1], **run)
    return measure(Lookup(logits), batches(labels, views), settings, CPU)  # type: ignore[arg-type]


# --- against plain arithmetic -----------------------------------------------------------------------------------------


@given(st.integers(2, 9), st.integers(1, 25), st.integers(0, 2**32), st.floats(0.1, 1))
@settings(max_examples=50)
def test_metrics_by_hand(classes: int, clips: int, seed: int, share: float) -> None:
    """share: of the classes that have clips at all."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (clips, classes)).astype(np.float32)
    labels = rng.integers(0, max(1, round(classes * share)), clips)
    found = measured(logits, labels.tolist())

    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    assert found.loss == pytest.approx(-np.log(probabilities[range(clips), labels]).mean(), rel=1e-5, abs=1e-6)
    assert found.top1 == pytest.approx((predicted == labels).mean())
    best = np.argsort(-probabilities, axis=1)[:, : min(5, classes)]
    assert found.top5 == pytest.approx((best == labels[:, None]).any(axis=1).mean())

    confusion = np.zeros((classes, classes), int)
    for label, guess in zip(labels, predicted, strict=True):
        confusion[label, guess] += 1
    assert found.confusion.dtype == torch.int64 and np.array_equal(found.confusion.numpy(), confusion)
    per_class = [
        (predicted[labels == label] == label).mean() if (labels == label).any() else math.nan
        for label in range(classes)
    ]
    assert found.per_class == pytest.approx(per_class, nan_ok=True)
    assert found.mean_class_accuracy == pytest.approx(np.nanmean(per_class))
    assert [(clip, guess) for clip, guess, _ in found.predictions] == list(enumerate(predicted))
    assert [p for _, _, p in found.predictions] == pytest.approx(probabilities.max(axis=1).tolist(), rel=1e-5)


def test_two_classes_count_as_top_2() -> None:
    found = measured(np.array([[1, 0], [1, 0], [0, 1]], np.float32), [0, 1, 1])
    assert (found.top1, found.top5) == (pytest.approx(2 / 3), 1.0)


def test_a_class_without_clips_is_unknown_not_wrong() -> None:
    found = measured(np.eye(3, dtype=np.float32)[[0, 0]], [0, 0])
    assert found.per_class == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)
    assert found.mean_class_accuracy == 1.0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_without_a_single_clip_nothing_is_known() -> None:
    found = measured(np.zeros((1, 3), np.float32), [])
    unknown = [found.loss, found.top1, found.top5, found.mean_class_accuracy, *found.per_class]
    assert all(math.isnan(value) for value in unknown)
    assert found.predictions == [] and int(found.confusion.sum()) == 0 and found.most_confused() == []


def test_most_confused_are_the_most_frequent_mistakes() -> None:
    labels = [0] * 9 + [1] * 4 + [2] * 3
    guesses = [0] * 5 + [2] * 3 + [1] + [0] * 2 + [1] * 2 + [0] * 2 + [2]
    found = measured(np.eye(3, dtype=np.float32)[guesses], labels)
    assert found.most_confused() == [(0, 2, 3), (1, 0, 2), (2, 0, 2), (0, 1, 1)]
    assert found.most_confused(2) == [(0, 2, 3), (1, 0, 2)]


# --- views ------------------------------------------------------------------------------------------------------------


def test_views_are_averaged_as_probabilities_or_as_scores() -> None:
    """One view is sure, nine lean the other way: the two ways disagree."""
    sure, leaning = [6.0, 0.0, 0.0], [0.0, 0.5, -1.0]
    logits = np.array([sure] + [leaning] * 9, np.float32)
    exponentials = np.exp(logits.astype(np.float64))
    mean_probability = (exponentials / exponentials.sum(axis=1, keepdims=True)).mean(axis=0)
    mean_score = np.exp(logits.mean(axis=0)) / np.exp(logits.mean(axis=0)).sum()
    assert mean_probability.argmax() == 1 and mean_score.argmax() == 0

    by_probability = measured(logits, [1], views=10, average_clips="prob")
    assert by_probability.predictions == [(0, 1, pytest.approx(mean_probability[1], rel=1e-5))]
    assert by_probability.loss == pytest.approx(-math.log(mean_probability[1]), rel=1e-5)
    by_score = measured(logits, [1], views=10, average_clips="score")
    assert by_score.predictions == [(0, 0, pytest.approx(mean_score[0], rel=1e-5))]
    assert by_score.loss == pytest.approx(-math.log(mean_score[1]), rel=1e-5)


def test_confident_views_stay_finite() -> None:
    logits = np.array([[500.0, -500.0], [400.0, -500.0]], np.float32)
    for way in ("prob", "score"):
        assert math.isfinite(measured(logits, [1], views=2, average_clips=way).loss)


def sided(classes: list[str], **run: Any) -> Recipe:
    settings = recipe(len(classes), **run)
    return settings.model_copy(update={"dataset": settings.dataset.model_copy(update={"classes": tuple(classes)})})


def test_of_ten_crops_the_mirrored_ones_speak_of_the_other_side() -> None:
    """A model that sees sides calls five views a turn to the left and their mirror images one to the right."""
    left, right = [4.0, 0.0, 0.0], [0.0, 0.0, 4.0]
    for clips_at_test in (1, 2):  # thirty views of a video: ten crops of one clip, then ten of the next
        logits = np.array(([left] * 5 + [right] * 5) * clips_at_test, np.float32)
        given_batches = batches([0], views=10 * clips_at_test)
        for way in ("prob", "score"):
            settings = sided(["turn left", "nod", "turn right"], test_crops=10, average_clips=way)
            found = measure(Lookup(logits), given_batches, settings, CPU)  # type: ignore[arg-type]
            assert found.predictions == [(0, 0, pytest.approx(math.exp(4) / (math.exp(4) + 2)))]
    unsided = measure(Lookup(logits), given_batches, sided(["a", "b", "c"], test_crops=10), CPU)  # type: ignore[arg-type]
    assert unsided.predictions[0][2] == pytest.approx((math.exp(4) + 1) / (math.exp(4) + 2) / 2)


def test_a_class_without_the_other_side_is_not_seen_in_the_mirror() -> None:
    logits = np.zeros((10, 2), np.float32)
    with pytest.raises(RecipeError, match="a mirrored “left hook” shows the other side"):
        measure(Lookup(logits), batches([0], 10), sided(["left hook", "nod"], test_crops=10), CPU)  # type: ignore[arg-type]
    three = measure(Lookup(logits[:3]), batches([0], 3), sided(["left hook", "nod"], test_crops=3), CPU)  # type: ignore[arg-type]
    assert len(three.predictions) == 1


# --- the pass itself --------------------------------------------------------------------------------------------------


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(3, 2)
        self.modes: list[bool] = []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training or torch.is_grad_enabled())
        return self.fc(self.dropout(frames.mean(dim=(1, 3, 4))))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_measured_in_eval_mode_and_given_back_as_it_was(training: bool) -> None:
    model = WithDropout().train(training)
    measure(model, batches([0, 1, 0, 1]), recipe(2), CPU)  # type: ignore[arg-type]
    assert model.modes == [False, False]
    assert [module.training for module in model.modules()] == [training] * 3


def test_whoever_ends_the_pass_gets_the_model_back_as_it_was() -> None:
    model, seen = WithDropout().train(), []

    def end(batch: Batch) -> None:
        seen.append(batch.clips)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(model, batches([0, 1, 0, 1]), recipe(2), CPU, end)  # type: ignore[arg-type]
    assert seen == [[0, 1, 2]] and model.training and model.dropout.training
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_every_batch_is_shown_after_it_was_used() -> None:
    seen: list[Batch] = []
    given_batches = batches([0, 1, 0, 1])
    measure(WithDropout(), given_batches, recipe(2), CPU, seen.append)  # type: ignore[arg-type]
    assert seen == given_batches  # those with nothing but bad clips too: they are reported


# --- real videos ------------------------------------------------------------------------------------------------------


class Brightness(nn.Module):
    """Two classes: dark and bright."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(frames.shape))
        brightness = (frames.mean(dim=(1, 2, 3, 4)) - 128) * self.gain
        return torch.stack([-brightness, brightness], dim=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Dark, bright, bright but called dark, missing, dark."""
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for number, (value, label) in enumerate([(30, 0), (220, 1), (220, 0), (-1, 1), (30, 0)]):
        path = folder / f"{number}, „x“.mp4"
        if value >= 0:
            write_video(path, [np.full((16, 24, 3), value, np.uint8)] * 4)
        found.append(Clip(str(path), label))
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluating_real_videos(workers: int, clips: list[Clip]) -> None:
    model = Brightness()
    found = evaluate(model, clips, recipe(2), workers=workers)
    assert [prediction[:2] for prediction in found.predictions] == [(0, 0), (1, 1), (2, 1), (4, 0)]
    assert (found.top1, found.per_class) == (0.75, [pytest.approx(2 / 3), 1.0])
    assert found.mean_class_accuracy == pytest.approx(5 / 6) and found.most_confused() == [(0, 1, 1)]
    assert model.shapes == [(3, 2, 3, 16, 16), (1, 2, 3, 16, 16)]


def test_test_time_views_of_real_videos(clips: list[Clip]) -> None:
    model = Brightness()
    found = evaluate(model, clips, recipe(2, test_crops=10, test_segments=3), test_views=True)
    assert found.top1 == 0.75
    portions = [3, 3, 3, 1]  # the views of one clip, no more at a time than a training batch has clips
    assert model.shapes == [(views, 3, 3, 16, 16) for views in portions] * 4


def test_probabilities_of_bf16_are_computed_in_fp32(tmp_path: Path) -> None:
    """The probability of the true class, from the loss, and the predicted class's add up to one or are the same."""
    clip = Clip(str(make_video(tmp_path / "a.mp4", size=(16, 16))), 0)
    found = evaluate(WithDropout(), [clip], recipe(2, precision="bf16"))
    ((_, guess, probability),) = found.predictions
    assert math.exp(-found.loss) == pytest.approx(probability if guess == 0 else 1 - probability, abs=1e-6)


# --- the report -------------------------------------------------------------------------------------------------------


def rows(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_report_holds_the_numbers(clips: list[Clip], tmp_path: Path) -> None:
    names = ["dark, very", "明るい"]
    write_report(tmp_path / "report", evaluate(Brightness(), clips, recipe(2)), clips, names)
    assert rows(tmp_path / "report" / "confusion.csv") == [
        ["true class", *names],
        [names[0], "2", "1"],
        [names[1], "0", "1"],
    ]
    assert rows(tmp_path / "report" / "per_class.csv") == [
        ["class", "clips", "accuracy"],
        [names[0], "3", "0.6667"],
        [names[1], "1", "1.0000"],
    ]
    predictions = rows(tmp_path / "report" / "predictions.csv")
    assert predictions[0] == ["file", "true class", "predicted class", "probability"]
    assert [row[:3] for row in predictions[1:]] == [
        [clips[0].path, names[0], names[0]],
        [clips[1].path, names[1], names[1]],
        [clips[2].path, names[0], names[1]],
        [clips[4].path, names[0], names[0]],
    ]
    assert all(0.5 < float(row[3]) <= 1 for row in predictions[1:])
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "confusion.csv",
        "per_class.csv",
        "predictions.csv",
    ]


def test_a_class_without_clips_has_no_accuracy_in_the_report(tmp_path: Path) -> None:
    found = measured(np.eye(2, dtype=np.float32)[[0]], [0])
    write_report(tmp_path, found, [Clip("a.mp4", 0)], ["a", "b"])
    assert rows(tmp_path / "per_class.csv")[1:] == [["a", "1", "1.0000"], ["b", "0", ""]]


def test_a_new_report_replaces_the_old(tmp_path: Path) -> None:
    for guess in (0, 1):
        write_report(tmp_path, measured(np.eye(2, dtype=np.float32)[[guess]], [0]), [Clip("a.mp4", 0)], ["a", "b"])
    assert rows(tmp_path / "confusion.csv")[1:] == [["a", "0", "1"], ["b", "0", "0"]]


# --- several classes a clip -------------------------------------------------------------------------------------------


class Says(nn.Module):
    """The same logits of everything."""

    def __init__(self, *logits: float):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(frames), -1)


def test_the_report_on_several_classes(clips: list[Clip], tmp_path: Path) -> None:
    """No confusions; the probabilities above a half are what was predicted, which may be nothing."""
    names = ["dark", "a|b", "明るい"]
    several = [
        Clip(clip.path, of[0], labels=of) for clip, of in zip(clips, [(0, 2), (2,), (0,), (1,), (2,)], strict=True)
    ]
    settings = recipe(3)
    settings = settings.model_copy(update={"head": settings.head.model_copy(update={"multi_label": True})})
    found = evaluate(Says(2.0, -1.0, 1.0), several, settings)
    assert found.key_metric == "sample_map" and found.key == found.sample_map == pytest.approx((1 + 0.5 + 1 + 0.5) / 4)
    write_report(tmp_path, found, several, names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["per_class.csv", "predictions.csv"]
    assert rows(tmp_path / "per_class.csv") == [
        ["class", "clips", "average precision"],
        ["dark", "2", "0.5000"],
        ["a|b", "0", ""],
        ["明るい", "3", "0.7500"],
    ]
    sure = f"{1 / (1 + math.exp(-2)):.4f}"
    assert rows(tmp_path / "predictions.csv") == [
        ["file", "true classes", "predicted classes", "likeliest class", "probability"],
        [clips[0].path, "dark|明るい", "dark|明るい", "dark", sure],
        [clips[1].path, "明るい", "dark|明るい", "dark", sure],
        [clips[2].path, "dark", "dark|明るい", "dark", sure],
        [clips[4].path, "明るい", "dark|明るい", "dark", sure],
    ]
    write_report(tmp_path, evaluate(Says(-2.0, -1.0, -3.0), several, settings), several, names)
    assert rows(tmp_path / "predictions.csv")[1][2:] == ["", "a|b", f"{1 / (1 + math.exp(1)):.4f}"]
