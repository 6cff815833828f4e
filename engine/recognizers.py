"""The recognizers by the names that recipes use. Torch-free; `engine/model` builds them."""

from __future__ import annotations

TITLES = {
    "tsn": "TSN",
    "tsm": "TSM",
    "c2d": "C2D",
    "i3d": "I3D",
    "slowonly": "SlowOnly",
    "slowfast": "SlowFast",
    "r2plus1d": "R(2+1)D",
    "r3d": "R3D",
    "mc3": "MC3",
    "s3d": "S3D",
    "swin3d": "Video Swin",
    "mvit": "MViT",
    "c3d": "C3D",
    "x3d": "X3D",
    "csn": "CSN",
    "timesformer": "TimeSformer",
    "videomae": "VideoMAE",
    "transformers": "Hugging Face transformers",
}
