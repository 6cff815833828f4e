"""Step 3, the weights: what can be started from as a table, and what the choice means for this dataset."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable

from wizard.decisions import OWN, SCRATCH, Draft, Question, is_cached, published_for, shown, start_keys, start_title
from wizard.steps.step import Step
from wizard.widgets.field import Answered, Field
from wizard.widgets.paths import PathSuggester
from wizard.widgets.words import Words

COLUMNS = {"Model": 20, "Trained on": 20, "Top-1": 6, "File": 19}  # and their widths


class WeightsStep(Step):
    """The row under the cursor is the choice."""

    DEFAULT_CSS = """
    WeightsStep {
        DataTable { height: auto; max-height: 11; width: auto; max-width: 100%; margin-bottom: 1; }
        DataTable { background: $surface; }
        DataTable > .datatable--cursor { background: $panel; color: $foreground; text-style: none; }
        DataTable:focus > .datatable--cursor { background: $primary 35%; color: $foreground; text-style: none; }
        DataTable > .datatable--header { background: $surface; color: $foreground 60%; text-style: none; }
        #why { height: auto; margin-bottom: 1; }
        #reuse { height: auto; color: $text-muted; }
    }
    """
    name_of_decision = "weights"

    def compose_fields(self) -> ComposeResult:
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield Words(id="why")
        for question in self.decision.questions[1:]:
            yield self.field(question)

    def field(self, question: Question) -> Field:
        if question.key == "source":
            return Field(question, broad=True, suggester=PathSuggester(folders_only=False))
        return Field(question, broad=True)

    def compose_rest(self) -> ComposeResult:
        yield Words(id="reuse")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_column(" ", key="mark", width=1)
        for label, width in COLUMNS.items():
            table.add_column(label, key=label, width=width)
        self._offer(start_keys())

    def _offer(self, keys: list[str]) -> None:
        table = self.query_one(DataTable)
        with self.prevent(DataTable.RowHighlighted):
            table.clear()
            for key in keys:
                table.add_row(*_row(key, False), key=key)

    def first_focus(self) -> Widget | None:
        wrong = [field for field in self.query(Field) if field.display and field.has_class("wrong")]
        return wrong[0].control if wrong else self.query_one(DataTable)

    def show_rest(self, draft: Draft) -> None:
        chosen, table, keys = str(draft.value("start")), self.query_one(DataTable), start_keys(draft.modality)
        if [row.value for row in table.rows] != keys:
            self._offer(keys)
        for key in keys:
            for column, cell in zip(("mark", *COLUMNS), _row(key, key == chosen), strict=True):
                table.update_cell(key, column, cell)
        if table.cursor_row != keys.index(chosen):
            with self.prevent(DataTable.RowHighlighted):
                table.move_cursor(row=keys.index(chosen))
        self.query_one("#why", Words).say(_why(draft))
        self.query_one("#reuse", Words).say(_reuse(draft))

    @on(DataTable.RowHighlighted)
    def _choose(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if self.query_one(DataTable).has_focus and event.row_key.value:
            self.post_message(Answered("start", event.row_key.value))


def _row(key: str, chosen: bool) -> tuple[Content, ...]:
    mark = "●" if chosen else "○"
    style = "bold" if chosen else ""
    published = published_for(key)
    if not published:
        words = {OWN: ("A file or an address", "…"), SCRATCH: ("None", "from scratch")}[key]
        cells = [mark, *words, "–", ""]
    else:
        top1 = f"{published.top1:.1f} %" if published.top1 else "–"
        here = "in cache" if is_cached(published) else "to download"
        cells = [mark, published.name, published.pretrained_on, top1, f"{published.size_mb} MB, {here}"]
    return tuple(Content.styled(cell, style) for cell in cells)


def _why(draft: Draft) -> Content:
    answer = draft.answer("start")
    if not answer.given:
        return Content.assemble(("Suggested. ", "bold"), answer.why)
    suggested = Draft(given={k: v for k, v in draft.given.items() if k != "start"}, overrides=draft.overrides)
    suggested.found = draft.found
    if suggested.value("start") == answer.value:
        return Content.assemble(("Suggested, and your choice. ", "bold"), suggested.answer("start").why)
    return Content.assemble(("Your choice. ", "bold"), f"The suggestion was: {start_title(suggested.value('start'))}.")


def _reuse(draft: Draft) -> Content:
    key = str(draft.value("start"))
    classes = shown(draft.value("head.num_classes"))
    if key == SCRATCH:
        return Content("Every parameter starts at random. It takes many clips and epochs to make up for that.")
    published = published_for(key)
    if not published:
        return Content("All parameters whose names and shapes fit are reused; the report says which, before training.")
    size = f"{published.parameters_m:g} M parameters, {published.gflops:g} GFLOPs a video at test time."
    if published.load_from:
        return Content(
            f"The whole network is reused but for the last layer, which is new (400 → {classes} classes). "
            f"That layer is reported as re-initialised. It is meant to be.\n{size}"
        )
    return Content(
        f"The backbone is reused; the last layer is new ({classes} classes). It has seen images, no videos.\n{size}"
    )
