"""THUMOS14's annotations: the class is the file's name, validation trains, test judges, and what is wrong is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from engine.dataset.clips import Clip
from engine.dataset.formats import read_clips
from engine.dataset.inspect import inspect_folder
from engine.recipe import Dataset
from tests.layouts import refusal, train_as
from tests.videos import make_video

VAL, TEST = "video_validation_{:07}", "video_test_{:07}"
# Rows of (video, start, end) as the official files have them: an id, two blanks, tenths of seconds.
ROWS = {
    "annotations_val/BaseballPitch_val.txt": [(VAL.format(266), 72.8, 76.4), (VAL.format(266), 80.0, 80.7)],
    "annotations_val/CliffDiving_val.txt": [(VAL.format(161), 11.3, 14.1)],
    "annotations_val/Diving_val.txt": [(VAL.format(161), 11.3, 14.1), (VAL.format(161), 21.0, 23.9)],
    "annotations_val/Ambiguous_val.txt": [(VAL.format(266), 155.2, 160.6)],
    "annotations_test/BaseballPitch_test.txt": [(TEST.format(324), 49.2, 53.5)],
    "annotations_test/CliffDiving_test.txt": [(TEST.format(6), 1.0, 2.0)],
    "annotations_test/Diving_test.txt": [(TEST.format(6), 1.0, 2.0), (TEST.format(270), 3.0, 4.0)],
    "annotations_test/Ambiguous_test.txt": [(TEST.format(1292), 5.0, 6.0)],
}
AMBIGUOUS = "Ambiguous, neither clearly an action nor clearly none"
CLASSES = ("BaseballPitch", "CliffDiving", "Diving")


def write_rows(path: Path, rows: Iterable[tuple[str, float, float]], line: str = "{}  {:.1f} {:.1f}\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line.format(*row) for row in rows), encoding="utf-8", newline="")


def make_annotations(root: Path) -> Path:
    for name, rows in ROWS.items():
        write_rows(root / name, rows)
    (root / "annotations_val/readme.txt").write_text("[video_name starting_time ending_time]\n")
    return root


def make_files(root: Path, rows: Iterable[Iterable[tuple[str, float, float]]] = tuple(ROWS.values())) -> Path:
    for video in {video for of_class in rows for video, _, _ in of_class}:
        path = root / "videos" / ("val" if "validation" in video else "test") / f"{video}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.fixture
def thumos(tmp_path: Path) -> Path:
    return make_files(make_annotations(tmp_path / "thumos14"))


def dataset(root: Path, **keys: str) -> Dataset:
    return Dataset(format="thumos14", root=str(root), **keys)


def parts(clips: Iterable[Clip]) -> list[tuple[str, int, float, float]]:
    return [(Path(clip.path).stem, clip.label, clip.start, clip.end) for clip in clips]


def test_validation_trains_and_test_judges(thumos: Path) -> None:
    lists = read_clips(dataset(thumos), 3)
    assert lists.classes == CLASSES
    assert parts(lists.train) == [
        (VAL.format(266), 0, 72.8, 76.4), (VAL.format(266), 0, 80.0, 80.7),
        (VAL.format(161), 1, 11.3, 14.1), (VAL.format(161), 2, 21.0, 23.9),
    ]  # fmt: skip
    assert parts(lists.val) == [(TEST.format(324), 0, 49.2, 53.5), (TEST.format(6), 1, 1.0, 2.0)]
    assert all(os.path.isfile(clip.path) and clip.group in clip.path for clip in (*lists.train, *lists.val))


def test_what_is_left_out_is_counted(thumos: Path) -> None:
    notes = read_clips(dataset(thumos)).notes
    twins = "left out: Diving that are CliffDiving with the same times, the more specific class."
    for of_set in ("validation", "test"):
        assert f"1 segment in {thumos} ({of_set}) left out: {AMBIGUOUS}." in notes
        assert f"1 segment in {thumos} ({of_set}) {twins}" in notes
    assert any(note.startswith(f"1 segment in {thumos} (test) left out: known to be wrong") for note in notes)
    assert sum("left out" in note for note in notes) == 5


LINES = {
    "one blank": "{} {:.1f} {:.1f}\n",
    "tabs": "{}\t{:.1f}\t{:.1f}\n",
    "CRLF and blank lines": "{}  {:.1f} {:.1f}\r\n\r\n",
    "byte order mark": "\ufeff{}  {:g} {:g}\n",
    "extension and a blank at the end": "{}.mp4  {} {} \n",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_rows_however_they_are_written(line: str, thumos: Path) -> None:
    as_published = read_clips(dataset(thumos))
    for name, rows in ROWS.items():
        write_rows(thumos / name, rows[:1], line)
        with open(thumos / name, "a", encoding="utf-8", newline="") as file:
            file.writelines(line.lstrip("\ufeff").format(*row) for row in rows[1:])
    assert read_clips(dataset(thumos)) == as_published
    assert inspect_folder(thumos).format == "thumos14"


@pytest.mark.parametrize(
    "folder",
    ["TH14_Temporal_annotations_validation/annotation", "annotation", "annotations", ""],
)
def test_it_is_recognised_wherever_the_zips_were_unpacked(folder: str, tmp_path: Path) -> None:
    make_files(tmp_path)
    for name, rows in ROWS.items():
        write_rows(tmp_path / folder / Path(name).name, rows)
    found = inspect_folder(tmp_path)
    assert found.table == {"format": "thumos14", "root": str(tmp_path), "annotations": str(tmp_path)}
    assert (sum(found.train_counts.values()), sum(found.val_counts.values())) == (4, 2)
    assert "BaseballPitch_" in found.why[0]


def test_annotations_apart_and_given_classes(tmp_path: Path) -> None:
    lists, videos = make_annotations(tmp_path / "lists"), make_files(tmp_path / "files") / "videos"
    table = inspect_folder(videos, lists).table
    assert table == {"format": "thumos14", "root": str(videos), "annotations": str(lists)}
    given = tuple(reversed(CLASSES))
    assert [clip.label for clip in read_clips(Dataset(**table, classes=given)).train] == [2, 2, 1, 0]
    assert "is none of the 2 names in [dataset] classes" in refusal(Dataset(**table, classes=CLASSES[:2]))
    assert "has 3 classes, but [head] num_classes is 20" in refusal(Dataset(**table), 20)


def test_without_annotations_of_the_test_videos_whole_videos_are_held_out(tmp_path: Path) -> None:
    for name in CLASSES:
        rows = [(VAL.format(number // 3), number, number + 0.5) for number in range(30)]
        write_rows(
            tmp_path / f"{name}_val.txt", [(video, start + len(name), end + len(name)) for video, start, end in rows]
        )
        make_files(tmp_path, [rows])
    lists = read_clips(dataset(tmp_path))
    assert (len(lists.train), len(lists.val)) == (72, 18)
    assert not {clip.path for clip in lists.train} & {clip.path for clip in lists.val}
    assert any("no annotations of the test videos" in note for note in lists.notes)


# --- rows that are wrong ----------------------------------------------------------------------------------------------


def test_rows_that_show_nothing_are_left_out_and_counted(thumos: Path) -> None:
    video = VAL.format(364)
    rows = [(video, 5.0, 5.0), (video, 9.0, 8.0), (video, 113.6, 117.3), (video, 120.5, 127.0), (video, 110.0, 127.0)]
    write_rows(thumos / "annotations_val/HighJump_val.txt", [*rows, (video, 1.0, 2.0), (video, 1.0, 2.0)])
    (thumos / "videos/val" / f"{video}.mp4").touch()
    (thumos / "TH14_video_info.json").write_text(json.dumps({video: {"fps": 25.0, "duration": 112.5}}))
    lists = read_clips(dataset(thumos))
    jumps = [clip for clip in lists.train if lists.classes[clip.label] == "HighJump"]
    assert parts(jumps) == [(video, 3, 110.0, 112.5), (video, 3, 1.0, 2.0), (video, 3, 1.0, 2.0)]
    where, example = f"in {thumos} (validation)", f"e.g. HighJump in {video}"
    assert {
        f"2 segments {where} left out, because the end is not after the start, {example} [5–5 s].",
        f"2 segments {where} left out, past the end of the video, {example} [113.6–117.3 s].",
        f"1 segment {where} cut, reaching out of the video, {example} [110–127 s].",
        f"1 segment {where} listed before, and counted again, {example} [1–2 s].",
    } <= set(lists.notes)


def test_two_classes_at_the_same_time_are_told(thumos: Path) -> None:
    write_rows(thumos / "annotations_val/HighJump_val.txt", [(VAL.format(266), 72.8, 76.4)])
    lists = read_clips(dataset(thumos))
    assert len(lists.train) == 5
    assert any("2 segments" in note and "with the times of another class" in note for note in lists.notes)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("video_validation_0000001  1.0", 'is not a row of "video start end"'),
        ("video_validation_0000001  1.0 2.0 3.0", 'is not a row of "video start end"'),
        ("video_validation_0000001  1.0 two", "two is not a time in seconds"),
        ("video_validation_0000001  nan 2.0", "nan is not a time in seconds"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row: str, expected: str, thumos: Path) -> None:
    path = thumos / "annotations_val/Diving_val.txt"
    path.write_text(f"video_validation_0000161  1.0 2.0\n{row}\n")
    message = refusal(dataset(thumos))
    assert expected in message and f"{path}:2" in message


def test_a_video_on_both_sides_is_refused(thumos: Path) -> None:
    write_rows(thumos / "annotations_test/HighJump_test.txt", [(VAL.format(266), 1.0, 2.0)])
    assert f"1 video in the annotations of both the validation and the test videos, e.g. {VAL.format(266)}" in refusal(
        dataset(thumos)
    )


def test_missing_videos_are_counted_and_none_at_all_is_refused(thumos: Path) -> None:
    (thumos / "videos/val" / f"{VAL.format(161)}.mp4").unlink()
    lists = read_clips(dataset(thumos))
    assert len(lists.train) == 2
    assert any(note.startswith("1 of 2 videos listed in") and VAL.format(161) in note for note in lists.notes)
    assert "none of the 2 videos" in refusal(dataset(thumos / "annotations_val", annotations=str(thumos)))
    assert "has no annotations of THUMOS14's validation videos" in refusal(dataset(thumos / "videos"))


# --- ActionFormer's thumos14.json -------------------------------------------------------------------------------------


def test_the_json_says_the_same(thumos: Path, tmp_path: Path) -> None:
    database: dict[str, dict] = {}
    for name, rows in ROWS.items():
        for video, start, end in rows:
            subset = "Validation" if "validation" in video else "Test"
            entry = database.setdefault(video, {"subset": subset, "duration": 200.0, "fps": 30.0, "annotations": []})
            label = Path(name).name.rpartition("_")[0]
            entry["annotations"].append({"label": label, "segment": [start, end], "label_id": 5})
    (tmp_path / "json").mkdir()
    (tmp_path / "json/thumos14.json").write_text(json.dumps({"version": "Thumos14-30fps", "database": database}))
    found = inspect_folder(thumos / "videos", tmp_path / "json")
    assert found.format == "thumos14"
    as_json, as_text = read_clips(Dataset(**found.table)), read_clips(dataset(thumos))
    assert as_json.classes == as_text.classes
    assert sorted(parts(as_json.train)) == sorted(parts(as_text.train))
    assert sorted(parts(as_json.val)) == sorted(parts(as_text.val))


# --- the real annotations ---------------------------------------------------------------------------------------------


def test_the_real_annotations(shared: Path, tmp_path: Path) -> None:
    annotations = shared / "data/annotations/thumos14"
    files = sorted((annotations / "annotations_val").glob("*_val.txt"))
    rows = [line.split() for path in files for line in path.read_text().splitlines() if line.strip()]
    assert len(rows) == 3096
    for video in {row[0] for row in rows}:
        (tmp_path / f"{video}.mp4").touch()
    found = inspect_folder(tmp_path, annotations)
    assert found.format == "thumos14" and len(found.classes) == 20 and "Ambiguous" not in found.classes
    lists = read_clips(Dataset(**found.table, val_fraction=0.0))
    # 3,096 rows less 89 Ambiguous, 143 dives from a cliff that are listed as dives too, and 4 past their video's end.
    assert len(lists.train) == 3096 - 89 - 143 - 4
    assert len({clip.path for clip in lists.train}) == 200
    counts = lists.counts(lists.train)
    assert (counts["CliffDiving"], counts["Diving"]) == (143, 499 - 143)
    assert counts["HighJump"] == 271 - 2 and counts["SoccerPenalty"] == 66 - 2
    assert [note.partition(" in ")[0] for note in lists.notes[:3]] == ["89 segments", "143 segments", "4 segments"]
    assert not any("another class" in note for note in lists.notes)


# --- from the files to a trained model --------------------------------------------------------------------------------


@pytest.mark.slow
def test_thumos14_trains(tmp_path: Path) -> None:
    root = tmp_path / "thumos14"
    rows = {"BaseballPitch": [(0.2, 0.6), (0.8, 1.4)], "Billiards": [(1.5, 1.9), (30.0, 31.0)]}
    for place, (set_name, video) in enumerate([("val", VAL), ("test", TEST)]):
        for name, times in rows.items():
            ids = [video.format(number) for number in (1, 2)]
            write_rows(
                root / f"annotations_{set_name}/{name}_{set_name}.txt",
                [(id, start, end) for id in ids for start, end in times],
            )
        for number, fps in ((1, 25), (2, 24)):
            make_video(root / "videos" / set_name / f"{video.format(number)}.mp4", frames=2 * fps, seed=place, fps=fps)
    state = train_as({**inspect_folder(root).table, "max_bad_fraction": 0.5}, tmp_path)
    assert state.started is not None and state.started.classes == ["BaseballPitch", "Billiards"]
    assert (state.started.train_clips, state.started.val_clips) == (8, 8)
    assert {Path(clip.path).name for clip in state.skipped} == {
        f"{video.format(number)}.mp4 [30–31 s]" for video in (VAL, TEST) for number in (1, 2)
    }
