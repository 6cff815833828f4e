"""`ftwiz show --origin`: a resolved recipe with the place that each value came from."""

from __future__ import annotations

from engine.recipe import Resolved, document_of, to_toml


def with_origins(resolved: Resolved) -> str:
    """TOML text, each value followed by a comment that names its origin."""
    lines: list[tuple[str, str]] = []
    table = ""
    for line in _one_line_a_value(resolved):
        if line.startswith("["):
            table = line.strip("[]")
        key = line.partition(" = ")[0]
        lines.append((line, resolved.origins.get(f"{table}.{key}" if table else key, "")))
    width = min(60, max(len(line) for line, origin in lines if origin))
    return "".join(f"{line:<{width}}  # {origin}\n" if origin else f"{line}\n" for line, origin in lines)


def _one_line_a_value(resolved: Resolved) -> list[str]:
    """tomli_w spreads arrays over lines; joined again, so that a comment can stand behind each value."""
    joined: list[str] = []
    inside = False
    for line in to_toml(document_of(resolved.recipe)).splitlines():
        if inside:
            joined[-1] += line.strip() if line == "]" else f"{line.strip()} "
            inside = line != "]"
        else:
            joined.append(line)
            inside = line.endswith("= [")
    return [line.replace(", ]", "]") for line in joined]
