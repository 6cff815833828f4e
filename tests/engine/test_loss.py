"""The losses are what plain arithmetic says they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.loss import build_loss
from engine.recipe import Recipe, recipe_from


def recipe(classes: int, multi_label: bool, **schedule: Any) -> Recipe:
    return recipe_from({"head": {"num_classes": classes, "multi_label": multi_label}, "schedule": schedule})


@given(st.integers(2, 9), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5]), st.integers(0, 2**32))
@settings(max_examples=50)
def test_both_losses_by_hand(classes: int, clips: int, smoothing: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, weights = rng.normal(0, 3, (clips, classes)), rng.uniform(0.5, 2, classes)
    label, hot = rng.integers(0, classes, clips), (rng.random((clips, classes)) < 0.4).astype(float)

    def loss(multi_label: bool, targets: np.ndarray) -> list[float]:
        built = build_loss(recipe(classes, multi_label, label_smoothing=smoothing), torch.tensor(weights))
        return built(torch.tensor(logits), torch.tensor(targets)).tolist()

    yes = 1 / (1 + np.exp(-logits))
    smooth = hot * (1 - smoothing) + smoothing / classes
    by_class = -(smooth * np.log(yes) + (1 - smooth) * np.log(1 - yes))
    assert loss(True, hot) == pytest.approx((by_class * weights).sum(axis=1).tolist())

    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    smooth = np.eye(classes)[label] * (1 - smoothing) + smoothing / classes
    assert loss(False, label) == pytest.approx((-(smooth * np.log(share)).sum(axis=1) * weights[label]).tolist())
    assert loss(False, np.eye(classes)[label]) == pytest.approx(loss(False, label))


@pytest.mark.parametrize("multi_label", [True, False])
def test_a_logit_is_moved_by_how_far_it_is_off_whatever_the_number_of_classes(multi_label: bool) -> None:
    """One learning rate suits both losses: the gradient is probability - target for a clip of each."""
    for classes in (2, 313):
        logits = torch.zeros(1, classes, requires_grad=True)
        hot = torch.zeros(1, classes)
        hot[0, 1] = 1
        build_loss(recipe(classes, multi_label))(logits, hot).sum().backward()
        assert logits.grad is not None
        assert logits.grad[0, 1].item() == pytest.approx((0.5 if multi_label else 1 / classes) - 1)


def test_sure_logits_stay_finite() -> None:
    found = build_loss(recipe(2, True))(torch.tensor([[500.0, -500.0]]), torch.tensor([[0.0, 1.0]]))
    assert found.tolist() == [1000.0]
