"""Step 4, the schedule: rescaled to this dataset, with the arithmetic shown and the learning rate drawn."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content

from engine.errors import RecipeError
from engine.learning_rate import lr_arithmetic, lr_at
from engine.recipe import Schedule
from wizard.decisions import shown
from wizard.draft import Draft
from wizard.steps.step import Measured, Step
from wizard.widgets.curve import Curve, Line
from wizard.widgets.words import Words

POINTS = 400


class ScheduleStep(Step):
    """Every number can be changed; the curve follows."""

    DEFAULT_CSS = """
    ScheduleStep {
        #arithmetic { height: auto; margin-top: 1; }
        Curve { height: 1fr; min-height: 8; max-height: 18; margin-top: 1; }
    }
    """
    name_of_decision = "schedule"

    _drawn: Schedule | None = None

    def compose_rest(self) -> ComposeResult:
        yield Words(id="arithmetic")
        yield Curve("learning rate", [Line("at the end")])

    def show_rest(self, draft: Draft) -> None:
        arithmetic, curve = self.query_one("#arithmetic", Words), self.query_one(Curve)
        try:
            schedule = draft.recipe_as_far_as_it_goes().schedule
        except RecipeError:
            arithmetic.display = curve.display = False  # nothing follows from an impossible answer
            return
        arithmetic.display = curve.display = True
        arithmetic.say(_arithmetic(draft, schedule, self.measured))
        if schedule != self._drawn:
            self._drawn = schedule
            draw(curve, schedule)


def _arithmetic(draft: Draft, schedule: Schedule, measured: Measured) -> Content:
    rows = [lr_arithmetic(schedule)]
    if schedule.lr_batch_size:
        rows[0] += f"   (the preset's lr is meant for batches of {schedule.lr_batch_size})"
    if steps := draft.steps_sentence():
        rows.append(steps)
    if schedule.warmup_epochs:
        rows[-1] += f"; lr rises over the first {shown(schedule.warmup_epochs)} epochs"
    if measured.estimate and not measured.is_stale:
        rows[-1] += f"; {measured.estimate.total()}, as measured"
    return Content("\n").join([Content.styled(rows[0], "bold $primary"), *map(Content, rows[1:])])


def draw(curve: Curve, schedule: Schedule) -> None:
    """The learning rate from the first step to the last."""
    line = Line("at the end")
    for place in range(POINTS + 1):
        epoch = schedule.epochs * place / POINTS
        line.points.append(epoch, lr_at(schedule, min(epoch, schedule.epochs - 1e-9)))
    curve.lines, curve.epochs = [line], schedule.epochs
    curve.redraw()
