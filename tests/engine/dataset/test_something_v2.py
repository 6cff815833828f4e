"""Something-Something V2: both spellings of the JSON files, templates with brackets, .webm by id."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.dataset.formats import read_clips
from engine.dataset.formats.something_v2 import class_of, read_labels
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal, train_as, write_clip

NAMES = ("Holding something next to something", "Pulling something from left to right", "Something falling like a rock")
ENTRIES = {
    "train": [
        ("78687", "Holding [something] next to [something]"),
        ("42326", "Pulling [something] from left to right"),
        ("100904", "[Something] falling like a rock"),
    ],
    "validation": [("74225", "[Something] falling like a rock"), ("116154", "Holding [something] next to [something]")],
}
SPELLINGS = {"20bn": "something-something-v2-{}.json", "Qualcomm": "{}.json"}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_lists(folder: Path, spelling: str = "20bn") -> Path:
    name = SPELLINGS[spelling]
    write(folder / name.format("labels"), {text: str(number) for number, text in enumerate(NAMES)})
    for split, entries in ENTRIES.items():
        rows = [
            {"id": id, "label": "holding potato", "template": template, "placeholders": ["potato"]}
            for id, template in entries
        ]
        write(folder / name.format(split), rows)
    write(folder / name.format("test"), [{"id": "1420"}])
    return folder


def make_videos(root: Path, extension: str = "webm") -> None:
    root.mkdir(parents=True, exist_ok=True)
    for entries in ENTRIES.values():
        for id, _ in entries:
            (root / f"{id}.{extension}").touch()


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("folder", ["", "labels"])
@pytest.mark.parametrize(("videos", "extension"), [("20bn-something-something-v2", "webm"), ("", "mp4")])
def test_it_is_recognised_and_read(spelling: str, folder: str, videos: str, extension: str, tmp_path: Path) -> None:
    lists = write_lists(tmp_path / folder, spelling)
    make_videos(tmp_path / videos, extension)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "something_v2", "root": str(tmp_path), "annotations": str(lists)}
    assert found.classes == NAMES
    read = read_clips(Dataset(**found.table), 3)
    assert [(os.path.relpath(clip.path, tmp_path / videos), clip.label) for clip in read.train] == [
        (f"78687.{extension}", 0), (f"42326.{extension}", 1), (f"100904.{extension}", 2),
    ]  # fmt: skip
    assert [clip.label for clip in read.val] == [2, 0]


def test_lists_apart_and_given_classes(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    make_videos(tmp_path / "videos")
    table = inspect_folder(tmp_path / "videos", lists).table
    given = tuple(reversed(NAMES))
    read = read_clips(Dataset(**table, classes=given))
    assert read.classes == given and [clip.label for clip in read.train] == [2, 1, 0]
    assert "is none of the 2 names in [dataset] classes" in refusal(Dataset(**table, classes=NAMES[:2]))
    assert "has 3 classes, but [head] num_classes is 174" in refusal(Dataset(**table), 174)


def test_missing_videos_are_counted_and_none_at_all_is_refused(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    make_videos(tmp_path / "videos")
    dataset = Dataset(format="something_v2", root=str(tmp_path / "videos"), annotations=str(lists))
    (tmp_path / "videos/42326.webm").unlink()
    assert any("1 of 3 videos listed" in note and "42326" in note for note in read_clips(dataset).notes)
    assert "none of the 3 videos" in refusal(dataset.model_copy(update={"root": str(lists)}))


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("train", [{"id": "1420"}], 'entry 1 (id 1420) has no "template"'),
        ("train", [{"id": "5", "template": "Eating [something]"}], '"Eating something" is none of the 3 classes'),
        ("train", [{"template": "x"}], 'entry 1 has no "id"'),
        ("train", {"id": "5"}, "must be a list"),
        ("validation", [], "lists no video"),
        ("labels", ["a", "b"], "must be one object of class names and ids"),
        ("labels", {"a": "0", "b": "2"}, "the ids must be 0 to 1"),
    ],
)
def test_a_wrong_file_is_one_sentence(file: str, content: object, expected: str, tmp_path: Path) -> None:
    write_lists(tmp_path, "Qualcomm")
    make_videos(tmp_path)
    write(tmp_path / f"{file}.json", content)
    assert expected in refusal(Dataset(format="something_v2", root=str(tmp_path)))


def test_json_files_of_another_kind_are_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("labels", "train", "val"):
        write(tmp_path / f"{name}.json", [{"image": "1.jpg"}])
    for name in ("a/1.mp4", "b/1.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert inspect_folder(tmp_path).format == "folders"


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    write_lists(tmp_path, "Qualcomm")
    (tmp_path / "train.json").write_text('[\n{"id": }]')
    assert "train.json:2: not valid JSON" in refusal(Dataset(format="something_v2", root=str(tmp_path)))
    (tmp_path / "labels.json").unlink()
    assert "has no labels.json" in refusal(Dataset(format="something_v2", root=str(tmp_path)))


def test_the_real_templates_become_the_real_class_names(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/annotations"
    templates = (folder / "sthv2/uniformer_category_bracketed.txt").read_text(encoding="utf-8").strip().split("\n")
    official = (folder / "mmaction2_label_maps/sthv2_label_map.txt").read_text(encoding="utf-8").strip().split("\n")
    assert len(official) == 174 and {class_of(template.strip()) for template in templates} == set(official)
    labels = write(tmp_path / "labels.json", {name: str(number) for number, name in enumerate(official)})
    assert read_labels(labels) == official

    # UniFormer's lists count in the order of the templates with brackets; by name they come out right.
    entries = []
    for line in (folder / "sthv2/somesomev2_rgb_validation_split.txt").read_text().split("\n")[:200]:
        id, _, number = line.split()
        entries.append({"id": id, "template": templates[int(number)].strip()})
        (tmp_path / f"{id}.webm").touch()
    for split in ("train", "validation"):
        write(tmp_path / f"{split}.json", entries)
    lists = read_clips(Dataset(format="something_v2", root=str(tmp_path)), 174)
    assert [lists.classes[clip.label] for clip in lists.train] == [class_of(entry["template"]) for entry in entries]


@pytest.mark.slow
def test_something_v2_trains(tmp_path: Path) -> None:
    root = tmp_path / "sthv2"
    write_lists(root / "labels", "Qualcomm")
    for number, (id, _) in enumerate((*ENTRIES["train"], *ENTRIES["validation"])):
        write_clip(root / "20bn-something-something-v2" / f"{id}.webm", number)
    state = train_as(inspect_folder(root).table, tmp_path)
    assert state.started is not None and state.started.classes == list(NAMES)
    assert (state.started.train_clips, state.started.val_clips) == (3, 2)
