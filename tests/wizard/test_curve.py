"""The braille chart: what it draws, that nothing is lost in it, and that its cost does not grow with the run."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from wizard.widgets.braille import smoothed_spans, spans
from wizard.widgets.curve import Curve, Line
from wizard.widgets.scale import Scale, axis_end, nice_step, tick_texts
from wizard.widgets.series import Series

values = st.floats(-1e6, 1e6) | st.just(math.nan)


class Shown(App[None]):
    """One curve that fills the screen."""

    CSS = "Curve { width: 100%; height: 100%; }"

    def __init__(self, curve: Curve):
        super().__init__()
        self.curve = curve

    def compose(self) -> ComposeResult:
        yield self.curve

    def lines(self) -> list[str]:
        return ["".join(s.text for s in strip) for strip in self.screen._compositor.render_strips(self.screen.size)]


def series(points: list[float]) -> Series:
    made = Series()
    for index, y in enumerate(points):
        made.append(float(index), y)
    return made


def line(points: list[tuple[float, float]], marker: str = "") -> Line:
    made = Line("val" if marker else "train", marker)
    for x, y in points:
        made.points.append(x, y)
    return made


async def drawn(curve: Curve, width: int = 40, height: int = 12) -> list[str]:
    app = Shown(curve)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        return app.lines()


def dots(cell: str) -> int:
    return ord(cell) - 0x2800 if "⠀" <= cell <= "⣿" else 0


# --- series -----------------------------------------------------------------------------------------------------------


@given(st.lists(values, max_size=300), st.integers(0, 300), st.integers(0, 300))
def test_the_extent_of_any_stretch_is_its_lowest_and_highest_value(points, start, stop):
    start, stop = min(start, len(points)), min(stop, len(points))
    finite = [y for y in points[start:stop] if not math.isnan(y)]
    expected = (min(finite), max(finite)) if finite else None
    assert series(points).extent(start, stop) == expected


def test_the_extent_is_right_through_several_levels_of_the_pyramid():
    points = [math.sin(i * 0.7) * i for i in range(5000)]
    made = series(points)
    assert len(made.lows) >= 3
    for start, stop in ((0, 5000), (1, 4999), (31, 1025), (32, 1024), (1023, 1025), (4000, 4001)):
        assert made.extent(start, stop) == (min(points[start:stop]), max(points[start:stop]))


@given(st.lists(values, min_size=1, max_size=200), st.integers(-1, 200), st.lists(values, max_size=100))
def test_a_series_cut_and_continued_is_the_series_that_never_had_the_rest(points, last, more):
    cut = series(points)
    cut.cut_after(last)
    fresh = series(points[: last + 1])
    for made in (cut, fresh):
        for y in more:
            made.append(1000.0, y)
    assert cut.xs == fresh.xs and cut.lows == fresh.lows and cut.highs == fresh.highs
    assert cut.mean(0, 2000) == pytest.approx(fresh.mean(0, 2000), nan_ok=True)


@given(st.lists(values, max_size=100), st.floats(-10, 110), st.floats(0, 50))
def test_the_mean_of_a_stretch_is_that_of_its_finite_values(points, low, width):
    finite = [y for x, y in enumerate(points) if low <= x < low + width and not math.isnan(y)]
    mean = series(points).mean(low, low + width)
    assert mean == pytest.approx(sum(finite) / len(finite), abs=1e-6) if finite else math.isnan(mean)


# --- cost -------------------------------------------------------------------------------------------------------------


class Counting(array):
    """An array that counts how many of its numbers are looked at."""

    looked_at = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        Counting.looked_at += len(found) if isinstance(key, slice) else 1
        return found


def looks_for_a_drawing(points: int) -> int:
    made = series([math.sin(i / 50) for i in range(points)])
    made.xs = Counting("d", made.xs)
    made.lows = [Counting("d", level) for level in made.lows]
    made.highs = [Counting("d", level) for level in made.highs]
    Counting.looked_at = 0
    drawn_spans = list(spans(made, Scale(-1, 1, 40, False), float(points), 100))
    assert {column for column, _, _ in drawn_spans} == set(range(100))
    return Counting.looked_at


def test_a_drawing_looks_at_no_more_numbers_for_a_hundred_times_the_points():
    few, many = looks_for_a_drawing(2_000), looks_for_a_drawing(200_000)
    assert many < 6 * few
    assert many < 200_000 / 5


# --- spans ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.integers(1, 80))
def test_the_highest_and_lowest_point_of_each_column_are_drawn(points, columns):
    made, end = series(points), float(len(points))
    scale = Scale(0, 1, 64, False)
    rows: dict[int, list[int]] = {}
    for column, top, bottom in spans(made, scale, end, columns):
        assert 0 <= column < columns and top <= bottom
        rows.setdefault(column, []).extend((top, bottom))
    for index, y in enumerate(points):
        column = min(int(index / end * columns), columns - 1)
        near = [c for c in (column - 1, column, column + 1) if c in rows]
        assert any(min(rows[c]) <= round(scale.row(y)) <= max(rows[c]) for c in near)


def test_points_far_apart_are_joined_without_a_hole():
    found: dict[int, set[int]] = {}
    for column, top, bottom in spans(series([0.0, 1.0]), Scale(0, 1, 40, False), 1.0, 20):
        found.setdefault(column, set()).update(range(top, bottom + 1))
    assert sorted(found) == list(range(20))
    for left, right in zip(range(19), range(1, 20), strict=True):
        assert min(abs(a - b) for a in found[left] for b in found[right]) <= 1


def test_a_gap_in_the_values_is_a_gap_in_the_line():
    columns = {column for column, _, _ in spans(series([1, 1, math.nan, 1, 1.0]), Scale(0, 2, 8, False), 5.0, 50)}
    assert not columns & set(range(11, 30))
    assert set(range(0, 11)) <= columns and set(range(30, 40)) <= columns


def test_a_smoothed_line_is_calm_goes_up_where_its_points_do_and_does_not_lag():
    steps = [float(i >= 500) + (-1.0) ** i for i in range(1000)]
    found = {column: row for column, row, _ in smoothed_spans(series(steps), Scale(-1, 2, 31, False), 1000, 100, 20)}
    assert set(found) == set(range(100))
    assert {found[column] for column in range(47)} == {20} and {found[column] for column in range(53, 100)} == {10}
    assert 10 < found[49] < 20 or 10 < found[50] < 20


# --- axes -------------------------------------------------------------------------------------------------------------


@given(st.floats(1e-3, 1e6))
def test_the_axis_ends_a_little_beyond_the_last_point(x):
    assert x * (1 - 1e-6) <= axis_end(x, 0) <= 1.51 * x
    assert axis_end(x, x * 1.01) <= x * 1.01


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(1, 40))
def test_ticks_are_few_round_and_inside(low, width, rows):
    scale = Scale(low, low + width, rows * 4, False)
    ticks = scale.ticks()
    assert len(ticks) <= 8
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in ticks)
    texts = tick_texts(ticks)
    assert len(set(texts)) == len(texts)


def test_ticks_of_a_log_axis_are_decades_and_their_round_parts():
    assert Scale(0.009, 11, 40, True).ticks() == pytest.approx([0.01, 0.1, 1, 10])
    assert Scale(0.9, 6, 80, True).ticks() == [1, 2, 5]


def test_round_steps():
    assert [nice_step(x) for x in (0.9, 1.0, 1.1, 3, 7, 0.02)] == [1, 1, 2, 5, 10, 0.02]


# --- the widget -------------------------------------------------------------------------------------------------------


async def test_a_rising_line_character_by_character():
    curve = Curve("Loss", [line([(0, 0.0), (4, 4.0)])])
    curve.epochs = 4
    assert await drawn(curve, 24, 10) == [
        "╭─ Loss  ── 4.000 ─────╮",
        "│4┤                 ⡠⠔⠊│",
        "│ │             ⢀⠤⠒⠉   │",
        "│ │          ⣀⠔⠊⠁      │",
        "│2┤      ⢀⡠⠔⠉          │",
        "│ │   ⣀⠤⠒⠁             │",
        "│0┤⡠⠔⠊                 │",
        "│ └─────┴────┴────┴───┴│",
        "│  0         2        4│",
        "╰──────────────────────╯",
    ]


async def test_a_spike_among_ten_thousand_points_reaches_the_top():
    points = [(i / 1000, 9.0 if i == 6123 else 1.0) for i in range(1, 10_000)]
    lines = await drawn(Curve("Loss", [line(points)]), 60, 16)
    plot = [text[1:-1].partition("┤")[2] or text[1:-1].partition("│")[2] for text in lines[1:-3]]
    spiked = [column for column in range(len(plot[1])) if dots(plot[3][column])]
    assert len(spiked) == 1
    assert spiked[0] == pytest.approx(0.6123 * len(plot[1]), abs=1)


async def test_two_lines_differ_in_pattern_not_only_in_colour():
    train = line([(i / 10, 1.0) for i in range(1, 41)])
    val = line([(i, 3.0) for i in range(1, 5)], "●")
    curve = Curve("Loss", [train, val])
    curve.epochs = 4
    lines = await drawn(curve, 60, 14)
    assert "── train 1.000" in lines[0] and "·●· val 3.000" in lines[0]
    dotted = next(text for text in lines[1:] if "●" in text)
    assert dotted.count("●") == 4
    solid = max(lines[1:-3], key=lambda text: sum(map(bool, map(dots, text))))
    assert solid != dotted and sum(map(bool, map(dots, solid))) > 45


async def test_shares_are_percent_from_zero_and_chance_is_a_named_line():
    curve = Curve("Accuracy", [line([(1, 0.4), (2, 0.9)])], share=True)
    curve.level = ("chance", 0.25)
    text = "\n".join(await drawn(curve, 60, 16))
    assert "100%┤" in text and "  0%┤" in text
    assert "┄┄ chance 25.0 % ┄" in text
    assert "── train 90.0 %" in text


@pytest.mark.parametrize("points", [[], [(1.0, math.nan)]])
async def test_an_empty_curve_says_what_it_waits_for(points):
    assert "waiting for the first step" in "\n".join(await drawn(Curve("Loss", [line(points)])))


async def test_one_point_is_a_dot():
    lines = await drawn(Curve("Loss", [line([(0.5, 2.0)])]))
    assert sum(dots(cell).bit_count() for cell in "".join(lines)) == 1


async def test_a_constant_line_is_in_the_middle():
    lines = await drawn(Curve("Loss", [line([(i, 5.0) for i in range(1, 30)])]), 40, 13)
    rows = [number for number, text in enumerate(lines) if any(map(dots, text))]
    assert rows in ([5], [6])


async def test_a_log_axis_says_so_and_hides_what_it_cannot_show():
    curve = Curve("Loss", [line([(1, 100.0), (2, 0.0), (3, 0.01), (4, 0.01)])])
    curve.log_y = True
    lines = await drawn(curve, 70, 18)
    assert "(log)" in lines[0]
    assert any(" 10.0┤" in text or "10.00┤" in text for text in lines)
    all_below = Curve("Loss", [line([(1, -1.0), (2, 0.0)])])
    all_below.log_y = True
    assert "nothing above 0 for a log axis" in "\n".join(await drawn(all_below))


async def test_smoothing_draws_the_mean_over_a_thinned_raw_line():
    points = [(i / 20, 5.0 + (-1.0) ** i) for i in range(1, 201)]
    plain, smooth = Curve("Loss", [line(points)]), Curve("Loss", [line(points)])
    smooth.smooth = True
    before, after = await drawn(plain, 60, 16), await drawn(smooth, 60, 16)
    assert "train 6.000" in before[0] and "train 5.1" in after[0] and "(smooth)" in after[0]
    count = [sum(dots(cell).bit_count() for cell in "".join(lines)) for lines in (before, after)]
    assert count[1] < count[0] * 0.7


@pytest.mark.slow
async def test_the_reading_line_tells_the_values_there():
    curve = Curve("Loss", [line([(i, float(i)) for i in range(1, 11)])])
    curve.epochs = 10
    app = Shown(curve)
    async with app.run_test(size=(60, 14)) as pilot:
        curve.focus()
        await pilot.press("right")
        assert "epoch 10.00  ── train 10.00" in app.lines()[-1]
        await pilot.press(*["left"] * 27)
        assert "train 5.000" in app.lines()[-1]
        assert any("│" in text[10:-2] for text in app.lines()[1:-3])
        await pilot.press("escape")
        assert "epoch" not in app.lines()[-1]


async def test_the_mouse_reads_values_and_a_click_keeps_the_line():
    curve = Curve("Loss", [line([(i, float(i)) for i in range(1, 11)])])
    curve.epochs = 10
    app = Shown(curve)
    async with app.run_test(size=(60, 14)) as pilot:
        await pilot.hover(Curve, offset=(20, 5))
        assert "train 3.000" in app.lines()[-1]
        curve.on_leave()
        assert "epoch" not in app.lines()[-1]
        await pilot.click(Curve, offset=(20, 5))
        curve.on_leave()
        await pilot.hover(Curve, offset=(40, 5))
        assert "train 3.000" in app.lines()[-1]
        await pilot.click(Curve, offset=(40, 5))
        assert "train 7.000" in app.lines()[-1]


async def test_another_run_is_dashed_and_named():
    """Told apart without colour: the pattern, the ring, and a line of its own in the border."""
    ours = [line([(i, 8.0) for i in range(1, 11)]), line([(i, 7.0) for i in range(1, 11)], "●")]
    theirs = [line([(i, 3.0) for i in range(1, 11)]), line([(i, 2.0) for i in range(1, 11)], "○")]
    for each in theirs:
        each.of = "the-other-run"
    curve = Curve("Loss", [*ours, *theirs])
    curve.epochs = 10
    app = Shown(curve)
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause()
        lines = app.lines()
        assert "── train 8.000  ·●· val 7.000" in lines[0] and "3.000" not in lines[0]
        assert "the-other-run  ╌╌ train 3.000  ·○· val 2.000" in lines[-1]
        solid, dashed = sorted((text for text in lines[1:-3] if sum(map(bool, map(dots, text))) > 15), key=lines.index)[
            ::2
        ]
        assert sum(map(bool, map(dots, dashed))) < 0.7 * sum(map(bool, map(dots, solid)))
        curve.focus()
        await pilot.press("right")
        assert "epoch 10.00  ── 8.000  ·●· 7.000  ╌╌ 3.000  ·○· 2.000" in app.lines()[-1]


async def test_points_that_come_later_are_drawn_by_the_next_redraw():
    train = line([(1, 1.0)])
    curve = Curve("Loss", [train])
    app = Shown(curve)
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        train.points.append(2, 3.0)
        curve.redraw()
        await pilot.pause()
        assert "train 3.000" in app.lines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 3, 9, 20])
@pytest.mark.parametrize("height", [1, 3, 6, 9])
async def test_any_size_is_drawn_and_filled(width, height):
    train = line([(i / 10, math.exp(-i / 30)) for i in range(1, 100)])
    curve = Curve("Loss", [train, line([(i, 0.5) for i in range(1, 10)], "●")])
    curve.level = ("chance", 0.2)
    curve.cursor = 3.0
    app = Shown(curve)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.resize_terminal(40, 12)
        await pilot.resize_terminal(width, height)
        await pilot.pause()
        lines = app.lines()
        assert len(lines) == height and all(len(text) == width for text in lines)


def test_points_taken_in_at_once_are_those_taken_in_one_by_one() -> None:
    chance = random.Random(1)
    for sizes in ([1000], [31, 1, 1, 999, 32], [5] * 60, [1024, 0, 1]):
        one, many = Series(), Series()
        for size in sizes:
            xs = [len(one) + place for place in range(size)]
            ys = [chance.random() if chance.random() > 0.001 else math.nan for _ in xs]
            many.extend(xs, ys)
            for x, y in zip(xs, ys, strict=True):
                one.append(x, y)
        assert (many.xs, many.lows, many.highs) == (one.xs, one.lows, one.highs)
        assert many.mean(3, 700) == one.mean(3, 700)
        many.cut_after(100), one.cut_after(100)
        assert many.mean(3, 700) == one.mean(3, 700)
