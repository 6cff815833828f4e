"""A contact sheet: of a few clips, a class each, the frames that the model will see. They come one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from engine.dataset.contact_sheet import ContactSheet, Row, Wish
from engine.recipe import Recipe
from wizard.widgets.frames import Frames, arrange
from wizard.widgets.words import Words
from wizard.words import printable

GAP = 2  # cells between two clips side by side
KEPT = 64  # rows; frames of 224 x 224 take 150 kB each
NARROWEST = 20  # cells for a clip


@dataclass(frozen=True)
class View:
    """What is looked at: the classes from place `first` on, a split, an epoch, and which clip of each class."""

    recipe: Recipe
    classes: tuple[str, ...]
    split: str = "train"
    epoch: int = 1
    take: int = 0
    first: int = 0

    def wish(self, place: int) -> Wish:
        """For the clip at that place of the sheet."""
        return Wish(self.first + place, self.split, self.epoch if self.split == "train" else 1, self.take)


@dataclass(frozen=True)
class Grid:
    """How many clips are beside and above each other."""

    columns: int = 1
    rows: int = 1

    @property
    def places(self) -> int:
        return self.columns * self.rows


def plan(width: int, height: int, pictures: int, aspect: float, clips: int, good: int) -> Grid:
    """Each clip on a line of its own if that leaves pictures of at least `good` rows; then as many clips as there is
    room for; then the largest pictures."""
    grids = [
        Grid(columns, rows)
        for columns in range(1, max(1, width // NARROWEST) + 1)
        for rows in range(1, max(1, height // (good + 2)) + 1)
    ]

    def merit(grid: Grid) -> tuple[bool, bool, int, int, int]:
        each = arrange(pictures, aspect, (width - (grid.columns - 1) * GAP) // grid.columns, height // grid.rows - 1)
        is_good = each.height >= good and each.shown == pictures
        on_a_line = is_good and each.per_line == pictures
        clips_seen = min(clips, grid.places) if is_good else -grid.places
        return is_good, on_a_line, clips_seen, each.height, -grid.places

    return max(grids, key=merit)


class ClipView(Vertical):
    """A clip: its class and its name, and the frames below."""

    DEFAULT_CSS = """
    ClipView {
        height: 1fr;
        .title { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        .trouble { height: auto; color: $text-warning; }
    }
    """

    def compose(self) -> ComposeResult:
        yield Words(classes="title")
        yield Words(classes="trouble")
        yield Frames()

    is_waited_for = True

    def show(self, name: str, row: Row | None) -> None:
        """row: None while it is waited for."""
        self.is_waited_for = row is None
        title, trouble, frames = (
            self.query_one(".title", Words),
            self.query_one(".trouble", Words),
            self.query_one(Frames),
        )
        said = row.trouble if row else "…"
        title.say(_title(name, row))
        title.tooltip = printable(row.name) if row and row.name else None
        trouble.say(f"! {printable(said)}" if row and said else said)
        trouble.display = bool(said)
        frames.show(row.frames if row else None, _captions(row) if row else ())


def _title(name: str, row: Row | None) -> Content:
    """The class that the model is told, and which clip it is."""
    seen_as = row.seen_as if row and row.seen_as else (name,)
    parts = [("mirrored" if name in seen_as else f"mirrored {name}")] if row and row.mirrored else []
    parts += [row.name.rpartition("/")[2]] if row and row.name else []
    return Content.assemble(
        (printable(", ".join(seen_as)), "bold"), (f"  {printable(' · '.join(parts))}", "$foreground 60%")
    )


def _captions(row: Row) -> Sequence[str]:
    if row.seconds:
        digits = 2 if max(row.seconds) < 60 else 1
        return [f"{second:.{digits}f} s" for second in row.seconds]
    return [f"no. {number + 1}" for number in row.numbers]


class Sheet(Container):
    """As many clips as fit, each as soon as it is decoded."""

    DEFAULT_CSS = """
    Sheet {
        height: 1fr;
        .refusal { height: auto; color: $text-error; display: none; }
        .clips { layout: grid; grid-gutter: 0 2; height: 1fr; }
    }
    """

    @dataclass
    class Planned(Message):
        """There is room for another number of clips."""

        grid: Grid

    @dataclass
    class Came(Message):
        """A row, for those who still want it."""

        recipe: Recipe
        wish: Wish
        row: Row

    def __init__(self, asks: Callable[[], ContactSheet], good: int, pause: float = 0.0, id: str | None = None) -> None:
        """asks: gives whom to ask. good: rows of a picture that is large enough. pause: seconds that answers have to
        stay the same before anyone is asked."""
        super().__init__(id=id)
        self._asks, self._good, self._pause = asks, good, pause
        self._view: View | None = None
        self._rows: dict[Wish, Row] = {}
        self._grid = Grid()
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Words(classes="refusal")
        yield Container(classes="clips")

    @property
    def grid(self) -> Grid:
        return self._grid

    def show(self, view: View | None) -> None:
        """Look at something else; at nothing with None."""
        if view == self._view:
            return
        if view is None or self._view is None or view.recipe != self._view.recipe:
            self._rows.clear()
        self._view = view
        if self.is_mounted:
            self.call_later(self._lay_out)

    async def on_resize(self, event: events.Resize) -> None:
        await self._lay_out()

    async def _lay_out(self) -> None:
        """Make room for as many clips as fit, fill in what is known, and ask for the rest."""
        view, clips = self._view, self.query_one(".clips", Container)
        if view is None or not self.size.area:
            self.workers.cancel_node(self)
            return
        model = view.recipe.model
        aspect = 2.0 if model.modality == "flow" else 1.0
        grid = plan(*self.size, model.frames, aspect, len(view.classes), self._good)
        if grid != self._grid:
            self._grid = grid
            self.post_message(self.Planned(grid))
        clips.styles.grid_size_columns = grid.columns
        clips.styles.grid_rows = str(self.size.height // grid.rows)
        here = list(clips.query(ClipView))
        await clips.mount_all(ClipView() for _ in range(grid.places - len(here)))
        for spare in here[grid.places :]:
            await spare.remove()
        self._fill_in(view)
        if self._waiting:
            self._waiting.stop()
        self._waiting = self.set_timer(self._pause, self._ask_for_the_rest) if self._pause else None
        if not self._waiting:
            self._ask_for_the_rest()

    def _fill_in(self, view: View) -> None:
        refusal = next((row.refusal for row in self._rows.values() if row.refusal), "")
        words = self.query_one(".refusal", Words)
        words.say(f"✗ {printable(refusal)}")
        words.display = bool(refusal)
        self.query_one(".clips").display = not refusal
        for place, clip in enumerate(self.query(ClipView)):
            at = view.first + place
            clip.visible = at < len(view.classes)
            if clip.visible:
                clip.show(view.classes[at], self._rows.get(view.wish(place)))

    def _ask_for_the_rest(self) -> None:
        view = self._view
        if view is None:
            return
        places = range(min(self._grid.places, len(view.classes) - view.first))
        wishes = [wish for wish in map(view.wish, places) if wish not in self._rows]
        self.workers.cancel_node(self)
        if wishes:
            work = partial(self._ask, self._asks(), view.recipe, wishes)
            self.run_worker(work, group="views", thread=True, exit_on_error=False)

    def _ask(self, sheet: ContactSheet, recipe: Recipe, wishes: Sequence[Wish]) -> None:
        """In a thread."""
        for wish in wishes:
            if get_current_worker().is_cancelled:
                return
            row = sheet.row(recipe, wish)
            if get_current_worker().is_cancelled:
                return
            self.post_message(self.Came(recipe, wish, row))
            if row.refusal:
                return

    def on_sheet_came(self, event: Sheet.Came) -> None:
        event.stop()
        view = self._view
        if view is None or event.recipe != view.recipe:
            return
        self._rows[event.wish] = event.row
        while len(self._rows) > KEPT:
            del self._rows[next(iter(self._rows))]
        self._fill_in(view)


class Glimpse(Vertical):
    """A line of the contact sheet, for where there is room beside other things."""

    DEFAULT_CSS = """
    Glimpse {
        height: 10; margin-top: 1;
        &.empty { display: none; }
        .hint { height: auto; color: $text-muted; }
    }
    """
    GOOD = 6
    PAUSE = 0.6

    def __init__(self, asks: Callable[[], ContactSheet]) -> None:
        super().__init__()
        self._sheet = Sheet(asks, self.GOOD, self.PAUSE)

    def compose(self) -> ComposeResult:
        yield Static("What the model will see in training; F2 shows more", classes="hint")
        yield self._sheet

    def show(self, view: View | None) -> None:
        """Look at something else; at nothing with None."""
        self.set_class(view is None, "empty")
        self._sheet.show(view)
