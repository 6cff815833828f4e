"""Non-local blocks: the formula, and that a new one changes nothing. MMAction2's logits are in tests/oracle."""

from __future__ import annotations

import copy

import pytest
import torch

from engine.errors import RecipeError
from engine.model import build_model
from engine.model.non_local import NonLocal, NonLocalOverSegments
from engine.recipe import Recipe, recipe_from

FRAMES = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def recipe(recognizer: str, **model: object) -> Recipe:
    frames = {"segments": 4} if recognizer == "tsm" else {"clip_len": 4}
    tables = {"model": {"recognizer": recognizer, "backbone": "resnet50", **frames, **model}}
    return recipe_from({**tables, "head": {"num_classes": 5}, "dataset": {"short_side": 32, "frame_size": 32}})


def test_a_dot_product_is_the_formula_of_the_paper() -> None:
    """y_i = 1/N sum over j of (theta(x_i) . phi(x_j)) g(x_j), with the places j thinned out."""
    torch.manual_seed(0)
    block, x = NonLocal(4, "dot_product").eval(), torch.randn(1, 4, 2, 4, 4)
    torch.nn.init.normal_(block.norm.weight)
    theta, phi, g = block.theta(x), block.thin_out(block.phi(x)), block.thin_out(block.g(x))
    places = [(t, h, w) for t in range(2) for h in range(2) for w in range(2)]
    y = torch.zeros(1, 2, 2, 4, 4)
    for t in range(2):
        for h in range(4):
            for w in range(4):
                for j in places:
                    alike = (theta[0, :, t, h, w] * phi[0, :, j[0], j[1], j[2]]).sum()
                    y[0, :, t, h, w] += alike * g[0, :, j[0], j[1], j[2]] / len(places)
    assert torch.allclose(block(x), x + block.norm(block.out(y)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("recognizer", ["tsm", "slowonly", "i3d"])
def test_new_blocks_change_nothing_and_keep_the_names_of_the_network(recognizer: str) -> None:
    frames, clip = FRAMES, {}
    if recognizer == "i3d":  # it halves the time three times
        frames, clip = torch.cat([FRAMES, FRAMES], dim=1), {"clip_len": 8}
    plain = build_model(recipe(recognizer, **clip)).eval()
    model = build_model(recipe(recognizer, **clip, non_local="embedded_gaussian")).eval()
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert {name.split(".")[3] for name in added} == {"non_local_block"} and len(added) == 5 * 12
    model.load_state_dict(plain.state_dict(), strict=False)
    with torch.inference_mode():
        assert torch.equal(model(frames), plain(frames))


@pytest.mark.slow
def test_blocks_learn_and_are_copied_with_the_network() -> None:
    """The moving average of the weights is a copy, whose blocks must be its own."""
    model = build_model(recipe("slowonly", non_local="dot_product"))
    model(FRAMES).sum().backward()
    assert model.backbone.layer2[0].non_local_block.norm.weight.grad.abs().sum() > 0
    twin = copy.deepcopy(model).eval()
    for block in (module for module in twin.modules() if isinstance(module, NonLocal)):
        torch.nn.init.ones_(block.norm.weight)
    with torch.inference_mode():
        assert not torch.allclose(twin(FRAMES), model.eval()(FRAMES))


def test_segments_of_one_clip_see_each_other_and_no_other_clip() -> None:
    torch.manual_seed(0)
    block = NonLocalOverSegments(4, "embedded_gaussian", segments=2).eval()
    torch.nn.init.ones_(block.norm.weight)
    frames = torch.randn(4, 4, 6, 6)  # two clips
    other = frames.clone()
    other[1] += 1
    changed = (block(frames) != block(other)).flatten(1).any(dim=1)
    assert changed.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("recognizer", "backbone"), [("tsm", "resnet18"), ("tsm", "mobilenet_v2"), ("i3d", "resnet34")]
)
def test_networks_without_bottlenecks_are_refused(recognizer: str, backbone: str) -> None:
    with pytest.raises(RecipeError, match=f"non_local is for ResNets of bottlenecks, .* not for {backbone}"):
        build_model(recipe(recognizer, backbone=backbone, non_local="gaussian"))


@pytest.mark.parametrize("recognizer", ["tsn", "c2d", "slowfast"])
def test_recognizers_that_have_none_are_refused(recognizer: str) -> None:
    with pytest.raises(
        RecipeError, match=f"non_local is .*{recognizer} has no non-local blocks; tsm, i3d and slowonly"
    ):
        recipe(recognizer, non_local="gaussian")
