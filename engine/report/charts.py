"""Line charts as SVG, which a page holds inside itself; colours come from the page. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 12, 38
MOST_POINTS = 400

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """style: its class in the page's style sheet. dots: a mark with its value at each point."""

    name: str
    style: str
    points: Points
    dots: bool = False


def line_chart(lines: Sequence[Line], x_name: str, words: Callable[[float], str], level: float | None = None) -> str:
    """An <svg>; "" where there is nothing to draw. words: how a value is written. level: a dashed line across."""
    thinned = [Line(line.name, line.style, thin(line.points), line.dots) for line in lines]
    points = [point for line in thinned for point in line.points]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points] + ([] if level is None else [level])
    x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs), 6), ticks(min(ys), max(ys), 5)
    across = _scale(min(0.0, *xs), max(xs), LEFT, WIDTH - RIGHT)
    down = _scale(min(*ys, y_ticks[0]), max(*ys, y_ticks[-1]), HEIGHT - BOTTOM, TOP)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(", ".join(_said(lines)))}">']
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
        )
        parts.append(f'<text class="tick end" x="{LEFT - 8}" y="{down(tick) + 4:.1f}">{escape(words(tick))}</text>')
    for tick in x_ticks:
        parts.append(f'<text class="tick middle" x="{across(tick):.1f}" y="{HEIGHT - BOTTOM + 18}">{tick:g}</text>')
    parts.append(f'<text class="tick end" x="{WIDTH - RIGHT}" y="{HEIGHT - 3}">{escape(x_name)}</text>')
    if level is not None:
        at = f"{down(level):.1f}"
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
    for line in thinned:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="{line.style}" points="{path}"/>')
        for x, y in line.points if line.dots else []:
            said = escape(f"{line.name}: {words(y)} ({x_name} {x:g})")
            place = f'cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.2"'
            parts.append(f'<circle class="{line.style}" {place}><title>{said}</title></circle>')
    return "".join([*parts, "</svg>"])


def thin(points: Points) -> Points:
    """Many points as the means of so many stretches; what is no finite number is left out."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) <= MOST_POINTS:
        return finite
    edges = [round(place * len(finite) / MOST_POINTS) for place in range(MOST_POINTS + 1)]
    stretches = [finite[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in stretches]


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from at or below `low` to at or below `high`, at most `most` steps of 1, 2 or 5 times a power."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * times for times in (1, 2, 5, 10, 20) if span / (power * times) <= most)
    first = math.floor(low / step + 1e-9)
    last = max(math.floor(high / step + 1e-9), first + 1)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _said(lines: Sequence[Line]) -> list[str]:
    return [f"{line.name} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines if line.points]
