"""From a source to parameters in a model: read safely, plan what is reused, refuse or apply, report.

report = load_weights(model, "torchvision://resnet50", recipe, backbone_only=True)
print(*report.lines(), sep="\\n")
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from engine.errors import WeightsError
from engine.hugging_face import classes_beside
from engine.model.hugging_face import TransformersRecognizer
from engine.model.recognizer import Recognizer
from engine.model.timm_backbone import TimmBackbone
from engine.provenance import CHANGED, is_as_saved
from engine.recipe import Model, Recipe
from engine.recognizers import TITLES, family_of
from engine.weights.checkpoint_file import (
    read_checkpoint,
    record_with_another_checksum,
    sha256_of_all,
    tensors_in,
)
from engine.weights.dialects import (
    arranged,
    classes_in,
    for_clips,
    for_frames,
    for_separated_channels,
    joint,
    resnet_in,
    translate,
    unwrapped,
)
from engine.weights.fetch import Progress, checkpoints_folder, fetched_from_mirror, hash_in_name
from engine.weights.from_images import is_image_kernel_of, made_from_image
from engine.weights.head import head_change_of, rows_by_name, with_rows
from engine.weights.known import classes_of_published
from engine.weights.named import address_of
from engine.weights.parts import parts_of
from engine.weights.report import (
    AVERAGED,
    COUNTER,
    LoadReport,
    Shape,
    TensorNote,
    matching_rows,
    percent,
    shape_text,
)
from engine.weights.safetensors_file import classes_in_safetensors
from engine.weights.sources import locate


def initialise(model: Recognizer, recipe: Recipe, on_progress: Progress | None = None) -> LoadReport | None:
    """Do what [weights] says: load_from (the whole network) wins over backbone; None where both are empty."""
    source, backbone_only = start_of(recipe)
    return load_weights(model, source, recipe, backbone_only, on_progress) if source else None


def start_of(recipe: Recipe) -> tuple[str, bool]:
    """What [weights] starts from, "" for nothing, and whether only the backbone is taken of it."""
    weights = recipe.weights
    return weights.load_from or weights.backbone, not weights.load_from


def load_weights(
    model: Recognizer, source: str, recipe: Recipe, backbone_only: bool = False, on_progress: Progress | None = None
) -> LoadReport:
    """Put what `source` holds into `model`, in place; the head only where it has the same classes.

    source: whatever [weights] load_from takes. Raises WeightsError, the model untouched, where it cannot be fetched or
    read, has other shapes, or holds less than half of the backbone.
    """
    plan, report = _planned(model, source, recipe, backbone_only, on_progress)
    state = model.state_dict()  # with the module versions that torchvision's MNASNet asks for
    state.update(plan.reused)
    for key, rows in plan.head_rows.items():
        state[key] = with_rows(state[key], rows, plan.rows)
    model.load_state_dict(state)
    return report


def plan_weights(
    model: Recognizer, source: str, recipe: Recipe, backbone_only: bool = False, on_progress: Progress | None = None
) -> LoadReport:
    """What `load_weights` would do, and raise; the model stays as it is, and may be on the meta device."""
    return _planned(model, source, recipe, backbone_only, on_progress)[1]


def _planned(
    model: Recognizer, source: str, recipe: Recipe, backbone_only: bool, on_progress: Progress | None
) -> tuple[_Plan, LoadReport]:
    path = locate(address_of(source), on_progress, recipe.weights.mirror)
    document = read_checkpoint(path)
    if not is_as_saved(path, sha256 := sha256_of_all(path)):
        raise WeightsError(f"{path} {CHANGED}; name another checkpoint of that run.")
    source_classes = classes_in(document) or classes_in_safetensors(path) or classes_beside(path)
    source_classes = source_classes or classes_of_published(path, sha256)
    plan = _plan(model, tensors_in(document, path), source_classes, recipe, backbone_only, path)
    doubts = _refuse_or_doubt(plan, path, recipe)
    _refuse_bad_numbers(plan, model, path)
    if backbone_only:  # an image classifier as it was published
        doubts += _doubts_about_colours(model, recipe)
    classes, parts = recipe.dataset.classes, parts_of(model)
    kept, reinitialised, missing = (
        tuple(replace(note, part=parts[note.name]) for note in notes)
        for notes in (plan.kept, plan.reinitialised, plan.missing)
    )
    report = LoadReport(
        source=source,
        path=path,
        sha256=sha256,
        model=_title(recipe.model),
        dialect=plan.dialect,
        kept=kept,
        reinitialised=reinitialised,
        missing=missing,
        dropped=tuple(plan.dropped),
        head_change=plan.head_change,
        head_rows=tuple(classes[row] for row in plan.rows),
        backbone_share=plan.backbone_share,
        classes=classes,
        source_classes=plan.source_classes,
        known_classes=tuple(classes[row] for row in matching_rows(classes, plan.source_classes)),
        doubts=(*doubts, *_doubts_about_file(path, sha256)),
        taken_from=_taken_from(source, path),
    )
    return plan, report


def _taken_from(source: str, path: Path) -> str:
    """What gave an address's file in its place, a mirror, a folder of files or Hugging Face's own cache; else ""."""
    if "://" not in source:
        return ""
    return fetched_from_mirror(path) if path.is_relative_to(checkpoints_folder()) else str(path.parent)


# --- the plan ---------------------------------------------------------------------------------------------------------

_COMPUTED = ".relative_position_index"  # of Swin's windows: follows from their size, in one layout or another


@dataclass
class _Plan:
    """What becomes of every tensor, before any is touched."""

    dialect: str
    looks_like: str  # which ResNet the file is of, "" if none
    reused: dict[str, torch.Tensor]
    kept: list[TensorNote]
    reinitialised: list[TensorNote]
    missing: list[TensorNote]
    dropped: list[TensorNote]
    misfits: list[TensorNote]  # of the backbone, with another shape
    head_change: str
    rows: dict[int, int]  # of the head, kept by the names of their classes: here → there
    head_rows: dict[str, torch.Tensor]  # the file's head, for those
    backbone_share: float
    source_classes: tuple[str, ...]


def _plan(
    model: nn.Module,
    tensors: dict[str, torch.Tensor],
    classes: tuple[str, ...],
    recipe: Recipe,
    backbone_only: bool,
    path: Path,
) -> _Plan:
    if isinstance(model, TransformersRecognizer):
        dialect, names = model.names_of(tensors)
    elif isinstance(model.backbone, TimmBackbone):
        bare = unwrapped(tensors)
        of_timm = model.backbone.names_of(bare.values())
        dialect, names = "timm names", {source: of_timm[key] for source, key in bare.items()}
    else:
        tensors = _with_joint_attention(tensors)
        dialect, names = translate(tensors)
    if backbone_only:
        names = for_clips(recipe.model.recognizer, names)
    if recipe.model.recognizer == "tsn":
        names = for_frames(names)
    if recipe.model.recognizer == "csn":
        names = for_separated_channels(dialect, names)
    ours = model.state_dict()
    theirs = {
        names[key]: arranged(dialect, names[key], _as_flat_as(ours.get(names[key]), tensor))
        for key, tensor in tensors.items()
    }
    if recipe.model.recognizer == "c2d":
        theirs = {key: _without_time(ours.get(key), tensor) for key, tensor in theirs.items()}
    there = {key: tuple(tensor.shape) for key, tensor in theirs.items()}
    here = {key: tuple(tensor.shape) for key, tensor in ours.items()}
    rows = rows_by_name(there, here, classes, recipe, backbone_only, path)
    head_change = head_change_of(there, here, classes, recipe, backbone_only, rows)
    plan = _Plan(dialect, resnet_in(there), {}, [], [], [], [], [], head_change, rows or {}, {}, 0.0, classes)
    computed = _computed(model, there, here)
    for key, shape in here.items():
        if key in computed:
            plan.kept.append(TensorNote(key, shape, shape, "computed, not loaded"))
        elif key.startswith("head.") and head_change:
            is_whole = len(plan.rows) == shape[0] and key in there
            (plan.kept if is_whole else plan.reinitialised).append(TensorNote(key, there.get(key), shape, head_change))
            if plan.rows and key in there:
                plan.head_rows[key] = theirs[key]
        elif backbone_only and (made := made_from_image(key, shape, theirs)):
            plan.kept.append(TensorNote(key, made.there, shape, made.how))
            plan.reused[key] = made.tensor
        elif key not in there:
            plan.missing.append(TensorNote(key, None, shape, "not in the file"))
        elif _is_colour_kernel_of(there[key], shape, recipe.model):
            plan.kept.append(TensorNote(key, there[key], shape, AVERAGED))
            plan.reused[key] = averaged_over_colours(theirs[key], shape[1])
        elif there[key] != shape:
            plan.misfits.append(TensorNote(key, there[key], shape, "another shape"))
        else:
            plan.kept.append(TensorNote(key, shape, shape, ""))
            plan.reused[key] = theirs[key]
    for key, tensor in tensors.items():
        if names[key] not in here and not key.endswith(_COMPUTED):
            plan.dropped.append(TensorNote(key, tuple(tensor.shape), None, "not in this model"))
    numbers = {
        key: tensor.numel()
        for key, tensor in ours.items()
        if tensor.is_floating_point() and _in_backbone(key) and key not in computed
    }
    plan.backbone_share = sum(numbers.get(key, 0) for key in plan.reused) / max(sum(numbers.values()), 1)
    return plan


def _computed(model: nn.Module, there: dict[str, Shape], here: dict[str, Shape]) -> set[str]:
    """What follows from the shape of the network and is not learnt: the places of Swin's windows, and VideoMAE's
    sinusoids where the file has none, or has them for clips of another length or size."""
    learnt = {name for name, _ in model.named_parameters()}
    return {
        key
        for key, shape in here.items()
        if key.endswith(_COMPUTED) or (key.endswith(".pos_embed") and key not in learnt and there.get(key) != shape)
    }


def _with_joint_attention(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors, three matrices of attention as one where our networks have one."""
    tensors = dict(tensors)
    for whole, parts in joint(tensors).items():
        if all(part in tensors for part in parts):
            tensors[whole] = torch.cat([tensors.pop(part) for part in parts])
    return tensors


def _as_flat_as(ours: torch.Tensor | None, theirs: torch.Tensor) -> torch.Tensor:
    """A class token [1, 1, D] where we have [D]; a last convolution of 1x1x1 where we have a linear layer."""
    if ours is None or ours.dim() > 2 or theirs.dim() not in (3, 5):
        return theirs
    return theirs.reshape(ours.shape) if [n for n in theirs.shape if n > 1] == list(ours.shape) else theirs


def _without_time(ours: torch.Tensor | None, theirs: torch.Tensor) -> torch.Tensor:
    """C2D's kernels where a library writes them as 3D ones that reach over a single frame."""
    one_frame = ours is not None and ours.dim() == 4 and theirs.dim() == 5 and theirs.shape[2] == 1
    return theirs.squeeze(2) if one_frame else theirs


def averaged_over_colours(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """[out, 3, h, w] → [out, channels, h, w]: the mean over red, green and blue, for each channel of flow (TSN's
    cross-modality initialisation, Wang et al. 2016, section 3.2)."""
    return kernel.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)


def _is_colour_kernel_of(there: Shape, here: Shape, model: Model) -> bool:
    of_flow = model.modality == "flow" and len(here) == 4 and here[1] == model.channels
    return of_flow and there == (here[0], 3, *here[2:])


def _refuse_or_doubt(plan: _Plan, path: Path, recipe: Recipe) -> list[str]:
    """Raise WeightsError where training from this file would be a mistake; return the doubts that allow it."""
    backbone = recipe.model.backbone
    wanting = [note for note in plan.missing if _in_backbone(note.name) and not note.name.endswith(COUNTER)]
    found = [note for note in plan.kept if _in_backbone(note.name) and not note.name.endswith(COUNTER)]
    other_depth = plan.looks_like not in ("", backbone, backbone.partition("-")[0]) and bool(
        plan.misfits or wanting or plan.dropped
    )
    advice = (
        f'the file looks like {plan.looks_like}: is model.backbone = "{backbone}" right?'
        if other_depth
        else f'is model.backbone = "{backbone}" what the file was trained with?'
    )
    if plan.misfits:
        misfit = plan.misfits[0]
        advice = _about_time(misfit, recipe) or _about_flow(misfit, recipe) or _about_places(misfit) or advice
        raise WeightsError(
            f"{path}: {misfit.name} has the shape {shape_text(misfit.there)}, but {shape_text(misfit.here)} is needed; "
            f"{advice}"
        )
    if plan.backbone_share < 0.5 and not (recipe.weights.allow_partial and found):
        total = len(found) + len(wanting)
        way_out = "weights.allow_partial = true trains anyway" if found else "empty [weights] trains from scratch"
        raise WeightsError(
            f"{path}: only {len(found)} of the backbone's {total} tensors ({percent(plan.backbone_share)} of its "
            f"parameters) were found; the file has {_two(plan.dropped)}, the model wants {_two(wanting)}; {advice} "
            f"({way_out}.)"
        )
    if other_depth and recipe.model.backbone.startswith("resnet"):
        if not recipe.weights.allow_partial:
            raise WeightsError(f"{path}: {advice} (weights.allow_partial = true takes what fits.)")
        return [advice]
    return _doubts_about_network(plan, recipe)


def _doubts_about_colours(model: Recognizer, recipe: Recipe) -> list[str]:
    """timm's classifiers are not all trained with ImageNet's mean and std."""
    if not isinstance(model.backbone, TimmBackbone) or recipe.model.modality == "flow":
        return []
    mean, std = model.backbone.colours
    given = (*recipe.model.mean, *recipe.model.std)
    if max(abs(wanted - number) for wanted, number in zip((*mean, *std), given, strict=True)) < 0.5:
        return []
    name = recipe.model.backbone
    return [f"{name} was trained with other colours: set [model] mean = {list(mean)} and std = {list(std)}."]


def _doubts_about_network(plan: _Plan, recipe: Recipe) -> list[str]:
    """I3D and C2D are two networks each, and CSN's norms differ, while their tensors have the same names and shapes."""
    model = recipe.model
    if model.recognizer == "csn" and plan.dialect.startswith("PyTorchVideo"):
        return [
            "PyTorchVideo's CSN normalises with eps 1e-5, MMAction2's and this one with 1e-3: its scores differ a bit."
        ]
    if model.recognizer not in ("i3d", "c2d") or not plan.dialect.startswith(
        ("MMAction2", "PySlowFast", "PyTorchVideo")
    ):
        return []
    resnet, _, kind = model.backbone.partition("-")
    if (kind == "8x8") == (not plan.dialect.startswith("MMAction2")):
        return []
    wanted = resnet if kind == "8x8" else f"{resnet}-8x8"
    owner = plan.dialect.partition(" ")[0]
    difference = "halves time in other places" if model.recognizer == "i3d" else "pools with another padding"
    return [
        f'{owner}\'s {TITLES[model.recognizer]} {difference}: model.backbone = "{wanted}" computes what the file was '
        "trained for."
    ]


def _about_time(misfit: TensorNote, recipe: Recipe) -> str:
    """What to do where two kernels of one place differ in how they reach over time; "" where it is something else."""
    there, here = misfit.there or (), misfit.here or ()
    if len(there) == 5 and len(here) == 4:
        return "the file holds a 3D network, this recipe's is 2D."
    if is_image_kernel_of(there, here):
        return "the file holds an image network; name it in [weights] backbone, which inflates its kernels over time."
    if len(there) == len(here) == 5 and there[:2] + there[3:] == here[:2] + here[3:]:
        recognizer = recipe.model.recognizer
        return (
            f"its kernels reach over {there[2]} frames there, {TITLES[recognizer]}'s over {here[2]}: it is another "
            f'network; is model.recognizer = "{recognizer}" right?'
        )
    return ""


def _about_places(misfit: TensorNote) -> str:
    """What to do where a table of places in time or space has another length; "" where it is something else."""
    if re.search(
        r"\.(pos_embed|time_embed|position_embeddings|time_embeddings|rel_pos_[hwt]|spatial_pos|temporal_pos)$",
        misfit.name,
    ):
        return "the file was trained on clips of another length or size; use its [model] clip_len and frame_size."
    return ""


def _about_flow(misfit: TensorNote, recipe: Recipe) -> str:
    """What to do where two first convolutions differ in their channels; "" where it is something else."""
    there, here = misfit.there or (), misfit.here or ()
    first = len(there) == len(here) == 4 and here[1] == recipe.model.channels
    if first and there[1] % 2 == 0 and there == (here[0], there[1], *here[2:]):
        length = there[1] // 2
        return f'the file holds a network for flow: set model.modality = "flow", model.flow_length = {length}.'
    return ""


def _refuse_bad_numbers(plan: _Plan, model: nn.Module, path: Path) -> None:
    ours = model.state_dict()
    rows = {key: tensor[list(plan.rows.values())] for key, tensor in plan.head_rows.items()}
    for key, tensor in (plan.reused | rows).items():
        if ours[key].is_floating_point() and not tensor.is_floating_point():
            raise WeightsError(
                f"{path}: {key} holds whole numbers ({str(tensor.dtype).removeprefix('torch.')}) and no fractions: the "
                "model was quantised; take the file from before that."
            )
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {key} holds numbers that are not finite; the training it comes from diverged.")


def _doubts_about_file(path: Path, sha256: str) -> list[str]:
    expected = hash_in_name(path.name)
    if not sha256.startswith(expected):
        return [
            f"the file's name ends in {expected}, but its sha256 begins with {sha256[:8]}: it was changed or renamed."
        ]
    if not expected and (record := record_with_another_checksum(path)):
        return [f"{record} in the file has not the checksum it was saved with: it may be damaged."]
    return []


# --- words ------------------------------------------------------------------------------------------------------------


def _in_backbone(key: str) -> bool:
    return key.startswith("backbone.")


def _title(model: Model) -> str:
    """ "TSN ResNet-50", "VideoMAE videomae-base" """
    if model.recognizer == "transformers":
        return f"{family_of(model)} {Path(model.backbone).name}"
    backbone = re.sub(r"^resnet(\d+)$", r"ResNet-\1", model.backbone)
    return f"{TITLES[model.recognizer]} {backbone}"


def _two(notes: list[TensorNote]) -> str:
    return " and ".join(note.name for note in notes[:2]) or "no other"
