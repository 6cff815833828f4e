"""The heads: when frames are averaged, what dropout hits, how the last layer begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.head import ClassificationHead, TSMHead, TSNHead, build_head
from engine.recipe import Head


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_the_recognizer_decides_the_head() -> None:
    settings = Head(dropout=0.25, init_std=0.02)
    for recognizer, kind in {"tsn": TSNHead, "tsm": TSMHead}.items():
        head = build_head(settings, recognizer, features=7, num_classes=3)
        assert type(head) is kind
        assert head.dropout.p == 0.25 and (head.fc.in_features, head.fc.out_features) == (7, 3)
        assert sorted(head.state_dict()) == ["fc.bias", "fc.weight"]


@pytest.mark.parametrize("kind", [TSNHead, TSMHead])
def test_in_eval_the_scores_are_those_of_the_mean_features(kind: type[ClassificationHead]) -> None:
    head = kind(features=6, num_classes=4, dropout=0.9, init_std=1.0).eval()
    features = torch.randn(3, 5, 6)  # [B, T, D]
    scores = head(features)
    assert scores.shape == (3, 4)
    for clip in range(3):
        mean = sum(features[clip, frame] for frame in range(5)) / 5
        torch.testing.assert_close(scores[clip], head.fc.weight @ mean + head.fc.bias)


def test_tsn_drops_features_of_the_clip() -> None:
    """After averaging: a feature is dropped for all frames or none, so one clip has one mask."""
    head = TSNHead(features=1000, num_classes=2, dropout=0.4, init_std=1.0).train()
    seen: list[torch.Tensor] = []
    head.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head(torch.ones(1, 8, 1000))
    (kept,) = seen
    assert kept.shape == (1, 1000)
    assert kept.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    assert (kept == 0).float().mean().item() == pytest.approx(0.4, abs=0.06)


def test_tsm_drops_features_of_each_frame() -> None:
    """Before averaging: every frame has a mask of its own."""
    head = TSMHead(features=1000, num_classes=2, dropout=0.4, init_std=1.0).train()
    seen: list[torch.Tensor] = []
    head.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    scores = head(torch.ones(1, 8, 1000))
    (kept,) = seen
    assert kept.shape == (1, 8, 1000)
    assert not torch.equal(kept[0, 0], kept[0, 1])
    torch.testing.assert_close(scores, head.fc(kept).mean(dim=1))


@pytest.mark.parametrize("kind", [TSNHead, TSMHead])
def test_without_dropout_training_is_eval(kind: type[ClassificationHead]) -> None:
    head = kind(features=6, num_classes=4, dropout=0.0, init_std=1.0)
    features = torch.randn(3, 5, 6)
    assert torch.equal(head.train()(features), head.eval()(features))


@pytest.mark.parametrize("init_std", [0.001, 0.01, 0.2])
def test_the_last_layer_begins_small_and_unbiased(init_std: float) -> None:
    head = TSNHead(features=2048, num_classes=101, dropout=0.5, init_std=init_std)
    assert head.fc.weight.std().item() == pytest.approx(init_std, rel=0.02)
    assert abs(head.fc.weight.mean().item()) < init_std * 0.02
    assert torch.equal(head.fc.bias, torch.zeros(101))


def test_gradients_reach_every_frame() -> None:
    for kind in (TSNHead, TSMHead):
        features = torch.randn(2, 3, 6, requires_grad=True)
        nn.functional.cross_entropy(kind(6, 4, 0.0, 0.1)(features), torch.tensor([0, 1])).backward()
        assert features.grad is not None and (features.grad.abs().sum(dim=2) > 0).all()
