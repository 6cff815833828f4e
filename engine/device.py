"""What the training runs on: the device, the precision, the worker processes, and what "auto" makes of them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from engine.distributed import ALONE, World
from engine.errors import DeviceError


def choose_device(asked: str, world: World = ALONE) -> torch.device:
    """auto: the GPU if there is one, then Apple's, then the CPU. Of several GPUs, this process's own.

    Raises DeviceError for what is not there.
    """
    if world.size > 1:
        return _one_of_several(asked, world)
    if asked == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    device = torch.device(asked)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = (
            f"there are {torch.cuda.device_count()} CUDA devices"
            if torch.cuda.is_available()
            else "CUDA is not available"
        )
        raise DeviceError(f'[run] device = "{asked}", but {found} here; set it to "auto" or "cpu".')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError('[run] device = "mps", but this machine has no Apple GPU; set it to "auto" or "cpu".')
    return device


def _one_of_several(asked: str, world: World) -> torch.device:
    if asked == "cpu":
        return torch.device("cpu")
    found = torch.cuda.device_count()
    if found < world.size:
        there = f"there {'is one CUDA device' if found == 1 else f'are {found} CUDA devices'} here; set it to {found}"
        advice = there if found else 'CUDA is not available here; set it to 1, or device to "cpu" for as many processes'
        raise DeviceError(f"[run] gpus = {world.size}, but {advice}.")
    torch.cuda.set_device(world.rank)
    return torch.device("cuda", world.rank)


def choose_precision(asked: str, device: torch.device) -> str:
    """auto: bf16 on a CUDA GPU that computes in it, fp16 on one that only has that, else fp32 (on a CPU without it,
    bf16 is 16 times slower)."""
    if asked != "auto":
        return asked
    if device.type != "cuda":
        return "fp32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"


def choose_channels_last(asked: bool | str, device: torch.device) -> bool:
    """auto: on a CUDA GPU, whose tensor cores want it."""
    return device.type == "cuda" if asked == "auto" else bool(asked)


def choose_workers(asked: int | str, device: torch.device, gpus: int = 1) -> int:
    """auto: one process a core beside a GPU, at most 8; on a CPU one, since the model needs the cores itself. Several
    GPUs share the cores."""
    if isinstance(asked, int):
        return asked
    return max(1, min(8, available_cores() // gpus)) if device.type != "cpu" else 1


def available_cores() -> int:
    """Cores this process may use (a container or a cluster may give it fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The precision that the forward pass computes in."""
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, dtype=dtypes[precision]) if precision in dtypes else nullcontext()


def store_channels_last(model: nn.Module) -> None:
    """The kernels of convolutions with the channels last; what they compute follows them."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
        elif parameter.dim() == 5:
            parameter.data = parameter.data.to(memory_format=torch.channels_last_3d)


def make_fast(tf32: bool) -> None:
    """A CUDA GPU tries which convolution is the fastest for each shape; fp32 products may be rounded to TF32."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def make_deterministic() -> None:
    """Only algorithms that give the same result every time; torch says so where there is none."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def describe(device: torch.device, gpus: int = 1) -> str:
    """A name for people."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return f"{gpus} × {name}" if gpus > 1 else name
    if device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"CPU, {gpus} processes" if gpus > 1 else "CPU, 1 thread" if threads == 1 else f"CPU, {threads} threads"
