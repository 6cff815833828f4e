"""The load report: what becomes of every tensor of a source and of a model, in words and as JSON. Torch-free."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

Shape = tuple[int, ...]

# Reasons that tensors are kept for, other than that they are in the file as they are.
INFLATED = "inflated from an image kernel"
REPEATED = "repeated from an image's table of places"
COPIED = "copied from attention over space"
AVERAGED = "averaged over red, green and blue, the same for each channel of flow"

COUNTER = ".num_batches_tracked"  # of batch normalisation; older files have none, and nothing depends on it


@dataclass(frozen=True)
class TensorNote:
    """One tensor's fate.

    name: ours, or the file's where we have none. there, here: its shape in the file and in the model; None where it is
    not.
    """

    name: str
    there: Shape | None
    here: Shape | None
    reason: str
    part: str = ""  # of the model: "stem", "layer1", "blocks.0", "head"; "" of what is not in it


@dataclass(frozen=True)
class LoadReport:
    """What was reused of a source, or would be.

    kept, reinitialised and missing are the model's tensors, dropped the file's. backbone_share is 0..1 and counts
    numbers: parameters and the running statistics of batch normalisation, not its integer counters.
    """

    source: str
    path: Path
    sha256: str  # of the file
    model: str  # "TSN ResNet-50"
    dialect: str
    kept: tuple[TensorNote, ...]
    reinitialised: tuple[TensorNote, ...]
    missing: tuple[TensorNote, ...]
    dropped: tuple[TensorNote, ...]
    head_change: str  # why the head starts anew; "" where it was kept whole
    head_rows: tuple[str, ...]  # classes whose rows of the head were kept by their names
    backbone_share: float
    classes: tuple[str, ...]  # the model's; () where the recipe does not name them
    source_classes: tuple[str, ...]  # () where the file does not name them
    known_classes: tuple[str, ...]  # those of the model's classes that the source names too
    doubts: tuple[str, ...]  # what a person should look at before training
    taken_from: str = ""  # the mirror's address, or the folder, that gave the file of an address; "": its own server

    @property
    def total(self) -> int:
        """How many tensors the model has."""
        return len(self.kept) + len(self.reinitialised) + len(self.missing)

    @property
    def counters(self) -> tuple[TensorNote, ...]:
        """Of what is missing: the batch counters, which start at 0."""
        return tuple(note for note in self.missing if note.name.endswith(COUNTER))

    @property
    def wanting(self) -> tuple[TensorNote, ...]:
        """Of what is missing: what a training has to learn from nothing."""
        return tuple(note for note in self.missing if not note.name.endswith(COUNTER))

    def with_doubts(self, *doubts: str) -> LoadReport:
        """The report with more to look at; empty ones are left out."""
        return replace(self, doubts=(*self.doubts, *filter(None, doubts)))

    def lines(self) -> list[str]:
        """The report for a person."""
        lines = [
            f"{self.model} from {short(self.path)} ({self.dialect})",
            f"kept {len(self.kept)} of {self.total} tensors ({percent(self.backbone_share)} of the backbone)",
            *self._made(),
        ]
        if self.taken_from:
            lines.append(f"taken from {self.taken_from}")
        if self.reinitialised:
            lines.append(f"re-initialised {len(self.reinitialised)} of {self.total} tensors: {self.head_change}")
        elif self.head_change:
            lines.append(self.head_change)
        if self.wanting:
            lines.append(f"not in the file: {_listed(self.wanting)}")
        if self.counters:
            lines.append(
                f"not in the file: {len(self.counters)} batch counters, which start at 0 (expected: an older file)"
            )
        if self.dropped:
            lines.append(f"dropped {_listed(self.dropped)}")
        if self.source_classes:
            lines.append(f"the file knows {_some(self.source_classes)}")
        if self.source_classes and self.classes and self.classes != self.source_classes:
            lines.append(self._known())
        return lines + [f"check: {doubt}" for doubt in self.doubts]

    def _made(self) -> list[str]:
        """What was not taken as it is."""
        made, lines = Counter(note.reason for note in self.kept), []
        if count := made[INFLATED]:
            lines.append(f"inflated {count} image kernels: repeated over time, divided by their length in time")
        if count := made[REPEATED]:
            lines.append(f"repeated {count} tables of places over time")
        if count := made[COPIED]:
            lines.append(f"copied {count} tensors of attention over space: attention over time starts as they are")
        return lines + [f"{note.name}: {AVERAGED}" for note in self.kept if note.reason == AVERAGED]

    def _known(self) -> str:
        known, all_of_them = self.known_classes, len(self.classes)
        if not known:
            return f"none of the {all_of_them} classes here is among them"
        return f"it knows {len(known)} of the {all_of_them} classes here: {first_names(known)}"

    def document(self) -> dict[str, Any]:
        """As JSON: the fields, and `totals` and `lines`, which follow from them."""
        totals = {
            "tensors": self.total,
            "kept": len(self.kept),
            "reinitialised": len(self.reinitialised),
            "missing": len(self.missing),
            "dropped": len(self.dropped),
        }
        fields = msgspec.to_builtins(self, enc_hook=str)
        return {"totals": totals, **fields, "lines": self.lines()}


def report_from(document: Mapping[str, Any]) -> LoadReport:
    """The way back from `document`. Raises msgspec.ValidationError where it is none."""
    return msgspec.convert(document, LoadReport, dec_hook=lambda kind, value: kind(value))


# --- words ------------------------------------------------------------------------------------------------------------


def shape_text(shape: Shape | None) -> str:
    """(64, 3, 7, 7) → "64×3×7×7"."""
    return "×".join(map(str, shape or ())) or "()"


def percent(share: float) -> str:
    """Rounded down: 100.0 % means all."""
    return f"{math.floor(share * 1000) / 10:.1f} %"


def short(path: Path) -> str:
    """The end of a path, at most 44 characters: the file, or run/checkpoints/best.pt."""
    name = "/".join(path.parts[-3:]) if path.parent.name == "checkpoints" and path.suffix == ".pt" else path.name
    return name if len(name) <= 44 else f"…{name[-43:]}"


def same_name(name: str) -> str:
    """What two spellings of one class have in common: "Playing Guitar", "playing_guitar" and "PlayingGuitar"."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def matching_rows(classes: Sequence[str], source_classes: Sequence[str]) -> dict[int, int]:
    """For each class whose name the source has: its id here → its id there.

    The exact name wins; else case, spaces, underscores and hyphens do not count. A name that fits two classes of the
    source, neither exactly, fits none.
    """
    exact = {name: row for row, name in enumerate(source_classes)}
    times = Counter(map(same_name, source_classes))
    alike = {same_name(name): row for row, name in enumerate(source_classes) if times[same_name(name)] == 1}
    found = {new: exact.get(name, alike.get(same_name(name))) for new, name in enumerate(classes)}
    return {new: old for new, old in found.items() if old is not None}


def _listed(notes: Sequence[TensorNote]) -> str:
    names = [f"{note.name} {shape_text(note.there or note.here)}" for note in notes[:3]]
    more = f" and {len(notes) - 3} more" if len(notes) > 3 else ""
    return f"{len(notes)} {'tensor' if len(notes) == 1 else 'tensors'}: {', '.join(names)}{more}"


def _some(classes: Sequence[str]) -> str:
    return f"{len(classes)} classes: {first_names(classes)}"


def first_names(names: Sequence[str]) -> str:
    """archery, bowling, chess, …"""
    return f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
