"""A part of a config that remembers which of its keys were read, so that nothing is left out without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.python_data import Unread

_MOST = 10**12  # nothing that a config counts or measures is larger; infinity and its like are no numbers here


class Section:
    """A dict of the config. path: what messages call it, such as "model.backbone"; values: None where it is missing."""

    def __init__(self, values: Any, path: str, draft: Draft):
        self.values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}
        self.path = path
        self.draft = draft
        self._parts: dict[str, Section | list[Section]] = {}
        self._taken: set[str] = set()
        if isinstance(values, Unread):
            draft.leave_out(path, f"it is code, which an import does not run ({values})")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def take(self, key: str, default: Any = None) -> Any:
        """The value of a key, which counts as read from now on. `default` where it is missing, None or code."""
        self._taken.add(key)
        value = self.values.get(key)
        if isinstance(value, Unread):
            self.draft.leave_out(self.name(key), f"it is code, which an import does not run ({value})")
            return default
        return default if value is None else value

    def number(self, key: str, default: float | None = None) -> Any:
        """Like `take`, where only a number makes sense."""
        return self._of_kind(key, default, _is_number, "a number")

    def whole(self, key: str, default: int | None = None) -> Any:
        """Like `take`, where only a whole number makes sense."""
        return self._of_kind(key, default, _is_whole, "a whole number")

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> list[Any]:
        """Like `take`, where only a list of numbers makes sense."""
        return list(self._of_kind(key, default, _are_numbers, "a list of numbers"))

    def size(self, key: str, default: Any = None) -> Any:
        """Like `take`, where only one number or two make sense: 224, or (224, 224)."""
        fits = self._of_kind(key, default, lambda value: _is_whole(value) or _are_two(value), "a size")
        return tuple(fits) if isinstance(fits, list) else fits

    def _of_kind(self, key: str, default: Any, fits: Callable[[Any], bool], kind: str) -> Any:
        value = self.take(key, default)
        if value is default or fits(value):
            return value
        self.draft.leave_out(f"{self.name(key)} = {value!r}", f"it is not {kind}")
        return default

    def kind(self) -> str:
        """The `type`, without the package it comes from: "mmaction.ResNet" is "ResNet". One short line, whatever it
        is."""
        kind = str(self.take("type", "")).removeprefix("mmaction.")
        return "".join(letter if letter.isprintable() else " " for letter in kind)[:80]

    def expect(self, key: str, *usual: Any, missing: Any = None, why: str = "") -> None:
        """A key that ftwiz has no choice of: fine where it has a usual value. missing: what MMAction2 takes where the
        config is silent, if that is not the first usual value."""
        if key in self._taken:
            return
        value = self.take(key, usual[0] if missing is None else missing)
        if not any(_same(value, fine) for fine in usual):
            self.draft.leave_out(f"{self.name(key)} = {value!r}", why or f"it is always {usual[0]!r} here")

    def without_influence(self, *keys: str) -> None:
        """Keys that change nothing about what is learnt."""
        self._taken.update(keys)

    def part(self, key: str, called: str = "") -> Section:
        """A dict inside this one."""
        if key not in self._parts:
            self._taken.add(key)
            self._parts[key] = Section(self.values.get(key), called or self.name(key), self.draft)
        part = self._parts[key]
        assert isinstance(part, Section)
        return part

    def parts(self, key: str, called: str = "") -> list[Section]:
        """A list of dicts inside this one; a single dict counts as a list of one. called: what each is called, where
        its type does not say enough."""
        if key not in self._parts:
            self._taken.add(key)
            held = self.values.get(key)
            items = held if isinstance(held, list | tuple) else [] if held is None else [held]
            self._parts[key] = [
                Section(item, f"{called}{_kind_of(item) or self.name(key)}", self.draft) for item in items
            ]
        parts = self._parts[key]
        assert isinstance(parts, list)
        return parts

    def name(self, key: str) -> str:
        """What messages call a key."""
        return f"{self.path}.{key}" if self.path else key

    def source(self, key: str) -> str:
        """Where a value comes from that has a default: the key, or that there is none."""
        return self.name(key) if key in self else f"no {self.name(key)}"

    def untaken(self) -> Iterator[tuple[str, Any]]:
        """The keys that nobody read, with their values."""
        for key, value in self.values.items():
            if key not in self._taken and value is not None:
                yield self.name(key), value
            part = self._parts.get(key, [])
            for section in [part] if isinstance(part, Section) else part:
                yield from section.untaken()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_is_number(number) for number in value)


def _are_two(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(_is_whole(number) for number in value)


def _kind_of(item: Any) -> str:
    kind = item.get("type", "") if isinstance(item, Mapping) else ""
    return str(kind).removeprefix("mmaction.")


def _same(value: Any, other: Any) -> bool:
    """Lists and tuples mean the same in a config."""
    return bool(_with_tuples(value) == _with_tuples(other))


def _with_tuples(value: Any) -> Any:
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list | tuple) else value
