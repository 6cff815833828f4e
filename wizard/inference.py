"""What follows from what: each answer that nobody gave, inferred from what is known, and the sentence that says why."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RecipeError
from engine.recipe import Recipe, load_recipe, spelt_out
from engine.weights.published import PUBLISHED
from wizard.decisions import WEIGHTS, shown
from wizard.starts import OWN, SCRATCH, file_of, nearest_preset, presets_for, published_for
from wizard.words import count

if TYPE_CHECKING:
    from wizard.draft import Draft

PACES = {"quick": 0.2, "standard": 1.0, "thorough": 2.0}
# Fine-tuning as the tutorial does it: half the template's lr and epochs, steps at 40 % and 80 % of them.
FINE_TUNING = 0.5
MILESTONES = (0.4, 0.8)
# A small dataset gets smaller batches and then more epochs, until the optimiser has this much to work with.
MIN_STEPS_PER_EPOCH, MIN_STEPS, MIN_BATCH, MAX_EPOCHS = 8, 300, 4, 100
KEPT_CHECKPOINTS = 10
FEW_CLIPS = 20
# With so few of a class, what is learned in the backbone is these very clips.
FROZEN_BELOW = 10
# Words that turn into each other when a clip is played backwards.
BACKWARDS = (
    ("up", "down"), ("left", "right"), ("open", "close"), ("opening", "closing"), ("in", "out"), ("into", "out of"),
    ("forward", "backward"), ("forwards", "backwards"), ("towards", "away from"), ("toward", "away"), ("from", "to"),
    ("clockwise", "counterclockwise"), ("rising", "falling"), ("lifting", "lowering"), ("entering", "leaving"),
    ("pushing", "pulling"),
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A value and the sentence that says where it comes from. `given`: by the user, not inferred."""

    value: Any
    why: str
    given: bool = False


def _infer_data(draft: Draft) -> Answer:
    return Answer(draft.overrides.get("dataset.root", ""), "")


def _infer_annotations(draft: Draft) -> Answer:
    if "dataset.annotations" in draft.overrides:
        return Answer(draft.overrides["dataset.annotations"], "given with --set", given=True)
    if draft.found and (folder := draft.found.table.get("annotations")):
        return Answer(folder, "found beside the videos")
    return Answer("", "where the split or list files are")


def _infer_format(draft: Draft) -> Answer:
    if draft.found:
        return Answer(draft.found.table.get("format", draft.found.format), " ".join(draft.found.why))
    return Answer("folders", "")


def _infer_val_fraction(draft: Draft) -> Answer:
    value = draft.found.table.get("val_fraction") if draft.found else None
    fraction = draft._preset_value("dataset.val_fraction") if value is None else value
    return Answer(fraction, "for validation: there is no val folder")


def _infer_flip(draft: Draft) -> Answer:
    usual, mirror = draft._preset_value("dataset.flip"), draft.mirror
    if mirror.one_sided:
        return Answer(0.0, f"off: there is no other side to “{mirror.one_sided[0]}”")
    if usual and mirror.pairs:
        one, other = mirror.pairs[0]
        return Answer(usual, f"the chance of it; a mirrored “{one}” counts as “{other}”")
    return Answer(usual, "the chance of it, as in the preset")


def _infer_num_classes(draft: Draft) -> Answer:
    if not draft.found:
        return Answer("auto", "counted when the data are read")
    return Answer(len(draft.found.classes), "as many as the dataset has")


def _infer_multi_label(draft: Draft) -> Answer:
    if not draft.found:
        return Answer(False, "told by the data when they are read")
    if not draft.found.multi_label:
        return Answer(False, "every clip of these: softmax, cross entropy, judged by top-1")
    several = several_classes(draft.found.notes)
    return Answer(True, f"{several}: sigmoids, judged by mAP" if several else "so is the format; judged by mAP")


def several_classes(notes: Sequence[str]) -> str:
    """How many clips have several classes, as the reader of the data said it; "" where none has."""
    said = next((note for note in notes if "several classes" in note), "")
    return "" if said.startswith("0 ") else said.rstrip(".")


def _infer_reuse(draft: Draft) -> Answer:
    return Answer(draft._preset_value("head.reuse"), "")


def _infer_dropout(draft: Draft) -> Answer:
    return Answer(draft._preset_value("head.dropout"), "as in the preset; more against overfitting")


def _infer_start(draft: Draft) -> Answer:
    set_weights = [draft.overrides[key] for key in WEIGHTS if key in draft.overrides]
    if any(set_weights):
        return Answer(OWN, "given with --set", given=True)
    if len(set_weights) == len(WEIGHTS):
        return Answer(SCRATCH, "--set leaves no weights to start from")
    backbone = draft.overrides.get("model.backbone", "resnet50")
    if of_hugging_face(draft):
        return Answer(OWN, "The folder or repository that --set names has its own weights.")
    if backbone != "resnet50":
        return Answer(OWN, f"The published video checkpoints are of ResNet-50; for {backbone} there are ImageNet's.")
    return fitting_preset(draft)


def _infer_source(draft: Draft) -> Answer:
    for key in WEIGHTS:
        if source := draft.overrides.get(key):
            return Answer(source, "given with --set", given=True)
    if backbone := draft.overrides.get("model.backbone", ""):
        if of_hugging_face(draft):
            return Answer(backbone, "where the network comes from")
        return Answer(f"torchvision://{backbone}", "ImageNet weights, by way of torchvision")
    return Answer("", "")


def _infer_preset(draft: Draft) -> Answer:
    """The model of weights of one's own is told by the run they are of, or by their name."""
    if draft.value("start") == OWN:
        if run := draft.run_of_source:
            return Answer(nearest_preset(run.model), "the recipe of that run says so")
        if named := preset_named_by(str(draft.value("source")), draft.modality):
            return named
    if of_hugging_face(draft):
        return Answer("videomae-b-kinetics400", "Its schedule suits a transformer; the network is the one of --set.")
    return fitting_preset(draft)


def run_folder_of(source: str) -> Path | None:
    """The folder of the run that a source names or lies in; None where it is no run's."""
    path = Path(re.sub(r":(best|last|epoch-\d+)$", "", source)).expanduser()
    folder = path.parent.parent if path.parent.name == "checkpoints" else path
    return folder if source and "://" not in source and exists(folder / "recipe.toml") else None


@cache
def recipe_of_run(folder: Path) -> Recipe | None:
    try:
        return load_recipe(folder / "recipe.toml")
    except RecipeError:
        return None  # of another version of ftwiz; its model is then chosen like any other file's


def of_hugging_face(draft: Draft) -> bool:
    """Whether `--set` asks for a network of Hugging Face transformers."""
    return draft.overrides.get("model.recognizer") == "transformers"


def preset_named_by(source: str, modality: str = "rgb") -> Answer | None:
    """The preset whose published file it is, or whose network the file's name begins with or holds; None where the
    name says nothing."""
    name = source.rstrip("/").replace("\\", "/").rpartition("/")[2].casefold()
    for published in PUBLISHED:
        if name and published.modality == modality and name == file_of(published).casefold():
            return Answer(published.preset, f"the file is the published {published.name}")
    words = re.split(r"[^a-z0-9]+", name)
    rows = [published.preset for published in PUBLISHED]

    def likeness(preset: str) -> tuple[int, bool, int, int]:
        """How many words agree; of equals the plainest, and the first of the published ones."""
        own = preset.split("-")
        row = rows.index(preset) if preset in rows else len(rows)
        return sum(word in words for word in own), "kinetics400" in own, -len(own), -row

    alike = [preset for preset in presets_for(modality) if preset.partition("-")[0] in words]
    if not alike:
        return None
    best = max(alike, key=likeness)
    return Answer(best, f"by its name, which says {best.partition('-')[0]}")


def fitting_preset(draft: Draft) -> Answer:
    if draft.modality == "flow":
        return Answer("tsn-r50-kinetics400-flow", "The frames are optical flow, which this one has learned from.")
    tsn, tsm = "tsn-r50-kinetics400", "tsm-r50-kinetics400"
    if "model.recognizer" in draft.overrides:
        return Answer(tsm if draft.overrides["model.recognizer"] == "tsm" else tsn, "given with --set", given=True)
    if pair := opposites(draft.found.classes, BACKWARDS) if draft.found else None:
        return Answer(
            tsm,
            f"“{pair[0]}” and “{pair[1]}” differ in direction only: TSM sees the order of frames, TSN does not.",
        )
    return Answer(tsn, "The tutorial's own start; three frames a clip make it the quickest to train.")


def _infer_load_from(draft: Draft) -> Answer:
    return Answer(_sources(draft)[0], "")


def _infer_backbone(draft: Draft) -> Answer:
    return Answer(_sources(draft)[1], "")


def _sources(draft: Draft) -> tuple[str, str]:
    """weights.load_from and weights.backbone for the chosen row."""
    start, presets_own = draft.value("start"), draft.base.weights.backbone
    if start == OWN:
        source = spelt_out(str(draft.value("source")))
        return ("", source) if source.startswith(("torchvision://", "timm://")) else (source, presets_own)
    if published := published_for(start):
        return published.load_from, presets_own if published.load_from else published.backbone
    return "", ""


def _infer_pace(draft: Draft) -> Answer:
    return Answer("standard", "as the tutorial")


def _infer_batch_size(draft: Draft) -> Answer:
    usual = batch = number_of(draft.base.schedule.batch_size, 32)
    if not draft.found:
        return Answer(usual, "as in the preset")
    while batch > MIN_BATCH and math.ceil(draft.train_clips / batch) < MIN_STEPS_PER_EPOCH:
        batch //= 2
    batch = max(1, min(batch, draft.train_clips))
    if batch == usual:
        return Answer(batch, "as in the preset")
    return Answer(batch, f"{usual} in the preset: few steps for {count(draft.train_clips, 'clip')}")


def _infer_epochs(draft: Draft) -> Answer:
    usual, pace = draft.base.schedule.epochs, draft.value("pace")
    share, reason = _of_the_preset(draft, usual)
    epochs = round(usual * share)
    if draft.found and (enough := math.ceil(MIN_STEPS / max(1, draft.steps_per_epoch))) > epochs:
        epochs = max(epochs, min(enough, MAX_EPOCHS))
        reason = f"more than usual, for about {MIN_STEPS} steps"
    factor = PACES.get(pace, 1.0)
    if factor != 1:
        reason = f"{factor:g} × the standard {epochs}"
    return Answer(max(1, round(epochs * factor)), reason)


def _infer_lr(draft: Draft) -> Answer:
    share, reason = _of_the_preset(draft, draft.base.schedule.lr)
    return Answer(_tidy(draft.base.schedule.lr * share), reason)


def _of_the_preset(draft: Draft, usual: float) -> tuple[float, str]:
    """The share of the preset's lr and epochs that suits the start, and why."""
    if draft.value("start") == SCRATCH:
        return 1.0, "the preset's: there is all to learn"
    if _preset_fine_tunes(draft.base):
        return 1.0, "the preset's, made for fine-tuning"
    return FINE_TUNING, f"half the preset's {usual:g}, for fine-tuning"


def _preset_fine_tunes(base: Recipe) -> bool:
    """A preset with a head of its own size was trained there; "auto" is one that waits for the user's data."""
    return base.head.num_classes == "auto"


def _infer_policy(draft: Draft) -> Answer:
    return Answer(draft._preset_value("schedule.lr_policy"), "as in the preset")


def _infer_milestones(draft: Draft) -> Answer:
    epochs = number_of(draft.value("schedule.epochs"), 1)
    places = sorted({round(epochs * share) for share in MILESTONES} & set(range(1, epochs)))
    return Answer(places, f"at 40 % and 80 %; lr × {shown(draft.value('schedule.gamma'))} after each")


def _infer_freeze(draft: Draft) -> Answer:
    usual = draft._preset_value("schedule.freeze")
    if draft.value("start") == SCRATCH:
        return Answer(usual, "all of it has to learn" if usual == "none" else "as in the preset")
    if draft.found and not draft.overrides.get("schedule.lora"):
        from wizard.hints import order_matters

        clips = f"{draft.clips_a_class:.0f} clips a class"
        if draft.clips_a_class < FROZEN_BELOW and order_matters(draft):
            return Answer("stages:2", f"{clips}: only the later stages learn")
        if draft.clips_a_class < FROZEN_BELOW:
            return Answer("backbone", f"only {clips}")
        if draft.clips_a_class < FEW_CLIPS:
            return Answer(usual, f"{clips} are few")
    return Answer(usual, "all of it adapts" if usual == "none" else "as in the preset")


def _infer_warmup(draft: Draft) -> Answer:
    schedule = draft.base.schedule
    epochs = number_of(draft.value("schedule.epochs"), 1)
    return Answer(round(schedule.warmup_epochs * epochs / schedule.epochs, 1), "the preset's share of the epochs")


def _infer_checkpoint_interval(draft: Draft) -> Answer:
    epochs = number_of(draft.value("schedule.epochs"), 1)
    return Answer(max(1, epochs // KEPT_CHECKPOINTS), f"so that {KEPT_CHECKPOINTS} are kept on the way")


def _infer_name(draft: Draft) -> Answer:
    network = draft.overrides.get("model.recognizer", draft.base.model.recognizer)
    if of_hugging_face(draft) and (backbone := draft.overrides.get("model.backbone")):
        network = str(backbone).rstrip("/").rpartition("/")[2]
    return Answer(f"{network}-{_data_name(draft)}", "from the model and the data")


def _infer_out(draft: Draft) -> Answer:
    slug = re.sub(r"[^\w.-]+", "-", str(draft.value("name"))).strip("-.") or "recipe"
    wanted = Path(f"{slug}.toml")
    free = free_path(wanted)
    return Answer(str(free), "in this folder" if free == wanted else f"{wanted} is there already, and stays as it is")


def free_path(path: Path) -> Path:
    """`path`, or the first of path-2, path-3 … that does not exist."""
    candidate, number = path, 2
    while exists(candidate):
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate


@cache
def opposites(classes: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """Two classes whose names differ in one opposite pair of words only, such as “push left” and “push right”."""
    names = {_words(name): name for name in classes}
    for word, opposite in pairs:
        pattern = re.compile(rf"\b{word}\b")
        for words, name in names.items():
            if pattern.search(words):
                other = names.get(pattern.sub(opposite, words))
                if other is not None and other != name:
                    return name, other
    return None


def _words(name: str) -> str:
    """SwipeLeft, swipe_left and "Swipe left" are the same words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_-]+", spaced.strip())).lower()


def _data_name(draft: Draft) -> str:
    if draft.found and draft.found.format not in ("folders", "csv", "mmaction_rawframes", "mmaction_video"):
        return draft.found.format
    path = draft.data_path
    if path is None:
        return "recipe"
    parts = [
        part for part in path.absolute().parts if part.lower() not in ("videos", "video", "data", "train", "clips")
    ]
    return re.sub(r"[^\w.-]+", "-", parts[-1] if parts else "").strip("-._").lower() or "videos"


def _tidy(number: float) -> float:
    """Without the noise that a float's multiplication leaves in the last digits."""
    return float(f"{number:.6g}")


def number_of(value: Any, otherwise: int) -> int:
    """A whole number to go on with, where the answer may be anything that was typed."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise


def exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


INFERENCES: dict[str, Callable[[Draft], Answer]] = {
    "data": _infer_data,
    "annotations": _infer_annotations,
    "dataset.format": _infer_format,
    "dataset.val_fraction": _infer_val_fraction,
    "dataset.flip": _infer_flip,
    "head.num_classes": _infer_num_classes,
    "head.multi_label": _infer_multi_label,
    "head.reuse": _infer_reuse,
    "head.dropout": _infer_dropout,
    "start": _infer_start,
    "source": _infer_source,
    "preset": _infer_preset,
    "weights.load_from": _infer_load_from,
    "weights.backbone": _infer_backbone,
    "pace": _infer_pace,
    "schedule.epochs": _infer_epochs,
    "schedule.batch_size": _infer_batch_size,
    "schedule.lr": _infer_lr,
    "schedule.lr_policy": _infer_policy,
    "schedule.milestones": _infer_milestones,
    "schedule.freeze": _infer_freeze,
    "schedule.warmup_epochs": _infer_warmup,
    "schedule.checkpoint_interval": _infer_checkpoint_interval,
    "name": _infer_name,
    "out": _infer_out,
}
