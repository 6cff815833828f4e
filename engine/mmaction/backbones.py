"""Backbones: how the arguments of MMAction2's become keys of [model].

`BACKBONES` is the table to extend: the type of a backbone → what papers call the recognizer, ours, and the function
that carries the arguments over. Arguments that ftwiz has no choice of are compared with what its own network does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.mmaction.draft import Draft
from engine.mmaction.section import Section


@dataclass(frozen=True)
class Family:
    """title: what papers call it. recognizer: ours, "" where there is none. read: carries the backbone's keys over.
    frames_together: a 3D network, which sees the frames of a clip together."""

    title: str
    recognizer: str = ""
    read: Callable[[Section, Draft], None] = lambda backbone, draft: None
    frames_together: bool = False


# --- image networks ---------------------------------------------------------------------------------------------------


def _image_resnet(backbone: Section, draft: Draft) -> None:
    _depth_and_style(backbone, draft)
    _trained_parts(backbone, draft)
    backbone.expect("partial_bn", False, why="it freezes all batch normalisation but the first; see norm_eval")
    _channels(backbone, draft)
    backbone.expect("num_stages", 4)
    backbone.expect("out_indices", (3,))
    _batch_norm(backbone)


def _shifted_resnet(backbone: Section, draft: Draft) -> None:
    _image_resnet(backbone, draft)
    draft.set("model.shift_div", backbone.take("shift_div", 8), backbone.source("shift_div"))
    backbone.expect("is_shift", True)
    backbone.expect("shift_place", "blockres")
    backbone.expect("temporal_pool", False)
    backbone.without_influence("num_segments")
    _non_local(backbone, draft, first=0)


def _shifted_mobilenet(backbone: Section, draft: Draft) -> None:
    draft.set("model.backbone", "mobilenet_v2", backbone.source("type"))
    draft.set("model.shift_div", backbone.whole("shift_div", 8), backbone.source("shift_div"))
    backbone.expect("is_shift", True)
    backbone.expect("widen_factor", 1)
    backbone.expect("out_indices", (7,))
    backbone.without_influence("num_segments")
    _trained_parts(backbone, draft)
    _batch_norm(backbone)


def _torchvision(backbone: Section, draft: Draft) -> None:
    draft.set("model.backbone", backbone.kind(), backbone.source("type"))
    backbone.without_influence("feature_shape")  # of timm's: seen by what it gives
    _channels(backbone, draft)


def torchvision_family() -> Family:
    """TSN on `type="torchvision.NAME"` or "timm.NAME"."""
    return Family("TSN", "tsn", _torchvision)


# --- 3D ResNets -------------------------------------------------------------------------------------------------------

_I3D_INFLATE = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))


def _c2d(backbone: Section, draft: Draft) -> None:
    _image_resnet(backbone, draft)


def _slowonly(backbone: Section, draft: Draft) -> None:
    _non_local(backbone, draft, first=0)
    draft.set("model.stem_pool", backbone.take("with_pool1", True), backbone.source("with_pool1"))
    _resnet3d(backbone, draft)
    _plain_convolutions(backbone)
    backbone.expect("lateral", False)
    backbone.expect("conv1_kernel", (1, 7, 7))
    backbone.expect("conv1_stride_t", 1)
    backbone.expect("pool1_stride_t", 1)
    backbone.expect("with_pool2", False)
    backbone.expect("inflate", (0, 0, 1, 1))


def _i3d(backbone: Section, draft: Draft) -> None:
    _non_local(backbone, draft, first=1)
    _resnet3d(backbone, draft)
    _plain_convolutions(backbone)
    backbone.expect("conv1_kernel", (5, 7, 7), missing=(3, 7, 7))
    backbone.expect("with_pool2", True)
    if backbone.values.get("conv1_stride_t", 1) == 1:  # the heavy one keeps more of the time
        depth = backbone.take("depth", 50)
        draft.set("model.backbone", f"resnet{depth}-heavy", f"{backbone.name('depth')}, conv1_stride_t = 1")
        backbone.expect("conv1_stride_t", 1)
        backbone.expect("pool1_stride_t", 1)
        backbone.expect("inflate", (1, 1, 1, 1))
    else:
        backbone.expect("conv1_stride_t", 2)
        backbone.expect("pool1_stride_t", 2, missing=1)
        backbone.expect("inflate", _I3D_INFLATE, missing=(1, 1, 1, 1))


def _slowfast(backbone: Section, draft: Draft) -> None:
    slow, fast = backbone.part("slow_pathway"), backbone.part("fast_pathway")
    depths = [pathway.whole("depth", 50) for pathway in (slow, fast)]
    name = "-".join(f"resnet{depth}" for depth in dict.fromkeys(depths))
    draft.set("model.backbone", name, f"{slow.name('depth')}, {fast.name('depth')}")
    draft.set("model.norm_eval", slow.take("norm_eval", False), slow.source("norm_eval"))
    draft.set("model.resample_rate", backbone.take("resample_rate", 8), backbone.source("resample_rate"))
    draft.set("model.speed_ratio", backbone.take("speed_ratio", 8), backbone.source("speed_ratio"))
    draft.set("model.lateral_kernel", slow.take("fusion_kernel", 5), slow.source("fusion_kernel"))
    draft.set("model.lateral_norm", slow.take("lateral_norm", False), slow.source("lateral_norm"))
    backbone.expect("channel_ratio", 8)
    slow.expect("lateral", True)
    slow.expect("conv1_kernel", (1, 7, 7))
    slow.expect("inflate", (0, 0, 1, 1))
    fast.expect("lateral", False)
    fast.expect("base_channels", 8)
    fast.expect("conv1_kernel", (5, 7, 7))
    for pathway in (slow, fast):
        pathway.expect("type", "resnet3d")
        pathway.expect("conv1_stride_t", 1)
        pathway.expect("pool1_stride_t", 1)
        pathway.expect("dilations", (1, 1, 1, 1))
        pathway.without_influence("pretrained", "norm_eval")


def _r2plus1d(backbone: Section, draft: Draft) -> None:
    _resnet3d(backbone, draft)
    backbone.part("conv_cfg").expect("type", "Conv2plus1d")
    _batch_norm(backbone, eps=1e-3)
    backbone.expect("conv1_kernel", (3, 7, 7))
    backbone.expect("conv1_stride_t", 1)
    backbone.expect("pool1_stride_t", 1)
    backbone.expect("inflate", (1, 1, 1, 1))
    backbone.expect("temporal_strides", (1, 2, 2, 2), missing=(1, 1, 1, 1))
    backbone.without_influence("with_pool2")  # which it has and does not use


def _csn(backbone: Section, draft: Draft) -> None:
    _resnet3d(backbone, draft)
    mode, depth = backbone.take("bottleneck_mode", "ir"), backbone.whole("depth", 152)
    draft.set("model.backbone", f"{mode}-resnet{depth}", f"{backbone.name('bottleneck_mode')}, depth")
    backbone.part("conv_cfg").expect("type", "Conv3d")
    _batch_norm(backbone, eps=1e-3)
    if backbone.take("bn_frozen", False) and backbone.values.get("norm_eval"):  # without which it has no influence
        draft.set("schedule.freeze_batch_norm", True, backbone.name("bn_frozen"))
    backbone.expect("conv1_kernel", (3, 7, 7))
    backbone.expect("conv1_stride_t", 1)
    backbone.expect("pool1_stride_t", 1)
    backbone.expect("with_pool2", False, missing=True)
    backbone.expect("temporal_strides", (1, 2, 2, 2))
    backbone.expect("inflate", (1, 1, 1, 1))


def _c3d(backbone: Section, draft: Draft) -> None:
    draft.set("model.backbone", "c3d", backbone.source("type"))
    _channels(backbone, draft)
    backbone.expect("out_dim", 8192)
    backbone.expect("dropout_ratio", 0.5)
    backbone.expect("norm_cfg", None)
    backbone.without_influence("style", "conv_cfg", "act_cfg", "init_std")


def _x3d(backbone: Section, draft: Draft) -> None:
    """XS, S and M are one network, called by its largest clip; L is deeper."""
    name = "x3d_l" if backbone.number("gamma_d", 1.0) == 5 else "x3d_m"
    draft.set("model.backbone", name, backbone.source("gamma_d"))
    backbone.expect("gamma_w", 1)
    backbone.expect("gamma_b", 2.25, missing=1)
    if name == "x3d_m" and backbone.values.get("gamma_d") != 2.2:
        draft.leave_out(f"{backbone.name('gamma_d')} = {backbone.values.get('gamma_d')}", "the depth is that of X3D-M")
    backbone.expect("se_style", "half")
    backbone.expect("se_ratio", 1 / 16)
    backbone.expect("use_swish", True)
    backbone.without_influence("zero_init_residual")
    _channels(backbone, draft)
    _trained_parts(backbone, draft)
    _batch_norm(backbone)


def _plain_convolutions(backbone: Section) -> None:
    backbone.part("conv_cfg").expect("type", "Conv3d")
    backbone.expect("temporal_strides", (1, 1, 1, 1))
    _batch_norm(backbone)


def _resnet3d(backbone: Section, draft: Draft) -> None:
    """What all of MMAction2's 3D ResNets take."""
    _depth_and_style(backbone, draft)
    _trained_parts(backbone, draft)
    _no_non_local(backbone)
    backbone.expect("with_pool1", True, why="the stem always has a max pool here")
    _channels(backbone, draft)
    backbone.expect("base_channels", 64)
    backbone.expect("num_stages", 4)
    backbone.expect("out_indices", (3,))
    backbone.expect("spatial_strides", (1, 2, 2, 2))
    backbone.part("act_cfg").expect("type", "ReLU")
    backbone.without_influence("zero_init_residual")  # how a network starts that is not pretrained


# --- transformers -----------------------------------------------------------------------------------------------------


def _swin3d(backbone: Section, draft: Draft) -> None:
    _arch(backbone, "swin3d", draft)
    backbone.expect("patch_size", (2, 4, 4))
    backbone.expect("window_size", (8, 7, 7))
    backbone.expect("patch_norm", True)
    draft.set("model.drop_path", backbone.number("drop_path_rate", 0.1), backbone.source("drop_path_rate"))
    _usual_transformer(backbone, draft)


def _mvit(backbone: Section, draft: Draft) -> None:
    _arch(backbone, "mvit_v2", draft)
    backbone.expect("dim_mul_in_attention", True)
    backbone.without_influence("temporal_size", "spatial_size")  # the sampling and the crop tell
    draft.set("model.drop_path", backbone.number("drop_path_rate", 0.0), backbone.source("drop_path_rate"))
    _usual_transformer(backbone, draft)


def _timesformer(backbone: Section, draft: Draft) -> None:
    attention = backbone.take("attention_type", "divided_space_time")
    draft.set("model.backbone", attention, backbone.source("attention_type"))
    draft.set("model.drop_path", 0.1, "TimeSformer's default")
    backbone.expect("patch_size", 16)
    backbone.expect("embed_dims", 768)
    backbone.expect("num_heads", 12)
    backbone.expect("num_transformer_layers", 12)
    backbone.expect("dropout_ratio", 0)
    backbone.expect("transformer_layers", None)
    backbone.without_influence("num_frames", "img_size", "norm_cfg")  # the sampling and the crop tell
    _channels(backbone, draft)


# Width, blocks and heads of the transformers that VideoMAE publishes.
_VIT = {
    (384, 12, 6): "vit_small_p16",
    (768, 12, 12): "vit_base_p16",
    (1024, 24, 16): "vit_large_p16",
    (1280, 32, 16): "vit_huge_p16",
}


def _videomae(backbone: Section, draft: Draft) -> None:
    size = tuple(backbone.whole(key, usual) for key, usual in (("embed_dims", 768), ("depth", 12), ("num_heads", 12)))
    if size in _VIT:
        draft.set("model.backbone", _VIT[size], f"{backbone.name('embed_dims')} = {size[0]}")
    else:
        draft.leave_out(f"{backbone.name('embed_dims')} = {size[0]}, depth, num_heads", "no vit_*_p16 has that size")
        draft.set("model.backbone", "vit_base_p16", "the usual size")
    draft.set("model.drop_path", backbone.number("drop_path_rate", 0.0), backbone.source("drop_path_rate"))
    backbone.expect("patch_size", 16)
    backbone.expect("tubelet_size", 2)
    backbone.expect("init_values", 0)
    backbone.expect("use_learnable_pos_emb", False)
    backbone.expect("use_mean_pooling", True)
    backbone.without_influence("num_frames", "img_size")
    _usual_transformer(backbone, draft)


def _arch(backbone: Section, family: str, draft: Draft) -> None:
    """The size by its name, as both families call theirs: "small" is ours of the letter s."""
    arch = str(backbone.take("arch", "base"))
    draft.set("model.backbone", f"{family}_{arch[:1]}", f'{backbone.name("arch")} = "{arch}"')


def _usual_transformer(backbone: Section, draft: Draft) -> None:
    _channels(backbone, draft)
    backbone.expect("mlp_ratio", 4)
    backbone.expect("qkv_bias", True)
    backbone.expect("qk_scale", None)
    backbone.expect("drop_rate", 0)
    backbone.expect("attn_drop_rate", 0)
    backbone.without_influence("pretrained_type", "norm_cfg")


# --- what many have ---------------------------------------------------------------------------------------------------


def _depth_and_style(backbone: Section, draft: Draft) -> None:
    draft.set("model.backbone", f"resnet{backbone.take('depth', 50)}", backbone.source("depth"))
    draft.set("model.style", backbone.take("style", "pytorch"), backbone.source("style"))


def _trained_parts(backbone: Section, draft: Draft) -> None:
    draft.set("model.norm_eval", backbone.take("norm_eval", False), backbone.source("norm_eval"))
    stages = backbone.take("frozen_stages", -1)
    if isinstance(stages, int) and stages >= 0:
        frozen = f"stages:{stages}" if stages else "stem"
        draft.set("schedule.freeze", frozen, f"{backbone.name('frozen_stages')} = {stages}")


def _channels(backbone: Section, draft: Draft) -> None:
    """Three, or for flow two for each pair, which the sampling tells."""
    if draft.values.get("model.modality") == "flow":
        backbone.without_influence("in_channels")
    backbone.expect("in_channels", 3)


def _batch_norm(backbone: Section, eps: float = 1e-5) -> None:
    norm = backbone.part("norm_cfg")
    norm.expect("type", "BN", "BN2d", "BN3d", why="each GPU normalises its own clips here")
    norm.expect("requires_grad", True)
    norm.expect("eps", eps)


# Which blocks of a ResNet-50 have a non-local one behind them: every other one of two stages, from the first or second.
_NON_LOCAL = {
    first: ((0, 0, 0), *(tuple((number + first + 1) % 2 for number in range(count)) for count in (4, 6)), (0, 0, 0))
    for first in (0, 1)
}


def _non_local(backbone: Section, draft: Draft, first: int) -> None:
    if not backbone.values.get("non_local") or backbone.values["non_local"] in ((0, 0, 0, 0), [0, 0, 0, 0]):
        _no_non_local(backbone)
        return
    backbone.expect("non_local", _NON_LOCAL[first], why="they follow every other block of the middle stages here")
    settings = backbone.part("non_local_cfg")
    mode = settings.take("mode", "embedded_gaussian")
    if mode == "embedded_gaussian" and settings.take("use_scale", True):  # which the others have not
        draft.set("model.non_local", "scaled_embedded_gaussian", settings.name("mode, use_scale"))
    else:
        draft.set("model.non_local", mode, settings.source("mode"))
    settings.expect("sub_sample", True, missing=False)
    settings.expect("reduction", 2)
    settings.without_influence("use_scale", "conv_cfg")
    _batch_norm(settings)


def _no_non_local(backbone: Section) -> None:
    backbone.expect("non_local", (0, 0, 0, 0), why="there are no non-local blocks here")
    backbone.without_influence("non_local_cfg")  # it says nothing where there are none


BACKBONES: dict[str, Family] = {
    "ResNet": Family("TSN", "tsn", _image_resnet),
    "ResNetTSM": Family("TSM", "tsm", _shifted_resnet),
    "C2D": Family("C2D", "c2d", _c2d, frames_together=True),
    "ResNet3d": Family("I3D", "i3d", _i3d, frames_together=True),
    "ResNet3dSlowOnly": Family("SlowOnly", "slowonly", _slowonly, frames_together=True),
    "ResNet3dSlowFast": Family("SlowFast", "slowfast", _slowfast, frames_together=True),
    "ResNet3dCSN": Family("CSN", "csn", _csn, frames_together=True),
    "C3D": Family("C3D", "c3d", _c3d, frames_together=True),
    "X3D": Family("X3D", "x3d", _x3d, frames_together=True),
    "TimeSformer": Family("TimeSformer", "timesformer", _timesformer, frames_together=True),
    "VisionTransformer": Family("VideoMAE", "videomae", _videomae, frames_together=True),
    "MobileNetV2TSM": Family("TSM", "tsm", _shifted_mobilenet),
    "MobileOneTSM": Family("TSM with MobileOne"),
    "ResNetTIN": Family("TIN"),
    "TANet": Family("TANet"),
    "ResNet2Plus1d": Family("R(2+1)D", "r2plus1d", _r2plus1d, frames_together=True),
    "MViT": Family("MViT", "mvit", _mvit, frames_together=True),
    "SwinTransformer3D": Family("Video Swin", "swin3d", _swin3d, frames_together=True),
    "UniFormer": Family("UniFormer"),
    "UniFormerV2": Family("UniFormerV2"),
    "mmcls.ResNeXt": Family("TSN with ResNeXt"),
    "mmpretrain.MobileOne": Family("TSN with MobileOne"),
}
