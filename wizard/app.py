"""`ftwiz new`: the four decisions as steps, then the review, then the dashboard of the run that was launched."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Container, Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import ContentSwitcher, DataTable, Input
from textual.worker import Worker, WorkerState, get_current_worker

from engine.errors import RecipeError
from engine.recipe import load_recipe
from wizard.decisions import DECISIONS, LOOKS_AGAIN, decision_of
from wizard.draft import Draft, checked_overrides
from wizard.drafts import SavedDraft, find_draft, forget_draft, keep_draft
from wizard.inference import free_path
from wizard.steps.dataset import DatasetStep
from wizard.steps.step import Checked, Measured, Step
from wizard.terminal import EXTRA_WIDE, NARROW, WIDE, StudioApp
from wizard.widgets.field import Answered, Asked
from wizard.widgets.key_bar import KeyBar
from wizard.widgets.keys import KeysScreen
from wizard.widgets.paths import FolderPicker, half_typed
from wizard.widgets.reuse_desk import ReuseDesk
from wizard.widgets.sidebar import NOT_YET, SEEN, WRONG, Sidebar, SidebarItem
from wizard.widgets.words import Words
from wizard.words import sentence_case

if TYPE_CHECKING:
    from engine.dataset.contact_sheet import ContactSheet
    from engine.recipe import Recipe
    from engine.run_folder import RunFolder
    from wizard.estimate import Measuring

ORDER = [decision.name for decision in DECISIONS]
WAY = ("wizard.next", "wizard.back")  # by their bindings' ids
TYPING_PAUSE = 0.3  # seconds without a key before the data are looked at, and the draft is kept


@dataclass
class CheckGoesOn(Message):
    """News of the check of the videos."""

    checked: Checked


@dataclass
class MeasuringGoesOn(Message):
    """News of the process that measures a few steps."""

    doing: str


@dataclass(frozen=True)
class WizardResult:
    """What came of it. saved: the recipe's path. run: the training that was launched. draft_kept: to go on with;
    not_kept: why that could not be."""

    saved: Path | None = None
    run: RunFolder | None = None
    draft_kept: bool = False
    not_kept: str = ""


def run_wizard(
    data: Path | None, out: Path | None, overrides: Mapping[str, Any], answers: Mapping[str, str] | None = None
) -> WizardResult:
    """Draw the wizard on this terminal until the user leaves it. answers: by key, from the command line.

    Raises RecipeError for overrides that cannot be.
    """
    app = WizardApp(data, out, checked_overrides(overrides), checks=True)
    app.wizard.answer(answers or {})
    app.run()
    return app.wizard.result


class WizardApp(StudioApp[None]):
    """The wizard, and after a launch the dashboard, in one app."""

    TITLE = "ftwiz new"

    def __init__(
        self,
        data: Path | None = None,
        out: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        checks: bool = False,
    ):
        """checks: look into videos and weights and measure a few steps unasked, in processes of their own."""
        super().__init__()
        self.wizard = WizardScreen(data, out, dict(overrides or {}), checks)

    def on_mount(self) -> None:
        self.call_later(self.push_screen, self.wizard)  # once the theme is set, so that it is drawn once

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        if isinstance(screen, WizardScreen):
            for decision in DECISIONS:
                yield SystemCommand(f"Go to {decision.title}", decision.asks, partial(screen.go_to, decision.name))
            yield from screen.step.commands()
            yield SystemCommand("Start afresh", "Put this draft aside", screen.action_afresh)


def step_of(name: str) -> Step:
    """The step of a decision. The first screen does not wait for the files of those to come."""
    match name:
        case "head":
            from wizard.steps.head import HeadStep

            return HeadStep()
        case "weights":
            from wizard.steps.weights import WeightsStep

            return WeightsStep()
        case "schedule":
            from wizard.steps.schedule import ScheduleStep

            return ScheduleStep()
        case "review":
            from wizard.steps.review import ReviewStep

            return ReviewStep()
    raise ValueError(name)


class WizardScreen(Screen[None]):
    """The steps, and the draft that they fill in."""

    CSS_PATH = "app.tcss"
    # The sidebar stands beside the step only where the step keeps the 80 columns that it is laid out for.
    HORIZONTAL_BREAKPOINTS = [(0, NARROW), (116, WIDE), (140, EXTRA_WIDE)]  # noqa: RUF012, as Textual declares it
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "next", "Next", id="wizard.next", tooltip="Go on to the next step"),
        Binding("enter", "next", "Next", show=False),
        Binding("escape", "back", "Back", id="wizard.back", tooltip="Back to the step before"),
        Binding("ctrl+b", "back", "Back", show=False),
        Binding("down,right", "app.focus_next", "Next field", show=False),
        Binding("up,left", "app.focus_previous", "Previous field", show=False),
        Binding("ctrl+o", "browse", "Browse", id="wizard.browse", tooltip="Look for the folder in a tree"),
        Binding("f2,v", "look", "Frames", key_display="f2", id="wizard.look", tooltip="See what the model will see"),
        Binding("ctrl+l", "launch", "Launch", id="wizard.launch", tooltip="Write the recipe, start training"),
        Binding("ctrl+s", "save", "Save", id="wizard.save", tooltip="Write the recipe and leave"),
        Binding(
            "ctrl+r",
            "afresh",
            "Afresh",
            show=False,
            id="wizard.afresh",
            tooltip="Put this draft aside; again brings it back",
        ),
        Binding("f1,question_mark", "keys", "Keys", key_display="f1", id="wizard.keys", tooltip="All keys that work"),
        Binding("ctrl+q", "app.quit", "Quit", priority=True, tooltip="Leave; the draft is kept"),
    ]

    def __init__(self, data: Path | None, out: Path | None, overrides: dict[str, Any], checks: bool = False) -> None:
        super().__init__()
        self._checks = checks
        self.checked = Checked()
        self.measured = Measured()
        self._measuring: Measuring | None = None  # the process
        self._measured_recipe: Recipe | None = None  # that it measures or has measured
        self.asked: dict[str, Any] = {} if data is None else {"data": str(data)}  # on the command line
        self.greeting = ""
        if out is not None:
            free = free_path(out)
            self.asked["out"] = str(free)
            if free != out:
                self.greeting = f"{out} is there already and stays as it is; this recipe will be {free}."
        self.draft = Draft(dict(self.asked), overrides)
        self.restored = find_draft(data)
        if self.restored:
            self.draft.given = self.restored.given | self.asked
            of = f" for {self.restored.data}" if self.restored.data else ""
            self.greeting = f"Restored your draft{of} from {self.restored.saved(time.time())}. Ctrl+R starts afresh."
        self._kept = self.restored or SavedDraft(uuid4().hex, dict(self.asked), time.time())
        self._aside: SavedDraft | None = None  # what Ctrl+R put away
        self.left: set[str] = set()  # steps that were looked at and left
        self.insisted: set[str] = set()  # steps that one tried to leave with something missing
        self._not_kept = ""  # why the draft could not be kept, the last time it was tried
        self.changed = False  # since the draft was restored or the recipe saved
        self.launched: RunFolder | None = None
        self._offers: tuple[str, bool, bool] | None = None  # what the footer was made for
        self._pause: Timer | None = None
        self._go_on_when_found = False
        self._sheet: ContactSheet | None = None
        self._shown_at: Size | None = None

    def answer(self, answers: Mapping[str, str]) -> None:
        """What the command line says too: before what a draft says, and never put aside."""
        self.asked |= answers
        self.draft.given |= answers
        self._kept.given.update(answers)

    @property
    def result(self) -> WizardResult:
        """What came of it so far."""
        saved = self.draft.written[0] if self.draft.written else None
        is_open = self.changed or (saved is None and bool(self.restored))
        return WizardResult(saved, self.launched, is_open and not self._not_kept, self._not_kept if is_open else "")

    # --- what is on the screen ----------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            yield Sidebar()
            with Vertical(id="main"):
                yield Words(id="banner")
                with ContentSwitcher(id="steps", initial="step-dataset"):
                    yield DatasetStep(self.contact_sheet if self._checks else None)  # it waits for no other step
                yield Words(id="help")
        yield ReuseDesk(asks=self._checks)
        yield KeyBar()

    async def on_mount(self) -> None:
        self._say(self.greeting)
        await self.go_to("dataset")
        if self.draft.data_path:
            self._look()

    def on_resize(self) -> None:
        """There may be room for more now."""
        if self.size != self._shown_at and self.query("#step-dataset"):
            self.call_later(self.show)

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """On every step the way on and the way back stand first."""
        active = super().active_bindings
        return dict(sorted(active.items(), key=lambda item: item[1].binding.id not in WAY))

    @property
    def here(self) -> str:
        """The name of the decision on the screen."""
        return str(self.query_one("#steps", ContentSwitcher).current).removeprefix("step-")

    @property
    def step(self) -> Step:
        return self.query_one(f"#step-{self.here}", Step)

    def show(self) -> None:
        """Bring the step on the screen and the sidebar up to date with the draft."""
        self._shown_at = self.size
        self.draft.reuse = self.query_one(ReuseDesk).look_at(self.draft)
        problems = self.draft.problems()
        wrong = {decision_of(key) for key in problems if not self._merely_missing(key)}
        marks = {name: WRONG if name in wrong else SEEN if name in self.left else NOT_YET for name in ORDER}
        summaries = {name: self.draft.summary(name) for name in ORDER}
        if self._looking:
            summaries["dataset"] = "looking …"
        self.query_one(Sidebar).show(self.here, marks, summaries)
        step = self.step
        self._bring_what_was_measured_up_to_date(problems)
        step.looking, step.checked, step.measured = self._looking, self.checked, self.measured
        if self.here != "review":
            problems = {key: sentence for key, sentence in problems.items() if not self._merely_missing(key)}
        step.show(self.draft, problems)
        if self._offers != (offers := (self.here, self._has_a_draft, bool(self.draft.found))):
            self._offers = offers
            self.refresh_bindings()

    @property
    def _has_a_draft(self) -> bool:
        """Something to put aside, or to bring back."""
        return bool(self.restored or self._aside or self.changed)

    @property
    def _is_half_typed(self) -> bool:
        """A path that may still become one."""
        return "dataset" not in self.insisted and bool(half_typed(str(self.draft.value("data"))))

    def _merely_missing(self, key: str) -> bool:
        """An answer that nobody has had the time to give is no mistake, until one tries to go on without it."""
        if key == "data" and (self._looking or self._is_half_typed):
            return True
        return key in ("data", "source") and not self.draft.value(key) and decision_of(key) not in self.insisted

    async def go_to(self, name: str) -> None:
        """Show a step. Every step may be visited at any time."""
        if name != self.here:
            self.left.add(self.here)
            self._say("")
        switcher = self.query_one("#steps", ContentSwitcher)
        if not switcher.query(f"#step-{name}"):
            await switcher.add_content(step_of(name))
        switcher.current = f"step-{name}"
        self.query_one("#help", Words).say("")
        self._measure_unasked()
        self.show()
        self._focus_first()

    def _focus_first(self) -> None:
        """At once: keys typed right after a step changed are meant for the new one."""
        self.set_focus(self.step.first_focus())

    def _say(self, sentence: str) -> None:
        banner = self.query_one("#banner", Words)
        banner.say(sentence)
        banner.display = bool(sentence)

    # --- answers ------------------------------------------------------------------------------------------------------

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        before = dict(self.draft.given)
        if event.field:
            event.field.hear(event.text)
        self.draft.give(event.key, event.text)
        if self.draft.given != before:
            self.changed = True
            self._go_on_when_found = False
            if event.key in ("data", "annotations"):
                self.draft.found, self.draft.trouble = None, ""
                self.workers.cancel_group(self, "look")
                self.workers.cancel_group(self, "check")
                self.checked = Checked()
            self._after_a_pause(look=event.key in LOOKS_AGAIN)
        self.show()

    @on(Asked)
    def _asked(self, event: Asked) -> None:
        question = event.question
        if decision_of(question.key) != self.here:
            return  # of a step that was left before this came
        # Beside a choice, a narrow screen has no room for the reason.
        why = self.draft.answer(question.key).why if question.choices and self.has_class(NARROW) else ""
        self.query_one("#help", Words).say(". ".join(filter(None, [sentence_case(why), question.help])))

    def _after_a_pause(self, look: bool) -> None:
        """Typing is not interrupted by looking at half a path, nor by the disk."""
        if self._pause:
            self._pause.stop()
        self._look_after_pause = look or self._look_after_pause
        self._pause = self.set_timer(TYPING_PAUSE, self._paused)

    _look_after_pause = False

    def _paused(self) -> None:
        self._pause = None
        self.keep()
        if self._look_after_pause:
            self._look()

    def keep(self) -> None:
        """Keep the draft, if anything was said since it was last safe."""
        if self.changed:
            self._kept = SavedDraft(self._kept.id, dict(self.draft.given), time.time())
            try:
                keep_draft(self._kept)
            except OSError as error:
                sentence = f"The draft cannot be kept: {error.strerror}."
                if sentence != self._not_kept:
                    self.notify(sentence, severity="warning", markup=False)
                self._not_kept = sentence
            else:
                self._not_kept = ""

    def on_unmount(self) -> None:
        self.close_contact_sheet()
        self._stop_measuring()
        self.keep()

    # --- looking at the data, in a thread -----------------------------------------------------------------------------

    def _look(self) -> None:
        self._look_after_pause = False
        if self.draft.data_path:
            copy = Draft(dict(self.draft.given), dict(self.draft.overrides))
            self.run_worker(copy.looked_at, name="look", group="look", exclusive=True, thread=True)
        self.show()

    @property
    def _looking(self) -> bool:
        return self._look_after_pause or any(
            worker.group == "look" and not worker.is_finished for worker in self.workers
        )

    @on(Worker.StateChanged)
    async def _looked(self, event: Worker.StateChanged) -> None:
        if event.worker.group != "look" or event.state != WorkerState.SUCCESS:
            return
        seen = event.worker.result
        assert isinstance(seen, Draft)
        self.draft.take_over(seen)
        self._check()
        self.show()
        if self._go_on_when_found:
            self._go_on_when_found = False
            await self.action_next()

    # --- looking into the videos, in a thread that asks other processes -----------------------------------------------

    def _check(self) -> None:
        """Anew for every dataset that was recognised; what has been decoded once is remembered."""
        from wizard.check import check_in_background

        self.workers.cancel_group(self, "check")
        self.checked = Checked()
        if self._checks and self.draft.found:
            recipe = self.draft.recipe_as_far_as_it_goes()
            work = partial(check_in_background, recipe, self._tell)
            self.run_worker(work, group="check", exclusive=True, thread=True, exit_on_error=False)

    def _tell(self, done: int, total: int) -> bool:
        """Of the progress, from the worker's thread. Returns whether to go on."""
        if get_current_worker().is_cancelled:
            return False
        self.post_message(CheckGoesOn(Checked(done, total)))
        return True

    @on(Worker.StateChanged)
    def _check_ended(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "check" and event.state == WorkerState.SUCCESS and event.worker.result:
            self.post_message(CheckGoesOn(Checked(report=event.worker.result)))

    def on_check_goes_on(self, event: CheckGoesOn) -> None:
        self.checked = event.checked
        if event.checked.report:
            self._measure_unasked()
        if self.here in ("dataset", "review"):
            self.show()

    # --- what the model will see, in a process of its own -------------------------------------------------------------

    def contact_sheet(self) -> ContactSheet:
        """Whom to ask for frames; the process starts with the first question."""
        from engine.dataset.contact_sheet import ContactSheet

        self._sheet = self._sheet or ContactSheet()
        return self._sheet

    def close_contact_sheet(self) -> None:
        """End the process, if there is one."""
        if self._sheet:
            self._sheet.close()
            self._sheet = None

    def action_look(self) -> None:
        """See what the model will see."""
        from wizard.contact_sheet import ContactSheetScreen

        assert self.draft.found
        try:
            recipe = self.draft.recipe_as_far_as_it_goes()
        except RecipeError as error:
            self._say(f"✗ {' '.join(str(error).split())}")
            return
        self.app.push_screen(ContactSheetScreen(recipe, self.draft.found.classes, self.contact_sheet))

    # --- measuring a few steps, in a process that a thread listens to -------------------------------------------------

    def action_measure(self) -> None:
        """Measure what these answers would train; stop, where that goes on."""
        if self._measuring:
            self._stop_measuring()
        elif not self.draft.problems():
            self._measure()
        self.show()

    def _measure_unasked(self) -> None:
        """Once the review is reached, where nothing else keeps this machine busy."""
        is_known = self.measured.estimate and not self.measured.is_stale
        if not self._checks or self.here != "review" or self._measuring or is_known or self.measured.trouble:
            return
        if self._is_checking or self.draft.problems() or self._is_training():
            return
        self._measure(nice=10)

    def _measure(self, nice: int = 0) -> None:
        from wizard.estimate import SECONDS, Measuring, busy

        self._stop_measuring()
        self._measured_recipe = self.draft.recipe()
        self._measuring = Measuring(self._measured_recipe, SECONDS, nice=nice)
        beside = (
            "The videos were being checked meanwhile: a run has more of the machine." if self._is_checking else busy()
        )
        self.measured = Measured(doing="starting", beside=beside)
        work = partial(self._measuring.result, self._tell_of_measuring)
        self.run_worker(work, group="measure", exclusive=True, thread=True, exit_on_error=False)

    def _tell_of_measuring(self, doing: str) -> None:
        """From the worker's thread."""
        if not get_current_worker().is_cancelled:
            self.post_message(MeasuringGoesOn(doing))

    def _stop_measuring(self) -> None:
        if self._measuring:
            self.workers.cancel_group(self, "measure")
            self._measuring.stop()
            self._measuring, self.measured = None, Measured()

    def on_measuring_goes_on(self, event: MeasuringGoesOn) -> None:
        if self._measuring:
            self.measured = replace(self.measured, doing=event.doing)
            self._show_what_was_measured()

    @on(Worker.StateChanged)
    def _measuring_ended(self, event: Worker.StateChanged) -> None:
        if event.worker.group != "measure" or event.state not in (WorkerState.SUCCESS, WorkerState.ERROR):
            return
        if not self._measuring or not self._measured_recipe:
            return  # it was stopped
        from wizard.estimate import Estimate

        self._measuring.stop()
        self._measuring = None
        if event.state == WorkerState.SUCCESS and event.worker.result:
            estimate = Estimate(self._measured_recipe, event.worker.result)
            self.measured = Measured(estimate=estimate, beside=self.measured.beside)
        else:
            self.measured = Measured(trouble=str(event.worker.error))
        self._show_what_was_measured()

    def _show_what_was_measured(self) -> None:
        if self.here in ("schedule", "review"):
            self.show()

    def _bring_what_was_measured_up_to_date(self, problems: Mapping[str, str]) -> None:
        """More epochs need no other measurement, a larger batch does."""
        self.draft.remark = ""
        if self._measuring and self.draft.found is None:
            self._stop_measuring()  # of other data
        if problems or not self._measured_recipe:
            return
        from engine.forecast import is_measured_by

        recipe = self.draft.recipe()
        holds = is_measured_by(recipe, self._measured_recipe)
        if self._measuring and not holds:
            self._stop_measuring()
        elif self.measured.trouble and not holds:
            self.measured = Measured()
        elif estimate := self.measured.estimate:
            estimate = replace(estimate, recipe=recipe) if holds else estimate
            self.measured = replace(self.measured, estimate=estimate, is_stale=not holds)
            self.draft.remark = estimate.remark() if holds else ""

    @property
    def _is_checking(self) -> bool:
        return any(worker.group == "check" and not worker.is_finished for worker in self.workers)

    def _is_training(self) -> bool:
        """A run here would be slowed down, and would make what is measured wrong."""
        from engine.run_folder import find_runs

        runs = find_runs(Path(self.draft.recipe().run.output))[-5:]
        return any(run.is_alive() and not run.other_host() for run in runs)

    @on(ReuseDesk.Told)
    def _reuse_known(self) -> None:
        """What the chosen weights bring is told on several steps."""
        self.show()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that mean nothing here are not offered."""
        if not self.is_mounted:
            return True
        match action:
            case "next":
                return self.here != "review"
            case "back":
                return self.here != ORDER[0]
            case "save" | "launch":
                return self.here == "review"
            case "measure" | "copy_command":  # letters, which are text while one types
                return self.here == "review" and not isinstance(self.focused, Input)
            case "browse":
                return self.here == "dataset"
            case "look":
                return self.here == "dataset" and self.draft.found is not None
            case "afresh":
                return self._has_a_draft
        return True

    @on(Input.Submitted)
    @on(DataTable.RowSelected)
    async def action_next(self) -> None:
        """The next step, once this one's answers are good."""
        here = self.here
        if here == "review":
            if widget := self.step.first_focus():
                widget.focus()
            return
        if here == "dataset" and self._looking:
            self._go_on_when_found = True
            self._look_now()
            return
        if any(decision_of(key) == here for key in self.draft.problems()):
            self.insisted.add(here)
            self.show()
            self._focus_first()
            return
        await self.go_to(ORDER[ORDER.index(here) + 1])

    def _look_now(self) -> None:
        if self._look_after_pause:
            self._look()

    async def action_back(self) -> None:
        """The step before."""
        place = ORDER.index(self.here)
        if place:
            await self.go_to(ORDER[place - 1])

    @on(SidebarItem.Picked)
    async def _picked(self, event: SidebarItem.Picked) -> None:
        await self.go_to(event.name)

    def action_browse(self) -> None:
        """Look for the folder in a tree."""
        self.app.push_screen(FolderPicker(self.draft.data_path or Path.cwd()), self._browsed)

    def _browsed(self, folder: Path | None) -> None:
        if folder is not None:
            self.post_message(Answered("data", _as_typed(folder)))

    async def action_afresh(self) -> None:
        """Put the draft aside, or bring it back."""
        self.keep()
        if self._aside is None:
            self._aside, self._kept = self._kept, SavedDraft(uuid4().hex, dict(self.asked), time.time())
            sentence = "Started afresh. Ctrl+R brings your draft back."
        else:
            self._kept, self._aside = self._aside, None
            sentence = "Your draft is back."
        self.draft.given, self.changed = dict(self._kept.given), False
        self.draft.found, self.draft.trouble = None, ""
        await self.go_to(ORDER[0])
        self.left.clear()
        self.insisted.clear()
        self._say(sentence)
        self._look()

    def action_keys(self) -> None:
        """All keys that work here."""
        self.app.push_screen(KeysScreen(self))

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def action_copy_command(self) -> None:
        """Copy the command that trains this recipe, by the terminal's own clipboard (OSC 52)."""
        from wizard.steps.review import command

        if not self.draft.problems():
            self.app.copy_to_clipboard(command(self.draft))
            self._say(f"Copied: {command(self.draft)}. It works once the recipe is saved (Ctrl+S).")

    def action_save(self) -> None:
        """Write the recipe and leave."""
        if self._saved():
            self.app.exit()

    def action_launch(self) -> None:
        """Write the recipe, start training in a process of its own, and watch it."""
        path = self._saved()
        if path is None:
            return
        self._stop_measuring()  # the training is to have the machine for itself
        # Imported here: the first screen need not wait for what only a launch needs.
        from engine.run_folder import create_run_folder
        from wizard.dashboard import DashboardScreen
        from wizard.launch import start_engine

        try:
            run = create_run_folder(load_recipe(path), None, datetime.now())
            start_engine(run)
        except (RecipeError, OSError) as error:
            self._say(f"✗ Saved as {path}, but not launched. {error}")
            return
        self.launched = run
        self.close_contact_sheet()
        self.app.push_screen(DashboardScreen(run))

    def _saved(self) -> Path | None:
        """Save the recipe; None when that could not be, which the screen then says."""
        self._say("")
        if self.draft.problems():
            self.insisted.update(ORDER)
            self.show()
            return None
        try:
            path = self.draft.save()
        except RecipeError as error:
            self._say(f"✗ Not saved. {error}")
            return None
        self.changed, self.restored = False, None
        forget_draft(self._kept.id, str(self.draft.value("data")))
        return path


def _as_typed(folder: Path) -> str:
    """A folder below the working folder as one would type it."""
    try:
        return str(folder.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(folder.absolute())
