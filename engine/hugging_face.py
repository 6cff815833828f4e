"""What the folder of a Hugging Face video classifier, or its repository on the Hub, says of it: the network
(config.json), and the frames that it takes (preprocessor_config.json). Torch-free; `engine/model/hugging_face.py`
builds the network.

    config, processor = described("videomae-base-finetuned-kinetics")
    network = read_config(config)
    frames_and_size(network)  # (16, 224)
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RecipeError, WeightsError

if TYPE_CHECKING:
    from engine.weights.hub import HubSource

CONFIG = "config.json"
# The first that is there: a processor for videos (transformers 5), an image processor (4), both in one.
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")

# What a config calls the frames of a clip, and their height and width (V-JEPA 2 has names of its own).
_FRAMES = ("num_frames", "frames_per_clip")
_SIZE = ("image_size", "crop_size")
# What says nothing of the network: its classes, which a recipe has its own of, and how somebody stored or ran it. Some
# of these make the library fetch and run code.
_NOT_OF_THE_NETWORK = re.compile(
    r"_.*|id2label|label2id|num_labels|problem_type|architectures|transformers_version|(torch_)?dtype|auto_map|"
    r"attn_implementation|quantization_config|custom_pipelines|finetuning_task|output_\w+|use_cache|return_dict"
)
# What its own code calls each; a type that is newer than this table is shown as the config writes it.
_TITLES = {"videomae": "VideoMAE", "vivit": "ViViT", "timesformer": "TimeSformer", "vjepa2": "V-JEPA 2",
           "videoprism_vision_model": "VideoPrism"}  # fmt: skip


def require_library(recognizer: str) -> None:
    """Raise RecipeError where the transformers library is needed, and not installed. Imports nothing."""
    if recognizer == "transformers" and importlib.util.find_spec("transformers") is None:
        raise RecipeError(
            '[model] recognizer = "transformers" needs the transformers library, which is not installed: '
            "pip install 'ftwiz[hf]'"
        )


def described(source: str, mirror: Sequence[str] = ()) -> tuple[Path, Path | None]:
    """The config.json and the processor's file, None where there is none, of a folder or of hf://ORG/REPO, which they
    are fetched from once. Raises RecipeError where it is not the one or the other."""
    if "://" not in source:
        return _in_folder(Path(source))
    from engine.weights.hub import hub_source  # and with it all that the network needs

    try:
        hub = hub_source(source)
        if not hub or hub.file:
            raise RecipeError(f'[model] backbone = "{source}" is no model: give its folder, or hf://ORG/REPO.')
        return _on_the_hub(hub, mirror)
    except WeightsError as error:
        raise RecipeError(f"[model] backbone: {error}") from None


def _in_folder(folder: Path) -> tuple[Path, Path | None]:
    if not folder.is_dir():
        raise RecipeError(
            f'[model] backbone = "{folder}" is no folder; give the folder of a model of Hugging Face transformers, '
            "with its config.json and model.safetensors, or hf://ORG/REPO."
        )
    if not (folder / CONFIG).is_file():
        raise RecipeError(f"{folder} is not a model of Hugging Face transformers: it has no {CONFIG}.")
    return folder / CONFIG, next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)


def _on_the_hub(hub: HubSource, mirror: Sequence[str]) -> tuple[Path, Path | None]:
    from engine.weights.fetch import NotThere
    from engine.weights.hub import fetch_file

    config = fetch_file(hub, CONFIG, mirror=mirror)
    for name in PROCESSORS:
        try:
            return config, fetch_file(hub, name, mirror=mirror)
        except NotThere:
            continue
    return config, None


def has_weights(source: str) -> bool:
    """Whether a folder holds the weights of its network; of the Hub one is told when they are fetched."""
    from engine.weights.hub import WEIGHT_FILES

    return "://" in source or any((Path(source) / name).is_file() for name in WEIGHT_FILES)


def read_config(path: Path) -> dict[str, Any]:
    """A config.json. Raises RecipeError where it cannot be read, or names no kind of network."""
    return checked_config(_document(path), str(path))


def checked_config(config: Any, called: str) -> dict[str, Any]:
    """A config that names its kind of network. Raises RecipeError: `called` says where it stands."""
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise RecipeError(f'{called} names no "model_type"; is it the config.json of Hugging Face transformers?')
    return config


def as_text(config: Mapping[str, Any]) -> str:
    """The network of a config as JSON on one line, what a recipe keeps of it."""
    return json.dumps({key: value for key, value in config.items() if not _NOT_OF_THE_NETWORK.fullmatch(key)})


def from_text(text: str) -> dict[str, Any]:
    """The way back from `as_text`. Raises RecipeError where it is no config."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise RecipeError(f"[model] backbone_config is not JSON: {error}.") from None
    config = checked_config(config, "[model] backbone_config")
    return {key: value for key, value in config.items() if not _NOT_OF_THE_NETWORK.fullmatch(key)}


def title_of(config: Mapping[str, Any]) -> str:
    """ "VideoMAE" of model_type "videomae"."""
    kind = str(config["model_type"])
    return _TITLES.get(kind, kind)


def frames_and_size(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Frames a clip, and their height and width in pixels, where a config says so. One that is not square has none."""
    frames = next((config[key] for key in _FRAMES if key in config), None)
    return (frames if isinstance(frames, int) else None), _side(next((config[k] for k in _SIZE if k in config), None))


def for_clips_of(config: Mapping[str, Any], frames: int, size: int) -> dict[str, Any]:
    """The config of the same network for clips of so many frames of size x size pixels."""
    changed = dict(config)
    for names, value in ((_FRAMES, frames), (_SIZE, size)):
        changed |= {name: value for name in names if name in config}
    return changed


def normalisation(processor: Path | None) -> dict[str, Any]:
    """What a processor's file says, in the recipe's words: `model.mean` and `model.std` of RGB values 0..255,
    `dataset.short_side` and `dataset.frame_size` in pixels."""
    document = _document(processor) if processor else {}
    return _in_our_words(document.get("video_processor") or document)


def classes_beside(weights: Path) -> tuple[str, ...]:
    """The class names in the config.json beside a weights file, in the order of their ids; () where it names none."""
    try:
        names = _document(weights.parent / CONFIG).get("id2label")
    except RecipeError:  # there is none, or it is somebody else's
        return ()
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        return ()
    ordered = tuple(names.get(str(number), "") for number in range(len(names)))
    return ordered if all(ordered) and not all(re.fullmatch(r"LABEL_\d+", name) for name in ordered) else ()


def _document(path: Path) -> dict[str, Any]:
    """A JSON object. Raises RecipeError where it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(document, dict):
        raise RecipeError(f"{path} cannot be read: it holds no JSON object.")
    return document


def _in_our_words(processor: Mapping[str, Any]) -> dict[str, Any]:
    words: dict[str, Any] = {}
    if size := _side(processor.get("crop_size")):
        words["dataset.frame_size"] = size
    if short_side := _side(processor.get("size")):
        words["dataset.short_side"] = max(short_side, size or short_side)
    normalises = processor.get("do_normalize", True)
    mean = _three_numbers(processor.get("image_mean")) if normalises else [0.0] * 3
    std = _three_numbers(processor.get("image_std")) if normalises else [1.0] * 3
    if mean and std:
        # The library computes (value * factor - offset - mean) / std, a recipe (value - mean) / std.
        factor = float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0
        offset = 1.0 if _centres_at_0(processor) else 0.0
        words["model.mean"] = [round((value + offset) / factor, 6) for value in mean]
        words["model.std"] = [round(value / factor, 6) for value in std]
    return words


def _centres_at_0(processor: Mapping[str, Any]) -> bool:
    """ViViT's processors take 1 away after the scaling, so that values lie in -1..1 before mean and std."""
    kind = str(processor.get("video_processor_type") or processor.get("image_processor_type") or "")
    return bool(processor.get("offset", kind.startswith("Vivit")))


def _side(size: Any) -> int | None:
    """224, [224, 224], {"height": 224, "width": 224} and {"shortest_edge": 224} → 224."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or [size.get("height"), size.get("width")]
    if isinstance(size, list | tuple):
        size = size[0] if len(size) == 2 and size[0] == size[1] else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _three_numbers(values: Any) -> list[float] | None:
    """One for red, green and blue; None where it is something else."""
    fine = isinstance(values, list) and len(values) == 3 and all(isinstance(value, int | float) for value in values)
    return values if fine else None
