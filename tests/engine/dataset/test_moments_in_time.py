"""Moments in Time: categories with and without ids, CSV files without a header, the folders people end up with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.dataset.formats import read_clips
from engine.dataset.formats.moments_in_time import read_categories
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal, train_as, write_clip

TRAIN = [
    ("blocking/getty-karate-video-id635808620_4.mp4", "blocking"),
    ("adult+female+singing/yt-1_2.mp4", "adult+female+singing"),
    ("ascending/flickr-3_4.mp4", "ascending/rising"),
]
VAL = [("adult+female+singing/yt-9_1.mp4", "adult+female+singing"), ("rising/vine-8.mp4", "ascending/rising")]
NAMES = ("blocking", "adult+female+singing", "ascending/rising")
CATEGORIES = {
    "moments_categories.txt": "blocking,0\nascending/rising,2\nadult+female+singing,1\n",
    "category_momentsv2.txt": "blocking\nadult+female+singing\nascending/rising\n",
}


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_lists(folder: Path, categories: str = "moments_categories.txt") -> Path:
    write(folder / categories, CATEGORIES[categories])
    write(folder / "trainingSet.csv", "".join(f"{file},{label},3,0\n" for file, label in TRAIN))
    write(folder / "validationSet.csv", "".join(f"{file},{label},5,1\n" for file, label in VAL))
    return folder


def make_videos(root: Path, train: str = "training", val: str = "validation") -> None:
    for folder, rows in ((train, TRAIN), (val, VAL)):
        for file, _ in rows:
            write(root / folder / file)


@pytest.mark.parametrize("categories", CATEGORIES)
@pytest.mark.parametrize("folder", ["", "annotations"])
@pytest.mark.parametrize(
    ("train", "val"), [("training", "validation"), ("videos", "video"), ("videos", "videos"), ("", "")]
)
def test_it_is_recognised_and_read(categories: str, folder: str, train: str, val: str, tmp_path: Path) -> None:
    lists = write_lists(tmp_path / folder, categories)
    make_videos(tmp_path, train, val)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "moments_in_time", "root": str(tmp_path), "annotations": str(lists)}
    assert found.classes == NAMES
    read = read_clips(Dataset(**found.table), 3)
    for clips, rows, below in ((read.train, TRAIN, train), (read.val, VAL, val)):
        assert [(os.path.relpath(clip.path, tmp_path / below), NAMES[clip.label]) for clip in clips] == rows


def test_the_same_file_name_in_both_splits_is_two_videos(tmp_path: Path) -> None:
    write_lists(tmp_path)
    write(tmp_path / "validationSet.csv", "".join(f"{file},{label},3,0\n" for file, label in TRAIN))
    make_videos(tmp_path)
    for file, _ in TRAIN:
        write(tmp_path / "validation" / file)
    lists = read_clips(Dataset(format="moments_in_time", root=str(tmp_path)))
    assert not {clip.path for clip in lists.train} & {clip.path for clip in lists.val}


def test_lists_apart_and_given_classes(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    make_videos(tmp_path / "data")
    table = inspect_folder(tmp_path / "data", lists).table
    given = tuple(reversed(NAMES))
    assert [clip.label for clip in read_clips(Dataset(**table, classes=given)).train] == [2, 1, 0]
    assert "has 3 classes, but [head] num_classes is 339" in refusal(Dataset(**table), 339)


def test_missing_videos_are_counted_and_none_at_all_is_refused(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists")
    make_videos(tmp_path / "data")
    dataset = Dataset(format="moments_in_time", root=str(tmp_path / "data"), annotations=str(lists))
    (tmp_path / "data/training" / TRAIN[0][0]).unlink()
    assert any("1 of 3 videos listed" in note and TRAIN[0][0] in note for note in read_clips(dataset).notes)
    message = refusal(dataset.model_copy(update={"root": str(lists)}))
    assert "none of the 3 videos" in message and str(lists / "training" / TRAIN[0][0]) in message


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("trainingSet.csv", "a/b.mp4,yawning,3,0\n", 'trainingSet.csv:1: "yawning" is none of the 3 categories'),
        ("trainingSet.csv", "a/b.mp4,blocking/adult+female+singing,3,0\n", "is none of the 3 categories"),
        ("trainingSet.csv", "a/b.mp4\n", 'trainingSet.csv:1: the row must be "file,label"'),
        ("validationSet.csv", "\n", "validationSet.csv lists no video"),
        ("moments_categories.txt", "a,0\nb\n", 'moments_categories.txt:2: either every line is "name,id"'),
        ("moments_categories.txt", "a,0\nb,2\n", "the ids must be 0 to 1"),
        ("moments_categories.txt", "a\na\n", "a category stands on two lines"),
        ("moments_categories.txt", "", "names no category"),
    ],
)
def test_a_wrong_file_is_one_sentence(file: str, text: str, expected: str, tmp_path: Path) -> None:
    write_lists(tmp_path)
    make_videos(tmp_path)
    write(tmp_path / file, text)
    assert expected in refusal(Dataset(format="moments_in_time", root=str(tmp_path)))


def test_categories_that_are_missing_or_not_clear_are_told(tmp_path: Path) -> None:
    write_lists(tmp_path)
    dataset = Dataset(format="moments_in_time", root=str(tmp_path))
    write(tmp_path / "category_momentsv2.txt", "a\n")
    assert "has 2 files of categories: category_momentsv2.txt, moments_categories.txt" in refusal(dataset)
    (tmp_path / "category_momentsv2.txt").unlink()
    (tmp_path / "moments_categories.txt").rename(tmp_path / "category_multi_momentsv2.txt")
    assert "has no moments_categories.txt" in refusal(dataset)


def test_the_real_categories(shared: Path, tmp_path: Path) -> None:
    names = read_categories(shared / "data/annotations/moments/category_momentsv2.txt")
    assert len(names) == 305 and names[:2] == ["clapping", "dropping"]
    v1 = (shared / "data/annotations/mmaction2_label_maps/mit_label_map.txt").read_text().split()
    official = write(tmp_path / "moments_categories.txt", "".join(f"{name},{id}\n" for id, name in enumerate(v1)))
    assert len(v1) == 339 and read_categories(official) == v1


@pytest.mark.slow
def test_moments_in_time_trains(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "Moments_in_Time_Raw")
    for folder, rows in (("training", TRAIN), ("validation", VAL)):
        for number, (file, _) in enumerate(rows):
            write_clip(root / folder / file, number)
    state = train_as(inspect_folder(root).table, tmp_path)
    assert state.started is not None and state.started.classes == list(NAMES)
    assert (state.started.train_clips, state.started.val_clips) == (3, 2)
