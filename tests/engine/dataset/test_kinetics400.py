"""Kinetics' CSV files: columns by name, and videos in every layout that people have."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.dataset.clips import ClipLists
from engine.dataset.formats import read_clips
from engine.dataset.formats.kinetics400 import read_rows
from engine.dataset.inspect import inspect_folder
from engine.errors import DataError
from engine.recipe import Dataset
from tests.layouts import refusal, train_as, write_clip

ROWS = [
    ("abseiling", "0wR5jVB-WPk", 417, 427, "train"),
    ("riding a bike", "-Ab_d-fGhi_", 7, 17, "train"),
    ("massaging person's head", "_2ndID0_00-", 100, 110, "train"),
    ("riding a bike", "--6bJUbfpnQ", 17, 27, "val"),
    ("abseiling", "a_000001_xy", 0, 10, "val"),
]
HEADER = "label,youtube_id,time_start,time_end,split"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_lists(folder: Path, train: str = "train.csv", val: str = "val.csv") -> None:
    for name, split in ((train, "train"), (val, "val")):
        rows = [",".join(map(str, row)) for row in ROWS if row[-1] == split]
        write(folder / name, "\n".join([HEADER, *rows]) + "\n")


def timed(youtube_id: str, start: int, end: int) -> str:
    return f"{youtube_id}_{start:06d}_{end:06d}"


LAYOUTS: dict[str, Callable[[str, str, int, int, str], str]] = {
    "class folders with spaces": lambda label, id, start, end, split: f"{split}/{label}/{timed(id, start, end)}.mp4",
    "class folders with underscores": lambda label, id, start, end, split: (
        f"videos_{split}/{label.replace(' ', '_')}/{timed(id, start, end)}.mp4"
    ),
    "flat": lambda label, id, start, end, split: f"{split}/{timed(id, start, end)}.mkv",
    "bare ids": lambda label, id, start, end, split: f"{id}.webm",
}


def make_videos(root: Path, layout: str) -> None:
    for row in ROWS:
        write(root / LAYOUTS[layout](*row), "")


def dataset(root: Path, **keys: object) -> Dataset:
    return Dataset(format="kinetics400", root=str(root), annotations=str(root / "annotations"), **keys)


def labels(lists: ClipLists, part: str) -> dict[str, str]:
    """YouTube id → class name."""
    return {clip.group: lists.classes[clip.label] for clip in getattr(lists, part)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_videos_are_found_by_their_id_in_every_layout(layout: str, tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations")
    make_videos(tmp_path, layout)
    lists = read_clips(dataset(tmp_path))
    assert lists.classes == ("abseiling", "massaging person's head", "riding a bike")
    assert labels(lists, "train") == {id: label for label, id, _, _, split in ROWS if split == "train"}
    assert labels(lists, "val") == {id: label for label, id, _, _, split in ROWS if split == "val"}
    assert {os.path.relpath(clip.path, tmp_path) for clip in (*lists.train, *lists.val)} == {
        LAYOUTS[layout](*row) for row in ROWS
    }


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("kinetics_train.csv", "kinetics_val.csv"),
        ("kinetics-400_train.csv", "kinetics-400_val.csv"),
        ("train.csv", "validate.csv"),
    ],
)
def test_lists_are_recognised_by_their_columns(train: str, val: str, tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations", train, val)
    write(tmp_path / "annotations/test.csv", "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    make_videos(tmp_path, "flat")
    found = inspect_folder(tmp_path)
    assert found.table == {
        "format": "kinetics400",
        "root": str(tmp_path),
        "train_list": str(tmp_path / "annotations" / train),
        "val_list": str(tmp_path / "annotations" / val),
    }
    assert sum(found.train_counts.values()) == 3 and sum(found.val_counts.values()) == 2
    assert "label and youtube_id" in found.why[0]
    assert inspect_folder(tmp_path, tmp_path / "annotations").table == found.table


def test_columns_are_read_by_name_in_any_order_with_quotes_and_fractions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.csv",
        'is_cc,time_end,time_start,YouTube_ID,label\n0,27.0,17.0,--6bJUbfpnQ,"yoga, slow"\n1,,,abc_def-ghi,tying\n',
    )
    first, second = read_rows(path)
    assert (first.label, first.name) == ("yoga, slow", "--6bJUbfpnQ_000017_000027")
    assert (second.label, second.name) == ("tying", "abc_def-ghi")


def test_one_youtube_video_cut_twice_is_not_mixed_up(tmp_path: Path) -> None:
    rows = "a,xxxxxxxxxxx,0,10,train\nb,xxxxxxxxxxx,50,60,train\na,yyyyyyyyyyy,0,10,train\n"
    write(tmp_path / "annotations/train.csv", f"{HEADER}\n{rows}")
    write(tmp_path / "annotations/val.csv", f"{HEADER}\na,zzzzzzzzzzz,0,10,val\n")
    for name in ("xxxxxxxxxxx_000050_000060", "yyyyyyyyyyy", "zzzzzzzzzzz", "xxxxxxxxxxx"):
        write(tmp_path / f"{name}.mp4", "")
    lists = read_clips(dataset(tmp_path))
    assert [(Path(clip.path).stem, clip.label) for clip in lists.train] == [
        ("xxxxxxxxxxx_000050_000060", 1),
        ("yyyyyyyyyyy", 0),
    ]
    assert any("1 of 3 videos listed" in note and "xxxxxxxxxxx_000000_000010" in note for note in lists.notes)
    assert any("1 video on disk in neither list" in note and "xxxxxxxxxxx.mp4" in note for note in lists.notes)


def test_a_replacement_for_a_corrupted_video_is_taken(tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations")
    make_videos(tmp_path, "flat")
    better = "replacement/replacement_for_corrupted_k400/-Ab_d-fGhi__000007_000017.mp4"
    write(tmp_path / better, "")
    lists = read_clips(dataset(tmp_path))
    assert str(tmp_path / better) in {clip.path for clip in lists.train}
    assert len(lists.train) == 3 and not any("neither list" in note for note in lists.notes)


def test_missing_videos_are_counted_and_none_at_all_is_refused(tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations")
    make_videos(tmp_path, "flat")
    (tmp_path / "train/-Ab_d-fGhi__000007_000017.mkv").unlink()
    assert any("1 of 3 videos listed" in note and "-Ab_d-fGhi_" in note for note in read_clips(dataset(tmp_path)).notes)
    wrong = dataset(tmp_path).model_copy(update={"root": str(tmp_path / "annotations")})
    assert "none of the 3 videos listed" in refusal(wrong)


def test_a_list_without_labels_is_refused_with_its_columns(tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations", val="test.csv")
    write(tmp_path / "annotations/test.csv", "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    make_videos(tmp_path, "flat")
    message = refusal(dataset(tmp_path))
    assert "test.csv:1: no column `label`" in message and "youtube_id, time_start, time_end, split" in message


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("abseiling,,1,2,train", "train.csv:2: the row has no youtube_id"),
        (",0wR5jVB-WPk,1,2,train", "train.csv:2: the row has no label"),
        ("abseiling,0wR5jVB-WPk,soon,2,train", 'train.csv:2: "soon" is not a time'),
        ("abseiling,0wR5jVB-WPk,nan,2,train", 'train.csv:2: "nan" is not a time'),
        ("Abseiling,0wR5jVB-WPk,417,427,train", 'val.csv:2: "riding a bike" is none of the classes in'),
    ],
)
def test_a_wrong_row_is_named(row: str, expected: str, tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations")
    make_videos(tmp_path, "flat")
    write(tmp_path / "annotations/train.csv", f"{HEADER}\n{row}\n")
    assert expected in refusal(dataset(tmp_path))


def test_given_classes_match_by_name_with_underscores_too(tmp_path: Path) -> None:
    write_lists(tmp_path / "annotations")
    make_videos(tmp_path, "flat")
    given = ("riding_a_bike", "abseiling", "massaging_person\u2019s_head", "yoga")
    lists = read_clips(dataset(tmp_path, classes=given), 4)
    assert lists.classes == given
    assert labels(lists, "val") == {"--6bJUbfpnQ": "riding_a_bike", "a_000001_xy": "abseiling"}
    assert "has 4 classes, but [head] num_classes is 3" in refusal(dataset(tmp_path, classes=given), 3)


def test_the_real_validation_list(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/annotations/kinetics/kinetics-400_val.csv"
    rows = read_rows(source)
    assert len(rows) == 19_906 and len({row.label for row in rows}) == 400
    assert sum(row.youtube_id.startswith("-") for row in rows) == 644

    official = (shared / "data/annotations/mmaction2_label_maps/kinetics_label_map_k400.txt").read_text().split("\n")
    for number, row in enumerate(rows):
        if number % 40 == 0:
            write(tmp_path / "val" / row.label.replace(" ", "_") / f"{row.name}.mp4", "")
    keys = {"train_list": str(source), "val_list": str(source)}
    lists = read_clips(Dataset(format="kinetics400", root=str(tmp_path), **keys), 400)
    assert list(lists.classes) == [name for name in official if name]
    assert len(lists.val) == 498
    assert any("19408 of 19906 videos" in note for note in lists.notes)
    with open(source, newline="", encoding="utf-8") as file:
        label_of = {row["youtube_id"]: row["label"] for row in csv.DictReader(file)}
    assert labels(lists, "val") == {clip.group: label_of[clip.group] for clip in lists.val}


def test_the_real_test_list_has_no_labels(shared: Path) -> None:
    with pytest.raises(DataError, match="no column `label`"):
        read_rows(shared / "data/annotations/kinetics/kinetics-400_test.head200.csv")


@pytest.mark.slow
def test_kinetics_trains(tmp_path: Path) -> None:
    write_lists(tmp_path / "k400/annotations")
    for number, row in enumerate(ROWS):
        write_clip(tmp_path / "k400" / LAYOUTS["class folders with underscores"](*row), number)
    found = inspect_folder(tmp_path / "k400")
    state = train_as(found.table, tmp_path)
    assert state.started is not None
    assert (state.started.train_clips, state.started.val_clips) == (3, 2)
    assert state.started.classes == ["abseiling", "massaging person's head", "riding a bike"]
