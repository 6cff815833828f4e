"""Asks the engine what the chosen weights bring, in the background, once the user has stopped moving."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import get_current_worker

from wizard.draft import Draft, Reuse

if TYPE_CHECKING:
    from wizard.reuse import Comparison
    from wizard.weights import WeightsInquiry

PAUSE = 0.5  # seconds on one choice before it is asked about: the process that answers imports torch


class ReuseDesk(Widget):
    """Takes no room. One question at a time; another one, or the end of the screen, ends the process of the last."""

    DEFAULT_CSS = "ReuseDesk { display: none; }"

    class Told(Message):
        """More is known of the choice."""

    class News(Message):
        """From the thread that asks."""

        def __init__(self, about: Comparison, reuse: Reuse) -> None:
            super().__init__()
            self.about, self.reuse = about, reuse

    def __init__(self, asks: bool = True) -> None:
        """asks: False leaves everything unasked, for a screen that is only to be looked at."""
        super().__init__()
        self._asks = asks
        self._about: Comparison | None = None
        self._now = Reuse()
        self._answers: dict[Comparison, Reuse] = {}
        self._inquiry: WeightsInquiry | None = None
        self._pause: Timer | None = None

    def look_at(self, draft: Draft) -> Reuse:
        """What is known of the draft's choice; it is asked about where nothing is and the file is on this disk."""
        about = None
        if draft.found and self._asks:
            from wizard.reuse import comparison_of  # the first screen does not wait for it

            about = comparison_of(draft)
        if about != self._about:
            self._stop()
            self._about = about
            self._now = self._first_word(about)
            if self._now.state == "asking":
                self._pause = self.set_timer(PAUSE, self._ask)
        return self._now

    def _first_word(self, about: Comparison | None) -> Reuse:
        if about is None:
            return Reuse()
        return self._answers.get(about) or Reuse("asking" if about.file else "away")

    def fetch(self) -> None:
        """Download the source, which nothing does by itself; a second call stops it, and what has come is kept."""
        if self._now.state == "fetching":
            self._stop()
            self.tell(Reuse("away"))
        elif self._now.state in ("away", "failed") and self._about and self._about.file is None:
            self.tell(Reuse("fetching"))
            self._ask()

    def _ask(self) -> None:
        assert self._about is not None
        work = partial(self._answer, self._about)
        self.run_worker(work, group="reuse", exclusive=True, thread=True, exit_on_error=False)

    def _answer(self, about: Comparison) -> None:
        """In a thread of its own, which tells by messages."""
        from wizard.reuse import answer_to

        worker = get_current_worker()

        def tell(reuse: Reuse) -> None:
            if not worker.is_cancelled:
                self.post_message(self.News(about, reuse))

        def started(inquiry: WeightsInquiry) -> None:
            self._inquiry = inquiry
            if worker.is_cancelled:
                inquiry.stop()

        tell(answer_to(about, tell, started))

    def on_reuse_desk_news(self, event: News) -> None:
        """What was downloaded is here from now on, and not asked about again."""
        event.stop()
        if event.about != self._about:
            return
        if event.reuse.state in ("known", "refused"):
            from wizard.reuse import fetched

            self._about = fetched(event.about)
            self._answers[self._about] = event.reuse
        self.tell(event.reuse)

    def tell(self, reuse: Reuse) -> None:
        """This is known now of the choice."""
        self._now = reuse
        self.post_message(self.Told())

    def _stop(self) -> None:
        if self._pause:
            self._pause.stop()
            self._pause = None
        self.workers.cancel_node(self)
        if self._inquiry:
            self._inquiry.stop()
            self._inquiry = None

    def on_unmount(self) -> None:
        self._stop()
