"""Our recognizers compute what MMAction2 computes: its raw logits, from a state dict in its names, to 2e-6.

vectors/NAME.npy was written by MMAction2 1.2.0 itself (float32, CPU, eval) from the weights and frames of rule.py;
NAME.json holds its state dict's keys and its config. Argmax would survive most mistakes, so logits are compared.
Networks with non-local blocks are compared in float64: comparing all places with all others magnifies rounding.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from engine.model import build_model
from engine.model.tsm import temporal_shift
from engine.recipe import Recipe, recipe_from
from engine.weights.load import load_weights
from tests.oracle.rule import make_frames, make_value

pytestmark = pytest.mark.slow  # `make quick` does without

VECTORS = Path(__file__).parent / "vectors"
TOLERANCE = 2e-6  # of max |logit|
# How a recipe calls the model of each vector; frames, mean, std and classes are read from the vector.
MODELS = {
    "tsn_r18": {"recognizer": "tsn", "backbone": "resnet18"},
    "tsn_r50": {"recognizer": "tsn", "backbone": "resnet50"},
    "tsm_r50": {"recognizer": "tsm", "backbone": "resnet50"},
    "tsm_mobilenet_v2": {"recognizer": "tsm", "backbone": "mobilenet_v2"},
    "tsn_tv_densenet161": {"recognizer": "tsn", "backbone": "torchvision.densenet161"},
    "c2d_r50": {"recognizer": "c2d", "backbone": "resnet50"},
    "i3d_r50": {"recognizer": "i3d", "backbone": "resnet50"},
    "slowonly_r50": {"recognizer": "slowonly", "backbone": "resnet50"},
    "r2plus1d_r34": {"recognizer": "r2plus1d", "backbone": "resnet34"},
    "swin_tiny_t8": {"recognizer": "swin3d", "backbone": "swin3d_t"},
    "mvit_small": {"recognizer": "mvit", "backbone": "mvit_v2_s"},
    "c3d": {"recognizer": "c3d", "backbone": "c3d"},
    "x3d_s": {"recognizer": "x3d", "backbone": "x3d_s"},
    "timesformer_divST": {"recognizer": "timesformer", "backbone": "divided_space_time"},
    "videomae_vit_b": {"recognizer": "videomae", "backbone": "vit_base_p16"},
    "slowfast_r50_4x16": {"recognizer": "slowfast", "backbone": "resnet50"},
    "i3d_r50_nl_gaussian": {"recognizer": "i3d", "backbone": "resnet50", "non_local": "gaussian"},
    "slowonly_r50_nl_embedded_gaussian": {
        "recognizer": "slowonly",
        "backbone": "resnet50",
        "non_local": "scaled_embedded_gaussian",
    },
    "tsm_r50_nl_embedded_gaussian": {
        "recognizer": "tsm",
        "backbone": "resnet50",
        "non_local": "embedded_gaussian",
    },
}


def config_of(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def recipe_of(name: str) -> Recipe:
    config = config_of(name)
    head, preprocessor, shape = config["config"]["cls_head"], config["data_preprocessor"], config["input_shape"]
    frames = {"segments": shape[1]} if len(shape) == 5 else {"clip_len": shape[3]}
    return recipe_from(
        {
            "model": {**MODELS[name], **frames, "mean": preprocessor["mean"], "std": preprocessor["std"]},
            "head": {"num_classes": head["num_classes"], "dropout": head.get("dropout_ratio", 0.5)},
            "dataset": {"short_side": 256, "frame_size": shape[-1]},
        }
    )


def as_mmaction_saves(config: dict[str, Any], path: Path) -> None:
    state = {}
    for key, shape, dtype in config["keys"]:
        value = make_value(key, shape, dtype.startswith("float"))  # None: computed by the constructor
        state[key] = torch.zeros(shape, dtype=torch.int64) if value is None else torch.from_numpy(value)
    torch.save({"meta": {}, "state_dict": state}, path)


def loaded(name: str, folder: Path) -> tuple[nn.Module, Recipe]:
    """The model of a vector, loaded from a file as MMAction2 saves it."""
    config, path = config_of(name), folder / f"{name}.pth"
    as_mmaction_saves(config, path)
    recipe = recipe_of(name)
    model = build_model(recipe)
    report = load_weights(model, str(path), recipe)
    assert len(report.kept) == len(config["keys"]) == len(model.state_dict())
    return model.eval(), recipe


frames_of = lru_cache(maxsize=1)(make_frames)  # those of one network are compared several times


def difference(name: str, model: nn.Module, recipe: Recipe, videos: slice = slice(None)) -> float:
    """Of our logits from MMAction2's, relative to max |logit|."""
    shape = config_of(name)["input_shape"]  # [videos, segments, 3, H, W], or [videos, 1, 3, T, H, W]
    frames = frames_of(shape[0], recipe.model.frames, *shape[-2:])[videos].astype(np.float32)
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (recipe.model.mean, recipe.model.std))
    dtype = {"torch.float32": torch.float32, "torch.float64": torch.float64}[config_of(name)["input_dtype"]]
    with torch.inference_mode():
        ours = model.to(dtype)(torch.from_numpy((frames - mean) / std).to(dtype)).numpy()
    theirs = np.load(VECTORS / f"{name}.npy")[videos]
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


# --- the comparison notices what is easily got wrong ------------------------------------------------------------------


def without_the_shift(model: nn.Module) -> None:
    for conv in shifted(model):
        conv.shift_div = 10**9  # a fold of no channels


def shifted_the_other_way(model: nn.Module) -> None:
    """Run the clip backwards: the next frame's channels come from the previous one."""
    model.register_forward_pre_hook(lambda _, frames: (frames[0].flip(1),))


def shifted_on_the_residual_path_too(model: nn.Module) -> None:
    for block in (module for module in model.modules() if hasattr(getattr(module, "conv1", None), "shift_div")):
        shift = partial(temporal_shift, segments=block.conv1.segments, shift_div=block.conv1.shift_div)
        block.conv1.shift_div = 10**9
        block.register_forward_pre_hook(lambda _, frames, shift=shift: (shift(frames[0]),))


def with_another_eps(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, _NormBase):
            module.eps = 1e-3


def in_caffe_style(model: nn.Module) -> None:
    """The stride on the first 1×1 convolution, not on the 3×3 one."""
    for stage in (model.backbone.layer2, model.backbone.layer3, model.backbone.layer4):  # type: ignore[union-attr]
        block = stage[0]  # type: ignore[index]
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def with_padding_in_the_stem(model: nn.Module) -> None:
    """As torchvision's ResNets pool."""
    model.backbone.maxpool.padding = 1  # type: ignore[union-attr]


def without_the_second_pool(model: nn.Module) -> None:
    model.backbone.pool2 = nn.Identity()


def pooling_pairs_of_frames(model: nn.Module) -> None:
    """MMAction2's ResNet3d pools after layer1, its SlowOnly does not."""
    model.backbone.pool2 = nn.MaxPool3d((2, 1, 1))


def with_all_frames_in_the_stem(model: nn.Module) -> None:
    model.backbone.conv1.stride = (1, 2, 2)  # type: ignore[union-attr]


def inflated_in_the_other_blocks(model: nn.Module) -> None:
    """A kernel of three frames that is cut down to its middle one, in the first block that has one."""
    first = next(module for module in model.modules() if getattr(module, "kernel_size", None) == (3, 1, 1))
    first.weight = nn.Parameter(first.weight[:, :, 1:2])
    first.padding = (0, 0, 0)


def with_the_pathways_the_other_way_round(model: nn.Module) -> None:
    """PySlowFast's head has the slow features first."""
    fast = model.backbone.fast_path.features  # type: ignore[union-attr]
    model.head.register_forward_pre_hook(lambda _, features: (features[0].roll(-fast, dims=1),))


def with_lateral_features_first(model: nn.Module) -> None:
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        block = model.backbone.slow_path.get_submodule(stage)[0]  # type: ignore[union-attr, index]
        lateral = block.conv1.in_channels // 5  # a quarter of the slow features
        block.register_forward_pre_hook(lambda _, x, lateral=lateral: (x[0].roll(lateral, dims=1),))


def with_a_relu_behind_the_lateral_convolutions(model: nn.Module) -> None:
    """As PySlowFast has them."""
    for name, module in model.backbone.slow_path.named_children():  # type: ignore[union-attr]
        if name.endswith("_lateral"):
            module.add_module("relu", nn.ReLU())


def with_other_frames_in_the_slow_pathway(model: nn.Module) -> None:
    """The last of every eight, not the first."""
    backbone: Any = model.backbone
    backbone.slow_path.conv1.register_forward_pre_hook(lambda _, x: (clips[0][:, :, 7::8],))
    clips: list[torch.Tensor] = []
    backbone.register_forward_pre_hook(lambda _, x: clips.append(x[0]))


def with_one_eps_everywhere(model: nn.Module) -> None:
    """R(2+1)D's norms between the two convolutions keep PyTorch's 1e-5."""
    for module in model.modules():
        if isinstance(module, _NormBase):
            module.eps = 1e-3


def with_layer_norms_of_another_eps(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6 if module.eps == 1e-5 else 1e-5


def without_shifted_windows(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "shift_size"):
            module.shift_size = [0, 0, 0]


def without_the_residual_pool(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "residual_pool"):
            module.residual_pool = False


def with_a_relu_behind_the_features(model: nn.Module) -> None:
    """As torchvision's DenseNet computes."""
    model.backbone.features.add_module("relu", nn.ReLU())  # type: ignore[union-attr, operator]


def shifted_on_mobilenets_residual_path_too(model: nn.Module) -> None:
    for block in model.backbone.features:  # type: ignore[union-attr]
        if conv := next((part for part in block.modules() if hasattr(part, "shift_div")), None):
            shift = partial(temporal_shift, segments=conv.segments, shift_div=conv.shift_div)
            conv.shift_div = 10**9
            block.register_forward_pre_hook(lambda _, frames, shift=shift: (shift(frames[0]),))


def without_padding_in_the_last_pool(model: nn.Module) -> None:
    """The feature map is then 3 x 3, and the linear layer does not fit: pad behind the pool instead."""
    backbone: Any = model.backbone
    backbone.pools[4] = nn.Sequential(nn.MaxPool3d(2), nn.ConstantPad3d((0, 1, 0, 1, 0, 0), 0.0))


def without_squeeze_and_excitation(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "se_module"):
            module.se_module = nn.Identity()


def with_relu_for_swish(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "swish"):
            module.swish = nn.ReLU()


def with_a_key_bias(model: nn.Module) -> None:
    """Queries', keys' and values' all from the query's: a key's changes nothing, a value's does."""
    for module in model.modules():
        if hasattr(module, "v_bias"):
            module.v_bias = module.q_bias


def with_the_class_token_of_one_frame(model: nn.Module) -> None:
    """Instead of the mean over the frames."""
    for block in model.backbone.blocks:  # type: ignore[union-attr]
        block.attn.register_forward_hook(lambda _, tokens, seen: seen[:1].expand_as(seen))  # type: ignore[union-attr]


def without_time_embedding(model: nn.Module) -> None:
    model.backbone.time_embed.data.zero_()  # type: ignore[union-attr, operator]


def without_non_local_blocks(model: nn.Module) -> None:
    for block in non_local(model):
        block.norm.weight.data.zero_()
        block.norm.bias.data.zero_()


def with_the_other_scale_of_likeness(model: nn.Module) -> None:
    """As transformers divide it, or as the paper does not."""
    for block in non_local(model):
        block.scale = block.g.out_channels**-0.5 if block.scale == 1 else 1.0


def with_non_local_blocks_that_see_every_place(model: nn.Module) -> None:
    for block in non_local(model):
        block.thin_out = nn.Identity()


def with_non_local_blocks_in_one_frame(model: nn.Module) -> None:
    """Each frame's places among themselves."""
    for block in non_local(model):
        block.segments = 1


def non_local(model: nn.Module) -> list[Any]:
    found = [module for module in model.modules() if hasattr(module, "thin_out")]
    assert len(found) == 5
    return found


def shifted(model: nn.Module) -> list[Any]:
    found = [module for module in model.modules() if hasattr(module, "shift_div")]
    assert found
    return found


# Those made in each network.
MISTAKES: dict[str, tuple[Callable[[nn.Module], None], ...]] = {
    "tsn_r18": (with_another_eps,),
    "tsm_r50": (
        without_the_shift,
        shifted_the_other_way,
        shifted_on_the_residual_path_too,
        in_caffe_style,
    ),
    "tsm_mobilenet_v2": (
        shifted_on_mobilenets_residual_path_too,
        without_the_shift,
    ),
    "tsn_tv_densenet161": (with_a_relu_behind_the_features,),
    "c2d_r50": (
        with_padding_in_the_stem,
        without_the_second_pool,
    ),
    "i3d_r50": (
        with_all_frames_in_the_stem,
        without_the_second_pool,
        inflated_in_the_other_blocks,
    ),
    "slowonly_r50": (
        pooling_pairs_of_frames,
        in_caffe_style,
        inflated_in_the_other_blocks,
    ),
    "r2plus1d_r34": (with_one_eps_everywhere,),
    "swin_tiny_t8": (
        with_layer_norms_of_another_eps,
        without_shifted_windows,
    ),
    "mvit_small": (
        with_layer_norms_of_another_eps,
        without_the_residual_pool,
    ),
    "c3d": (without_padding_in_the_last_pool,),
    "x3d_s": (
        without_squeeze_and_excitation,
        with_relu_for_swish,
    ),
    "timesformer_divST": (
        with_layer_norms_of_another_eps,
        without_time_embedding,
        with_the_class_token_of_one_frame,
    ),
    "videomae_vit_b": (
        with_layer_norms_of_another_eps,
        with_a_key_bias,
    ),
    "slowfast_r50_4x16": (
        with_the_pathways_the_other_way_round,
        with_lateral_features_first,
        with_a_relu_behind_the_lateral_convolutions,
        with_other_frames_in_the_slow_pathway,
    ),
    "i3d_r50_nl_gaussian": (without_non_local_blocks,),
    "slowonly_r50_nl_embedded_gaussian": (
        with_the_other_scale_of_likeness,
        with_non_local_blocks_that_see_every_place,
    ),
    "tsm_r50_nl_embedded_gaussian": (with_non_local_blocks_in_one_frame,),
}


# The small ones, for `make quick`.
QUICK = ("tsn_r18", "tsm_mobilenet_v2", "c2d_r50", "x3d_s", "swin_tiny_t8", "i3d_r50_nl_gaussian",
         "tsm_r50_nl_embedded_gaussian")  # fmt: skip


def compare(name: str, folder: Path, tolerance: float = TOLERANCE) -> None:
    """That the network gives MMAction2's logits, and that it no longer does with any of the mistakes made in it.

    All that takes long, to make and to load tens of millions of parameters, is done once; what is compared is a copy.
    """
    model, recipe = loaded(name, folder)
    assert difference(name, deepcopy(model), recipe) <= tolerance
    for mistake in MISTAKES.get(name, ()):
        wrong = deepcopy(model)
        mistake(wrong)
        # A LayerNorm divides by a deviation near 1: its eps shows in the sixth digit, why TOLERANCE is so small.
        least = 1 if mistake is with_layer_norms_of_another_eps else 100
        off = difference(name, wrong, recipe, videos=slice(1))
        assert off > least * TOLERANCE, f"{name} {mistake.__name__} is not noticed"


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "c3d"],
)
def test_the_logits_are_mmactions_and_a_mistake_is_noticed(name: str, tmp_path: Path) -> None:
    compare(name, tmp_path)


@pytest.mark.slow
def test_so_are_c3ds_with_the_instructions_that_the_vector_was_made_with(tmp_path: Path) -> None:
    """C3D has no normalisation, and its input is not scaled: rounding alone moves its logits by 5e-6. The vector was
    made on a processor with AVX2; there, and on others when told to use no more than that, ours are the same."""
    if platform.machine() not in ("x86_64", "AMD64"):  # AVX2 is an instruction set of x86
        return compare("c3d", tmp_path, tolerance=1e-5)
    code = "import sys; from tests.oracle.test_logits import *; compare('c3d', Path(sys.argv[1]))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment).returncode == 0


def test_every_vector_is_compared() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == set(MODELS)
