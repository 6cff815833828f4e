"""What the model will see, on the whole screen: a clip of each class, sampled and augmented as in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from engine.dataset.contact_sheet import ContactSheet
from engine.recipe import Recipe
from wizard.widgets.contact_sheet import Sheet, View
from wizard.widgets.key_bar import KeyBar
from wizard.widgets.keys import KeysScreen
from wizard.widgets.words import Words
from wizard.words import sampling_of

GOOD = 8  # rows of a picture that one can see something on


class ContactSheetScreen(Screen[None]):
    """Pages through the classes; another epoch is another look at the same clips."""

    CSS = """
    ContactSheetScreen {
        #head { height: auto; padding: 0 1; background: $panel; }
        #which { height: auto; }
        #how { height: auto; color: $text-muted; }
        Sheet { padding: 0 1; }
        &.-wide KeyBar, &.-xwide KeyBar { padding: 0 1; FooterKey { margin-right: 2; } }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f2,q", "dismiss", "Back", key_display="esc", tooltip="Back to the questions"),
        Binding("v,left,right", "other_split", "Validation", key_display="v", tooltip="Training or validation clips"),
        Binding("n,space", "epoch(1)", "Next epoch", tooltip="The same clips as the next epoch sees them"),
        Binding("p", "epoch(-1)", "Epoch before", show=False, tooltip="The same clips as the epoch before saw them"),
        Binding("c", "others", "Others", tooltip="Another clip of each class"),
        Binding("down,j", "page(1)", "More", key_display="↓", tooltip="The next classes"),
        Binding("up,k", "page(-1)", "Classes before", show=False, key_display="↑", tooltip="The classes before"),
        Binding("pagedown", "page(1)", "More classes", show=False, tooltip="The next classes"),
        Binding("pageup", "page(-1)", "Classes before", show=False, tooltip="The classes before"),
        Binding("home", "ends(0)", "First classes", show=False, tooltip="The first classes"),
        Binding("end", "ends(1)", "Last classes", show=False, tooltip="The last classes"),
        Binding("f1,question_mark", "keys", "Keys", key_display="f1", tooltip="All keys that work"),
    ]

    def __init__(self, recipe: Recipe, classes: tuple[str, ...], asks: Callable[[], ContactSheet]) -> None:
        super().__init__()
        self.view = View(recipe, classes)
        self._asks = asks

    def compose(self) -> ComposeResult:
        with Vertical(id="head"):
            yield Words(id="which")
            yield Words(id="how")
        yield Sheet(self._asks, GOOD)
        yield KeyBar()

    def on_mount(self) -> None:
        self._show()

    @property
    def sheet(self) -> Sheet:
        return self.query_one(Sheet)

    def _look_at(self, view: View) -> None:
        self.view = view
        self._show()
        self.refresh_bindings()

    def _show(self) -> None:
        self.query_one("#how", Words).say(sampling_of(self.view.recipe, self.view.split == "train"))
        self._say_which()
        self.sheet.show(self.view)

    def _say_which(self) -> None:
        view = self.view
        training = view.split == "train"
        last = min(view.first + self.sheet.grid.places, len(view.classes))
        those = f"class {last}" if last == view.first + 1 else f"classes {view.first + 1}–{last}"
        seen = f"{those} of {len(view.classes):,}" if last - view.first < len(view.classes) else f"all {last} classes"
        on, off = "bold $primary", "$foreground 60%"
        self.query_one("#which", Words).say(
            Content.assemble(
                ("What the model sees   ", "bold"),
                ("● training  " if training else "○ training  ", on if training else off),
                ("○ validation" if training else "● validation", off if training else on),
                f"   epoch {view.epoch}" if training else "   every epoch",
                f"   {seen}",
            )
        )

    def on_sheet_planned(self, event: Sheet.Planned) -> None:
        self._go_to(self.view.first)
        self._say_which()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return True
        if action == "epoch":
            return self.view.split == "train"
        if action in ("page", "ends"):
            return self.sheet.grid.places < len(self.view.classes)
        return True

    def action_other_split(self) -> None:
        """Training or validation."""
        self._look_at(replace(self.view, split="val" if self.view.split == "train" else "train"))

    def action_epoch(self, step: int) -> None:
        """The same clips as another epoch sees them."""
        self._look_at(replace(self.view, epoch=max(1, self.view.epoch + step)))

    def action_others(self) -> None:
        """Another clip of each class."""
        self._look_at(replace(self.view, take=self.view.take + 1))

    def action_page(self, step: int) -> None:
        """Other classes."""
        self._go_to(self.view.first + step * self.sheet.grid.places)

    def action_ends(self, last: int) -> None:
        """The first classes, or the last."""
        self._go_to(len(self.view.classes) if last else 0)

    def _go_to(self, first: int) -> None:
        most = max(0, len(self.view.classes) - self.sheet.grid.places)
        self._look_at(replace(self.view, first=min(max(0, first), most)))

    def on_mouse_scroll_down(self) -> None:
        self.action_page(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_page(-1)

    def action_keys(self) -> None:
        """All keys that work here."""
        self.app.push_screen(KeysScreen(self))
