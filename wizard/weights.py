"""What a recipe would reuse of a source of weights: asked of the engine, which fetches and compares."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import ExitCode, FtwizError
from engine.recipe import Recipe, save_recipe, with_absolute_paths
from engine.weights.report import LoadReport, report_from

Tell = Callable[[int, int | None], None]  # bytes that are here, bytes in all where that is known


class NoReport(FtwizError):
    """Why there is no load report, with the exit code that a run would end with."""

    def __init__(self, text: str, exit_code: int):
        super().__init__(text)
        self.exit_code = ExitCode(exit_code)


class WeightsInquiry:
    """One question to the engine, in a process of its own: torch takes seconds, a download minutes.

    with WeightsInquiry(recipe, "torchvision://resnet50") as inquiry:
        report = inquiry.report(on_progress)

    source: as weights.load_from, or with backbone_only as weights.backbone; "" for what the recipe starts from.
    `stop` may be called from another thread; leaving the `with` stops it too. What was fetched until then is kept, and
    the next inquiry goes on from it.
    """

    def __init__(self, recipe: Recipe, source: str = "", backbone_only: bool = False):
        self._folder = tempfile.TemporaryDirectory(prefix="ftwiz-weights-")
        path = Path(self._folder.name, "recipe.toml")
        save_recipe(with_absolute_paths(recipe), path)
        # A file, not a pipe, which would be full before anybody reads it.
        self._answer = open(Path(self._folder.name, "answer.json"), "w+b")  # noqa: SIM115, closed by __exit__
        option = ["--backbone"] if backbone_only else []
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.weights", *option, "--", source, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=self._answer,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def __enter__(self) -> WeightsInquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._answer.close()
        self._folder.cleanup()

    def stop(self) -> None:
        """End it; `report` then raises NoReport."""
        if self._process.poll() is None:
            self._process.terminate()

    def report(self, on_progress: Tell | None = None) -> LoadReport:
        """Wait for the answer. on_progress hears of a download. Raises NoReport, one sentence."""
        assert self._process.stderr is not None
        last_words = ""
        for line in self._process.stderr:
            progress = _json_in(line)
            if "received" not in progress:
                last_words = line.strip() or last_words
            elif on_progress is not None:
                on_progress(progress["received"], progress["total"])
        code = self._process.wait()
        self._answer.seek(0)
        answer = _json_in(self._answer.read())
        if "error" in answer:
            raise NoReport(answer["error"], answer["exit_code"])
        if not answer:
            how = f"with {code}" if code >= 0 else f"by signal {-code}"
            said = f": {last_words}" if last_words else "."
            raise NoReport(f"The process that compares weights was ended {how}{said}", ExitCode.TRAINING)
        return report_from(answer)


def _json_in(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
