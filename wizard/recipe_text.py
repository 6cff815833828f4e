"""The text of a recipe file that extends a preset: only what differs, and beside it what the preset says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from engine.recipe import TABLES, Recipe

# The order of the tutorial, which is the order of the house; then what completes them.
_ORDER = ("model", "head", "dataset", "schedule", "weights", "run")
# A preset's data are somebody else's: what they were called there helps nobody.
SOMEBODY_ELSES = ("dataset.val_root", "dataset.train_list", "dataset.val_list")
_SPEAKS_FOR_ITSELF = (
    "dataset.root", "dataset.annotations", "dataset.format", *SOMEBODY_ELSES, "weights.load_from", "weights.backbone",
)  # fmt: skip
_COMMENT_COLUMN, _LONGEST_LINE, _LONGEST_WITH_REMARK = 26, 60, 116


LEFT_OUT = "# The preset names data of its own here; without them:"
HEADER = (
    "# Written by `ftwiz new`. What it does not say, the preset does:",
    "# `ftwiz show` with this file's name spells everything out.",
)


def recipe_text(
    preset: str,
    base: Recipe,
    changes: Mapping[str, Any],
    comments: Mapping[str, str],
    header: Sequence[str] = HEADER,
) -> str:
    """TOML that extends `preset` ("": nothing) and says `changes` (name and tables), each with its comment or the
    preset's value.

    comments: "table.key" → remark. A value that does not leave room for a remark on its line has it above.
    """
    lines = [*header, "", f"extends = {_literal(preset)}"] if preset else [*header, ""]
    if "name" in changes:
        lines.append(f"name = {_literal(changes['name'])}")
    for table in _ORDER:
        if table in changes:
            lines += ["", f"[{table}]"]
            keys = [key for key in TABLES[table].model_fields if key in changes[table]]
            undone = [key for key in keys if leaves_out(f"{table}.{key}", changes[table][key])]
            keys = [key for key in keys if key not in undone]
            said = {key: f"{key} = {_literal(changes[table][key])}" for key in keys}
            column = max([_COMMENT_COLUMN, *(len(line) for line in said.values() if len(line) <= _LONGEST_LINE)])
            for key in keys:
                remark = comments.get(f"{table}.{key}") or in_the_preset(base, table, key)
                lines.append(_line(said[key], remark, column))
            if undone:
                lines += [LEFT_OUT, *(f'{key} = ""' for key in undone)]
    return "\n".join(lines) + "\n"


def _line(said: str, remark: str, column: int) -> str:
    if not remark:
        return said
    if len(said) > column or column + len(remark) > _LONGEST_WITH_REMARK:
        return f"# {remark}\n{said}"
    return f"{said:<{column}} # {remark}"


def leaves_out(key: str, value: Any) -> bool:
    """Whether the key is said only so that the preset's other data do not show through."""
    return key in SOMEBODY_ELSES and value == ""


def in_the_preset(base: Recipe, table: str, key: str) -> str:
    """The remark "100 in the preset"; "" where the preset's value helps nobody."""
    value = getattr(getattr(base, table), key)
    if f"{table}.{key}" in _SPEAKS_FOR_ITSELF or value in ("", ()):
        return ""
    return f"{_literal(value)} in the preset"


def _literal(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
