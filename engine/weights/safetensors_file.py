"""Tensors in the safetensors format (https://github.com/huggingface/safetensors), which holds nothing else to run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import WeightsError

_OTHER_FORMATS = (b"PK", b"\x80")  # what torch.save writes: a zip, or before 2020 a pickle
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


def is_safetensors(path: Path) -> bool:
    """By its name, as torch.load has it too, or its content: eight bytes say how long the header is, which is JSON."""
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and length <= min(_LONGEST_HEADER, os.path.getsize(path))


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Name → tensor, on the CPU, mapped from the file. Raises WeightsError where the file is broken."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except SafetensorError as error:
        raise WeightsError(_why_unreadable(path, error)) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from None


def classes_in_safetensors(path: Path) -> tuple[str, ...]:
    """The class names in the header of a file that `ftwiz export` wrote, in the order of their ids; () elsewhere."""
    if not is_safetensors(path):
        return ()
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("classes", "")
    try:
        names = json.loads(text)
    except ValueError:
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _why_unreadable(path: Path, error: SafetensorError) -> str:
    with open(path, "rb") as file:
        if file.read(2).startswith(_OTHER_FORMATS):
            return f"{path} was written by torch.save, not as safetensors; rename it to end in .pth."
    reason = str(error).removeprefix("Error while deserializing header: ").partition("\n")[0].rstrip(".")
    return f"{path} is cut off or damaged ({reason}); fetch it again."
