"""Which parameter learns how fast, at every step of a run."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, SequentialLR

from engine.learning_rate import lr_arithmetic, lr_at, scaled_lr
from engine.model import build_model
from engine.recipe import Recipe, Schedule, load_recipe, recipe_from
from engine.schedule import build_optimizer, build_scheduler, clip_gradients, parameter_groups

CPU = torch.device("cpu")


def rates(schedule: Schedule, steps_per_epoch: int) -> list[float]:
    """The rate of every step of a run, and of the one after it, as the optimiser has it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=scaled_lr(schedule))
    return _stepped(optimizer, build_scheduler(optimizer, schedule, steps_per_epoch), schedule, steps_per_epoch)


def rates_by_torch(schedule: Schedule, steps_per_epoch: int) -> list[float]:
    """The same by torch's own warm-up and policies, which know whole steps only."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=scaled_lr(schedule))
    total, warmup = schedule.epochs * steps_per_epoch, int(schedule.warmup_epochs * steps_per_epoch)
    assert warmup == schedule.warmup_epochs * steps_per_epoch
    policies: dict[str, LRScheduler] = {
        "step": MultiStepLR(
            optimizer, [max(0, m * steps_per_epoch - warmup) for m in schedule.milestones], gamma=schedule.gamma
        ),
        "cosine": CosineAnnealingLR(optimizer, T_max=total - warmup),
        "constant": ConstantLR(optimizer, factor=1.0),
    }
    scheduler = policies[schedule.lr_policy]
    optimizer.param_groups[0]["lr"] = scaled_lr(schedule)  # building three on one optimiser has changed it
    if warmup:
        rise = LinearLR(optimizer, start_factor=schedule.warmup_start, total_iters=warmup)
        scheduler = SequentialLR(optimizer, [rise, scheduler], milestones=[warmup])
    return _stepped(optimizer, scheduler, schedule, steps_per_epoch)


def _stepped(
    optimizer: torch.optim.Optimizer, scheduler: LRScheduler, schedule: Schedule, steps_per_epoch: int
) -> list[float]:
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(schedule.epochs * steps_per_epoch):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


POLICIES: list[dict[str, Any]] = [
    {"lr_policy": "step", "milestones": (4, 8)},
    {"lr_policy": "step", "milestones": (1, 2, 6), "gamma": 0.5},
    {"lr_policy": "step", "milestones": ()},
    {"lr_policy": "cosine"},
    {"lr_policy": "constant"},
]


@pytest.mark.parametrize("warmup", [0.0, 1.0, 2.5, 3.0])
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_rate_is_torchs_at_every_step(policy: dict[str, Any], warmup: float) -> None:
    """Milestones inside the warm-up too."""
    schedule = Schedule(epochs=10, lr=0.02, warmup_epochs=warmup, warmup_start=0.2, **policy)
    assert rates(schedule, 6) == pytest.approx(rates_by_torch(schedule, 6), rel=1e-9, abs=1e-12)


@given(
    st.sampled_from(POLICIES), st.floats(0, 15), st.integers(1, 12), st.integers(1, 9), st.floats(0.01, 1), st.data()
)
def test_the_rate_is_lr_at_at_every_step(
    policy: dict[str, Any], warmup: float, epochs: int, steps_per_epoch: int, start: float, data: st.DataObject
) -> None:
    """What a person is shown is what the optimiser is given, with any fraction of warm-up."""
    schedule = Schedule(epochs=epochs, warmup_epochs=warmup, warmup_start=start, **policy)
    found = rates(schedule, steps_per_epoch)
    shown = [lr_at(schedule, step / steps_per_epoch) for step in range(len(found))]
    assert found == pytest.approx(shown, rel=1e-12, abs=1e-18)
    assert all(0 <= rate <= scaled_lr(schedule) * (1 + 1e-12) for rate in found)
    if 0 < warmup < epochs:  # a straight line up to its end, wherever between two steps that is
        step = data.draw(st.integers(0, int(warmup * steps_per_epoch)))
        done = min(step / steps_per_epoch / warmup, 1.0)
        if done < 1:
            assert found[step] == pytest.approx(scaled_lr(schedule) * (start + (1 - start) * done))


def test_the_tutorials_rates() -> None:
    """lr 0.005 for 256 clips, 32 a step, milestones 20 and 40."""
    schedule = load_recipe("tsn-r50-ucf101").schedule
    found = rates(schedule, steps_per_epoch=10)
    base = 0.005 * 32 / 256
    assert found[:200] == [pytest.approx(base)] * 200
    assert found[200:400] == [pytest.approx(base / 10)] * 200
    assert found[400:500] == [pytest.approx(base / 100)] * 100


def test_the_arithmetic_is_shown() -> None:
    schedule = Schedule(lr=0.005, batch_size=16, lr_batch_size=256)
    assert scaled_lr(schedule) == 0.0003125
    assert lr_arithmetic(schedule) == "lr 0.005 × 16/256 = 0.0003125"
    unscaled = Schedule(lr=0.005, batch_size=16, lr_batch_size=0)
    assert scaled_lr(unscaled) == 0.005 and lr_arithmetic(unscaled) == "lr 0.005 (not scaled)"


def test_cosine_ends_at_zero_and_is_halfway_in_the_middle() -> None:
    found = rates(Schedule(epochs=4, lr_batch_size=0, lr=1.0, lr_policy="cosine"), 10)
    assert found[0] == 1.0 and found[20] == pytest.approx(0.5) and found[40] == pytest.approx(0.0, abs=1e-15)


def test_each_group_keeps_its_own_multiple() -> None:
    schedule = Schedule(epochs=4, head_lr_multiplier=5.0, bias_lr_multiplier=2.0, warmup_epochs=1, milestones=(2,))
    optimizer = build_optimizer(model("tsn"), Recipe(schedule=schedule), CPU)
    scheduler = build_scheduler(optimizer, schedule, 3)
    for step in range(12):
        for group in optimizer.param_groups:
            multiple = (5 if "head" in group["name"] else 1) * (2 if "bias" in group["name"] else 1)
            assert group["lr"] == pytest.approx(multiple * lr_at(schedule, step / 3))
        optimizer.step()
        scheduler.step()


def test_a_scheduler_goes_on_from_its_state() -> None:
    schedule = Schedule(epochs=6, warmup_epochs=1.3, milestones=(2, 4))
    whole = rates(schedule, 4)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=scaled_lr(schedule))
    scheduler = build_scheduler(optimizer, schedule, 4)
    for _ in range(9):
        optimizer.step()
        scheduler.step()
    state = scheduler.state_dict(), optimizer.state_dict()

    again = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=scaled_lr(schedule))
    resumed = build_scheduler(again, schedule, 4)
    again.load_state_dict(state[1])
    resumed.load_state_dict(state[0])
    for step in range(9, 24):
        assert again.param_groups[0]["lr"] == whole[step]
        again.step()
        resumed.step()


# --- parameter groups -------------------------------------------------------------------------------------------------


@cache
def model(recognizer: str, backbone: str = "resnet18") -> nn.Module:
    return build_model(
        recipe_from({"model": {"recognizer": recognizer, "backbone": backbone}, "head": {"num_classes": 5}})
    )


@pytest.mark.slow
@pytest.mark.parametrize("decays", [True, False])
@pytest.mark.parametrize(
    ("recognizer", "backbone"),
    [("tsn", "resnet18"), ("tsm", "resnet18"), ("tsn", "vit_b_16"), ("tsn", "convnext_tiny")],
)
def test_every_parameter_is_in_one_group_as_it_should_be(recognizer: str, backbone: str, decays: bool) -> None:
    schedule = Schedule(
        lr=0.01,
        lr_batch_size=0,
        weight_decay=5e-4,
        head_lr_multiplier=5.0,
        bias_lr_multiplier=2.0,
        decay_norm_and_bias=decays,
    )
    network = model(recognizer, backbone)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, schedule)
        for parameter in group["params"]
    }
    assert sum(len(group["params"]) for group in parameter_groups(network, schedule)) == len(found)
    assert set(found) == {id(parameter) for parameter in network.parameters()}
    norms = {
        id(parameter)
        for module in network.modules()
        if "Norm" in type(module).__name__
        for parameter in module.parameters(recurse=False)
    }
    assert norms
    for name, parameter in network.named_parameters():
        bias = name.endswith("bias") and id(parameter) not in norms
        rate = 0.01 * (5 if name.startswith("head.") else 1) * (2 if bias else 1)
        decay = 5e-4 if decays or not (bias or id(parameter) in norms) else 0.0
        assert found[id(parameter)] == (pytest.approx(rate), decay), name


def test_groups_are_named_and_few() -> None:
    groups = parameter_groups(model("tsm"), Schedule())
    assert [group["name"] for group in groups] == ["backbone weight", "backbone norm", "head weight", "head bias"]


def test_the_heads_bias_of_mmactions_fc_lr5() -> None:
    schedule = Schedule(
        lr=1.0, lr_batch_size=0, head_lr_multiplier=5.0, bias_lr_multiplier=2.0, decay_norm_and_bias=False
    )
    groups = {group["name"]: group for group in parameter_groups(model("tsm"), schedule)}
    settings = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert settings == {
        "backbone weight": (1.0, 1e-4),
        "backbone norm": (1.0, 0.0),
        "head weight": (5.0, 1e-4),
        "head bias": (10.0, 0.0),
    }
    assert groups["head bias"]["params"] == [model("tsm").head.fc.bias]


def test_a_frozen_parameter_is_in_no_group() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].weight.requires_grad = False
    groups = parameter_groups(network, Schedule())
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in (network[0].bias, network[1].weight, network[1].bias)
    }


def one_step(schedule: Schedule) -> nn.Linear:
    """A linear layer of ones after one step with a gradient of 0.5 everywhere, and one of zero."""
    layer = nn.Linear(2, 1)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = build_optimizer(layer, Recipe(schedule=schedule), CPU)
    for gradient in (0.5, 0.0):
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return layer


def test_sgd_steps_as_on_paper() -> None:
    schedule = Schedule(lr=0.1, lr_batch_size=0, momentum=0.9, weight_decay=0.01, decay_norm_and_bias=False)
    layer = one_step(schedule)
    weight, velocity = 1.0, 0.0
    for gradient in (0.5, 0.0):
        velocity = 0.9 * velocity + gradient + 0.01 * weight
        weight -= 0.1 * velocity
    assert layer.weight.tolist()[0] == [pytest.approx(weight)] * 2
    assert layer.bias.item() == pytest.approx(1 - 0.1 * 0.5 - 0.1 * 0.9 * 0.5)  # no decay


def test_nesterov_looks_ahead() -> None:
    schedule = Schedule(lr=0.1, lr_batch_size=0, momentum=0.9, weight_decay=0.0, nesterov=True)
    assert one_step(schedule).bias.item() == pytest.approx(1 - 0.1 * (0.5 + 0.9 * 0.5) - 0.1 * 0.9 * 0.9 * 0.5)


def test_adamw_decays_apart_from_the_gradient() -> None:
    schedule = Schedule(
        optimizer="adamw", lr=0.1, lr_batch_size=0, weight_decay=0.2, decay_norm_and_bias=False, bias_lr_multiplier=1.0
    )
    optimizer = build_optimizer(nn.Linear(2, 1), Recipe(schedule=schedule), CPU)
    assert isinstance(optimizer, torch.optim.AdamW)
    layer = one_step(schedule)
    assert layer.bias.item() < 0.9  # the first step of Adam is lr, whatever the gradient
    assert layer.weight[0, 0].item() < layer.bias.item()  # decay came on top


# --- clipping ---------------------------------------------------------------------------------------------------------


def with_gradients(*gradients: float) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(())) for _ in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return parameters


def gradients(parameters: list[nn.Parameter]) -> list[float]:
    return [parameter.grad.item() for parameter in parameters if parameter.grad is not None]


def test_gradients_are_scaled_down_to_the_total_norm() -> None:
    parameters = with_gradients(30.0, 40.0)
    assert clip_gradients(parameters, Schedule(grad_clip_norm=5.0)).item() == pytest.approx(50.0)
    assert gradients(parameters) == [pytest.approx(3.0), pytest.approx(4.0)]


def test_small_gradients_are_left_alone() -> None:
    parameters = with_gradients(3.0, 4.0)
    assert clip_gradients(parameters, Schedule(grad_clip_norm=40.0)).item() == pytest.approx(5.0)
    assert gradients(parameters) == [3.0, 4.0]


@pytest.mark.parametrize("size", [1e-30, 1e6, 3e38])
def test_zero_never_clips(size: float) -> None:
    parameters = with_gradients(size, -size / 3)
    before = gradients(parameters)
    norm = clip_gradients(parameters, Schedule(grad_clip_norm=0.0))
    assert gradients(parameters) == before
    if size < 1e19:  # beyond, the square is not a float
        assert norm.item() == pytest.approx(size * (10**0.5) / 3, rel=1e-5)


def test_a_parameter_without_a_gradient_is_fine() -> None:
    parameters = [*with_gradients(30.0, 40.0), nn.Parameter(torch.zeros(()))]
    assert clip_gradients(parameters, Schedule(grad_clip_norm=5.0)).item() == pytest.approx(50.0)
    assert parameters[2].grad is None
