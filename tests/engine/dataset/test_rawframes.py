"""Folders of frames: names and first number seen on disk, MMAction2's lists in every dialect, and training on them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.dataset.clips import Clip, ClipLists
from engine.dataset.decode import DecodeError, open_clip
from engine.dataset.formats import read_clips
from engine.dataset.formats.frames import detect, images_in
from engine.dataset.formats.mmaction_rawframes import read_list
from engine.dataset.inspect import inspect_folder
from engine.errors import DataError
from engine.recipe import Dataset
from tests.frames import write_flow, write_frames
from tests.layouts import train_as


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def listed(root: Path, train: str, val: str = "a 6 0\nb 6 1", **keys: Any) -> Dataset:
    """A dataset whose lists have these lines."""
    write(root / "lists/train.txt", train)
    write(root / "lists/val.txt", val)
    return Dataset(format="mmaction_rawframes", root=str(root / "frames"), annotations=str(root / "lists"), **keys)


def read(root: Path, train: str, val: str = "a 6 0\nb 6 1", flow: bool = False, **keys: Any) -> ClipLists:
    return read_clips(listed(root, train, val, **keys), modality="flow" if flow else "rgb")


def refusal(*arguments: Any, **keys: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(*arguments, **keys)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def why_not(clip: Clip, **options: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        video = open_clip(clip, **options)
        video.read(range(video.num_frames))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """frames/a and frames/b of six images, frames/long of thirty."""
    write_frames(tmp_path / "frames/a", seed=1)
    write_frames(tmp_path / "frames/b", seed=2)
    write_frames(tmp_path / "frames/long", frames=30, seed=3)
    return tmp_path


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "first"),
    [
        ("img_{:05}.jpg", 1), ("img_{:05}.jpg", 0), ("{:05}.jpg", 1), ("image_{:05}.jpg", 0), ("frame_{:06}.png", 1),
        ("{}.jpg", 1), ("v_Archery_g01_c01_{:06}.jpg", 1), ("{:04}_rgb.JPEG", 7), ("frame{:03}.png", 98),
        ("frame-{}.png", 8), ("x{:02}.jpg", 0),
    ],
)  # fmt: skip
def test_names_and_the_first_number_are_seen(template: str, first: int, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", 5, template, first)
    (folder / "notes.txt").touch()
    (folder / "thumbnail.jpg").touch()
    (folder / "._img_00001.jpg").touch()
    names = detect([str(folder)], Dataset(), flow=False)
    assert (names.template, names.start_index) == (template, first)
    assert names.seen[str(folder)].count == 5
    video = open_clip(Clip(str(folder), 0, first_frame=first, num_frames=5), template)
    assert video.num_frames == 5 and video.read([4, 0, 0]).shape == (3, 48, 64, 3)


def test_names_that_begin_with_the_folders_own(tmp_path: Path) -> None:
    """PySlowFast extracts frames as VIDEO/VIDEO_000001.jpg."""
    folders = [str(write_frames(tmp_path / name, 3, f"{name}_{{:06}}.jpg")) for name in ("v1", "other", "clip_7")]
    assert detect(folders, Dataset(), flow=False).template == "{folder}_{:06}.jpg"
    assert open_clip(Clip(folders[2], 0, first_frame=1, num_frames=3), "{folder}_{:06}.jpg").num_frames == 3
    assert detect(folders[:1], Dataset(), flow=False).template == "v1_{:06}.jpg"


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("flow_{}_{:05}.jpg", ""),
        ("{}_{:05}.jpg", ""),
        ("flow_{}{}.png", ""),
        ("{}{:04}.jpg", ""),
        ("mix_{}_{:05}.png", ""),
    ],
)
def test_flow_is_told_from_pictures(template: str, found: str, tmp_path: Path) -> None:
    folder = write_flow(tmp_path / "clip", 5, template)
    assert [images.template for images in images_in(str(folder), flow=True)] == [template]
    assert images_in(str(folder), flow=False) == []
    write_frames(folder, 6)  # as DenseFlow leaves them: all in one folder
    assert [images.template for images in images_in(str(folder), flow=False)] == ["img_{:05}.jpg"]
    names = detect([str(folder)], Dataset(), flow=True)
    assert (names.template, names.seen[str(folder)].count) == (template, 5)


def test_several_kinds_of_images_are_asked_about(root: Path) -> None:
    for name in ("a", "b"):
        write_frames(root / "frames" / name, template="mask_{:05}.png")
    message = refusal(root, "a 6 0\nb 6 1")
    assert "img_{:05}.jpg, mask_{:05}.png; choose one with [dataset] filename_template" in message
    lists = read(root, "a 6 0\nb 6 1", filename_template="mask_{:05}.png")
    assert lists.decided["filename_template"] == "mask_{:05}.png"


def test_a_template_that_no_folder_has(root: Path) -> None:
    message = refusal(root, "a 6 0", filename_template="frame_{:04}.png")
    assert "has no image called frame_0001.png or so; it has img_00001.jpg, img_00002.jpg, img_00003.jpg and" in message
    assert 'set [model] modality = "flow"' in refusal(root, "a 6 0", filename_template="{}_{:04}.png")
    assert "has no place for x and y" in refusal(root, "a 6 0", flow=True, filename_template="img_{:05}.jpg")


def test_folders_without_images_are_told(root: Path) -> None:
    (root / "frames/c").mkdir()
    (root / "frames/c/readme.md").touch()
    assert "frames/c has no numbered images, such as img_00001.jpg; it has readme.md." in refusal(
        root, "c 6 0", "c 6 1"
    )
    message = refusal(root, "a 6 0\nb 6 1", flow=True)
    assert "has no flow: looked for pairs such as flow_x_00001.jpg and flow_y_00001.jpg" in message
    write_flow(root / "frames/d")
    assert 'set [model] modality = "flow"' in refusal(root, "d 6 0", "d 6 1")


# --- lists ------------------------------------------------------------------------------------------------------------


def test_plain_lists(root: Path) -> None:
    lists = read(root, "a 6 0\nlong 30 1\n\nb\t6\t2\n")
    assert list(lists.train) == [
        Clip(str(root / "frames/a"), 0, first_frame=1, num_frames=6),
        Clip(str(root / "frames/long"), 1, first_frame=1, num_frames=30),
        Clip(str(root / "frames/b"), 2, first_frame=1, num_frames=6),
    ]
    assert lists.decided == {"filename_template": "img_{:05}.jpg", "start_index": 1, "with_offset": False}
    assert lists.classes == ("0", "1", "2")
    assert any(
        note == "Frames are called img_{:05}.jpg, counted from 1 (3 folders looked into)." for note in lists.notes
    )
    again = read(root, "a 6 0\nlong 30 1\n\nb\t6\t2\n", **lists.decided)
    assert again.train == lists.train and again.decided == lists.decided


def test_with_offset_is_seen_on_disk(root: Path) -> None:
    """long has thirty images: none of these rows can be frames and labels."""
    rows = "long 0 10 1\nlong 10 20 0\nlong 5 6 1"
    lists = read(root, rows, "long 20 10 0")
    assert lists.decided["with_offset"] is True
    assert [(clip.first_frame, clip.num_frames, clip.label, clip.labels) for clip in lists.train] == [
        (1, 10, 1, ()), (11, 20, 0, ()), (6, 6, 1, ()),
    ]  # fmt: skip
    assert [clip.name for clip in lists.train] == [
        str(root / "frames/long"),
        f"{root / 'frames/long'} [frames 11–30]",
        f"{root / 'frames/long'} [frames 6–11]",
    ]
    assert any(
        "read as folder, offset, frames, label: so 4 of 4 rows agree with the images on disk." in note
        for note in lists.notes
    )


def test_several_labels_are_seen_on_disk(root: Path) -> None:
    lists = read(root, "a 6 1 0\nb 6 2 3\nlong 30 2 0", "a 6 1 2")
    assert lists.decided["with_offset"] is False
    assert [(clip.num_frames, clip.label, clip.labels) for clip in lists.train] == [
        (6, 1, (1, 0)), (6, 2, (2, 3)), (30, 2, (2, 0)),
    ]  # fmt: skip
    assert lists.counts(lists.train) == {"0": 2, "1": 1, "2": 2, "3": 1}


def test_a_row_of_three_columns_settles_it(root: Path) -> None:
    """MMAction2's own test list: imgs 5 1, imgs 5 3 5."""
    lists = read(root, "long 3 1\nlong 3 3 5", "long 2 4 1")
    assert [(clip.num_frames, clip.labels) for clip in (*lists.train, *lists.val)] == [
        (3, (1,)), (3, (3, 5)), (2, (4, 1)),
    ]  # fmt: skip


@pytest.mark.parametrize("rows", ["long 20 15 1\nlong 40 2 0", "a 6 1 0\nlong 3 13 1", "a 5 2 0"])
def test_what_the_disk_does_not_tell_is_asked(rows: str, root: Path) -> None:
    message = refusal(root, rows, "long 20 15 1")
    assert "lists/train.txt:1: the columns " in message and "set [dataset] with_offset to false or true" in message
    shifted, plain = (read(root, "long 3 13 1\na 6 1 2", rows, with_offset=known).train[0] for known in (True, False))
    assert (shifted.first_frame, shifted.num_frames, shifted.labels) == (4, 13, ())
    assert (plain.first_frame, plain.num_frames, plain.labels) == (1, 3, (13, 1))


def test_an_offset_takes_a_column(root: Path) -> None:
    message = refusal(root, "long 3 1", with_offset=True)
    assert "train.txt:1: 3 columns, but [dataset] with_offset = true takes four" in message


def test_json_says_itself_what_is_what(root: Path) -> None:
    """The label is a list even where it is one; 0.x of MMAction2 writes these."""
    entries = [
        {"frame_dir": "a", "total_frames": 6, "label": [1]},
        {"frame_dir": "long", "offset": 4, "total_frames": 12, "label": 0},
    ]
    for name in ("train", "val"):
        write(root / f"lists/{name}.json", json.dumps(entries))
    dataset = Dataset(format="mmaction_rawframes", root=str(root / "frames"), annotations=str(root / "lists"))
    clips = read_clips(dataset).train
    assert [(clip.label, clip.labels, clip.first_frame, clip.num_frames) for clip in clips] == [
        (1, (), 1, 6), (0, (), 5, 12),
    ]  # fmt: skip
    entries[0]["label"] = [1, 2]
    write(root / "lists/train.json", json.dumps(entries))
    assert [clip.labels for clip in read_clips(dataset).train] == [(1, 2), (0,)]
    for wrong, sentence in (
        ({"label": 1}, 'train.json: entry 1 has no "frame_dir"'),
        ({"frame_dir": "a", "label": 1}, '"total_frames" must be a whole number'),
        ({"frame_dir": "a", "total_frames": 6, "label": {"scene": [1]}}, '"label" must be a whole number'),
    ):
        write(root / "lists/train.json", json.dumps([wrong]))
        with pytest.raises(DataError, match=sentence):
            read_clips(dataset)


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("a 6 0\nb 6", 'train.txt:2: "b 6" must be a folder, its frames and its label'),
        ("a 6 zero", 'train.txt:1: "a 6 zero" must be a folder'),
        ("", "train.txt lists no folder"),
        ("nowhere 6 0", "none of the 1 folder listed in"),
        ("a/img_00001.jpg 6 0", 'format = "mmaction_video" reads lists of video files'),
    ],
)
def test_a_wrong_list_is_one_sentence(train: str, expected: str, root: Path) -> None:
    assert expected in refusal(root, train)


def test_paths_may_hold_spaces(root: Path) -> None:
    os.rename(root / "frames/a", root / "frames/my clip")
    assert [clip.path for clip in read(root, "my clip 6 0\nb 6 1", "b 6 0").train] == [
        str(root / "frames" / name) for name in ("my clip", "b")
    ]  # fmt: skip


def test_missing_folders_are_counted_and_empty_ones_left_out(root: Path) -> None:
    lists = read(root, "a 6 0\ngone 6 1\nb 0 1\nlong 30 1")
    assert [os.path.basename(clip.path) for clip in lists.train] == ["a", "long"]
    assert any("1 of 4 folders listed in" in note and "e.g. gone." in note for note in lists.notes)
    assert any("1 folder is listed in" in note and "with 0 frames and left out" in note for note in lists.notes)


def test_labels_outside_the_classes_are_told_with_their_line(root: Path) -> None:
    assert "label 5 in" in refusal(root, "a 6 0\nb 6 5", classes=("x", "y"), val="a 6 0")


def test_another_first_number_in_some_folders_is_said(root: Path) -> None:
    write_frames(root / "frames/zero", first=0)
    lists = read(root, "a 6 0\nb 6 1\nzero 6 1")
    assert lists.decided["start_index"] == 1
    assert any("1 of them count from another number, e.g." in note and "zero from 0;" in note for note in lists.notes)
    assert why_not(lists.train[2]).startswith("img_00006.jpg is missing: 6 images from 1 on are listed")


def test_more_frames_than_there_are_are_said_with_the_true_count(root: Path) -> None:
    lists = read(root, "a 9 0\nb 6 1")
    assert any("1 of the folders looked into" in note and "frames/a has 6, not 9" in note for note in lists.notes)
    assert why_not(lists.train[0]) == "img_00009.jpg is missing: 9 images from 1 on are listed, it holds 6, 1 to 6"
    counted = read(root, "a 9 0\nb 6 1", frame_counts="disk").train
    assert [open_clip(clip).num_frames for clip in counted] == [6, 6]


# --- reading the images -----------------------------------------------------------------------------------------------


def test_the_right_images_are_read(root: Path) -> None:
    clip = Clip(str(root / "frames/long"), 0, first_frame=11, num_frames=5)
    video = open_clip(clip, "img_{:05}.jpg")
    assert video.num_frames == 5
    for place, picture in zip((3, 0), video.read([3, 0]), strict=True):
        with Image.open(root / f"frames/long/img_{11 + place:05}.jpg") as image:
            assert np.array_equal(picture, np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    kind = "jpg" if mode == "CMYK" else "png"
    grey = Image.fromarray(np.full((48, 64, 3), 128, dtype=np.uint8))
    grey.convert(mode).save(tmp_path / f"img_00001.{kind}")
    frames = open_clip(Clip(str(tmp_path), 0, first_frame=1)).read([0])
    assert frames.shape == (1, 48, 64, 3) and frames.dtype == np.uint8


def test_what_is_wrong_with_a_folder_is_said(root: Path) -> None:
    folder = root / "frames/a"
    clip = Clip(str(folder), 0, first_frame=1, num_frames=6)
    (folder / "img_00003.jpg").rename(root / "third.jpg")
    assert why_not(clip) == "img_00003.jpg is missing"
    (folder / "img_00003.jpg").write_text("no image")
    assert why_not(clip) == "img_00003.jpg: it is no image"
    (folder / "img_00003.jpg").write_bytes((root / "third.jpg").read_bytes()[:400])
    assert why_not(clip).startswith("img_00003.jpg: ") and "truncated" in why_not(clip).lower()
    Image.new("RGB", (32, 32)).save(folder / "img_00003.jpg")
    assert why_not(clip) == "its images have different sizes, 32x32 and 64x48"
    Image.fromarray(np.zeros((48, 64), dtype=np.uint16)).save(folder / "img_00003.jpg", format="png")
    assert why_not(clip) == "img_00003.jpg has more than 8 bits a pixel"
    assert why_not(clip, template="{:04}.png") == "0006.png is missing: 6 images from 1 on are listed, it holds none"
    assert "has no numbered images" in why_not(Clip(str(root), 0))
    assert why_not(Clip(str(root / "gone"), 0)) == "the file is missing"


def test_a_clip_without_a_count_is_all_from_its_first_frame_on(root: Path) -> None:
    assert open_clip(Clip(str(root / "frames/long"), 0, first_frame=21)).num_frames == 10
    assert why_not(Clip(str(root / "frames/long"), 0, first_frame=99)).startswith("no img_00099.jpg in it")


# --- a folder a class -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", ["", "rawframes", "train"])
def test_class_folders_of_frames(above: str, tmp_path: Path) -> None:
    for name in ("run", "walk"):
        for number in range(1, 7):
            clip = f"v_{name}_g{number:02}_c01" if number % 2 else f"deeper/{number}"
            write_frames(tmp_path / above / name / clip, 4, "frame{:04}.jpg", first=0)
    if above == "train":
        write_frames(tmp_path / "val/run/1", 4, "frame{:04}.jpg", first=0)
    found = inspect_folder(tmp_path)
    root = tmp_path / ("" if above == "train" else above)
    assert found.table == {"format": "folders", "root": str(root)}
    assert found.classes == ("run", "walk") and found.modality == "rgb"
    lists = read_clips(Dataset(**found.table))
    assert lists.decided == {"filename_template": "frame{:04}.jpg", "start_index": 0}
    clips = [*lists.train, *lists.val]
    assert len(clips) == (13 if above == "train" else 12)
    assert {"run_g01", "walk_g05", ""} <= {clip.group for clip in clips}
    assert {open_clip(clip, "frame{:04}.jpg").num_frames for clip in clips} == {4}


def test_class_folders_of_flow(tmp_path: Path) -> None:
    for name in ("run", "walk"):
        for number in range(4):
            write_flow(tmp_path / name / str(number), 4)
    assert inspect_folder(tmp_path).modality == "flow"
    for name in ("run", "walk"):
        write_frames(tmp_path / name / "0", 5)
    assert inspect_folder(tmp_path).modality == "rgb"


def test_thumbnails_beside_videos_are_no_clips(tmp_path: Path) -> None:
    for name in ("run", "walk"):
        write(tmp_path / name / "1.mp4", "")
        write_frames(tmp_path / name / "thumbnails", 3)
    lists = read_clips(Dataset(root=str(tmp_path), val_fraction=0))
    assert [os.path.basename(clip.path) for clip in lists.train] == ["1.mp4", "1.mp4"]
    assert not lists.decided
    assert any("6 files left out, not a video by extension: .jpg" in note for note in lists.notes)


def test_folders_of_frames_without_a_class_are_told(root: Path) -> None:
    (root / "frames/notes.txt").touch()
    with pytest.raises(DataError, match=r"has folders of frames, such as a, but nothing that says their classes"):
        inspect_folder(root / "frames")


def test_images_directly_in_class_folders_are_no_clips(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_frames(tmp_path / name, 3)
    with pytest.raises(DataError, match="has no videos: expected a folder for each class"):
        read_clips(Dataset(root=str(tmp_path)))


# --- recognising ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["txt", "csv", "json"])
def test_lists_of_frames_are_recognised(kind: str, root: Path) -> None:
    rows = [("a", 6, 0), ("b", 6, 1)]
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    if kind == "json":
        text = json.dumps([{"frame_dir": name, "total_frames": 6, "label": [label]} for name, _, label in rows])
    train = write(root / f"ucf_train_list_rawframes.{kind}", text)
    val = write(root / f"ucf_val_list_rawframes.{kind}", text)
    found = inspect_folder(root)
    assert found.table == {
        "format": "mmaction_rawframes", "root": str(root / "frames"), "train_list": str(train), "val_list": str(val),
    }  # fmt: skip
    assert found.train_counts == {"0": 1, "1": 1} and found.modality == "rgb"
    assert inspect_folder(root / "frames", root).table["root"] == str(root / "frames")


def test_one_list_is_split(root: Path) -> None:
    write(root / "all.txt", "a 6 0\nb 6 1\nlong 30 1\na 6 0")
    found = inspect_folder(root)
    assert found.table == {
        "format": "mmaction_rawframes", "root": str(root / "frames"), "train_list": str(root / "all.txt"),
    }  # fmt: skip
    assert sum(found.train_counts.values()) + sum(found.val_counts.values()) == 4


def test_a_folder_of_flow_alone_is_recognised(root: Path) -> None:
    for name in ("x", "y"):
        write_flow(root / "flow" / name, template="{}_{:05}.jpg")
    for name in ("train", "val"):
        write(root / f"flow_{name}.txt", "x 7 0\ny 7 1")
    assert inspect_folder(root).modality == "flow"


def test_videos_beside_lists_of_frames_are_read_as_videos(root: Path) -> None:
    for name in ("train", "val"):
        write(root / f"lists/{name}_rawframes.txt", "gone/1 6 0\ngone/2 6 1")
        write(root / f"lists/{name}_videos.txt", "1.mp4 0\n2.mp4 1")
    for name in ("1.mp4", "2.mp4"):
        write(root / "videos" / name, "")
    assert inspect_folder(root / "videos", root / "lists").format == "mmaction_video"


def test_the_real_lists(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/annotations"
    tests = folder / "mmaction2_tests_annotations"
    assert [row.numbers for row in read_list(tests / "rawframe_test_list.txt").rows] == [(5, 127), (5, 127)]
    write_frames(tmp_path / "frames/imgs", 5)
    several = (tests / "rawframe_test_list_multi_label.txt").read_text()
    assert [clip.labels for clip in read(tmp_path, several, several).train] == [(1,), (3, 5)]
    assert [clip.num_frames for clip in read(tmp_path, "imgs 2 3 127", "imgs 2 3 127").train] == [3]  # as documented

    real = folder / "sthv1/somesomev1_rgb_train_split.head5000.txt"
    rows = read_list(real).rows
    assert len(rows) == 5000 and rows[0] == ("100218", (42, 134), 1)
    for row in rows[:300]:
        (tmp_path / "frames" / row.folder).mkdir()
    write_frames(tmp_path / "frames/100218", 42, "{:05}.jpg")
    lists = read(tmp_path, real.read_text(), "100218 42 134")
    assert len(lists.train) == 300 and any("4700 of 5000 folders listed" in note for note in lists.notes)
    assert lists.train[0] == Clip(str(tmp_path / "frames/100218"), 134, first_frame=1, num_frames=42)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_class_folders_of_frames_train(tmp_path: Path) -> None:
    for name in ("run", "walk"):
        for number in range(4):
            write_frames(tmp_path / "data" / name / str(number), 4, "{:04}.png", seed=number)
    state = train_as(inspect_folder(tmp_path / "data").table, tmp_path)
    assert state.started is not None and (state.started.train_clips, state.started.val_clips) == (6, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "with_offset"),
    [
        ("a 6 0\nb 6 1\nlong 30 1", "false"),
        ("a 0 3 0\nlong 4 20 1\nb 1 5 1", "true"),
        ("a 6 0 1\nb 6 1\nlong 30 1", "false"),
    ],
    ids=["plain", "offsets", "several labels"],
)
def test_rawframes_train(rows: str, with_offset: str, root: Path) -> None:
    train, val = write(root / "train.txt", rows), write(root / "val.txt", rows)
    found = inspect_folder(root)
    state = train_as(found.table, root, head=f"multi_label = {'true' if found.multi_label else 'false'}")
    assert state.started is not None and (state.started.train_clips, state.started.val_clips) == (3, 3)
    assert not state.skipped
    (run,) = (root / "runs").iterdir()
    recipe = (run / "recipe.toml").read_text()
    assert 'filename_template = "img_{:05}.jpg"' in recipe and "start_index = 1" in recipe
    assert f"with_offset = {with_offset}" in recipe and str(train) in recipe and str(val) in recipe
