"""From files, presets and `--set` to a recipe, in which each value has a place that it came from."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine import hugging_face
from engine.errors import RecipeError
from engine.recipe.layers import Layer, nested, path_beside, path_exists, read_chain
from engine.recipe.sentences import sentences_of, shown
from engine.recipe.tables import PATH_KEYS, QUARANTINE, TABLES, Dataset, Recipe
from engine.recipe.values import as_mirror, as_mirrors


@dataclass(frozen=True)
class Resolved:
    """A recipe with the place that every value came from.

    origins: "table.key" (or "name") → "recipe.toml:12", "preset tsn-r50-kinetics400", "--set" or "default".
    """

    recipe: Recipe
    origins: Mapping[str, str]


def load_recipe(source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load a recipe file or a preset by name, with `overrides` ("table.key" → value) on top.

    Raises RecipeError, one line a problem, all problems at once.
    """
    return resolve_recipe(source, overrides).recipe


def resolve_recipe(source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Resolved:
    """Like `load_recipe`, and remember where each value came from."""
    layers = read_chain(source)
    layers.append(Layer("--set", nested(overrides or {})))
    return _validate(layers)


def recipe_from(document: Mapping[str, Any], extends: str | os.PathLike[str] = "", label: str = "the recipe") -> Recipe:
    """Validate tables that are in memory (the wizard's draft), on top of the preset or file they extend."""
    layers = read_chain(extends) if extends else []
    layers.append(Layer(label=label, document=dict(document)))
    return _validate(layers).recipe


def parse_override(text: str) -> tuple[str, Any]:
    """`schedule.lr=0.01` → ("schedule.lr", 0.01). The value is TOML; what is not, is text.

    So `run.device=cpu` needs no quotes, nor does text whose quotes the shell has taken away.
    """
    key, equals, value_text = (part.strip() for part in text.partition("="))
    if not equals or not re.fullmatch(r"name|[a-z_]+\.[a-z_]+", key):
        raise RecipeError(f"--set {text}: write it as table.key=value, for example --set schedule.lr=0.01.")
    try:
        document = tomllib.loads(f"value = {value_text}")
        if len(document) == 1:
            return key, document["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        if value_text.startswith(("[", "{", '"', "'")):
            raise RecipeError(f"--set {text}: the value is not complete; is a quote or a bracket missing?") from None
    return key, value_text


def _validate(layers: list[Layer]) -> Resolved:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    try:
        layers = _with_the_networks_folder(layers)
    except RecipeError as error:
        problems.append(str(error))
    for layer in layers:
        for table, values in layer.document.items():
            if table in TABLES and isinstance(values, Mapping):
                merged.setdefault(table, {})
                for key, value in values.items():
                    merged[table][key] = path_beside(layer, value) if f"{table}.{key}" in PATH_KEYS else value
                    origins[f"{table}.{key}"] = layer.where(f"{table}.{key}")
            elif table in TABLES:
                problems.append(f"{layer.where(table)}: {table} is a table; write [{table}] on a line of its own.")
            else:
                merged[table] = values
                origins[table] = layer.where(table)
    if "dataset.quarantine" not in origins and (found := _quarantine(layers, merged)):
        merged.setdefault("dataset", {})["quarantine"] = str(found)
        origins["dataset.quarantine"] = "the file is there"
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        problems += sentences_of(error, origins)
        recipe = Recipe()
    problems += _unlike_the_folder(layers, recipe, origins)
    if problems:
        raise RecipeError("\n".join(problems))
    for table, model in TABLES.items():
        for key in model.model_fields:
            origins.setdefault(f"{table}.{key}", "default")
    origins.setdefault("name", "default")
    return Resolved(recipe, origins)


def _with_the_networks_folder(layers: list[Layer]) -> list[Layer]:
    """Of a network of Hugging Face transformers, the recipe's tables and what its folder says besides: it counts as
    said right before the file that names the folder. Raises RecipeError where the folder is none of a network."""
    if _said(layers, "model", "recognizer") != "transformers":
        return layers
    place = max((place for place, layer in enumerate(layers) if _said([layer], "model", "backbone")), default=0)
    naming, backbone = layers[place], _said(layers, "model", "backbone")
    of_another = _said(layers[: place + 1], "model", "recognizer") != "transformers"  # a preset's resnet50, say
    if of_another or not backbone or not isinstance(backbone, str):
        raise RecipeError(
            f'{_where(layers, "model.recognizer")}: [model] recognizer = "transformers" needs backbone: the folder of '
            "a model with its config.json, or hf://ORG/REPO."
        )
    if _said(layers[place:], "model", "backbone_config"):
        return layers
    source = os.path.expanduser(path_beside(naming, backbone))
    try:
        config_file, processor = hugging_face.described(source, _mirrors_in(layers))
        config, words = hugging_face.read_config(config_file), hugging_face.normalisation(processor)
    except RecipeError as error:
        raise RecipeError(f"{naming.where('model.backbone')}: {error}") from None
    frames, size = hugging_face.frames_and_size(config)
    table = "clip_len" if _said(layers, "model", "clip_len") else "segments"
    size = size or words.get("dataset.frame_size")
    of_config = {
        "model.backbone_config": hugging_face.as_text(config),
        f"model.{table}": frames,
        "dataset.frame_size": size,
        "dataset.short_side": max(size or 0, Dataset.model_fields["short_side"].default),
        "weights.load_from": source if hugging_face.has_weights(source) else "",
    }
    said = [
        Layer(str(config_file), nested({key: value for key, value in of_config.items() if value is not None})),
        Layer(
            str(processor or ""), nested({key: value for key, value in words.items() if key != "dataset.frame_size"})
        ),
    ]
    naming = replace(naming, document={**naming.document, "model": {**naming.document["model"], "backbone": source}})
    return [*layers[:place], *said, naming, *layers[place + 1 :]]


def _said(layers: list[Layer], table: str, key: str) -> Any:
    """What the deepest of these layers says of a key; None where none does."""
    tables = [layer.document.get(table) for layer in layers]
    return next((values[key] for values in reversed(tables) if isinstance(values, Mapping) and key in values), None)


def _mirrors_in(layers: list[Layer]) -> tuple[str, ...]:
    """[weights] mirror, before the whole recipe is validated; () where it is wrong, which is told then."""
    try:
        return tuple(as_mirror(rule) for rule in as_mirrors(_said(layers, "weights", "mirror") or ()))
    except (ValueError, TypeError, AttributeError):
        return ()


def _where(layers: list[Layer], key: str) -> str:
    """The deepest layer that says a key, and its line there."""
    table, _, name = key.partition(".")
    return next((layer.where(key) for layer in reversed(layers) if _said([layer], table, name) is not None), "")


def _unlike_the_folder(layers: list[Layer], recipe: Recipe, origins: Mapping[str, str]) -> list[str]:
    """A sentence for each number that the frames would be normalised with, other than the network was trained with."""
    sentences = []
    for layer in layers:
        if layer.label.endswith(hugging_face.PROCESSORS):
            for key, wanted in layer.document.get("model", {}).items():
                given = getattr(recipe.model, key)
                if max(abs(one - other) for one, other in zip(given, wanted, strict=False)) > 0.01:
                    sentences.append(
                        f"{origins[f'model.{key}']}: [model] {key} is {shown(given)}, but {layer.label} says "
                        f"{shown(wanted)}; leave it out, and that is taken."
                    )
    return sentences


def _quarantine(layers: list[Layer], merged: Mapping[str, Any]) -> Path | None:
    """The quarantine.txt that lies beside the recipe file or in [dataset] root, in the spelling that these have."""
    files = [layer.path for layer in layers if layer.path and not layer.label.startswith("preset ")]
    places = [files[-1].parent] if files else []
    root = merged.get("dataset", {}).get("root")
    if root and isinstance(root, str):
        places.append(Path(os.path.expanduser(root)))
    return next((found for place in places if path_exists(found := place / QUARANTINE) and found.is_file()), None)
