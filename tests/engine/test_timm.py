"""timm's classifiers as backbones of TSN: they compute what MMAction2 does with them, and take timm's own weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import RecipeError, WeightsError
from engine.model import build_model
from engine.recipe import Recipe, recipe_from
from engine.schedule import set_frozen
from engine.weights.load import load_weights
from engine.weights.named import address_of
from tests.engine.weights.file_server import Site, serve


def recipe_for(backbone: str, size: int = 64, **model: Any) -> Recipe:
    return recipe_from(
        {
            "model": {"recognizer": "tsn", "backbone": backbone, "segments": 2, **model},
            "head": {"num_classes": 3},
            "dataset": {"frame_size": size},
        }
    )


# --- without timm -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)


def test_without_timm_the_command_is_named(no_timm: None) -> None:
    with pytest.raises(RecipeError, match=r'"timm\.resnet18" needs the timm library.*pip install \'ftwiz\[timm\]\''):
        build_model(recipe_for("timm.resnet18"))
    with pytest.raises(WeightsError, match=r"timm://resnet18 .*needs the timm library.*pip install 'ftwiz\[timm\]'"):
        address_of("timm://resnet18")


def test_a_tag_says_where_timms_weights_are(no_timm: None) -> None:
    assert address_of("timm://resnet50.a1_in1k") == "hf://timm/resnet50.a1_in1k"
    with pytest.raises(WeightsError, match="names no weights of timm"):
        address_of("timm://")


# --- with timm --------------------------------------------------------------------------------------------------------


@pytest.fixture
def timm() -> Any:
    from engine.torchvision_schemas import torchvision  # noqa: F401, timm imports it

    return pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("vit_tiny_patch16_224", 64),
        ("swin_tiny_patch4_window7_224", 64),
        ("convnext_atto", 64),
        ("mobilenetv3_small_050", 64),
    ],
)
def test_features_are_averaged_over_all_places(timm: Any, name: str, size: int, tmp_path: Path) -> None:
    """As MMAction2 does it: the adaptive pooling of its recognizer2d.py written out; the weights by timm's own file."""
    sized = {"img_size": size} if "patch" in name else {}
    torch.manual_seed(0)
    theirs = timm.create_model(name, **sized).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    recipe = recipe_for(f"timm.{name}", size)
    model = build_model(recipe)
    report = load_weights(model, str(tmp_path / "model.safetensors"), recipe, backbone_only=True)
    assert (report.dialect, report.backbone_share, report.missing) == ("timm names", 1.0, ())
    assert "head 1000 → 3 (expected: only the backbone is taken)" in report.head_change
    frames = torch.randn(1, 2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps = theirs.forward_features(frames[0])
        if maps.dim() == 3:
            features = torch.nn.AdaptiveAvgPool1d(1)(maps.transpose(1, 2)).flatten(1)
        else:
            maps = maps.permute(0, 3, 1, 2) if name.startswith("swin") else maps
            features = torch.nn.AdaptiveAvgPool2d(1)(maps).flatten(1)
        torch.testing.assert_close(model.eval().backbone(frames[0]), features, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model(frames)[0], model.head.fc(features.mean(0)), rtol=1e-5, atol=1e-5)


def test_colours_that_the_weights_were_not_trained_with(timm: Any, tmp_path: Path) -> None:
    """timm's ViTs are trained with a mean and std of 127.5, its ResNets with ImageNet's."""
    for name, doubts in (("resnet18", 0), ("vit_tiny_patch16_224", 1)):
        recipe = recipe_for(f"timm.{name}", 224)
        model = build_model(recipe)
        save_file(timm.create_model(name).state_dict(), tmp_path / "model.safetensors")
        report = load_weights(model, str(tmp_path / "model.safetensors"), recipe, backbone_only=True)
        assert len(report.doubts) == doubts
    assert "set [model] mean = [127.5, 127.5, 127.5] and std = [127.5, 127.5, 127.5]" in report.doubts[0]


def test_mmactions_file_and_our_own(timm: Any, tmp_path: Path) -> None:
    recipe = recipe_for("timm.resnet18")
    torch.manual_seed(1)
    trained = build_model(recipe).state_dict()
    of_mmaction = {
        key.replace("backbone.net.", "backbone.").replace("head.fc.", "cls_head.fc_cls."): value
        for key, value in trained.items()
    }
    of_lightning = {f"model.{key}": value for key, value in of_mmaction.items()}
    for number, state in enumerate((of_mmaction, trained, of_lightning)):
        torch.save({"state_dict": state}, tmp_path / f"{number}.pth")
        model = build_model(recipe)
        load_weights(model, str(tmp_path / f"{number}.pth"), recipe)
        assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "stages"), [("resnet18", 5), ("vit_tiny_patch16_224", 13), ("convnext_atto", 6)])
def test_freezing(timm: Any, name: str, stages: int) -> None:
    recipe = recipe_for(f"timm.{name}")
    model = build_model(recipe)
    names = [part for stage in model.stages() for part in stage]
    assert len(model.stages()) == stages
    for key, _ in model.backbone.named_parameters(prefix="backbone"):
        assert sum(key == part or key.startswith(f"{part}.") for part in names) == 1
    frozen = recipe.schedule.model_copy(update={"freeze": "stages:1"})
    set_frozen(model, frozen, epoch=1)
    learning = {key for key, value in model.named_parameters() if value.requires_grad}
    below = (*model.stages()[0], *model.stages()[1])
    assert learning and not any(key.startswith(tuple(below)) for key in learning)


def test_flow(timm: Any) -> None:
    model = build_model(recipe_for("timm.resnet18", modality="flow", flow_length=2))
    assert model(torch.zeros(1, 2, 4, 64, 64)).shape == (1, 3)


def test_names_that_timm_does_not_have(timm: Any) -> None:
    with pytest.raises(RecipeError, match=r"is not a model of timm [\d.]+; did you mean timm\.resnet18\?"):
        build_model(recipe_for("timm.resnet1B"))
    with pytest.raises(RecipeError, match=r"frame_size = 60 does not suit the backbone timm\.maxvit_pico"):
        build_model(recipe_for("timm.maxvit_pico_rw_256", 60))
    with pytest.raises(RecipeError, match='style = "caffe" is for ResNets of torchvision'):
        build_model(recipe_for("timm.resnet18", style="caffe"))
    with pytest.raises(RecipeError, match="has no residual stages; tsm takes a ResNet or mobilenet_v2"):
        build_model(recipe_for("timm.resnet18", recognizer="tsm"))
    with pytest.raises(WeightsError, match="has no weights of that name"):
        address_of("timm://resnet1B")


def test_timm_knows_which_weights_a_bare_name_means(timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert address_of("timm://resnet18") == "hf://timm/resnet18.a1_in1k"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("no_proxy", "*")
    theirs = timm.create_model("resnet18").state_dict()
    save_file(theirs, tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    with serve(Site(files={"/timm/resnet18.a1_in1k/resolve/main/model.safetensors": content})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        # into timm's network, and into torchvision's, whose tensors have the same names
        for backbone in ("timm.resnet18", "resnet18"):
            recipe = recipe_for(backbone)
            model = build_model(recipe)
            load_weights(model, "timm://resnet18", recipe, backbone_only=True)
            prefix = "backbone.net." if backbone.startswith("timm.") else "backbone."
            for key, value in theirs.items():
                assert key.startswith("fc.") or torch.equal(model.state_dict()[f"{prefix}{key}"], value)


@pytest.mark.parametrize(
    ("name", "backbone", "logits_of"),
    [("vit_base_patch32_224", "vit_b_32", 1), ("swin_tiny_patch4_window7_224", "swin_t", 2)],
)
def test_timms_transformers_in_torchvisions_networks(
    timm: Any, tmp_path: Path, name: str, backbone: str, logits_of: int
) -> None:
    """The features that timm's own head sees."""
    torch.manual_seed(0)
    theirs = timm.create_model(name).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    recipe = recipe_for(backbone, 224)
    model = build_model(recipe).eval()
    report = load_weights(model, str(tmp_path / "model.safetensors"), recipe, backbone_only=True)
    assert report.backbone_share == 1.0 and not report.dropped
    image = torch.randn(logits_of, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = theirs.forward_head(theirs.forward_features(image), pre_logits=True)
        torch.testing.assert_close(model.backbone(image), wanted, rtol=1e-4, atol=1e-4)
