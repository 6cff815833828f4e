"""[model]: which recognizer a config describes."""

from __future__ import annotations

import re
from typing import get_args

from engine.errors import RecipeError
from engine.mmaction.backbones import BACKBONES, Family, torchvision_family
from engine.mmaction.draft import Draft
from engine.mmaction.section import Section
from engine.recipe import Model


def refuse_other_tasks(model: Section, dataset: str, called: str) -> None:
    """Raises RecipeError where a config is not about recognizing clips. dataset: its type; called: the config's name
    in messages."""
    kind = model.kind()
    if not kind:
        raise RecipeError(f"{called}: it describes no model; import a config of MMAction2 that trains one.")
    does = next((does for pattern, does in _OTHER_TASKS.items() if re.fullmatch(pattern, kind)), "")
    if not does and dataset in _OTHER_DATA:
        does = f"sees {_OTHER_DATA[dataset]} ({dataset})"
    if does:
        raise RecipeError(f"{called}: its model, {kind}, {does}; ftwiz fine-tunes recognizers of video clips.")


def read_model(model: Section, modality: str, draft: Draft, called: str) -> Family:
    """Carry `model` over but for its head and its weights. modality: of the dataset, "RGB" or "Flow".

    Raises RecipeError for recognizers that are not ours.
    """
    kind, backbone = model.kind(), model.part("backbone")
    family = _family(model, kind, backbone.kind())
    if family.recognizer not in recognizers():
        title = f"{family.title} ({kind} with {backbone.kind()})" if family.title else f"{kind} with {backbone.kind()}"
        raise RecipeError(
            f"{called}: it describes {title}, a recognizer that ftwiz does not have; it has {', '.join(recognizers())}."
        )
    draft.set("model.recognizer", family.recognizer, f'backbone.type = "{backbone.kind()}"')
    if modality == "Flow":
        draft.set("model.modality", "flow", 'modality = "Flow"')
    elif modality != "RGB":
        draft.leave_out(f"modality = {modality!r}", "frames are pictures or flow here")
    family.read(backbone, draft)
    backbone.without_influence("pretrained2d", "torchvision_pretrain", "with_cp", "init_cfg")
    model.without_influence("init_cfg")
    return family


def recognizers() -> tuple[str, ...]:
    """What [model] recognizer can be."""
    return get_args(Model.model_fields["recognizer"].annotation)


def read_normalisation(holder: Section, draft: Draft) -> None:
    """mean and std of values of 0..255, from `data_preprocessor` or the pipeline's Normalize."""
    for key in ("mean", "std"):
        numbers = holder.take(key)
        if isinstance(numbers, list | tuple):
            if draft.values.get("model.modality") == "flow":
                numbers = numbers[:2]  # x and y, written once or for each pair
            if len(numbers) != 2 or draft.values.get("model.modality") == "flow":  # two: of flow that was left out
                draft.set(f"model.{key}", tuple(numbers), holder.source(key))
    holder.expect("to_bgr", False, why="frames are RGB here")
    holder.expect("to_rgb", False, True)
    holder.without_influence("type", "format_shape", "div_255", "to_float32")


# --- which recognizer -------------------------------------------------------------------------------------------------

_OTHER_TASKS = {
    r"FastRCNN|ACRN": "detects who does what in each frame (FastRCNN)",
    r"BMN|BSN|PEM|TEM|SSN|TCANet|DRN": "localises actions in untrimmed video",
    r".*GCN": "recognises actions from skeletons",
    r".*Audio.*": "recognises actions by their sound",
    r"CLIPSimilarity": "retrieves videos by text",
    r"VindLU.*|BlipRetriever": "answers questions about videos, or retrieves them",
    r"MMRecognizer.*": "recognises actions from several modalities together",
    r"RecognizerOmni": "learns from images and videos together (OmniSource)",
}
_OTHER_DATA = {
    "PoseDataset": "skeletons",
    "AudioDataset": "sound",
    "AudioFeatureDataset": "sound",
    "AudioVisualDataset": "pictures and sound together",
    "AVADataset": "people in boxes",
    "AVAKineticsDataset": "people in boxes",
    "HVUDataset": "tags of several kinds",
    "ActivityNetDataset": "proposals in untrimmed video",
    "SSNDataset": "proposals in untrimmed video",
}


def _family(model: Section, kind: str, backbone: str) -> Family:
    if kind not in ("Recognizer2D", "Recognizer3D"):
        return Family("")
    neck, head = model.part("neck").kind(), model.part("cls_head").kind()
    if neck:
        return Family(f"{neck} on {BACKBONES[backbone].title}" if backbone in BACKBONES else neck)
    if head in _HEADS_OF_THEIR_OWN:
        return Family(_HEADS_OF_THEIR_OWN[head])
    if backbone.startswith(("torchvision.", "timm.")):
        return torchvision_family()
    return BACKBONES.get(backbone, Family(""))


_HEADS_OF_THEIR_OWN = {"TRNHead": "TRN", "TPNHead": "TPN", "OmniHead": "OmniSource"}
