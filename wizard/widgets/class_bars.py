"""A bar a class: how many clips there are to learn from, and how many to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

TRAIN, VAL = "█", "▒"


@dataclass(frozen=True)
class ClassCount:
    """Clips of a class."""

    name: str
    train: int
    val: int


class ClassBars(Widget):
    """As high as there are classes; put it where it can scroll."""

    DEFAULT_CSS = """
    ClassBars { height: auto; width: 1fr; }
    """
    LONGEST_NAME = 28

    counts: reactive[Sequence[ClassCount]] = reactive((), layout=True)

    def render(self) -> Content:
        return Content("\n").join(bar_lines(self.counts, self.size.width))


def bar_lines(counts: Sequence[ClassCount], width: int) -> list[Content]:
    """A line a class, `width` cells wide: name, bar, numbers. Bars share one scale; a clip is never invisible."""
    if not counts:
        return []
    numbers = [f"{count.train:,} + {count.val:,}" if count.val else f"{count.train:,}" for count in counts]
    number_width = max(map(len, numbers))
    name_width = min(max(cell_len(count.name) for count in counts), ClassBars.LONGEST_NAME, max(8, width // 3))
    room = max(4, width - name_width - number_width - 3)
    longest = max(max(count.train + count.val for count in counts), 1)
    lines = []
    for count, number in zip(counts, numbers, strict=True):
        train, val = (_length(clips, longest, room) for clips in (count.train, count.val))
        train = min(train, room - val)
        lines.append(
            Content.assemble(
                _fitted(count.name, name_width),
                "  ",
                (TRAIN * train, "$primary"),
                (VAL * val, "$accent"),
                " " * (room - train - val + 1),
                (f"{number:>{number_width}}", "$foreground 60%"),
            )
        )
    return lines


def _length(clips: int, longest: int, room: int) -> int:
    return max(1, round(clips / longest * room)) if clips else 0


def _fitted(name: str, width: int) -> str:
    """The name in exactly so many cells, cut with an ellipsis where it is longer; wide characters count two."""
    name = "".join(letter if letter.isprintable() else "·" for letter in name)
    return set_cell_size(name, width) if cell_len(name) <= width else set_cell_size(name, width - 1) + "…"
