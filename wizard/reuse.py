"""What the chosen start brings to this model: not here yet, being compared, or known. Asked of the engine's own report.

No Textual, no torch.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.errors import ExitCode, RecipeError, WeightsError
from engine.recipe import Dataset, Recipe
from engine.weights.fetch import checkpoints_folder
from engine.weights.hub import cached_weights, hub_source
from engine.weights.sources import locate
from wizard.draft import Draft, Reuse
from wizard.starts import TORCHVISION_FILES
from wizard.weights import NoReport, WeightsInquiry


@dataclass(frozen=True)
class Comparison:
    """One thing to ask: these weights for this model. stamp: of the file, so that another file is another question."""

    recipe: Recipe  # no more of it than decides what is reused
    source: str
    backbone_only: bool
    file: Path | None  # where it is on this disk; None: elsewhere
    stamp: tuple[int, int] = (0, 0)


def comparison_of(draft: Draft) -> Comparison | None:
    """What there is to ask about the draft; None for training from scratch, and where answers are missing or wrong."""
    if not draft.found:
        return None
    try:
        whole = draft.recipe_as_far_as_it_goes()
    except RecipeError:
        return None
    source, backbone_only = whole.weights.load_from or whole.weights.backbone, not whole.weights.load_from
    if not source:
        return None
    classes = draft.found.classes
    recipe = Recipe(
        model=whole.model,
        head=whole.head.model_copy(update={"num_classes": len(classes)}),
        weights=whole.weights,
        dataset=Dataset(classes=classes),
    )
    if "://" not in source:
        source = str(Path(source).expanduser())
    file = file_here(source)
    return Comparison(recipe, source, backbone_only, file, _stamp(file)) if file or "://" in source else None


def file_here(source: str) -> Path | None:
    """The file that a source means where it is on this disk already; nothing is downloaded to find out."""
    try:
        if "://" not in source:
            return locate(source)
        if hub := hub_source(source):
            return cached_weights(hub)
    except (WeightsError, OSError, ValueError):
        return None
    name = TORCHVISION_FILES.get(source) or urllib.parse.unquote(urllib.parse.urlsplit(source).path).rpartition("/")[2]
    is_named = bool(name) and (source in TORCHVISION_FILES or source.lower().startswith("http"))
    return checkpoints_folder() / name if is_named and _is_file(checkpoints_folder() / name) else None


def answer_to(
    comparison: Comparison, tell: Callable[[Reuse], None], started: Callable[[WeightsInquiry], None]
) -> Reuse:
    """Ask, and wait: seconds for a file that is here, minutes for a download.

    tell: hears of the progress. started: is handed the inquiry, to stop it from another thread.
    """
    source = str(comparison.file) if comparison.file else comparison.source
    try:
        with WeightsInquiry(comparison.recipe, source, comparison.backbone_only) as inquiry:
            started(inquiry)
            report = inquiry.report(lambda received, total: tell(Reuse("fetching", received=received, total=total)))
    except NoReport as error:
        # A download that did not come about says nothing against the weights.
        is_here = comparison.file or file_here(comparison.source)
        state: Literal["refused", "failed"] = "refused" if error.exit_code == ExitCode.WEIGHTS and is_here else "failed"
        return Reuse(state, sentence=str(error))
    except OSError as error:
        return Reuse("failed", sentence=f"The weights could not be compared: {error.strerror}.")
    return Reuse("known", report)


def fetched(comparison: Comparison) -> Comparison:
    """The same question once the file is here."""
    file = file_here(comparison.source)
    return replace(comparison, file=file, stamp=_stamp(file))


def _stamp(file: Path | None) -> tuple[int, int]:
    try:
        status = file.stat() if file else None
    except OSError:
        status = None
    return (status.st_size, status.st_mtime_ns) if status else (0, 0)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
