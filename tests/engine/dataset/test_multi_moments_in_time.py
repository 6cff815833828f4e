"""Multi-Moments in Time, and what several classes a clip change on the way from a list to a report."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint import load_checkpoint
from engine.dataset.clips import Clip, ClipLists
from engine.dataset.formats import read_clips
from engine.dataset.formats.classes import require_kind_of_labels
from engine.dataset.inspect import inspect_folder
from engine.errors import DataError, RecipeError
from engine.events import RunFinished
from engine.recipe import Dataset, load_recipe
from tests.layouts import refusal, train_as, write_clip
from wizard.draft import inferred
from wizard.steps.head import answer as step_answer

# The folder is one of a video's classes, not always the first, and not always in the list at all.
NAMES = ("crafting", "paddling", "raining", "adult+female+singing")
TRAIN = [
    ("crafting/yt-a_1.mp4", (0,)),
    ("raining/vine b_2.mp4", (3, 2)),
    ("adult+female+singing/flickr-c.mp4", (3, 0, 2)),
    ("paddling/getty-d.mp4", (1, 2)),
    ("dancing/yt-e.mp4", (1, 0)),
]
VAL = [("raining/yt-f.mp4", (2, 0)), ("paddling/yt-g.mp4", (1,)), ("crafting/yt-h.mp4", (0, 3))]


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows(entries: list[tuple[str, tuple[int, ...]]]) -> str:
    return "".join(f"{file},{','.join(map(str, labels))}\r\n" for file, labels in entries)


def write_lists(folder: Path, version: int = 1, kind: str = ".csv") -> Path:
    if version == 1:
        shuffled = [f"{NAMES[number]},{number}\n" for number in (2, 0, 3, 1)]
        write(folder / "moments_categories.txt", "".join(shuffled))
    else:
        write(folder / "category_multi_momentsv2.txt", "".join(f"{name}\n" for name in NAMES))
    write(folder / f"trainingSet{kind}", rows(TRAIN))
    write(folder / f"validationSet{kind}", rows(VAL))
    return folder


def make_videos(root: Path, real: bool = False) -> None:
    for number, (file, _) in enumerate(TRAIN + VAL):
        if real:
            write_clip(root / "videos" / file, seed=number)
        else:
            write(root / "videos" / file)


def dataset_in(root: Path) -> Dataset:
    return Dataset(format="multi_moments_in_time", root=str(root))


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", [".csv", ".txt"])
@pytest.mark.parametrize("folder", ["", "annotations"])
def test_it_is_recognised_and_read(version: int, kind: str, folder: str, tmp_path: Path) -> None:
    lists = write_lists(tmp_path / folder, version, kind)
    make_videos(tmp_path)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "multi_moments_in_time", "root": str(tmp_path), "annotations": str(lists)}
    assert (found.classes, found.multi_label, found.train_clips, found.val_clips) == (NAMES, True, 5, 3)
    assert found.train_counts == {"crafting": 3, "paddling": 2, "raining": 3, "adult+female+singing": 2}
    assert "6 of 8 clips have several classes, 1.9 a clip on average, 3 at most." in found.notes
    read = read_clips(Dataset(**found.table), 4)
    for clips, entries in ((read.train, TRAIN), (read.val, VAL)):
        below = tmp_path / "videos"
        assert [(os.path.relpath(clip.path, below), clip.labels) for clip in clips] == entries
        assert [clip.label for clip in clips] == [labels[0] for _, labels in entries]


def test_lists_where_no_clip_has_a_second_class_are_still_of_this_kind(tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    write(tmp_path / "trainingSet.csv", rows([(file, labels[:1]) for file, labels in TRAIN]))
    write(tmp_path / "validationSet.csv", rows([(file, labels[:1]) for file, labels in VAL]))
    read = read_clips(dataset_in(tmp_path))
    assert read.multi_label and [clip.labels for clip in read.val] == [(2,), (1,), (0,)]


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    dataset = dataset_in(tmp_path).model_copy(update={"classes": tuple(reversed(NAMES))})
    assert [clip.labels for clip in read_clips(dataset).train] == [(3,), (0, 1), (0, 3, 1), (2, 1), (2, 3)]
    assert "has 4 classes, but [head] num_classes is 313" in refusal(dataset_in(tmp_path), 313)


def test_a_label_twice_counts_once_and_names_are_as_good_as_numbers(tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    write(tmp_path / "validationSet.csv", "raining/yt-f.mp4,2,raining,0,2,\n")
    assert [clip.labels for clip in read_clips(dataset_in(tmp_path)).val] == [(2, 0)]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("trainingSet.csv", "a/b.mp4,0,4\n", 'trainingSet.csv:1: "4" is none of the 4 categories'),
        ("trainingSet.csv", "\na/b.mp4,-1\n", 'trainingSet.csv:2: "-1" is none of the 4 categories'),
        ("trainingSet.csv", "a/b.mp4,0,yawning\n", '"yawning" is none of the 4 categories'),
        ("validationSet.csv", "a/b.mp4\n", "validationSet.csv:1: the row must be a video and the ids of its classes"),
        ("validationSet.csv", "", "validationSet.csv lists no video"),
    ],
)
def test_a_wrong_row_is_one_sentence(file: str, text: str, expected: str, tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    write(tmp_path / file, text)
    assert expected in refusal(dataset_in(tmp_path))


def test_moments_in_time_is_not_taken_for_it_nor_it_for_that(tmp_path: Path) -> None:
    write_lists(tmp_path / "multi")
    make_videos(tmp_path / "multi")
    single = Dataset(format="moments_in_time", root=str(tmp_path / "multi"))
    assert 'format = "multi_moments_in_time" reads lists of ids' in refusal(single)
    make_videos(tmp_path / "single")
    write(tmp_path / "single/moments_categories.txt", "".join(f"{name},{n}\n" for n, name in enumerate(NAMES)))
    for split, entries in (("training", TRAIN), ("validation", VAL)):
        text = "".join(f"{file},{NAMES[labels[0]]},3,1\n" for file, labels in entries)
        write(tmp_path / f"single/{split}Set.csv", text)
    found = inspect_folder(tmp_path / "single")
    assert (found.format, found.multi_label) == ("moments_in_time", False)


@pytest.mark.parametrize(("version", "classes"), [(1, 313), (2, 292)])
def test_all_the_published_categories(version: int, classes: int, shared: Path, tmp_path: Path) -> None:
    """Version 1's names are published; of version 2 the number is, 292, with names such as version 2 of Moments has."""
    maps = shared / "data/annotations"
    source = maps / ("mmaction2_label_maps/mmit_label_map.txt" if version == 1 else "moments/category_momentsv2.txt")
    names = tuple(source.read_text(encoding="utf-8").split("\n")[:classes])
    write_lists(tmp_path, version)
    make_videos(tmp_path)
    lines = [f"{name},{number}" if version == 1 else name for number, name in enumerate(names)]
    write(tmp_path / ("moments_categories.txt" if version == 1 else "category_multi_momentsv2.txt"), "\n".join(lines))
    write(tmp_path / "validationSet.csv", f"raining/yt-f.mp4,0,{classes - 1}\n")
    read = read_clips(Dataset(**inspect_folder(tmp_path).table), classes)
    assert read.classes == names and [clip.labels for clip in read.val] == [(0, classes - 1)]


# --- one switch -------------------------------------------------------------------------------------------------------

ONE = ClipLists(("a", "b"), [Clip("1.mp4", 0), Clip("2.mp4", 1)], [Clip("3.mp4", 0)])
SEVERAL = ClipLists(("a", "b"), [Clip("1.mp4", 0, labels=(0,)), Clip("2.mp4", 1, labels=(1, 0))], [])
ALL_ALIKE = ClipLists(("a", "b", "c"), [Clip("1.mp4", 0, labels=(0, 1))], [Clip("2.mp4", 1, labels=(1, 0))])


def test_neither_kind_is_trained_as_the_other_by_accident() -> None:
    require_kind_of_labels(ONE, False, "data")
    require_kind_of_labels(SEVERAL, True, "data")
    with pytest.raises(RecipeError) as as_several:
        require_kind_of_labels(ONE, True, "data")
    assert str(as_several.value) == (
        "[head] multi_label is true, but every clip of data has one class only; set it to false."
    )
    with pytest.raises(RecipeError) as as_one:
        require_kind_of_labels(SEVERAL, False, "data")
    assert str(as_one.value) == (
        "[head] multi_label is false, but clips of data may have several classes (2.mp4: b, a); set it to true."
    )
    with pytest.raises(DataError, match=r"^every clip of data has the same classes \(a, b\); there is nothing to tell"):
        require_kind_of_labels(ALL_ALIKE, True, "data")


def ftwiz(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "wizard.cli", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_run_with_the_wrong_switch_ends_before_it_begins(tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    write(tmp_path / "r.toml", f'[dataset]\nformat = "multi_moments_in_time"\nroot = "{tmp_path}"\n')
    done = ftwiz("run", "r.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and not (tmp_path / "runs").exists()
    assert done.stderr.strip().endswith("set it to true.") and "[head] multi_label is false" in done.stderr


def test_the_wizard_sets_the_switch_and_says_why(tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    draft = inferred(tmp_path)
    answer = draft.answer("head.multi_label")
    assert answer.value is True and answer.why.startswith("6 of 8 clips have several classes")
    assert (draft.train_clips, draft.val_clips, draft.recipe().head.multi_label) == (5, 3, True)
    assert "multi_label = true" in draft.toml()
    assert step_answer(draft) == ("answer", "several classes", "a sigmoid for each; 6 of 8 clips have several classes")
    draft.give("head.multi_label", "false")
    assert step_answer(draft) == ("answer", "one class a clip", "softmax")
    assert draft.problems() == {"head.multi_label": "Clips of this dataset may have several classes."}


# --- from the list to the report --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_epochs_of_training(tmp_path: Path) -> None:
    """Laid out as its site does; then what the log, the checkpoint, the report and `ftwiz test` say of it."""
    write_lists(tmp_path / "mmit")
    make_videos(tmp_path / "mmit", real=True)
    found = inspect_folder(tmp_path / "mmit")
    state = train_as(found.table, tmp_path, head="multi_label = true")
    assert state.started is not None and (state.started.key_metric, state.started.classes) == (
        "sample_map",
        list(NAMES),
    )
    first, last = state.validations
    assert state.best is not None and isinstance(state.ended, RunFinished)
    assert state.best.sample_map == max(first.sample_map, last.sample_map) == state.ended.best_sample_map
    assert 0 < last.sample_map <= 1 and 0 < last.mean_average_precision <= 1 and len(last.per_class) == 4
    assert all(0 < step.accuracy <= 1 for step in state.steps)

    (run,) = (tmp_path / "runs").iterdir()
    assert load_recipe(run / "recipe.toml").head.multi_label
    assert load_checkpoint(run / "checkpoints/best.pt")["epoch"] == state.best.epoch + 1
    report = {path.name: read_csv(path) for path in (run / "report").iterdir() if path.suffix == ".csv"}
    assert sorted(report) == ["per_class.csv", "predictions.csv"]
    assert [row["clips"] for row in report["per_class.csv"]] == ["2", "1", "1", "1"]
    assert [row["true classes"] for row in report["predictions.csv"]] == [
        "raining|crafting", "paddling", "crafting|adult+female+singing",
    ]  # fmt: skip

    printed = ftwiz("test", str(run), cwd=tmp_path).stdout
    assert re.fullmatch(r"mAP \S+ %  class mAP \S+ %  top-1 hit \S+ %  top-5 hit \S+ %\n", printed)
    result: dict[str, Any] = json.loads((run / "report" / "test" / "test.json").read_text(encoding="utf-8"))
    assert result["key_metric"] == "sample_map" and result["sample_map"] == pytest.approx(state.best.sample_map)
    assert result["mean_average_precision"] == pytest.approx(state.best.mean_average_precision)
    assert result["mean_class_accuracy"] is None
    listed = json.loads(ftwiz("runs", "--json", cwd=tmp_path).stdout)
    assert (listed[0]["key_metric"], listed[0]["best"]) == ("sample_map", pytest.approx(state.best.sample_map))


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
