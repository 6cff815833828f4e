"""What a result depends on, written beside it: code, versions, data, weights, seed, hardware."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from engine.atomic import write_text
from engine.dataset.clips import Clip, ClipLists
from engine.device import describe

_PACKAGES = ("ftwiz", "torch", "torchvision", "torchmetrics", "numpy", "decord", "av")


def write_provenance(path: Path, clips: ClipLists, seed: int, device: torch.device, weights: str, sha256: str) -> None:
    """weights: where they came from, "" for none. sha256: of that file."""
    document = {
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
        "device": describe(device),
        "seed": seed,
        "weights": {"source": weights, "sha256": sha256},
        "clips": {
            "train": {"count": len(clips.train), "sha256": _hash_of(clips.train)},
            "val": {"count": len(clips.val), "sha256": _hash_of(clips.val)},
        },
    }
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _hash_of(clips: Iterable[Clip]) -> str:
    """Of paths, parts of them and labels in their order: another list, another hash."""
    digest = hashlib.sha256()
    for clip in clips:
        line = f"{clip.path}\0{clip.label}"
        if any(part := (clip.labels, clip.start, clip.end, clip.first_frame, clip.num_frames)):
            line += f"\0{part}"
        digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git_commit() -> str:
    """Of the folder the run was started in, where that is a repository: people version their recipes."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
