"""LoRA: what learns, what stays, and a checkpoint that is an ordinary network again."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

import engine
from engine.checkpoint import load_checkpoint, weights_in
from engine.errors import RecipeError
from engine.events import Message
from engine.lora import add_corrections, merged
from engine.model import build_model
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder, create_run_folder
from engine.schedule import parameter_groups, set_frozen
from engine.train import fit
from tests.clips import make_dataset, write_recipe


def recipe(backbone: str = "swin_t", **schedule: float) -> Recipe:
    return recipe_from(
        {
            "model": {"backbone": backbone, "segments": 2},
            "head": {"num_classes": 3, "dropout": 0.0},
            "dataset": {"short_side": 40, "frame_size": 32},
            "schedule": {"lora": 2, **schedule},
        }
    )


def test_without_transformer_or_library_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe("resnet10_slim")
    with pytest.raises(RecipeError, match="resnet10_slim has no linear layers"):
        add_corrections(build_model(settings), settings)
    monkeypatch.setitem(sys.modules, "peft", None)
    settings = recipe()
    with pytest.raises(RecipeError, match=r"pip install 'ftwiz\[lora\]'"):
        add_corrections(build_model(settings), settings)


def test_a_correction_is_added_to_its_layer_under_the_plain_name() -> None:
    down, up, base = torch.randn(2, 5), torch.randn(4, 2), torch.randn(4, 5)
    state = {
        "backbone.mlp.base_layer.weight": base,
        "backbone.mlp.base_layer.bias": torch.ones(4),
        "backbone.mlp.lora_A.default.weight": down,
        "backbone.mlp.lora_B.default.weight": up,
        "head.fc.bias": torch.ones(3),
    }
    plain = merged(state)
    assert plain.keys() == {"backbone.mlp.weight", "backbone.mlp.bias", "head.fc.bias"}
    torch.testing.assert_close(plain["backbone.mlp.weight"], base + 2 * up @ down)
    foreign = {"layer.lora_A.default.weight": down}
    assert merged(foreign) == foreign


@pytest.mark.parametrize("backbone", ["swin_t", "vit_b_16"])
def test_only_corrections_and_the_head_learn(backbone: str) -> None:
    pytest.importorskip("peft")
    size = 224 if backbone == "vit_b_16" else 32
    settings = recipe(backbone)
    dataset = settings.dataset.model_copy(update={"short_side": size, "frame_size": size})
    settings = settings.model_copy(update={"dataset": dataset})
    model = build_model(settings)
    frames = torch.randn(1, 2, 3, size, size)
    before = model.eval()(frames)
    add_corrections(model, settings)
    torch.testing.assert_close(model.eval()(frames), before)  # they start at 0
    set_frozen(model.train(), settings.schedule, epoch=1)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning and all(".lora_" in name or name.startswith("head.fc.") for name in learning)
    assert sum(len(group["params"]) for group in parameter_groups(model, settings.schedule)) == len(learning)
    model(frames).square().sum().backward()
    parameters = dict(model.named_parameters())
    assert all(parameters[name].grad is not None for name in learning), "a correction that nobody uses"


@pytest.mark.slow
def test_a_training_with_corrections_leaves_an_ordinary_network(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    root = make_dataset(tmp_path / "videos")
    written = write_recipe(
        tmp_path / "r.toml", root, model='backbone = "swin_t"', schedule="epochs = 1\nlora = 2\nlr = 0.05\nema = 0.5"
    )
    run = create_run_folder(load_recipe(written), tmp_path / "run", datetime.now())
    training = fit(load_recipe(run.recipe), run.path)
    said = [message.text for message in run.state().messages if isinstance(message, Message)]
    assert any(text.startswith("LoRA of rank 2: ") for text in said)
    checkpoint = load_checkpoint(run.checkpoints / "last.pt")
    again = build_model(training.recipe)
    again.load_state_dict(weights_in(checkpoint))
    frames = torch.randn(1, 2, 3, 32, 32)
    torch.testing.assert_close(again.eval()(frames), training.model_to_measure.eval()(frames), rtol=1e-4, atol=1e-5)
    report = engine.load_weights(build_model(training.recipe), str(run.path), training.recipe)
    assert report.backbone_share == 1.0 and not report.dropped
    assert RunFolder(run.path).state().best is not None
