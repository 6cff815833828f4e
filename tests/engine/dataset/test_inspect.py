from __future__ import annotations

from pathlib import Path

import pytest

from engine.dataset.formats import read_clips
from engine.dataset.inspect import Inspection, inspect_folder
from engine.errors import DataError
from engine.recipe import Dataset


def make(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, annotations: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        inspect_folder(path, annotations)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def inspected(path: Path, annotations: Path | None = None) -> Inspection:
    """Every inspection's table must be a [dataset] that reads to the same counts."""
    inspection = inspect_folder(path, annotations)
    lists = read_clips(Dataset(**inspection.table))
    assert inspection.format == inspection.table["format"]
    assert inspection.classes == lists.classes
    assert inspection.train_counts == lists.counts(lists.train)
    assert inspection.val_counts == lists.counts(lists.val)
    assert inspection.why and all(sentence.endswith(".") for sentence in inspection.why)
    return inspection


# --- folders ----------------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/{n}.mp4" for name in ("run", "walk") for n in range(10)), "notes.txt")
    found = inspected(tmp_path)
    assert found.table == {"format": "folders", "root": str(tmp_path)}
    assert found.train_counts == {"run": 8, "walk": 8}
    assert found.val_counts == {"run": 2, "walk": 2}


def test_paths_stay_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "data/run/1.mp4", "data/walk/1.mp4")
    monkeypatch.chdir(tmp_path)
    assert inspected(Path("data")).table["root"] == "data"


def test_split_folders(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.mp4", "train/a/2.mp4", "train/b/1.mp4", "valid/a/3.mp4")
    found = inspected(tmp_path)
    assert found.table == {"format": "folders", "root": str(tmp_path)}
    assert (found.train_counts, found.val_counts) == ({"a": 2, "b": 1}, {"a": 1, "b": 0})
    assert "train, valid" in found.why[0]


@pytest.mark.parametrize("wrapper", ["videos", "UCF-101", "my clips"])
def test_one_folder_around_the_classes_is_unwrapped(wrapper: str, tmp_path: Path) -> None:
    make(tmp_path, f"{wrapper}/a/1.mp4", f"{wrapper}/b/1.mp4", "docs/readme.txt")
    assert inspected(tmp_path).table["root"] == str(tmp_path / wrapper)


def test_one_folder_around_split_folders_is_unwrapped(tmp_path: Path) -> None:
    make(tmp_path, "data/train/a/1.mp4", "data/train/b/1.mp4", "data/val/a/1.mp4")
    assert inspected(tmp_path).table["root"] == str(tmp_path / "data")


def test_nested_files_of_one_class_are_not_a_wrapper(tmp_path: Path) -> None:
    make(tmp_path, "a/day 1/1.mp4", "a/day 2/1.mp4", "b/1.mp4")
    assert inspected(tmp_path).classes == ("a", "b")


def test_a_groups_file_is_used(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/{n}.mp4" for name in "ab" for n in range(4)))
    rows = "".join(f"{name}/{n}.mp4,s{n}\n" for name in "ab" for n in range(4))
    groups = write(tmp_path / "groups.csv", f"file,source\n{rows}")
    found = inspected(tmp_path)
    assert found.table["groups"] == str(groups)
    assert "4 sources" in found.why[1]


def test_another_groups_file_is_not_used_and_a_note_says_why(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    write(tmp_path / "groups.csv", "name,size\nx,1\n")
    found = inspected(tmp_path)
    assert "groups" not in found.table
    assert any("groups.csv is not used" in note and "no column `file`" in note for note in found.notes)


def test_real_surveillance_clips(shared: Path) -> None:
    root = shared / "data/fight_surv"
    found = inspected(root)
    assert found.table == {"format": "folders", "root": str(root), "groups": str(root / "groups.csv")}
    assert sum(found.train_counts.values()) + sum(found.val_counts.values()) == 300


# --- mmaction_video ---------------------------------------------------------------------------------------------------


def _lists(folder: Path, train: str = "train.txt", val: str = "val.txt", start: str = "") -> tuple[Path, Path]:
    lines = [f"{start}a/{n}.mp4 0" for n in range(3)] + [f"{start}b b/{n}.mp4 1" for n in range(3)]
    return (
        write(folder / train, "\n".join(lines[:2] + lines[3:5])),
        write(folder / val, "\n".join([lines[2], lines[5]])),
    )


VIDEOS = tuple(f"{name}/{n}.mp4" for name in ("a", "b b") for n in range(3))


@pytest.mark.parametrize("lists_in", ["", "annotations", "videos"])
def test_lists_and_their_videos_are_found(lists_in: str, tmp_path: Path) -> None:
    make(tmp_path / "videos", *VIDEOS)
    train, val = _lists(tmp_path / lists_in)
    found = inspected(tmp_path)
    assert found.table == {
        "format": "mmaction_video", "root": str(tmp_path / "videos"), "train_list": str(train), "val_list": str(val),
    }  # fmt: skip
    assert (found.train_counts, found.val_counts) == ({"0": 2, "1": 2}, {"0": 1, "1": 1})


def test_lists_given_apart(tmp_path: Path) -> None:
    make(tmp_path / "clips", *VIDEOS)
    train, val = _lists(tmp_path / "lists", "k_train_list.txt", "k_val_list.txt")
    found = inspected(tmp_path / "clips", tmp_path / "lists")
    assert (found.table["root"], found.table["train_list"]) == (str(tmp_path / "clips"), str(train))
    assert found.table["val_list"] == str(val)


def test_paths_that_start_above_the_video_folder(tmp_path: Path) -> None:
    make(tmp_path / "videos", *VIDEOS)
    _lists(tmp_path, start="videos/")
    assert inspected(tmp_path).table["root"] == str(tmp_path)


def test_train_and_val_videos_in_two_folders(tmp_path: Path) -> None:
    train, val = _lists(tmp_path)
    for source, folder in ((train, "videos_train"), (val, "videos_val")):
        make(tmp_path / folder, *(line.rpartition(" ")[0] for line in source.read_text().split("\n")))
    table = inspected(tmp_path).table
    assert (table["root"], table["val_root"]) == (str(tmp_path / "videos_train"), str(tmp_path / "videos_val"))


def test_lists_of_several_splits_pair_up_and_the_rest_is_told(tmp_path: Path) -> None:
    make(tmp_path / "videos", *VIDEOS)
    for split in (1, 2):
        _lists(tmp_path, f"ucf101_train_split_{split}_videos.txt", f"ucf101_val_split_{split}_videos.txt")
        write(tmp_path / f"ucf101_train_split_{split}_rawframes.txt", "a/0 30 0\n")
        write(tmp_path / f"ucf101_val_split_{split}_rawframes.txt", "a/2 30 0\n")
    found = inspected(tmp_path)
    assert Path(found.table["train_list"]).name == "ucf101_train_split_1_videos.txt"
    assert Path(found.table["val_list"]).name == "ucf101_val_split_1_videos.txt"
    assert any("ucf101_train_split_2_videos.txt" in note for note in found.notes)


def test_lists_without_their_videos_are_told(tmp_path: Path) -> None:
    _lists(tmp_path)
    assert "lists videos such as a/0.mp4, but none of its first 4" in refusal(tmp_path)


def test_other_text_files_are_no_lists(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    write(tmp_path / "train_log.txt", "epoch 1\nepoch 2\n")
    write(tmp_path / "val_log.txt", "accuracy 0.5\n")
    assert inspected(tmp_path).format == "folders"


# --- ucf101 -----------------------------------------------------------------------------------------------------------


def _ucf(lists: Path, videos: Path, split: int = 1) -> None:
    write(lists / "classInd.txt", "1 Archery\n2 Rowing\n")
    write(lists / f"trainlist0{split}.txt", "Archery/v_Archery_g08_c01.avi 1\nRowing/v_Rowing_g08_c01.avi 2\n")
    write(lists / f"testlist0{split}.txt", "Archery/v_Archery_g01_c01.avi\nRowing/v_Rowing_g01_c01.avi\n")
    make(videos, *(f"{name}/v_{name}_g{group}_c01.avi" for name in ("Archery", "Rowing") for group in ("08", "01")))


@pytest.mark.parametrize("lists", ["", "ucfTrainTestlist", "annotations", "annotations/ucfTrainTestlist"])
@pytest.mark.parametrize("videos", ["UCF-101", "videos"])
def test_ucf101_is_recognised_in_the_known_copies(lists: str, videos: str, tmp_path: Path) -> None:
    _ucf(tmp_path / lists, tmp_path / videos)
    found = inspected(tmp_path)
    assert found.table == {
        "format": "ucf101", "root": str(tmp_path / videos), "annotations": str(tmp_path / lists), "split": 1,
    }  # fmt: skip
    assert (found.train_counts, found.val_counts) == ({"Archery": 1, "Rowing": 1}, {"Archery": 1, "Rowing": 1})


def test_ucf101_from_the_folder_of_the_lists(tmp_path: Path) -> None:
    _ucf(tmp_path / "ucfTrainTestlist", tmp_path / "UCF-101")
    assert inspected(tmp_path / "ucfTrainTestlist").table["root"] == str(tmp_path / "UCF-101")


def test_ucf101_with_lists_given_apart_and_only_split_2(tmp_path: Path) -> None:
    _ucf(tmp_path / "lists", tmp_path / "data/UCF-101", split=2)
    table = inspected(tmp_path / "data", tmp_path / "lists").table
    assert (table["split"], table["root"]) == (2, str(tmp_path / "data/UCF-101"))


def test_ucf101_videos_without_lists_are_class_folders(tmp_path: Path) -> None:
    _ucf(tmp_path / "lists", tmp_path / "UCF-101")
    assert inspected(tmp_path / "UCF-101").format == "folders"


# --- refused ----------------------------------------------------------------------------------------------------------


def test_no_folder_a_file_an_empty_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(write(tmp_path / "x/clip.mp4", ""))
    (tmp_path / "empty").mkdir()
    assert "is empty" in refusal(tmp_path / "empty")
    assert "does not exist" in refusal(tmp_path / "x", tmp_path / "nowhere")


def test_videos_without_class_folders(tmp_path: Path) -> None:
    make(tmp_path, *(f"all/jump/{n}.mp4" for n in range(14)))
    sentence = (
        f"{tmp_path}/all/jump has 14 videos directly in it but no class folders; put each class in a folder of its own"
    )
    assert refusal(tmp_path / "all/jump") == f"{sentence}."
    make(tmp_path, "all/run/1.mp4")
    assert refusal(tmp_path / "all/jump") == f"{sentence}, or name {tmp_path}/all, which has 2 folders of videos."


def test_something_else_says_what_was_looked_for_and_seen(tmp_path: Path) -> None:
    make(tmp_path, "img/1.jpg", "readme.md")
    message = refusal(tmp_path)
    assert "a folder of videos for each class" in message and "classInd.txt" in message
    assert "it has img/, readme.md." in message


def test_annotations_of_another_kind(tmp_path: Path) -> None:
    make(tmp_path / "videos", "a/1.mp4")
    write(tmp_path / "lists/labels.json", "{}")
    assert "holds no annotation files known here" in refusal(tmp_path / "videos", tmp_path / "lists")


KINETICS = "label,youtube_id,time_start,time_end,split\nabseiling,abcdefghijk,0,10,val\n"


@pytest.mark.parametrize("name, missing, word", [("val.csv", "training", "train"), ("train.csv", "validation", "val")])
def test_lists_of_one_split_only(name: str, missing: str, word: str, tmp_path: Path) -> None:
    write(tmp_path / name, KINETICS)
    assert refusal(tmp_path) == (
        f'{tmp_path} has {name}, but no {missing} list of that kind; put one beside it, with "{word}" in its name.'
    )
    make(tmp_path / "videos", "1.mp4")
    assert f"no {missing} list" in refusal(tmp_path / "videos", tmp_path)
