"""A checkpoint file: what is in it, read so that nothing in it can run, or what is wrong with it."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.errors import WeightsError
from engine.lora import merged
from engine.weights.dialects import state_dict_in
from engine.weights.fetch import sha256_of
from engine.weights.hub import shards_of
from engine.weights.safetensors_file import is_safetensors, read_safetensors


def sha256_of_all(path: Path) -> str:
    """Of the file; of an index, of the list of its files' own, so that it stands for the weights."""
    if not path.name.endswith(".index.json"):
        return sha256_of(path)
    of_each = "".join(f"{sha256_of(path.with_name(name))}  {name}\n" for name in shards_of(path))
    return hashlib.sha256(of_each.encode()).hexdigest()


class _Inert:
    """Stands for an object that a checkpoint of MMAction2 carries beside its weights: takes anything, does nothing."""

    def __new__(cls, *arguments: object, **named: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


# MMAction2's training checkpoints log their losses in HistoryBuffers of numpy arrays, which name their own methods by
# getattr. None of this is looked up: each name stands for _Inert while such a file is read.
_HARMLESS: list[Any] = [
    (_Inert, name)
    for name in (
        "mmengine.logging.history_buffer.HistoryBuffer",
        "builtins.getattr",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
    )
]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The document in a checkpoint, tensors on the CPU (mapped from the file where it allows that); of an index, what
    the files beside it hold together.

    Executes nothing that the file says. Raises WeightsError where it is not a checkpoint, is damaged, or needs code.
    """
    if path.name.endswith(".index.json"):
        return {
            key: tensor for name in shards_of(path) for key, tensor in read_checkpoint(path.with_name(name)).items()
        }
    try:
        if is_safetensors(path):
            return dict(read_safetensors(path))
        if is_zip := zipfile.is_zipfile(path):
            _refuse_other_zip(path)
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings(action="ignore"):
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except WeightsError:
        raise
    except Exception as error:  # whatever bytes a stranger's file holds: torch raises a dozen kinds
        raise WeightsError(_why_unreadable(path, error)) from None
    if not isinstance(document, dict):
        raise WeightsError(
            f"{path} holds a {type(document).__name__}, not a state dict; save model.state_dict() and give that file."
        )
    return document


def tensors_in(document: Mapping[str, Any], path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a document, its LoRA corrections added. Raises WeightsError where it holds no plain numbers."""
    found = {key: value for key, value in state_dict_in(document).items() if isinstance(value, torch.Tensor)}
    if not found:
        keys = ", ".join(str(key) for key in list(document)[:5]) or "none"
        raise WeightsError(f"{path} holds no state dict: there are no tensors in it (its keys: {keys}).")
    for key, tensor in found.items():
        if not isinstance(key, str):
            raise WeightsError(
                f"{path} holds no state dict: its tensors are under {key!r} and the like, not under names."
            )
        if why := _why_no_plain_numbers(tensor):
            raise WeightsError(f"{path}: {key} holds no plain numbers ({why}); save it dense, as float32 or float16.")
        numbers, there = tensor.numel(), tensor.untyped_storage().nbytes() // tensor.element_size()
        if numbers > there:
            raise WeightsError(
                f"{path}: {key} claims {numbers:,} numbers, but the file has {there:,} for it; do not use it."
            )
    return merged(found)


def _why_no_plain_numbers(tensor: torch.Tensor) -> str:
    if tensor.is_nested or tensor.layout != torch.strided:
        return "it is a sparse or nested tensor"
    if tensor.device.type == "meta":
        return "it is a meta tensor, which has a shape only"
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"they are of the type {kind}" if tensor.is_complex() or tensor.is_quantized or "float8" in kind else ""


# --- what is wrong with a file ----------------------------------------------------------------------------------------

_WEIGHTS_FILES = (".pth", ".pt", ".pyth", ".pkl", ".bin", ".ckpt", ".safetensors")
_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file, as Keras and TensorFlow write it",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF document",
}


def _refuse_other_zip(path: Path) -> None:
    """By its list of files: torch.save's has a data.pkl, and nothing in it grows when it is read."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(name.endswith("constants.pkl") for name in names):
        raise WeightsError(
            f"{path} is a TorchScript program, not a state dict; save the state_dict() of the model it was made from."
        )
    if not any(name.endswith("data.pkl") for name in names):
        if inside := [name for name in names if name.endswith(_WEIGHTS_FILES)]:
            raise WeightsError(f"{path} is a zip archive around {inside[0]}; unpack it, and give that file.")
        begins = f"; it begins with {names[0]}" if names else ""
        raise WeightsError(f"{path} is a zip archive that torch.save did not write{begins}. Give a .pth or .pt file.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise WeightsError(
            f"{path} is a zip archive with compressed files in it, as torch.save writes none; fetch it again."
        )


def record_with_another_checksum(path: Path) -> str:
    """The first part of torch.save's zip whose CRC-32 is wrong, "" where there is none. torch.load does not look, and
    torch.save can be told to leave them out."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() or ""


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read: {error.strerror}."
    if wanted := re.search(r"GLOBAL ([\w.]+\w)", str(error)):
        return (
            f"{path} needs the Python object {wanted.group(1)} to be read, which could run code, so it was not loaded; "
            "ask its publisher for the state dict alone (torch.save(model.state_dict(), …))."
        )
    if re.search(r"reduce for unrecognized|Can only (build|create|reduce)", str(error)):
        return f"{path} would run code to be read, so it was not loaded; ask its publisher for the state dict alone."
    return f"{path} {damage_in(path)}; fetch it again, or give a .pth or .pt file that holds a state dict."


def damage_in(path: Path) -> str:
    """What can be seen to be wrong with a file that torch cannot read, as the rest of a sentence about it."""
    with open(path, "rb") as file:
        head = file.read(4)
    if not head:
        return "is empty (0 bytes)"
    if head.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        return "is cut off: its end is missing"
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive, but damaged or not one that torch.save wrote"
    if head.startswith(b"\x80"):  # as torch.save wrote them until 2020
        return "is cut off or damaged, or a pickle that torch.save did not write"
    for magic, kind in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return f"is {kind}, not a PyTorch checkpoint"
    return "is not a PyTorch checkpoint"
