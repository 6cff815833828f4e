"""Step 1, the dataset: where the videos are, what was recognised and why, and a bar for each class."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import reactive

from engine.dataset.clips import Note
from engine.errors import RecipeError
from wizard.decisions import Question
from wizard.draft import Draft
from wizard.steps.step import Checked, Step
from wizard.terminal import EXTRA_WIDE, TALL
from wizard.widgets.class_bars import TRAIN, VAL, ClassBars, ClassCount
from wizard.widgets.field import Field
from wizard.widgets.paths import PathSuggester, half_typed
from wizard.widgets.words import Words
from wizard.words import count, printable, quoted

if TYPE_CHECKING:
    from engine.dataset.contact_sheet import ContactSheet
    from engine.dataset.findings import Problem
    from wizard.widgets.contact_sheet import Glimpse

WELCOME = """\
A folder of videos is enough, sorted into one folder a class:

    actions/clap/0001.mp4
    actions/wave/0002.mp4

or split already, as actions/train/clap/… and actions/val/clap/…
A clip may be a folder of frames. UCF101, Kinetics, Something-Something
and others are recognised as they come, and so are MMAction2's lists.

Type the path (Tab completes it), or press Ctrl+O to look around."""

# Problems that the step has room for.
MOST_PROBLEMS = 3
MOST_FOLDERS = 12  # that are offered to go on with
MANY = 8  # classes that may not all be in sight


class DatasetStep(Step):
    """The one step that waits for something: the data are looked at in a thread."""

    DEFAULT_CSS = """
    DatasetStep {
        #found { height: auto; margin-top: 1; }
        #problems { height: auto; }
        #notes { margin-top: 0; }
        #legend { height: auto; margin: 1 0; }
    }
    """
    name_of_decision = "dataset"

    looking = reactive(False)
    checked: reactive[Checked] = reactive(Checked())

    def __init__(self, asks: Callable[[], ContactSheet] | None = None) -> None:
        """asks: gives whom to ask for frames, where a glimpse of them is wanted."""
        super().__init__()
        self._asks = asks
        self._glimpse: Glimpse | None = None

    def compose_fields(self) -> ComposeResult:
        yield from super().compose_fields()
        yield Words(id="found")
        yield Words(id="remarks", classes="quiet")
        yield Words(id="problems")

    def compose_rest(self) -> ComposeResult:
        yield Words(id="legend")
        yield ClassBars()

    def field(self, question: Question) -> Field:
        if question.key in ("data", "annotations"):
            return Field(question, broad=True, suggester=PathSuggester())
        return Field(question)

    def show_rest(self, draft: Draft) -> None:
        said = {
            "#found": self._finding(draft),
            "#remarks": Content("\n".join(self._remarks(draft))),
            "#problems": self._problems(draft),
        }
        for where, text in said.items():
            words = self.query_one(where, Words)
            words.say(text)
            words.display = bool(text)  # nothing to say takes no line
        self._show_glimpse(draft)
        counts = class_counts(draft)
        bars, legend = self.query_one(ClassBars), self.query_one("#legend", Words)
        bars.counts = counts
        bars.display = legend.display = bool(counts)
        legend.say(
            Content.assemble(
                (f"{TRAIN} ", "$primary"),
                f"{count(draft.train_clips, 'training clip')}   ",
                (f"{VAL} ", "$accent"),
                count(draft.val_clips, "validation clip"),
                (f"   PgDn shows all {len(counts)} classes" if len(counts) > MANY else "", "$foreground 60%"),
            )
        )

    def _show_glimpse(self, draft: Draft) -> None:
        """Of what the model will see, where there is room: what draws it is loaded only then."""
        has_room = self.screen.has_class(EXTRA_WIDE) and self.screen.has_class(TALL)
        if not self._asks or (self._glimpse is None and not (draft.found and has_room)):
            return
        from wizard.widgets.contact_sheet import Glimpse, View

        view = None
        if draft.found and has_room:
            with suppress(RecipeError):  # an answer is impossible, which its own field says
                view = View(draft.recipe_as_far_as_it_goes(), draft.found.classes)
        if self._glimpse is None:
            self._glimpse = Glimpse(self._asks)
            self.mount(self._glimpse, before="#legend")
        self._glimpse.show(view)

    def _finding(self, draft: Draft) -> Content:
        if not draft.found and (folders := half_typed(str(draft.value("data")))):
            return _choice_of(folders)
        if self.looking:
            return Content(f"Looking at {draft.value('data')} …")
        if not draft.found:
            return Content("" if draft.trouble else WELCOME)
        return Content.assemble(
            ("✓ ", "$text-success"),
            (FORMAT_NAMES.get(draft.found.format, draft.found.format), "bold"),
            (f"  {' '.join(draft.found.why)}", "$foreground 60%"),
        )

    def _remarks(self, draft: Draft) -> list[str]:
        """What the reader told; once the check is done, its report tells of the troubles."""
        notes = draft.found.notes if draft.found else ()
        return [note for note in notes if not (self.checked.report and isinstance(note, Note))]

    def _problems(self, draft: Draft) -> Content:
        """What looking into the videos has told so far."""
        checked, report = self.checked, self.checked.report
        if not draft.found or not (checked.total or report):
            return Content("")
        if report is None:
            return Content.styled(f"Checking the videos: {checked.done:,} of {checked.total:,} …", "$foreground 60%")
        if not report.problems:
            videos = count(report.videos.files, "video")
            return Content.assemble(("✓ ", "$text-success"), f"Checked {videos}: nothing found that would hurt.")
        lines = [_line_of(problem) for problem in report.problems[:MOST_PROBLEMS]]
        more = len(report.problems) - len(lines)
        rest = f"{more} more; the" if more > 0 else "The"
        told = f"{rest} whole report, with all files: ftwiz check {quoted(draft.value('data'))}"
        return Content("\n").join([*lines, Content.styled(told, "$foreground 60%")])

    def start_folder(self, draft: Draft) -> Path:
        """Where looking around begins."""
        return draft.data_path or Path.cwd()


def _choice_of(folders: list[str]) -> Content:
    """How a path that is being typed may go on."""
    names = [printable(os.path.basename(folder)) for folder in folders[:MOST_FOLDERS]]
    more = len(folders) - len(names)
    return Content.assemble(
        ("Tab completes: ", "$foreground 60%"),
        "   ".join(names),
        (f"   and {count(more, 'folder')} more" if more else "", "$foreground 60%"),
    )


def _line_of(problem: Problem) -> Content:
    """What is wrong, without what to do about it: the report says that."""
    mark, style = ("✗ ", "$text-error") if problem.severity == "error" else ("! ", "$text-warning")
    what = printable(problem.message).partition(". ")[0].rstrip(".")
    return Content.assemble((mark, style), (f"{problem.code.replace('_', ' ')}: ", "bold"), f"{what}.")


FORMAT_NAMES = {
    "activitynet": "ActivityNet",
    "csv": "Lists of paths and labels",
    "folders": "A folder a class",
    "kinetics400": "Kinetics",
    "mmaction_rawframes": "MMAction2 lists of frames",
    "mmaction_video": "MMAction2 video lists",
    "moments_in_time": "Moments in Time",
    "multi_moments_in_time": "Multi-Moments in Time",
    "something_v1": "Something-Something V1",
    "something_v2": "Something-Something V2",
    "thumos14": "THUMOS14",
    "ucf101": "UCF101",
}


def class_counts(draft: Draft) -> tuple[ClassCount, ...]:
    """Clips a class, in the order of the ids."""
    if not draft.found:
        return ()
    train, val = draft.found.train_counts, draft.found.val_counts
    return tuple(ClassCount(name, train.get(name, 0), val.get(name, 0)) for name in draft.found.classes)
