"""torchvision's video classifiers as backbones: R3D, MC3 and R(2+1)D of 18 layers, S3D, Video Swin and MViT.

Tensors keep torchvision's names. MMAction2's Video Swin and MViTv2 compute the same; its weights are renamed.
"""

from __future__ import annotations

from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.torchvision_schemas import torchvision

# Video Swin (Liu et al. 2021, https://arxiv.org/abs/2106.13230): channels, blocks and heads of the four stages.
# torchvision has no large one.
_SWIN3D: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "swin3d_t": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin3d_s": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin3d_b": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "swin3d_l": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
}
# MViTv2 (Li et al. 2021, https://arxiv.org/abs/2112.01526, table 1): channels and heads of the first block, number of
# blocks, and those before which height and width are halved. torchvision has the small one only.
_MVIT_V2: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "mvit_v2_t": (96, 1, 10, (1, 3, 8)),
    "mvit_v2_s": (96, 1, 16, (1, 3, 14)),
    "mvit_v2_b": (96, 1, 24, (2, 5, 21)),
    "mvit_v2_l": (144, 2, 48, (2, 8, 44)),
}
_FAMILIES: dict[str, list[str]] = {
    "r3d": ["r3d_18"],
    "mc3": ["mc3_18"],
    "r2plus1d": ["r2plus1d_18"],
    "s3d": ["s3d"],
    "swin3d": list(_SWIN3D),
    "mvit": [*_MVIT_V2, "mvit_v1_b"],
}


def video_classifier(model: recipe.Model, frame_size: int) -> nn.Module:
    """Any of them without its last layer: [B, 3, T, H, W] → [B, D]. Raises RecipeError for a name of another."""
    names = _FAMILIES[model.recognizer]
    if model.backbone not in names:
        listed = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        raise RecipeError(f'[model] backbone = "{model.backbone}" is not for {model.recognizer}, which takes {listed}.')
    if model.backbone in _SWIN3D:
        network = _swin3d(model)
    elif model.backbone in _MVIT_V2:
        network = _mvit_v2(model, frame_size)
    elif model.recognizer == "mvit":
        network = _mvit_v1(model, frame_size)
    else:
        network = torchvision.models.get_model(model.backbone, weights=None)
    last = {"s3d": "classifier", "swin3d": "head", "mvit": "head"}.get(model.recognizer, "fc")
    setattr(network, last, nn.Identity())  # with the dropout in front of it: the head has its own
    return network


def _swin3d(model: recipe.Model) -> nn.Module:
    channels, blocks, heads = _SWIN3D[model.backbone]
    return torchvision.models.video.swin_transformer.SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=channels,
        depths=list(blocks),
        num_heads=list(heads),
        window_size=[8, 7, 7],
        stochastic_depth_prob=model.drop_path,
    )


def _mvit_v1(model: recipe.Model, frame_size: int) -> nn.Module:
    """Its tables of places as large as its clips: it was published for 16 frames, and by PySlowFast for 32."""
    network = torchvision.models.get_model(model.backbone, weights=None, stochastic_depth_prob=model.drop_path)
    side = frame_size // 4  # patches of 2 frames, 4 x 4 pixels
    network.pos_encoding = torchvision.models.video.mvit.PositionalEncoding(
        network.conv_proj.out_channels, (side, side), model.frames // 2, rel_pos_embed=False
    )
    for table in network.pos_encoding.parameters():
        nn.init.trunc_normal_(table, std=0.02)  # as MViT's constructor does
    return network


def _mvit_v2(model: recipe.Model, frame_size: int) -> nn.Module:
    channels, heads, count, halving = _MVIT_V2[model.backbone]
    mvit = torchvision.models.video.mvit
    blocks, key_stride = [], 8  # the keys and values of the first block are an eighth as wide and as high
    for number in range(count):
        before = channels
        if number in halving:
            channels, heads, key_stride = 2 * channels, 2 * heads, max(key_stride // 2, 1)
        query_stride = 2 if number in halving else 1
        blocks.append(
            mvit.MSBlockConfig(
                num_heads=heads,
                input_channels=before,
                output_channels=channels,
                kernel_q=[3, 3, 3],
                kernel_kv=[3, 3, 3],
                stride_q=[1, query_stride, query_stride],
                stride_kv=[1, key_stride, key_stride],
            )
        )
    return mvit.MViT(
        spatial_size=(frame_size, frame_size),
        temporal_size=model.frames,
        block_setting=blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        stochastic_depth_prob=model.drop_path,
    )
