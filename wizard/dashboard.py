"""The live view of a run: a fold over its event log, and four words back to the engine.

It reads a folder and nothing else, so it works the same on a run that trains now, one on another machine's disk, and
one that ended last week. Leaving it changes nothing.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static, Tab, Tabs

from engine.events import CheckpointSaved, Event, LogReader, RunStarted, Step, Validation, WentBack
from engine.run_folder import Control, RunFolder, runs_beside
from wizard.compare import other_run
from wizard.followed import SLICE_BYTES, FollowedRun, Shown
from wizard.run_words import accuracy_name, resume_command, run_name, what_next, what_stalled
from wizard.summary import read_run
from wizard.terminal import StudioApp
from wizard.widgets.classes import ClassAccuracy
from wizard.widgets.curve import Curve, Line
from wizard.widgets.event_list import EventList
from wizard.widgets.key_bar import KeyBar
from wizard.widgets.keys import KeysScreen
from wizard.widgets.log_tail import LogTail
from wizard.widgets.numbers import Numbers
from wizard.widgets.question import Question
from wizard.widgets.run_picker import NOBODY, RunPicker
from wizard.widgets.series import Series
from wizard.widgets.status import StatusBar, waiting_for
from wizard.widgets.versus import Versus
from wizard.widgets.words import Words
from wizard.words import duration, quoted, sentence_case

READ_PAUSE = 0.1
DRAW_PAUSE = 0.2
PAUSE_BEHIND = 1.0  # between two drawings while a long log is read, which they would only hold up
FIRST_LOOK = 0.7  # seconds of reading before anything is drawn: a log of a million events is then seen whole at once
DOUBLE_CLICK = 0.5  # seconds
TWO_ROWS_OF_KEYS = 116  # columns, below which the keys do not fit into one row

PANELS = ("loss", "accuracy", "numbers", "events", "classes", "log", "versus")
TABBED = ("events", "classes", "log", "versus")
TITLES = {"events": "Events", "classes": "Classes", "log": "Log", "versus": "Compare"}
OVER: tuple[Shown, ...] = ("finished", "interrupted", "failed", "crashed")


@dataclass(frozen=True)
class Look:
    """What goes along to another run: the panel in hand, how the curves are drawn, and what they are compared with."""

    panel: str = "loss"
    is_zoomed: bool = False
    log_y: bool = False
    smooth: bool = False
    other: RunFolder | None = None


class DashboardCommands(Provider):
    """The dashboard's keys as entries of the command palette."""

    async def discover(self) -> Hits:
        for binding, run in self._commands():
            yield DiscoveryHit(binding.tooltip, run)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding, run in self._commands():
            if (score := matcher.match(binding.tooltip)) > 0:
                yield Hit(score, matcher.highlight(binding.tooltip), run)

    def _commands(self) -> Iterator:
        for binding in DashboardScreen.BINDINGS:
            if isinstance(binding, Binding) and binding.show:
                yield binding, lambda action=binding.action: self.screen.run_action(action)


class DashboardScreen(Screen[None]):
    """Everything about one run on one screen."""

    CSS = """
    DashboardScreen { layout: vertical; }
    #banner { display: none; height: auto; max-height: 6; padding: 0 1; background: $panel; }
    #banner.-said { display: block; }
    #banner.-bad { color: $error; }
    DashboardScreen.-short.-versus #banner.-fine { display: none; }
    #other { display: none; height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    #other.-said { display: block; }
    #panels { height: 1fr; }
    #curves { height: 1fr; }
    #curves > Curve { width: 1fr; height: 100%; }
    #details { height: 10; }
    #numbers { width: 38; }
    #side { width: 1fr; height: 100%; }
    #side > .panel { height: 1fr; }
    .panel {
        border: round $foreground 25%; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $foreground 60%;
        padding: 0 0 0 1; background: $background;
        scrollbar-size: 1 1; scrollbar-background: $background; scrollbar-color: $foreground 20%;
        scrollbar-corner-color: $background;
    }
    .panel:focus { border: round $primary; }
    .panel:focus:nocolor, Curve:focus:nocolor { border: heavy $primary; }
    #side.-tabbed > .panel { border-top: none; }
    .-away { display: none; }

    Tabs { height: 1; }
    Tabs #tabs-list-bar { height: 1; }
    Tabs Underline { display: none; }
    Tab { padding: 0 1; color: $foreground 60%; }
    Tab.-active { color: $primary; text-style: bold reverse; }

    DashboardScreen.-tall #details { height: 40%; min-height: 12; }
    DashboardScreen.-all #side { layout: grid; grid-size: 2 2; grid-columns: 1fr 1fr; }
    DashboardScreen.-all #side > #classes { row-span: 2; }
    DashboardScreen.-all.-versus #side > #classes { row-span: 1; }
    DashboardScreen.-all #numbers { width: 40; }
    DashboardScreen.-xwide KeyBar { padding: 0 1; FooterKey { margin-right: 2; } }
    DashboardScreen.-one #numbers { width: 1fr; }
    DashboardScreen.-one #details { height: 1fr; min-height: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Leave", tooltip="Leave; the run goes on"),
        Binding("p", "pause", "Pause", tooltip="Pause after this step, or go on"),
        Binding("w", "checkpoint", "Save", tooltip="Save a checkpoint now"),
        Binding("s", "stop", "Stop", tooltip="Save a checkpoint and stop (asks)"),
        Binding("c", "compare", "Compare", tooltip="Compare with another run"),
        Binding("r", "runs", "Runs", tooltip="Go to another run"),
        Binding("b", "neighbour(-1)", "Before", tooltip="Go to the run before this one"),
        Binding("n", "neighbour(1)", "Next", tooltip="Go to the next run"),
        Binding("z,enter", "zoom", "Zoom", tooltip="One panel, or all (or double click)"),
        Binding("l", "log_axis", "Log", tooltip="Loss on a log axis, or a linear one"),
        Binding("m", "smooth", "Smooth", tooltip="Smooth the training curves, or not"),
        Binding("tab", "panel(1)", "Panel", key_display="tab", tooltip="Go to the next panel"),
        Binding("shift+tab", "panel(-1)", "Panel", show=False, tooltip="Go to the panel before"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="Show this help"),
    ]
    COMMANDS: ClassVar = {DashboardCommands}
    AUTO_FOCUS = "#loss"

    def __init__(
        self,
        run: RunFolder,
        clock: Callable[[], float] = time.time,
        look: Look | None = None,
        reader: LogReader | None = None,
    ):
        """look: how another run was looked at, from which one came here. reader: of its log, from the start."""
        super().__init__()
        self.run = run
        self.clock = clock
        self.followed = FollowedRun(run, clock, reader=reader)
        self.other: FollowedRun | None = None
        self.state = self.followed.state
        self.status: Shown = "starting"
        self._changed: set[type[Event]] = set()
        self._is_save_asked = False
        self._is_other_changed = False
        self._is_behind = False  # there is more in a log than was read
        self._drawn = 0.0  # when
        self._look = look or Look()
        self._is_zoomed = self._look.is_zoomed
        self._current = self._look.panel
        self._zoomed_at = -math.inf  # by a click

    def compose(self) -> ComposeResult:
        yield StatusBar(run_name(self.run), id="status")
        yield Static(id="banner")
        yield Words(id="other")
        with Container(id="panels"):
            with Horizontal(id="curves"):
                run = self.followed
                yield Curve("Loss", _lines(run.train_loss, run.val_loss), id="loss")
                yield Curve("Accuracy", _lines(run.train_accuracy, run.val_accuracy), share=True, id="accuracy")
            with Horizontal(id="details"):
                yield _panel(Numbers(id="numbers"), "Numbers")
                with Container(id="side"):
                    tabs = Tabs(*(Tab(TITLES[name], id=f"tab-{name}") for name in TABBED), id="tabs")
                    tabs.can_focus = False
                    yield tabs
                    yield _panel(ClassAccuracy(id="classes"), TITLES["classes"])
                    yield _panel(EventList(id="events"), TITLES["events"])
                    yield _panel(Versus(id="versus"), TITLES["versus"])
                    yield _panel(LogTail(self.run.log, id="log"), TITLES["log"])
        yield KeyBar()

    def on_mount(self) -> None:
        for curve in self.query(Curve):
            curve.log_y, curve.smooth = self._look.log_y and curve.id == "loss", self._look.smooth
        began = time.monotonic()
        self._is_behind = True
        while self._is_behind and time.monotonic() < began + FIRST_LOOK:
            self._is_behind = self._read_slice()
        if self._look.other and self._look.other != self.run:
            self._compare_with(self._look.other)
        self._go_to_panel(self._current)
        self._draw()
        self.set_interval(DRAW_PAUSE, self._draw_in_time)
        self._follow()

    # --- reading ------------------------------------------------------------------------------------------------------

    @work
    async def _follow(self) -> None:
        while True:
            was_behind, self._is_behind = self._is_behind, self._read_slice() | self._read_other()
            if was_behind and not self._is_behind:
                self._draw()
            await asyncio.sleep(0 if self._is_behind else READ_PAUSE)

    def _read_slice(self) -> bool:
        """Take in a bounded part of what is new; True where there may be more."""
        events, is_behind = self.followed.read(SLICE_BYTES)
        for event in events:
            self._changed.add(type(event))
            self.query_one(EventList).add(event)
            if isinstance(event, CheckpointSaved) and self._is_save_asked:
                self._is_save_asked = False
                self.notify(f"Saved {event.path}, step {event.step:,}.", markup=False)
        return is_behind

    def _read_other(self) -> bool:
        if self.other is None:
            return False
        events, is_behind = self.other.read(SLICE_BYTES)
        self._is_other_changed = self._is_other_changed or bool(events)
        return is_behind

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _draw_in_time(self) -> None:
        if not self._is_behind or time.monotonic() >= self._drawn + PAUSE_BEHIND:
            self._draw()

    def _draw(self) -> None:
        """Bring the screen up to date, panel by panel, each only when something of its own changed."""
        self._drawn = time.monotonic()
        changed, self._changed = self._changed, set()
        status = self.followed.status()
        if status != self.status or RunStarted in changed:
            self.status = status
            self._draw_end()
            self._prepare_curves()
        is_other_changed, self._is_other_changed = self._is_other_changed, False
        if is_other_changed or changed & {Step, Validation, RunStarted, WentBack}:
            self.query_one("#loss", Curve).redraw()
            self.query_one("#accuracy", Curve).redraw()
        if is_other_changed or changed:
            self.query_one(Numbers).show(self.state, self.other.state.best if self.other else None)
            self.query_one(Versus).redraw()
        if changed:
            self.query_one(EventList).redraw()
        if changed & {Validation, RunStarted} and self.state.started and self.state.validations:
            self.query_one(ClassAccuracy).show(self.state.started.classes, self.state.validations[-1])
        self.query_one(StatusBar).show(status, self.state, self._note())
        self._draw_other()
        self.query_one(LogTail).follow()

    def _prepare_curves(self) -> None:
        started = self.state.started
        for curve in self.query(Curve):
            curve.epochs = started.epochs if started else 0
            curve.waiting = waiting_for(self.status, started.train_clips if started else 0)
        if started:
            accuracy = self.query_one("#accuracy", Curve)
            accuracy.title = sentence_case(accuracy_name(started))
            accuracy.level = ("chance", started.chance)

    def _draw_end(self) -> None:
        if self.status == "stalled":
            text = what_stalled(self.run, self.state.last_time, self.followed.rhythm.expectation())
        else:
            text = what_next(self.run, self.status, self.state.ended)
        banner = self.query_one("#banner", Static)
        banner.update(Content(text))
        banner.set_class(bool(text), "-said")
        banner.set_class(self.status in ("failed", "crashed"), "-bad")
        banner.set_class(self.status == "finished", "-fine")

    def _draw_other(self) -> None:
        """The line that says what the dashed curves are."""
        words = self.query_one("#other", Words)
        words.set_class(self.other is not None, "-said")
        if self.other is not None:
            words.say(other_run(self.followed, self.other))

    def _note(self) -> str:
        """A word that the engine has not taken yet, and how long it has been silent where that is too long."""
        if self.status in OVER:
            return ""
        asked = f"asked: {word}" if (word := self._unheard()) else ""
        silent = f"silent for {duration(self.followed.silence())}" if self.status == "stalled" else ""
        return "  ".join(filter(None, (silent, asked)))

    def _unheard(self) -> str:
        try:
            return self.run.control.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    # --- panels -------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        # The breakpoint classes are set right after this; what they decide comes then.
        self.call_next(self._arrange)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget.id in PANELS:
            self._current = event.widget.id
            if self._is_zoomed or self.has_class("-one"):
                self._arrange()

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Decide which panels are on screen: all, all but some behind tabs, or one alone."""
        is_small = self.size.width < 60 or self.size.height < 16
        is_one = self._is_zoomed or is_small
        is_all = not is_one and self.has_class("-xwide") and self.has_class("-tall")
        shown_tab = self.query_one(Tabs).active.removeprefix("tab-") or TABBED[0]
        self.set_class(is_one, "-one")
        self.set_class(is_all, "-all")
        self.set_class(self.other is not None, "-versus")
        if is_all and self._current not in self._panels():
            self._current = "loss"
            self.query_one("#loss").focus()
        for panel in PANELS:
            hidden = panel != self._current if is_one else panel in TABBED and panel != shown_tab and not is_all
            self.query_one(f"#{panel}").set_class(hidden or (is_all and panel not in self._panels()), "-away")
        self.query_one(Tabs).set_class(is_one or is_all, "-away")
        self.query_one("#side").set_class(not (is_one or is_all), "-tabbed")
        self.query_one("#curves").set_class(is_one and self._current not in ("loss", "accuracy"), "-away")
        self.query_one("#details").set_class(is_one and self._current in ("loss", "accuracy"), "-away")
        self.query_one("#side").set_class(is_one and self._current == "numbers", "-away")
        self.query_one(KeyBar).rows = 1 if is_small else 2 if self.size.width < TWO_ROWS_OF_KEYS else 1

    def _panels(self) -> tuple[str, ...]:
        """Those that one can go to: where all are on screen at once, an empty comparison would only take room."""
        return PANELS[:-1] if self.has_class("-all") and self.other is None else PANELS

    def action_panel(self, step: int) -> None:
        """Go to the next panel, and bring it out where it lies behind a tab."""
        panels = self._panels()
        self._go_to_panel(panels[(panels.index(self._current) + step) % len(panels)])

    def _go_to_panel(self, panel: str) -> None:
        self._current = panel
        if panel in TABBED:
            self.query_one(Tabs).active = f"tab-{panel}"
        self._arrange()
        self.query_one(f"#{panel}").focus()

    def action_zoom(self) -> None:
        self._is_zoomed = not self._is_zoomed
        self._arrange()

    def on_click(self, event: events.Click) -> None:
        """A click on a panel's title zooms it, as a double click anywhere in it does; once more brings all back."""
        panel = next((node for node in self._upwards(event.widget) if node.id in PANELS), None)
        if panel is None or event.time - self._zoomed_at < DOUBLE_CLICK:
            return
        is_title = event.screen_offset.y == panel.region.y and panel.border_title is not None
        if is_title or event.chain == 2:
            self._zoomed_at = event.time
            self._current = str(panel.id)
            self.action_zoom()

    def _upwards(self, widget: Widget | None) -> Iterator[Widget]:
        while isinstance(widget, Widget) and widget is not self:
            yield widget
            widget = widget.parent if isinstance(widget.parent, Widget) else None

    def on_curve_read(self, event: Curve.Read) -> None:
        """Both curves are read at the same epoch."""
        for curve in self.query(Curve):
            curve.read_at(event.epoch, event.is_kept)

    def action_log_axis(self) -> None:
        loss = self.query_one("#loss", Curve)
        loss.log_y = not loss.log_y

    def action_smooth(self) -> None:
        for curve in self.query(Curve):
            curve.smooth = not curve.smooth

    def action_help(self) -> None:
        self.app.push_screen(KeysScreen(self))

    # --- other runs ---------------------------------------------------------------------------------------------------

    @work
    async def action_compare(self) -> None:
        others = [run for run in reversed(runs_beside(self.run)) if not _is_same(run, self.run)]
        if not others:
            self.notify(f"There is no other run beside this one, in {self.run.path.resolve().parent}.", markup=False)
            return
        current = self.other.folder if self.other else None
        picker = RunPicker("Compare with another run", others, current, may_be_none=current is not None)
        chosen = await self.app.push_screen_wait(picker)
        if chosen == NOBODY:
            self._compare_with(None)
        elif isinstance(chosen, RunFolder):
            self._compare_with(chosen)

    def _compare_with(self, run: RunFolder | None) -> None:
        """Lay its curves over these; None: take away those that lie there."""
        self.other = FollowedRun(run, self.clock) if run else None
        self._is_other_changed = True
        ours, other = self.followed, self.other
        loss, accuracy = self.query_one("#loss", Curve), self.query_one("#accuracy", Curve)
        loss.lines = _lines(ours.train_loss, ours.val_loss)
        accuracy.lines = _lines(ours.train_accuracy, ours.val_accuracy)
        if other:
            name = run_name(other.folder)
            loss.lines += _lines(other.train_loss, other.val_loss, name)
            accuracy.lines += _lines(other.train_accuracy, other.val_accuracy, name)
        self._read_other()
        self.query_one(Versus).compare(ours, other)
        self.query_one(Tabs).active = "tab-versus" if other else f"tab-{TABBED[0]}"
        self._arrange()

    @work
    async def action_runs(self) -> None:
        picker = RunPicker("Go to another run", runs_beside(self.run)[::-1], self.run)
        chosen = await self.app.push_screen_wait(picker)
        if isinstance(chosen, RunFolder):
            self._go_to_run(chosen)

    def action_neighbour(self, step: int) -> None:
        runs = runs_beside(self.run)
        place = next((place for place, run in enumerate(runs) if _is_same(run, self.run)), -1)
        if place < 0 or not 0 <= place + step < len(runs):
            self.notify("This is the latest run here." if step > 0 else "This is the first run here.")
            return
        self._go_to_run(runs[place + step])

    def _go_to_run(self, run: RunFolder) -> None:
        """Its dashboard in the place of this one, looked at in the same way."""
        if _is_same(run, self.run):
            return
        loss = self.query_one("#loss", Curve)
        other = self.other.folder if self.other else None
        look = Look(self._current, self._is_zoomed, loss.log_y, loss.smooth, other)
        self.app.switch_screen(DashboardScreen(run, self.clock, look))

    # --- words to the engine ------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        self.app.exit(self.run)

    def action_pause(self) -> None:
        if self._can("pause"):
            is_to_resume = self._unheard() == "pause" or (self.status == "paused" and self._unheard() != "resume")
            self._say(
                "resume" if is_to_resume else "pause", "It goes on." if is_to_resume else "Pauses after this step."
            )

    def action_checkpoint(self) -> None:
        if self._can("save"):
            self._is_save_asked = True
            self._say("checkpoint", "Saves a checkpoint after this step.")

    @work
    async def action_stop(self) -> None:
        if not self._can("stop"):
            return
        question = Question(
            "Stop this run?",
            f"It saves a checkpoint and ends. Later it can go on from there:\n\n{resume_command(self.run)}",
            yes="Save and stop",
            no="Keep training",
        )
        if await self.app.push_screen_wait(question) and self._can("stop"):
            self._say("stop", "Stops as soon as its checkpoint is saved.")

    def _can(self, deed: str) -> bool:
        """Whether somebody is there to hear a word; says so where nobody is."""
        if self.status not in OVER:
            return True
        how = (
            "has crashed" if self.status == "crashed" else f"is {self.status}" if self.status != "failed" else "failed"
        )
        self.notify(f"This run {how}; there is nothing to {deed}.", severity="warning")
        return False

    def _say(self, word: Control, answer: str) -> None:
        try:
            self.run.say(word)
        except OSError as error:
            self.notify(f"{self.run.control} cannot be written: {error.strerror}.", severity="error", markup=False)
        else:
            self.notify(answer)


class WatchApp(StudioApp[RunFolder]):
    """`ftwiz watch`: the dashboard alone. Exits with the run that was on screen when it was left."""

    def __init__(self, run: RunFolder, clock: Callable[[], float] = time.time, reader: LogReader | None = None):
        super().__init__()
        self._first = DashboardScreen(run, clock, reader=reader)

    @property
    def dashboard(self) -> DashboardScreen:
        """The one on screen, be there a question over it."""
        shown = (screen for screen in reversed(self.screen_stack) if isinstance(screen, DashboardScreen))
        return next(shown, self._first)

    def on_mount(self) -> None:
        self.push_screen(self._first)


def watch(run: RunFolder, reader: LogReader | None = None) -> None:
    """Show the dashboard until it is left; then say how to come back. The caller has made sure of a terminal.

    reader: of the run's log, which may have been begun already."""
    last = WatchApp(run, reader=reader).run() or run
    print(farewell(last), file=sys.stderr)


def farewell(run: RunFolder) -> str:
    """What to say to someone who leaves the dashboard: the run goes on, or how it ended."""
    state = read_run(run).state
    if text := what_next(run, run.status(state), state.ended):
        return text
    return f"The run goes on. Come back with: ftwiz watch {quoted(run.path)}"


def _lines(train: Series, val: Series, of: str = "") -> list[Line]:
    return [Line("train", points=train, of=of), Line("val", "○" if of else "●", points=val, of=of)]


def _is_same(one: RunFolder, other: RunFolder) -> bool:
    return one.path.resolve() == other.path.resolve()


def _panel(widget: Widget, title: str) -> Widget:
    widget.add_class("panel")
    widget.border_title = title
    return widget
