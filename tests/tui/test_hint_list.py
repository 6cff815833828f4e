"""Hints by keys: which one the keys take, and how to come to the others."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Input

from wizard.hints import Hint
from wizard.widgets.hint_list import HintList

HINTS = [
    Hint("Long videos."),
    Hint("Few clips.", "Freeze it", {"schedule.freeze": "backbone"}),
    Hint("No GPU.", "Take X3D-S", {"start": "x3d"}),
]


class Alone(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def compose(self) -> ComposeResult:
        yield Input()
        yield HintList()

    def on_hint_list_taken(self, event: HintList.Taken) -> None:
        self.taken.append(event.hint.offers)


async def test_each_hint_that_offers_something_is_reached_by_keys() -> None:
    app = Alone()
    async with app.run_test(size=(60, 12)) as pilot:
        hints = app.query_one(HintList)
        hints.show(HINTS)
        await pilot.press("tab", "enter", "down", "enter")
        assert app.taken == ["Freeze it", "Take X3D-S"]
        assert hints.marked == HINTS[2]
        await pilot.press("up", "up")
        assert isinstance(app.focused, Input), "beyond the first hint is what stands above"
        hints.show(list(HINTS))
        assert hints.marked == HINTS[1]
        hints.show(HINTS[:1])
        await pilot.press("tab")
        assert isinstance(app.focused, Input), "where nothing can be followed there is nothing to go to"
