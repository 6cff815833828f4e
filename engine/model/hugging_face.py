"""Any video classifier of Hugging Face's transformers library (VideoMAE, ViViT, TimeSformer, V-JEPA 2, …) as one of our
recognizers: `pip install 'ftwiz[hf]'`. The library builds the network from its config and computes the features; the
head, the weights and the training are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from engine import recipe
from engine.errors import RecipeError
from engine.head import ClassificationHead, build_head
from engine.hugging_face import for_clips_of, frames_and_size, from_text, require_library
from engine.model.backbones import count_features
from engine.model.recognizer import Recognizer
from engine.recipe import Recipe

# What files that transformers 4 wrote call tensors, and what the networks of transformers 5 do, by model_type.
_OLDER_NAMES: dict[str, tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = {
    "videomae": (
        (r"\.attention\.attention\.q_bias$", ".attention.attention.query.bias"),
        (r"\.attention\.attention\.v_bias$", ".attention.attention.value.bias"),
    ),
    "vivit": (
        (r"\.encoder\.layer\.(\d+)\.", r".layers.\1."),
        (r"\.attention\.attention\.(query|key|value)\.", lambda match: f".attention.{match[1][0]}_proj."),
        (r"\.attention\.output\.dense\.", ".attention.o_proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"\.output\.dense\.", ".mlp.fc2."),
    ),
}


class TransformersRecognizer(Recognizer):
    """backbone: a …ForVideoClassification whose last layer is taken away. Its tensors have the library's names."""

    def __init__(self, backbone: Any, head: ClassificationHead, model: recipe.Model, frame_size: int):
        super().__init__(backbone, head, model)
        self.frame_size = frame_size
        self.kind: str = backbone.config.model_type
        self.frames_argument: str = backbone.main_input_name
        self.prefix: str = backbone.base_model_prefix  # of all tensors but the last layers'

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised RGB frames [B, T, 3, H, W] → logits [B, num_classes].

        Raises ValueError for frames of another size: V-JEPA 2 would take them, and mistake their places.
        """
        if frames.shape[-2:] != (self.frame_size, self.frame_size):
            raise ValueError(f"it takes frames of {self.frame_size} x {self.frame_size}")
        features = self.backbone(**{self.frames_argument: frames}).logits  # [B, D]
        if len(features) != len(frames):
            raise ValueError("it scores each frame, not the clip")
        return self.head(features)

    def names_of(self, keys: Collection[str]) -> tuple[str, dict[str, str]]:
        """The dialect of a file's tensors, and what we call each: of a run of ours, or of the library, also where an
        older version of it wrote the file, and where it holds the network without its last layer."""
        if any(key.startswith("backbone.") for key in keys):
            return "ftwiz names", {key: key for key in keys}
        ours, names = self.backbone.state_dict(), {}
        for key in keys:
            if key.startswith("classifier."):
                names[key] = f"head.fc.{key.removeprefix('classifier.')}"
                continue
            whole = key if key in ours else f"{self.prefix}.{key}"
            spellings = (key, whole, self._in_newer_names(key), self._in_newer_names(whole))
            names[key] = f"backbone.{next((name for name in spellings if name in ours), key)}"
        return "Hugging Face names", names

    def _in_newer_names(self, key: str) -> str:
        for pattern, replacement in _OLDER_NAMES.get(self.kind, ()):
            key = re.sub(pattern, replacement, key)
        return key


def transformers_recognizer(recipe: Recipe, num_classes: int) -> TransformersRecognizer:
    """The recognizer that [model] backbone_config describes, for the recipe's frames, randomly initialised.

    Raises RecipeError where transformers is not installed or has no such network, or it cannot take such frames.
    """
    network = _network(recipe)
    head = build_head(recipe.head, recipe.model.recognizer, network.classifier.in_features, num_classes)
    network.classifier = nn.Identity()
    _remove_what_only_pretraining_uses(network)
    frames, size = recipe.model.frames, recipe.dataset.frame_size
    recognizer = TransformersRecognizer(network, head, recipe.model, size)
    said_frames, said_size = frames_and_size(from_text(recipe.model.backbone_config))
    complaint = (
        f"{recipe.model.backbone} cannot take {frames} frames of {size} x {size}; "
        f"its config.json says {said_frames} of {said_size} x {said_size}"
    )
    count_features(recognizer, (frames, 3, size, size), complaint)
    return recognizer


def _network(recipe: Recipe) -> Any:
    model = recipe.model
    if not model.backbone_config:
        raise RecipeError(f"[model] backbone: the config.json of {model.backbone} has not been read.")
    config = from_text(model.backbone_config)
    kind = config.pop("model_type")
    require_library(model.recognizer)
    try:
        from transformers import MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING, AutoConfig, AutoModelForVideoClassification
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise RecipeError(
            f"The installed transformers library cannot be used ({reason}): pip install --upgrade 'ftwiz[hf]'"
        ) from None
    known = [known.model_type for known in MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING]
    if kind not in known:
        raise RecipeError(
            f'{model.backbone} is of model_type "{kind}", which the installed transformers does not classify videos '
            f"with; it has {', '.join(known)}."
        )
    try:
        described = AutoConfig.for_model(kind, **for_clips_of(config, model.frames, recipe.dataset.frame_size))
        network = AutoModelForVideoClassification.from_config(described, trust_remote_code=False)
    except Exception as error:  # whatever numbers a stranger's config holds: the library raises many kinds
        reason = " ".join(str(error).split()).rstrip(".")
        raise RecipeError(f"transformers builds no {kind} from {model.backbone}: {reason}.") from None
    if not isinstance(getattr(network, "classifier", None), nn.Linear):
        raise RecipeError(
            f'{model.backbone} is of model_type "{kind}", whose last layer is not one linear layer called classifier, '
            "so that no head for other classes can take its place."
        )
    return network


def _remove_what_only_pretraining_uses(network: Any) -> None:
    """V-JEPA 2 is pretrained by predicting hidden parts of a clip; classification passes its predictor by."""
    base = network.base_model
    if isinstance(getattr(base, "predictor", None), nn.Module):
        base.predictor = nn.Identity()
