"""TSN and TSM on torchvision's classifiers: the right backbone, the right names, the shift, frozen normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import RecipeError
from engine.model import build_model
from engine.model.backbones import backbone_names, image_backbone
from engine.model.tsm import ShiftedConv2d, temporal_shift
from engine.recipe import Recipe, recipe_from
from engine.torchvision_schemas import torchvision
from engine.weights.load import load_weights


def recipe(num_classes: int | str = 5, frame_size: int = 32, **model: Any) -> Recipe:
    return recipe_from(
        {
            "model": {"backbone": "resnet18", "segments": 3, **model},
            "head": {"num_classes": num_classes, "dropout": 0.0},
            "dataset": {"short_side": 256, "frame_size": frame_size},
        }
    )


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# --- backbones --------------------------------------------------------------------------------------------------------

# Torchvision's families, each with the features before its last layer. Built on torch's meta device: no memory.
FEATURES = {
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "efficientnet_v2_s": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 1024,
    "resnet18": 512,
    "resnext50_32x4d": 2048,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_1": 512,
    "swin_t": 768,
    "swin_v2_t": 768,
    "vgg11": 4096,
    "vgg16_bn": 4096,
    "vit_b_16": 768,
    "wide_resnet50_2": 2048,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
def test_every_family_of_classifiers_is_a_backbone(name: str) -> None:
    with torch.device("meta"):
        backbone, features = image_backbone(name, 224)
        assert features == FEATURES[name]
        assert backbone.eval()(torch.empty(2, 3, 224, 224)).shape == (2, features)


@pytest.mark.slow  # all of them
def test_every_name_builds() -> None:
    names = backbone_names()
    assert len(names) > 75 and set(FEATURES) <= set(names)
    for name in names:
        if name.startswith("regnet"):  # draws its weights in a way that the meta device cannot
            continue
        with torch.device("meta"):
            _, features = image_backbone(name, 224)
        assert 64 <= features <= 4096, name


# Small enough to really run. RegNet is one of those that the meta device cannot build.
SMALL = ["mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_backbone_is_the_classifier_without_its_last_layer(name: str) -> None:
    """The same names, and what comes out is what goes into the last layer."""
    backbone, features = image_backbone(name, 32)
    classifier = torchvision.models.get_model(name, weights=None).eval()
    lost = set(classifier.state_dict()) - set(backbone.state_dict())
    assert not set(backbone.state_dict()) - set(classifier.state_dict())
    assert len(lost) == 2 and len({key.rpartition(".")[0] for key in lost}) == 1

    kept = classifier.state_dict()
    for key in lost:
        del kept[key]
    backbone.load_state_dict(kept)
    seen: list[torch.Tensor] = []
    last = classifier.get_submodule(next(iter(lost)).rpartition(".")[0])
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found = backbone.eval()(image)
        classifier(image)
    assert found.shape == (2, features)
    # SqueezeNet's last layer is a convolution: what comes in is pooled after it.
    torch.testing.assert_close(found, seen[0] if seen[0].dim() == 2 else seen[0].relu().mean(dim=(2, 3)))


def test_mnasnet_takes_weights(tmp_path: Path) -> None:
    """It refuses a state dict that does not tell its version."""
    settings = recipe(backbone="mnasnet0_5")
    source, model = build_model(settings), build_model(settings)
    torch.save(dict(source.state_dict()), tmp_path / "weights.pth")
    load_weights(model, str(tmp_path / "weights.pth"), settings)
    assert all(map(torch.equal, model.state_dict().values(), source.state_dict().values()))


def test_building_leaves_the_backbone_in_training_mode() -> None:
    backbone, _ = image_backbone("resnet18", 32)
    assert all(module.training for module in backbone.modules())
    assert int(backbone.get_buffer("bn1.num_batches_tracked")) == 0  # the look at its shape left no trace


@pytest.mark.parametrize(("name", "nearest"), [("resnet5", "resnet50"), ("mobilenetv2", "mobilenet_v2")])
def test_an_unknown_backbone_is_told_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(RecipeError, match=rf'^\[model\] backbone = "{name}" is not .*; did you mean {nearest}\?$'):
        build_model(recipe(backbone=name))


def test_an_unknown_backbone_unlike_any() -> None:
    with pytest.raises(RecipeError, match=r'backbone = "x" is not .*; see torchvision\'s list'):
        build_model(recipe(backbone="x"))


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 112), ("vgg11", 16), ("squeezenet1_1", 8), ("maxvit_t", 112)])
def test_frames_that_do_not_fit_are_a_sentence(name: str, size: int) -> None:
    with torch.device("meta"), pytest.raises(RecipeError) as caught:
        image_backbone(name, size)
    sentence = str(caught.value)
    complaint = f"[dataset] frame_size = {size} does not suit the backbone {name}; the usual size is 224 ("
    assert sentence.startswith(complaint) and sentence.endswith(").") and "\n" not in sentence


def test_the_number_of_classes_must_be_known() -> None:
    with pytest.raises(RecipeError, match=r'^\[head\] num_classes is "auto"'):
        build_model(recipe(num_classes="auto"))


# --- the whole network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recognizer", ["tsn", "tsm"])
def test_the_state_dict_is_torchvisions_under_backbone_and_the_head(recognizer: str) -> None:
    torchvisions = {
        f"backbone.{key}": value.shape
        for key, value in torchvision.models.resnet18(weights=None).state_dict().items()
        if not key.startswith("fc.")
    }
    found = {key: value.shape for key, value in build_model(recipe(recognizer=recognizer)).state_dict().items()}
    assert found == torchvisions | {"head.fc.weight": (5, 512), "head.fc.bias": (5,)}


def test_tsn_classifies_the_mean_of_the_frames_features() -> None:
    model = build_model(recipe()).eval()
    frames = torch.randn(2, 3, 3, 32, 32)
    with torch.inference_mode():
        features = torch.stack([model.backbone(clip).mean(dim=0) for clip in frames])
        torch.testing.assert_close(model(frames), model.head.fc(features), rtol=1e-4, atol=1e-6)


def test_tsn_takes_any_number_of_frames_and_minds_no_order() -> None:
    model = build_model(recipe()).eval()
    frames = torch.randn(2, 7, 3, 32, 32)
    with torch.inference_mode():
        scores = model(frames)
        assert scores.shape == (2, 5)
        torch.testing.assert_close(model(frames.flip(1)), scores, rtol=1e-4, atol=1e-6)


def test_a_whole_step_changes_every_parameter() -> None:
    model = build_model(recipe(recognizer="tsm"))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    nn.functional.cross_entropy(model(torch.randn(4, 3, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    assert [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])] == []


# --- the shift --------------------------------------------------------------------------------------------------------


def shifted_by_hand(frames: torch.Tensor, segments: int, shift_div: int) -> torch.Tensor:
    """[B*T, C, H, W]; clip by clip, frame by frame, channel by channel."""
    result = torch.zeros_like(frames)
    channels = frames.shape[1]
    fold = channels // shift_div
    for clip in range(len(frames) // segments):
        for t in range(segments):
            for channel in range(channels):
                source = t + 1 if channel < fold else t - 1 if channel < 2 * fold else t
                if 0 <= source < segments:
                    result[clip * segments + t, channel] = frames[clip * segments + source, channel]
    return result


@pytest.mark.parametrize("shift_div", [2, 3, 8, 16])
@pytest.mark.parametrize("segments", [1, 2, 3, 8])
def test_the_shift_is_what_it_says(segments: int, shift_div: int) -> None:
    frames = torch.randn(2 * segments, 11, 2, 3)
    shifted = temporal_shift(frames, segments, shift_div)
    assert torch.equal(shifted, shifted_by_hand(frames, segments, shift_div))


def test_the_shift_passes_gradients_back_the_other_way() -> None:
    frames = torch.randn(6, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: temporal_shift(x, 3, 4), (frames,))


def shifted_layers(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, ShiftedConv2d)]


def test_tsm_shifts_before_the_first_convolution_of_every_block() -> None:
    expected = [f"backbone.layer{stage}.{block}.conv1" for stage in range(1, 5) for block in range(2)]
    assert shifted_layers(build_model(recipe(recognizer="tsm"))) == expected


def test_deep_resnets_shift_every_other_block_as_mmaction2_does() -> None:
    with torch.device("meta"):
        found = shifted_layers(build_model(recipe(recognizer="tsm", backbone="resnet101", frame_size=224)))
    blocks = {1: 3, 2: 4, 3: 23, 4: 3}
    assert found == [f"backbone.layer{stage}.{block}.conv1" for stage in blocks for block in range(0, blocks[stage], 2)]


def test_tsm_is_a_resnet_with_shifts_by_hand() -> None:
    """The residual branch sees the neighbours, the shortcut does not."""
    model = build_model(recipe(recognizer="tsm", shift_div=4)).eval()
    plain = torchvision.models.resnet18(weights=None).eval()
    plain.fc = nn.Identity()
    plain.load_state_dict(model.backbone.state_dict())
    for stage in (plain.layer1, plain.layer2, plain.layer3, plain.layer4):
        for block in stage:
            block.conv1.register_forward_pre_hook(lambda _, inputs: shifted_by_hand(inputs[0], 3, 4))
    frames = torch.randn(2, 3, 3, 32, 32)
    with torch.inference_mode():
        scores = model.head.fc(plain(frames.flatten(0, 1))).unflatten(0, (2, 3)).mean(dim=1)
        torch.testing.assert_close(model(frames), scores, rtol=1e-4, atol=1e-6)


def test_tsm_minds_the_order_but_no_other_clip() -> None:
    model = build_model(recipe(recognizer="tsm")).eval()
    frames = torch.randn(2, 3, 3, 32, 32)
    with torch.inference_mode():
        scores = model(frames)
        assert (model(frames.flip(1)) - scores).abs().max() > 1e-3 * scores.abs().max()
        torch.testing.assert_close(model(frames[1:]), scores[1:], rtol=1e-4, atol=1e-6)


def test_tsm_with_one_segment_sees_zeros_beside_it() -> None:
    model = build_model(recipe(recognizer="tsm", segments=1)).eval()
    with torch.inference_mode():
        assert torch.isfinite(model(torch.randn(2, 1, 3, 32, 32))).all()


def test_tsm_refuses_another_number_of_frames() -> None:
    model = build_model(recipe(recognizer="tsm"))
    with pytest.raises(ValueError, match="shifts among 3 frames, but was given 6"):
        model(torch.zeros(1, 6, 3, 32, 32))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vgg11", "swin_t"])
def test_tsm_takes_no_other_classifier(name: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(
            RecipeError, match=rf'^\[model\] backbone = "{name}" has no .*; tsm takes a ResNet or mobilenet_v2\.$'
        ),
    ):
        build_model(recipe(recognizer="tsm", backbone=name, frame_size=224))


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_tsm_takes_the_relatives_of_resnet(name: str) -> None:
    with torch.device("meta"):
        model = build_model(recipe(recognizer="tsm", backbone=name, frame_size=224))
    assert len(shifted_layers(model)) == 16


def test_tsm_shifts_where_mobilenet_v2_has_a_shortcut() -> None:
    """Before the convolution that widens, so that the shortcut is not shifted."""
    with torch.device("meta"):
        found = shifted_layers(build_model(recipe(recognizer="tsm", backbone="mobilenet_v2")))
    assert found == [f"backbone.features.{number}.conv.0.0" for number in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]


# --- torchvision's classifiers as MMAction2 uses them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "features"),
    [("densenet121", 1024), ("vgg11", 512), ("mobilenet_v3_small", 576), ("swin_t", 768), ("convnext_tiny", 768)],
)
def test_mmaction2_takes_the_features_only(name: str, features: int) -> None:
    with torch.device("meta"):
        backbone, found = image_backbone(f"torchvision.{name}", 64)
        assert found == features
        assert all(key.startswith("features.") for key in backbone.state_dict())


def test_a_densenet_as_mmaction2_uses_it_has_no_relu_behind_it() -> None:
    theirs, _ = image_backbone("torchvision.densenet121", 32)
    ours, _ = image_backbone("densenet121", 32)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        maps = ours.eval().features(image)
        torch.testing.assert_close(theirs.eval()(image), maps.mean(dim=(2, 3)))
        torch.testing.assert_close(ours(image), maps.relu().mean(dim=(2, 3)))
        assert (maps < 0).any()


def test_a_classifier_without_features_is_the_same_for_mmaction2() -> None:
    with torch.device("meta"):
        theirs, _ = image_backbone("torchvision.resnet18", 32)
    assert isinstance(theirs, torchvision.models.ResNet)


@pytest.mark.parametrize(
    ("name", "left"),
    [("mobilenet_v2", 0), ("efficientnet_b0", 0), ("squeezenet1_1", 0), ("googlenet", 0), ("vgg11", 1)],
)
def test_the_heads_dropout_is_the_only_one_before_the_last_layer(name: str, left: int) -> None:
    """VGG has one more, between its hidden layers."""
    with torch.device("meta"):
        backbone, _ = image_backbone(name, 64)
    assert sum(isinstance(module, nn.Dropout) for module in backbone.modules()) == left


# --- normalisation kept as it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("recognizer", ["tsn", "tsm"])
def test_norm_eval_keeps_the_statistics_while_training(recognizer: str) -> None:
    model = build_model(recipe(recognizer=recognizer, norm_eval=True))
    model.eval().train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20 and not any(norm.training for norm in norms)
    assert model.training and model.head.dropout.training and model.backbone.layer1.training
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 3, 32, 32)).sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert all(norm.weight.grad is not None for norm in norms)  # the affine part still learns


def test_without_norm_eval_the_statistics_follow() -> None:
    model = build_model(recipe())
    model.eval().train()
    assert all(module.training for module in model.modules())
    model(torch.randn(2, 3, 3, 32, 32))
    assert int(model.backbone.bn1.num_batches_tracked) == 1


def test_eval_stays_eval_with_norm_eval() -> None:
    assert not any(module.training for module in build_model(recipe(norm_eval=True)).eval().modules())
