"""`ftwiz report`: the page of a run, written by the engine, which can read the clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import TrainingError
from engine.run_folder import RunFolder
from wizard.inquiry import Inquiry


def write_page(run: RunFolder, file: Path | None) -> dict[str, Any]:
    """Write it; returns where it is. Raises the FtwizError of whatever does not work."""
    path = file or run.report / "report.html"
    with Inquiry("engine.report", [str(run.path), str(path)]) as inquiry:
        for said in inquiry.answers():
            return said
    raise TrainingError("The process that writes the page ended without a word.")
