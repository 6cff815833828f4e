"""`python -m engine.weights SOURCE RECIPE_FILE`: the load report of a recipe's model, without training.

SOURCE is as in weights.load_from; "" for what the recipe itself starts from. stdout: one JSON document, the report or
{"error": a sentence, "exit_code": what a run would end with}. stderr, while a file is fetched: lines of
{"received": bytes, "total": bytes or null}.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path

from engine.errors import DataError, ExitCode, FtwizError, RecipeError
from engine.recipe import Recipe, load_recipe
from engine.weights.report import LoadReport


def main() -> int:
    arguments = _arguments()
    try:
        report = report_on(arguments.source, load_recipe(arguments.recipe), arguments.backbone)
        print(json.dumps(report.document()))  # ASCII: file names that are not UTF-8 stay what they are
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        text, exit_code = str(error), ExitCode.TRAINING
        if isinstance(error, FtwizError):
            exit_code = error.exit_code
        else:
            traceback.print_exception(error)
            text = f"Unexpected {type(error).__name__}: {error}. The traceback is above; please report it."
        print(json.dumps({"error": text, "exit_code": int(exit_code)}))
        return exit_code
    return ExitCode.OK


def report_on(source: str, recipe: Recipe, backbone_only: bool = False) -> LoadReport:
    """What a run of the recipe would reuse of `source`. Raises the FtwizError that the run would end with."""
    from engine.model import build_shapes  # takes seconds: a bad recipe is told before
    from engine.weights.load import plan_weights, start_of

    if not source:
        source, backbone_only = start_of(recipe)
    if not source:
        raise RecipeError("[weights] is empty, so this recipe starts from nothing; name a source of weights.")
    recipe, doubt = _with_its_classes(recipe)
    report = plan_weights(build_shapes(recipe), source, recipe, backbone_only, on_progress=_Teller().tell)
    return report.with_doubts(doubt if report.source_classes else "")


def _with_its_classes(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe with the dataset's class names, and the reason where a model can be built without them."""
    if not recipe.dataset.root:
        if recipe.head.num_classes == "auto":
            raise RecipeError(
                'This recipe has no dataset that tells how many classes there are: head.num_classes is "auto" and '
                "dataset.root empty; set one of them, for example --set head.num_classes=7."
            )
        return recipe, ""
    from engine.dataset.formats import read_dataset

    try:
        clips = read_dataset(recipe)
    except DataError as error:
        if recipe.head.num_classes == "auto":
            raise
        return recipe, f"the dataset's classes are not compared with the file's: {error}"
    head = recipe.head.model_copy(update={"num_classes": len(clips.classes)})
    dataset = recipe.dataset.model_copy(update={"classes": tuple(clips.classes)})
    return recipe.model_copy(update={"head": head, "dataset": dataset}), ""


class _Teller:
    """Tells of a download on stderr: a hundred times, or every megabyte where its size is not known."""

    def __init__(self) -> None:
        self._told = -1

    def tell(self, received: int, total: int | None) -> None:
        part = received * 100 // total if total else received // 1_000_000
        if part != self._told:
            self._told = part
            print(json.dumps({"received": received, "total": total}), file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.weights", description=__doc__)
    parser.add_argument("source", help='a file, a run, an address, torchvision://NAME; "": as the recipe says')
    parser.add_argument("recipe", type=Path, help="a recipe file")
    parser.add_argument("--backbone", action="store_true", help="take only the backbone, as weights.backbone does")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
