"""What the chosen weights bring, in a few lines: the engine's load report as one would tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from engine.weights.report import LoadReport, TensorNote, first_names
from wizard.draft import Draft, Reuse
from wizard.starts import published_for
from wizard.words import count, printable

BAR = 24  # cells
NAMES = 2  # of tensors or classes that are told
QUIET, GOOD, BAD, DOUBT = "$foreground 60%", "$text-success", "$text-error", "$text-warning"


def reuse_words(draft: Draft) -> Content:
    """As much as is known."""
    reuse = draft.reuse
    match reuse.state:
        case "away":
            return _away(draft)
        case "asking":
            return Content.styled(f"… Comparing {_file_name(draft)} with this network, name by name.", QUIET)
        case "fetching":
            return _progress(reuse)
        case "refused":
            return Content.styled(f"✗ {printable(reuse.sentence)}", BAD)
        case "failed":
            return Content.styled(f"! {printable(reuse.sentence)}", DOUBT)
        case "known":
            assert reuse.report is not None
            return Content("\n").join(_known(reuse.report))
    return Content("")


def _away(draft: Draft) -> Content:
    published = published_for(str(draft.value("start")))
    size = f"{published.size_mb} MB" if published else "It has"
    return Content.assemble(
        ("↓ ", "$accent"),
        f"{size} to download, which training does by itself. ",
        ("^g", "bold $accent"),
        " does it now, and shows what is reused.",
    )


def _file_name(draft: Draft) -> str:
    """Of the source, in few words."""
    source = str(draft.value("weights.load_from") or draft.value("weights.backbone"))
    name = Path(source).name
    return name if len(name) <= 32 else f"{name[:14]}…{name[-16:]}"


def _progress(reuse: Reuse) -> Content:
    received = reuse.received / 1e6
    if not reuse.total:
        told = f"{received:.0f} MB" if reuse.received else "asking the server …"
        return Content.assemble("Downloading  ", told, ("   ^g stops it; what has come is kept", QUIET))
    share = min(1.0, reuse.received / reuse.total)
    filled = round(BAR * share)
    return Content.assemble(
        "Downloading  ",
        ("━" * filled, "$primary"),
        ("─" * (BAR - filled), QUIET),
        f"  {received:.0f} of {reuse.total / 1e6:.0f} MB",
        ("   ^g stops it; what has come is kept", QUIET),
    )


def _known(report: LoadReport) -> list[Content]:
    share = math.floor(report.backbone_share * 1000) / 10
    whole = "all of the backbone" if share == 100 else f"{share:g} % of the backbone"
    lines = [
        Content.assemble(
            ("✓ ", GOOD), (f"Kept {len(report.kept):,} of {report.total:,} tensors", "bold"), f", {whole}."
        )
    ]
    if report.head_rows:
        lines.append(Content(f"  Last layer: {report.head_change.removeprefix('head ')}."))
    elif report.head_change:
        lines.append(Content(f"  New: {report.head_change.replace('head ', 'the last layer, ', 1)}."))
        if report.known_classes and report.head_change.startswith("head "):
            lines.append(Content(f"  {knows(report)} The step Head can keep their rows."))
    elif not report.reinitialised:
        lines.append(Content("  The last layer is kept too: it knows these classes already."))
    if report.wanting:
        lines.append(Content.styled(f"! Not in the file: {_some(report.wanting)}", DOUBT))
    if report.dropped:
        lines.append(Content.styled(f"  Left out of the file: {_some(report.dropped)}", QUIET))
    lines += [Content.styled(f"! {printable(doubt)}", DOUBT) for doubt in report.doubts]
    return lines


def knows(report: LoadReport) -> str:
    """Which of the user's classes the source was trained on."""
    named, every = report.known_classes, len(report.classes)
    return f"The source knows {len(named)} of your {every} classes already: {printable(first_names(named))}."


def _some(notes: Sequence[TensorNote]) -> str:
    names = ", ".join([*(note.name for note in notes[:NAMES]), *(["…"] if len(notes) > NAMES else [])])
    return f"{count(len(notes), 'tensor')}, {names}"
