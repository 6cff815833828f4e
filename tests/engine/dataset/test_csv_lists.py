"""CSV lists of path and label in every dialect: header or not, three separators, ids or names, three starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.dataset.formats import read_clips
from engine.dataset.formats.csv_lists import labels_in, read_list, write_split
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal, train_as, write_clip

NAMED = [("a/1.mp4", "walk"), ("my clips/2 b.avi", "riding a bike"), ("a/3.mp4", "walk")]
NUMBERED = [("a/1.mp4", "1"), ("my clips/2 b.avi", "0"), ("a/3.mp4", "1")]


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def text_of(rows: list[tuple[str, str]], separator: str = " ", header: str = "") -> str:
    return "".join(f"{line}\n" for line in ([header] if header else []) + [separator.join(row) for row in rows])


def dataset(root: Path, train: str, val: str = "", **keys: object) -> Dataset:
    """Lists in lists/, videos in videos/."""
    for file, _ in NAMED:
        write(root / "videos" / file)
    write(root / "lists/train.csv", train)
    write(root / "lists/val.csv", val or train)
    return Dataset(format="csv", root=str(root / "videos"), annotations=str(root / "lists"), **keys)


DIALECTS = {
    "PySlowFast, PyTorchVideo": (" ", ""),
    "tabs": ("\t", ""),
    "commas": (",", ""),
    "Hugging Face": (",", "file_name,label"),
    "pandas": (",", "path,label"),
    "pandas, video_path": (",", "video_path,label"),
    "tabs and a header": ("\t", "Path\tLabel"),
    "spaces and a header": (" ", "path label"),
    "a header of other names": (",", "clip,y"),
}


@pytest.mark.parametrize("rows", [NAMED, NUMBERED], ids=["names", "ids"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_reads_the_same(dialect: str, rows: list[tuple[str, str]], tmp_path: Path) -> None:
    source = dataset(tmp_path, "\ufeff" + text_of(rows, *DIALECTS[dialect]).replace("\n", "\r\n"))
    assert [(video, label) for video, label, _ in read_list(tmp_path / "lists/train.csv")] == rows
    lists = read_clips(source, 2)
    assert lists.classes == (("riding a bike", "walk") if rows is NAMED else ("0", "1"))
    assert [(os.path.relpath(clip.path, tmp_path / "videos"), clip.label) for clip in lists.train] == [
        ("a/1.mp4", 1), ("my clips/2 b.avi", 0), ("a/3.mp4", 1),
    ]  # fmt: skip


def test_columns_start_and_end_make_parts_of_untrimmed_videos(tmp_path: Path) -> None:
    rows = ["a/1.mp4,walk,1.5,3", "a/1.mp4,run,3,", "my clips/2 b.avi,run,,2.25", "a/3.mp4,run,9,8", "a/3.mp4,run,2,2"]
    source = dataset(tmp_path, "\n".join(["path,label,start,end", *rows]), "path,label\na/3.mp4,walk\n")
    lists = read_clips(source)
    assert [(Path(clip.path).name, clip.label, clip.start, clip.end) for clip in lists.train] == [
        ("1.mp4", 1, 1.5, 3.0), ("1.mp4", 0, 3.0, 0.0), ("2 b.avi", 0, 0.0, 2.25),
    ]  # fmt: skip
    assert [(clip.start, clip.end) for clip in lists.val] == [(0.0, 0.0)]
    told = "2 parts in {} left out, because the end is not after the start: line 5, line 6."
    assert told.format(tmp_path / "lists/train.csv") in lists.notes
    write(tmp_path / "lists/train.csv", "path,label,start,end\na/1.mp4,walk,1,2\na/1.mp4,run,two,3\n")
    assert "train.csv:3: two is not a time in seconds" in refusal(source)


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    source = dataset(tmp_path, 'id,label,path\n7,"walk, slowly",a/1.mp4\n8,run,"my clips/2 b.avi"\n')
    lists = read_clips(source)
    assert lists.classes == ("run", "walk, slowly") and [clip.label for clip in lists.train] == [1, 0]


def test_paths_with_commas_and_quotes_in_a_list_without_header(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", 'a, b/1.mp4,0\n"c, d.mp4",1\n')
    assert [row[:2] for row in read_list(path)] == [("a, b/1.mp4", "0"), ("c, d.mp4", "1")]


def test_a_note_says_where_paths_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = dataset(tmp_path, text_of(NAMED))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def start(dataset: Dataset) -> str:
        lists = read_clips(dataset)
        assert len(lists.train) == 3
        return lists.notes[0].removeprefix(f"Paths in {tmp_path}/")

    assert start(source) == f"lists/train.csv start in {tmp_path / 'videos'}."
    moved = source.model_copy(update={"root": str(tmp_path / "elsewhere")})
    assert "none of the 3 videos" in refusal(moved)
    monkeypatch.chdir(tmp_path / "videos")
    assert start(moved) == f"lists/train.csv start in the working folder, {tmp_path / 'videos'}."
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lists/train.csv", text_of([(f"../videos/{file}", label) for file, label in NAMED]))
    write(tmp_path / "lists/val.csv", text_of([(f"{tmp_path}/videos/{file}", label) for file, label in NAMED]))
    deeper = moved.model_copy(update={"root": str(tmp_path / "videos/my clips")})
    assert start(deeper) == f"lists/train.csv start in the list's folder, {tmp_path / 'lists'}."
    assert read_clips(deeper).notes[1] == f"Paths in {tmp_path / 'lists/val.csv'} are absolute."


def test_missing_videos_are_counted(tmp_path: Path) -> None:
    notes = read_clips(dataset(tmp_path, text_of([*NUMBERED, ("gone.mp4", "0")]))).notes
    assert any("1 of 4 videos listed" in note and "gone.mp4" in note for note in notes)


def test_given_classes_and_counts(tmp_path: Path) -> None:
    source = dataset(tmp_path, text_of(NUMBERED), classes=("bike", "walk"))
    assert read_clips(source, 3).classes == ("bike", "walk", "2")
    named = dataset(tmp_path, text_of(NAMED, ","), classes=("walk", "riding_a_bike"))
    assert [clip.label for clip in read_clips(named).train] == [0, 1, 0]
    assert "has 2 classes, but [head] num_classes is 3" in refusal(named, 3)


@pytest.mark.parametrize(
    ("train", "val", "expected"),
    [
        ("a/1.mp4 0 3\na/3.mp4 1 2\n", "", "train.csv:1: a/1.mp4 has two numbers after it"),
        ("a/1.mp4,300,0\na/3.mp4,300,1\n", "", "train.csv:1: a/1.mp4 has two numbers after it"),
        ("a/1.mp4 0\na/3.mp4\n", "", 'train.csv:2: "a/3.mp4" is not a video and its label'),
        ("a/1.mp4,0\na/3.mp4,\n", "", "train.csv:2:"),
        ("a/1.mp4 0\nmy clips/2 b.avi walk\n", "", 'train.csv:2: label "walk" is not a whole number'),
        ("a/1.mp4 0\n", "a/3.mp4 1\n", "val.csv:1 is outside the 1 class"),
        ("a/1.mp4,walk\n", "a/3.mp4,Walk\n", 'val.csv:1: "Walk" is none of the classes in'),
        ("a/1.mp4 -1\na/3.mp4 0\n", "", "train.csv:1: label -1 is negative"),
        ("path,size\na/1.mp4,3\n", "", "train.csv:1: no column `label`"),
        ("path,label\na/1.mp4\n", "", "train.csv:2: the row must have both a path and a label"),
        ("path,label\n", "", "train.csv lists no video"),
        ("\n", "a/1.mp4 0\n", "train.csv lists no video"),
    ],
)
def test_a_wrong_list_is_one_sentence(train: str, val: str, expected: str, tmp_path: Path) -> None:
    source = dataset(tmp_path, train, val)
    assert expected in refusal(source, 1 if "outside" in expected else None)


# --- several classes a video ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("walk|talk", ["walk", "talk"]),
        (" walk ; talk;", ["walk", "talk"]),
        ("['walk', 'talk']", ["walk", "talk"]),
        ('["walk", "talk, slowly"]', ["walk", "talk, slowly"]),
        ("3|5", ["3", "5"]),
        ("3 5", ["3", "5"]),
        ("3,5, 7", ["3", "5", "7"]),
        ("[3, 5]", ["3", "5"]),
        ("[3 5]", ["3", "5"]),
        ("[3]", ["3"]),
        ("walk, slowly", ["walk, slowly"]),
        ("walk talk", ["walk talk"]),
        ("3 point shot", ["3 point shot"]),
        ("ascending/rising", ["ascending/rising"]),
        ("[Something] colliding with [something]", ["[Something] colliding with [something]"]),
        ("adult+female+singing", ["adult+female+singing"]),
        ("|", ["|"]),
        ("7", ["7"]),
    ],
)
def test_what_separates_labels_and_what_is_part_of_a_name(cell: str, labels: list[str]) -> None:
    assert list(labels_in(cell)) == labels


def test_several_names_or_ids_a_video(tmp_path: Path) -> None:
    rows = "path,label,source\na/1.mp4,walk|talk,x\nmy clips/2 b.avi,run,y\na/3.mp4,talk;run;talk,z\n"
    lists = read_clips(dataset(tmp_path, rows, "path,label\na/1.mp4,run\n"))
    assert lists.multi_label and lists.classes == ("run", "talk", "walk")
    assert [(clip.labels, clip.group) for clip in lists.train] == [((2, 1), "x"), ((0,), "y"), ((1, 0), "z")]
    assert lists.val[0].labels == (0,)
    lists = read_clips(dataset(tmp_path, 'path,label\na/1.mp4,"0, 2"\na/3.mp4,1\n', "a/3.mp4,2|1\n"), 3)
    assert [clip.labels for clip in (*lists.train, *lists.val)] == [(0, 2), (1,), (2, 1)]
    assert '"fly" is none of the classes' in refusal(dataset(tmp_path, "a/1.mp4,walk|run\n", "a/3.mp4,run|fly\n"))


def test_a_name_with_a_separator_is_one_where_it_is_named_so(tmp_path: Path) -> None:
    source = dataset(tmp_path, "a/1.mp4,salt|pepper\na/3.mp4,walk\n", "a/3.mp4,walk\n", classes=("salt|pepper", "walk"))
    lists = read_clips(source)
    assert not lists.multi_label and [clip.label for clip in lists.train] == [0, 1]


def test_a_split_of_several_classes_is_written_and_read_again(tmp_path: Path) -> None:
    source = dataset(tmp_path, "a/1.mp4,walk|talk\nmy clips/2 b.avi,run\n", "a/3.mp4,talk\n")
    lists = read_clips(source)
    write_split(tmp_path / "split.csv", lists, source)
    again = read_clips(Dataset(format="csv", root=source.root, train_list=str(tmp_path / "split.csv")))
    assert again.classes == lists.classes
    assert [clip.labels for clip in (*again.train, *again.val)] == [clip.labels for clip in (*lists.train, *lists.val)]


@pytest.mark.parametrize("start", ["", "videos/"])
def test_lists_are_recognised(start: str, tmp_path: Path) -> None:
    rows = [(f"{start}{file}", label) for file, label in NAMED]
    dataset(tmp_path, text_of(rows, ",", "video_path,label"))
    found = inspect_folder(tmp_path)
    root = tmp_path if start else tmp_path / "videos"
    assert found.table == {
        "format": "csv",
        "root": str(root),
        "train_list": str(tmp_path / "lists/train.csv"),
        "val_list": str(tmp_path / "lists/val.csv"),
    }
    assert found.train_counts == {"riding a bike": 1, "walk": 2}
    assert inspect_folder(tmp_path / "videos", tmp_path / "lists").table == found.table


def test_metadata_in_the_folder_of_each_split_is_recognised(tmp_path: Path) -> None:
    for split, name in (("train", "x"), ("validation", "y")):
        write(tmp_path / split / f"{name}.mp4")
        write(tmp_path / split / "metadata.csv", f"file_name,label\n{name}.mp4,walk\n")
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "csv", "root": str(tmp_path), "annotations": str(tmp_path)}
    assert (found.train_counts, found.val_counts) == ({"walk": 1}, {"walk": 1})


def test_logs_are_no_lists(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "epoch,loss\n1,0.5\n")
    write(tmp_path / "val.csv", "epoch,loss\n1,0.5\n")
    write(tmp_path / "a/1.mp4")
    write(tmp_path / "b/1.mp4")
    assert inspect_folder(tmp_path).format == "folders"


def test_a_real_list_with_commas(shared: Path, tmp_path: Path) -> None:
    source = shared / "data/annotations/ucf101/uniformer_split1_val.head200.csv"
    rows = read_list(source)
    assert len(rows) == 200
    for video, _, _ in rows:
        write(tmp_path / video)
    lists = read_clips(Dataset(format="csv", root=str(tmp_path), train_list=str(source), val_list=str(source)))
    assert len(lists.train) == 200
    assert all(Path(clip.path).name == Path(row[0]).name for clip, row in zip(lists.train, rows, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["PySlowFast, PyTorchVideo", "Hugging Face"])
def test_csv_trains(dialect: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number, (file, _) in enumerate(NAMED):
        write_clip(root / file, number)
    for split in ("train", "val"):
        write(root / f"{split}.csv", text_of(NAMED, *DIALECTS[dialect]))
    state = train_as(inspect_folder(root).table, tmp_path)
    assert state.started is not None and state.started.classes == ["riding a bike", "walk"]
    assert (state.started.train_clips, state.started.val_clips) == (3, 3)
