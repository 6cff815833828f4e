"""An imported config as the text of a recipe, and what a person should know about it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from engine.atomic import write_text
from engine.errors import RecipeError
from engine.mmaction.recipe import Import
from engine.recipe import document_of
from wizard.recipe_text import SOMEBODY_ELSES, in_the_preset, recipe_text
from wizard.words import count, printable, quoted

_WIDTH = 118


def text(found: Import) -> str:
    """The recipe: what differs from the preset, where each value comes from, and at the end what was left out."""
    recipe = recipe_text(found.preset, found.base, found.changes, _remarks(found), _header(found))
    return recipe + "".join(f"{line}\n" for line in _footer(found))


def write(found: Import, path: Path) -> None:
    """Write the recipe to a file that does not exist yet. Raises RecipeError."""
    if path.exists() or path.is_symlink():
        raise RecipeError(f"{path} exists already; choose another name with -o, or remove it first.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text(found))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written: {error.strerror}.") from None


def document(found: Import) -> dict[str, Any]:
    """For --json: the whole recipe, where its values come from, and what was left out."""
    return {
        "config": str(found.config.path),
        "edition": found.edition,
        "preset": found.preset or None,
        "recipe": document_of(found.recipe),
        "sources": found.sources,
        "guesses": found.guesses,
        "left_out": found.left_out,
    }


def summary(found: Import, path: Path | None) -> str:
    """What happened, for stderr."""
    lines = [f"Read {_files(found)}; the recipe extends {found.preset}." if found.preset else f"Read {_files(found)}."]
    if found.guesses:
        lines += ["Guessed:", *(f"- {printable(guess)}" for guess in found.guesses)]
    if found.left_out:
        lines += ["Not carried over:", *(f"- {printable(sentence)}" for sentence in found.left_out)]
    else:
        lines.append("Everything was carried over.")
    if path is not None:
        lines.append(f"Wrote {path}. Look at all of it with: ftwiz show {quoted(path)}")
    return "\n".join(lines)


def _header(found: Import) -> list[str]:
    lines = [f"Imported by `ftwiz import` from {_files(found)}. Beside each value: where it stands there."]
    if found.preset:
        lines.append("What this file does not say, the preset does: `ftwiz show` with its name spells everything out.")
    if found.left_out:
        lines.append("What could not be carried over is listed at the end.")
    return [f"# {part}" for line in lines for part in textwrap.wrap(printable(line), _WIDTH)]


def _files(found: Import) -> str:
    bases = len(found.config.sources) - 1
    more = f" and {count(bases, 'file')} it is based on" if bases else ""
    return f"{found.config.path.name}{more} (MMAction2 {found.edition})"


def _remarks(found: Import) -> dict[str, str]:
    """ "table.key" → where the value comes from, and what the preset says instead."""
    remarks = {}
    for key, source in found.sources.items():
        table, name = key.split(".")
        differs = getattr(getattr(found.recipe, table), name) != getattr(getattr(found.base, table), name)
        compared = found.preset and differs and key not in SOMEBODY_ELSES
        before = in_the_preset(found.base, table, name) if compared else ""
        remarks[key] = printable("; ".join(part for part in (source, before) if part not in ("", name)))
    return remarks


def _footer(found: Import) -> list[str]:
    if not found.left_out:
        return []
    lines = ["", f"# Not carried over from {printable(found.config.path.name)}:"]
    for sentence in found.left_out:
        lines += textwrap.wrap(printable(sentence), _WIDTH, initial_indent="# - ", subsequent_indent="#   ")
    return lines
