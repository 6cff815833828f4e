"""The recognizers by the names that recipes use. Torch-free; `engine/model` builds them."""

from __future__ import annotations

from engine.hugging_face import from_text, title_of
from engine.recipe import Model

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


def family_of(model: Model) -> str:
    """TSN, SlowFast; of a network of Hugging Face transformers what its config says: ViViT."""
    of_config = model.recognizer == "transformers" and model.backbone_config
    return title_of(from_text(model.backbone_config)) if of_config else TITLES[model.recognizer]
