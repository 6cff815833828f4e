"""Step 3, the weights: a table of what can be started from, and what the choice means for this dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label
from textual.worker import Worker, WorkerState

from wizard.decisions import Question
from wizard.draft import Draft
from wizard.hints import hints, misfit, order_matters
from wizard.machine import Machine, this_machine
from wizard.offers import COLUMNS, Offer, families, matching, model_offers, offer_of, published_offers
from wizard.starts import OWN, SCRATCH, start_title
from wizard.steps.step import Step
from wizard.widgets.choice import Choice
from wizard.widgets.family import Family
from wizard.widgets.field import Answered, Field
from wizard.widgets.hint_list import HintList
from wizard.widgets.offer_table import BEST, OfferTable
from wizard.widgets.paths import PathSuggester
from wizard.widgets.reuse_desk import ReuseDesk
from wizard.widgets.reuse_words import reuse_words
from wizard.widgets.words import Words
from wizard.words import count, frames_of, gflops_text

PUBLISHED = "published"
KINDS = {PUBLISHED: "a published network", OWN: "a file or an address", SCRATCH: "nothing"}
EVERY = ""  # no family left out


class WeightsStep(Step):
    """The row under the cursor is the choice."""

    DEFAULT_CSS = """
    WeightsStep {
        .line { height: 1; }
        .line Label { width: 15; color: $text-muted; }
        .line:focus-within { color: $foreground; }  /* without a rule of its own a focus inside changes nothing below */
        .line:focus-within Label { color: $text; text-style: bold; }
        #search { width: 24; margin-right: 2; background: $panel; }
        #search:focus, #kind:focus { background: $primary 25%; }
        #amount { width: 1fr; height: 1; color: $text-muted; }
        OfferTable { max-height: 13; margin: 1 0; }
        #detail { height: auto; }
        #reuse { height: auto; margin-top: 1; }
        HintList { margin-top: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+g", "fetch", "Download", id="weights.fetch", tooltip="Download the weights; again stops it"),
        Binding(
            "ctrl+t",
            "take_hint",
            "Hint",
            id="weights.hint",
            tooltip="Follow the marked hint; again takes it back",
        ),
    ]
    name_of_decision = "weights"

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()
        self._draft = Draft()
        self._published = ""  # the row chosen last, to come back to
        self._family, self._column = EVERY, BEST
        self._keys: object = None  # what the footer was made for

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Label("start from", classes="label")
            yield Choice(id="kind")
        yield self.field(next(question for question in self.decision.questions if question.key == "source"))
        with Horizontal(classes="line"):
            yield Label("search", classes="label")
            yield Input(compact=True, id="search", select_on_focus=False, placeholder="a name, a dataset, 3d …")
            yield Family(id="family")
            yield Words(id="amount")
        yield OfferTable()
        yield Words(id="detail")
        yield Words(id="reuse")

    def field(self, question: Question) -> Field:
        return Field(question, broad=True, suggester=PathSuggester(folders_only=False))

    def compose_rest(self) -> ComposeResult:
        yield HintList()

    def on_mount(self) -> None:
        self.run_worker(this_machine, name="machine", group="machine", thread=True, exit_on_error=False)

    @on(Worker.StateChanged)
    def _machine_known(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "machine" and event.state == WorkerState.SUCCESS:
            event.stop()
            self.machine = event.worker.result or Machine()
            self.show_rest(self._draft)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show_rest(self, draft: Draft) -> None:
        self._draft = draft
        self.query_one("#kind", Choice).show(KINDS, self.kind)
        if self.kind == PUBLISHED:
            self._published = str(draft.value("start"))
        self._show_table()
        self.query_one("#detail", Words).say(self._detail())
        reuse = self.query_one("#reuse", Words)
        reuse.say(reuse_words(draft))
        reuse.display = draft.reuse.state != "nothing"
        videos = self.checked.report.videos if self.checked.report else None
        seconds = videos.seconds.median if videos and videos.seconds else 0.0
        fps = videos.fps.median if videos and videos.fps else 0.0
        self.query_one(HintList).show(hints(draft, self.machine, seconds, fps))
        if self._keys != (keys := (bool(self.query_one(HintList).marked), draft.reuse.state)):
            self._keys = keys
            self.screen.refresh_bindings()

    @property
    def kind(self) -> str:
        start = str(self._draft.value("start"))
        return start if start in (OWN, SCRATCH) else PUBLISHED

    @property
    def every(self) -> list[Offer]:
        """All rows of this kind of start."""
        modality = self._draft.modality
        return published_offers(modality) if self.kind == PUBLISHED else model_offers(modality)

    def _show_table(self) -> None:
        draft, every = self._draft, self.every
        if self._family not in families(every):
            self._family = EVERY
        of_family = [offer for offer in every if self._family in (EVERY, offer.family)]
        rows = matching(of_family, self.query_one("#search", Input).value)
        unfit = {offer.preset for offer in every if misfit(offer, draft, self.machine)}
        suggested = str((draft.suggested("preset") if self.kind == OWN else draft.fitting_preset).value)
        self.query_one(OfferTable).offer(
            every,
            rows,
            draft.preset,
            suggested,
            unfit,
            self._column,
            of_models=self.kind != PUBLISHED,
            of_motion=bool(order_matters(draft)),
        )
        self.query_one(Family).say(f"◂ {self._family or 'every family'} ▸")
        self.query_one("#amount", Words).say(self._amount(rows, every, unfit))

    def _amount(self, rows: Sequence[Offer], every: Sequence[Offer], unfit: set[str]) -> str:
        if len(rows) < len(every):
            return f"{len(rows)} of {len(every)}, Esc: all" if rows else "none, Esc: all"
        if self._column != BEST:
            return f"{len(every)}, by {COLUMNS[self._column].title.lower().replace('gflops', 'GFLOPs')}"
        return f"{len(every)}, dim: fit less" if unfit else count(len(every), "network")

    def _detail(self) -> Content:
        """The chosen row in a sentence: what the columns leave out, and why it is chosen."""
        draft = self._draft
        offer = offer_of(draft.preset)
        facts = [f"{frames_of(offer.model)} of {draft.base.dataset.frame_size} pixels"]
        if offer.parameters_m:
            facts.append(f"{offer.parameters_m:.3g} M parameters")
        if offer.gflops:
            facts.append(f"{gflops_text(offer.gflops)} GFLOPs")
        line = Content.assemble((offer.name, "bold"), ("  " + ", ".join(facts), "$foreground 60%"))
        return Content("\n").join([line, self._why(offer)])

    def _why(self, offer: Offer) -> Content:
        draft = self._draft
        if self.kind == SCRATCH:
            return Content("Every parameter starts at random: it takes many clips and epochs to make up for that.")
        if self.kind == OWN:
            why = draft.answer("preset").why
            named = why.startswith(("by its", "the file", "the recipe"))
            return Content(f"The file's model{f', {why}' if named else ''}; choose another where it is not.")
        fitting, answer = draft.fitting_preset, draft.answer("start")
        if fitting.value == offer.preset:
            said = "Suggested, and your choice. " if answer.given else "Suggested. "
            return Content.assemble((said, "bold"), fitting.why)
        reason = misfit(offer, draft, self.machine)
        suggestion = f"The suggestion was: {start_title(str(fitting.value))}."
        return Content.assemble(("Your choice. ", "bold"), f"{reason} " if reason else "", suggestion)

    def first_focus(self) -> Widget | None:
        source = self.query_one("#source", Field)
        if source.display and (source.has_class("wrong") or not self._draft.value("source")):
            return source.control
        return self.query_one(OfferTable)

    # --- what the user does -------------------------------------------------------------------------------------------

    @on(Choice.Changed)
    def _kind_chosen(self, event: Choice.Changed) -> None:
        event.stop()
        self.choose_kind(event.value)

    def choose_kind(self, kind: str) -> None:
        """Where the parameters come from; a published network is the one that was chosen last."""
        published = self._published or str(self._draft.fitting_preset.value)
        self.post_message(Answered("start", published if kind == PUBLISHED else kind))

    @on(OfferTable.Chosen)
    def _row_chosen(self, event: OfferTable.Chosen) -> None:
        event.stop()
        self.post_message(Answered("start" if self.kind == PUBLISHED else "preset", event.preset))

    @on(OfferTable.Search)
    def _search_begun(self, event: OfferTable.Search) -> None:
        event.stop()
        search = self.query_one("#search", Input)
        search.focus()
        if event.text:
            search.value, search.cursor_position = event.text, len(event.text)

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        event.stop()
        self._show_table()

    @on(Input.Submitted, "#search")
    def _search_taken(self, event: Input.Submitted) -> None:
        """Enter takes the row under the cursor, and the arrows move on from it."""
        event.stop()
        table = self.query_one(OfferTable)
        if (offer := table.under_cursor) and offer.preset != self._draft.preset:
            self.post_message(Answered("start" if self.kind == PUBLISHED else "preset", offer.preset))
        table.focus()

    def on_key(self, event: events.Key) -> None:
        """From the search, the arrows lead into the table and Escape ends it."""
        search = self.query_one("#search", Input)
        if not search.has_focus or event.key not in ("down", "escape"):
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self._show_all()
        self.query_one(OfferTable).focus()

    @on(OfferTable.SearchForgotten)
    def _show_all(self) -> None:
        self._family = EVERY
        self.query_one("#search", Input).value = ""
        self._show_table()

    @on(OfferTable.FamilyStep)
    @on(Family.Stepped)
    def _family_stepped(self, event: OfferTable.FamilyStep | Family.Stepped) -> None:
        event.stop()
        names = [EVERY, *families(self.every)]
        self._family = names[(names.index(self._family) + event.step) % len(names)]
        self._show_table()

    @on(OfferTable.Sorted)
    def _sorted(self, event: OfferTable.Sorted) -> None:
        event.stop()
        self._column = event.column
        self._show_table()

    @on(HintList.Taken)
    def _hint_taken(self, event: HintList.Taken) -> None:
        event.stop()
        for key, text in event.hint.answers.items():
            self.post_message(Answered(key, text))

    def commands(self) -> Iterable[SystemCommand]:
        for kind, name in KINDS.items():
            if kind != self.kind:
                yield SystemCommand(f"Start from {name}", "Weights", partial(self.choose_kind, kind))
        for hint in self.query_one(HintList).hints:
            if hint.answers:
                yield SystemCommand(hint.offers, hint.says, partial(self.post_message, HintList.Taken(hint)))
        if self.check_action("fetch", ()):
            yield SystemCommand("Download the weights", "And see what is reused of them", self.action_fetch)
        yield SystemCommand("Search the networks", "Weights", self.query_one("#search", Input).focus)
        for family in families(self.every):
            yield SystemCommand(f"Show {family} only", "Weights", partial(self.show_family, family))

    def show_family(self, family: str) -> None:
        """Leave the other families of networks out; EVERY leaves none out."""
        self._family = family
        self._show_table()

    def action_fetch(self) -> None:
        """Download the weights now, or stop it."""
        self.screen.query_one(ReuseDesk).fetch()

    def action_take_hint(self) -> None:
        """Do what the marked hint offers."""
        if hint := self.query_one(HintList).marked:
            self.post_message(HintList.Taken(hint))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        match action:
            case "take_hint":
                return bool(self.query_one(HintList).marked)
            case "fetch":
                return self._draft.reuse.state in ("away", "fetching", "failed")
        return True
