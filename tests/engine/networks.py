"""Folders of small networks as Hugging Face's transformers library saves them, made with it or by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# Small enough for a test, and like the published ones in everything else.
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_SEEN = {"image_size": 32, "num_frames": 4}
CONFIGS: dict[str, dict[str, Any]] = {
    "videomae": {**_SMALL, **_SEEN, "layer_norm_eps": 1e-12},
    "vivit": {**_SMALL, **_SEEN, "tubelet_size": [2, 16, 16]},
    "timesformer": {**_SMALL, **_SEEN},
    "vjepa2": {
        "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "crop_size": 32, "frames_per_clip": 4,
        "num_pooler_layers": 1, "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
    },
}  # fmt: skip
CLASSES = ("bowing", "clapping", "diving", "jumping", "waving")

PROCESSOR: dict[str, Any] = {
    "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 1 / 255,
    "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36},
    "image_mean": [0.4, 0.5, 0.6], "image_std": [0.25, 0.25, 0.2],
}  # fmt: skip


def describe(folder: Path, kind: str = "videomae", config: dict[str, Any] | None = None, **processor: Any) -> Path:
    """A folder with config.json and preprocessor_config.json, but no weights: needs no library."""
    folder.mkdir(parents=True)
    labels = {str(number): name for number, name in enumerate(CLASSES)}
    document = {"model_type": kind, "id2label": labels, **CONFIGS[kind], **(config or {})}
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **processor}))
    return folder


def save_network(folder: Path, kind: str, **config: Any) -> Any:
    """The same with random weights in model.safetensors; returns the library's own model. Skips without the library."""
    import engine.torchvision_schemas  # noqa: F401, so that the library finds a torchvision it can import

    transformers = pytest.importorskip("transformers")
    labels = dict(enumerate(CLASSES))
    described = transformers.AutoConfig.for_model(kind, id2label=labels, **{**CONFIGS[kind], **config})
    network = transformers.AutoModelForVideoClassification.from_config(described).eval()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return network
