"""The names that published checkpoints give their tensors, and how each becomes ours. Recognised, never asked.

Ours: `backbone.` and torchvision's name of the tensor in the image classifier, `head.fc.weight`, `head.fc.bias`.
Torch-free: these are functions on names and plain containers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """name: as reports call it. mark: a key that gives it away. renames: applied in order to every key."""

    name: str
    mark: str
    renames: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def _image_swin_stage(match: re.Match[str]) -> str:
    """layers.i.blocks → features.2i+1, layers.i.downsample → features.2i+2: features.0 sees pixels."""
    return f"features.{2 * int(match[1]) + 1 + (match[2] == 'downsample')}"


def _swin_stage(match: re.Match[str]) -> str:
    """layers.i.blocks → features.2i, layers.i.downsample → features.2i+1."""
    return f"features.{2 * int(match[1]) + (match[2] == 'downsample')}"


def _inverted_residual(match: re.Match[str]) -> str:
    """MobileNetV2: layerN.M → the block's number in one row, behind the stem."""
    blocks_before = (0, 1, 3, 6, 10, 13, 16)[int(match[1]) - 1]
    return f"backbone.features.{1 + blocks_before + int(match[2])}."


def _bias_of_queries_or_values(match: re.Match[str]) -> str:
    """q_bias and v_bias, which transformers 5 calls query.bias and value.bias."""
    return f".attn.{match[1] or match[2] or match[3]}_bias"


def _number(letter: str) -> int:
    """a, b, c → 1, 2, 3."""
    return ord(letter) - ord("a") + 1


_MLP = ((r"\.mlp\.fc1\.", ".mlp.0."), (r"\.mlp\.fc2\.", ".mlp.3."))
_CLS_HEAD = (r"^cls_head\.fc_cls\.", "head.fc.")

_BACKBONE_ALONE = (r"^(?!backbone\.|head\.)", "backbone.")  # published without its head
_TRANSFORMER = (
    _CLS_HEAD,
    _BACKBONE_ALONE,
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.transformer_layers\.layers\.", ".blocks."),
    (r"\.ffns\.0\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffns\.0\.layers\.1\.", ".mlp.fc2."),
    (r"\.in_proj_", ".qkv."),
    (r"\.out_proj\.", ".proj."),
)
_PATHS = ("backbone.slow_path.", "backbone.fast_path.")
_PYSLOWFAST = (
    (r"^head\.projection\.", "head.fc."),
    (r"\.branch1\.", ".downsample.0."),
    (r"\.branch1_bn\.", ".downsample.1."),
    (r"\.branch2\.([abc])\.", lambda m: f".conv{_number(m[1])}."),
    (r"\.branch2\.([abc])_bn\.", lambda m: f".bn{_number(m[1])}."),
)
_PYTORCHVIDEO = (
    (r"^blocks\.\d\.proj\.", "head.fc."),
    (r"^blocks\.(\d)\.res_blocks\.", r"backbone.layer\1."),
    (r"\.res_blocks\.", "."),
    (r"\.branch1_conv\.", ".downsample.0."),
    (r"\.branch1_norm\.", ".downsample.1."),
    (r"\.branch2\.conv_([abc])\.", lambda m: f".conv{_number(m[1])}."),
    (r"\.branch2\.norm_([abc])\.", lambda m: f".bn{_number(m[1])}."),
)
_HUGGING_FACE = (
    (r"^classifier\.", "head.fc."),
    (r"\.embeddings\.patch_embeddings\.projection\.", ".patch_embed.proj."),
    (r"\.embeddings\.cls_token$", ".cls_token"),
    (r"\.embeddings\.position_embeddings$", ".pos_embed"),
    (r"\.embeddings\.time_embeddings$", ".time_embed"),
    (r"\.encoder\.layer\.", ".blocks."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
)
_HUGGING_FACE_MLP = ((r"\.intermediate\.dense\.", ".mlp.fc1."), (r"\.output\.dense\.", ".mlp.fc2."))

# The first whose mark is found in any key is the one.
DIALECTS = (
    # MMAction2 0.x and 1.x, its own ResNets. GoogLeNet has a conv1.conv too, but no layer1.
    Dialect(
        "MMAction2 names",
        r"^(backbone\.)?((slow|fast)_path\.)?layer1\.0\.conv1\.conv\.((net|conv_s)\.)?weight$",
        (
            _CLS_HEAD,
            (r"^(?=(conv1|layer\d|slow_path|fast_path)\.)", "backbone."),  # a backbone published alone
            (r"\.conv\.net\.", ".conv."),  # TSM wraps what it shifts
            (r"\.block\.conv", ".conv"),  # and blocks that a non-local one follows
            (r"\.block\.downsample\.", ".downsample."),
            (r"\.non_local_block\.(g|phi|theta)\.(0\.)?conv\.", r".non_local_block.\1."),
            (r"\.non_local_block\.conv_out\.conv\.", ".non_local_block.out."),
            (r"\.non_local_block\.conv_out\.bn\.", ".non_local_block.norm."),
            # X3D; its head has a layer that does not depend on the classes
            (r"^cls_head\.fc1\.", "backbone.fc1."),
            (r"^cls_head\.fc2\.", "head.fc."),
            (r"\.conv1_(\w)\.conv\.", r".conv1_\1."),
            (r"\.conv1_t\.bn\.", ".bn1."),
            (r"\.downsample\.conv\.", ".downsample.0."),
            (r"\.downsample\.bn\.", ".downsample.1."),
            (r"\.conv(\d)\.conv\.", r".conv\1."),
            (r"\.conv(\d)\.bn\.", r".bn\1."),
        ),
    ),
    Dialect(
        "MMAction2 names, MobileNetV2",
        r"^backbone\.layer1\.0\.conv\.0\.conv\.weight$",
        (
            _CLS_HEAD,
            (r"\.net\.", "."),  # TSM wraps what it shifts
            (r"^backbone\.conv1\.", "backbone.features.0."),
            (r"^backbone\.conv2\.", "backbone.features.18."),
            (r"^backbone\.layer(\d)\.(\d)\.", _inverted_residual),
            (r"\.features\.(0|18)\.conv\.", r".features.\1.0."),
            (r"\.features\.(0|18)\.bn\.", r".features.\1.1."),
            # The first block does not widen: its depthwise convolution comes first. The last one has no ReLU in it.
            (r"\.features\.1\.conv\.1\.conv\.", ".features.1.conv.1."),
            (r"\.features\.1\.conv\.1\.bn\.", ".features.1.conv.2."),
            (r"\.conv\.2\.conv\.", ".conv.2."),
            (r"\.conv\.2\.bn\.", ".conv.3."),
            (r"\.conv\.([01])\.conv\.", r".conv.\1.0."),
            (r"\.conv\.([01])\.bn\.", r".conv.\1.1."),
        ),
    ),
    Dialect(
        "MMAction2 names, C3D", r"^(backbone\.)?conv1a\.conv\.weight$", (_CLS_HEAD, _BACKBONE_ALONE, (r"\.conv\.", "."))
    ),
    Dialect(
        "MMAction2 names, TimeSformer (divided)",
        r"^(backbone\.)?transformer_layers\.layers\.0\.attentions\.1\.",
        (
            (r"\.attentions\.0\.norm\.", ".temporal_norm1."),
            (r"\.attentions\.0\.attn\.", ".temporal_attn."),
            (r"\.attentions\.0\.temporal_fc\.", ".temporal_fc."),
            (r"\.attentions\.1\.norm\.", ".norm1."),
            (r"\.attentions\.1\.attn\.", ".attn."),
            (r"\.ffns\.0\.norm\.", ".norm2."),
            *_TRANSFORMER,
        ),
    ),
    Dialect(
        "MMAction2 names, TimeSformer",
        r"^(backbone\.)?transformer_layers\.layers\.0\.attentions\.0\.",
        (
            (r"\.norms\.0\.", ".norm1."),
            (r"\.attentions\.0\.attn\.", ".attn."),
            (r"\.norms\.1\.", ".norm2."),
            *_TRANSFORMER,
        ),
    ),
    Dialect(
        "MMAction2 names, VideoMAE",
        r"^backbone\.blocks\.0\.mlp\.layers\.0\.0\.weight$",
        (
            _CLS_HEAD,
            (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
            (r"\.mlp\.layers\.0\.0\.", ".mlp.fc1."),
            (r"\.mlp\.layers\.1\.", ".mlp.fc2."),
        ),
    ),
    # MMAction2 and Video-Swin-Transformer, which it took its Swin from; below, the image Swin's own.
    Dialect(
        "MMAction2 names, Video Swin",
        r"^backbone\.layers\.0\.blocks\.0\.attn\.relative_position_bias_table$",
        (
            _CLS_HEAD,
            (r"layers\.(\d)\.(blocks|downsample)(?=\.)", _swin_stage),
            *_MLP,
            (r"^backbone\.norm3\.", "backbone.norm."),
        ),
    ),
    Dialect(  # of 2023 and later: what halves a feature map stands in front of a stage, not behind it
        "timm names, Swin",
        r"^layers\.3\.downsample\.norm\.weight$",
        (
            (r"^(?!head\.)", "backbone."),
            (r"layers\.(\d)\.blocks(?=\.)", lambda m: f"features.{2 * int(m[1]) + 1}"),
            (r"layers\.(\d)\.downsample(?=\.)", lambda m: f"features.{2 * int(m[1])}"),
            (r"\.patch_embed\.proj\.", ".features.0.0."),
            (r"\.patch_embed\.norm\.", ".features.0.2."),
            *_MLP,
        ),
    ),
    Dialect(
        "Swin names",
        r"^layers\.0\.blocks\.0\.attn\.relative_position_bias_table$",
        (
            (r"^head\.", "head.fc."),
            (r"^(?!head\.)", "backbone."),
            (r"layers\.(\d)\.(blocks|downsample)(?=\.)", _image_swin_stage),
            (r"\.patch_embed\.proj\.", ".features.0.0."),
            (r"\.patch_embed\.norm\.", ".features.0.2."),
            *_MLP,
        ),
    ),
    # MMAction2 and PySlowFast, which it took its MViT from, and PyTorchVideo; version 1 has tables of places.
    Dialect(
        "MViT names",
        r"^(backbone\.)?blocks\.0\.attn\.norm_[qk]\.weight$",
        (
            _CLS_HEAD,
            (r"^head\.proj(ection)?\.", "head.fc."),
            (r"^(?!backbone\.|head\.)", "backbone."),
            (r"\.patch_embed\.(proj(ection)?|patch_model)\.", ".conv_proj."),
            (r"\.cls_positional_encoding\.", "."),
            (r"\.cls_token$", ".pos_encoding.class_token"),
            (r"\.pos_embed_(class|spatial|temporal)$", r".pos_encoding.\1_pos"),
            # PyTorchVideo stores what pools twice.
            (r"\.attn\._attention_pool_(\w)\.pool\.", r".attn.pool_\1."),
            (r"\.attn\._attention_pool_(\w)\.norm\.", r".attn.norm_\1."),
            (r"\.attn\.pool_(\w)\.", r".attn.pool_\1.pool."),
            (r"\.attn\.norm_(\w)\.", r".attn.pool_\1.norm_act.0."),
            (r"\.attn\.proj\.", ".attn.project.0."),
            (r"(\.blocks\.\d+)\.proj\.", r"\1.project."),
            *_MLP,
            (r"^backbone\.norm(3|_embed)\.", "backbone.norm."),
        ),
    ),
    Dialect(
        "PySlowFast names, SlowFast",
        r"^s1_fuse\.conv_f2s\.weight$",
        (
            (r"^s1\.pathway(\d)_stem\.conv\.", lambda m: f"{_PATHS[int(m[1])]}conv1."),
            (r"^s1\.pathway(\d)_stem\.bn\.", lambda m: f"{_PATHS[int(m[1])]}bn1."),
            (r"^s(\d)\.pathway(\d)_res(\d+)\.", lambda m: f"{_PATHS[int(m[2])]}layer{int(m[1]) - 1}.{m[3]}."),
            (r"^s1_fuse\.", "backbone.slow_path.conv1_lateral."),
            (r"^s(\d)_fuse\.", lambda m: f"backbone.slow_path.layer{int(m[1]) - 1}_lateral."),
            (r"_lateral\.conv_f2s\.", "_lateral.conv."),
            *_PYSLOWFAST,
        ),
    ),
    Dialect(
        "PySlowFast names, X3D",
        r"^s1\.pathway0_stem\.conv_xy\.weight$",
        (
            (r"^s1\.pathway0_stem\.conv_xy\.", "backbone.conv1_s."),
            (r"^s1\.pathway0_stem\.conv\.", "backbone.conv1_t."),
            (r"^s1\.pathway0_stem\.bn\.", "backbone.bn1."),
            (r"^head\.conv_5\.", "backbone.conv5."),
            (r"^head\.conv_5_bn\.", "backbone.bn5."),
            (r"^head\.lin_5\.", "backbone.fc1."),
            (r"^s(\d)\.pathway0_res(\d+)\.", lambda m: f"backbone.layer{int(m[1]) - 1}.{m[2]}."),
            (r"\.branch2\.se\.", ".se_module."),
            *_PYSLOWFAST,
        ),
    ),
    Dialect(
        "PySlowFast names",
        r"^s1\.pathway0_stem\.conv\.weight$",
        (
            (r"^s1\.pathway0_stem\.conv\.", "backbone.conv1."),
            (r"^s1\.pathway0_stem\.bn\.", "backbone.bn1."),
            (r"^s(\d)\.pathway0_res(\d+)\.", lambda m: f"backbone.layer{int(m[1]) - 1}.{m[2]}."),
            *_PYSLOWFAST,
        ),
    ),
    Dialect(
        "PyTorchVideo names, SlowFast",
        r"^blocks\.0\.multipathway_blocks\.0\.conv\.weight$",
        (
            (r"^blocks\.0\.multipathway_blocks\.(\d)\.conv\.", lambda m: f"{_PATHS[int(m[1])]}conv1."),
            (r"^blocks\.0\.multipathway_blocks\.(\d)\.norm\.", lambda m: f"{_PATHS[int(m[1])]}bn1."),
            (r"^blocks\.(\d)\.multipathway_blocks\.(\d)\.", lambda m: f"{_PATHS[int(m[2])]}layer{m[1]}."),
            (r"^blocks\.0\.multipathway_fusion\.", "backbone.slow_path.conv1_lateral."),
            (r"^blocks\.(\d)\.multipathway_fusion\.", r"backbone.slow_path.layer\1_lateral."),
            (r"_lateral\.conv_fast_to_slow\.", "_lateral.conv."),
            (r"_lateral\.norm\.", "_lateral.bn."),
            *_PYTORCHVIDEO,
        ),
    ),
    Dialect(
        "PyTorchVideo names, X3D",
        r"^blocks\.0\.conv\.conv_xy\.weight$",
        (
            # Its names for the two convolutions of the stem are the wrong way round.
            (r"^blocks\.0\.conv\.conv_t\.", "backbone.conv1_s."),
            (r"^blocks\.0\.conv\.conv_xy\.", "backbone.conv1_t."),
            (r"^blocks\.0\.norm\.", "backbone.bn1."),
            (r"^blocks\.5\.pool\.pre_conv\.", "backbone.conv5."),
            (r"^blocks\.5\.pool\.pre_norm\.", "backbone.bn5."),
            (r"^blocks\.5\.pool\.post_conv\.", "backbone.fc1."),
            (r"\.branch2\.norm_b\.0\.", ".bn2."),
            (r"\.branch2\.norm_b\.1\.block\.0\.", ".se_module.fc1."),
            (r"\.branch2\.norm_b\.1\.block\.2\.", ".se_module.fc2."),
            *_PYTORCHVIDEO,
        ),
    ),
    # I3D and C2D: the pool behind the first stage is a block too.
    Dialect(
        "PyTorchVideo names, I3D and C2D",
        r"^blocks\.5\.res_blocks\.0\.branch2\.conv_a\.weight$",
        (
            (r"^blocks\.0\.conv\.", "backbone.conv1."),
            (r"^blocks\.0\.norm\.", "backbone.bn1."),
            (r"^blocks\.([345])\.res_blocks\.", lambda m: f"backbone.layer{int(m[1]) - 1}."),
            *_PYTORCHVIDEO,
        ),
    ),
    Dialect(
        "PyTorchVideo names",
        r"^blocks\.1\.res_blocks\.0\.branch2\.conv_a\.weight$",
        (
            (r"^blocks\.0\.conv\.", "backbone.conv1."),
            (r"^blocks\.0\.norm\.", "backbone.bn1."),
            *_PYTORCHVIDEO,
        ),
    ),
    # TimeSformer's own code, and VideoMAE's; the latter's pretrained encoder has no head.
    Dialect(
        "TimeSformer names",
        r"^(model\.)?blocks\.0\.temporal_norm1\.weight$",
        ((r"^(model\.)?head\.", "head.fc."), (r"^(model\.)?(?!head\.)", "backbone.")),
    ),
    Dialect(
        "VideoMAE names",
        r"^(encoder\.)?blocks\.0\.attn\.q_bias$",
        ((r"^head\.", "head.fc."), (r"^(encoder\.)?(?!head\.)", "backbone.")),
    ),
    # VideoMAE and TimeSformer as Hugging Face's transformers saves them, the former after `joint`.
    Dialect(
        "Hugging Face names, VideoMAE",
        r"^videomae\.encoder\.layer\.0\.",
        (
            *_HUGGING_FACE,
            (r"^(videomae|fc_norm)(?=\.)", lambda m: "backbone" if m[1] == "videomae" else "backbone.fc_norm"),
            (r"\.attention\.attention\.qkv\.", ".attn.qkv."),
            (r"\.attention\.attention\.(?:(q|v)_bias|(q)uery\.bias|(v)alue\.bias)$", _bias_of_queries_or_values),
            (r"\.attention\.output\.dense\.", ".attn.proj."),
            *_HUGGING_FACE_MLP,
        ),
    ),
    Dialect(
        "Hugging Face names, TimeSformer",
        r"^timesformer\.encoder\.layer\.0\.",
        (
            *_HUGGING_FACE,
            (r"^timesformer\.", "backbone."),
            (r"\.temporal_attention\.attention\.", ".temporal_attn."),
            (r"\.temporal_attention\.output\.dense\.", ".temporal_attn.proj."),
            (r"\.temporal_layernorm\.", ".temporal_norm1."),
            (r"\.temporal_dense\.", ".temporal_fc."),
            (r"\.attention\.attention\.", ".attn."),
            (r"\.attention\.output\.dense\.", ".attn.proj."),
            *_HUGGING_FACE_MLP,
            (r"^backbone\.layernorm\.", "backbone.norm."),
        ),
    ),
    # MMAction2 around a model of torchvision (and MMAction of 2019, which had torchvision's names).
    Dialect("MMAction2 names, torchvision backbone", r"^cls_head\.", (_CLS_HEAD,)),
    Dialect("ftwiz names", r"^backbone\.", ()),
    # torchvision's own, all that is left: the last layer is the head, everything before it the backbone.
    Dialect(
        "torchvision names",
        r"",
        (
            (r"(\.denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),  # DenseNets were published under older names
            (r"^(?!head\.fc\.)", "backbone."),
        ),
    ),
)

# What wraps a state dict: ftwiz's moving average; MMAction2 and most; PySlowFast; ftwiz, timm and DeiT; tutorials.
_WRAPPERS = ("average", "state_dict", "model_state", "model", "model_state_dict")
_PARALLEL = re.compile(r"^((module|_orig_mod)\.)+")  # what DistributedDataParallel and torch.compile put in front
_LAST_LAYER = re.compile(r"^(fc|heads\.head|head(?:\.1)?|classifier(?:\.(\d+))?)\.(?:weight|bias)$")


def unwrapped(keys: Iterable[str]) -> dict[str, str]:
    """Each key without what has been put in front of all: by DistributedDataParallel, torch.compile, and "model." by
    Lightning and by PySlowFast around PyTorchVideo's networks."""
    bare = {key: _PARALLEL.sub("", key) for key in keys}
    if all(key.startswith("model.") for key in bare.values()):
        bare = {source: _PARALLEL.sub("", key.removeprefix("model.")) for source, key in bare.items()}
    return bare


def translate(keys: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The dialect's name, and for each key what we call it."""
    bare = unwrapped(keys)
    dialect = next((d for d in DIALECTS if any(re.search(d.mark, key) for key in bare.values())), DIALECTS[-1])
    last = _last_layer(bare.values()) if dialect.name == "torchvision names" else ""
    names = {}
    for source, key in bare.items():
        if last and key.startswith(f"{last}."):
            key = f"head.fc.{key.removeprefix(f'{last}.')}"
        for pattern, replacement in dialect.renames:
            key = re.sub(pattern, replacement, key)
        names[source] = key
    return dialect.name, names


def joint(keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Where Hugging Face's VideoMAE and PyTorchVideo's MViT keep the matrices of queries, keys and values apart,
    we have one, those three in this order: what it would be called → their keys."""
    found = {}
    for key in keys:
        if key.endswith(".attention.attention.query.weight"):
            parts = tuple(key.replace(".query.", f".{part}.") for part in ("query", "key", "value"))
            found[key.replace(".query.", ".qkv.")] = parts
        elif of_mvit := re.fullmatch(r"(.+\.attn\.)q(\.(?:weight|bias))", key):
            found[f"{of_mvit[1]}qkv{of_mvit[2]}"] = tuple(f"{of_mvit[1]}{letter}{of_mvit[2]}" for letter in "qkv")
    return found


def arranged(dialect: str, name: str, tensor: Any) -> Any:
    """A tensor (by our name) with its columns as ours: PySlowFast and PyTorchVideo have SlowFast's slow features first,
    eight ninths of them."""
    if name == "head.fc.weight" and dialect.endswith(" names, SlowFast"):
        return tensor.roll(tensor.shape[1] // 9, 1)
    return tensor


def _last_layer(keys: Iterable[str]) -> str:
    """fc (ResNet), head (Swin), heads.head (ViT), head.1 (MViT), classifier (DenseNet) or the highest classifier.N."""
    found = [match for key in keys if (match := _LAST_LAYER.match(key))]
    return max(found, key=lambda match: int(match.group(2) or 0)).group(1) if found else ""


# What an image transformer's tensors are called in the 3D network that is made of it, by recognizer.
_FOR_CLIPS: dict[str, tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = {
    "swin3d": (
        (r"^backbone\.features\.0\.0\.", "backbone.patch_embed.proj."),
        (r"^backbone\.features\.0\.2\.", "backbone.patch_embed.norm."),
        (r"^backbone\.features\.(\d)\.", lambda m: f"backbone.features.{int(m[1]) - 1}."),
    ),
    "timesformer": (  # of torchvision's; timm's names are TimeSformer's own
        (r"^backbone\.conv_proj\.", "backbone.patch_embed.proj."),
        (r"^backbone\.class_token$", "backbone.cls_token"),
        (r"^backbone\.encoder\.pos_embedding$", "backbone.pos_embed"),
        (r"^backbone\.encoder\.ln\.", "backbone.norm."),
        (r"^backbone\.encoder\.layers\.encoder_layer_(\d+)\.", r"backbone.blocks.\1."),
        (r"\.ln_1\.", ".norm1."),
        (r"\.self_attention\.in_proj_", ".attn.qkv."),
        (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.ln_2\.", ".norm2."),
        (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."),
        (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."),
    ),
}
# timm's ViT (and that of DeiT, MAE and the like), as torchvision calls its own, for those that see frame by frame.
_VIT_OF_TIMM = (
    (r"^backbone\.patch_embed\.proj\.", "backbone.conv_proj."),
    (r"^backbone\.cls_token$", "backbone.class_token"),
    (r"^backbone\.pos_embed$", "backbone.encoder.pos_embedding"),
    (r"^backbone\.norm\.", "backbone.encoder.ln."),
    (r"^backbone\.blocks\.(\d+)\.", r"backbone.encoder.layers.encoder_layer_\1."),
    (r"\.norm1\.", ".ln_1."),
    (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
    (r"\.attn\.proj\.", ".self_attention.out_proj."),
    (r"\.norm2\.", ".ln_2."),
    (r"(encoder_layer_\d+\.mlp)\.fc1\.", r"\1.0."),
    (r"(encoder_layer_\d+\.mlp)\.fc2\.", r"\1.3."),
)
_OF_AN_IMAGE = ("backbone.features.0.0.weight", "backbone.conv_proj.weight")  # Swin's and ViT's patches


def for_clips(recognizer: str, names: Mapping[str, str]) -> dict[str, str]:
    """`translate`'s names, of an image transformer as a 3D recognizer calls its tensors; others as they are."""
    renames = _FOR_CLIPS.get(recognizer, ()) if set(_OF_AN_IMAGE) & set(names.values()) else ()
    found = dict(names)
    for pattern, replacement in renames:
        found = {source: re.sub(pattern, replacement, name) for source, name in found.items()}
    return found


def for_frames(names: Mapping[str, str]) -> dict[str, str]:
    """`translate`'s names, those of timm's ViT as torchvision's; others as they are."""
    found = dict(names)
    if "backbone.blocks.0.attn.qkv.weight" in names.values():
        for pattern, replacement in _VIT_OF_TIMM:
            found = {source: re.sub(pattern, replacement, name) for source, name in found.items()}
    return found


def for_separated_channels(dialect: str, names: Mapping[str, str]) -> dict[str, str]:
    """PyTorchVideo's and PySlowFast's names of a CSN: a depthwise convolution and its norm are one part in ours."""
    if not dialect.startswith(("PyTorchVideo", "PySlowFast")):
        return dict(names)
    second = (("conv2", "conv2.0.conv"), ("bn2", "conv2.0.bn"))
    found = dict(names)
    for theirs, ours in second:
        found = {
            source: re.sub(rf"(\.layer\d\.\d+)\.{theirs}\.", rf"\1.{ours}.", name) for source, name in found.items()
        }
    return found


def state_dict_in(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in a loaded file: one of its entries, or the whole."""
    for wrapper in _WRAPPERS:
        if isinstance(document.get(wrapper), Mapping):
            return document[wrapper]
    return document


def classes_in(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names in the order of their ids, where the file has them: ours, MMAction2 0.x, 1.x. Else ()."""
    meta = document.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    dataset_meta = meta.get("dataset_meta")
    dataset_meta = dataset_meta if isinstance(dataset_meta, Mapping) else {}
    for names in (document.get("classes"), meta.get("CLASSES"), dataset_meta.get("classes")):
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


_RESNETS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18", ((3, 4, 6, 3), False): "resnet34", ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101", ((3, 8, 36, 3), True): "resnet152",
}  # fmt: skip


def resnet_in(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Which plain ResNet, of images or 3D, a state dict (our names → shapes) is of; "" where it is none."""
    first = shapes.get("backbone.layer1.0.conv1.weight", ())
    if len(first) not in (4, 5) or first[0] != 64:  # wide ResNets and ResNeXts have more channels here
        return ""
    blocks = {match.groups() for key in shapes if (match := re.match(r"backbone\.layer(\d)\.(\d+)\.", key))}
    count = Counter(stage for stage, _ in blocks)
    depth = tuple(count[stage] for stage in "1234")
    return _RESNETS.get((depth, "backbone.layer1.0.conv3.weight" in shapes), "")
