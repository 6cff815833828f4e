"""An MMAction2 config as the recipe that a person would have written: the nearest preset, and what differs from it.

found = import_config(Path("configs/recognition/tsn/tsn_r50.py"))
found.preset, found.changes, found.left_out
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.mmaction.config import Config, read_config
from engine.mmaction.dataset import read_dataset
from engine.mmaction.draft import Draft
from engine.mmaction.head import read_average, read_head
from engine.mmaction.model import read_model, read_normalisation, refuse_other_tasks
from engine.mmaction.parts import Parts, parts_of
from engine.mmaction.pipeline import read_test, read_training, read_validation
from engine.mmaction.schedule import read_blending, read_hooks, read_schedule
from engine.mmaction.section import Section
from engine.mmaction.weights import read_weights
from engine.recipe import Recipe, changes_from, load_recipe, nested, preset_names, recipe_from

# Where a preset's data lie says nothing about how near it is, nor do its number of classes and its weights.
_EACH_HAS_ITS_OWN = (
    "head.num_classes", "dataset.root", "dataset.val_root", "dataset.annotations", "dataset.train_list",
    "dataset.val_list", "weights.load_from", "weights.backbone",
)  # fmt: skip
_LISTS = ("mmaction_video", "mmaction_rawframes")  # the formats that MMAction2's configs can name


@dataclass(frozen=True)
class Import:
    """preset: what the recipe extends, "" where no preset has its recognizer. base: that preset (or the defaults).
    changes: name and tables that differ. sources: "table.key" → what of the config it comes from. left_out: sentences.
    """

    config: Config
    edition: str
    preset: str
    base: Recipe
    recipe: Recipe
    changes: dict[str, Any]
    sources: dict[str, str]
    guesses: list[str]
    left_out: list[str]


def import_config(path: Path, configs: Path | None = None) -> Import:
    """Read a config and find its recipe. configs: MMAction2's folder of configs, for bases that are elsewhere.

    Raises RecipeError where it cannot be read, or describes no recognizer of ours.
    """
    config = read_config(path, configs)
    draft = Draft()
    parts = parts_of(config.values, draft)
    _read_all(parts, config, draft)
    for skipped in config.skipped:
        draft.leave_out(str(skipped), "it is code, which an import does not run")
    preset = _nearest_preset(draft)
    base = _preset(preset) if preset else Recipe()
    recipe = recipe_from({"name": path.stem, **nested(draft.values)}, extends=preset, label=str(path))
    return Import(
        config=config,
        edition=parts.edition,
        preset=preset,
        base=base,
        recipe=recipe,
        changes=_changes(base, recipe),
        sources=draft.sources,
        guesses=draft.guesses,
        left_out=[f"{what}: {why}." for what, why in draft.left_out.items()],
    )


def _changes(base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """What differs from the preset. An lr never stands without the batch that it is meant for."""
    changes = changes_from(base, recipe)
    if "lr" in changes.get("schedule", {}):
        changes["schedule"]["lr_batch_size"] = recipe.schedule.lr_batch_size
    return changes


def _read_all(parts: Parts, config: Config, draft: Draft) -> None:
    called, whole = str(config.path), parts.whole
    model, trains = whole.part("model"), bool(parts.train.values)
    dataset = parts.train if trains else parts.test
    refuse_other_tasks(model, dataset.kind(), called)
    family = read_model(model, dataset.values.get("modality", "RGB"), draft, called)
    read_dataset(parts.train, parts.val, parts.test, draft)
    for holder in (model.part("data_preprocessor"), whole.part("data_preprocessor")):
        read_normalisation(holder, draft)
    if trains:
        read_training(parts.train.parts("pipeline"), family.frames_together, draft)
    read_validation(parts.val.parts("pipeline"), draft)
    read_head(model, draft)
    if parts.test.values:
        read_test(parts.test.parts("pipeline"), family.frames_together, draft)
        read_average(model, whole.part("test_cfg"), draft)
    scheduled = "optimizer" in whole or "optim_wrapper" in whole
    if scheduled:
        read_schedule(parts, config.sources, draft)
    for table, is_there in (("head", trains), ("dataset", trains), ("schedule", scheduled)):
        if is_there:
            draft.fill_in(table, "not in the config")
    if not trains:
        draft.leave_out("training", "the config only tests; clips to train on and their augmentation are the preset's")
    if not scheduled:
        whole.without_influence("checkpoint_config", "default_hooks", "evaluation", "lr_config", "total_epochs")
        draft.leave_out("optimizer", "the config has none; the schedule is the preset's")
    read_weights(whole, draft)
    _read_seed(whole, draft)
    read_hooks(whole, draft)
    read_blending(whole, draft)
    whole.without_influence("val_cfg", "test_cfg", "val_evaluator", "test_evaluator", "fp16", "omnisource")
    for what, value in whole.untaken():
        draft.leave_out(f"{what} = {_shown(value)}", "recipes have nothing like it")


def _read_seed(whole: Section, draft: Draft) -> None:
    randomness = whole.part("randomness")
    seed = whole.take("seed", randomness.take("seed"))
    if seed is not None:
        draft.set("run.seed", seed, "seed")
    if "deterministic" in randomness:
        draft.set("run.deterministic", randomness.take("deterministic"), "randomness.deterministic")


# --- the nearest preset -----------------------------------------------------------------------------------------------


def _nearest_preset(draft: Draft) -> str:
    """The preset with the config's recognizer that it differs least from; "" where there is none."""
    own = [name for name in preset_names() if _preset(name).model.recognizer == draft.values["model.recognizer"]]
    return min(own, key=lambda name: _distance(name, draft), default="")


@cache
def _preset(name: str) -> Recipe:
    return load_recipe(name)


def _distance(preset: str, draft: Draft) -> tuple[bool, int, bool, int, int, str]:
    """How far a preset is: one for other classes is out of the way, Kinetics-400 never is; then the model, which must
    fit the weights, then the kind of data, then everything else. Of two that are as near, the one of the plainer name.
    """
    base = _preset(preset)
    differing = {
        key
        for key, value in draft.values.items()
        if key not in _EACH_HAS_ITS_OWN and value != getattr(getattr(base, key.split(".")[0]), key.split(".")[1])
    }
    models = {key for key in differing if key.startswith("model.")}
    other_classes = base.head.num_classes not in (draft.values.get("head.num_classes"), 400, "auto")
    lists_of_another_kind = base.dataset.format not in _LISTS
    return other_classes, len(models), lists_of_another_kind, len(differing), len(preset), preset


def _shown(value: Any) -> str:
    """A value in few words: of dicts and lists of dicts, their types."""
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        return ", ".join(str(item.get("type", "dict(…)")) for item in value)
    text = (
        f"dict({', '.join(f'{key}={held!r}' for key, held in value.items())})"
        if isinstance(value, dict)
        else repr(value)
    )
    return text if len(text) <= 80 else f"{text[:79]}…"
