"""Numbers over a rising x, kept so that drawing them costs the same for a hundred points and for a million."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, islice


class Series:
    """Points appended in the order of x. The lowest and highest value of any stretch are found by a pyramid.

    Level 0 holds the points; each entry of the next level stands for FAN entries of the one below. A value that is not
    finite is a gap: +inf among the lows and -inf among the highs, so that it never wins.
    """

    FAN = 32

    def __init__(self) -> None:
        self.xs = array("d")
        self.lows = [array("d")]
        self.highs = [array("d")]
        # Of all finite values before a point, and how many those are; filled in when a mean is asked for.
        self._sums = array("d", [0.0])
        self._counts = array("q", [0])

    def __len__(self) -> int:
        return len(self.xs)

    def append(self, x: float, y: float) -> None:
        finite = math.isfinite(y)
        self.xs.append(x)
        self.lows[0].append(y if finite else math.inf)
        self.highs[0].append(y if finite else -math.inf)
        level, size = 0, len(self.xs)
        while size % self.FAN == 0:
            self._sum_up(level, size - self.FAN, size)
            level, size = level + 1, size // self.FAN

    def extend(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Append many points at once."""
        if not math.isfinite(sum(ys)):  # a value is not, or they are huge
            for x, y in zip(xs, ys, strict=True):
                self.append(x, y)
            return
        values = ys if isinstance(ys, array) else array("d", ys)
        before = len(self)
        self.xs.extend(xs)
        self.lows[0].extend(values)
        self.highs[0].extend(values)
        level, size = 0, len(self)
        while before // self.FAN < size // self.FAN:
            before, size = before // self.FAN, size // self.FAN
            self._sum_up(level, before * self.FAN, size * self.FAN)
            level += 1

    def value(self, index: int) -> float:
        """The point's y; NaN at a gap."""
        y = self.lows[0][index]
        return y if math.isfinite(y) else math.nan

    def extent(self, start: int = 0, stop: int | None = None) -> tuple[float, float] | None:
        """Lowest and highest value of points start..stop; None where all of them are gaps."""
        stop = len(self) if stop is None else stop
        low, high, level = math.inf, -math.inf, 0
        while start < stop:
            first, last = -(-start // self.FAN), stop // self.FAN
            if first >= last:
                pieces = [(start, stop)]
                first = last = 0
            else:
                pieces = [(start, first * self.FAN), (last * self.FAN, stop)]
            for begin, end in pieces:
                if begin < end:
                    low = min(low, min(self.lows[level][begin:end]))
                    high = max(high, max(self.highs[level][begin:end]))
            start, stop, level = first, last, level + 1
        return (low, high) if low <= high else None

    def mean(self, low: float, high: float) -> float:
        """Mean of the values with low <= x < high; NaN where there is none."""
        self._add_up()
        start, stop = self.index_after(low), self.index_after(high)
        count = self._counts[stop] - self._counts[start]
        return (self._sums[stop] - self._sums[start]) / count if count else math.nan

    def index_after(self, x: float, start: int = 0) -> int:
        """The first point at or beyond x."""
        return bisect_left(self.xs, x, start)

    def nearest(self, x: float) -> int:
        """The point closest to x, of at least one."""
        after = min(bisect_left(self.xs, x), len(self) - 1)
        before = max(after - 1, 0)
        return before if x - self.xs[before] < self.xs[after] - x else after

    def cut_after(self, x: float) -> None:
        """Forget the points beyond x: a run that goes on from a checkpoint takes them back."""
        size = bisect_right(self.xs, x)
        del self.xs[size:], self._sums[size + 1 :], self._counts[size + 1 :]
        for lows, highs in zip(self.lows, self.highs, strict=True):
            del lows[size:], highs[size:]
            size //= self.FAN

    def _add_up(self) -> None:
        new = self.lows[0][len(self._sums) - 1 :]
        finite = [y if math.isfinite(y) else 0.0 for y in new]
        self._sums.extend(islice(accumulate(finite, initial=self._sums[-1]), 1, None))
        self._counts.extend(islice(accumulate(map(math.isfinite, new), initial=self._counts[-1]), 1, None))

    def _sum_up(self, level: int, start: int, stop: int) -> None:
        """Append full blocks of a level, start..stop, to the one above."""
        if len(self.lows) == level + 1:
            self.lows.append(array("d"))
            self.highs.append(array("d"))
        for levels, best in ((self.lows, min), (self.highs, max)):
            values = iter(levels[level][start:stop].tolist())
            levels[level + 1].extend(map(best, zip(*[values] * self.FAN, strict=True)))
