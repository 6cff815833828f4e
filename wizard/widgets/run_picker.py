"""The runs of a folder to choose one from, with where each stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from engine.run_folder import RunFolder
from wizard.run_words import metric_name, run_name
from wizard.summary import Summary, read_run, summary_of
from wizard.widgets.status import COLORS, SYMBOLS
from wizard.words import cut, moment, percent

STATE, BEST, DATE, BETWEEN = 13, 12, 16, 2  # cells of the columns
NOBODY = "no other run"


class RunPicker(ModalScreen[RunFolder | str | None]):
    """Dismisses with the run that was chosen, with NOBODY, or with None where it was closed.

    The names stand there at once; what their logs say is read meanwhile, in a thread, the newest first.
    """

    CSS = """
    RunPicker { align: center middle; }
    RunPicker > Vertical {
        width: 100; max-width: 100%; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    RunPicker Input { margin-bottom: 1; background: $surface; }
    RunPicker OptionList { height: auto; max-height: 100%; background: $surface; border: none; padding: 0; }
    RunPicker OptionList > .option-list--option { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
    ]

    @dataclass
    class Told(Message):
        """What the log of a run says."""

        place: int
        summary: Summary

    def __init__(self, title: str, runs: list[RunFolder], current: RunFolder | None = None, may_be_none: bool = False):
        """runs: the newest first. current: marked, and where the choice begins. may_be_none: NOBODY can be chosen."""
        super().__init__()
        self._title = title
        self._runs = runs
        self._current = current
        self._known: dict[int, Summary] = {}
        self._may_be_none = may_be_none

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title, box.border_subtitle = self._title, "Enter chooses  Esc closes"
            yield Input(placeholder="type a part of the name", compact=True)
            yield OptionList(compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self.query_one(OptionList).can_focus = False  # keys go to the text; the arrows are passed on
        self._list()
        self._read()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._list)

    @work(thread=True)
    def _read(self) -> None:
        worker = get_current_worker()
        for place, run in enumerate(self._runs):
            if worker.is_cancelled:
                return
            self.post_message(self.Told(place, summary_of(read_run(run))))

    def on_run_picker_told(self, told: Told) -> None:
        self._known[told.place] = told.summary
        choices = self.query_one(OptionList)
        if any(option.id == str(told.place) for option in choices.options):
            choices.replace_option_prompt(str(told.place), self._line(told.place))

    @on(Input.Changed)
    def _list(self) -> None:
        """The runs whose names have what was typed; the choice stays where it was, if that is still there."""
        typed = self.query_one(Input).value.strip().lower()
        choices = self.query_one(OptionList)
        before = choices.highlighted_option.id if choices.highlighted_option else self._place_of_current()
        options = [
            Option(self._line(place), id=str(place))
            for place, run in enumerate(self._runs)
            if typed in run_name(run).lower()
        ]
        if self._may_be_none and not typed:
            options.append(Option(Content.styled(NOBODY, "$foreground 60%"), id=NOBODY))
        choices.set_options(options)
        ids = [option.id for option in options]
        choices.highlighted = ids.index(before) if before in ids else 0 if ids else None

    def _place_of_current(self) -> str:
        return next((str(place) for place, run in enumerate(self._runs) if run == self._current), "0")

    def _line(self, place: int) -> Content:
        """State, name, best and date; what does not fit is cut from the name."""
        run, known = self._runs[place], self._known.get(place)
        room = self.query_one(OptionList).scrollable_content_region.width or 76
        name_width = max(room - STATE - BEST - DATE - 3 * BETWEEN, 8)
        name = _fitted(run_name(run), name_width)
        weight = "bold" if run == self._current else ""
        if known is None:
            return Content.assemble(_fitted("…", STATE), " " * BETWEEN, (name, weight))
        state = _fitted(f"{SYMBOLS[known.status]} {known.status}", STATE)
        best = "" if known.best is None else f"{metric_name(known.key_metric or '')} {percent(known.best)}"
        return Content.assemble(
            (state, COLORS[known.status]), " " * BETWEEN, (name, weight), " " * BETWEEN,
            _fitted(best, BEST), " " * BETWEEN, (moment(known.began), "$foreground 60%"),
        )  # fmt: skip

    def action_move(self, how: str) -> None:
        getattr(self.query_one(OptionList), f"action_{how}")()

    @on(Input.Submitted)
    def _choose(self) -> None:
        if (option := self.query_one(OptionList).highlighted_option) is not None:
            self._chosen(option)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._chosen(event.option)

    def _chosen(self, option: Option) -> None:
        self.dismiss(NOBODY if option.id == NOBODY else self._runs[int(option.id or 0)])


def _fitted(text: str, width: int) -> str:
    """In exactly so many cells."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))
