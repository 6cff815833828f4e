"""The published checkpoints that ftwiz knows by name: what to start from, and the preset whose model it fits.

Torch-free. Accuracies are the publisher's own; each preset names its source.
"""

from __future__ import annotations

from dataclasses import dataclass


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


def _row(
    name: str,
    preset: str,
    load_from: str,
    pretrained_on: str,
    top1: float | None,
    gflops: float,
    parameters_m: float,
    size_mb: int,
    modality: str = "rgb",
) -> Published:
    return Published(name, preset, load_from, "", pretrained_on, top1, gflops, parameters_m, size_mb, modality)


def _mm1(run: str, stamp: str) -> str:
    """A file of MMAction2 1.x: "FAMILY/RUN", and the date and sha256 that end its name."""
    return _file("https://download.openmmlab.com/mmaction/v1.0/recognition", run, stamp)


def _mm0(run: str, stamp: str) -> str:
    """A file of MMAction2 0.x."""
    return _file("https://download.openmmlab.com/mmaction/recognition", run, stamp)


def _file(root: str, run: str, stamp: str) -> str:
    family, _, name = run.partition("/")
    return f"{root}/{family}/{name}/{name}_{stamp}.pth"


_ZOO = "https://download.openmmlab.com/mmaction"  # of files that lie elsewhere
_TORCHVISION = "https://download.pytorch.org/models"

# Accuracy and GFLOPs: MMAction2, configs/recognition/FAMILY/metafile.yml of 1.x and 0.x (MViT, OmniSource, VideoMAE and
# X3D: README.md), torchvision's weight enums. None: an accuracy of images, or the mAP of several labels (61.09 %).
# GFLOPs are for all frames or, of 3D networks, one clip; for the preset's three frames of the images' network.
# Parameters and size are counted: of the network with its published head, and of its tensors.
PUBLISHED: tuple[Published, ...] = (
    _row(
        "TSN ResNet-50", "tsn-r50-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb", "20220906-cd10898e"),
        "Kinetics-400", 72.83, 102.7, 24.33, 97,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb", "20220831-64d69186"),
        "Kinetics-400", 73.18, 32.88, 24.33, 97,
    ),
    _row(
        "SlowOnly ResNet-50", "slowonly-r50-kinetics400",
        _mm1("slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb", "20220901-2132fc87"),
        "Kinetics-400", 74.82, 54.75, 32.45, 130,
    ),
    _row(
        "SlowFast ResNet-50", "slowfast-r50-kinetics400",
        _mm1("slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb", "20220818-1cb6dfc8"),
        "Kinetics-400", 76.8, 66.1, 34.57, 138,
    ),
    _row(
        "X3D-M", "x3d-m-kinetics400",
        f"{_ZOO}/v1.0/recognition/x3d/facebook/x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth",
        "Kinetics-400", 76.4, 6.49, 3.79, 15,
    ),
    _row(
        "Video Swin, tiny", "swin3d-t-kinetics400",
        _mm1("swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-241016b2"),
        "Kinetics-400", 78.9, 88, 28.16, 127,
    ),
    _row(
        "MViTv2, small", "mvit-s-kinetics400",
        _mm1("mvit/mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb", "20230201-23284ff3"),
        "Kinetics-400", 80.6, 64, 34.54, 138,
    ),
    _row(
        "VideoMAE, ViT-B", "videomae-b-kinetics400",
        f"{_ZOO}/v1.0/recognition/videomae/"
        "vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-860a3cd3.pth",
        "Kinetics-400", 81.3, 180, 86.53, 350,
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
    _row(
        "TSN ResNet-50 flow", "tsn-r50-kinetics400-flow",
        _mm0("tsn/tsn_r50_320p_1x1x8_110e_kinetics400_flow", "20200705-1f39486b"),
        "Kinetics-400", 57.76, 109.9, 24.35, 97, "flow",
    ),
    _row(
        "TSN DenseNet-161", "tsn-densenet161-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-dense161_8xb32-1x1x3-100e_kinetics400-rgb", "20220906-5f4c0daf"),
        "Kinetics-400", 72.07, 194.6, 27.36, 110,
    ),
    _row(
        "TSN ResNet-101, 8 frames", "tsn-r101-8f-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-r101_8xb32-1x1x8-100e_kinetics400-rgb", "20220906-23cff032"),
        "Kinetics-400", 75.89, 195.8, 43.32, 173,
    ),
    _row(
        "TSN ResNet-50 flow, 3 frames", "tsn-r50-3f-kinetics400-flow",
        _mm0("tsn/tsn_r50_320p_1x1x3_110e_kinetics400_flow", "20200705-3036bab6"),
        "Kinetics-400", 55.7, 109.9, 24.35, 97, "flow",
    ),
    _row(
        "TSN ResNet-50, 5 frames", "tsn-r50-5f-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x5-100e_kinetics400-rgb", "20220906-65d68713"),
        "Kinetics-400", 73.8, 102.7, 24.33, 97,
    ),
    _row(
        "TSN ResNet-50, 8 frames", "tsn-r50-8f-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb", "20220906-2692d16c"),
        "Kinetics-400", 74.12, 102.7, 24.33, 97,
    ),
    _row(
        "TSN ResNet-50 dense", "tsn-r50-dense-kinetics400",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-dense-1x1x5-100e_kinetics400-rgb", "20220906-dcbc6e01"),
        "Kinetics-400", 71.37, 102.7, 24.33, 97,
    ),
    _row(
        "TSN ResNet-50 OmniSource", "tsn-r50-omnisource-kinetics400",
        f"{_ZOO}/recognition/tsn/omni/tsn_1G1B_pretrained_r50_omni_1x1x3_kinetics400_rgb_20200926-2863fed0.pth",
        "Kinetics-400", 75.7, 103, 24.33, 97,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-kinetics600",
        _mm0("tsn/tsn_r50_video_1x1x8_100e_kinetics600_rgb", "20201015-4db3c461"),
        "Kinetics-600", 74.8, 134.5, 24.74, 99,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-kinetics700",
        _mm0("tsn/tsn_r50_video_1x1x8_100e_kinetics700_rgb", "20201015-e381a6c7"),
        "Kinetics-700", 61.7, 134.5, 24.94, 99,
    ),
    _row(
        "TSN ResNet-50 ImageNet", "tsn-r50-imagenet-ucf101",
        _mm0("tsn/tsn_r50_1x1x3_75e_ucf101_rgb", "20201023-d85ab600"),
        "UCF101", 83.03, 134.5, 23.71, 95,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-hmdb51",
        _mm0("tsn/tsn_r50_1x1x8_50e_hmdb51_kinetics400_rgb", "20201123-7f84701b"),
        "HMDB51", 56.08, 43.05, 23.61, 94,
    ),
    _row(
        "TSN ResNet-50 ImageNet", "tsn-r50-imagenet-hmdb51",
        _mm0("tsn/tsn_r50_1x1x8_50e_hmdb51_imagenet_rgb", "20201123-ce6c27ed"),
        "HMDB51", 48.95, 43.05, 23.61, 94,
    ),
    _row(
        "TSN ResNet-50 MiT", "tsn-r50-mit-hmdb51",
        _mm0("tsn/tsn_r50_1x1x8_50e_hmdb51_mit_rgb", "20201123-01526d41"),
        "HMDB51", 54.25, 43.05, 23.61, 94,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-something-v1",
        _mm0("tsn/tsn_r50_1x1x8_50e_sthv1_rgb", "20200618-061b9195"),
        "Something-Something V1", 18.55, 32.78, 23.86, 95,
    ),
    _row(
        "TSN ResNet-50, 16 frames", "tsn-r50-16f-something-v2",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x16-50e_sthv2-rgb", "20230221-85bcc1c3"),
        "Something-Something V2", 36.91, 102.7, 23.86, 95,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-something-v2",
        _mm1("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb", "20230313-06ad7d03"),
        "Something-Something V2", 35.51, 102.7, 23.86, 95,
    ),
    _row(
        "TSN ResNet-101", "tsn-r101-mmit",
        _mm0("tsn/tsn_r101_1x1x5_50e_mmit_rgb", "20200618-642f450d"),
        "Multi-Moments in Time", None, 51.25, 43.14, 172,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-mit",
        _mm0("tsn/tsn_r50_1x1x6_100e_mit_rgb", "20200618-d512ab1b"),
        "Moments in Time", 26.84, 32.29, 24.2, 97,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-activitynet-segments",
        _mm0("tsn/tsn_r50_320p_1x1x8_50e_activitynet_clip_rgb", "20210301-c0f04a7e"),
        "ActivityNet segments", 76.9, 134.5, 23.92, 95,
    ),
    _row(
        "TSN ResNet-50 flow", "tsn-r50-activitynet-segments-flow",
        _mm0("tsn/tsn_r50_320p_1x1x8_150e_activitynet_clip_flow", "20200804-8622cf38"),
        "ActivityNet segments", 59.51, 109.9, 23.94, 95, "flow",
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-activitynet-videos",
        _mm0("tsn/tsn_r50_320p_1x1x8_50e_activitynet_video_rgb", "20210301-7f8da0c6"),
        "ActivityNet videos", 73.93, 134.5, 23.92, 95,
    ),
    _row(
        "TSN ResNet-50, 16 frames", "tsn-r50-16f-diving48",
        _mm0("tsn/tsn_r50_video_1x1x16_100e_diving48_rgb", "20210426-63c5f2f7"),
        "Diving48", 76.75, 32.96, 23.61, 94,
    ),
    _row(
        "TSN ResNet-50", "tsn-r50-diving48",
        _mm0("tsn/tsn_r50_video_1x1x8_100e_diving48_rgb", "20210426-6dde0185"),
        "Diving48", 71.27, 32.96, 23.61, 94,
    ),
    _row(
        "TSM MobileNetV2", "tsm-mobilenetv2-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb", "20230414-401127fd"),
        "Kinetics-400", 68.71, 3.269, 2.74, 11,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_kinetics400-rgb", "20220831-042b1748"),
        "Kinetics-400", 75.12, 65.75, 24.33, 97,
    ),
    _row(
        "TSM ResNet-50 dense", "tsm-r50-dense-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb", "20220831-f55d3c2b"),
        "Kinetics-400", 73.38, 32.88, 24.33, 97,
    ),
    _row(
        "TSM ResNet-50 NL dot product", "tsm-r50-nl-dot-product-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50-nl-dot-product_8xb16-1x1x8-50e_kinetics400-rgb", "20220831-108bfde5"),
        "Kinetics-400", 74.49, 61.3, 31.68, 126,
    ),
    _row(
        "TSM ResNet-50 NL embedded", "tsm-r50-nl-embedded-gaussian-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50-nl-embedded-gaussian_8xb16-1x1x8-50e_kinetics400-rgb",
             "20220831-35eddb57"),
        "Kinetics-400", 74.34, 61.3, 31.68, 126,
    ),
    _row(
        "TSM ResNet-50 NL Gaussian", "tsm-r50-nl-gaussian-kinetics400",
        _mm1("tsm/tsm_imagenet-pretrained-r50-nl-gaussian_8xb16-1x1x8-50e_kinetics400-rgb", "20220831-7e54dacf"),
        "Kinetics-400", 73.66, 59.06, 28.01, 112,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-ucf101",
        _mm0("tsm/tsm_k400_pretrained_r50_1x1x16_25e_ucf101_rgb", "20210630-8df9c358"),
        "UCF101", 94.58, 65.92, 23.71, 95,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-ucf101",
        _mm0("tsm/tsm_k400_pretrained_r50_1x1x8_25e_ucf101_rgb", "20210630-1fae312b"),
        "UCF101", 94.5, 32.96, 23.71, 95,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-hmdb51",
        _mm0("tsm/tsm_k400_pretrained_r50_1x1x16_25e_hmdb51_rgb", "20210630-4785548e"),
        "HMDB51", 74.77, 65.92, 23.61, 94,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-hmdb51",
        _mm0("tsm/tsm_k400_pretrained_r50_1x1x8_25e_hmdb51_rgb", "20210630-10c74ee5"),
        "HMDB51", 72.68, 32.96, 23.61, 94,
    ),
    _row(
        "TSM ResNet-101", "tsm-r101-something-v1",
        _mm0("tsm/tsm_r101_1x1x8_50e_sthv1_rgb", "20211202-49970a5b"),
        "Something-Something V1", 48.59, 62.78, 42.86, 171,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-something-v1",
        _mm0("tsm/tsm_r50_1x1x16_50e_sthv1_rgb", "20211202-b922e5d2"),
        "Something-Something V1", 49.03, 65.92, 23.86, 95,
    ),
    _row(
        "TSM ResNet-50 mirrored", "tsm-r50-flip-something-v1",
        _mm0("tsm/tsm_r50_flip_1x1x8_50e_sthv1_rgb", "20210203-12596f16"),
        "Something-Something V1", 48.51, 32.96, 23.86, 95,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-something-v1",
        _mm0("tsm/tsm_r50_1x1x8_50e_sthv1_rgb", "20210203-01dce462"),
        "Something-Something V1", 47.7, 32.96, 23.86, 95,
    ),
    _row(
        "TSM ResNet-101", "tsm-r101-something-v2",
        _mm1("tsm/tsm_imagenet-pretrained-r101_8xb16-1x1x8-50e_sthv2-rgb", "20230320-efcc0d1b"),
        "Something-Something V2", 63.7, 62.66, 42.86, 171,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-something-v2",
        _mm1("tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x16-50e_sthv2-rgb", "20230317-ec6696ad"),
        "Something-Something V2", 64.16, 65.75, 23.86, 95,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-something-v2",
        _mm1("tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb", "20230317-be0fc26e"),
        "Something-Something V2", 62.72, 32.88, 23.86, 95,
    ),
    _row(
        "TSM ResNet-50, 16 frames", "tsm-r50-16f-diving48",
        _mm0("tsm/tsm_r50_video_1x1x16_50e_diving48_rgb", "20210426-aa9631c0"),
        "Diving48", 81.62, 65.92, 23.61, 94,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-diving48",
        _mm0("tsm/tsm_r50_video_1x1x8_50e_diving48_rgb", "20210426-aba5aa3d"),
        "Diving48", 75.99, 32.96, 23.61, 94,
    ),
    _row(
        "TSM ResNet-50", "tsm-r50-jester",
        f"{_ZOO}/recognition/tsm/tsm_r50_1x1x8_50e_jester_rgb/tsm_r50_1x1x8_50e_jester_rgb-c799267e.pth",
        "Jester", 97.2, 43.05, 23.56, 94,
    ),
    _row(
        "C2D ResNet-101 no pool", "c2d-r101-nopool-kinetics400",
        _mm1("c2d/c2d_r101-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb", "20221027-557bd8bc"),
        "Kinetics-400", 74.97, 63, 43.32, 173,
    ),
    _row(
        "C2D ResNet-50, 16 frames", "c2d-r50-16f-kinetics400",
        _mm1("c2d/c2d_r50-in1k-pre_8xb32-16x4x1-100e_kinetics400-rgb", "20221027-5f382a43"),
        "Kinetics-400", 74.97, 39, 24.33, 97,
    ),
    _row(
        "C2D ResNet-50", "c2d-r50-kinetics400",
        _mm1("c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb", "20221027-3ca304fa"),
        "Kinetics-400", 73.89, 19, 24.33, 97,
    ),
    _row(
        "C2D ResNet-50 no pool", "c2d-r50-nopool-kinetics400",
        _mm1("c2d/c2d_r50-in1k-pre-nopool_8xb32-8x8x1-100e_kinetics400-rgb", "20221027-e0227b22"),
        "Kinetics-400", 73.44, 33, 24.33, 97,
    ),
    _row(
        "I3D ResNet-50 heavy", "i3d-r50-heavy-kinetics400",
        _mm1("i3d/i3d_imagenet-pretrained-r50-heavy_8xb8-32x2x1-100e_kinetics400-rgb", "20220812-ed501b31"),
        "Kinetics-400", 76.21, 166.3, 33.02, 132,
    ),
    _row(
        "I3D ResNet-50", "i3d-r50-kinetics400",
        _mm1("i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb", "20220812-e213c223"),
        "Kinetics-400", 73.47, 43.5, 28.04, 112,
    ),
    _row(
        "I3D ResNet-50 NL dot product", "i3d-r50-nl-dot-product-kinetics400",
        _mm1("i3d/i3d_imagenet-pretrained-r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb", "20220812-8e1f2148"),
        "Kinetics-400", 74.8, 59.3, 35.4, 141,
    ),
    _row(
        "I3D ResNet-50 NL embedded", "i3d-r50-nl-embedded-gaussian-kinetics400",
        _mm1("i3d/i3d_imagenet-pretrained-r50-nl-embedded-gaussian_8xb8-32x2x1-100e_kinetics400-rgb",
             "20220812-afd8f562"),
        "Kinetics-400", 74.73, 59.3, 35.4, 141,
    ),
    _row(
        "I3D ResNet-50 NL Gaussian", "i3d-r50-nl-gaussian-kinetics400",
        _mm1("i3d/i3d_imagenet-pretrained-r50-nl-gaussian_8xb8-32x2x1-100e_kinetics400-rgb", "20220812-0c5cbf5a"),
        "Kinetics-400", 73.97, 56.5, 31.72, 127,
    ),
    _row(
        "SlowOnly ResNet-101", "slowonly-r101-kinetics400",
        _mm1("slowonly/slowonly_r101_8xb16-8x8x1-196e_kinetics400-rgb", "20220901-e6281431"),
        "Kinetics-400", 76.28, 112, 60.36, 241,
    ),
    _row(
        "SlowOnly ResNet-101 OmniSource", "slowonly-r101-omnisource-kinetics400",
        f"{_ZOO}/recognition/slowonly/omni/slowonly_r101_omni_8x8x1_kinetics400_rgb_20200926-b5dbb701.pth",
        "Kinetics-400", 80.4, 112, 60.36, 241,
    ),
    _row(
        "SlowOnly ResNet-50, 4 frames", "slowonly-r50-4x16-kinetics400",
        f"{_ZOO}/v1.0/recognition/slowonly/slowonly_r50_8xb16-4x16x1-256e_kinetics400-rgb/"
        "slowonly_r50_4x16x1_256e_8xb16_kinetics400-rgb_20220901-f6a40d08.pth",
        "Kinetics-400", 72.68, 27.38, 32.45, 130,
    ),
    _row(
        "SlowOnly ResNet-50 ImageNet, 4 frames", "slowonly-r50-imagenet-4x16-kinetics400",
        _mm1("slowonly/slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb", "20220901-e7b65fad"),
        "Kinetics-400", 74.83, 27.38, 32.45, 130,
    ),
    _row(
        "SlowOnly ResNet-50 ImageNet", "slowonly-r50-imagenet-kinetics400",
        _mm1("slowonly/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb", "20220901-df42dc84"),
        "Kinetics-400", 75.96, 54.75, 32.45, 130,
    ),
    _row(
        "SlowOnly ResNet-50 NL embedded, 4 frames", "slowonly-r50-nl-embedded-gaussian-4x16-kinetics400",
        _mm1("slowonly/slowonly_r50-in1k-pre-nl-embedded-gaussian_8xb16-4x16x1-steplr-150e_kinetics400-rgb",
             "20220901-cf739c75"),
        "Kinetics-400", 74.84, 43.23, 39.81, 159,
    ),
    _row(
        "SlowOnly ResNet-50 OmniSource", "slowonly-r50-omnisource-kinetics400",
        f"{_ZOO}/recognition/slowonly/omni/slowonly_r50_omni_4x16x1_kinetics400_rgb_20200926-51b1f7ea.pth",
        "Kinetics-400", 76.8, 27.38, 32.45, 130,
    ),
    _row(
        "SlowOnly ResNet-50, 4 frames", "slowonly-r50-4x16-kinetics700",
        f"{_ZOO}/v1.0/recognition/slowonly/slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics700-rgb/"
        "slowonly_imagenet-pretrained-r50_16xb16-4x16x1-steplr-150e_kinetics700-rgb_20220901-f73b3e89.pth",
        "Kinetics-700", 65.18, 27.38, 33.07, 132,
    ),
    _row(
        "SlowOnly ResNet-50", "slowonly-r50-kinetics700",
        f"{_ZOO}/v1.0/recognition/slowonly/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics700-rgb/"
        "slowonly_imagenet-pretrained-r50_16xb16-8x8x1-steplr-150e_kinetics700-rgb_20220901-4098e1eb.pth",
        "Kinetics-700", 66.93, 54.75, 33.07, 132,
    ),
    _row(
        "SlowOnly ResNet-50", "slowonly-r50-kinetics710",
        _mm1("slowonly/slowonly_imagenet-pretrained-r50_32xb8-8x8x1-steplr-150e_kinetics710-rgb", "20230612-12ce977c"),
        "Kinetics-710", 72.39, 54.75, 33.09, 132,
    ),
    _row(
        "SlowOnly ResNet-50 ImageNet", "slowonly-r50-imagenet-ucf101",
        _mm0("slowonly/slowonly_imagenet_pretrained_r50_8x4x1_64e_ucf101_rgb", "20210630-181e1661"),
        "UCF101", 71.35, 54.86, 31.84, 127,
    ),
    _row(
        "SlowOnly ResNet-50", "slowonly-r50-ucf101",
        _mm0("slowonly/slowonly_k400_pretrained_r50_8x4x1_40e_ucf101_rgb", "20210630-ee8c850f"),
        "UCF101", 92.78, 54.86, 31.84, 127,
    ),
    _row(
        "SlowOnly ResNet-50", "slowonly-r50-hmdb51",
        _mm0("slowonly/slowonly_k400_pretrained_r50_8x4x1_40e_hmdb51_rgb", "20210630-cee5f725"),
        "HMDB51", 65.95, 54.86, 31.74, 127,
    ),
    _row(
        "SlowOnly ResNet-50 ImageNet", "slowonly-r50-imagenet-hmdb51",
        _mm0("slowonly/slowonly_imagenet_pretrained_r50_8x4x1_64e_hmdb51_rgb", "20210630-16faeb6a"),
        "HMDB51", 37.52, 54.86, 31.74, 127,
    ),
    _row(
        "SlowOnly ResNet-50, small frames", "slowonly-r50-something-v1",
        _mm0("slowonly/slowonly_imagenet_pretrained_r50_8x4x1_64e_sthv1_rgb", "20211202-d034ff12"),
        "Something-Something V1", 47.76, 53.91, 31.99, 128,
    ),
    _row(
        "SlowFast ResNet-101", "slowfast-r101-kinetics400",
        _mm1("slowfast/slowfast_r101_8xb8-8x8x1-256e_kinetics400-rgb", "20220901-9c0e09bd"),
        "Kinetics-400", 78.65, 126, 62.91, 252,
    ),
    _row(
        "SlowFast ResNet-101, -50", "slowfast-r101-r50-kinetics400",
        _mm1("slowfast/slowfast_r101-r50_32xb8-4x16x1-256e_kinetics400-rgb", "20220901-a77ac3ee"),
        "Kinetics-400", 77.03, 64.9, 62.38, 249,
    ),
    _row(
        "SlowFast ResNet-50, 4 slow frames", "slowfast-r50-4x16-kinetics400",
        _mm1("slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb", "20220901-701b0f6f"),
        "Kinetics-400", 75.55, 36.3, 34.48, 138,
    ),
    _row(
        "SlowFast ResNet-50 lateral norm", "slowfast-r50-steplr-kinetics400",
        _mm1("slowfast/slowfast_r50_8xb8-8x8x1-steplr-256e_kinetics400-rgb", "20220818-b62a501f"),
        "Kinetics-400", 76.65, 66.1, 34.57, 138,
    ),
    _row(
        "R(2+1)D ResNet-34, 8 frames", "r2plus1d-r34-8x8-kinetics400",
        _mm1("r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb", "20220812-47cfe041"),
        "Kinetics-400", 69.76, 53.1, 63.76, 255,
    ),
    _row(
        "R(2+1)D ResNet-34", "r2plus1d-r34-kinetics400",
        _mm1("r2plus1d/r2plus1d_r34_8xb8-32x2x1-180e_kinetics400-rgb", "20220812-4270588c"),
        "Kinetics-400", 75.46, 213, 63.76, 255,
    ),
    _row(
        "R(2+1)D-18", "r2plus1d-18-torchvision",
        f"{_TORCHVISION}/r2plus1d_18-91a641e6.pth",
        "Kinetics-400", 67.46, 40.52, 31.51, 126,
    ),
    _row(
        "R3D-18", "r3d-18-torchvision",
        f"{_TORCHVISION}/r3d_18-b3b3357e.pth",
        "Kinetics-400", 63.2, 40.7, 33.37, 133,
    ),
    _row(
        "MC3-18", "mc3-18-torchvision",
        f"{_TORCHVISION}/mc3_18-a90a0ba3.pth",
        "Kinetics-400", 63.96, 43.34, 11.7, 46,
    ),
    _row(
        "S3D", "s3d-torchvision",
        f"{_TORCHVISION}/s3d-d76dad2f.pth",
        "Kinetics-400", 68.37, 17.98, 8.32, 33,
    ),
    _row(
        "C3D", "c3d-ucf101",
        _mm1("c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb", "20220811-31723200"),
        "UCF101", 83.08, 38.5, 78.41, 313,
    ),
    _row(
        "X3D-S", "x3d-s-kinetics400",
        f"{_ZOO}/v1.0/recognition/x3d/facebook/x3d_s_13x6x1_facebook-kinetics400-rgb_20201027-623825a0.pth",
        "Kinetics-400", 73.3, 2.97, 3.79, 15,
    ),
    _row(
        "CSN ip ResNet-152", "csn-ip-r152-kinetics400",
        f"{_ZOO}/recognition/csn/vmz/"
        "vmz_ipcsn_ig65m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-c3be9793.pth",
        "Kinetics-400", 82.68, 109.9, 33.02, 132,
    ),
    _row(
        "CSN ip ResNet-152 from scratch", "csn-ip-r152-scratch-kinetics400",
        f"{_ZOO}/recognition/csn/vmz/"
        "vmz_ipcsn_from_scratch_r152_32x2x1_180e_kinetics400_rgb_20210617-d565828d.pth",
        "Kinetics-400", 77.8, 109.9, 33.02, 132,
    ),
    _row(
        "CSN ip ResNet-152 Sports-1M", "csn-ip-r152-sports1m-kinetics400",
        f"{_ZOO}/recognition/csn/vmz/"
        "vmz_ipcsn_sports1m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-3367437a.pth",
        "Kinetics-400", 79.07, 109.9, 33.02, 132,
    ),
    _row(
        "CSN ir ResNet-152 frozen norms", "csn-ir-r152-bnfrozen-kinetics400",
        _mm1("csn/ircsn_ig65m-pretrained-r152-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb", "20220811-7d1dacde"),
        "Kinetics-400", 82.84, 97.63, 29.7, 119,
    ),
    _row(
        "CSN ir ResNet-152", "csn-ir-r152-kinetics400",
        _mm1("csn/ircsn_ig65m-pretrained-r152_8xb12-32x2x1-58e_kinetics400-rgb", "20220811-c7a3cc5b"),
        "Kinetics-400", 82.87, 97.63, 29.7, 119,
    ),
    _row(
        "CSN ir ResNet-152 from scratch", "csn-ir-r152-scratch-kinetics400",
        f"{_ZOO}/recognition/csn/vmz/"
        "vmz_ircsn_from_scratch_r152_32x2x1_180e_kinetics400_rgb_20210617-5c933ae1.pth",
        "Kinetics-400", 76.53, 97.63, 29.7, 119,
    ),
    _row(
        "CSN ir ResNet-152 Sports-1M", "csn-ir-r152-sports1m-kinetics400",
        f"{_ZOO}/recognition/csn/vmz/"
        "vmz_ircsn_sports1m_pretrained_r152_32x2x1_58e_kinetics400_rgb_20210617-b9b10241.pth",
        "Kinetics-400", 78.57, 97.63, 29.7, 119,
    ),
    _row(
        "CSN ir ResNet-50", "csn-ir-r50-kinetics400",
        _mm1("csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb", "20220811-44395bae"),
        "Kinetics-400", 79.44, 55.9, 13.13, 52,
    ),
    _row(
        "Video Swin, base", "swin3d-b-kinetics400",
        _mm1("swin/swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-182ec6cc"),
        "Kinetics-400", 80.57, 282, 88.05, 381,
    ),
    _row(
        "Video Swin, large", "swin3d-l-kinetics400",
        _mm1("swin/swin-large-p244-w877_in22k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-78ad8b11"),
        "Kinetics-400", 83.46, 604, 196.95, 817,
    ),
    _row(
        "Video Swin, small", "swin3d-s-kinetics400",
        _mm1("swin/swin-small-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-e91ab986"),
        "Kinetics-400", 80.54, 166, 49.82, 228,
    ),
    _row(
        "Video Swin, large", "swin3d-l-kinetics700",
        _mm1("swin/swin-large-p244-w877_in22k-pre_16xb8-amp-32x2x1-30e_kinetics700-rgb", "20220930-f8d74db7"),
        "Kinetics-700", 75.92, 604, 197.42, 819,
    ),
    _row(
        "Video Swin, small", "swin3d-s-kinetics710",
        _mm1("swin/swin-small-p244-w877_in1k-pre_32xb4-amp-32x2x1-30e_kinetics710-rgb", "20230612-8e082ff1"),
        "Kinetics-710", 76.9, 166, 50.06, 229,
    ),
    _row(
        "Video Swin, base, ImageNet-22k (torchvision)", "swin3d-b-22k-torchvision",
        f"{_TORCHVISION}/swin3d_b_22k-7c6ae6fa.pth",
        "Kinetics-400", 81.64, 140.67, 88.05, 381,
    ),
    _row(
        "Video Swin, base (torchvision)", "swin3d-b-torchvision",
        f"{_TORCHVISION}/swin3d_b_1k-24f7c7c6.pth",
        "Kinetics-400", 79.43, 140.67, 88.05, 381,
    ),
    _row(
        "Video Swin, small (torchvision)", "swin3d-s-torchvision",
        f"{_TORCHVISION}/swin3d_s-da41c237.pth",
        "Kinetics-400", 79.52, 82.84, 49.82, 228,
    ),
    _row(
        "Video Swin, tiny (torchvision)", "swin3d-t-torchvision",
        f"{_TORCHVISION}/swin3d_t-7615ae03.pth",
        "Kinetics-400", 77.72, 43.88, 28.16, 127,
    ),
    _row(
        "MViTv2, base", "mvit-b-kinetics400",
        f"{_ZOO}/v1.0/recognition/mvit/converted/mvit-base-p244_32x3x1_kinetics400-rgb_20221021-f392cd2d.pth",
        "Kinetics-400", 82.6, 225, 51.23, 204,
    ),
    _row(
        "MViTv2, large", "mvit-l-kinetics400",
        f"{_ZOO}/v1.0/recognition/mvit/converted/mvit-large-p244_40x3x1_kinetics400-rgb_20221021-11fe1f97.pth",
        "Kinetics-400", 85.4, 2828, 213.39, 853,
    ),
    _row(
        "MViT, base (torchvision)", "mvit-v1-b-torchvision",
        f"{_TORCHVISION}/mvit_v1_b-dbeb1030.pth",
        "Kinetics-400", 78.48, 70.6, 36.61, 146,
    ),
    _row(
        "MViTv2, small (torchvision)", "mvit-v2-s-torchvision",
        f"{_TORCHVISION}/mvit_v2_s-ae3be167.pth",
        "Kinetics-400", 80.76, 64.22, 34.54, 138,
    ),
    _row(
        "MViTv2, base", "mvit-b-something-v2",
        f"{_ZOO}/v1.0/recognition/mvit/converted/mvit-base-p244_u32_sthv2-rgb_20221021-d5de5da6.pth",
        "Something-Something V2", 70.8, 225, 51.06, 204,
    ),
    _row(
        "MViTv2, large", "mvit-l-something-v2",
        f"{_ZOO}/v1.0/recognition/mvit/converted/mvit-large-p244_u40_sthv2-rgb_20221021-61696e07.pth",
        "Something-Something V2", 73.2, 2828, 213.13, 852,
    ),
    _row(
        "MViTv2, small", "mvit-s-something-v2",
        _mm1("mvit/mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb", "20230201-4065c1b9"),
        "Something-Something V2", 68.2, 64, 34.36, 137,
    ),
    _row(
        "TimeSformer, divided", "timesformer-divst-kinetics400",
        _mm1("timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb", "20220815-a4d0d01f"),
        "Kinetics-400", 77.69, 196, 121.57, 486,
    ),
    _row(
        "TimeSformer, joint", "timesformer-jointst-kinetics400",
        _mm1("timesformer/timesformer_jointST_8xb8-8x32x1-15e_kinetics400-rgb", "20220815-8022d1c0"),
        "Kinetics-400", 76.95, 180, 86.11, 344,
    ),
    _row(
        "TimeSformer, space only", "timesformer-spaceonly-kinetics400",
        _mm1("timesformer/timesformer_spaceOnly_8xb8-8x32x1-15e_kinetics400-rgb", "20220815-78f05367"),
        "Kinetics-400", 76.93, 141, 86.11, 344,
    ),
    _row(
        "VideoMAE, ViT-L", "videomae-l-kinetics400",
        f"{_ZOO}/v1.0/recognition/videomae/"
        "vit-large-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-229dbb03.pth",
        "Kinetics-400", 85.3, 597, 304.27, 1223,
    ),
    _row(
        "VideoMAE, ViT-B (Hugging Face)", "videomae-b-huggingface-kinetics400",
        "hf://MCG-NJU/videomae-base-finetuned-kinetics",
        "Kinetics-400", 80.9, 180, 86.53, 346,
    ),
    _row(
        "ViViT-B/16x2", "vivit-b-kinetics400",
        "hf://google/vivit-b-16x2-kinetics400",
        "Kinetics-400", 79.9, 451.5, 88.95, 356,
    ),
    _row(
        "V-JEPA 2, ViT-L", "vjepa2-l-something-v2",
        "hf://facebook/vjepa2-vitl-fpc16-256-ssv2",
        "Something-Something V2", 73.7, 935.2, 353.40, 1502,
    ),
    _row(
        "VideoMAE V2, ViT-B", "videomaev2-b-kinetics400",
        _mm1("videomaev2/vit-base-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400", "20230510-3e7f93b2"),
        "Kinetics-400", 86.6, 180, 86.53, 350,
    ),
    _row(
        "VideoMAE V2, ViT-S", "videomaev2-s-kinetics400",
        _mm1("videomaev2/vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400", "20230510-25c748fd"),
        "Kinetics-400", 83.6, 57, 22.03, 90,
    ),
)  # fmt: skip
