"""Decision 3, the schedule: which parameters learn how fast, and how the learning rate changes over the run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from engine import recipe
from engine.learning_rate import lr_at, scaled_lr


def build_optimizer(model: nn.Module, schedule: recipe.Schedule) -> torch.optim.Optimizer:
    """SGD or AdamW over the groups of `parameter_groups`."""
    groups = parameter_groups(model, schedule)
    lr = scaled_lr(schedule)
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=lr, weight_decay=schedule.weight_decay)
    return torch.optim.SGD(
        groups, lr=lr, momentum=schedule.momentum, nesterov=schedule.nesterov, weight_decay=schedule.weight_decay
    )


def parameter_groups(model: nn.Module, schedule: recipe.Schedule) -> list[dict]:
    """One group for each combination of head or backbone, weight, bias or norm; empty ones are left out.

    The head learns head_lr_multiplier times as fast and biases bias_lr_multiplier times (a head's bias both); norms and
    biases have no weight decay where decay_norm_and_bias is off.
    """
    groups: dict[str, dict] = {}
    for module_name, module in model.named_modules():
        part = "head" if module_name.startswith("head") else "backbone"
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            is_norm = isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm)
            kind = "norm" if is_norm else "bias" if name.endswith("bias") else "weight"
            lr = scaled_lr(schedule)
            lr *= schedule.head_lr_multiplier if part == "head" else 1.0
            lr *= schedule.bias_lr_multiplier if kind == "bias" else 1.0
            decays = kind == "weight" or schedule.decay_norm_and_bias
            decay = schedule.weight_decay if decays else 0.0
            group = groups.setdefault(f"{part} {kind}", {"params": [], "lr": lr, "weight_decay": decay})
            group["params"].append(parameter)
    return [{"name": name, **group} for name, group in groups.items()]


def build_scheduler(optimizer: torch.optim.Optimizer, schedule: recipe.Schedule, steps_per_epoch: int) -> LRScheduler:
    """Warm-up, then the policy, as `lr_at` has them; `step()` it once an optimiser step."""
    full = scaled_lr(schedule)
    return LambdaLR(optimizer, lambda step: lr_at(schedule, step / steps_per_epoch) / full)


def clip_gradients(parameters: Iterable[nn.Parameter], schedule: recipe.Schedule) -> torch.Tensor:
    """Scale gradients down to grad_clip_norm in total (0: leave them); returns the norm they had."""
    parameters = list(parameters)
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if schedule.grad_clip_norm:
        nn.utils.clip_grads_with_norm_(parameters, schedule.grad_clip_norm, norm)
    return norm
