"""ActivityNet's annotations in both forms: segments or whole videos, ids with and without v_, exact names of files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.dataset.clips import Clip, ClipLists
from engine.dataset.formats import read_clips
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal, train_as
from tests.videos import make_video

# YouTube ids of eleven characters: one begins with "-", one with "v_", and one is a part of another's file name.
IDS = ("QOlSCBRmfWY", "---9CpRcKoU", "v_aoY0XhAXm", "sJFgo9H6zNo", "2D22fVcAcyo", "4Lu8ECLHvK4")
ENTRIES: dict[str, tuple[str, float, list[tuple[str, float, float]]]] = {
    IDS[0]: ("training", 82.73, [("Ballet", 6.195, 77.73)]),
    IDS[1]: ("training", 14.07, [("Mooping floor", 0.01, 5.5), ("Ballet", 6.0, 14.5), ("Ballet", 9.0, 9.0)]),
    IDS[2]: ("training", 30.0, [("Sumo", 1.0, 2.0), ("Sumo", 31.0, 32.0)]),
    IDS[3]: ("validation", 50.0, [("Sumo", 10.0, 20.0), ("Sumo", 25.0, 30.0)]),
    IDS[4]: ("validation", 20.0, [("Mooping floor", 0.0, 20.0)]),
    IDS[5]: ("testing", 20.0, []),
}
CLASSES = ("Ballet", "Mooping floor", "Sumo")


def write_official(folder: Path, scale: float = 1.0, **more: Any) -> Path:
    database = {
        id: {
            "duration": duration * scale,
            "subset": subset,
            "resolution": "1280x720",
            "url": f"https://www.youtube.com/watch?v={id}",
            "annotations": [
                {"label": label, "segment": [start * scale, end * scale]} for label, start, end in segments
            ],
        }
        for id, (subset, duration, segments) in ENTRIES.items()
    }
    return write_json(
        folder / "activity_net.v1-3.min.json",
        {
            "version": "VERSION 1.3",
            "taxonomy": [{"parentName": "Root", "nodeName": "Ballet", "nodeId": 1, "parentId": 0}],
            "database": {**database, **more},
        },
    )


def write_bsn(folder: Path, scale: float = 1.0) -> Path:
    entries = {
        f"v_{id}": {
            "duration_second": duration * scale,
            "duration_frame": int(duration * 25),
            "annotations": [
                {"segment": [start * scale, end * scale], "label": label} for label, start, end in segments
            ],
            "feature_frame": int(duration * 25) // 16 * 16,
        }
        for id, (_, duration, segments) in ENTRIES.items()
    }
    rows = [f"v_{id},100,{duration},25.0,24.98,{subset},96" for id, (subset, duration, _) in ENTRIES.items()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "video_info_new.csv").write_text(
        "\n".join(["video,numFrame,seconds,fps,rfps,subset,featureFrame", *rows])
    )
    return write_json(folder / "anet_anno_action.json", entries)


FORMS = {"official": write_official, "BSN": write_bsn}


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def make_files(folder: Path, name: str = "v_{}.mp4") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for id in IDS:
        (folder / name.format(id)).touch()
    return folder


def dataset(root: Path, **keys: Any) -> Dataset:
    return Dataset(format="activitynet", root=str(root), **keys)


def parts(clips: Iterable[Clip]) -> list[tuple[str, int, float, float]]:
    return [(clip.group, clip.label, clip.start, clip.end) for clip in clips]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", ["", "annotations"])
@pytest.mark.parametrize("name", ["v_{}.mp4", "{}.mp4", "v_{}.webm", "{}.mkv"])
def test_it_is_recognised_and_read(form: str, folder: str, name: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path / folder)
    make_files(tmp_path / "videos", name)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "activitynet", "root": str(tmp_path), "annotations": str(tmp_path / folder)}
    lists = read_clips(Dataset(**found.table), 3)
    assert lists.classes == CLASSES
    assert parts(lists.train) == [
        (IDS[0], 0, 6.195, 77.73), (IDS[1], 1, 0.01, 5.5), (IDS[1], 0, 6.0, 14.07), (IDS[2], 2, 1.0, 2.0),
    ]  # fmt: skip
    assert parts(lists.val) == [(IDS[3], 2, 10.0, 20.0), (IDS[3], 2, 25.0, 30.0), (IDS[4], 1, 0.0, 20.0)]
    for clip in (*lists.train, *lists.val):
        assert clip.path == str(tmp_path / "videos" / name.format(clip.group))
    told = [note.partition(" (training) ") for note in lists.notes if "(training)" in note]
    assert [(where.partition(" in ")[0], what) for where, _, what in told] == [
        ("1 segment", f"left out, because the end is not after the start, e.g. Ballet in {IDS[1]} [9–9 s]."),
        ("1 segment", f"left out, past the end of the video, e.g. Sumo in {IDS[2]} [31–32 s]."),
        ("1 segment", f"cut, reaching out of the video, e.g. Ballet in {IDS[1]} [6–14.5 s]."),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_whole_videos_go_by_their_first_label(form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path)
    make_files(tmp_path)
    lists = read_clips(dataset(tmp_path, clips="videos"))
    assert parts(lists.train) == [(IDS[0], 0, 0.0, 0.0), (IDS[1], 1, 0.0, 0.0), (IDS[2], 2, 0.0, 0.0)]
    assert parts(lists.val) == [(IDS[3], 2, 0.0, 0.0), (IDS[4], 1, 0.0, 0.0)]
    assert any("1 video of" in note and "several classes" in note and IDS[1] in note for note in lists.notes)


def test_a_file_is_found_by_its_whole_name_only(tmp_path: Path) -> None:
    """MMAction2 took any name with the id in it."""
    write_official(tmp_path)
    make_files(tmp_path / "videos")
    (tmp_path / f"videos/v_{IDS[0]}.mp4").rename(tmp_path / f"videos/v_{IDS[0]}_part2.mp4")
    (tmp_path / f"videos/v_{IDS[3]}.mp4").rename(tmp_path / f"videos/v_{IDS[3].lower()}.mp4")
    lists = read_clips(dataset(tmp_path))
    assert IDS[0] not in {clip.group for clip in lists.train} and IDS[3] not in {clip.group for clip in lists.val}
    missing = [note for note in lists.notes if "missing" in note]
    assert len(missing) == 2 and IDS[0] in missing[0] and IDS[3] in missing[1]
    assert all(note.startswith("1 of ") for note in missing)


def test_given_classes_validation_videos_apart_and_the_official_form_first(tmp_path: Path) -> None:
    write_official(tmp_path)
    make_files(tmp_path / "train")
    make_files(tmp_path / "val", "{}.webm")
    write_bsn(tmp_path)
    given = tuple(reversed(CLASSES))
    lists = read_clips(
        dataset(tmp_path / "train", annotations=str(tmp_path), val_root=str(tmp_path / "val"), classes=given)
    )
    assert lists.classes == given and [clip.label for clip in lists.train] == [2, 1, 2, 0]
    assert {Path(clip.path).parent.name for clip in lists.val} == {"val"}
    assert "activity_net" in lists.notes[0]
    assert "has 3 classes, but [head] num_classes is 200" in refusal(dataset(tmp_path), 200)


def test_the_copies_that_mmaction2_makes_of_it_do_not_disturb(tmp_path: Path) -> None:
    path = write_bsn(tmp_path)
    make_files(tmp_path / "videos")
    alone = read_clips(dataset(tmp_path))
    for split in ("full", "train", "val", "test"):
        (tmp_path / f"anet_anno_{split}.json").write_bytes(path.read_bytes())
    (tmp_path / "video_info_19993.csv").write_text("video,subset\nv_x,training\n")
    assert read_clips(dataset(tmp_path)) == alone


def test_csv_and_json_however_they_are_written(tmp_path: Path) -> None:
    path = write_bsn(tmp_path)
    make_files(tmp_path)
    as_published = read_clips(dataset(tmp_path))
    table = tmp_path / "video_info_new.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n\r\n") + b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(path.read_text()), indent=2).encode())
    assert read_clips(dataset(tmp_path)) == as_published


def test_videos_of_no_known_subset_are_told(tmp_path: Path) -> None:
    write_bsn(tmp_path)
    make_files(tmp_path)
    table = tmp_path / "video_info_new.csv"
    table.write_text("\n".join(row for row in table.read_text().splitlines() if IDS[2] not in row))
    lists = read_clips(dataset(tmp_path))
    assert len(lists.train) == 3
    assert f"1 video left out, because {table} names no subset: {IDS[2]}." in lists.notes


def bad_entry(**keys: Any) -> dict[str, Any]:
    return {"duration": 5.0, "subset": "training", "annotations": [{"label": "Sumo", "segment": [0, 1]}], **keys}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (bad_entry(annotations=[{"segment": [0, 1]}]), 'every annotation must have a "label" and a "segment"'),
        (bad_entry(annotations=[{"label": "Sumo", "segment": [1]}]), 'every annotation must have a "label"'),
        (bad_entry(annotations=[{"label": "Sumo", "segment": [0, "x"]}]), "x is not a time in seconds"),
        (bad_entry(annotations={"label": "Sumo"}), '"annotations" must be a list'),
        (bad_entry(duration="long"), "long is not a time in seconds"),
        ([1, 2], "must be one object of video ids"),
    ],
)
def test_a_wrong_entry_is_one_sentence(entry: Any, expected: str, tmp_path: Path) -> None:
    path = write_official(tmp_path, abcdefghijk=entry)
    make_files(tmp_path)
    message = refusal(dataset(tmp_path))
    assert expected in message and str(path) in message
    assert "abcdefghijk" in message or "must be one object" in expected


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    videos = make_files(tmp_path / "videos")
    assert "has neither activity_net.v1-3.min.json nor anet_anno_action.json" in refusal(dataset(videos))
    write_bsn(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    assert "none of the 3 videos" in refusal(dataset(tmp_path / "elsewhere", annotations=str(tmp_path)))
    (tmp_path / "video_info_new.csv").unlink()
    assert "with video_info_new.csv" in refusal(dataset(tmp_path))


# --- the real annotations ---------------------------------------------------------------------------------------------


def real_lists(shared: Path, tmp_path: Path, **keys: Any) -> ClipLists:
    """An excerpt of 500 training and 1,500 validation videos, and the list of all 19,228."""
    annotations = shared / "data/annotations/activitynet"
    entries = json.loads((annotations / "anet_anno_action.excerpt2000.json").read_text())
    for place, name in enumerate(entries):
        (tmp_path / f"{name if place % 2 else name[2:]}.{('mp4', 'mkv', 'webm')[place % 3]}").touch()
    for path in annotations.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return read_clips(dataset(tmp_path, **keys), 200)


def test_the_real_excerpt_as_segments(shared: Path, tmp_path: Path) -> None:
    lists = real_lists(shared, tmp_path)
    assert "Mooping floor" in lists.classes and len(lists.classes) == 200
    names = (shared / "data/annotations/mmaction2_label_maps/activitynet_label_map.txt").read_text().splitlines()
    assert set(lists.classes) == set(names)
    # 783 and 2,281 segments, of which one of validation ends where it starts.
    assert (len(lists.train), len(lists.val)) == (783, 2281 - 1)
    assert (len({clip.path for clip in lists.train}), len({clip.path for clip in lists.val})) == (500, 1499)
    assert not {clip.path for clip in lists.train} & {clip.path for clip in lists.val}
    assert sum("left out, because the end is not after the start" in note for note in lists.notes) == 1
    with open(tmp_path / "video_info_new.csv") as file:
        subset_of = {row["video"][2:]: row["subset"] for row in csv.DictReader(file)}
    assert len(subset_of) == 19228
    assert {subset_of[clip.group] for clip in lists.train} == {"training"}
    assert {subset_of[clip.group] for clip in lists.val} == {"validation"}


def test_the_real_excerpt_as_whole_videos(shared: Path, tmp_path: Path) -> None:
    """The one whose only segment is empty is a whole video all the same."""
    lists = real_lists(shared, tmp_path, clips="videos")
    assert (len(lists.train), len(lists.val)) == (500, 1500)
    assert sum("several classes" in note for note in lists.notes) in (1, 2)


# --- from the files to a trained model --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("form", "clips", "expected"), [("official", "segments", (4, 3)), ("BSN", "videos", (3, 2))])
def test_activitynet_trains(form: str, clips: str, expected: tuple[int, int], tmp_path: Path) -> None:
    root = tmp_path / "ActivityNet"
    FORMS[form](root, scale=0.1)
    for number, id in enumerate(IDS[:5]):
        fps = (24, 25, 30)[number % 3]
        make_video(root / f"videos/v_{id}.mp4", frames=int(fps * ENTRIES[id][1] / 10), seed=number, fps=fps)
    state = train_as({**inspect_folder(root).table, "clips": clips}, tmp_path)
    assert state.started is not None and state.started.classes == list(CLASSES)
    assert (state.started.train_clips, state.started.val_clips) == expected and not state.skipped
