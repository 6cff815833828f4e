"""Step 1, the dataset: where the videos are, what was recognised and why, and a bar for each class."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import reactive

from wizard.decisions import Draft, Question
from wizard.steps.step import Step
from wizard.widgets.class_bars import TRAIN, VAL, ClassBars, ClassCount
from wizard.widgets.field import Field
from wizard.widgets.paths import PathSuggester
from wizard.widgets.words import Words
from wizard.words import count

WELCOME = """\
A folder of videos is enough, sorted into one folder a class:

    actions/clap/0001.mp4
    actions/wave/0002.mp4

or split already, as actions/train/clap/… and actions/val/clap/…
A clip may be a folder of frames. UCF101, Kinetics, Something-Something
and others are recognised as they come, and so are MMAction2's lists.

Type the path (→ completes it), or press Ctrl+O to look around."""

MANY = 8  # classes that may not all be in sight


class DatasetStep(Step):
    """The one step that waits for something: the data are looked at in a thread."""

    DEFAULT_CSS = """
    DatasetStep {
        #found { height: auto; margin-top: 1; }
        #legend { height: auto; margin: 1 0; }
    }
    """
    name_of_decision = "dataset"

    looking = reactive(False)

    def compose_fields(self) -> ComposeResult:
        yield from super().compose_fields()
        yield Words(id="found")
        yield Words(id="remarks", classes="quiet")

    def compose_rest(self) -> ComposeResult:
        yield Words(id="legend")
        yield ClassBars()

    def field(self, question: Question) -> Field:
        if question.key in ("data", "annotations"):
            return Field(question, broad=True, suggester=PathSuggester())
        return Field(question)

    def show_rest(self, draft: Draft) -> None:
        found = self.query_one("#found", Words)
        found.say(self._finding(draft))
        self.query_one("#remarks", Words).say("\n".join(draft.found.notes) if draft.found else "")
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

    def _finding(self, draft: Draft) -> Content:
        if self.looking:
            return Content(f"Looking at {draft.value('data')} …")
        if not draft.found:
            return Content("" if draft.trouble else WELCOME)
        return Content.assemble(
            ("✓ ", "$text-success"),
            (FORMAT_NAMES.get(draft.found.format, draft.found.format), "bold"),
            (f"  {' '.join(draft.found.why)}", "$foreground 60%"),
        )

    def start_folder(self, draft: Draft) -> Path:
        """Where looking around begins."""
        return draft.data_path or Path.cwd()


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
