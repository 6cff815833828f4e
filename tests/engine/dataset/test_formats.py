from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.clips import ClipLists
from engine.dataset.formats import FRAME_READERS, READERS, read_clips
from engine.dataset.formats.groups import ucf_group
from engine.dataset.formats.lists import read_entries
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal


def make(root: Path, *files: str) -> Path:
    """Empty files: readers look at names only."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return str(path)


def names(lists: ClipLists, root: Path, part: str) -> dict[str, str]:
    """Path below the root → class name."""
    return {os.path.relpath(clip.path, root): lists.classes[clip.label] for clip in getattr(lists, part)}


# --- all formats ------------------------------------------------------------------------------------------------------


def test_every_format_of_the_recipe_has_a_reader() -> None:
    assert {*READERS, *FRAME_READERS} == set(Dataset.model_fields["format"].annotation.__args__)


@pytest.mark.parametrize("format", sorted(READERS))
def test_a_root_that_is_empty_missing_or_a_file_is_one_sentence(format: str, tmp_path: Path) -> None:
    file = write(tmp_path / "clip.mp4", "")
    assert "[dataset] root is empty" in refusal(Dataset(format=format))
    assert "does not exist" in refusal(Dataset(format=format, root=str(tmp_path / "nowhere")))
    assert "does not exist" in refusal(Dataset(format=format, root="x" * 5000))
    assert "is a file" in refusal(Dataset(format=format, root=file))


def test_a_class_named_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "names b twice" in refusal(Dataset(root=str(tmp_path), classes=("a", "b", "b")))


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys, engine.dataset.inspect, engine.dataset.formats, engine.dataset.split; "
        "print(sorted({'torch', 'torchvision', 'decord', 'av', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- folders ----------------------------------------------------------------------------------------------------------


def test_class_folders_become_classes_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/{n}.mp4" for name in ("walk", "jump rope", "跳舞") for n in range(5)))
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert lists.classes == ("jump rope", "walk", "跳舞")
    assert lists.counts(lists.train) == {"jump rope": 4, "walk": 4, "跳舞": 4}
    assert lists.counts(lists.val) == {"jump rope": 1, "walk": 1, "跳舞": 1}
    assert all(os.path.isfile(clip.path) for clip in (*lists.train, *lists.val))
    assert all(Path(clip.path).parent.name == lists.classes[clip.label] for clip in lists.train)


def test_a_relative_root_gives_relative_paths_and_the_same_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"data/{name}/{n}.mp4" for name in "ab" for n in range(20)))
    monkeypatch.chdir(tmp_path)
    here, there = read_clips(Dataset(root="data")), read_clips(Dataset(root=str(tmp_path / "data")))
    assert [str(tmp_path / clip.path) for clip in here.val] == [clip.path for clip in there.val]
    assert here.val[0].path.startswith("data/")


def test_every_video_extension_counts_in_any_case_and_nothing_else(tmp_path: Path) -> None:
    extensions = ["mp4", "avi", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "ts", "flv", "wmv", "3gp"]
    make(tmp_path, *(f"a/clip.{extension}" for extension in extensions), "a/UPPER.MP4", "a/read.me", "a/x.jpg", "a/mp4")
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert {Path(clip.path).name for clip in lists.train} == {*(f"clip.{e}" for e in extensions), "UPPER.MP4"}
    assert any("3 files left out" in note and ".jpg" in note for note in lists.notes)


def test_hidden_and_empty_folders_are_no_classes_and_a_note_says_so(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4", ".cache/1.mp4", "papers/one.pdf", "__MACOSX/._1.mp4", "a/._1.mp4")
    (tmp_path / "nothing").mkdir()
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert lists.classes == ("a", "b") and len(lists.train) == 2
    notes = " ".join(lists.notes)
    assert "because no video is inside: __MACOSX, nothing, papers" in notes
    assert "because hidden: .cache" in notes
    assert "hidden files left out" in notes


def test_videos_deeper_in_a_class_folder_belong_to_it(tmp_path: Path) -> None:
    make(tmp_path, "a/day 1/x/1.mp4", "a/day 2/1.mp4", "a/1.mp4", "b/1.mp4")
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert lists.counts(lists.train) == {"a": 3, "b": 1}


def test_loose_videos_beside_class_folders_are_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4", "lost.mp4")
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert any("lost.mp4" in note for note in lists.notes)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    make(tmp_path, "store/1.mp4", "store/2.mp4", "data/b/1.mp4")
    (tmp_path / "data/a").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "data/b/up").symlink_to(tmp_path / "data/b", target_is_directory=True)
    (tmp_path / "data/b/itself").symlink_to("itself")
    (tmp_path / "data/b/2.mp4").symlink_to(tmp_path / "store/1.mp4")
    (tmp_path / "data/b/gone.mp4").symlink_to(tmp_path / "store/9.mp4")
    lists = read_clips(Dataset(root=str(tmp_path / "data"), val_fraction=0.0))
    assert lists.counts(lists.train) == {"a": 2, "b": 2}
    assert any("1 file left out: a link that leads nowhere" in note for note in lists.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_is_left_out_and_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    (tmp_path / "a" / os.fsdecode(b"caf\xe9.mp4")).touch()
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert len(lists.train) == 2
    assert any("not UTF-8" in note for note in lists.notes)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_train_and_val_folders_are_the_split(val: str, tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.mp4", "train/b/1.mp4", f"{val}/a/2.mp4", f"{val}/b/2.mp4", "test/a/3.mp4")
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert names(lists, tmp_path, "train") == {"train/a/1.mp4": "a", "train/b/1.mp4": "b"}
    assert names(lists, tmp_path, "val") == {f"{val}/a/2.mp4": "a", f"{val}/b/2.mp4": "b"}


def test_one_class_map_serves_both_splits(tmp_path: Path) -> None:
    make(tmp_path, "train/b/1.mp4", "train/c/1.mp4", "val/a/2.mp4", "val/c/2.mp4")
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert lists.classes == ("a", "b", "c")
    assert names(lists, tmp_path, "val") == {"val/a/2.mp4": "a", "val/c/2.mp4": "c"}
    assert "Without a training clip (but has validation clips): 1 of 3 classes, a." in lists.notes
    assert "Without a validation clip: 1 of 3 classes, b." in lists.notes


def test_without_a_val_folder_clips_are_held_out_of_train_and_test_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, *(f"train/{name}/{n}.mp4" for name in "ab" for n in range(10)), "test/a/1.mp4")
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert (len(lists.train), len(lists.val)) == (16, 4)
    assert all("train" in clip.path for clip in lists.val)
    assert any("left alone" in note for note in lists.notes)


def test_a_class_may_be_called_train_where_other_classes_stand_beside_it(tmp_path: Path) -> None:
    make(tmp_path, "train/1.mp4", "bus/1.mp4", "tram/1.mp4")
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0.0))
    assert lists.classes == ("bus", "train", "tram")


def test_split_folders_of_loose_videos_are_not_two_classes(tmp_path: Path) -> None:
    make(tmp_path, "train/1.mp4", "train/2.mp4", "val/3.mp4")
    message = refusal(Dataset(root=str(tmp_path)))
    assert "2 videos directly in it but no class folders" in message


def test_val_without_train_and_two_val_folders_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "one", "val/a/1.mp4", "test/a/1.mp4")
    assert "no train folder" in refusal(Dataset(root=str(tmp_path / "one")))
    make(tmp_path / "two", "train/a/1.mp4", "val/a/1.mp4", "valid/a/1.mp4")
    assert "two folders for one split" in refusal(Dataset(root=str(tmp_path / "two")))


def test_no_videos_no_class_folders_and_an_empty_split_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path / "loose", "1.mp4", "2.mp4")
    assert "2 videos directly in it but no class folders" in refusal(Dataset(root=str(tmp_path / "loose")))
    make(tmp_path / "texts", "a/1.txt")
    assert "only folders without video: a" in refusal(Dataset(root=str(tmp_path / "texts")))
    (tmp_path / "empty").mkdir()
    assert "found no folder" in refusal(Dataset(root=str(tmp_path / "empty")))
    make(tmp_path / "half", "train/a/1.mp4", "val/a/1.txt")
    assert f"{tmp_path / 'half' / 'val'} has no videos" in refusal(Dataset(root=str(tmp_path / "half")))


def test_a_folder_around_the_class_folders_is_not_one_class(tmp_path: Path) -> None:
    make(tmp_path, "videos/a/1.mp4", "videos/b/1.mp4")
    assert f"set [dataset] root = {tmp_path / 'videos'}" in refusal(Dataset(root=str(tmp_path)))


def test_given_classes_decide_order_and_names_and_refuse_others(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4", "cafe\u0301/1.mp4")
    given = ("caf\u00e9", "b", "a", "later")
    lists = read_clips(Dataset(root=str(tmp_path), classes=given, val_fraction=0.0))
    assert lists.classes == given
    assert sorted((Path(clip.path).parent.name, clip.label) for clip in lists.train) == [
        ("a", 2), ("b", 1), ("cafe\u0301", 0),
    ]  # fmt: skip
    assert any("Without a training clip: 1 of 4 classes, later" in note for note in lists.notes)
    assert '"b" is none of the 2 names' in refusal(Dataset(root=str(tmp_path), classes=("a", "caf\u00e9")))


@pytest.mark.parametrize("num_classes", [1, 3])
def test_another_number_of_classes_than_the_head_has_is_refused(num_classes: int, tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    message = refusal(Dataset(root=str(tmp_path)), num_classes)
    assert f'has 2 classes, but [head] num_classes is {num_classes}; set head.num_classes = 2 or "auto"' in message
    assert read_clips(Dataset(root=str(tmp_path)), 2).classes == ("a", "b")


def test_ucf_names_are_groups_by_themselves(tmp_path: Path) -> None:
    make(tmp_path, *(f"Archery/v_Archery_g{g:02}_c{c:02}.avi" for g in range(1, 11) for c in range(1, 5)), "b/1.avi")
    lists = read_clips(Dataset(root=str(tmp_path)))
    train, val = {clip.group for clip in lists.train}, {clip.group for clip in lists.val}
    assert not train & val
    assert train | val == {"", *(f"Archery_g{g:02}" for g in range(1, 11))}
    assert len(val) == 2


def test_straddling_groups_of_a_given_split_are_told(tmp_path: Path) -> None:
    make(tmp_path, "train/A/v_A_g01_c01.avi", "train/A/v_A_g02_c01.avi", "val/A/v_A_g01_c02.avi")
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert "1 group in both training and validation, e.g. A_g01." in lists.notes


def _grouped(tmp_path: Path, csv: str) -> Dataset:
    make(tmp_path / "data", *(f"{name}/{n}.mp4" for name in ("a", "b c") for n in range(4)))
    return Dataset(root=str(tmp_path / "data"), groups=write(tmp_path / "groups.csv", csv))


def test_sources_of_a_groups_file_stay_on_one_side(tmp_path: Path) -> None:
    rows = [f"{n // 2},{name}/{n}.mp4,extra" for name in ("a", "b c") for n in range(4)]
    dataset = _grouped(tmp_path, "\ufeffSource,file,other\r\n" + "\r\n".join(rows) + "\r\n\r\n")
    lists = read_clips(dataset)
    assert {clip.group for clip in lists.train} | {clip.group for clip in lists.val} == {"0", "1"}
    assert not {clip.group for clip in lists.train} & {clip.group for clip in lists.val}
    assert len(lists.val) == 4


@pytest.mark.parametrize(
    ("csv", "expected"),
    [
        ("", "groups.csv:1: no column `file`"),
        ("file,label\na/0.mp4,x\n", "groups.csv:1: no column `source`"),
        ("file;source\na/0.mp4;x\n", "is file;source"),
        ("file,source\na/0.mp4,x\na/1.mp4\n", "groups.csv:3: the row must name both"),
        ("file,source\na/0.mp4, \n", "groups.csv:2: the row must name both"),
        ("file,source\na/0.mp4,x\n./a/0.mp4,y\n", "groups.csv:3: a/0.mp4 has a second source"),
        ("file,source\na/0.mp4,x\n", "7 videos without a row, e.g. a/1.mp4"),
    ],
)
def test_a_wrong_groups_file_is_one_sentence(csv: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(_grouped(tmp_path, csv))


def test_a_missing_groups_file_is_one_sentence(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    assert "none.csv does not exist" in refusal(Dataset(root=str(tmp_path), groups=str(tmp_path / "none.csv")))


def test_real_surveillance_clips_split_by_source(shared: Path) -> None:
    root = shared / "data/fight_surv"
    lists = read_clips(Dataset(root=str(root), groups=str(root / "groups.csv")), 2)
    assert lists.classes == ("fight", "noFight")
    assert lists.counts(lists.train) == {"fight": 120, "noFight": 120}
    assert lists.counts(lists.val) == {"fight": 30, "noFight": 30}
    assert not {clip.group for clip in lists.train} & {clip.group for clip in lists.val}


# --- mmaction_video ---------------------------------------------------------------------------------------------------


def _listed(tmp_path: Path, train: str, val: str = "v.mp4 0\n", **keys: object) -> Dataset:
    """Lists in lists/, videos a.mp4 b.mp4 "c d.mp4" v.mp4 in videos/."""
    make(tmp_path / "videos", "a.mp4", "b.mp4", "c d.mp4", "v.mp4")
    write(tmp_path / "lists/train.txt", train)
    write(tmp_path / "lists/val.txt", val)
    return Dataset(format="mmaction_video", root=str(tmp_path / "videos"), annotations=str(tmp_path / "lists"), **keys)


def test_lists_are_read_from_the_right(tmp_path: Path) -> None:
    lists = read_clips(_listed(tmp_path, "\ufeffa.mp4 0\r\n\r\nc d.mp4   2\r\n  b.mp4\t1", "v.mp4 1\n"))
    assert lists.classes == ("0", "1", "2")
    assert names(lists, tmp_path / "videos", "train") == {"a.mp4": "0", "c d.mp4": "2", "b.mp4": "1"}
    assert names(lists, tmp_path / "videos", "val") == {"v.mp4": "1"}


def test_several_labels_a_video(tmp_path: Path) -> None:
    """As MMAction2's multi_class lists have them; a clip with a single label says it in the same way as the others."""
    lists = read_clips(_listed(tmp_path, "a.mp4 0 3\nc d.mp4 2 0 2\nb.mp4\t1\n"))
    assert lists.multi_label and lists.classes == ("0", "1", "2", "3")
    assert [(clip.label, clip.labels) for clip in lists.train] == [(0, (0, 3)), (2, (2, 0)), (1, (1,))]
    assert [clip.labels for clip in lists.val] == [(0,)]
    assert "2 of 4 clips have several classes, 1.5 a clip on average, 2 at most." in lists.notes
    only_val = read_clips(_listed(tmp_path, "a.mp4 0\nb.mp4 1\n", "v.mp4 0 1\n"))
    assert only_val.multi_label and [clip.labels for clip in only_val.train] == [(0,), (1,)]
    assert not read_clips(_listed(tmp_path, "a.mp4 0\nb.mp4 1\n")).multi_label
    assert "label 5 in" in refusal(_listed(tmp_path, "a.mp4 0 5\nb.mp4 1\n"), 3)
    one_based = _listed(tmp_path, "a.mp4 1 4\nb.mp4 3\n", "v.mp4 2\n", first_label=1)
    assert [clip.labels for clip in read_clips(one_based).train] == [(0, 3), (2,)]


def test_lists_in_json(tmp_path: Path) -> None:
    """What anno_txt2json.py writes: the label is a list, even of one."""
    make(tmp_path / "videos", "a.mp4", "b.mp4", "v.mp4")
    entries = '[{"filename": "a.mp4", "label": %s}, {"filename": "b.mp4", "label": [1]}]'
    write(tmp_path / "train.json", entries % "[0]")
    write(tmp_path / "val.json", '[{"filename": "v.mp4", "label": 0}]')
    found = inspect_folder(tmp_path)
    assert (found.format, found.multi_label, found.classes) == ("mmaction_video", False, ("0", "1"))
    assert found.table["train_list"] == str(tmp_path / "train.json") and found.train_clips == 2
    write(tmp_path / "train.json", entries % "[0, 1]")
    found = inspect_folder(tmp_path)
    assert found.multi_label and found.train_counts == {"0": 1, "1": 2}
    dataset = Dataset(format="mmaction_video", root=str(tmp_path / "videos"), annotations=str(tmp_path))
    assert [clip.labels for clip in read_clips(dataset).train] == [(0, 1), (1,)]
    for label, said in (("[]", "must be a whole number"), ("true", "must be a whole number"), ("[-1]", "is negative")):
        write(tmp_path / "train.json", entries % label)
        assert said in refusal(dataset)
    write(tmp_path / "train.json", '[{"label": [1]}]')
    assert refusal(dataset) == f'{tmp_path / "train.json"}: entry 1 has no "filename".'


def test_lists_of_several_labels_are_recognised(tmp_path: Path) -> None:
    _listed(tmp_path, "a.mp4 0 3\nb.mp4 1\n", "v.mp4 0\n")
    found = inspect_folder(tmp_path)
    assert (found.format, found.multi_label, found.train_clips) == ("mmaction_video", True, 2)
    assert found.table["root"] == str(tmp_path / "videos")


def test_given_names_and_a_given_number_of_classes(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "a.mp4 0\nb.mp4 1\n", classes=("walk", "run"))
    assert read_clips(dataset).classes == ("walk", "run")
    assert read_clips(dataset, 4).classes == ("walk", "run", "2", "3")
    assert "Without a training clip: 2 of 4 classes, 2, 3." in read_clips(dataset, 4).notes
    assert "names 2 classes, but [head] num_classes is 1" in refusal(dataset, 1)


def test_validation_videos_may_have_a_root_of_their_own(tmp_path: Path) -> None:
    make(tmp_path / "held out", "x/v.mp4")
    dataset = _listed(tmp_path, "a.mp4 0\n", "x/v.mp4 0\n", val_root=str(tmp_path / "held out"))
    assert read_clips(dataset).val[0].path == str(tmp_path / "held out/x/v.mp4")
    wrong = dataset.model_copy(update={"val_root": str(tmp_path / "videos")})
    assert "correct [dataset] val_root" in refusal(wrong)


def test_absolute_paths_in_a_list_are_taken_as_they_are(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "z.mp4")
    lists = read_clips(_listed(tmp_path, f"{tmp_path}/elsewhere/z.mp4 0\n"))
    assert lists.train[0].path == f"{tmp_path}/elsewhere/z.mp4"


def test_explicit_lists_win_over_the_annotations_folder(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "a.mp4 0\n", train_list=write(tmp_path / "mine.txt", "b.mp4 0\n"))
    assert names(read_clips(dataset), tmp_path / "videos", "train") == {"b.mp4": "0"}


@pytest.mark.parametrize(
    ("files", "train", "val"),
    [
        (("my_train_list.txt", "my_val_list.txt", "my_test_list.txt"), "my_train_list.txt", "my_val_list.txt"),
        (("train.txt", "test.txt", "classes.txt"), "train.txt", "test.txt"),
        (("Train.TXT", "Validation.TXT"), "Train.TXT", "Validation.TXT"),
        (("trainval.txt", "test.txt"), "trainval.txt", "test.txt"),
        (("train.txt", "trainval.txt", "val.txt"), "train.txt", "val.txt"),
    ],
)
def test_lists_are_found_by_name(files: tuple[str, ...], train: str, val: str, tmp_path: Path) -> None:
    make(tmp_path / "videos", *(f"{name}.mp4" for name in files))
    for name in files:
        write(tmp_path / "lists" / name, f"{name}.mp4 0\n")
    lists = read_clips(
        Dataset(format="mmaction_video", root=str(tmp_path / "videos"), annotations=str(tmp_path / "lists"))
    )
    assert [clip.path for clip in lists.train] == [str(tmp_path / "videos" / f"{train}.mp4")]
    assert [clip.path for clip in lists.val] == [str(tmp_path / "videos" / f"{val}.mp4")]


def test_lists_that_are_not_there_or_not_clear_are_told_with_the_candidates(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "a.mp4 0\n")
    write(tmp_path / "lists/train_2.txt", "a.mp4 0\n")
    message = refusal(dataset)
    assert "2 files named *train*.txt: train.txt, train_2.txt; choose one with [dataset] train_list" in message
    for name in ("train.txt", "train_2.txt"):
        (tmp_path / "lists" / name).unlink()
    assert "has no *train*.txt, but val.txt" in refusal(dataset)
    assert "train_list is empty" in refusal(dataset.model_copy(update={"annotations": ""}))
    assert "does not exist" in refusal(dataset.model_copy(update={"train_list": "nowhere.txt"}))
    assert "is a folder" in refusal(dataset.model_copy(update={"train_list": str(tmp_path)}))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("a.mp4 0\nb.mp4 one\n", 'train.txt:2: label "one" is not a whole number'),
        ("a.mp4 0\n\nb.mp4 1.0\n", 'train.txt:3: label "1.0" is not a whole number'),
        ("a.mp4 0\nc d.mp4\n", 'train.txt:2: label "d.mp4" is not a whole number'),
        ("a.mp4 -1\n", "train.txt:1: label -1 is negative"),
        ("a.mp4 0\nb.mp4\n", 'train.txt:2: "b.mp4" has no label'),
        ("a.mp4,0\n", "with a space instead of the comma"),
        ("a.mp4 ٣\n", 'label "٣" is not a whole number'),
        ("a.mp4 1_0\n", 'label "1_0" is not a whole number'),
        (f"a.mp4 {'9' * 5000}\n", "is not a whole number"),
        ("a.mp4 123456789\n", "label 123456789 in"),
        ("a.mp4 0\nb.mp4 0 3 -1\n", "train.txt:2: label -1 is negative"),
        ("frames 5 0\n", "train.txt:1: frames is a folder of frames"),
        ("\n \n", "train.txt lists no video"),
    ],
)
def test_a_wrong_line_is_named(train: str, expected: str, tmp_path: Path) -> None:
    make(tmp_path / "videos", "frames/img_00001.jpg")
    assert expected in refusal(_listed(tmp_path, train))


def test_a_list_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "")
    (tmp_path / "lists/train.txt").write_bytes("a.mp4 0\n跳舞.mp4 1\n".encode("gbk"))
    assert "train.txt:2: the text is not UTF-8" in refusal(dataset)


def test_a_label_outside_the_classes_is_named_with_its_line(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "a.mp4 0\nb.mp4 7\n")
    message = refusal(dataset, 5)
    assert f"label 7 in {tmp_path / 'lists/train.txt'}:2 is outside the 5 classes (0..4)" in message
    assert "first_label" not in message
    assert "outside the 2 classes (0..1)" in refusal(dataset.model_copy(update={"classes": ("x", "y")}))
    in_val = _listed(tmp_path, "a.mp4 0\n", "v.mp4 1\n")
    assert "val.txt:1 is outside the 1 class (0..0)" in refusal(in_val, 1)


def test_a_list_that_counts_from_1_is_recognised(tmp_path: Path) -> None:
    dataset = _listed(tmp_path, "a.mp4 1\nb.mp4 2\n", "v.mp4 1\n")
    message = refusal(dataset, 2)
    assert "label 2 in" in message and message.endswith(
        "if the lists count from 1, set first_label = 1 under [dataset]."
    )
    assert any("is 1, and labels count from 0" in note for note in read_clips(dataset).notes)
    counted_from_1 = read_clips(dataset.model_copy(update={"first_label": 1}), 2)
    assert [clip.label for clip in counted_from_1.train] == [0, 1]
    assert not any("count from 0" in note for note in counted_from_1.notes)


def test_missing_videos_are_counted_named_and_left_out(tmp_path: Path) -> None:
    lists = read_clips(_listed(tmp_path, "a.mp4 0\n1.mp4 0\n2.mp4 1\n3.mp4 0\n4.mp4 0\n"))
    assert names(lists, tmp_path / "videos", "train") == {"a.mp4": "0"}
    train = tmp_path / "lists/train.txt"
    assert f"4 of 5 videos listed in {train} are missing and left out, e.g. 1.mp4, 2.mp4, 3.mp4." in lists.notes


def test_a_wrong_root_shows_the_first_path_tried(tmp_path: Path) -> None:
    message = refusal(_listed(tmp_path, "x/1.mp4 0\nx/2.mp4 0\n"))
    assert "none of the 2 videos" in message
    assert str(tmp_path / "videos/x/1.mp4") in message and "[dataset] root" in message


def test_a_video_in_both_lists_is_told(tmp_path: Path) -> None:
    lists = read_clips(_listed(tmp_path, "a.mp4 0\nb.mp4 0\n", "a.mp4 0\n"))
    assert any("1 video in both training and validation" in note for note in lists.notes)


PATH_LETTERS = st.characters(codec="utf-8", exclude_characters="\n\r\0")
PATHS = st.text(PATH_LETTERS, min_size=1).filter(lambda text: text == text.strip() and not text.startswith("\ufeff"))
ENTRIES = st.lists(st.tuples(PATHS, st.integers(0, 10**6)), min_size=1)
BETWEEN = st.sampled_from([" ", "  ", "\t", " \t "])


@given(ENTRIES, BETWEEN, st.sampled_from(["\n", "\r\n", "\n\n", " \n"]), st.sampled_from(["", "\ufeff"]))
def test_any_path_comes_back_from_a_list(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, int]], between: str, end: str, mark: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.txt"
    write(path, mark + "".join(f"{video}{between}{label}{end}" for video, label in entries))
    assert [(video, label) for video, label, _ in read_entries(path)] == entries


NAMES = st.text(PATH_LETTERS.filter(lambda c: c != "/"), min_size=1, max_size=20).filter(lambda t: t == t.strip())


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_any_file_name_is_found_on_disk(tmp_path_factory: pytest.TempPathFactory, file_names: list[str]) -> None:
    root = tmp_path_factory.mktemp("odd")
    files = [f"{n}{name}.mp4" for n, name in enumerate(file_names)]
    make(root / "videos", *files)
    train = write(root / "train.txt", "".join(f"{file} 0\n" for file in files))
    lists = read_clips(Dataset(format="mmaction_video", root=str(root / "videos"), train_list=train, val_list=train))
    assert [clip.path for clip in lists.train] == [str(root / "videos" / file) for file in files]


# --- ucf101 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("v_ApplyEyeMakeup_g08_c01.avi", "ApplyEyeMakeup_g08"),
        ("v_HandStandPushups_g25_c07.mp4", "HandStandPushups_g25"),
        ("clip_g08_c01.avi", ""),
        ("v_Archery_g08.avi", ""),
    ],
)
def test_groups_of_ucf_names(name: str, group: str) -> None:
    assert ucf_group(name) == group


def _ucf(tmp_path: Path, **keys: object) -> Dataset:
    """A small copy with the real one's quirks: CRLF, ids from 1, test list without ids, a capital S in files."""
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Archery\r\n2 HandstandPushups\r\n")
    train = ["Archery/v_Archery_g08_c01.avi 1", "HandstandPushups/v_HandStandPushups_g08_c01.avi 2"]
    write(lists / "trainlist01.txt", "\r\n".join(train) + "\r\n")
    test = ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    write(lists / "testlist01.txt", "\r\n".join(test) + "\r\n")
    make(tmp_path / "UCF-101", *(line.split()[0] for line in train + test))
    return Dataset(format="ucf101", **{"root": str(tmp_path), "annotations": str(tmp_path), **keys})


def test_official_lists_are_read_and_the_test_list_is_validation(tmp_path: Path) -> None:
    lists = read_clips(_ucf(tmp_path), 2)
    assert lists.classes == ("Archery", "HandstandPushups")
    assert [(clip.label, clip.group) for clip in lists.train] == [(0, "Archery_g08"), (1, "HandstandPushups_g08")]
    assert [(clip.label, clip.group) for clip in lists.val] == [(0, "Archery_g01"), (1, "HandstandPushups_g01")]
    assert all(os.path.isfile(clip.path) for clip in (*lists.train, *lists.val))
    assert lists.notes == ()


def test_root_may_be_the_video_folder_and_annotations_the_lists_folder(tmp_path: Path) -> None:
    exact = _ucf(tmp_path, root=str(tmp_path / "UCF-101"), annotations=str(tmp_path / "ucfTrainTestlist"))
    assert read_clips(exact) == read_clips(_ucf(tmp_path)) == read_clips(_ucf(tmp_path, annotations=""))


def test_copies_that_differ_in_case_are_found(tmp_path: Path) -> None:
    dataset = _ucf(tmp_path)
    folder = tmp_path / "UCF-101/HandstandPushups"
    for file in list(folder.iterdir()):
        file.rename(file.with_name(file.name.replace("HandStand", "Handstand")))
    folder.rename(folder.with_name("handstandpushups"))
    lists = read_clips(dataset)
    assert len(lists.train) == len(lists.val) == 2
    assert all(os.path.isfile(clip.path) for clip in (*lists.train, *lists.val))


def test_given_classes_are_matched_by_name_not_by_place(tmp_path: Path) -> None:
    lists = read_clips(_ucf(tmp_path, classes=("HandstandPushups", "Archery", "Rowing")))
    assert [clip.label for clip in lists.train] == [1, 0]
    assert '"HandstandPushups" is none of the 1 names' in refusal(_ucf(tmp_path, classes=("Archery",)))
    assert "has 2 classes, but [head] num_classes is 101" in refusal(_ucf(tmp_path), 101)


def test_missing_lists_and_splits_are_told(tmp_path: Path) -> None:
    dataset = _ucf(tmp_path)
    message = refusal(dataset.model_copy(update={"split": 3}))
    assert "split = 3 needs" in message and "testlist01.txt, trainlist01.txt" in message
    assert "has no classInd.txt" in refusal(dataset.model_copy(update={"annotations": str(tmp_path / "UCF-101")}))
    assert "does not exist" in refusal(dataset.model_copy(update={"annotations": str(tmp_path / "none")}))


def test_missing_ucf_videos_are_counted_and_a_wrong_root_is_told(tmp_path: Path) -> None:
    dataset = _ucf(tmp_path)
    (tmp_path / "UCF-101/Archery/v_Archery_g08_c01.avi").unlink()
    lists = read_clips(dataset)
    assert any("1 of 2 videos" in note and "v_Archery_g08_c01.avi" in note for note in lists.notes)
    assert "Without a training clip (but has validation clips): 1 of 2 classes, Archery." in lists.notes
    make(tmp_path / "wrong", "x.txt")
    message = refusal(dataset.model_copy(update={"root": str(tmp_path / "wrong")}))
    assert str(tmp_path / "wrong/Archery/v_Archery_g08_c01.avi") in message


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("classInd.txt", "Archery\n", 'classInd.txt:1: label "Archery" is not a whole number'),
        ("classInd.txt", "1 Archery\n1 HandstandPushups\n", "classInd.txt:2:"),
        ("classInd.txt", "0 Archery\n1 HandstandPushups\n", "the ids must be 1 to 2"),
        ("classInd.txt", "1 Archery\n2 Archery\n", "a class name stands on two lines"),
        ("classInd.txt", "", "the ids must be"),
        ("trainlist01.txt", "Rowing/v_Rowing_g08_c01.avi 1\n", "trainlist01.txt:1: the folder in"),
        ("trainlist01.txt", "Archery/v_Archery_g08_c01.avi 2\n", "trainlist01.txt:1: id 2 is not that of Archery"),
        ("trainlist01.txt", "Archery/v_Archery_g08_c01.avi x\n", 'trainlist01.txt:1: label "x"'),
        ("testlist01.txt", "\n", "testlist01.txt lists no video"),
    ],
)
def test_a_wrong_official_file_is_one_sentence(file: str, text: str, expected: str, tmp_path: Path) -> None:
    dataset = _ucf(tmp_path)
    write(tmp_path / "ucfTrainTestlist" / file, text)
    assert expected in refusal(dataset)


@pytest.mark.slow
def test_the_real_lists_give_the_published_counts(shared: Path, tmp_path: Path) -> None:
    annotations = shared / "data/annotations/ucf101"
    for name in ("trainlist01.txt", "testlist01.txt"):
        lines = (annotations / name).read_text().split("\n")
        make_listed(tmp_path / "UCF-101", [line.split()[0] for line in lines if line.strip()])
    lists = read_clips(Dataset(format="ucf101", root=str(tmp_path), annotations=str(annotations)), 101)
    assert (len(lists.train), len(lists.val), len(lists.classes)) == (9537, 3783, 101)
    assert not {clip.group for clip in lists.train} & {clip.group for clip in lists.val}
    assert len({clip.group for clip in (*lists.train, *lists.val)}) == 101 * 25
    assert lists.notes == ()
    assert lists.classes[36] == "HandstandPushups"


def make_listed(root: Path, files: list[str]) -> None:
    """Like make, a folder at a time: thirteen thousand files."""
    for folder in {file.rpartition("/")[0] for file in files}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        os.close(os.open(root / file, os.O_CREAT))
