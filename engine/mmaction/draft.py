"""What an import has found so far: recipe keys with where they come from, and what has no place in a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import tomli_w
from pydantic import ValidationError

from engine.recipe import TABLES, Recipe


@dataclass
class Draft:
    """values: "schedule.lr" → 0.01. sources: the same keys → what of the config they come from. left_out: what could
    not be carried over → why. guesses: what the config does not say, and what was assumed."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    guesses: list[str] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)

    def set(self, key: str, value: Any, source: str) -> bool:
        """Carry a value over, if recipes have the key and allow the value; else it is left out. source: where the
        config says it."""
        table, name = key.split(".")
        if name not in TABLES[table].model_fields:
            self.leave_out(source, f"recipes have no [{table}] {name}")
            return False
        said = {other.split(".")[1]: held for other, held in self.values.items() if other.startswith(f"{table}.")}
        try:
            checked = TABLES[table].model_validate({**said, name: list(value) if isinstance(value, tuple) else value})
        except ValidationError as error:
            if all(finding["loc"][0] != name for finding in error.errors()):  # another key that follows will fit to it
                self._carry(key, value, source)
                return True
            self.leave_out(source, f"a recipe cannot say [{table}] {name} = {_toml(value)}")
            self._refused.add(key)
            return False
        self._carry(key, getattr(checked, name), source)
        return True

    def _carry(self, key: str, value: Any, source: str) -> None:
        self.values[key] = value
        self.sources[key] = source

    def leave_out(self, what: str, why: str) -> None:
        """Something of the config that the recipe will not say. The first reason is kept."""
        self.left_out.setdefault(what, why)

    def guess(self, what: str) -> None:
        """Something assumed that the config does not say."""
        if what not in self.guesses:
            self.guesses.append(what)

    def fill_in(self, table: str, reason: str) -> None:
        """Keys of a table that the config does not speak of get their defaults, so that no preset decides them."""
        default = getattr(Recipe(), table)
        for name in TABLES[table].model_fields:
            if f"{table}.{name}" not in self.values.keys() | self._refused:
                self.values[f"{table}.{name}"] = getattr(default, name)
                self.sources[f"{table}.{name}"] = reason


def _toml(value: Any) -> str:
    """A value as a recipe would write it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    try:
        return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()
    except TypeError:  # None, or something with it inside
        return repr(value)
