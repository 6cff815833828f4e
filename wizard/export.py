"""`ftwiz export`: a run's network as one file for other programs, written and compared by the engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engine.errors import RecipeError, TrainingError
from engine.run_folder import RunFolder
from engine.weights.sources import locate
from wizard.inquiry import Inquiry
from wizard.progress import can_animate
from wizard.words import count, memory

NEEDED = {"onnx": ("onnx", "onnxscript")}


def export_to(run: RunFolder, checkpoint: str, kind: str, file: Path | None) -> dict[str, Any]:
    """Write the file; returns what engine/export.py says of it. Raises the FtwizError of whatever does not work."""
    if missing := [name for name in NEEDED.get(kind, ()) if find_spec(name) is None]:
        raise RecipeError(
            f'--to {kind} needs {" and ".join(missing)}, not installed here: pip install "ftwiz[export]". '
            "pt2 and safetensors need nothing."
        )
    found = locate(f"{run.path}:{checkpoint}" if checkpoint else str(run.path))
    path = _with_folder(file or run.path / "export" / f"{found.stem}.{kind}", kind)
    chosen = ["--checkpoint", checkpoint] if checkpoint else []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = can_animate(sys.stderr)
    with (
        Inquiry("engine.export", [str(run.path), "--to", kind, "--output", str(path), *chosen]) as inquiry,
        Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as progress,
    ):
        progress.add_task(f"writing {path.name} and comparing it with the network", total=None)
        for said in inquiry.answers():
            return said
    raise TrainingError("The process that exports ended without a word.")


def _with_folder(path: Path, kind: str) -> Path:
    """The path, its folder made. Other programs tell what a file is by its name."""
    if path.suffix != f".{kind}":
        raise RecipeError(f"-o {path}: a file of this kind is named …{path.stem}.{kind}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"-o {path}: its folder cannot be made: {error.strerror}.") from None
    return path


def in_words(exported: dict[str, Any], kind: str) -> Iterator[str]:
    """What the file is, how to use it, and how far it is the network."""
    description = exported["description"]
    made_of = f"{description['checkpoint']['name']}, {count(description['checkpoint']['epochs'], 'epoch')}"
    size = memory(exported["bytes"] / 2**20)
    if kind == "safetensors":
        tensors = "read again, every number is the same"
        yield f"{made_of}, {size}: the weights as build_model names them, with classes and recipe; {tensors}."
        yield f'Start another training from it: load_from = "{exported["path"]}" under [weights].'
        return
    shape = " × ".join(map(str, description["input"]["shape"]))
    preparation = description["preprocessing"]
    yield f"{made_of}, {size}. Classes, preprocessing and recipe are in its metadata."
    yield (
        f"Takes {description['input']['name']}, uint8 {shape}: {description['input']['meaning']}; short side "
        f"{preparation['short_side']}, {preparation['crop']}; mean and std are inside."
    )
    yield (
        f"Gives {description['output']['name']}, {count(len(description['classes']), 'score')} a clip; probabilities: "
        f"{description['output']['probabilities']}."
    )
    yield _compared(exported)


def _compared(exported: dict[str, Any]) -> str:
    if exported["difference"] is None:
        return 'Not compared with the network: onnxruntime is not installed (pip install "ftwiz[export]").'
    by = exported["difference"]
    return f"Run and compared: the same scores{f' to {by:.0e} of the largest' if by else ', bit for bit'}."
