"""The networks to start from, as a table: arrows and clicks choose, typing searches, < and > sort by another column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable

from wizard.offers import COLUMNS, Offer, best_first, ordered
from wizard.words import UNKNOWN, cut, gflops_text

_SHORT_DATA = {"Something-Something": "Something", "Multi-Moments in Time": "Multi-Moments", " (images)": ""}
BEST = "best"  # sorted by what fits the data
# The widest that columns may be, by the room there is: longer words are cut.
WIDEST = {90: {"model": 24, "trained_on": 16, "preset": 28}, 104: {"model": 27, "trained_on": 16, "preset": 32}}
CELL_PADDING = 2

# What stays where there is no room for all, the dearest first.
PUBLISHED = ("model", "trained_on", "top1", "size", "gflops", "frames", "parameters", "here")
MODELS = ("model", "frames", "gflops", "preset", "parameters")
SHOWN_IN_ORDER = ("model", "preset", "trained_on", "top1", "size", "gflops", "parameters", "frames", "here")
RIGHT = ("top1", "size", "gflops", "parameters")


class OfferTable(DataTable[Text]):
    """The row under the cursor is the choice. Rows that do not fit the data are dim."""

    DEFAULT_CSS = """
    OfferTable {
        height: auto; width: 100%; background: $surface; overflow-x: hidden; scrollbar-gutter: stable;
        & > .datatable--cursor { background: $panel; color: $foreground; text-style: none; }
        &:focus > .datatable--cursor { background: $primary 35%; color: $foreground; text-style: none; }
        & > .datatable--header { background: $surface; color: $foreground 60%; text-style: none; }
        & > .datatable--header-hover { background: $panel; color: $foreground; }
        &:ansi:focus > .datatable--cursor { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", tooltip="Search; any letter typed starts it too"),
        Binding("greater_than_sign", "sort(1)", "Sort", key_display=">", tooltip="Sort by the next column"),
        Binding("less_than_sign", "sort(-1)", "Sort back", show=False, tooltip="Sort by the column before"),
        Binding("right", "family(1)", "Next family", show=False, tooltip="Show the next family of networks only"),
        Binding("left", "family(-1)", "Family before", show=False, tooltip="Show the family before only"),
        Binding("escape", "forget_search", "All again", tooltip="Show every network again"),
    ]

    class Chosen(Message):
        """The user moved to another row."""

        def __init__(self, preset: str) -> None:
            super().__init__()
            self.preset = preset

    class Search(Message):
        """The user wants to search, beginning with `text`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class FamilyStep(Message):
        """The user wants the next family, or the one before."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class SearchForgotten(Message):
        """The user wants to see all rows again."""

    class Sorted(Message):
        """The user wants the rows in another order: by a column, or BEST."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False)
        self.column = BEST
        self.is_narrowed = False  # a search or a family leaves rows out
        self._dear: tuple[str, ...] = PUBLISHED
        self._all: Sequence[Offer] = ()  # every row there is, for the widths
        self._rows: list[Offer] = []
        self._unfit: Collection[str] = ()
        self._chosen = self._marked = ""
        self._drawn: object = None

    @property
    def rows_shown(self) -> list[Offer]:
        return self._rows

    @property
    def under_cursor(self) -> Offer | None:
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def offer(
        self,
        every: Sequence[Offer],
        rows: Sequence[Offer],
        chosen: str,
        suggested: str,
        unfit: Collection[str],
        column: str,
        of_models: bool,
        of_motion: bool,
    ) -> None:
        """Show `rows`, which are some of `every`. of_models: the columns are those of networks without weights.
        of_motion: the data's classes are told by how things move."""
        self.column, self._all, self._unfit, self._chosen = column, every, unfit, chosen
        self.is_narrowed = len(rows) < len(every)
        self._dear = MODELS if of_models else PUBLISHED
        self._rows = best_first(rows, suggested, unfit, of_motion) if column == BEST else ordered(rows, column)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        """Rows are made anew only where something in them changed; else the mark and the cursor move."""
        width = self.scrollable_content_region.width or self.size.width
        if not width:
            return
        widths = self._widths(width)
        what = (widths, tuple(self._rows), frozenset(self._unfit), self.column)
        with self.prevent(DataTable.RowHighlighted):
            if self._drawn == what:
                self._move_the_mark()
            else:
                self._fill(widths)
                self._drawn = what
            presets = [offer.preset for offer in self._rows]
            if self._chosen in presets and self.cursor_row != presets.index(self._chosen):
                self.move_cursor(row=presets.index(self._chosen))

    def _fill(self, widths: dict[str, int]) -> None:
        self.clear(columns=True)
        self.add_column("", key="mark", width=1)
        for key, width in widths.items():
            title = _aligned(key, COLUMNS[key].title, width)
            self.add_column(Text(title, "bold underline" if key == self.column else ""), key=key, width=width)
        self._marked = self._chosen
        for offer in self._rows:
            self.add_row(*self._cells(offer, widths), key=offer.preset)

    def _move_the_mark(self) -> None:
        assert isinstance(self._drawn, tuple)
        widths = self._drawn[0]
        if self._marked == self._chosen:
            return
        for offer in self._rows:
            if offer.preset in (self._marked, self._chosen):
                for key, cell in zip(("mark", *widths), self._cells(offer, widths), strict=True):
                    self.update_cell(offer.preset, key, cell)
        self._marked = self._chosen

    def _cells(self, offer: Offer, widths: dict[str, int]) -> list[Text]:
        chosen = offer.preset == self._chosen
        style = "bold" if chosen else "dim" if offer.preset in self._unfit else ""
        texts = ["●" if chosen else "○", *(_aligned(key, _cell(key, offer), width) for key, width in widths.items())]
        return [Text(text, style, no_wrap=True) for text in texts]

    def _widths(self, width: int) -> dict[str, int]:
        """The columns that there is room for, in the order they are shown, and the width of each."""
        room = width - 1 - CELL_PADDING
        widest = next((most for below, most in WIDEST.items() if width < below), {})
        widths: dict[str, int] = {}
        for key in self._dear:
            cells = [cell_len(_cell(key, offer)) for offer in self._all]
            width = max([len(COLUMNS[key].title), *cells])
            width = min(width, widest.get(key, width))
            if room < width + CELL_PADDING:
                continue
            widths[key] = width
            room -= width + CELL_PADDING
        if "model" in widths:  # what is left goes to the names
            longest = max((cell_len(_cell("model", offer)) for offer in self._all), default=0)
            widths["model"] += max(0, min(room, longest - widths["model"]))
        return {key: widths[key] for key in SHOWN_IN_ORDER if key in widths}

    # --- what the user does -------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """A letter begins a search. The question mark is for the page of keys."""
        if event.character and event.is_printable and event.character not in "?/<> ":
            event.stop()
            event.prevent_default()
            self.post_message(self.Search(event.character))

    def action_cursor_up(self) -> None:
        """Above the first row is what stands above the table."""
        if self.cursor_row == 0:
            self.screen.focus_previous()
        else:
            super().action_cursor_up()

    def action_search(self) -> None:
        self.post_message(self.Search(""))

    def action_family(self, step: int) -> None:
        self.post_message(self.FamilyStep(step))

    def action_forget_search(self) -> None:
        self.post_message(self.SearchForgotten())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes back a step where no search is to be forgotten first."""
        return self.is_narrowed if action == "forget_search" else True

    def action_sort(self, step: int) -> None:
        """By the neighbouring column; before the first and after the last, what fits best is first."""
        orders = [BEST, *self._columns_shown]
        place = orders.index(self.column) if self.column in orders else 0
        self.post_message(self.Sorted(orders[(place + step) % len(orders)]))

    @property
    def _columns_shown(self) -> list[str]:
        return [str(key.value) for key in self.columns if key.value != "mark"]

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        column = str(event.column_key.value)
        if column in COLUMNS:
            self.post_message(self.Sorted(BEST if column == self.column else column))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter on a row that a search brought under the cursor chooses it; on the chosen one it goes on."""
        if event.row_key.value and event.row_key.value != self._chosen:
            event.stop()
            self.post_message(self.Chosen(event.row_key.value))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if self.has_focus and event.row_key.value:
            self.post_message(self.Chosen(event.row_key.value))


def _aligned(key: str, text: str, width: int) -> str:
    text = cut(text, width)
    blanks = " " * (width - cell_len(text))
    return blanks + text if key in RIGHT else text + blanks


def _cell(key: str, offer: Offer) -> str:
    match key:
        case "model":
            return offer.name
        case "preset":
            return offer.preset
        case "trained_on":
            return _short_data(offer.trained_on)
        case "top1":
            return f"{offer.top1:.1f} %" if offer.top1 is not None else UNKNOWN
        case "size":
            return f"{_size(offer.size_mb)} {'✓' if offer.is_here else '↓'}" if offer.size_mb else UNKNOWN
        case "gflops":
            return gflops_text(offer.gflops) if offer.gflops is not None else UNKNOWN
        case "parameters":
            return f"{offer.parameters_m:.3g} M" if offer.parameters_m is not None else UNKNOWN
        case "frames":
            return offer.frames
    return "yes" if offer.is_here else "no"


def _size(megabytes: int) -> str:
    return f"{megabytes} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def _short_data(name: str) -> str:
    """Something-Something V1 and V2 must not be cut to the same word."""
    for long, short in (
        ("Something-Something", "Something"),
        ("Multi-Moments in Time", "Multi-Moments"),
        (" (images)", ""),
    ):
        name = name.replace(long, short)
    return name
