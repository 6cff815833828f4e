"""A recipe as TOML: whole, or in what it differs from another; and the schema that editors read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from engine.atomic import write_text
from engine.recipe.tables import PATH_KEYS, TABLES, Recipe


def document_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain TOML data, every key spelt out."""
    return recipe.model_dump(mode="python")


def changes_from(base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """Only the keys in which `recipe` differs from `base`: what a recipe that extends `base` must say."""
    changes: dict[str, Any] = {}
    if recipe.name != base.name:
        changes["name"] = recipe.name
    for table in TABLES:
        mine, theirs = getattr(recipe, table).model_dump(), getattr(base, table).model_dump()
        if differing := {key: value for key, value in mine.items() if value != theirs[key]}:
            changes[table] = differing
    return changes


def to_toml(document: Mapping[str, Any]) -> str:
    """TOML text of a recipe document, in the order name, extends, then the tables."""
    return tomli_w.dumps(dict(document))


def save_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a recipe that is complete on its own and loads back equal."""
    write_text(Path(path), to_toml(document_of(recipe)))


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The same recipe, independent of the working folder: what a run folder keeps."""
    document = document_of(recipe)
    for key in PATH_KEYS:
        table, name = key.split(".")
        value = document[table][name]
        if value and "://" not in value:
            document[table][name] = str(Path(value).absolute())
    if recipe.model.recognizer == "transformers" and "://" not in recipe.model.backbone:
        document["model"]["backbone"] = str(Path(recipe.model.backbone).absolute())
    return Recipe.model_validate(document)


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, so that editors complete and check keys as they are typed."""
    schema = Recipe.model_json_schema()
    schema["title"] = "ftwiz recipe"
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["properties"] = {
        "extends": {"type": "string", "description": "A preset's name, or a path relative to this file."},
        **schema["properties"],
    }
    return schema
