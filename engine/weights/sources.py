"""What `[weights]` and `load_weights` may name, and the file on this disk that it means.

    model.pth  https://…/model.pth  runs/NAME  runs/NAME:best  runs/NAME:epoch-005  hf://ORG/REPO  hf://ORG/REPO/FILE

Torch-free. What only a library can tell (torchvision://NAME, timm://NAME) is turned into an address in named.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from engine.errors import WeightsError
from engine.weights.fetch import Progress, fetch, refuse_impostor
from engine.weights.hub import WEIGHT_FILES, fetch_weights, hub_source

_OF_A_RUN = re.compile(r"(?P<folder>.+):(?P<name>best|last|epoch-\d+)")


def locate(source: str, on_progress: Progress | None = None, mirror: Sequence[str] = ()) -> Path:
    """The file that `source` means, fetched where it is elsewhere; of weights in several files, their index.

    Raises WeightsError where it is missing, cannot be downloaded, or is something else under a checkpoint's name.
    """
    scheme = re.match(r"([A-Za-z][\w+.-]*)://", source)
    if hub := hub_source(source):
        path = fetch_weights(hub, on_progress, mirror)
    elif scheme is None:
        path = _local_file(source)
    elif scheme.group(1).lower() in ("http", "https"):
        path = fetch(source, on_progress, mirror)
    else:
        raise WeightsError(
            f'"{source}" cannot be fetched: give a file, a run, an http(s):// address, hf://ORG/REPO, '
            "torchvision://NAME or timm://NAME."
        )
    refuse_impostor(path, str(path))
    return path


def _local_file(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return _checkpoint_of_run(path)
    if path.is_file():
        return path
    if (of_a_run := _OF_A_RUN.fullmatch(str(path))) and Path(of_a_run["folder"]).is_dir():
        return _named_checkpoint(Path(of_a_run["folder"]), of_a_run["name"])
    if not path.parent.is_dir():
        raise WeightsError(f"{path} does not exist, nor does its folder; check weights.load_from and weights.backbone.")
    neighbours = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, neighbours, n=1)
    hint = f"did you mean {path.with_name(close[0])}?" if close else "check weights.load_from and weights.backbone."
    raise WeightsError(f"{path} does not exist; {hint}")


def _checkpoint_of_run(folder: Path) -> Path:
    for name in ("best.pt", "last.pt"):
        if (checkpoint := folder / "checkpoints" / name).is_file():
            return checkpoint
    for name in WEIGHT_FILES:  # of a folder as Hugging Face's libraries save a model
        if (weights := folder / name).is_file():
            return weights
    if (folder / "recipe.toml").is_file():
        raise WeightsError(f"The run {folder} has not saved a checkpoint yet; wait for its first, or name another run.")
    raise WeightsError(
        f"{folder} is a folder without checkpoints/best.pt or model.safetensors; name a weights file or the folder of "
        "a run."
    )


def _named_checkpoint(run: Path, name: str) -> Path:
    """runs/NAME:best → its checkpoints/best.pt."""
    checkpoints = run / "checkpoints"
    if (checkpoint := checkpoints / f"{name}.pt").is_file():
        return checkpoint
    if not checkpoints.is_dir():
        raise WeightsError(f"{run} is not the folder of a run (it has no checkpoints), so {run}:{name} names nothing.")
    there = sorted(path.stem for path in checkpoints.glob("*.pt"))
    what = f"there is {', '.join(there)}" if there else "it has not saved any yet"
    raise WeightsError(f"{run}:{name}: the run has no checkpoint {name}; {what}.")
