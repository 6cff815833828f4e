"""Axes: where they end, where their marks stand, and which row of dots a value falls on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

NICE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # where an axis may end, times a power of ten


@dataclass(frozen=True)
class Scale:
    """Maps values to rows of dots, row 0 on top."""

    low: float
    high: float
    rows: int
    log: bool

    def row(self, value: float) -> float:
        if self.log:
            if value <= 0:
                return math.nan
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return (1 - share) * (self.rows - 1)

    def ticks(self) -> list[float]:
        """Round values inside the scale, about one every two lines of text, six at most."""
        room = min(max(self.rows // 4 // 2, 1), 6)
        if self.log:
            return _log_ticks(self.low, self.high, room + 1)
        step = nice_step((self.high - self.low) / room)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def axis_end(x: float, limit: float) -> float:
    """A round number at or a little beyond x, so that the axis stays put while the line grows; at most `limit`."""
    if x <= 0:
        return limit or 1.0
    power = 10.0 ** math.floor(math.log10(x))
    end = next(factor * power for factor in (*NICE, 15.0) if factor * power >= x * (1 - 1e-9))
    return min(end, limit) if limit >= x else end


def nice_step(size: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= size * (1 - 1e-9))


def _log_ticks(low: float, high: float, room: int) -> list[float]:
    """Round values on a log axis: 1, 2 and 5 of each decade where that fits, else the decades, else some of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        ticks = [factor * 10.0**decade for decade in decades if decade % every == 0 for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= max(room, 2) and ticks:
            return ticks
    return [math.sqrt(low * high)]


def tick_texts(ticks: list[float]) -> list[str]:
    """All ticks with as many places as the finest needs."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    if largest >= 1e5 or 0 < largest < 1e-3:
        return [f"{tick:.0e}".replace("e-0", "e-").replace("e+0", "e") if tick else "0" for tick in ticks]
    smallest = min((abs(a - b) for a, b in pairwise(ticks)), default=largest)
    places = min(max(-math.floor(math.log10(smallest) + 1e-9), 0), 6) if smallest else 0
    return [f"{tick:.{places}f}" for tick in ticks]
