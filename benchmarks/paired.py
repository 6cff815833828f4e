"""Two pieces of work timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """time of A / time of B, pair by pair."""

    median: float
    lowest: float
    highest: float
    a_ms: float  # median time of A

    def __str__(self) -> str:
        return f"{self.median:.2f} (lowest {self.lowest:.2f}, highest {self.highest:.2f}; A takes {self.a_ms:.1f} ms)"


def compare(a: Callable[[], object], b: Callable[[], object], pairs: int = 15) -> Ratio:
    """Run A and B once unmeasured, then `pairs` times in turn."""
    a(), b()
    times = [(_seconds(a), _seconds(b)) for _ in range(pairs)]
    ratios = [first / second for first, second in times]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), 1000 * statistics.median(t[0] for t in times))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
