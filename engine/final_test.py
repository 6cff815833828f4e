"""`ftwiz test RUN`: the best checkpoint, measured with the test-time views of the recipe."""

from __future__ import annotations

import json
import math

from engine.atomic import write_text
from engine.dataset.formats import read_clips
from engine.dataset.formats.classes import require_kind_of_labels
from engine.device import choose_device
from engine.errors import DataError
from engine.evaluation import Metrics, evaluate, write_report
from engine.recipe import load_recipe
from engine.run_folder import RunFolder
from engine.trained import load_trained

# null where it says nothing of a dataset of this kind: accuracies of one class a clip, or precisions of several.
_MEASURED = ("loss", "top1", "top5", "mean_class_accuracy", "sample_map", "mean_average_precision")


def test_run(run: RunFolder) -> Metrics:
    """Evaluates checkpoints/best.pt (last.pt where nothing was validated) on the validation clips.

    Writes test.json and what `write_report` writes into report/test.
    """
    recipe = load_recipe(run.recipe)
    clips = read_clips(recipe.dataset, len(recipe.dataset.classes) or None, recipe.model.modality)
    if not clips.val:
        raise DataError(f"{recipe.dataset.root}: there are no validation clips to test on.")
    require_kind_of_labels(clips, recipe.head.multi_label, recipe.dataset.root)
    trained = load_trained(run)
    model = trained.model.to(choose_device(recipe.run.device))

    metrics = evaluate(model, clips.val, recipe, test_views=True, workers=int(recipe.run.workers))
    if not metrics.predictions:
        raise DataError(f"{recipe.dataset.root}: none of the {len(clips.val)} validation clips can be decoded.")
    folder = run.report / "test"
    summary = {
        "clips": len(metrics.predictions),
        "skipped": len(clips.val) - len(metrics.predictions),
        **{name: None if math.isnan(value := getattr(metrics, name)) else value for name in _MEASURED},
        "key_metric": metrics.key_metric,
        "segments": recipe.run.test_segments or recipe.model.frames,
        "test_clips": recipe.run.test_clips,
        "crops": recipe.run.test_crops,
        "frame_size": recipe.dataset_at_test_time.frame_size,
        "average_clips": recipe.run.average_clips,
        "epochs_trained": trained.epochs,
    }
    with run.writing("The report of the test"):
        write_report(folder, metrics, clips.val, clips.classes)
        write_text(folder / "test.json", json.dumps(summary, indent=2) + "\n")
    return metrics
