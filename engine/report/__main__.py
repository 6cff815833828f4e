"""`python -m engine.report RUN_DIR FILE`: writes the page of a run. stdout: a JSON document, its path or an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.answer import answer, say
from engine.atomic import write_text
from engine.errors import RecipeError
from engine.report.facts import read_facts
from engine.report.page import page
from engine.run_folder import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Write it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.report", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a run folder")
    parser.add_argument("file", type=Path, help="the page to write")
    asked = parser.parse_args(arguments)
    return answer(lambda: write_report_page(RunFolder(asked.run_dir), asked.file))


def write_report_page(run: RunFolder, file: Path) -> None:
    """Raises RecipeError where it cannot be written."""
    facts = read_facts(run)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, page(facts))
    except OSError as error:
        raise RecipeError(f"{file} cannot be written: {error.strerror}.") from None
    say({"path": str(file), "bytes": file.stat().st_size, "mistakes": facts.mistaken})


if __name__ == "__main__":
    sys.exit(main())
