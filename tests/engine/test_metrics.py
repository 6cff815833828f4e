"""Average precisions are what MMAction2 defines, worked out anew in plain numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset.clips import Clip
from engine.metrics import Metrics, average_precision, chance_level, tally_for, training_accuracy
from engine.recipe import Recipe, recipe_from
from engine.torchvision_schemas import torchmetrics

CPU = torch.device("cpu")


def recipe(classes: int, **run: Any) -> Recipe:
    return recipe_from({"head": {"num_classes": classes, "multi_label": True}, "run": run})


def measured(logits: np.ndarray, labels: np.ndarray, batch: int = 4, **run: Any) -> Metrics:
    """logits: [clips, classes] or [clips, views, classes]."""
    views = torch.tensor(logits, dtype=torch.float32).reshape(len(logits), -1, logits.shape[-1])
    tally = tally_for(recipe(logits.shape[-1], **run), CPU)
    for start in range(0, len(logits), batch):
        part = slice(start, start + batch)
        tally.add(list(range(len(logits)))[part], views[part], torch.tensor(labels, dtype=torch.float32)[part])
    return tally.metrics()


# --- MMAction2's definition, step by step -----------------------------------------------------------------------------


def precision_by_hand(scores: np.ndarray, relevant: np.ndarray) -> float:
    """The area under the steps of the precision-recall curve; NaN where nothing is relevant."""
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & relevant).sum() / relevant.sum() if relevant.any() else math.nan
        area += (recall - recall_before) * (chosen & relevant).sum() / chosen.sum()
        recall_before = recall
    return area


@given(st.integers(2, 9), st.integers(1, 20), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_both_mean_average_precisions_by_hand(classes: int, clips: int, ties: bool, seed: int) -> None:
    """sample_map is mmit_mean_average_precision, the other its namesake, which leaves out classes without a clip."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (clips, classes)).round(0 if ties else 9)
    labels = rng.random((clips, classes)) < 0.3
    labels[range(clips), rng.integers(0, max(1, classes // 2), clips)] = (
        True  # a clip has a class, not each class clips
    )
    found = measured(logits, labels)

    of_clips = [precision_by_hand(row, own) for row, own in zip(logits, labels, strict=True)]
    assert found.sample_map == pytest.approx(np.mean(of_clips)) == found.key
    of_classes = [precision_by_hand(row, own) for row, own in zip(logits.T, labels.T, strict=True)]
    assert found.per_class == pytest.approx(of_classes, nan_ok=True)
    assert found.mean_average_precision == pytest.approx(np.nanmean(of_classes))

    yes = 1 / (1 + np.exp(-logits))
    assert found.loss == pytest.approx(-(np.log(np.where(labels, yes, 1 - yes))).sum(axis=1).mean(), rel=1e-5)
    if not ties:
        order = np.argsort(-logits, axis=1)
        hit = np.take_along_axis(labels, order, axis=1)
        assert (found.top1, found.top5) == (pytest.approx(hit[:, 0].mean()), pytest.approx(hit[:, :5].any(1).mean()))
        assert [best for _, best, _ in found.predictions] == order[:, 0].tolist()
        assert [p for _, _, p in found.predictions] == pytest.approx(yes.max(axis=1).tolist(), rel=1e-5)


@given(st.integers(2, 12), st.integers(1, 12), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=30)
def test_torchmetrics_ranks_the_same(classes: int, clips: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.tensor(rng.random((clips, classes)).round(1 if ties else 9))
    labels = torch.tensor(rng.random((clips, classes)) < 0.5)
    labels[:, 0] |= ~labels.any(dim=1)
    theirs = torchmetrics.functional.classification.multilabel_ranking_average_precision
    expected = float(theirs(scores, labels.long(), num_labels=classes))
    assert float(average_precision(scores, labels).mean()) == pytest.approx(expected, rel=1e-5)


# --- not always 1.0 ---------------------------------------------------------------------------------------------------


def test_a_ranking_the_wrong_way_round_is_far_from_one() -> None:
    """A mAP that is 1.0 whatever the model says has been reported more than once; here it is 1 for the best ranking,
    the least there can be for the worst, and in between for a coin."""
    rng = np.random.default_rng(0)
    labels = np.zeros((200, 20), bool)
    labels[np.arange(200), rng.integers(0, 20, 200)] = True
    labels[np.arange(200), rng.integers(0, 20, 200)] = True
    right = measured(np.where(labels, 5.0, -5.0) + rng.normal(0, 0.1, labels.shape), labels)
    assert (right.sample_map, right.mean_average_precision, right.top1) == (1.0, 1.0, 1.0)
    wrong = measured(np.where(labels, -5.0, 5.0) + rng.normal(0, 0.1, labels.shape), labels)
    assert wrong.sample_map < 0.1 and wrong.mean_average_precision < 0.1 and wrong.top1 == 0
    coin = measured(rng.normal(size=labels.shape), labels)
    assert 0.15 < coin.sample_map < 0.35 and 0.08 < coin.mean_average_precision < 0.25


def test_a_model_that_says_the_same_of_everything_is_at_chance() -> None:
    """Equal scores are one threshold: the precision there is the share of what is relevant, not 1."""
    labels = np.eye(4, dtype=bool)[[0, 1, 2, 3, 0, 0]]
    found = measured(np.zeros((6, 4)), labels)
    assert found.sample_map == 0.25
    assert found.per_class == pytest.approx([3 / 6, 1 / 6, 1 / 6, 1 / 6])


def test_classes_without_a_clip_are_left_out_and_not_called_nought() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0]], bool)
    found = measured(np.array([[3.0, 1, 2], [3, 1, 2]]), labels)
    assert found.per_class == pytest.approx([1.0, 0.5, math.nan], nan_ok=True)
    assert found.mean_average_precision == 0.75


def test_sure_scores_keep_their_order() -> None:
    """Both sigmoids are 1 in float32: as equals they would cost the clip half its precision."""
    assert measured(np.array([[20.0, 25.0]]), np.array([[False, True]])).sample_map == 1.0
    views = np.array([[[18.0, 30.0], [22.0, 24.0]]])
    for way in ("prob", "score"):
        assert measured(views, np.array([[False, True]]), average_clips=way).sample_map == 1.0


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_views_are_averaged_as_probabilities_or_as_scores() -> None:
    views = np.array([[[6.0, 0.0]] + [[-2.0, 0.0]] * 9])
    sigmoid = 1 / (1 + np.exp(-views[0]))
    labels = np.array([[True, False]])
    by_probability = measured(views, labels, average_clips="prob")
    expected = sigmoid.mean(axis=0)
    assert by_probability.probabilities is not None
    assert by_probability.probabilities[0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert by_probability.loss == pytest.approx(-math.log(expected[0]) - math.log(1 - expected[1]), rel=1e-5)
    by_score = measured(views, labels, average_clips="score")
    assert by_score.predictions == [(0, 1, 0.5)] and by_score.probabilities is not None
    assert float(by_score.probabilities[0, 0]) == pytest.approx(1 / (1 + math.exp(1.2)), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_without_a_single_clip_nothing_is_known() -> None:
    found = tally_for(recipe(3), CPU).metrics()
    unknown = [found.loss, found.top1, found.top5, found.key, found.mean_average_precision, *found.per_class]
    assert all(math.isnan(value) for value in unknown) and len(found.per_class) == 3
    assert found.predictions == [] and found.most_confused() == []


def test_accuracy_while_training() -> None:
    logits = torch.tensor([[0.1, 0.9, 0.0]] * 3)
    assert training_accuracy(logits, torch.tensor([1, 0, 2]), False).tolist() == [True, False, False]
    mixed = torch.tensor([[0.3, 0.7, 0], [0.7, 0.3, 0], [0.5, 0.5, 0]])
    assert training_accuracy(logits, mixed, False).tolist() == [True, False, True]
    hot = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0.5, 0, 0]])
    assert training_accuracy(logits, hot, True).tolist() == pytest.approx([1, (1 / 2 + 2 / 3) / 2, 1 / 2])


def test_a_logit_that_is_no_number_ends_the_run_elsewhere() -> None:
    """Nothing here may fail first: the message about the learning rate comes after this."""
    found = training_accuracy(torch.full((2, 3), math.nan), torch.tensor([[1.0, 0, 0]] * 2), True)
    assert found.shape == (2,)


def test_chance_is_the_key_metric_of_the_commonest_classes() -> None:
    one = recipe_from({"head": {"num_classes": 3}})
    assert chance_level([Clip("a", 0), Clip("b", 2), Clip("c", 2)], one) == pytest.approx(2 / 3)
    sets = [(0,), (0, 1), (2, 0), (2,), (1, 2), (2,)]
    clips = [Clip(str(number), of[0], labels=of) for number, of in enumerate(sets)]
    labels = np.array([[label in of for label in range(4)] for of in sets])
    always_the_same = np.tile(labels.sum(axis=0).astype(float), (len(sets), 1))
    assert chance_level(clips, recipe(4)) == pytest.approx(measured(always_the_same, labels).key)
