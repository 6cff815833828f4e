"""The keys at the bottom, in as many rows as they need to be all there."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive
from textual.widgets import Footer


class KeyBar(Footer):
    """Textual's footer, which has one row and cuts off what does not fit."""

    DEFAULT_CSS = """
    KeyBar.-compact FooterKey.-command-palette { margin-right: 0; padding-right: 1; }
    KeyBar.-rows { layout: grid; height: auto; grid-rows: 1; grid-columns: auto; grid-gutter: 0 1; }
    KeyBar.-rows FooterKey { margin-right: 0; }
    """

    rows = reactive(1)

    def __init__(self) -> None:
        super().__init__(compact=True)

    def compose(self) -> ComposeResult:
        yield from super().compose()
        self._lay_out()

    def watch_rows(self) -> None:
        self.set_class(self.rows > 1, "-rows")
        self._lay_out()

    def _lay_out(self) -> None:
        keys = sum(binding.show for _, binding, _, _ in self.screen.active_bindings.values())
        self.styles.grid_size_columns = max(-(-keys // self.rows), 1)
