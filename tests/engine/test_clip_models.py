"""3D networks: they see a clip as a whole, train, fall into stages, and say what they cannot take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.errors import RecipeError
from engine.model import CLIP_BACKBONES, FRAME_RECOGNIZERS, build_model
from engine.model.recognizer import Recognizer
from engine.recipe import Model, Recipe, recipe_from
from engine.recognizers import TITLES
from engine.torchvision_schemas import torchvision
from engine.weights.load import load_weights

pytestmark = pytest.mark.slow  # `make quick` does without

# The smallest of each family: backbone, frames, frame size.
SMALLEST: dict[str, tuple[str, int, int]] = {
    "c2d": ("resnet18", 4, 32),
    "i3d": ("resnet18", 8, 32),
    "slowonly": ("resnet18", 4, 32),
    "slowfast": ("resnet18", 16, 32),
    "r2plus1d": ("resnet18", 8, 32),
    "r3d": ("r3d_18", 8, 32),
    "mc3": ("mc3_18", 8, 32),
    "s3d": ("s3d", 16, 224),
    "swin3d": ("swin3d_t", 4, 32),
    "mvit": ("mvit_v2_t", 4, 64),
    "c3d": ("c3d", 16, 112),
    "x3d": ("x3d_s", 4, 64),
    "csn": ("ir-resnet50", 8, 32),
    "timesformer": ("divided_space_time", 2, 32),
    "videomae": ("vit_small_p16", 4, 32),
}


LARGE = ("s3d", "c3d", "timesformer")  # they take no small frames, or have no small network
FAMILIES = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in SMALLEST]

# Of MViT's last block only the class token is used, which is not pooled. TimeSformer's attention over time begins as
# nothing in all blocks but the first.
LEARNS_LATER = {"mvit": r"blocks\.9\.attn\.(pool_q|rel_pos)", "timesformer": r"temporal_(attn|norm1)"}


def recipe(recognizer: str, num_classes: int = 3, **model: Any) -> Recipe:
    backbone, frames, size = SMALLEST[recognizer]
    return recipe_from(
        {
            "model": {"recognizer": recognizer, "backbone": backbone, "clip_len": frames, "drop_path": 0.0, **model},
            "head": {"num_classes": num_classes, "dropout": 0.0},
            "dataset": {"short_side": 256, "frame_size": size},
        }
    )


def clips_for(settings: Recipe, clips: int = 2) -> torch.Tensor:
    size = settings.dataset.frame_size
    return torch.randn(clips, settings.model.frames, 3, size, size)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_a_recipe_can_name_what_can_be_built_and_nothing_else() -> None:
    named = set(Model.model_json_schema()["properties"]["recognizer"]["enum"])
    assert named == set(TITLES) == set(CLIP_BACKBONES) | set(FRAME_RECOGNIZERS) | {"transformers"}
    assert set(SMALLEST) == set(CLIP_BACKBONES)


@pytest.mark.parametrize("recognizer", FAMILIES)
def test_a_step_changes_every_parameter_and_lowers_the_loss(recognizer: str) -> None:
    settings = recipe(recognizer, 2)
    model, clips, labels = build_model(settings), clips_for(settings), torch.tensor([0, 1])
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    loss = nn.functional.cross_entropy(model(clips), labels)
    loss.backward()
    optimizer.step()
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert [name for name in unchanged if not re.search(LEARNS_LATER.get(recognizer, "$^"), name)] == []
    with torch.no_grad():
        assert nn.functional.cross_entropy(model(clips), labels) < loss


@pytest.mark.parametrize("recognizer", FAMILIES)
def test_clips_do_not_see_each_other_and_the_order_of_their_frames_counts(recognizer: str) -> None:
    settings = recipe(recognizer)
    model, clips = build_model(settings).eval(), clips_for(settings)
    if recognizer == "timesformer":  # its time embedding, which begins as nothing, is all that tells frames apart
        nn.init.normal_(model.backbone.time_embed)
    with torch.inference_mode():
        scores = model(clips)
        assert scores.shape == (2, 3)
        torch.testing.assert_close(model(clips[1:]), scores[1:], rtol=1e-4, atol=1e-5)
        if recognizer != "c2d":  # which sees each frame by itself
            assert (model(clips[:1].flip(1)) - scores[:1]).abs().max() > 1e-4 * scores[:1].abs().max()


@pytest.mark.parametrize("recognizer", FAMILIES)
def test_the_last_layer_is_the_heads_and_the_rest_is_the_backbones(recognizer: str) -> None:
    with torch.device("meta"):
        small, large = (build_model(recipe(recognizer, classes)).state_dict() for classes in (3, 5))
    differing = [key for key in small if small[key].shape != large[key].shape]
    assert differing == ["head.fc.weight", "head.fc.bias"]
    assert all(key.startswith("backbone.") for key in set(small) - set(differing))


# --- stages -----------------------------------------------------------------------------------------------------------


def parameters_by_stage(model: Recognizer) -> list[list[str]]:
    """The names of the parameters in each stage; each of the backbone's must be in exactly one."""
    names = [name for name, _ in model.named_parameters() if name.startswith("backbone.")]
    stages = [
        [name for part in stage for name in names if name == part or name.startswith(f"{part}.")]
        for stage in model.stages()
    ]
    assert sorted(name for stage in stages for name in stage) == sorted(names)
    assert all(stages)
    return stages


@pytest.mark.parametrize("recognizer", FAMILIES)
def test_every_parameter_of_the_backbone_is_in_one_stage(recognizer: str) -> None:
    with torch.device("meta"):
        model = build_model(recipe(recognizer))
    stages = parameters_by_stage(model)
    assert len(stages) >= 5
    # The stem first: it is what the frames reach first.
    first = model.get_parameter(stages[0][0])
    assert first.dim() == 1 or 3 in first.shape[1:2]


@pytest.mark.parametrize("recognizer", ["c2d", "i3d", "slowonly"])
def test_the_stages_of_a_resnet(recognizer: str) -> None:
    with torch.device("meta"):
        stages = parameters_by_stage(build_model(recipe(recognizer)))
    assert stages[0] == ["backbone.conv1.weight", "backbone.bn1.weight", "backbone.bn1.bias"]
    assert [stage[0].split(".")[1] for stage in stages[1:]] == ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("backbone", "stem", "stages"),
    [
        ("resnet18", "conv1", 5),
        ("resnet10_slim", "conv1", 5),
        ("densenet121", "features.conv0", 5),
        ("convnext_tiny", "features.0", 6),
        ("swin_t", "features.0", 5),
        ("vit_b_16", "conv_proj", 13),
        ("mobilenet_v2", "features.0", 19),
        ("efficientnet_b0", "features.0", 9),
        ("vgg11", "features.0", 9),
        ("squeezenet1_1", "features.0", 9),
        ("shufflenet_v2_x0_5", "conv1", 5),
        ("googlenet", "conv1", 12),
        ("maxvit_t", "stem", 6),
    ],
)
def test_the_stages_of_image_classifiers(backbone: str, stem: str, stages: int) -> None:
    """VGG's and MaxViT's own hidden layers are the last stage; ViT's class token belongs to the stem."""
    document = {"model": {"backbone": backbone, "segments": 2}, "head": {"num_classes": 3}}
    with torch.device("meta"):
        model = build_model(recipe_from(document))
    found = parameters_by_stage(model)
    assert len(found) == stages and found[0][0].startswith(f"backbone.{stem}.")
    if backbone == "vit_b_16":
        assert {"backbone.class_token", "backbone.encoder.pos_embedding"} <= set(found[0])
        assert found[-1][-2:] == ["backbone.encoder.ln.weight", "backbone.encoder.ln.bias"]


def test_tsm_has_the_stages_of_its_resnet() -> None:
    document = {"model": {"recognizer": "tsm", "backbone": "resnet18"}, "head": {"num_classes": 3}}
    assert len(parameters_by_stage(build_model(recipe_from(document)))) == 5


# --- 3D ResNets -------------------------------------------------------------------------------------------------------


def test_slowonly_never_halves_the_time_and_i3d_does_three_times() -> None:
    for recognizer, frames in (("slowonly", 8), ("i3d", 1), ("c2d", 4)):
        model = build_model(recipe(recognizer, clip_len=8)).eval()
        seen: list[torch.Size] = []
        model.backbone.get_submodule("layer4").register_forward_hook(
            lambda *hooked, seen=seen: seen.append(hooked[2].shape)
        )
        model(torch.zeros(1, 8, 3, 64, 64))
        (shape,) = seen
        assert (shape[2] if recognizer != "c2d" else shape[0]) == frames


def test_which_blocks_of_i3d_reach_over_time() -> None:
    with torch.device("meta"):
        light, heavy = (build_model(recipe("i3d", backbone=name)) for name in ("resnet50", "resnet50-heavy"))
    for model, expected in ((light, "111 1010 101010 010"), (heavy, "111 1111 111111 111")):
        lengths = [
            "".join("1" if block.conv1.kernel_size == (3, 1, 1) else "0" for block in stage)
            for stage in (getattr(model.backbone, f"layer{number}") for number in range(1, 5))
        ]
        assert " ".join(lengths) == expected


@pytest.mark.parametrize("recognizer", ["c2d", "slowonly", "i3d", "tsn", "tsm"])
def test_the_caffe_style_halves_the_image_first(recognizer: str) -> None:
    document = {
        "model": {"recognizer": recognizer, "backbone": "resnet50", "clip_len": 8, "style": "caffe"},
        "head": {"num_classes": 3},
    }
    with torch.device("meta"):
        model = build_model(recipe_from(document))
    blocks = [block for stage in (2, 3, 4) for block in model.backbone.get_submodule(f"layer{stage}").children()]
    strides = {(block.conv1.stride[-1], block.conv2.stride[-1]) for block in blocks}
    assert strides == {(2, 1), (1, 1)}


def test_the_caffe_style_is_for_resnets() -> None:
    document = {"model": {"backbone": "vgg11", "style": "caffe"}, "head": {"num_classes": 3}}
    sentence = r'^\[model\] style = "caffe" is for ResNets; the backbone vgg11 is none\.$'
    with torch.device("meta"), pytest.raises(RecipeError, match=sentence):
        build_model(recipe_from(document))


# --- SlowFast ---------------------------------------------------------------------------------------------------------


def test_the_stages_of_slowfast_hold_both_pathways() -> None:
    with torch.device("meta"):
        stages = parameters_by_stage(build_model(recipe("slowfast")))
    assert len(stages) == 5
    for number, stage in enumerate(stages):
        name = f"layer{number}" if number else "conv1"
        found = {key.removeprefix("backbone.").rsplit(".", 1)[0] for key in stage}
        for expected in (f"slow_path.{name}", f"fast_path.{name}"):
            assert any(key.startswith(expected) for key in found)
        assert (f"slow_path.{name}_lateral.conv" in found) == (number < 4)


def test_slowfast_of_two_depths_and_with_norms_between_the_pathways() -> None:
    with torch.device("meta"):
        model = build_model(
            recipe(
                "slowfast", backbone="resnet101-resnet50", clip_len=32, lateral_norm=True, lateral_kernel=7,
                resample_rate=4, speed_ratio=4,
            )
        )  # fmt: skip
    paths = model.backbone.slow_path, model.backbone.fast_path
    assert [len(path.layer3) for path in paths] == [23, 6]
    lateral = paths[0].get_submodule("layer1_lateral")
    assert [name for name, _ in lateral.named_children()] == ["conv", "bn", "relu"]
    assert lateral.get_submodule("conv").kernel_size == (7, 1, 1)
    assert model.head.fc.in_features == 2304


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"resample_rate": 8, "speed_ratio": 3}, "resample_rate = 8 must be a multiple of speed_ratio = 3"),
        ({"backbone": "resnet50-resnet18"}, "both pathways need blocks of one kind"),
        ({"backbone": "resnet50-vgg11"}, 'backbone = "vgg11" is not for slowfast'),
    ],
)
def test_pathways_that_do_not_fit_together_are_a_sentence(model: dict[str, Any], sentence: str) -> None:
    with torch.device("meta"), pytest.raises(RecipeError, match=sentence):
        build_model(recipe("slowfast", **model))


# --- torchvision's ----------------------------------------------------------------------------------------------------

TORCHVISIONS = {
    "r3d_18": ("r3d", 8, 32),
    "mc3_18": ("mc3", 8, 32),
    "r2plus1d_18": ("r2plus1d", 8, 32),
    "s3d": ("s3d", 16, 224),
    "swin3d_t": ("swin3d", 8, 64),
    "mvit_v2_s": ("mvit", 16, 224),
    "mvit_v1_b": ("mvit", 16, 224),
}
HEAVY = ("s3d", "swin3d_t", "mvit_v2_s", "mvit_v1_b")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in TORCHVISIONS]
)
def test_torchvisions_weights_give_torchvisions_scores(name: str, tmp_path: Path) -> None:
    recognizer, frames, size = TORCHVISIONS[name]
    theirs = torchvision.models.get_model(name, weights=None).eval()
    for module in theirs.modules():  # the running statistics must matter
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    settings = recipe_from(
        {
            "model": {"recognizer": recognizer, "backbone": name, "clip_len": frames},
            "head": {"num_classes": 400},
            "dataset": {"frame_size": size},
        }
    )
    ours = build_model(settings).eval()
    report = load_weights(ours, str(tmp_path / "weights.pth"), settings)
    assert report.dialect == "torchvision names"
    assert len(report.kept) == len(theirs.state_dict()) and not report.dropped
    clip = torch.randn(1, frames, 3, size, size)
    with torch.inference_mode():
        scores = theirs(clip.transpose(1, 2))
        assert scores.abs().max() > 0.01
        torch.testing.assert_close(ours(clip), scores, rtol=0, atol=1e-5 * scores.abs().max().item())


def test_the_large_transformers_have_their_published_sizes() -> None:
    """MMAction2 1.x, configs/recognition/{mvit,swin}/README.md: millions of parameters."""
    sizes = {("mvit", "mvit_v2_b"): 51.2, ("mvit", "mvit_v2_l"): 213.0, ("swin3d", "swin3d_l"): 197.0}
    for (recognizer, backbone), expected in sizes.items():
        document = {
            "model": {"recognizer": recognizer, "backbone": backbone, "clip_len": 16},
            "head": {"num_classes": 400},
        }
        with torch.device("meta"):
            model = build_model(recipe_from(document))
        assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(expected, rel=0.005)


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recognizer", FAMILIES)
def test_a_backbone_of_another_family_is_a_sentence(recognizer: str) -> None:
    with pytest.raises(RecipeError, match=rf'^\[model\] backbone = "vgg11" is not for {recognizer}, which takes .*\.$'):
        build_model(recipe(recognizer, backbone="vgg11"))


def test_frames_that_do_not_fit_are_a_sentence() -> None:
    with pytest.raises(RecipeError) as caught:
        build_model(recipe("c2d", clip_len=1))
    assert str(caught.value).startswith("c2d with resnet18 cannot take 1 frames of 32 x 32 (")


def test_slowonly_without_its_stem_pool_sees_twice_as_fine() -> None:
    tables = {"recognizer": "slowonly", "backbone": "resnet18", "clip_len": 4}
    shapes = []
    for stem_pool in (True, False):
        small = {"short_side": 64, "frame_size": 64}
        document = {"model": {**tables, "stem_pool": stem_pool}, "head": {"num_classes": 2}, "dataset": small}
        model = build_model(recipe_from(document))
        model.backbone.layer1.register_forward_hook(lambda _, given, result: shapes.append(result.shape[-2:]))
        model(torch.zeros(1, 4, 3, 64, 64))
    assert shapes == [(16, 16), (32, 32)]
    with pytest.raises(RecipeError, match="i3d always has its own stem; only slowonly takes it without"):
        recipe_from({"model": {**tables, "recognizer": "i3d", "stem_pool": False}})
