"""What a result depends on, written beside it: code, versions, data, weights, seed, hardware."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.atomic import write_text
from engine.dataset.clips import Clip, ClipLists
from engine.recipe import Recipe, document_of

_HASHES_A_NAME = 5
CHANGED = "is damaged: its content is not what was saved (its sha256 is not in provenance.json)"
_PACKAGES = ("ftwiz", "torch", "torchvision", "torchmetrics", "numpy", "decord", "av", "transformers")


def write_provenance(path: Path, asked: Recipe, clips: ClipLists, device: str, weights: str, sha256: str) -> None:
    """asked: the recipe, before "auto" was decided. device: its name. weights: where they came from, "" for none.
    sha256: of those."""
    document = {
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
        "device": device,
        "seed": asked.run.seed,
        "weights": {"source": weights, "sha256": sha256},
        "clips": {
            "train": {"count": len(clips.train), "sha256": _hash_of(clips.train)},
            "val": {"count": len(clips.val), "sha256": _hash_of(clips.val)},
        },
        "recipe": document_of(asked),
    }
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def changed_clips(path: Path, clips: ClipLists) -> list[str]:
    """A sentence for each list of clips that is not the one the run was started with."""
    recorded = _read(path).get("clips", {})
    notes = []
    for key, what, now in (("train", "training", clips.train), ("val", "validation", clips.val)):
        before = recorded.get(key)
        if before and before["sha256"] != _hash_of(now):
            counts = f"{before['count']} then, {len(now)} now"
            notes.append(f"The {what} clips are not those that the run was started with ({counts}).")
    return notes


def record_checkpoint(path: Path, sha256: str, names: Sequence[str]) -> None:
    """Note the hash that checkpoints/NAME is about to get, for each name; call it before the file gets its name.

    "checkpoints": {"last.pt": [newest sha256, the ones before]}. The ones before count until the file is replaced, and
    a process may be killed before that; then another one may be, too.
    """
    document = _read(path)
    table = document.get("checkpoints", {})
    there = {name: hashes for name, hashes in table.items() if (path.parent / "checkpoints" / name).exists()}
    for name in names:
        before = [known for known in table.get(name, []) if known != sha256]
        there[name] = [sha256, *before][:_HASHES_A_NAME]
    write_text(path, json.dumps({**document, "checkpoints": there}, indent=2, ensure_ascii=False) + "\n")


def is_as_saved(checkpoint: Path, sha256: str) -> bool:
    """Whether a file with this hash is what its run saved; True where the run has recorded none, or is not there, and
    of what was exported from it."""
    if checkpoint.suffix != ".pt":
        return True
    table = _read(checkpoint.parent.parent / "provenance.json").get("checkpoints", {})
    return not table or any(sha256 in hashes for hashes in table.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # an older version's run, or a file that somebody spoilt
        return {}
    return document if isinstance(document, dict) else {}


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
