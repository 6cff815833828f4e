"""A 3D transformer made from an image transformer sees in a still clip what that one sees in the image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.model import build_model
from engine.model.backbones import image_backbone
from engine.model.recognizer import Recognizer
from engine.recipe import Recipe, recipe_from
from engine.torchvision_schemas import torchvision
from engine.weights.dialects import translate
from engine.weights.from_images import inflated, repeated
from engine.weights.load import LoadReport, load_weights
from tests.engine.weights.mmaction_names import swin_state

pytestmark = pytest.mark.slow  # `make quick` does without


def still(frames: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image [1, 3, H, W], and the clip [1, 3, T, H, W] that shows nothing else."""
    image = torch.randn(1, 3, size, size)
    return image, image[:, :, None].expand(-1, -1, frames, -1, -1)


def made(recognizer: str, backbone: str, frames: int, size: int, path: Path) -> tuple[Recognizer, LoadReport, Recipe]:
    recipe = recipe_from(
        {
            "model": {"recognizer": recognizer, "backbone": backbone, "clip_len": frames},
            "head": {"num_classes": 3},
            "dataset": {"frame_size": size},
        }
    )
    model = build_model(recipe).eval()
    return model, load_weights(model, str(path), recipe, backbone_only=True), recipe


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def learnt(network: nn.Module) -> nn.Module:
    """With norms, biases and tables of places that are not the initial ones."""
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 or "bias_table" in name or "pos_embed" in name:
            nn.init.normal_(parameter, mean=1.0 if "norm" in name and "weight" in name else 0.0, std=0.2)
    return network.eval()


@pytest.mark.parametrize("frames", [2, 8])
@pytest.mark.parametrize("dialect", ["torchvision names", "Swin names"])
def test_video_swin_from_an_image_swin(frames: int, dialect: str, tmp_path: Path) -> None:
    classifier = learnt(torchvision.models.get_model("swin_t", weights=None))
    state = classifier.state_dict()
    if dialect == "Swin names":
        state = {"model": swin_state(state)}
    torch.save(state, tmp_path / "swin.pth")
    model, report, _ = made("swin3d", "swin3d_t", frames, 224, tmp_path / "swin.pth")
    assert report.dialect == dialect and report.backbone_share == 1.0 and not report.missing
    assert report.lines()[2:4] == [
        "inflated 1 image kernels: repeated over time, divided by their length in time",
        "repeated 12 tables of places over time",
    ]
    image, clip = still(frames, 224)
    classifier.head = nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(model.backbone(clip), classifier(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow  # a ViT-B
def test_timesformer_from_an_image_transformer(tmp_path: Path) -> None:
    classifier = learnt(torchvision.models.get_model("vit_b_16", weights=None, image_size=32))
    torch.save(classifier.state_dict(), tmp_path / "vit.pth")
    model, report, _ = made("timesformer", "divided_space_time", 2, 32, tmp_path / "vit.pth")
    assert report.dialect == "torchvision names" and not report.dropped[2:]
    assert {note.name.rpartition(".")[0].rpartition(".")[2] for note in report.missing} == {"backbone", "temporal_fc"}
    block = model.backbone.blocks[3]
    assert torch.equal(block.temporal_attn.qkv.weight, block.attn.qkv.weight)
    assert torch.equal(block.temporal_norm1.bias, block.norm1.bias)
    assert "copied 72 tensors of attention over space: attention over time starts as they are" in report.lines()
    # The only attention over time that does something at first.
    nn.init.zeros_(model.backbone.blocks[0].temporal_fc.weight)
    image, clip = still(2, 32)
    classifier.heads = nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(model.backbone(clip), classifier(image), rtol=1e-4, atol=1e-4)


def test_timesformer_from_what_mmaction_publishes_of_an_image_transformer() -> None:
    """Without `backbone.`, and with one attention a block."""
    layer = "transformer_layers.layers.0."
    keys = ["cls_token", "patch_embed.projection.weight", f"{layer}norms.0.weight", f"{layer}norms.1.weight"]
    keys += [f"{layer}attentions.0.attn.in_proj_weight", f"{layer}ffns.0.layers.1.bias", "norm.bias"]
    assert list(translate(keys)[1].values()) == [
        f"backbone.{name}"
        for name in (
            "cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.0.norm2.weight",
            "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc2.bias", "norm.bias",
        )
    ]  # fmt: skip


def test_a_whole_network_is_not_made_from_an_image_network(tmp_path: Path) -> None:
    """Only `weights.backbone` asks for it."""
    from engine.errors import WeightsError

    torch.save(torchvision.models.get_model("swin_t", weights=None).state_dict(), tmp_path / "swin.pth")
    _, _, recipe = made("swin3d", "swin3d_t", 2, 224, tmp_path / "swin.pth")
    with pytest.raises(WeightsError):
        load_weights(build_model(recipe), str(tmp_path / "swin.pth"), recipe)


def test_kernels_and_tables() -> None:
    kernel = torch.randn(4, 3, 5, 5)
    assert inflated(kernel, 3).shape == (4, 3, 3, 5, 5)
    torch.testing.assert_close(inflated(kernel, 3).sum(dim=2), kernel)
    table = torch.randn(9, 2)
    assert torch.equal(repeated(table, 27).unflatten(0, (3, 9))[1], table)


def test_an_image_swin_by_its_own_names_is_torchvisions() -> None:
    """So TSN takes it too."""
    with torch.device("meta"):
        ours = {f"backbone.{key}" for key in image_backbone("swin_t", 224)[0].state_dict()}
        state = torchvision.models.get_model("swin_t", weights=None).state_dict()
    _, names = translate(swin_state(state))
    assert set(names.values()) == ours | {"head.fc.weight", "head.fc.bias"}
