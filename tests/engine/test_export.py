"""An exported file is the network: what it gives is compared, and a file that gives something else is not kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from engine import build_model, load_recipe, load_weights
from engine.dataset.augment import normalise
from engine.errors import RecipeError
from engine.export import ExportError, FromPixels, export, main
from engine.run_folder import RunFolder
from engine.trained import Trained, load_trained
from tests.clips import CLASSES
from wizard.cli import app


def frames_for(trained: Trained, clips: int) -> torch.Tensor:
    size = trained.recipe.dataset.frame_size
    shape = (clips, trained.recipe.model.frames, 3, size, size)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(7), dtype=torch.uint8)


def scores_of(trained: Trained, frames: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return trained.model(normalise(frames, trained.recipe.model))


def with_network(trained: Trained, network: nn.Module) -> Trained:
    return Trained(network.eval(), trained.recipe, trained.classes, trained.checkpoint, trained.epochs)  # type: ignore[arg-type]


def test_weights_come_back_with_their_classes(trained: RunFolder, tmp_path: Path) -> None:
    best = load_trained(trained)
    path = export(best, "safetensors", tmp_path / "best.safetensors").path
    model = build_model(best.recipe).eval()
    report = load_weights(model, str(path), best.recipe)
    assert report.source_classes == CLASSES and not report.reinitialised and not report.dropped
    frames = normalise(frames_for(best, 2), best.recipe.model)
    with torch.no_grad():
        assert torch.equal(model(frames), best.model(frames))
    assert list(tmp_path.iterdir()) == [path]


def test_an_export_in_the_run_folder_is_no_damaged_checkpoint(trained: RunFolder, tmp_path: Path) -> None:
    """Its hash is not among those that the run noted of its checkpoints."""
    (trained.path / "export").mkdir(exist_ok=True)
    path = export(load_trained(trained), "safetensors", trained.path / "export" / "best.safetensors").path
    recipe = load_recipe(trained.recipe)
    assert load_weights(build_model(recipe), str(path), recipe).backbone_share == 1.0


@pytest.mark.slow
def test_a_torch_program_gives_the_same_scores(
    trained: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "last.pt2"
    assert main([str(trained.path), "--checkpoint", "last", "--to", "pt2", "--output", str(path)]) == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert said["difference"] < 1e-6 and said["any_batch"] and said["bytes"] == path.stat().st_size
    texts = {"classes.txt": "", "ftwiz.txt": ""}
    program = torch.export.load(path, extra_files=texts).module()
    last = load_trained(trained, "last")
    for clips in (1, 2, 5):
        frames = frames_for(last, clips)
        assert torch.allclose(program(frames), scores_of(last, frames), rtol=1e-5, atol=1e-5)
    assert tuple(json.loads(texts["classes.txt"])) == CLASSES
    description = json.loads(texts["ftwiz.txt"])
    assert description == said["description"] and description["input"]["shape"] == ["batch", 2, 3, 32, 32]
    assert description["checkpoint"] == {"name": "last.pt", "epochs": 2}


@pytest.mark.slow
def test_onnx_gives_the_same_scores(trained: RunFolder, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    best = load_trained(trained)
    exported = export(best, "onnx", tmp_path / "best.onnx")
    assert exported.difference is not None and exported.difference < 1e-5
    session = runtime.InferenceSession(exported.path)
    for clips in (1, 4):
        frames = frames_for(best, clips)
        (scores,) = session.run(["logits"], {"frames": frames.numpy()})
        assert torch.allclose(torch.from_numpy(scores), scores_of(best, frames), rtol=1e-4, atol=1e-4)
    assert session.get_inputs()[0].shape == ["batch", 2, 3, 32, 32]
    assert tuple(json.loads(session.get_modelmeta().custom_metadata_map["classes"])) == CLASSES


class Brightness(nn.Module):
    """The smallest network there is: a score of each class by how bright the three colours are."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, len(CLASSES))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.fc(frames.mean(dim=(1, 3, 4)))


class Moody(Brightness):
    """Gives something else every time it is asked, which no file can."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return super().forward(frames) * random.uniform(1, 2)


class Choosy(Brightness):
    """Does something else for bright clips, which no exporter can follow."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return super().forward(frames) if frames.mean() > 0 else -super().forward(frames)


class OneAtATime(Brightness):
    """Counts the clips while it is written down, so the file is for that many."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(OneAtATime, self).forward(frames[n : n + 1]) for n in range(int(frames.shape[0]))])


def test_a_network_for_one_clip_at_a_time_says_so(trained: RunFolder, tmp_path: Path) -> None:
    exported = export(with_network(load_trained(trained), OneAtATime()), "pt2", tmp_path / "best.pt2")
    assert not exported.any_batch and exported.difference is not None
    texts = {"ftwiz.txt": ""}
    torch.export.load(exported.path, extra_files=texts)
    description = json.loads(texts["ftwiz.txt"])
    assert (description["input"]["shape"][0], description["output"]["shape"]) == (1, [1, 3])


@pytest.mark.parametrize(
    "kind, why",
    [(Moody, "gives other scores than the network"), (Choosy, r"tsn with squeezenet1_1 cannot be written")],
)
def test_what_is_not_the_network_is_not_kept(kind: type, why: str, trained: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=why):
        export(with_network(load_trained(trained), kind()), "pt2", tmp_path / "best.pt2")
    assert list(tmp_path.iterdir()) == []


def test_pixels_are_normalised_inside(trained: RunFolder) -> None:
    best, frames = load_trained(trained), frames_for(load_trained(trained), 1)
    with torch.no_grad():
        inside = FromPixels(best.model, best.recipe.model)(frames)
    assert torch.equal(inside, scores_of(best, frames)) and not torch.equal(inside, best.model(frames.float()))


@pytest.mark.slow
def test_the_command_writes_beside_the_checkpoints_and_says_how_to_use_it(trained: RunFolder, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wizard.cli", "export", "first", "--to", "safetensors", "--runs", trained.path.parent],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    path = trained.path / "export" / "best.safetensors"
    assert done.stdout == f"{path}\n" and path.is_file()
    assert "every number is the same" in done.stderr and f'load_from = "{path}"' in done.stderr


def test_mistakes_of_the_command(trained: RunFolder, tmp_path: Path) -> None:
    def told(*arguments: str) -> str:
        with pytest.raises(RecipeError) as error:
            app(["export", str(trained.path), *arguments], standalone_mode=False)
        return str(error.value)

    assert "…net.safetensors" in told("--to", "safetensors", "-o", str(tmp_path / "net.pth"))
    if find_spec("onnxscript") is None:
        assert 'pip install "ftwiz[export]"' in told("--to", "onnx")
