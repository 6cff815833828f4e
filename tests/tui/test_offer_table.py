"""The table of networks as it is drawn."""

from __future__ import annotations

from rich.color import Color
from textual.app import App, ComposeResult

from wizard.offers import published_offers
from wizard.widgets.offer_table import BEST, OfferTable


class Alone(App[None]):
    def compose(self) -> ComposeResult:
        yield OfferTable()


async def test_rows_that_fit_less_are_dimmer() -> None:
    chosen, fits, unfit = published_offers("rgb")[:3]
    async with Alone().run_test(size=(120, 10)) as pilot:
        table = pilot.app.query_one(OfferTable)
        every = [chosen, fits, unfit]
        table.offer(every, every, chosen.preset, chosen.preset, {unfit.preset}, BEST, of_models=False, of_motion=False)
        await pilot.pause()
        colours = {offer.name: _colour_of(offer.name, pilot.app) for offer in table.rows_shown}
    assert colours[unfit.name] != colours[fits.name]


def _colour_of(name: str, app: App[None]) -> Color | None:
    strips = app.screen._compositor.render_strips()
    return next(s.style.color for strip in strips for s in strip if name in s.text and s.style)
