"""Decision 3, the schedule: what is frozen, which parameters learn how fast, and how the learning rate changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from engine import recipe
from engine.errors import RecipeError
from engine.learning_rate import lr_at, scaled_lr
from engine.lora import is_correction

# --- what is frozen ---------------------------------------------------------------------------------------------------


def set_frozen(model: nn.Module, schedule: recipe.Schedule, epoch: int) -> None:
    """What is frozen in an epoch gets no gradients and computes as in evaluation: no dropout, and batch normalisation
    with its pretrained statistics. With freeze_batch_norm, that gets no gradients either. Call it after
    `model.train()`, at the start of every epoch."""
    prefixes = frozen_parts(model, schedule) if is_frozen_at(schedule, epoch) else ()
    for name, parameter in model.named_parameters():
        is_corrected = schedule.lora > 0 and _is_in(name, ("backbone",)) and not is_correction(name)
        parameter.requires_grad_(not is_corrected and not _is_in(name, prefixes))
    for name, module in model.named_modules():
        if _is_in(name, prefixes):
            module.eval()
        if schedule.freeze_batch_norm and isinstance(module, _BatchNorm):
            module.requires_grad_(False)


def is_frozen_at(schedule: recipe.Schedule, epoch: int) -> bool:
    """epoch: 1-based."""
    return schedule.freeze != "none" and not 0 < schedule.unfreeze_at_epoch <= epoch


def frozen_parts(model: nn.Module, schedule: recipe.Schedule) -> tuple[str, ...]:
    """Names of the modules and parameters that `schedule.freeze` names; all below them belong to it.

    Raises RecipeError where the backbone has fewer stages.
    """
    if schedule.freeze == "none":
        return ()
    if schedule.freeze == "backbone":
        return ("backbone",)
    stem, *stages = stages_of(model)
    wanted = int(schedule.freeze.partition(":")[2] or 0)
    if wanted > len(stages):
        raise RecipeError(
            f'[schedule] freeze = "{schedule.freeze}", but this backbone has {len(stages)} stages behind its stem; '
            'use a smaller number, or "backbone".'
        )
    return tuple(name for stage in (stem, *stages[:wanted]) for name in stage)


def stages_of(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The parts of a recognizer's backbone from the frames on, the stem first: names of modules and parameters."""
    return model.stages()  # type: ignore[operator]


def _is_in(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


# --- which parameters learn how fast ----------------------------------------------------------------------------------


def build_optimizer(model: nn.Module, recipe: recipe.Recipe, device: torch.device) -> torch.optim.Optimizer:
    """SGD or AdamW over the groups of `parameter_groups`, updated in one fused kernel where torch has one.

    Not SGD in fp16: where the loss scaler leaves out the first step, torch's fused kernel goes on with a momentum that
    nobody has set.
    """
    schedule = recipe.schedule
    groups = parameter_groups(model, schedule)
    lr, weight_decay = scaled_lr(schedule), schedule.weight_decay
    fused = device.type in ("cuda", "cpu", "mps")
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(
        groups,
        lr=lr,
        momentum=schedule.momentum,
        nesterov=schedule.nesterov,
        weight_decay=weight_decay,
        fused=fused and recipe.run.precision != "fp16",
    )


def parameter_groups(model: nn.Module, schedule: recipe.Schedule) -> list[dict]:
    """One group for each combination of stage, weight, bias or norm, and head; empty ones are left out.

    The head learns head_lr_multiplier times as fast and biases bias_lr_multiplier times (a head's bias both); norms and
    biases have no weight decay where decay_norm_and_bias is off. With layer_decay, a stage learns layer_decay times as
    fast as the one behind it, the last one as the head (Clark et al. 2020, https://arxiv.org/abs/2003.10555). What
    stays frozen to the end is left out; what learns later has groups of its own, since torch's fused SGD cannot step
    tensors with and without momentum in one.
    """
    frozen = frozen_parts(model, schedule)
    stages = stages_of(model) if schedule.layer_decay < 1 else ()
    groups: dict[str, dict] = {}
    for module_name, module in model.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            name = f"{module_name}.{own_name}"
            is_frozen = _is_in(name, frozen)
            if not parameter.requires_grad or (is_frozen and not schedule.unfreeze_at_epoch):
                continue
            part, speed = _part_and_speed(name, stages, schedule)
            is_norm = isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm)
            kind = "norm" if is_norm else "bias" if own_name.endswith("bias") else "weight"
            speed *= schedule.bias_lr_multiplier if kind == "bias" else 1.0
            decays = kind == "weight" or schedule.decay_norm_and_bias
            group = groups.setdefault(
                f"{part} {kind}, later" if is_frozen else f"{part} {kind}",
                {
                    "params": [],
                    "lr": scaled_lr(schedule) * speed,
                    "weight_decay": schedule.weight_decay if decays else 0.0,
                },
            )
            group["params"].append(parameter)
    return [{"name": name, **group} for name, group in groups.items()]


def _part_and_speed(name: str, stages: tuple[tuple[str, ...], ...], schedule: recipe.Schedule) -> tuple[str, float]:
    """The part of the network that a parameter belongs to, and how fast it learns beside the others."""
    if _is_in(name, ("head",)):
        return "head", schedule.head_lr_multiplier
    for depth, stage in enumerate(stages):
        if _is_in(name, stage):
            return f"stage {depth}", schedule.layer_decay ** (len(stages) - depth)
    return "backbone", 1.0


# --- how the learning rate changes ------------------------------------------------------------------------------------


def build_scheduler(optimizer: torch.optim.Optimizer, schedule: recipe.Schedule, steps_per_epoch: int) -> LambdaLR:
    """Warm-up, then the policy, as `lr_at` has them; `step()` it once an optimiser step."""
    full = scaled_lr(schedule)
    return LambdaLR(optimizer, lambda step: lr_at(schedule, step / steps_per_epoch) / full)


def set_base_lrs(optimizer: torch.optim.Optimizer, scheduler: LambdaLR, base_lrs: Sequence[float]) -> None:
    """The rates that the policy multiplies, one a parameter group; takes effect at once."""
    scheduler.base_lrs = list(base_lrs)
    scheduler._last_lr = [
        base * factor(scheduler.last_epoch) for base, factor in zip(base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, base, lr in zip(optimizer.param_groups, base_lrs, scheduler._last_lr, strict=True):
        group["initial_lr"], group["lr"] = base, lr


# --- around a step ----------------------------------------------------------------------------------------------------


def clip_gradients(parameters: Iterable[nn.Parameter], schedule: recipe.Schedule) -> torch.Tensor:
    """Scale gradients down to grad_clip_norm in total (0: leave them); returns the norm they had."""
    parameters = list(parameters)
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if schedule.grad_clip_norm:
        nn.utils.clip_grads_with_norm_(parameters, schedule.grad_clip_norm, norm)
    return norm


def build_average(model: nn.Module, schedule: recipe.Schedule) -> AveragedModel | None:
    """torch's moving average of weights and batch statistics; `update_parameters(model)` after every step.

    The decay starts low and rises as (1 + n) / (10 + n) after n steps, up to `ema`: else a short fine-tuning would end
    with the average still at the start (the rule of TensorFlow's ExponentialMovingAverage).
    """
    if not schedule.ema:
        return None

    @torch.no_grad()
    def update(averages: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor | int) -> None:
        decay = min(schedule.ema, (1 + int(steps)) / (10 + int(steps)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - decay)
        else:  # counters
            torch._foreach_copy_(averages, current)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)  # type: ignore[arg-type]
