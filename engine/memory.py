"""How many clips fit at a time: found by trying real steps, and halved where a step runs out of memory.

A batch is what the recipe says. Where it does not fit, it is worked through in micro-batches whose gradients add up.
"""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path

import torch
from torch import nn

from engine.dataset.augment import normalise
from engine.dataset.loader import Batch
from engine.device import autocast
from engine.errors import DeviceError
from engine.meter import peak_memory_mb
from engine.recipe import Recipe
from engine.schedule import build_optimizer, set_frozen

# Beyond this a larger batch makes no step faster, but the schedule has to follow it.
LARGEST_BATCH = 128
# Steps an epoch should have at least: a handful of clips is not one batch.
STEPS_AN_EPOCH = 8
# What trying leaves free on a GPU: the memory of real clips varies a little, and other processes come and go.
_FREE_SHARE = 0.1
# On a CPU, memory that runs out ends the process without a word: stay far away.
_CPU_SHARE = 0.5

ADVICE = "Use fewer model.segments, a smaller dataset.frame_size or backbone, or freeze more of it ([schedule] freeze)."


def is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for GPUs; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)
    )


def free_cached_memory(device: torch.device) -> None:
    """After a step that did not fit: what it had allocated goes back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def largest_batch(model: nn.Module, recipe: Recipe, loss: nn.Module, batch: Batch, device: torch.device) -> int:
    """The largest power of two of clips that fit at a time, up to LARGEST_BATCH.

    Tries real steps on `batch`, which holds one clip, repeated; the model and the random generators are afterwards as
    they were. Raises DeviceError where not even one clip fits.
    """
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fits = 0
    try:
        for size in (2**power for power in range(LARGEST_BATCH.bit_length())):
            if not _fits(model, recipe, loss, batch, size, device):
                break
            fits = size
    finally:
        model.load_state_dict(before)
        free_cached_memory(device)
    if not fits:
        raise DeviceError(f"Not even one clip at a time fits into the memory of the device. {ADVICE}")
    return fits


def _fits(model: nn.Module, recipe: Recipe, loss: nn.Module, batch: Batch, size: int, device: torch.device) -> bool:
    before = peak_memory_mb(device)
    try:
        with torch.random.fork_rng():
            _step(model, recipe, loss, batch, size, device)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return False
        raise
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free >= _FREE_SHARE * total
    if device.type == "cpu" and memory_limit_mb():
        peak = peak_memory_mb(device)
        return peak + 2 * (peak - before) <= _CPU_SHARE * memory_limit_mb()  # the next size needs twice as much more
    return True


def _step(model: nn.Module, recipe: Recipe, loss: nn.Module, batch: Batch, size: int, device: torch.device) -> None:
    """Forward, backward and an optimiser step whose learning rate is 0."""
    frames = batch.frames.to(device).expand(size, *batch.frames.shape[1:])
    targets = batch.labels.to(device).expand(size, *batch.labels.shape[1:])
    optimizer = build_optimizer(model, recipe, device)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    model.train()
    set_frozen(model, recipe.schedule, epoch=recipe.schedule.unfreeze_at_epoch)  # the epoch that needs the most
    with autocast(device, recipe.run.precision):
        logits = model(normalise(frames, recipe.model))
    loss(logits.float(), targets).mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def memory_limit_mb() -> float:
    """What this process may use: the machine's memory, or what its container is given; 0 where nobody says."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max" where the container has no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits, default=0) / 2**20
