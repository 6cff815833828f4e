"""On a CUDA device: the same numbers as on the CPU, bf16 beside fp32, and a whole training with its resume."""

from __future__ import annotations

import copy
import shutil
import statistics
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from engine.checkpoint import load_checkpoint
from engine.dataset.augment import normalise
from engine.dataset.formats import read_clips
from engine.dataset.loader import Batches, TrainingClips, build_loader
from engine.device import autocast, choose_device, choose_precision, describe
from engine.evaluation import evaluate
from engine.events import RunFinished, RunState
from engine.model import build_model
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder, create_run_folder
from engine.schedule import build_optimizer, clip_gradients
from engine.train import fit
from tests.clips import make_dataset, write_recipe
from wizard.launch import start_engine

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda")


@pytest.fixture(autouse=True)
def _exact_fp32() -> Iterator[None]:
    """fp32 means fp32 here: convolutions may use TF32 otherwise, which has three digits."""
    torch.manual_seed(0)
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


def recipe(recognizer: str = "tsm", **run: Any) -> Recipe:
    return recipe_from(
        {
            "model": {"recognizer": recognizer, "backbone": "resnet18", "segments": 4},
            "head": {"num_classes": 7, "dropout": 0.0},
            "dataset": {"short_side": 64, "frame_size": 56},
            "schedule": {"lr": 0.01, "lr_batch_size": 0, "momentum": 0.0, "weight_decay": 0.0},
            "run": run,
        }
    )


def uint8_frames(clips: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (clips, 4, 3, 56, 56), dtype=torch.uint8)


# --- the same numbers -------------------------------------------------------------------------------------------------


def test_normalising_gives_the_same_on_both() -> None:
    frames, model = uint8_frames(), recipe().model
    on_gpu = normalise(frames.to(DEVICE), model)
    assert on_gpu.device.type == DEVICE.type and on_gpu.dtype == torch.float32
    torch.testing.assert_close(on_gpu.cpu(), normalise(frames, model), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("recognizer", ["tsn", "tsm"])
def test_logits_are_those_of_the_cpu(recognizer: str) -> None:
    settings = recipe(recognizer)
    model = build_model(settings).eval()
    frames = normalise(uint8_frames(), settings.model)
    with torch.inference_mode():
        on_cpu = model(frames)
        on_gpu = model.to(DEVICE)(frames.to(DEVICE)).cpu()
    assert (on_gpu - on_cpu).abs().max() <= 1e-4 * on_cpu.abs().max()


def update(precision: str, device: torch.device) -> tuple[float, torch.Tensor]:
    """One optimiser step as the loop does it: the loss, and what was added to the weights, as one vector."""
    torch.manual_seed(0)
    settings = recipe()
    model = build_model(settings)
    frames, labels = uint8_frames(), torch.tensor([0, 1, 2, 3])
    before = copy.deepcopy(list(model.parameters()))
    model.to(device).train()
    optimizer = build_optimizer(model, settings, device)
    with autocast(device, precision):
        logits = model(normalise(frames.to(device), settings.model))
    assert logits.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    loss = F.cross_entropy(logits.float(), labels.to(device))
    loss.backward()
    clip_gradients(model.parameters(), settings.schedule)
    optimizer.step()
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    changes = [(new.detach().cpu() - old).flatten() for new, old in zip(model.parameters(), before, strict=True)]
    return loss.item(), torch.cat(changes)


def test_a_step_in_fp32_is_that_of_the_cpu() -> None:
    (loss, change), (expected_loss, expected) = update("fp32", DEVICE), update("fp32", torch.device("cpu"))
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert F.cosine_similarity(change, expected, dim=0) > 0.999


def test_a_step_in_bf16_goes_the_same_way() -> None:
    if choose_precision("auto", DEVICE) != "bf16":
        pytest.skip("this device does not compute in bf16")
    (loss, change), (expected_loss, expected) = update("bf16", DEVICE), update("fp32", DEVICE)
    assert loss == pytest.approx(expected_loss, rel=0.05)
    assert torch.isfinite(change).all()
    assert F.cosine_similarity(change, expected, dim=0) > 0.9
    assert change.norm() == pytest.approx(expected.norm(), rel=0.3)


def test_metrics_are_those_of_the_cpu(tmp_path: Path, videos: Path) -> None:
    settings = load_recipe(write_recipe(tmp_path / "recipe.toml", videos, head="num_classes = 3"))
    clips = read_clips(settings.dataset).val
    model = build_model(settings)
    on_cpu = evaluate(model, clips, settings)
    on_gpu = evaluate(model.to(DEVICE), clips, settings, workers=1)
    assert on_gpu.loss == pytest.approx(on_cpu.loss, rel=1e-3)
    assert on_gpu.confusion.device.type == "cpu" and int(on_gpu.confusion.sum()) == len(clips)
    assert [clip for clip, _, _ in on_gpu.predictions] == [clip for clip, _, _ in on_cpu.predictions]
    probabilities = [[p for _, _, p in metrics.predictions] for metrics in (on_gpu, on_cpu)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-3)


def test_batches_come_in_pinned_memory(tmp_path: Path, videos: Path) -> None:
    settings = load_recipe(write_recipe(tmp_path / "recipe.toml", videos))
    clips = read_clips(settings.dataset).train
    loader = build_loader(TrainingClips(clips, settings), Batches(len(clips), 4), workers=1, pin_memory=True)
    for batch in loader:
        assert batch.frames.is_pinned() and batch.labels.is_pinned() and len(batch.clips) == 4


# --- a whole training -------------------------------------------------------------------------------------------------


def train(folder: Path, videos: Path, resume_from: Path | None = None, **tables: str) -> tuple[RunFolder, RunState]:
    folder.mkdir()
    recipe = load_recipe(write_recipe(folder / "as-written.toml", videos, **tables))
    run = create_run_folder(recipe, folder / "run", datetime.now())
    if resume_from:
        shutil.copy(resume_from, run.checkpoints / "last.pt")
    fit(load_recipe(run.recipe), run.path, resume=resume_from is not None)
    return run, run.state()


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_checkpoint(run.checkpoints / "last.pt")["model"]


def test_a_short_training_with_everything_on_auto(tmp_path: Path, videos: Path) -> None:
    run, state = train(tmp_path / "auto", videos, run='workers = "auto"', schedule="epochs = 2")
    assert state.started is not None and isinstance(state.ended, RunFinished)
    assert state.started.device == describe(choose_device("auto"))
    assert state.started.precision == choose_precision("auto", DEVICE)
    assert len(state.validations) == 2 and all(torch.isfinite(torch.tensor(step.loss)) for step in state.steps)
    assert state.steps[-1].memory_mb > 1
    assert load_recipe(run.recipe).run.device == DEVICE.type
    assert all(value.device.type == "cpu" for value in weights(run).values())  # loads where there is no GPU


def test_a_compiled_model_trains_alike_and_keeps_its_names(tmp_path: Path, videos: Path) -> None:
    tables = {"model": 'backbone = "resnet18"\nnorm_eval = true', "head": "dropout = 0.0"}
    plain, _ = train(tmp_path / "plain", videos, **tables, run='precision = "fp32"')
    compiled, _ = train(tmp_path / "compiled", videos, **tables, run='precision = "fp32"\ncompile = true')
    expected, found = weights(plain), weights(compiled)
    assert expected.keys() == found.keys()
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-2


@pytest.mark.parametrize("batch_size", ["auto", "4"])
def test_fp16_and_a_batch_that_fits(tmp_path: Path, videos: Path, batch_size: str) -> None:
    batch = f'"{batch_size}"' if batch_size == "auto" else batch_size
    _, state = train(tmp_path / "half", videos, run='precision = "fp16"', schedule=f"batch_size = {batch}")
    assert isinstance(state.ended, RunFinished)
    assert all(torch.isfinite(torch.tensor(step.loss)) for step in state.steps)


def test_it_learns(tmp_path: Path, videos: Path) -> None:
    """The median: with four clips a batch, single losses jump. Guessing has ln 3 = 1.1."""
    tables = {"model": 'backbone = "resnet18"', "head": "dropout = 0.0", "schedule": "epochs = 8\nlr = 0.005"}
    _, state = train(tmp_path / "learns", videos, **tables)
    assert statistics.median(step.loss for step in state.steps[-9:]) < 0.5


EXACT: dict[str, str] = {
    "head": "dropout = 0.5",
    "schedule": "epochs = 2\ncheckpoint_interval = 1",
    "run": 'precision = "fp32"\nworkers = 1\ndeterministic = true',
}


@pytest.fixture
def _deterministic_for_once() -> Iterator[None]:
    """fit() switches determinism on for good."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_deterministic_for_once")
def test_a_resumed_run_ends_bit_for_bit_like_one_that_was_never_ended(tmp_path: Path, videos: Path) -> None:
    """Dropout draws from the GPU's own generator, whose state is in the checkpoint."""
    whole, _ = train(tmp_path / "whole", videos, **EXACT)
    torch.manual_seed(123)
    resumed, state = train(
        tmp_path / "resumed", videos, resume_from=whole.checkpoints / "epoch-001.pt", **{**EXACT, **_classes(whole)}
    )
    assert state.started is not None and state.started.first_step == 3
    expected, found = weights(whole), weights(resumed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def _classes(run: RunFolder) -> dict[str, str]:
    """A resumed run has its resolved recipe: the classes are in it."""
    names = ", ".join(f'"{name}"' for name in load_recipe(run.recipe).dataset.classes)
    return {"dataset": f"classes = [{names}]"}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_what_one_does(tmp_path: Path, videos: Path) -> None:
    tables = {"model": 'backbone = "resnet18"\nnorm_eval = true', "head": "dropout = 0.0"}
    precise = 'precision = "fp32"\ntf32 = false'
    one, _ = train(tmp_path / "one", videos, **tables, run=precise)
    recipe = load_recipe(write_recipe(tmp_path / "two.toml", videos, **tables, run=f"{precise}\ngpus = 2"))
    two = create_run_folder(recipe, tmp_path / "two", datetime.now())
    assert start_engine(two).wait(300) == 0, two.log.read_text()
    started = two.state().started
    assert started is not None and started.device.startswith("2 × ")
    expected, found = weights(one), weights(two)
    assert all(torch.allclose(found[name], value, atol=1e-4) for name, value in expected.items())
