"""The keys that work right now, as a page: made from the bindings themselves, so that it cannot go stale."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

TEXTUALS = {"Focus Next": "The next field", "Focus Previous": "The field before"}  # bindings that are not ours to word


class KeysScreen(ModalScreen[None]):
    """Lists the active bindings of the screen beneath it; any of the closing keys closes it."""

    CSS = """
    KeysScreen {
        align: center middle;
        VerticalScroll {
            width: 64; max-width: 95%; height: auto; max-height: 90%;
            background: $surface; border: round $primary; padding: 1 2;
        }
        Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,question_mark,q,enter", "dismiss", "Close", show=False),
    ]

    def __init__(self, beneath: Screen[Any]) -> None:
        super().__init__()
        self.beneath = beneath

    def compose(self) -> ComposeResult:
        with VerticalScroll() as page:
            page.border_title, page.border_subtitle = "Keys", "Esc closes"
            yield Static(Content("\n").join(self._lines()))

    def _lines(self) -> list[Content]:
        keys: dict[tuple[str, str], list[str]] = {}
        for active in self.beneath.active_bindings.values():
            binding = active.binding
            if _is_ours(active.node, binding) and active.enabled and binding.description and not binding.system:
                sentence = binding.tooltip or TEXTUALS.get(binding.description, binding.description)
                keys.setdefault((binding.action.partition("(")[0], sentence), []).append(
                    self.app.get_key_display(binding)
                )
        return [
            Content.assemble((f"{' '.join(dict.fromkeys(names)):>18}", "bold $primary"), f"  {sentence}")
            for (_action, sentence), names in keys.items()
        ]


def _is_ours(node: DOMNode, binding: Binding) -> bool:
    """How to edit text goes without saying, also in an input that has a key of ours."""
    ours = [part for part in type(node).__mro__ if part.__module__.startswith("wizard.")]
    if not isinstance(node, Input):
        return bool(ours)
    declared = [own for part in ours for own in vars(part).get("BINDINGS", ())]
    return any(isinstance(own, Binding) and own.action == binding.action for own in declared)
