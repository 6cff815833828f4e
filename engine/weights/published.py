"""The published checkpoints that ftwiz knows by name: what to start from, and the preset whose model it fits.

Torch-free. Accuracies are the publisher's own; the source is named with each.
"""

from __future__ import annotations

from dataclasses import dataclass

_OPENMMLAB = "https://download.openmmlab.com/mmaction/v1.0/recognition"


@dataclass(frozen=True)
class Published:
    """name: how to call it. preset: the recipe with its model. load_from, backbone: what `[weights]` then says."""

    name: str
    preset: str
    load_from: str
    backbone: str
    pretrained_on: str
    top1: float | None  # percent on pretrained_on, None where not a video accuracy
    gflops: float
    parameters_m: float
    size_mb: int  # of the file
    modality: str = "rgb"  # what it has seen


# MMAction2 1.x, configs/recognition/FAMILY/metafile.yml (VideoMAE and X3D: README.md); flow: the same file of 0.x.
# GFLOPs of the 3D networks are for one clip, and sizes are those of the tensors.
# ImageNet: torchvision's ResNet50_Weights.IMAGENET1K_V1, GFLOPs for the preset's three frames.
PUBLISHED: tuple[Published, ...] = (
    Published(
        name="TSN ResNet-50",
        preset="tsn-r50-kinetics400",
        load_from=f"{_OPENMMLAB}/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb/"
        "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=72.83,
        gflops=102.7,
        parameters_m=24.33,
        size_mb=97,
    ),
    Published(
        name="TSM ResNet-50",
        preset="tsm-r50-kinetics400",
        load_from=f"{_OPENMMLAB}/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb/"
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=73.18,
        gflops=32.88,
        parameters_m=23.87,
        size_mb=97,
    ),
    Published(
        name="SlowOnly ResNet-50",
        preset="slowonly-r50-kinetics400",
        load_from=f"{_OPENMMLAB}/slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb/"
        "slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb_20220901-2132fc87.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=74.82,
        gflops=54.75,
        parameters_m=32.45,
        size_mb=130,
    ),
    Published(
        name="SlowFast ResNet-50",
        preset="slowfast-r50-kinetics400",
        load_from=f"{_OPENMMLAB}/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb/"
        "slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb_20220901-701b0f6f.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=75.55,
        gflops=36.3,
        parameters_m=34.5,
        size_mb=138,
    ),
    Published(
        name="X3D-M",
        preset="x3d-m-kinetics400",
        load_from=f"{_OPENMMLAB}/x3d/facebook/x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=76.4,
        gflops=6.49,
        parameters_m=3.79,
        size_mb=15,
    ),
    Published(
        name="Video Swin, tiny",
        preset="swin3d-t-kinetics400",
        load_from=f"{_OPENMMLAB}/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/"
        "swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-241016b2.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=78.90,
        gflops=88,
        parameters_m=28.2,
        size_mb=128,
    ),
    Published(
        name="MViTv2, small",
        preset="mvit-s-kinetics400",
        load_from=f"{_OPENMMLAB}/mvit/mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb/"
        "mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb_20230201-23284ff3.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=80.6,
        gflops=64,
        parameters_m=34.5,
        size_mb=138,
    ),
    Published(
        name="VideoMAE, ViT-B",
        preset="videomae-b-kinetics400",
        load_from=f"{_OPENMMLAB}/videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-860a3cd3.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=81.3,
        gflops=180,
        parameters_m=87,
        size_mb=351,
    ),
    Published(
        name="TSN ResNet-50",
        preset="tsn-r50-imagenet",
        load_from="",
        backbone="torchvision://resnet50",
        pretrained_on="ImageNet-1k (images)",
        top1=None,
        gflops=12.3,
        parameters_m=23.5,
        size_mb=98,
    ),
    Published(
        name="TSN ResNet-50 flow",
        preset="tsn-r50-kinetics400-flow",
        load_from="https://download.openmmlab.com/mmaction/recognition/tsn/tsn_r50_320p_1x1x8_110e_kinetics400_flow/"
        "tsn_r50_320p_1x1x8_110e_kinetics400_flow_20200705-1f39486b.pth",
        backbone="",
        pretrained_on="Kinetics-400",
        top1=57.76,
        gflops=109.9,
        parameters_m=24.33,
        size_mb=97,
        modality="flow",
    ),
)
