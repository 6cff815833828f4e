"""The files that a recipe is made of: itself, and the presets and recipes that it extends."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from engine.errors import RecipeError
from engine.recipe.sentences import nearest, shown


def preset_names() -> list[str]:
    """The presets that ship with ftwiz, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _presets().iterdir() if entry.name.endswith(".toml"))


def preset_path(name: str) -> Path:
    """The file of a preset."""
    return Path(str(_presets() / f"{name}.toml"))


def _presets() -> Any:
    return resources.files("presets")


@dataclass
class Layer:
    """One source of values, the deeper ones later in the chain."""

    label: str
    document: dict[str, Any]
    path: Path | None = None
    lines: dict[str, int] = field(default_factory=dict)

    def where(self, key: str) -> str:
        line = self.lines.get(key) or self.lines.get(key.partition(".")[0])  # an inline table has one line for all
        return f"{self.label}:{line}" if line else self.label


def read_chain(source: str | os.PathLike[str]) -> list[Layer]:
    """The file or preset and everything it extends, the base first."""
    chain: list[Layer] = []
    seen: list[Path] = []
    said_at = ""
    path, label = _find(source, beside=None)
    while True:
        if path.resolve() in seen:
            names = " → ".join(p.name for p in [*seen, path])
            raise RecipeError(f"{said_at}: `extends` goes in a circle: {names}. Remove one of them.")
        seen.append(path.resolve())
        layer = _read_layer(path, label)
        chain.insert(0, layer)
        parent = layer.document.pop("extends", "")
        said_at = layer.where("extends")
        if not isinstance(parent, str):
            raise RecipeError(f"{said_at}: extends must be a preset's name or a path in quotes, not {shown(parent)}.")
        if not parent:
            return chain
        path, label = _find(parent, beside=path, said_at=said_at)


def _find(source: str | os.PathLike[str], beside: Path | None, said_at: str = "") -> tuple[Path, str]:
    """A preset's name or a path (relative to the file that names it) → the file and how to call it in messages."""
    text = os.fspath(source)
    if text in preset_names():
        return preset_path(text), f"preset {text}"
    path = Path(os.path.expanduser(text))
    path = beside.parent / path if beside else path
    if path_exists(path) and not path.is_dir():
        return path, str(path)
    prefix = f"{said_at}: extends = " if said_at else ""
    if path_exists(path):
        raise RecipeError(f'{prefix}"{text}" is a folder; name the recipe file in it.')
    close = nearest(text.removesuffix(".toml"), preset_names())
    hint = (
        f'did you mean the preset "{close}"?' if close else "`ftwiz presets` lists them, `ftwiz new` writes a recipe."
    )
    raise RecipeError(f'{prefix}"{text}" is neither a file nor a preset; {hint}')


def _read_layer(path: Path, label: str) -> Layer:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise RecipeError(f"{label}: not a text file (byte {error.start} is not UTF-8); is it a recipe?") from None
    except OSError as error:
        raise RecipeError(f"{label}: cannot be read: {error.strerror}.") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)|\(at end of document\)", str(error))
        line = at.group(1) if at and at.group(1) else str(text.count("\n") + 1)
        reason = re.sub(r"\s*\(at [^)]*\)", "", str(error))
        raise RecipeError(f"{label}:{line}: not valid TOML: {reason}.") from None
    except RecursionError:
        raise RecipeError(f"{label}: not valid TOML: nested too deeply.") from None
    return Layer(label=label, document=document, path=path, lines=_line_numbers(text))


def _line_numbers(text: str) -> dict[str, int]:
    """ "table.key" → line, for messages. Reads the usual layout; what it cannot place simply has no line."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[{1,2}\s*([\w.-]+)\s*\]", line):
            table = header.group(1)
            lines.setdefault(table, number)
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            lines.setdefault(f"{table}.{key.group(1)}" if table else key.group(1), number)
    return lines


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by "table.key" (or "name") as the tables of a document."""
    document: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, name = key.partition(".")
        if dot:
            document.setdefault(table, {})[name] = value
        else:
            document[table] = value
    return document


def path_beside(layer: Layer, value: Any) -> Any:
    """A relative path that exists beside the recipe file means that one; else it is the working folder's."""
    if layer.path is None or not isinstance(value, str):
        return value
    if not value or "://" in value or value.startswith("~") or Path(value).is_absolute():
        return value
    run, checkpoint = _of_a_run(value)
    beside = layer.path.parent / run
    here = layer.path.parent.resolve() == Path.cwd()
    return f"{beside.resolve()}{checkpoint}" if not here and path_exists(beside) else value


def _of_a_run(source: str) -> tuple[str, str]:
    """runs/NAME:best → runs/NAME and :best; anything else is a path as it is, without more."""
    found = re.fullmatch(r"(.+)(:(?:best|last|epoch-\d+))", source)
    return (found[1], found[2]) if found and not path_exists(Path(source)) else (source, "")


def path_exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the system, or with a NUL in it, exists nowhere
        return False
