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


# TSN, TSM: MMAction2 1.x, configs/recognition/{tsn,tsm}/metafile.yml; flow: the same file of 0.x.
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
