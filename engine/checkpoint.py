"""Checkpoints: written aside, fsynced and renamed; their sha256 in provenance.json; readable with weights_only=True;
enough to go on bit for bit.

    checkpoints/
      last.pt            where --resume goes on
      last-previous.pt   the one before it, for the day that last.pt turns out to be damaged
      best.pt            of the best validation so far
      start.pt           before the first step, where schedule.retries_at_half_lr may need it
      epoch-005.pt       after every checkpoint_interval epochs, the newest keep_checkpoints of them

A process may be killed at any moment and a write may fail at any byte: last.pt is always whole, the new one or the one
before, and nothing says that a file is saved before it is.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engine.atomic import atomic_write
from engine.errors import WeightsError
from engine.lora import merged
from engine.provenance import CHANGED, is_as_saved, record_checkpoint
from engine.recipe import Recipe, document_of, to_toml
from engine.run_folder import BEST, LAST, PREVIOUS, RunFolder
from engine.weights.checkpoint_file import damage_in
from engine.weights.fetch import sha256_of

FORMAT = "ftwiz-checkpoint"
FORMAT_VERSION = 1


class DamagedError(WeightsError):
    """A checkpoint's bytes are not those that were saved."""


# --- saving -----------------------------------------------------------------------------------------------------------


def save_checkpoint(run: RunFolder, state: dict[str, Any], recipe: Recipe, names: Sequence[str] = (LAST,)) -> None:
    """Write `state` (plain values, tensors and state dicts) with the recipe and the class names beside it, as last.pt
    and under the other `names` (best.pt, epoch-005.pt).

    Raises the OSError of a write that failed; last.pt is then the one before, and the next try may well succeed.
    """
    last = run.checkpoints / LAST
    with atomic_write(last) as file:
        _torch_save(_document(state, recipe), file)
        file.flush()
        os.fsync(file.fileno())
        aside = Path(file.name)
        # Before any file has the new content, and the old one is not forgotten: a kill in between leaves no file
        # without its hash. The other names come first: where last.pt says that a best.pt was saved, it was.
        record_checkpoint(run.provenance, sha256_of(aside), names)
        for name in names:
            if name != LAST:
                keep_as(aside, name)
        if last.exists():
            keep_as(last, PREVIOUS)


def size_of_checkpoint(state: dict[str, Any], recipe: Recipe) -> int:
    """The bytes that `save_checkpoint` would write."""
    counter = _Counter()
    _torch_save(_document(state, recipe), counter)
    return counter.bytes


class _Counter:
    """A file to write to that keeps nothing but its size."""

    bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def flush(self) -> None:
        pass


def _document(state: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "recipe": to_toml(document_of(recipe)),
        "classes": list(recipe.dataset.classes),
        **state,
    }


def _torch_save(document: dict[str, Any], file: Any) -> None:
    """torch.save, whose complaint about a write that failed hides the reason."""
    try:
        torch.save(document, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def weights_in(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What a checkpoint of ours was measured with: the moving average of the weights where there is one, each LoRA
    correction added to its layer."""
    return merged(checkpoint["average"] or checkpoint["model"])


def keep_as(checkpoint: Path, name: str) -> None:
    """Give a checkpoint a second name (best.pt, epoch-005.pt) without writing its bytes again where links work."""
    target = checkpoint.with_name(name)
    aside = checkpoint.with_name(f".{name}.part")
    aside.unlink(missing_ok=True)
    try:
        os.link(checkpoint, aside)
    except OSError:  # a file system without links
        with open(checkpoint, "rb") as file, atomic_write(target) as copy:
            shutil.copyfileobj(file, copy)
        return
    os.replace(aside, target)
    aside.unlink(missing_ok=True)  # where both are one file already, replacing does nothing


def drop_old_epochs(run: RunFolder, epoch: int, keep: int) -> None:
    """Remove epoch-NNN.pt but the newest `keep` up to `epoch` (0: remove none). Later ones are of a life before a
    resume from an older checkpoint: they are about to be written anew."""
    by_epoch = {
        int(found[1]): path
        for path in run.checkpoints.iterdir()
        if (found := re.fullmatch(r"epoch-(\d+)\.pt", path.name))
    }
    done = sorted(number for number in by_epoch if number <= epoch)
    for number in done[:-keep] if keep else []:
        by_epoch[number].unlink(missing_ok=True)


def remove_leftovers(run: RunFolder) -> None:
    """What a killed process had written aside: as large as a checkpoint, and of no use to anybody."""
    for path in run.checkpoints.glob(".*.part"):
        path.unlink(missing_ok=True)


# --- loading ----------------------------------------------------------------------------------------------------------


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, on the CPU, its content compared with the sha256 in provenance.json where that has one.

    Raises WeightsError where it is missing, somebody else's or unreadable; DamagedError where its content has changed.
    """
    try:
        sha256 = sha256_of(path)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: the run was ended before its first checkpoint.") from None
    except OSError as error:
        kind = DamagedError if error.errno == errno.EIO else WeightsError  # a bad sector, or a matter of permission
        raise kind(f"{path} cannot be read: {error.strerror}.") from None
    try:
        with warnings.catch_warnings(action="ignore"):
            document = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file; none of them is worth a traceback
        raise DamagedError(f"{path} {damage_in(path)}.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise WeightsError(f"{path} is not a checkpoint of an ftwiz run; as pretrained weights, name it in load_from.")
    if document.get("version") != FORMAT_VERSION:
        raise WeightsError(f"{path} was written by another version of ftwiz (format {document.get('version')}).")
    if not is_as_saved(path, sha256):
        raise DamagedError(f"{path} {CHANGED}.")
    return document


def load_best(run: RunFolder) -> dict[str, Any]:
    """best.pt, or last.pt where nothing was validated. Raises WeightsError; of a damaged one it tells what is whole."""
    path = run.checkpoints / (BEST if (run.checkpoints / BEST).exists() else LAST)
    try:
        return load_checkpoint(path)
    except DamagedError as error:
        whole = [other.name for other in run.checkpoints_to_resume() if other != path and _is_whole(other)]
        advice = f"copy a whole one there to measure it ({', '.join(whole)})" if whole else "nor is any other one whole"
        raise WeightsError(f"{str(error).removesuffix('.')}; {advice}.") from None


def _is_whole(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except WeightsError:
        return False
    return True


def load_newest(run: RunFolder) -> tuple[dict[str, Any], Path, list[str]]:
    """The newest whole checkpoint, the file it came from, and what is wrong with newer ones ("last.pt is cut off").

    Raises WeightsError where there is none.
    """
    wrong: list[str] = []
    for path in run.checkpoints_to_resume():
        try:
            return load_checkpoint(path), path, wrong
        except DamagedError as error:
            wrong.append(str(error).removeprefix(f"{run.checkpoints}{os.sep}").removesuffix("."))
    whole, reasons = "", ""
    if wrong:
        whole, reasons = "whole ", f" ({'; '.join(wrong)})"
    raise WeightsError(
        f"{run.path} has no {whole}checkpoint to go on from{reasons}; start a new run with `ftwiz run RECIPE`."
    )


def make_last(checkpoint: Path) -> None:
    """The run goes on from this one: it becomes last.pt, and a damaged one is kept as last-damaged.pt. Else the next
    save would keep the damaged one as last-previous.pt, in the place of a whole one."""
    last = checkpoint.with_name(LAST)
    if last.exists():
        os.replace(last, checkpoint.with_name("last-damaged.pt"))
    keep_as(checkpoint, LAST)
