"""The check names every trap that a dataset holds and nothing else, and looks at a file again only when it changed."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from engine.dataset.check import Report, check
from engine.dataset.inspect import inspect_folder
from engine.recipe import recipe_from
from tests.frames import write_frames
from tests.traps import BROKEN, seed_traps
from tests.videos import make_video


def report_on(dataset: dict[str, Any], memory: Path | None = None, **tables: Any) -> Report:
    return check(recipe_from({"dataset": dataset, **tables}), memory, workers=1, time_limit=60)


def codes(report: Report) -> set[tuple[str, str]]:
    return {(problem.code, problem.severity) for problem in report.problems}


def files_of(report: Report) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for problem in report.problems:
        found[problem.code, problem.severity] |= {os.path.basename(file) for file in problem.files}
    return dict(found)


def clean(root: Path, splits: tuple[str, ...] = ("train", "val"), clips: int = 3) -> Path:
    seed = 0
    for split in splits:
        for name in ("run", "walk"):
            for number in range(clips):
                seed += 1
                make_video(root / split / name / f"{split}{number}.mp4", frames=12, seed=seed)
    return root


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], set[str]]]:
    folder = tmp_path_factory.mktemp("traps")
    return folder, seed_traps(folder)


def test_every_trap_is_named_and_nothing_else(seeded: tuple[Path, dict[tuple[str, str], set[str]]]) -> None:
    folder, expected = seeded
    report = report_on(inspect_folder(folder).table)
    assert files_of(report) == expected
    assert not report.ok
    leaks = [problem.message for problem in report.problems if problem.code == "leakage"]
    assert len(leaks) == 4
    assert sum("UCF101 group" in leak for leak in leaks) == sum("YouTube" in leak for leak in leaks) == 1
    train, val = report.splits["train"], report.splits["val"]
    assert (train.listed, train.found, train.missing, train.unusable, train.classes) == (41, 40, 1, 6, 3)
    assert (val.listed, val.found, val.missing, val.unusable) == (9, 9, 0, 0)
    for name, (_, reason) in BROKEN.items():
        assert reason in report.unusable[str(folder / "videos" / name)]


@pytest.mark.slow
def test_a_list_that_counts_from_1_is_mended_by_the_words_of_the_report(
    seeded: tuple[Path, dict[tuple[str, str], set[str]]],
) -> None:
    table = inspect_folder(seeded[0]).table
    (problem,) = [found for found in report_on(table).problems if found.code == "one_based_labels"]
    assert "set first_label = 1 under [dataset]" in problem.message
    mended = report_on({**table, "first_label": 1})
    assert "one_based_labels" not in {found.code for found in mended.problems} and len(mended.classes) == 3
    # The same lists, read by a recipe that knows how many classes there are: still one mistake, and all the others.
    strict = files_of(report_on(table, head={"num_classes": 3}))
    assert strict == seeded[1]


def test_a_clean_dataset_has_no_problem(tmp_path: Path) -> None:
    report = report_on({"root": str(clean(tmp_path))})
    assert report.ok and report.problems == () and report.unusable == {}
    assert report.splits["train"].clips_of_class == {"run": 3, "walk": 3}
    assert report.videos.files == 12 and report.videos.sizes == {"64x48": 12}
    assert report.videos.frames and report.videos.frames.median == 12
    document = report.document()
    assert json.loads(json.dumps(document)) == document
    assert document["ok"] is True and document["splits"]["val"]["listed"] == 6


def test_only_what_has_changed_is_decoded_again(tmp_path: Path) -> None:
    root, memory = clean(tmp_path / "data"), tmp_path / "memory.jsonl"
    shutil.copy(root / "train/run/train0.mp4", root / "val/run/copy.mp4")
    first = report_on({"root": str(root)}, memory)
    assert (first.looked_at, first.remembered) == (13, 0)
    again = report_on({"root": str(root)}, memory)
    assert (again.looked_at, again.remembered) == (0, 13)
    assert again.problems == first.problems and again.videos == first.videos and not again.ok
    (root / "train/walk/train1.mp4").write_bytes(b"")
    make_video(root / "train/walk/new.mp4", frames=12, seed=77)
    third = report_on({"root": str(root)}, memory)
    assert (third.looked_at, third.remembered) == (2, 12)
    assert third.unusable == {str(root / "train/walk/train1.mp4"): "the file is empty"}


def test_a_check_that_is_interrupted_remembers_what_it_saw(tmp_path: Path) -> None:
    root, memory = clean(tmp_path / "data"), tmp_path / "memory.jsonl"

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(recipe_from({"dataset": {"root": str(root)}}), memory, workers=1, time_limit=60, on_progress=interrupt)
    assert report_on({"root": str(root)}, memory).remembered == 5


def test_sources_of_a_groups_file_on_both_sides(tmp_path: Path) -> None:
    root = clean(tmp_path / "data")
    rows = [f"{path.relative_to(root).as_posix()},{path.stem[-1]}\n" for path in sorted(root.rglob("*.mp4"))]
    report = report_on({"root": str(root), "groups": write(tmp_path / "groups.csv", f"file,source\n{''.join(rows)}")})
    (problem,) = report.problems
    assert problem.code == "leakage" and problem.message.startswith("3 sources with clips in both")
    assert len(problem.files) == 12
    held_out = report_on({"root": str(root / "train"), "group_pattern": r"train(\d)"})
    assert held_out.problems == ()


@pytest.mark.slow
def test_unusable_files_are_an_error_only_where_training_would_be_wrong(tmp_path: Path) -> None:
    root = clean(tmp_path, clips=3)
    (root / "train/run/train0.mp4").write_bytes(b"")
    assert codes(report_on({"root": str(root), "max_bad_fraction": 0.5})) == {("undecodable", "warning")}
    assert codes(report_on({"root": str(root)})) == {("undecodable", "error")}
    for number in (1, 2):
        (root / f"train/run/train{number}.mp4").write_bytes(b"")
    report = report_on({"root": str(root), "max_bad_fraction": 0.5})
    assert codes(report) == {("undecodable", "error")} and "no training clip of run" in report.problems[0].message


def test_what_a_quarantine_leaves_out_is_looked_at_again(tmp_path: Path) -> None:
    root = clean(tmp_path)
    write(root / "quarantine.txt", "train/run/train0.mp4\tit was empty\n")
    report = report_on({"root": str(root)})
    assert report.splits["train"].found == 6 and report.problems == ()


def test_missing_videos_are_an_error_where_most_are_missing(tmp_path: Path) -> None:
    root = clean(tmp_path)
    names = [path.relative_to(root).as_posix() for path in sorted((root / "train").rglob("*.mp4"))]
    lines = "".join(f"{name},{name.split('/')[1]}\n" for name in names)
    val = "".join(f"val/{name}/val{n}.mp4,{name}\n" for name in ("run", "walk") for n in range(3))
    table = {"format": "csv", "root": str(root), "val_list": write(tmp_path / "val.csv", val)}
    few = report_on({**table, "train_list": write(tmp_path / "train.csv", f"{lines}train/run/x.mp4,run\n")})
    assert files_of(few) == {("missing", "warning"): {"x.mp4"}}
    many = "".join(f"train/run/x{number}.mp4,run\n" for number in range(20))
    most = report_on({**table, "train_list": write(tmp_path / "train.csv", lines + many)})
    assert codes(most) == {("missing", "error")} and "Is [dataset] root right?" in most.problems[0].message
    assert most.splits["train"].listed == 26


def test_a_dataset_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    report = report_on({"root": str(tmp_path / "nowhere")})
    (problem,) = report.problems
    assert problem.code == "dataset" and "does not exist" in problem.message and report.splits == {}
    assert json.dumps(report.document())


def test_parts_that_begin_after_the_end_of_their_video(tmp_path: Path) -> None:
    for seed, (split, name) in enumerate((s, n) for s in ("validation", "test") for n in (1, 2)):
        make_video(tmp_path / f"video_{split}_{name:07}.mp4", frames=50, seed=seed)
    for number, action in ((1, "Billiards"), (2, "LongJump")):
        late = "video_validation_0000001 50.0 60.0\n" if number == 1 else ""
        write(tmp_path / f"{action}_val.txt", f"video_validation_000000{number} 0.0 1.0\n{late}")
        write(tmp_path / f"{action}_test.txt", f"video_test_000000{number} 0.5 1.5\n")
    report = report_on({"format": "thumos14", "root": str(tmp_path), "max_bad_fraction": 0.5})
    name = f"{tmp_path}/video_validation_0000001.mp4 [50–60 s]"
    assert report.unusable == {name: "it begins after the end of the video, which is at 2.00 s"}
    assert codes(report) == {("undecodable", "warning")} and report.splits["train"].unusable == 1


def test_frame_folders_that_are_not_whole(tmp_path: Path) -> None:
    for number in range(8):
        write_frames(tmp_path / f"v{number}", frames=9, seed=number)
    (tmp_path / "v3/img_00009.jpg").unlink()
    (tmp_path / "v4/img_00001.jpg").write_bytes(b"no image")
    rows = "".join(f"v{number} 9 {number % 2}\n" for number in range(8))
    table = {"format": "mmaction_rawframes", "root": str(tmp_path), "train_list": write(tmp_path / "all.txt", rows)}
    report = report_on({**table, "max_bad_fraction": 0.5})
    assert {os.path.basename(name): reason.split(":")[0] for name, reason in report.unusable.items()} == {
        "v3": "img_00009.jpg is missing", "v4": "img_00001.jpg",
    }  # fmt: skip


def test_clips_that_are_too_short_for_dense_frames(tmp_path: Path) -> None:
    root = clean(tmp_path)
    report = report_on({"root": str(root)}, model={"recognizer": "slowonly", "clip_len": 8, "frame_interval": 2})
    (problem,) = report.problems
    assert problem.code == "short_clips" and "12 clips of 12 with fewer frames than the 15 that" in problem.message


def test_several_classes_a_clip_must_be_asked_for(tmp_path: Path) -> None:
    root = clean(tmp_path)
    report = report_on({"root": str(root)}, head={"multi_label": True})
    assert codes(report) == {("multi_label", "error")}


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    root = clean(tmp_path)
    report = report_on({"root": str(root)}, weights={"load_from": str(tmp_path / "no.pth")})
    assert codes(report) == {("weights", "error")}


def test_odd_videos(shared: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("run", "walk")):
        make_video(tmp_path / name / "a.mp4", seed=number)
        make_video(tmp_path / name / "b.mp4", seed=number + 5)
    for path in (shared / "data/videos/odd").iterdir():
        shutil.copy(path, tmp_path / "run")
    report = report_on({"root": str(tmp_path)})
    assert set(map(os.path.basename, report.unusable)) == {"corrupted.mp4"}
