"""`python -m engine.export RUN_DIR …`: a trained network as one file that needs no ftwiz; behind `ftwiz export`.

    onnx         for ONNX Runtime, TensorRT, OpenVINO, …      frames in, scores out
    pt2          torch.export's, for torch.export.load        frames in, scores out
    safetensors  the weights alone, in the names of build_model's state dict

The first two take uint8 RGB frames [batch, T, 3, H, W], decoded, resized and cropped: mean and std are inside. A file
says of itself what else there is to know (`description_of`). What was written is loaded again and has to give what the
network gives. A JSON document on stdout says what came of it.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from engine.answer import answer, say
from engine.dataset.augment import normalise
from engine.errors import TrainingError
from engine.recipe import Model, document_of, to_toml
from engine.run_folder import RunFolder
from engine.trained import Trained, load_trained
from engine.weights.safetensors_file import read_safetensors

# What rounding in another order may cost, of the largest score.
TOLERANCE = 1e-4
INPUT, OUTPUT = "frames", "logits"


class ExportError(TrainingError):
    """The network cannot be written in the format that was asked for, or gives other scores from there."""


@dataclass(frozen=True)
class Exported:
    """difference: the largest one of a score from the network's, as a share of the largest score; None where nothing
    here could run the file. any_batch: whether it takes any number of clips at once, or one."""

    path: Path
    difference: float | None
    any_batch: bool = True

    @property
    def is_the_same(self) -> bool:
        """As far as anybody looked."""
        return self.difference is None or self.difference <= TOLERANCE


class FromPixels(nn.Module):
    """A network together with the normalisation in front of it."""

    def __init__(self, network: nn.Module, model: Model):
        super().__init__()
        self.network, self._model = network, model

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [B, T, C, H, W] → logits [B, num_classes]."""
        return self.network(normalise(frames, self._model))


def description_of(trained: Trained, any_batch: bool = True) -> dict[str, Any]:
    """What somebody needs to know who has nothing but the file. any_batch: as in `Exported`."""
    clips = "batch" if any_batch else 1
    recipe = trained.recipe
    model, dataset, several = recipe.model, recipe.dataset_at_test_time, recipe.head.multi_label
    rgb = model.modality == "rgb"
    return {
        "made_by": f"ftwiz {version('ftwiz')}",
        "classes": list(trained.classes),
        "model": {"recognizer": model.recognizer, "backbone": model.backbone},
        "checkpoint": {"name": trained.checkpoint, "epochs": trained.epochs},
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": [clips, model.frames, model.channels, dataset.frame_size, dataset.frame_size],
            "meaning": "RGB, 0 to 255"
            if rgb
            else "optical flow as grey images, the channels x, y, x, y, … of pairs in a row",
        },
        "preprocessing": {
            "frames": _sampling(model),
            "short_side": dataset.short_side,
            "resize": "the shorter side of the picture to short_side, bilinear and antialiased",
            "crop": f"the middle, {dataset.frame_size} x {dataset.frame_size}",
            "mean": list(model.mean),
            "std": list(model.std),
            "normalisation": "inside the network: do not subtract mean or divide by std yourself",
        },
        "output": {
            "name": OUTPUT,
            "shape": [clips, len(trained.classes)],
            "probabilities": "sigmoid of each score" if several else "softmax over the scores",
        },
    }


def _sampling(model: Model) -> dict[str, Any]:
    if model.clip_len:
        return {"kind": "dense", "clip_len": model.clip_len, "frame_interval": model.frame_interval}
    return {"kind": "spread over the video", "parts": model.segments, "from_each_part": "the middle frame"}


def export(trained: Trained, kind: str, path: Path) -> Exported:
    """Write `trained`, which is on the CPU, as one file at `path`; its folder has to be there.

    Raises ExportError where it cannot be written so, or gives other scores when it is loaded again; no file is left.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")
    try:
        found = _FORMATS[kind](trained, aside)
        if not found.is_the_same:
            raise ExportError(
                f"The {kind} file gives other scores than the network, by {found.difference:.1e} of the largest one, "
                "so it was thrown away; please report it."
            )
        os.replace(aside, path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        aside.unlink(missing_ok=True)
    return Exported(path, found.difference, found.any_batch)


def _write_safetensors(trained: Trained, path: Path) -> Exported:
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in trained.model.state_dict().items()}
    save_file(tensors, path, {"format": "pt", **_texts(trained)})
    again = read_safetensors(path)
    same = again.keys() == tensors.keys() and all(torch.equal(again[name], tensors[name]) for name in tensors)
    return Exported(path, 0.0 if same else math.inf)


def _write_onnx(trained: Trained, path: Path) -> Exported:
    return _write_network(trained, path, "onnx", _save_onnx, _run_onnx if find_spec("onnxruntime") else None)


def _write_pt2(trained: Trained, path: Path) -> Exported:
    return _write_network(trained, path, "pt2", _save_pt2, _run_pt2)


_FORMATS = {"onnx": _write_onnx, "pt2": _write_pt2, "safetensors": _write_safetensors}

Run = Callable[[torch.Tensor], torch.Tensor]  # frames → logits


def _write_network(
    trained: Trained,
    path: Path,
    kind: str,
    save: Callable[[torch.export.ExportedProgram, dict[str, str], Path], None],
    load: Callable[[Path], Run] | None,
) -> Exported:
    """For any number of clips at once; where the network does not go for that, for one."""
    network = FromPixels(trained.model, trained.recipe.model).eval()
    trouble = ""
    for any_batch in (True, False):
        clips = torch.export.Dim("batch", min=1, max=1 << 16) if any_batch else None
        example = _noise(trained, clips=2 if any_batch else 1)
        try:
            with _quiet(), torch.no_grad():
                program = torch.export.export(network, (example,), dynamic_shapes=({0: clips},))
                save(program, _texts(trained, any_batch), path)
                difference = None if load is None else _difference(network, load(path), trained, any_batch)
        except OSError:
            raise
        except Exception as error:  # of dozens of kinds: the exporters follow what a network does, step by step
            trouble = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            continue
        found = Exported(path, difference, any_batch)
        if found.is_the_same or not any_batch:
            return found
    called = f"{trained.recipe.model.recognizer} with {trained.recipe.model.backbone}"
    raise ExportError(
        f"{called} cannot be written as {kind} by torch {torch.__version__} ({trouble}); --to safetensors takes its "
        "weights."
    )


def _save_pt2(program: torch.export.ExportedProgram, texts: dict[str, str], path: Path) -> None:
    torch.export.save(program, path, extra_files={f"{name}.txt": text for name, text in texts.items()})


def _save_onnx(program: torch.export.ExportedProgram, texts: dict[str, str], path: Path) -> None:
    made = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    assert made is not None
    clips = made.model.graph.inputs[0].shape[0]
    if not isinstance(clips, int) and hasattr(made, "rename_axes"):  # torch 2.12 and later
        made.rename_axes({clips: "batch"})
    made.model.metadata_props.update(texts)
    made.save(path)


def _texts(trained: Trained, any_batch: bool = True) -> dict[str, str]:
    """What a file of any format carries beside its numbers."""
    description = description_of(trained, any_batch)
    return {
        "classes": json.dumps(description["classes"], ensure_ascii=False),
        "ftwiz": json.dumps(description, ensure_ascii=False),
        "recipe": to_toml(document_of(trained.recipe)),
    }


# --- is it the same network -------------------------------------------------------------------------------------------


def _run_pt2(path: Path) -> Run:
    return torch.export.load(path).module()


def _run_onnx(path: Path) -> Run:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda frames: torch.from_numpy(session.run([OUTPUT], {INPUT: frames.numpy()})[0])


def _difference(network: nn.Module, other: Run, trained: Trained, any_batch: bool) -> float:
    """The largest one between their scores, as a share of the largest score, of one clip and of three."""
    worst = 0.0
    for clips in (1, 3) if any_batch else (1,):
        frames = _noise(trained, clips)
        with torch.no_grad():
            wanted, got = network(frames), other(frames)
        if got.shape != wanted.shape:
            return math.inf
        worst = max(worst, float((got - wanted).abs().max() / wanted.abs().max()))
    return worst


def _noise(trained: Trained, clips: int) -> torch.Tensor:
    """uint8 [clips, T, C, H, W], of every brightness and contrast that pictures have."""
    shape = description_of(trained)["input"]["shape"][1:]
    random = torch.Generator().manual_seed(clips)
    base = torch.rand((clips, shape[0], 1, 1, 1), generator=random)
    noise = torch.rand((clips, *shape), generator=random)
    return (255 * (base + noise) / 2).to(torch.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _fulfil(run: RunFolder, checkpoint: str, kind: str, path: Path) -> None:
    trained = load_trained(run, checkpoint)
    exported = export(trained, kind, path)
    say(
        {
            "path": str(path),
            "bytes": path.stat().st_size,
            "difference": exported.difference,
            "any_batch": exported.any_batch,
            "description": description_of(trained, exported.any_batch),
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Export, and say so on stdout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.export", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run folder with a checkpoint in it")
    parser.add_argument("--checkpoint", default="", help="best, last, epoch-005")
    parser.add_argument("--to", choices=list(_FORMATS), required=True)
    parser.add_argument("--output", type=Path, required=True, help="the file to write")
    asked = parser.parse_args(arguments)
    return answer(lambda: _fulfil(RunFolder(asked.run_dir), asked.checkpoint, asked.to, asked.output))


if __name__ == "__main__":
    sys.exit(main())
