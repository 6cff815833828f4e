"""The text of a recipe file that extends a preset: only what differs, and beside it what the preset says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from engine.recipe import TABLES, Recipe

# The order of the tutorial, which is the order of the house; then what completes them.
_ORDER = ("model", "head", "dataset", "schedule", "weights", "run")
# A preset's data are somebody else's: what they were called there helps nobody.
_SPEAKS_FOR_ITSELF = ("dataset.root", "dataset.annotations", "dataset.format", "weights.load_from", "weights.backbone")
_SOMEBODY_ELSES = ("dataset.val_root", "dataset.train_list", "dataset.val_list")
_COMMENT_COLUMN, _LONGEST_LINE = 26, 60


def recipe_text(preset: str, base: Recipe, changes: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """TOML that extends `preset` and says `changes` (name and tables), each with its comment or the preset's value.

    comments: "table.key" → remark. A value that does not leave room for a remark on its line has it above.
    """
    lines = [
        "# Written by `ftwiz new`. What it does not say, the preset does:",
        "# `ftwiz show` with this file's name spells everything out.",
        "",
        f"extends = {_literal(preset)}",
    ]
    if "name" in changes:
        lines.append(f"name = {_literal(changes['name'])}")
    for table in _ORDER:
        if table in changes:
            lines += ["", f"[{table}]"]
            for key in [key for key in TABLES[table].model_fields if key in changes[table]]:
                remark = comments.get(f"{table}.{key}") or _in_the_preset(base, table, key)
                lines.append(_line(key, changes[table][key], remark))
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, remark: str) -> str:
    said = f"{key} = {_literal(value)}"
    if not remark:
        return said
    if len(said) > _LONGEST_LINE:
        return f"# {remark}\n{said}"
    return f"{said:<{_COMMENT_COLUMN}} # {remark}"


def _in_the_preset(base: Recipe, table: str, key: str) -> str:
    value = getattr(getattr(base, table), key)
    if f"{table}.{key}" in _SPEAKS_FOR_ITSELF or value in ("", ()):
        return ""
    if f"{table}.{key}" in _SOMEBODY_ELSES:
        return "names other data in the preset"
    return f"{_literal(value)} in the preset"


def _literal(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
