"""Two runs side by side: who is ahead, what differs in their recipes, and their figures."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.errors import RecipeError
from wizard.compare import Row, recipe_changes, recipe_rows, results, verdict
from wizard.followed import FollowedRun
from wizard.summary import summary_of
from wizard.words import cut


class Versus(VerticalScroll):
    """A table of three columns: what, here, and there. What is too long for them gets lines of its own."""

    DEFAULT_CSS = """
    Versus > Static { height: auto; }
    """

    def __init__(self, id: str | None = None):
        super().__init__(id=id)
        self._runs: tuple[FollowedRun, FollowedRun] | None = None
        self._changes: list[Row] | str = []  # of their recipes, or why they cannot be told

    def compose(self) -> Iterator[Static]:
        yield Static()

    def compare(self, left: FollowedRun, right: FollowedRun | None) -> None:
        """Choose the two; None: nothing to compare with."""
        self._runs = (left, right) if right else None
        try:
            self._changes = recipe_rows(recipe_changes(left.folder, right.folder)) if right else []
        except RecipeError as error:
            self._changes = str(error)
        self.redraw()

    def on_resize(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Bring the figures up to date."""
        if self._runs is None:
            self.query_one(Static).update(Content("c chooses a run to compare this one with"))
            return
        self.query_one(Static).update(Content("\n").join(self._lines(*self._runs)))

    def _lines(self, left: FollowedRun, right: FollowedRun) -> list[Content]:
        figures = results(summary_of(left), summary_of(right))
        changes = [] if isinstance(self._changes, str) else self._changes
        room = self.scrollable_content_region.width
        name_width = min(max(cell_len(row.name) for row in [*figures, *changes]), max(room // 4, 10))
        width = max((room - name_width - 4) // 2, 1)

        def lines(row: Row) -> Iterator[Content]:
            name = Content.styled(_fitted(row.name, name_width) + "  ", "$foreground 60%")
            if cell_len(row.name) <= name_width and cell_len(row.left) <= width and cell_len(row.right) <= width:
                yield name + Content.assemble((_fitted(row.left, width), "$primary"), "  ", (row.right, "$secondary"))
                return
            yield Content.styled(cut(row.name, room), "$foreground 60%")
            yield Content.styled(f"  ── {_end(row.left, room - 5)}", "$primary")
            yield Content.styled(f"  ╌╌ {_end(row.right, room - 5)}", "$secondary")

        heading = Row("", "── this", "╌╌ other")
        said = verdict(left, right)
        return [
            *lines(heading), *(line for row in figures if row.name == "best" for line in lines(row)),
            *([Content.styled(said, "bold")] if said else []),
            self._what_differs(), *(line for row in changes for line in lines(row)), Content(""),
            *(line for row in figures if row.name != "best" for line in lines(row)),
        ]  # fmt: skip

    def _what_differs(self) -> Content:
        if isinstance(self._changes, str):
            return Content.styled(self._changes, "$warning")
        said = "their recipes differ in" if self._changes else "their recipes are the same"
        return Content.styled(said, "$foreground 60%")


def _fitted(text: str, width: int) -> str:
    """In exactly so many cells."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


def _end(text: str, width: int) -> str:
    """Of a path that is too long its end; of anything else its beginning."""
    if cell_len(text) <= width or "/" not in text:
        return cut(text, width)
    while text and cell_len(text) > width - 1:
        text = text[1:]
    return f"…{text}" if width > 0 else ""
