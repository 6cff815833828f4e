"""Something-Something V1: folders of frames by id, CSV files with ";" since labels have commas, classes by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.dataset.clips import Clip
from engine.dataset.decode import open_clip
from engine.dataset.formats import read_clips
from engine.dataset.formats.something_v1 import read_labels, read_list
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.frames import write_flow, write_frames
from tests.layouts import refusal, train_as

# Not in alphabetical order, as in the official file; with a comma, quotes and a semicolon's neighbours.
NAMES = (
    "Unfolding something",
    "Laying something on the table on its side, not upright",
    'Pretending to put something "on" something',
)
TRAIN = ((100218, NAMES[1]), (24413, NAMES[0]), (7, NAMES[2]), (41775, NAMES[0]))
VAL = ((74225, NAMES[2]), (116154, NAMES[1]))
SPELLINGS = ("something-something-v1-{}.csv", "jester-like-{}.csv")


def write_lists(folder: Path, spelling: str = SPELLINGS[0]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / spelling.format("labels")).write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    for split, rows in (("train", TRAIN), ("validation", VAL)):
        text = "".join(f"{id};{name}\n" for id, name in rows)
        (folder / spelling.format(split)).write_text(text, encoding="utf-8")
    (folder / spelling.format("test")).write_text("1420\n", encoding="utf-8")
    return folder


def make_frames(root: Path) -> Path:
    for number, (id, _) in enumerate((*TRAIN, *VAL)):
        write_frames(root / str(id), 5 + number, "{:05}.jpg", seed=number)
    return root


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    frames, lists = make_frames(tmp_path / "20bn-something-something-v1"), write_lists(tmp_path / "labels")
    return Dataset(format="something_v1", root=str(frames), annotations=str(lists))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_it_is_recognised_and_read(spelling: str, tmp_path: Path) -> None:
    frames, lists = make_frames(tmp_path / "20bn-something-something-v1"), write_lists(tmp_path, spelling)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "something_v1", "root": str(frames), "annotations": str(lists)}
    assert found.classes == NAMES and found.train_counts == dict(zip(NAMES, (2, 1, 1), strict=True))
    read = read_clips(Dataset(**found.table), 3)
    assert list(read.train) == [
        Clip(str(frames / str(id)), NAMES.index(name), first_frame=1) for id, name in TRAIN
    ]  # fmt: skip
    assert [open_clip(clip, "{:05}.jpg").num_frames for clip in (*read.train, *read.val)] == [5, 6, 7, 8, 9, 10]
    assert read.decided == {"filename_template": "{:05}.jpg", "start_index": 1}
    assert inspect_folder(frames, lists).table == found.table


def test_given_classes_are_matched_by_name(dataset: Dataset) -> None:
    given = tuple(reversed(NAMES))
    read = read_clips(dataset.model_copy(update={"classes": given}))
    assert read.classes == given and [clip.label for clip in read.train] == [1, 2, 0, 2]
    assert "has 3 classes, but [head] num_classes is 174" in refusal(dataset, 174)


def test_flow_beside_the_frames_is_not_counted(dataset: Dataset) -> None:
    """MMAction2 keeps both in one folder, and counts frames by the first letter of their names."""
    for id, _ in (*TRAIN, *VAL):
        write_flow(Path(dataset.root, str(id)), 4, "{}_{:05}.jpg")
    assert open_clip(read_clips(dataset).train[0]).num_frames == 5
    lists = read_clips(dataset, modality="flow")
    assert lists.decided["filename_template"] == "{}_{:05}.jpg"
    assert open_clip(lists.train[0], "{}_{:05}.jpg", flow=True).num_frames == 4


def test_missing_folders_are_counted_and_none_at_all_is_refused(dataset: Dataset) -> None:
    Path(dataset.root, "24413").rename(Path(dataset.root, "elsewhere"))
    assert any("1 of 4 videos listed" in note and "24413" in note for note in read_clips(dataset).notes)
    message = refusal(dataset.model_copy(update={"root": dataset.annotations}))
    assert "none of the 4 videos listed in" in message and "has a folder of frames in" in message


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "train",
            "7;Unfolding something\n8;Folding something",
            'train.csv:2: "Folding something" (video 8) is none of',
        ),
        ("train", "1420\n", "a list without classes, such as the test list"),
        ("validation", "", "validation.csv lists no video"),
        ("labels", "", "labels.csv names no class"),
        ("labels", "Holding something\nHolding something", 'labels.csv:2: "Holding something" stands there a second'),
        ("labels", "0;Holding something", "the labels file has one a line"),
    ],
)
def test_a_wrong_file_is_one_sentence(file: str, text: str, expected: str, dataset: Dataset) -> None:
    Path(dataset.annotations, SPELLINGS[0].format(file)).write_text(text)
    assert expected in refusal(dataset)


def test_without_labels_the_folder_is_asked_for(dataset: Dataset) -> None:
    os.remove(Path(dataset.annotations, SPELLINGS[0].format("labels")))
    assert "has no something-something-v1-labels.csv; set [dataset] annotations" in refusal(dataset)


def test_the_real_names(shared: Path, tmp_path: Path) -> None:
    """174 classes. The same names have other ids in MMAction2's (official) order than sorted, as UniFormer has them."""
    folder = shared / "data/annotations"
    official = read_labels(folder / "mmaction2_label_maps/sthv1_label_map.txt")
    alphabetical = read_labels(folder / "sthv1/uniformer_category_alphabetical.txt")
    assert len(official) == len(alphabetical) == 174
    assert set(official) == set(alphabetical) and official != alphabetical == sorted(official)
    assert official[0] == "Holding something" and alphabetical[0] == "Approaching something with your camera"
    assert [(official[a], official[b]) for a, b in ((2, 4), (30, 41), (52, 66))] == [
        (name, name.replace("left", "-").replace("right", "left").replace("-", "right"))
        for name in (official[2], official[30], official[52])
    ]

    with_comma = "Laying something on the table on its side, not upright"
    rows = [(100218, "Something falling like a feather or paper"), (24413, "Unfolding something"), (3, with_comma)]
    lists = write_lists(tmp_path / "lists")
    (lists / SPELLINGS[0].format("labels")).write_text("\n".join(official), encoding="utf-8")
    for split in ("train", "validation"):
        text = "\n".join(f"{id};{name}" for id, name in rows)
        (lists / SPELLINGS[0].format(split)).write_text(text, encoding="utf-8")
    for id, _ in rows:
        write_frames(tmp_path / "frames" / str(id), 2, "{:05}.jpg")
    assert read_list(lists / SPELLINGS[0].format("train")) == [
        (str(id), name, line) for line, (id, name) in enumerate(rows, 1)
    ]
    dataset = Dataset(format="something_v1", root=str(tmp_path / "frames"), annotations=str(lists))
    clips = read_clips(dataset, 174)
    assert [clips.classes[clip.label] for clip in clips.train] == [name for _, name in rows]


@pytest.mark.slow
def test_something_v1_trains(dataset: Dataset, tmp_path: Path) -> None:
    state = train_as(inspect_folder(tmp_path).table, tmp_path)
    assert state.started is not None and state.started.classes == list(NAMES)
    assert (state.started.train_clips, state.started.val_clips) == (4, 2)
