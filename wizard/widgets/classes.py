"""Accuracy of each class in the last validation, the weakest first, and what is mistaken for what.

Where a clip has several classes, the average precision of each takes its place, and nothing is mistaken.
"""

from __future__ import annotations

import math

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.events import Validation
from wizard.words import cut, percent, printable

PAIRS = 5
WEAK = 0.5  # classes below this accuracy are drawn as a warning


class ClassAccuracy(ScrollView, can_focus=True):
    """Scrolls through any number of classes; only the visible lines are drawn."""

    DEFAULT_CSS = """
    ClassAccuracy {
        & > .classes--label { color: $foreground 60%; }
        & > .classes--bar { color: $primary; }
        & > .classes--weak { color: $warning; }
        & > .classes--text { color: $foreground; }
    }
    """
    COMPONENT_CLASSES = {"classes--label", "classes--bar", "classes--weak", "classes--text"}  # noqa: RUF012

    def __init__(self, id: str | None = None):
        super().__init__(id=id)
        self._confused: list[tuple[str, str, int]] = []
        self._accuracies: list[tuple[str, float]] = []
        self._heading = "told by the first validation"

    def show(self, classes: list[str], validation: Validation) -> None:
        """The result of a validation; classes without a clip come last."""

        def name(index: int) -> str:
            return printable(classes[index]) if 0 <= index < len(classes) else f"class {index}"

        mean, several = validation.mean_class_accuracy, validation.mean_average_precision
        is_precision = math.isnan(mean) and not math.isnan(several)
        said = f"average precision, mean {percent(several)}" if is_precision else f"mean over classes {percent(mean)}"
        self._heading = f"epoch {validation.epoch}: {said}"
        self._confused = [
            (name(int(true)), name(int(predicted)), int(clips))
            for true, predicted, clips in validation.confused[:PAIRS]
        ]
        named = [(name(index), accuracy) for index, accuracy in enumerate(validation.per_class)]
        self._accuracies = sorted(named, key=lambda pair: (math.isnan(pair[1]), pair[1]))
        self._measure()
        self.refresh()

    def on_resize(self) -> None:
        self._measure()

    def _measure(self) -> None:
        pairs = len(self._confused) + 1 if self._confused else 0
        self.virtual_size = Size(self.scrollable_content_region.width, 1 + pairs + len(self._accuracies))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        segments = self._line(y + self.scroll_offset.y, width)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _line(self, index: int, width: int) -> list[Segment]:
        label, bar, weak, text = (
            self.get_component_rich_style(f"classes--{part}") for part in ("label", "bar", "weak", "text")
        )
        if index == 0:
            return [Segment(cut(self._heading, width), label)]
        index -= 1
        if self._confused:
            if index == 0:
                return [Segment(cut("most often mistaken (true → taken for):", width), label)]
            if index <= len(self._confused):
                return [Segment(_pair(*self._confused[index - 1], width), text)]
            index -= len(self._confused) + 1
        if index >= len(self._accuracies):
            return []
        name, accuracy = self._accuracies[index]
        name_width = min(max(cell_len(name) for name, _ in self._accuracies), max(width // 2 - 4, 4))
        bar_width = max(width - name_width - 10, 0)
        shown = cut(name, name_width)
        shown += " " * (name_width - cell_len(shown))
        if math.isnan(accuracy):
            return [Segment(f"{shown}  ", text), Segment("no clip", label)]
        filled, half = divmod(round(accuracy * bar_width * 2), 2)
        drawn = ("━" * filled + "╸" * half).ljust(bar_width)
        style = weak if accuracy < WEAK else bar
        return [Segment(f"{shown} ", text), Segment(drawn, style), Segment(f" {percent(accuracy):>7}", text)]


def _pair(true: str, predicted: str, clips: int, width: int) -> str:
    """Both names shortened alike, where they must be."""
    figure = f"{clips:>4}× "
    room = max(width - len(figure) - 3, 2)
    if cell_len(true) + cell_len(predicted) > room:
        half = room // 2
        true = cut(true, max(half, room - cell_len(predicted)))
        predicted = cut(predicted, room - cell_len(true))
    return f"{figure}{true} → {predicted}"
