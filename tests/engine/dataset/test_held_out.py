"""Validation clips for datasets that have none: of every format that makes a split, and written down as a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.dataset.clips import ClipLists
from engine.dataset.formats import read_clips
from engine.dataset.formats.csv_lists import write_split
from engine.dataset.inspect import inspect_folder
from engine.errors import DataError, RecipeError
from engine.recipe import Dataset, recipe_from
from tests.frames import write_frames


def make(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def sources(lists: ClipLists) -> tuple[set[str], set[str]]:
    """Of the training and of the validation clips."""
    return {clip.group for clip in lists.train}, {clip.group for clip in lists.val}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """20 clips of 2 classes, two of each of 10 sources; the name tells the source: vid03_b.mp4."""
    return make(
        tmp_path / "videos", *(f"{'run' if n < 5 else 'walk'}/vid{n:02}_{c}.mp4" for n in range(10) for c in "ab")
    )


def files_of(videos: Path) -> list[str]:
    return sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*.mp4"))


@pytest.mark.parametrize("form", ["folders", "csv", "csv with ids", "mmaction_video"])
def test_a_pattern_of_ones_own_keeps_sources_together_in_every_format(form: str, videos: Path, tmp_path: Path) -> None:
    rows = [(file, file.partition("/")[0]) for file in files_of(videos)]
    ids = {"run": 0, "walk": 1}
    texts = {
        "folders": "",
        "csv": "path,label\n" + "".join(f"{file},{label}\n" for file, label in rows),
        "csv with ids": "".join(f"{file},{ids[label]}\n" for file, label in rows),
        "mmaction_video": "".join(f"{file} {ids[label]}\n" for file, label in rows),
    }
    table = {"format": form.partition(" ")[0], "root": str(videos), "group_pattern": r"/(vid\d+)"}
    if text := texts[form]:
        table["train_list"] = str(write(tmp_path / "list.txt", text))
    lists = read_clips(Dataset(**table))
    train, val = sources(lists)
    assert (len(lists.train), len(lists.val)) == (16, 4)
    assert len(train) == 8 and len(val) == 2 and not train & val
    assert len(lists.classes) == 2 and set(lists.counts(lists.val).values()) == {2}
    assert any("2 of 10 groups, none on both sides" in note for note in lists.notes)


def test_every_format_makes_the_same_split(videos: Path, tmp_path: Path) -> None:
    text = "".join(f"{file},{file.partition('/')[0]}\n" for file in files_of(videos))
    listed = {"format": "csv", "train_list": str(write(tmp_path / "list.csv", text))}
    common = {"root": str(videos), "group_pattern": r"(vid\d+)", "split_seed": 3}
    first, second = read_clips(Dataset(**common)), read_clips(Dataset(**common, **listed))
    assert first.val == second.val and first.train == second.train


def test_a_groups_file_serves_a_list_too(videos: Path, tmp_path: Path) -> None:
    rows = "".join(f"{file},{file[-9:-6]}\n" for file in files_of(videos))
    groups = write(tmp_path / "groups.csv", f"file,source\n{rows}")
    train_list = write(tmp_path / "all.csv", "".join(f"{file},{file[:3]}\n" for file in files_of(videos)))
    lists = read_clips(Dataset(format="csv", root=str(videos), train_list=str(train_list), groups=str(groups)))
    assert sources(lists)[0] | sources(lists)[1] == {file[-9:-6] for file in files_of(videos)}
    assert not sources(lists)[0] & sources(lists)[1]


def test_clips_that_the_pattern_does_not_fit_are_told(videos: Path) -> None:
    make(videos, "run/other.mp4")
    lists = read_clips(Dataset(root=str(videos), group_pattern=r"(vid\d+)"))
    (note,) = [note for note in lists.notes if "group_pattern" in note]
    assert note == "group_pattern does not fit 1 of 21 clips, e.g. run/other.mp4."


def test_a_pattern_that_fits_nothing_is_an_error(videos: Path) -> None:
    with pytest.raises(DataError, match=r"fits none of the 20 paths below the root, such as run/"):
        read_clips(Dataset(root=str(videos), group_pattern=r"(x\d)"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"group_pattern": "("}, "not a regular expression"),
        ({"group_pattern": r"vid\d+"}, r"it needs \(brackets\)"),
        ({"group_pattern": "(a)", "groups": "g.csv"}, "names the sources already"),
    ],
)
def test_a_wrong_pattern_is_told_when_the_recipe_is_read(table: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_from({"dataset": table})


def test_sources_on_both_sides_of_a_given_split_are_told(tmp_path: Path) -> None:
    root = make(tmp_path, "train/a/v1_1.mp4", "train/b/v2_1.mp4", "val/a/v1_2.mp4", "val/b/v3_1.mp4")
    assert not any("both" in note for note in read_clips(Dataset(root=str(root))).notes)
    lists = read_clips(Dataset(root=str(root), group_pattern=r"(v\d)_"))
    assert any(note.startswith("1 group in both training and validation, e.g. v1") for note in lists.notes)


def test_clips_of_one_youtube_video_stay_together(tmp_path: Path) -> None:
    ids = [f"{letter * 10}-" for letter in "abcdefghij"]
    make(
        tmp_path,
        *(f"{'run' if n % 2 else 'walk'}/{id}_{s:06}_{s + 10:06}.mp4" for n, id in enumerate(ids) for s in (0, 10)),
    )
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert sources(lists)[0] | sources(lists)[1] == set(ids) and not sources(lists)[0] & sources(lists)[1]


def test_why_a_class_has_no_validation_clip(tmp_path: Path) -> None:
    make(
        tmp_path, *(f"walk/{n}.mp4" for n in range(10)), "rare/1.mp4", "one/v_one_g01_c01.avi", "one/v_one_g01_c02.avi"
    )
    lists = read_clips(Dataset(root=str(tmp_path)))
    assert lists.counts(lists.val) == {"one": 0, "rare": 0, "walk": 2}
    assert "No validation clip, because there is only one clip: rare." in lists.notes
    assert "No validation clip, because all clips are from one source: one." in lists.notes


# --- lists with more columns ------------------------------------------------------------------------------------------


def test_a_list_may_say_split_and_source_itself(videos: Path, tmp_path: Path) -> None:
    rows = "".join(
        f"{file},{file[:3]},{'Validation' if 'vid09' in file else 'train'},{file[-9:-6]}\n" for file in files_of(videos)
    )
    path = write(tmp_path / "all.csv", f"path,label,split,source\n{rows}")
    lists = read_clips(Dataset(format="csv", root=str(videos), train_list=str(path)))
    assert {Path(clip.path).stem for clip in lists.val} == {"vid09_a", "vid09_b"} and len(lists.train) == 18
    assert {clip.group for clip in lists.val} == {"d09"}
    assert not any("Held out" in note for note in lists.notes)


def test_a_split_that_is_none_is_named_with_its_line(videos: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "all.csv", "path,label,split\nrun/vid00_a.mp4,run,train\nrun/vid00_b.mp4,run,fold1\n")
    with pytest.raises(DataError, match=r'all.csv:3: the split must be train, val or test, and is "fold1"'):
        read_clips(Dataset(format="csv", root=str(videos), train_list=str(path)))


@pytest.mark.parametrize("name", ["labels.csv", "list.txt"])
def test_a_folder_of_videos_and_one_list_is_recognised(name: str, tmp_path: Path) -> None:
    make(tmp_path / "videos", *(f"{n}.mp4" for n in range(10)))
    write(tmp_path / name, "".join(f"{n}.mp4{',' if name.endswith('csv') else ' '}{n % 2}\n" for n in range(10)))
    found = inspect_folder(tmp_path)
    assert found.table["train_list"] == str(tmp_path / name) and found.table["root"] == str(tmp_path / "videos")
    assert (sum(found.train_counts.values()), sum(found.val_counts.values())) == (8, 2)


# --- written down -----------------------------------------------------------------------------------------------------


def test_a_written_split_reads_back_as_the_same_split(videos: Path, tmp_path: Path) -> None:
    make(videos, "run/with, comma.mp4", 'walk/with "quotes" 跳.mp4')
    dataset = Dataset(root=str(videos), group_pattern=r"(vid\d+)", split_seed=5)
    made = read_clips(dataset)
    write_split(tmp_path / "split.csv", made, dataset)
    read = read_clips(Dataset(format="csv", root=str(videos), train_list=str(tmp_path / "split.csv")))
    assert (read.train, read.val, read.classes) == (made.train, made.val, made.classes)


def test_a_written_split_of_parts_of_videos_reads_back_as_the_same_split(videos: Path, tmp_path: Path) -> None:
    """All parts of a video are on one side."""
    files = sorted(str(path.relative_to(videos)) for path in videos.rglob("*.mp4"))
    rows = [f"{file},{file.split('/')[0]},{n},{n + 1 or ''}" for file in files for n in range(3)]
    whole = write(tmp_path / "all.csv", "path,label,start,end\n" + "\n".join(rows))
    dataset = Dataset(format="csv", root=str(videos), train_list=str(whole), val_fraction=0.25)
    made = read_clips(dataset)
    assert made.val and not {*made.train.paths()} & {*made.val.paths()}
    write_split(tmp_path / "split.csv", made, dataset)
    read = read_clips(Dataset(format="csv", root=str(videos), train_list=str(tmp_path / "split.csv")))
    assert (read.train, read.val, read.classes) == (made.train, made.val, made.classes)


def test_class_names_that_are_numbers_are_not_written_as_ids(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}/{n}.mp4" for name in "123" for n in range(3)))
    dataset = Dataset(root=str(tmp_path))
    with pytest.raises(DataError, match="The class name 1 would be taken for an id"):
        write_split(tmp_path / "split.csv", read_clips(dataset), dataset)
    assert not (tmp_path / "split.csv").exists()


def test_one_list_of_frame_folders_that_counts_from_1(tmp_path: Path) -> None:
    for number in range(10):
        write_frames(tmp_path / f"v{number}", frames=3, seed=number)
    rows = "".join(f"v{number} 3 {number % 2 + 1}\n" for number in range(10))
    table = {
        "format": "mmaction_rawframes",
        "root": str(tmp_path),
        "train_list": str(write(tmp_path / "all.txt", rows)),
    }
    lists = read_clips(Dataset(**table, first_label=1), 2)
    assert lists.classes == ("0", "1") and (len(lists.train), len(lists.val)) == (8, 2)
    write(tmp_path / "all.txt", rows + "v0 3 0\n")
    with pytest.raises(DataError, match=r"all.txt:11: label 0, but \[dataset\] first_label is 1"):
        read_clips(Dataset(**table, first_label=1))
