"""What a recipe says otherwise than its preset, in lines that fit their place: the key, before → after, from whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from textual import events
from textual.content import Content

from wizard.recipe_text import leaves_out
from wizard.widgets.words import Words
from wizard.words import cut

if TYPE_CHECKING:
    from wizard.draft import Difference

WHERE = ("dataset.root", "dataset.annotations")
GAP, INDENT = 2, 4
SHORT = 14  # cells of values, behind which origins stand below each other
STYLES = {"you": "$accent", "--set": "$accent", "your data": "$success", "inferred": "$foreground 60%"}


class Differences(Words):
    """Shows them anew where its width changes."""

    _shown: tuple[Sequence[Difference], str] = ((), "")

    def show(self, differences: Sequence[Difference], preset: str) -> None:
        self._shown = differences, preset
        width = self.size.width
        self.say(difference_lines(differences, preset, width) if width else "")

    def on_resize(self, event: events.Resize) -> None:
        self.show(*self._shown)


def difference_lines(differences: Sequence[Difference], preset: str, width: int) -> Content:
    """A line each where origin and reason fit beside the values, else a second one below them."""
    lines: list[Content] = []
    table = ""
    undone = [difference for difference in differences if leaves_out(difference.key, difference.after)]
    differences = [difference for difference in differences if difference not in undone]
    keys = max((len(_name(difference)) for difference in differences), default=0) + GAP
    values = {difference.key: _values(difference, width - keys, _beside(difference)) for difference in differences}
    for difference in differences:
        if (head := difference.key.partition(".")[0]) != table:
            table = head
            lines += [*([Content("")] if lines else []), Content.styled(f"[{table}]", "bold $primary")]
        lines += _lines(difference, values[difference.key], keys, width)
    if undone:
        names = ", ".join(map(_name, undone))
        left_out = cut(f"Left out, as the preset's own: {names}.", width)
        lines += [Content(""), Content.styled(left_out, "$foreground 60%")]
    lines += [Content(""), Content.styled(cut(f"All else is as in {preset}.", width), "$foreground 60%")]
    return Content("\n").join(lines)


def _lines(difference: Difference, values: str, keys: int, width: int) -> list[Content]:
    before, arrow, after = values.partition(" → ")
    said = f"{_name(difference):<{keys}}"
    first = Content.assemble(said, (before, "$foreground 60%"), arrow, (after, "bold"))
    origin = difference.origin + (f": {difference.why}" if difference.why else "")
    style = STYLES[difference.origin]
    used = keys + cell_len(values)
    for start in (max(used + GAP, keys + SHORT), used + GAP):
        if start + cell_len(origin) <= width:
            return [Content.assemble(first, " " * (start - used), (origin, style))]
    return [first, Content.assemble(" " * INDENT, (cut(origin, width - INDENT), style))]


def _beside(difference: Difference) -> int:
    """Cells that a word of origin takes; a whole reason goes below."""
    return 0 if difference.why else GAP + len(difference.origin)


def _name(difference: Difference) -> str:
    return difference.key.rpartition(".")[2]


def _values(difference: Difference, width: int, beside: int) -> str:
    """Before → after. Where they fit only without the origin `beside` them, it goes below; of what never fits, the end
    says more than the beginning, and where somebody else's data lay says least."""
    before, after = _text(difference.before), _text(difference.after)
    room = max(width - len(" → "), 8)
    if cell_len(before) + cell_len(after) > room:
        room -= beside if cell_len(after) + 3 <= room - beside else 0
        before = _end_of(before, max(1 if difference.key in WHERE else 3, room - cell_len(after)))
        after = _end_of(after, room - cell_len(before))
    return f"{before} → {after}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return str(value) if value != "" else "–"


def _end_of(text: str, width: int) -> str:
    while cell_len(text) > width and text:
        text = "…" + text[2:] if text.startswith("…") else "…" + text[1:]
    return text
