"""What is wrong with a recipe, in one sentence a key: pydantic's findings in the words of a TOML file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from engine.recipe.tables import TABLES


def sentences_of(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """Pydantic's findings as one sentence a key. A union ("auto" or a number) reports a finding a branch: join them."""
    by_key: dict[tuple[str, ...], list[Any]] = {}
    for finding in error.errors():
        by_key.setdefault(tuple(str(part) for part in finding["loc"][:2]), []).append(finding)
    return [_sentence(loc, findings, origins) for loc, findings in by_key.items()]


def _sentence(loc: tuple[str, ...], findings: list[Any], origins: Mapping[str, str]) -> str:
    where = origins.get(".".join(loc), "the recipe")
    kinds = {finding["type"] for finding in findings}
    if kinds == {"extra_forbidden"}:
        return f"{where}: {_unknown(loc)}"
    name = f"[{loc[0]}] {loc[1]}" if len(loc) == 2 else loc[0]
    if kinds == {"value_error"}:
        return f"{where}: {name} is {shown(findings[0]['input'])}: {findings[0]['ctx']['error']}."
    if isinstance(findings[0]["loc"][-1], int):
        name = f"every item of {name}"
    wanted = " or ".join(dict.fromkeys(_wanted(finding) for finding in findings))
    sentence = f"{where}: {name} must be {wanted}, not {shown(findings[0]['input'])}"
    if "literal_error" in kinds and isinstance(findings[0]["input"], str):
        choices = re.findall(r"'([^']*)'", " ".join(str(f.get("ctx", {}).get("expected", "")) for f in findings))
        if close := nearest(findings[0]["input"], choices):
            sentence += f'; did you mean "{close}"?'
            return sentence
    return sentence + "."


def _unknown(loc: tuple[str, ...]) -> str:
    if len(loc) == 1:
        known = [*TABLES, "name", "extends"]
        close = nearest(loc[0], known)
        for table, model in TABLES.items():
            if loc[0] in model.model_fields:
                return f"{loc[0]} stands outside a table; it belongs under [{table}]."
        hint = f"did you mean [{close}]?" if close else f"the tables are {', '.join(f'[{t}]' for t in TABLES)}."
        return f"[{loc[0]}] is not a table of a recipe; {hint}"
    table, key = loc
    for other, model in TABLES.items():
        if key in model.model_fields:
            return f"[{table}] {key} is not a known key here; it belongs under [{other}]."
    known = list(TABLES[table].model_fields)
    close = nearest(key, known)
    hint = f"did you mean {close}?" if close else f"[{table}] has {', '.join(known)}."
    return f"[{table}] {key} is not a known key; {hint}"


_TYPES = {
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "string_type": "text in quotes",
    "tuple_type": "a list in [brackets]",
    "finite_number": "a finite number", "model_type": "a table", "model_attributes_type": "a table",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("above", "gt"), "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"), "less_than_equal": ("at most", "le"),
}  # fmt: skip
_PATTERNS = {"device": "auto, cpu, mps, cuda or cuda:N", "freeze": "none, stem, stages:N or backbone"}


def _wanted(finding: Any) -> str:
    kind, context = finding["type"], finding.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        bound = context[key]
        return f"{words} {bound:g}" if isinstance(bound, float) else f"{words} {bound}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    if kind == "string_pattern_mismatch":
        return _PATTERNS[finding["loc"][-1]]
    return str(finding["msg"])


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(list(value) if isinstance(value, tuple) else value)
    text = text if len(text) <= 80 else f"{text[:79]}…"
    return f'the text "{text}"' if isinstance(value, str) else text


def nearest(word: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), "")
