"""What the training runs on: the device, the precision, the worker processes, and what "auto" makes of them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from engine.errors import DeviceError


def choose_device(asked: str) -> torch.device:
    """auto: the GPU if there is one, then Apple's, then the CPU. Raises DeviceError for one that is not there."""
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


def choose_precision(asked: str, device: torch.device) -> str:
    """auto: bf16 on a CUDA GPU that computes in it, else fp32 (on a CPU without it, bf16 is 16 times slower)."""
    if asked != "auto":
        return asked
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def choose_workers(asked: int | str, device: torch.device) -> int:
    """auto: one process a core beside a GPU, at most 8; on a CPU one, since the model needs the cores itself."""
    if isinstance(asked, int):
        return asked
    return min(8, available_cores()) if device.type != "cpu" else 1


def available_cores() -> int:
    """Cores this process may use (a container or a cluster may give it fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The precision that the forward pass computes in."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def make_deterministic() -> None:
    """Only algorithms that give the same result every time; torch says so where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def describe(device: torch.device) -> str:
    """A name for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"
