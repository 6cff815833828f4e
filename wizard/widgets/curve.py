"""A line chart drawn in braille dots: a few series over the epochs of a run.

Every redraw asks each series for the lowest and highest value of each column of dots, so spikes stay visible and the
cost depends on the size of the widget, never on the number of points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from wizard.widgets.braille import Canvas, smoothed_spans, spans
from wizard.widgets.scale import Scale, axis_end, nice_step, tick_texts
from wizard.widgets.series import Series
from wizard.words import cut, number, percent

SMOOTHING = 0.03  # of the axis, to either side of a point: what a smoothed line is the mean of
COLORS = ("$primary", "$accent")  # of the first and the second line, as in the style sheet below


@dataclass
class Line:
    """One curve. A solid line has no marker; a dotted one shows `marker` at its points, so colour is not needed."""

    name: str
    marker: str = ""
    points: Series = field(default_factory=Series)


class Curve(Widget, can_focus=True):
    """A chart with axes, its title and the last values in the border."""

    DEFAULT_CSS = """
    Curve {
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        & > .curve--axis { color: $foreground 45%; }
        & > .curve--label { color: $foreground 70%; }
        & > .curve--faint { color: $foreground 30%; }
        & > .curve--line-0 { color: $primary; }
        & > .curve--line-1 { color: $accent; }
        & > .curve--raw-0 { color: $primary 40%; }
        & > .curve--raw-1 { color: $accent 40%; }
        & > .curve--cursor { color: $foreground 60%; }
        &:focus { border: round $primary; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "curve--axis", "curve--label", "curve--faint", "curve--line-0", "curve--line-1", "curve--raw-0", "curve--raw-1",
        "curve--cursor",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move_cursor(-1)", "Read values", show=False, tooltip="Read values along a curve"),
        Binding("right", "move_cursor(1)", "Read values", show=False, tooltip="Read values along a curve"),
        Binding("escape", "leave_cursor", "Hide reading line", show=False, tooltip="Hide the reading line"),
    ]

    log_y = reactive(False)
    smooth = reactive(False)
    waiting = reactive("waiting for the first step")
    cursor: reactive[float | None] = reactive(None)

    def __init__(self, title: str, lines: list[Line], *, share: bool = False, id: str | None = None):
        """share: the values are shares of one, shown as percent on an axis from 0."""
        super().__init__(id=id)
        self.title = title
        self.lines = lines
        self.share = share
        self.level: tuple[str, float] | None = None  # a faint horizontal line: its name and value
        self.epochs = 0  # of the whole run; the axis never reaches further
        self._drawn: list[Strip] = []
        self._columns = 0  # of the plot, in cells, as last drawn
        self._left = 0  # of the plot's first cell
        self._end = 1.0  # epoch at the right edge

    # --- data in ------------------------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Show what was appended to the lines since the last time."""
        self._drawn = []
        self.border_title = self._title()
        self.border_subtitle = self._reading()
        self.refresh()

    def watch_log_y(self) -> None:
        self.redraw()

    def watch_smooth(self) -> None:
        self.redraw()

    def watch_waiting(self) -> None:
        self.redraw()

    def watch_cursor(self) -> None:
        self.redraw()

    def on_resize(self) -> None:
        self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn = []

    # --- the reading line ---------------------------------------------------------------------------------------------

    def action_move_cursor(self, cells: int) -> None:
        if self._columns and self._has_points():
            x_of_cell = self._end / self._columns
            start = self._last_x() if self.cursor is None else self.cursor + cells * x_of_cell
            self.cursor = min(max(start, 0.0), self._end)

    def action_leave_cursor(self) -> None:
        self.cursor = None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self._columns and 0 <= offset.x - self._left < self._columns and self._has_points():
            self.cursor = (offset.x - self._left + 0.5) / self._columns * self._end

    def on_leave(self) -> None:
        self.cursor = None

    # --- words in the border ------------------------------------------------------------------------------------------

    def _title(self) -> Content:
        """The title, and each line's sample with its last value; names and marks are left out where they do not fit."""
        marks = [word for word, is_on in (("log", self.log_y), ("smooth", self.smooth)) if is_on]
        forms = [
            Content("  ").join([self._legend(with_names), *([Content(f"({', '.join(marks)})")] if with_marks else [])])
            for with_names, with_marks in ((True, bool(marks)), (True, False), (False, False))
        ]
        return next((form for form in forms if form.cell_length <= self.size.width - 4), Content(self.title))

    def _legend(self, with_names: bool) -> Content:
        """A line's sample has its colour and its pattern."""
        parts = [Content.styled(self.title, "bold")]
        for index, line in enumerate(self.lines):
            if len(line.points):
                sample = f"·{line.marker}·" if line.marker else "──"
                words = [sample, *([line.name] if with_names else []), self._value(line, line.points.xs[-1])]
                parts.append(Content.styled(" ".join(words), COLORS[index]))
        return Content("  ").join(parts)

    def _reading(self) -> Content:
        if self.cursor is None:
            return Content("")
        parts = [f"epoch {self.cursor:.2f}"]
        for line in self.lines:
            if len(line.points):
                parts.append(f"{line.name} {self._value(line, self.cursor)}")
        return Content("  ".join(parts))

    def _value(self, line: Line, x: float) -> str:
        """What the line shows at x, in words."""
        points = line.points
        if not self._is_smoothed(line):
            return self._format(points.value(points.nearest(x)))
        reach = SMOOTHING * self._axis_end()
        return self._format(points.mean(x - reach, x + reach))

    def _format(self, value: float) -> str:
        return percent(value) if self.share else number(value)

    def _is_smoothed(self, line: Line) -> bool:
        """A line with a marker has few points, each of which counts."""
        return self.smooth and not line.marker

    def _axis_end(self) -> float:
        return axis_end(self._last_x(), self.epochs)

    def _has_points(self) -> bool:
        return any(len(line.points) for line in self.lines)

    def _last_x(self) -> float:
        return max((line.points.xs[-1] for line in self.lines if len(line.points)), default=0.0)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        if not self._drawn:
            self._drawn = self._draw(self.size.width, self.size.height)
        return self._drawn[y] if y < len(self._drawn) else Strip.blank(self.size.width, self.rich_style)

    def _draw(self, width: int, height: int) -> list[Strip]:
        if width <= 0 or height <= 0:
            return []
        scale_range = self._range()
        if scale_range is None:
            log_hides_all = self.log_y and any(line.points.extent() for line in self.lines)
            self._columns = 0
            return self._message("nothing above 0 for a log axis" if log_hides_all else self.waiting, width, height)

        plot_height = height - 2 if height >= 5 else height
        scale = Scale(*scale_range, rows=plot_height * 4, log=self.log_y)
        labels = self._y_labels(scale, plot_height)
        gutter = max((len(label) for label in labels.values()), default=0) + 1
        if width < gutter + 12:
            labels, gutter = {}, 0
        self._columns, self._left = width - gutter, gutter
        self._end = self._axis_end()

        canvas = self._plot(scale, self._columns, plot_height)
        rows = [[*self._y_axis(labels.get(row, ""), gutter), *cells] for row, cells in enumerate(canvas)]
        if plot_height < height:
            rows += self._x_axis(gutter, self._columns)
        style = self.rich_style
        return [Strip(_joined(row), width).apply_style(style) for row in rows]

    def _message(self, text: str, width: int, height: int) -> list[Strip]:
        label = self.get_component_rich_style("curve--label")
        strips = [Strip.blank(width, self.rich_style) for _ in range(height)]
        line = cut(text, width)
        before = (width - cell_len(line)) // 2
        after = width - cell_len(line) - before
        strips[height // 2] = Strip([Segment(" " * before), Segment(line, label), Segment(" " * after)], width)
        return [strip.apply_style(self.rich_style) for strip in strips]

    def _range(self) -> tuple[float, float] | None:
        """Lowest and highest value of the y axis; None where there is nothing to draw."""
        extents = [extent for line in self.lines if (extent := line.points.extent())]
        if not extents:
            return None
        low, high = min(low for low, _ in extents), max(high for _, high in extents)
        if self.log_y:
            if high <= 0:
                return None
            low = self._smallest_above_zero(low, high)
            return (low / 1.5, high * 1.5) if high / low < 1.01 else (low / 1.05, high * 1.05)
        if self.level:
            low, high = min(low, self.level[1]), max(high, self.level[1])
        if self.share:
            low = 0.0
            return low, min(axis_end(max(high, 0.01), 1.0), 1.0) if high <= 1 else high
        if high - low <= 1e-9 * max(abs(high), abs(low)):
            room = abs(high) * 0.1 or 1.0
            return low - room, high + room
        step = nice_step((high - low) / 4) / 2
        return math.floor(low / step) * step, math.ceil(high / step) * step

    def _smallest_above_zero(self, low: float, high: float) -> float:
        """The low end of a log axis; where values reach zero or below, three decades under the top."""
        return low if low > 0 else high / 1000

    def _plot(self, scale: Scale, columns: int, rows: int) -> list[list[Segment]]:
        """The cells of the plot, row by row: smoothed lines over their own points, later lines over earlier ones."""
        canvas = Canvas(columns, rows)
        styles: list[Style] = []
        for index, line in enumerate(self.lines):
            if self._is_smoothed(line):
                styles.append(self.get_component_rich_style(f"curve--raw-{index}"))
                canvas.draw(spans(line.points, scale, self._end, columns * 2), len(styles))
        canvas.thin()
        behind = len(styles)
        markers: dict[tuple[int, int], tuple[str, Style]] = {}
        for index, line in enumerate(self.lines):
            styles.append(self.get_component_rich_style(f"curve--line-{index}"))
            if self._is_smoothed(line):
                drawn = smoothed_spans(line.points, scale, self._end, columns * 2, SMOOTHING * self._end)
            else:
                drawn = spans(line.points, scale, self._end, columns * 2)
            canvas.draw(drawn, len(styles), dotted=bool(line.marker), behind=behind)
            if line.marker:
                markers.update(self._markers(line, scale, columns, styles[-1]))
        return self._cells(canvas, styles, markers, scale)

    def _markers(
        self, line: Line, scale: Scale, columns: int, style: Style
    ) -> Iterator[tuple[tuple[int, int], tuple[str, Style]]]:
        """A marker at each point where they stand far enough apart, else at the last one only."""
        series, count = line.points, len(line.points)
        first = 0 if count * 3 <= columns else count - 1
        for index in range(max(first, 0), count):
            row = scale.row(series.value(index))
            if not math.isnan(row):
                cell = min(int(series.xs[index] / self._end * columns), columns - 1)
                yield (min(max(round(row), 0), scale.rows - 1) // 4, cell), (line.marker, style)

    def _cells(
        self, canvas: Canvas, styles: list[Style], markers: dict[tuple[int, int], tuple[str, Style]], scale: Scale
    ) -> list[list[Segment]]:
        """What stands in each cell: a marker, else dots, else the reading line, else the level line."""
        faint, reading = (self.get_component_rich_style(f"curve--{part}") for part in ("faint", "cursor"))
        level_row, level_text = self._level_line(scale, canvas)
        cursor_cell = -1
        if self.cursor is not None:
            cursor_cell = min(int(self.cursor / self._end * canvas.columns), canvas.columns - 1)

        def cell_at(row: int, cell: int) -> Segment:
            if (row, cell) in markers:
                return Segment(*markers[row, cell])
            if character := canvas.character(row, cell):
                return Segment(character, styles[canvas.styles[row][cell] - 1])
            if cell == cursor_cell:
                return Segment("│", reading)
            return Segment(level_text[cell], faint) if row == level_row else Segment(" ")

        return [[cell_at(row, cell) for cell in range(canvas.columns)] for row in range(canvas.rows)]

    def _level_line(self, scale: Scale, canvas: Canvas) -> tuple[int, str]:
        """The row of the faint line and its characters, with its name at the right where no curve is in the way."""
        if self.level is None or math.isnan(position := scale.row(self.level[1])):
            return -1, ""
        row = round(position) // 4
        if not 0 <= row < canvas.rows:
            return -1, ""
        name = f" {self.level[0]} {self._format(self.level[1])} "
        text = "┄" * canvas.columns
        begin = canvas.columns - len(name) - 1
        if begin > canvas.columns // 3 and not any(canvas.dots[row][begin : begin + len(name)]):
            text = text[:begin] + name + text[begin + len(name) :]
        return row, text

    # --- axes ---------------------------------------------------------------------------------------------------------

    def _y_labels(self, scale: Scale, rows: int) -> dict[int, str]:
        ticks = scale.ticks()
        if self.share:
            places = 0 if all(abs(tick * 100 - round(tick * 100)) < 1e-6 for tick in ticks) else 1
            texts = [f"{tick * 100:.{places}f}%" for tick in ticks]
        else:
            texts = tick_texts(ticks)
        return {min(round(scale.row(tick)) // 4, rows - 1): text for tick, text in zip(ticks, texts, strict=True)}

    def _y_axis(self, label: str, gutter: int) -> list[Segment]:
        if not gutter:
            return []
        axis, text = (self.get_component_rich_style(f"curve--{part}") for part in ("axis", "label"))
        return [Segment(label.rjust(gutter - 1), text), Segment("┤" if label else "│", axis)]

    def _x_axis(self, gutter: int, columns: int) -> list[list[Segment]]:
        """A line with a mark at each epoch (or at each label, where epochs are narrow), and the numbers below."""
        axis, label = (self.get_component_rich_style(f"curve--{part}") for part in ("axis", "label"))
        step = nice_step(self._end / max(columns // 6, 1))
        if self._end >= 2:
            step = max(step, 1.0)
        mark_step = 1.0 if columns / self._end >= 3 and self._end >= 1 else step
        marks = ["─"] * columns
        for index in range(1, math.floor(self._end / mark_step + 1e-9) + 1):
            marks[min(int(index * mark_step / self._end * columns), columns - 1)] = "┴"
        numbers = [" "] * (gutter + columns)
        ticks = [index * step for index in range(math.floor(self._end / step + 1e-9) + 1)]
        free = 0
        for tick, text in zip(ticks, tick_texts(ticks), strict=True):
            center = gutter + min(int(tick / self._end * columns), columns - 1)
            begin = min(max(center - len(text) // 2, 0), gutter + columns - len(text))
            if begin >= free:
                numbers[begin : begin + len(text)] = text
                free = begin + len(text) + 1
        word = "epoch"
        if "".join(numbers[-len(word) - 2 :]).isspace():
            numbers[-len(word) :] = word
        elif "".join(numbers[1 : gutter - 1]).isspace() and gutter > len(word) + 1:
            numbers[: len(word)] = word
        corner = " " * (gutter - 1) + "└" if gutter else ""
        return [[Segment(corner + "".join(marks), axis)], [Segment("".join(numbers), label)]]


def _joined(segments: list[Segment]) -> list[Segment]:
    """Neighbouring cells of one style as one segment: far fewer escape codes."""
    return list(Segment.simplify(segments))
