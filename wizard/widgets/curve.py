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
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from wizard.widgets.braille import DASHED, DOTTED, SOLID, Canvas, smoothed_spans, spans
from wizard.widgets.scale import Scale, axis_end, nice_step, tick_texts
from wizard.widgets.series import Series
from wizard.words import cut, number, percent

COLORS = {"line-0": "$primary", "line-1": "$accent", "other": "$secondary"}  # as in the style sheet below
SMOOTHING = 0.03  # of the axis, to either side of a point: what a smoothed line is the mean of


@dataclass
class Line:
    """One curve. Its pattern tells it apart, so colour is not needed: solid, dashed where it is `of` another run, and
    dotted with `marker` at its points."""

    name: str
    marker: str = ""
    points: Series = field(default_factory=Series)
    of: str = ""  # the name of the other run

    @property
    def pattern(self) -> tuple[int, int]:
        return DOTTED if self.marker else DASHED if self.of else SOLID

    @property
    def sample(self) -> str:
        """As it looks, in three cells."""
        return f"·{self.marker}·" if self.marker else "╌╌" if self.of else "──"

    @property
    def color(self) -> str:
        """Its name in COLORS."""
        return "other" if self.of else "line-1" if self.marker else "line-0"


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
        &:light > .curve--faint { color: $foreground 50%; }
        &:light > .curve--axis { color: $foreground 60%; }
        & > .curve--line-0 { color: $primary; }
        & > .curve--line-1 { color: $accent; }
        & > .curve--raw-0 { color: $primary 40%; }
        & > .curve--other { color: $secondary; }
        & > .curve--cursor { color: $foreground 60%; }
        &:focus { border: round $primary; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "curve--axis", "curve--label", "curve--faint", "curve--line-0", "curve--line-1", "curve--raw-0", "curve--other",
        "curve--cursor",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move_cursor(-1)", "Read values", show=False, tooltip="Read values along a curve (or click)"),
        Binding("right", "move_cursor(1)", "Read values", show=False, tooltip="Read values along a curve (or click)"),
        Binding("escape", "leave_cursor", "Hide reading line", show=False, tooltip="Hide the reading line"),
    ]

    @dataclass
    class Read(Message):
        """Somebody reads values at this epoch, or (None) no longer does."""

        epoch: float | None
        is_kept: bool  # until it is hidden; else while the mouse is there

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
        self._is_kept = False  # the reading line, when the mouse goes away

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

    def read_at(self, epoch: float | None, is_kept: bool) -> None:
        """Put the reading line there; None hides it."""
        self.cursor, self._is_kept = epoch, is_kept

    def _read(self, epoch: float | None, is_kept: bool) -> None:
        self.read_at(epoch, is_kept)
        self.post_message(self.Read(epoch, is_kept))

    def action_move_cursor(self, cells: int) -> None:
        if self._columns and self._has_points():
            x_of_cell = self._end / self._columns
            start = self._last_x() if self.cursor is None else self.cursor + cells * x_of_cell
            self._read(min(max(start, 0.0), self._end), is_kept=True)

    def action_leave_cursor(self) -> None:
        self._read(None, is_kept=False)

    def on_click(self, event: events.Click) -> None:
        if (epoch := self._epoch_under(event)) is not None:
            self._read(epoch, is_kept=True)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not self._is_kept and (epoch := self._epoch_under(event)) is not None:
            self._read(epoch, is_kept=False)

    def on_leave(self) -> None:
        if not self._is_kept:
            self._read(None, is_kept=False)

    def _epoch_under(self, event: events.MouseEvent) -> float | None:
        """Of the cell of the plot that the mouse is on; None beside the plot."""
        offset = event.get_content_offset(self)
        if offset is None or not self._columns or not self._has_points():
            return None
        cell = offset.x - self._left
        return (cell + 0.5) / self._columns * self._end if 0 <= cell < self._columns else None

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
        lines = self._lines_with_points(of_another=False)
        title = Content.styled(self.title, "bold")
        return _row(title, [self._words(line, line.points.xs[-1], with_names) for line in lines])

    def _reading(self) -> Content:
        """What the lines show at the reading line; without one, the last values of the other run."""
        return next((form for form in self._readings() if form.cell_length <= self.size.width - 4), Content(""))

    def _readings(self) -> Iterator[Content]:
        """The same in fewer and fewer words."""
        ours, others = self._lines_with_points(of_another=False), self._lines_with_points(of_another=True)
        if self.cursor is not None:
            epoch, both = f"{self.cursor:.2f}", ours + others
            yield _row(Content(f"epoch {epoch}"), [self._words(line, self.cursor, True) for line in both])
            yield _row(Content(f"epoch {epoch}"), [self._words(line, self.cursor, False) for line in both])
            yield _row(Content(epoch), [self._words(line, self.cursor, False) for line in both])
            last = ours[-1:] + others[-1:]  # of validation, where there is one
            yield _row(Content(epoch), [self._words(line, self.cursor, False) for line in last])
        elif others:
            for width, with_names in ((60, True), (30, True), (24, False), (12, False), (6, False)):
                name = Content.styled(cut(others[0].of, width), COLORS["other"])
                yield _row(name, [self._words(line, line.points.xs[-1], with_names) for line in others])

    def _words(self, line: Line, x: float, with_name: bool) -> Content:
        words = [line.sample, *([line.name] if with_name else []), self._value(line, x)]
        return Content.styled(" ".join(words), COLORS[line.color])

    def _lines_with_points(self, of_another: bool) -> list[Line]:
        return [line for line in self.lines if len(line.points) and bool(line.of) == of_another]

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
        """The cells of the plot, row by row: another run behind, smoothed lines over their own points, later lines over
        earlier ones."""
        canvas = Canvas(columns, rows)
        styles: list[Style] = []
        markers: dict[tuple[int, int], tuple[str, Style]] = {}

        def draw(line: Line, behind: int) -> None:
            styles.append(self.get_component_rich_style(f"curve--{line.color}"))
            if self._is_smoothed(line):
                drawn = smoothed_spans(line.points, scale, self._end, columns * 2, SMOOTHING * self._end)
            else:
                drawn = spans(line.points, scale, self._end, columns * 2)
            canvas.draw(drawn, len(styles), line.pattern, behind)
            if line.marker:
                markers.update(self._markers(line, scale, columns, styles[-1]))

        for line in self._lines_with_points(of_another=False):
            if self._is_smoothed(line):
                styles.append(self.get_component_rich_style("curve--raw-0"))
                canvas.draw(spans(line.points, scale, self._end, columns * 2), len(styles))
        canvas.thin()
        raw = len(styles)
        for line in self._lines_with_points(of_another=True):
            draw(line, behind=raw)
        behind = len(styles)
        for line in self._lines_with_points(of_another=False):
            draw(line, behind)
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


def _row(first: Content, others: list[Content]) -> Content:
    return Content("  ").join([first, *others])


def _joined(segments: list[Segment]) -> list[Segment]:
    """Neighbouring cells of one style as one segment: far fewer escape codes."""
    return list(Segment.simplify(segments))
