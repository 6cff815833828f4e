"""Lines as dots: eight to a character, each character in the style of the line that came last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from wizard.widgets.scale import Scale
from wizard.widgets.series import Series

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # bits by column and row of dots
BLANK = 0x2800
EVERY_OTHER_ROW_OF_LEFT_DOTS = 0x05
SOLID, DASHED, DOTTED = (1, 1), (4, 8), (1, 3)  # columns of dots that are drawn, of how many


class Canvas:
    """A grid of braille characters. A style is any number above 0; 0 is nobody's."""

    def __init__(self, columns: int, rows: int):
        self.columns, self.rows = columns, rows
        self.dots = [bytearray(columns) for _ in range(rows)]
        self.styles = [bytearray(columns) for _ in range(rows)]

    def draw(
        self, spans: Iterable[tuple[int, int, int]], style: int, pattern: tuple[int, int] = SOLID, behind: int = 0
    ) -> None:
        """Set the dots of (column, top row, bottom row). Styles up to `behind` give way instead of mixing in.

        pattern: so many columns of dots, of so many.
        """
        drawn, period = pattern
        for column, top, bottom in spans:
            if column % period >= drawn:
                continue
            cell, side = column // 2, DOTS[column % 2]
            for row in range(max(top, 0), min(bottom, self.rows * 4 - 1) + 1):
                dots, styles = self.dots[row // 4], self.styles[row // 4]
                if styles[cell] and styles[cell] <= behind:
                    dots[cell] = 0
                dots[cell] |= side[row % 4]
                styles[cell] = style

    def thin(self) -> None:
        """Leave a quarter of the dots drawn so far: background even where there is no colour."""
        for dots in self.dots:
            for cell in range(self.columns):
                dots[cell] &= EVERY_OTHER_ROW_OF_LEFT_DOTS

    def character(self, row: int, cell: int) -> str:
        """The braille character; empty where no dot is set."""
        return chr(BLANK + self.dots[row][cell]) if self.dots[row][cell] else ""


def spans(series: Series, scale: Scale, end: float, columns: int) -> Iterator[tuple[int, int, int]]:
    """The dots of a line: (column, top row, bottom row), joined from column to column, open at gaps.

    `end` is the x at the right edge. At most two spans a column, however many points there are.
    """
    before: tuple[int, float] | None = None  # the last dot of the line so far
    start, total = 0, len(series)
    while start < total:
        column = _column(series.xs[start], end, columns)
        stop = series.index_after((column + 1) / columns * end, start) if column < columns - 1 else total
        stop = max(stop, start + 1)
        first, last = scale.row(series.value(start)), scale.row(series.value(stop - 1))
        if before and not math.isnan(first):
            yield from _joint(before, (column, first))
        if extent := series.extent(start, stop):
            high, low = scale.row(extent[1]), scale.row(extent[0])
            if not math.isnan(high):
                yield column, round(high), scale.rows - 1 if math.isnan(low) else round(low)
        before = None if math.isnan(last) else (column, last)
        start = stop


def smoothed_spans(
    series: Series, scale: Scale, end: float, columns: int, reach: float
) -> Iterator[tuple[int, int, int]]:
    """Like `spans`, for the mean of all values at most `reach` away: unlike a running average it does not lag."""
    before: tuple[int, float] | None = None
    if not len(series):
        return
    for column in range(_column(series.xs[0], end, columns), _column(series.xs[-1], end, columns) + 1):
        x = (column + 0.5) / columns * end
        row = scale.row(series.mean(x - reach, x + reach))
        if not math.isnan(row):
            yield from _joint(before or (column, row), (column, row))
            before = column, row


def _column(x: float, end: float, columns: int) -> int:
    return min(int(x / end * columns), columns - 1)


def _joint(left: tuple[int, float], right: tuple[int, float]) -> Iterator[tuple[int, int, int]]:
    """The straight line between two dots, as spans that touch each other."""
    width = right[0] - left[0]
    slope = (right[1] - left[1]) / width if width else 0.0
    for column in range(left[0], right[0] + 1):
        middle = left[1] + slope * (column - left[0])
        if abs(slope) <= 1:
            yield column, round(middle), round(middle)
        else:
            reach = abs(slope) / 2
            top, bottom = min(left[1], right[1]), max(left[1], right[1])
            yield column, round(max(middle - reach, top)), round(min(middle + reach, bottom))
