"""An MMAction2 config file with everything it is based on, as plain data.

    config = read_config(Path("configs/recognition/tsn/tsn_r50.py"))
    config.values["model"]["cls_head"]["num_classes"]

Follows mmcv's and mmengine's rules of inheritance: `_base_` (a path or a list of them, relative to the file, or
"mmaction::recognition/…" in an installed package), `_base_.x` and `{{ _base_.x }}`, `_delete_`, and the newer
`with read_base(): from .other import *`. The text is parsed, never executed (see `python_data`).
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import RecipeError
from engine.mmaction.python_data import Imported, PythonData, Unread, merged, walk

_LARGEST_FILE = 1_000_000  # bytes; the largest of MMAction2's own has 30,000
_MOST_FILES = 100  # read for one config, each time it is named; MMAction2's own take up to 5
_LARGEST_CONFIG = 100_000  # values, with everything it is based on; MMAction2's largest has 2,000


@dataclass
class Config:
    """path: as it was given. values: what the file and its bases say. sources: the text of each file read, the config
    itself last. skipped: statements that are code."""

    path: Path
    values: dict[str, Any]
    sources: dict[Path, str] = field(default_factory=dict)
    skipped: list[Unread] = field(default_factory=list)
    files_read: int = 0


def read_config(path: Path, configs: Path | None = None) -> Config:
    """Read a config. configs: MMAction2's folder of configs, for bases that are not where the file says.

    Raises RecipeError.
    """
    config = Config(path, {})
    try:
        config.values = _read(config, path, configs, ())
        for number, _ in enumerate(walk(config.values)):
            if number > _LARGEST_CONFIG:
                raise RecipeError(
                    f"{path}: it comes to more than {_LARGEST_CONFIG:,} values; it is no ordinary config."
                )
    except (RecursionError, MemoryError):
        raise RecipeError(f"{path}: it is nested too deeply to be read.") from None
    config.values = _plain_names(config.values)
    return config


def _read(config: Config, path: Path, configs: Path | None, above: tuple[Path, ...]) -> dict[str, Any]:
    """The names that one file assigns, on top of its bases. above: the files that led here."""
    if path.resolve() in (other.resolve() for other in above):
        raise RecipeError(f"{above[-1]}: `_base_` goes in a circle: {' → '.join(p.name for p in [*above, path])}.")
    config.files_read += 1
    if config.files_read > _MOST_FILES:
        raise RecipeError(f"{config.path}: it is based on more than {_MOST_FILES} files; it is no ordinary config.")
    text = _text(path)
    statements = _parsed(path, text)
    bases = _base_names(path, statements)
    base = _together(path, [_read(config, _find(name, path, configs), configs, (*above, path)) for name in bases])
    data = PythonData(
        str(path),
        names={"_base_": base},
        placeholders=_places(path),
        read_module=lambda module: _read(config, _module(module, path), configs, (*above, path)),
    )
    data.read(statement for statement in statements if not _assigns_bases(statement))
    config.sources[path] = text
    config.skipped += data.skipped
    names = {
        name: value
        for name, value in data.names.items()
        if name != "_base_" and not name.startswith("__") and not isinstance(value, Imported)
    }
    data.charge(names)
    return merged(names, base)


def _text(path: Path) -> str:
    if path.suffix != ".py":
        raise RecipeError(f"{path}: an MMAction2 config is a .py file.")
    try:
        if not path.is_file():
            raise RecipeError(f"{path}: there is no such file.")
        if path.stat().st_size > _LARGEST_FILE:
            raise RecipeError(f"{path}: {path.stat().st_size:,} bytes are too many for a config.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file (byte {error.start} is not UTF-8).") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _parsed(path: Path, text: str) -> list[ast.stmt]:
    # {{$NAME:default}} stands for a variable of the environment; an import takes the default.
    text = re.sub(r"\{\{\s*\$\w+:\s*(\S*?)\s*\}\}", lambda found: found.group(1), text)
    try:
        return ast.parse(text, str(path)).body
    except SyntaxError as error:
        raise RecipeError(f"{path}:{error.lineno or 1}: not Python: {error.msg}.") from None
    except ValueError as error:  # a NUL
        raise RecipeError(f"{path}: not Python: {error}.") from None


# --- inheritance ------------------------------------------------------------------------------------------------------


def _assigns_bases(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_base_"


def _base_names(path: Path, statements: list[ast.stmt]) -> list[str]:
    """What `_base_ = …` names. It comes first in a config and is made of literals."""
    for statement in statements:
        if isinstance(statement, ast.Assign) and _assigns_bases(statement):
            named = PythonData(str(path), {}, _places(path)).value(statement.value)
            names = list(named) if isinstance(named, list | tuple) else [named]
            if not all(isinstance(name, str) for name in names):
                raise RecipeError(f"{path}:{statement.lineno}: `_base_` must name files, as a text or a list of texts.")
            return names
    return []


def _together(path: Path, bases: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for base in bases:
        if twice := sorted(result.keys() & base.keys()):
            raise RecipeError(f"{path}: two of the files it is based on both say `{twice[0]}`; MMAction2 refuses that.")
        result.update(base)
    return result


def _find(name: str, beside: Path, configs: Path | None) -> Path:
    """The file that a `_base_` means: beside the config, else below a folder of MMAction2's configs."""
    package, scoped, inside = name.rpartition("::")
    if not scoped and (path := _joined(beside.parent, name)).is_file():
        return path
    inside = re.sub(r"^(\.{0,2}/)*", "", inside)
    for root in _config_folders(beside, configs, package or "mmaction"):
        if (path := _joined(root, inside)).is_file():
            return path
    raise RecipeError(
        f"{beside}: it is based on {name}, which is not there; name the folder of MMAction2's configs with --configs."
    )


def _config_folders(beside: Path, configs: Path | None, package: str) -> Iterator[Path]:
    """Where a config's family may be: the folder that was named, a checkout around the file, an installed package."""
    if configs is not None:
        yield configs
        yield configs / "configs"
    for folder in beside.absolute().parents:
        if folder.name == "configs":
            yield folder
        yield folder / "configs"
    if package.isidentifier() and (found := importlib.util.find_spec(package)):  # looks for it, does not import it
        for place in found.submodule_search_locations or ():
            yield Path(place) / ".mim" / "configs"


def _module(module: str, beside: Path) -> Path:
    """The file of `from ..models.tsn_r50 import *`."""
    name = module.lstrip(".")
    folder = beside.parent
    for _ in range(len(module) - len(name) - 1):
        folder = folder / ".."
    return _joined(folder, name.replace(".", "/") + ".py")


def _joined(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / name))


def _places(path: Path) -> dict[str, str]:
    """mmcv's predefined variables, `{{ fileDirname }}` and so on."""
    return {
        "fileDirname": str(path.absolute().parent),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }


def _plain_names(value: Any) -> Any:
    """`type=TSNHead` with an imported class means the same as `type="TSNHead"`."""
    if isinstance(value, Imported):
        return value.name.rpartition(".")[2]
    if isinstance(value, dict):
        return {key: _plain_names(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain_names(held) for held in value)
    return value
