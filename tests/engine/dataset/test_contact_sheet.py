"""The contact sheet shows what training shows the model, bit for bit, and survives what files do to a decoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.dataset.contact_sheet import CLOSED, VIEWS, ContactSheet, Row, Wish
from engine.dataset.formats import read_dataset
from engine.dataset.inspect import inspect_folder
from engine.dataset.loader import TrainingClips, ValidationClips
from engine.recipe import Recipe, recipe_from
from tests.clips import CLASSES, make_dataset
from tests.frames import write_flow, write_frames
from tests.videos import make_video


@pytest.fixture(scope="module")
def sheet() -> Iterator[ContactSheet]:
    sheet = ContactSheet()
    yield sheet
    sheet.close()


def recipe_for(root: Path, **tables: dict) -> Recipe:
    small = {"root": str(root), "short_side": 40, "frame_size": 32}
    return recipe_from(
        {
            "model": {"segments": 3, **tables.get("model", {})},
            "dataset": {**small, **tables.get("dataset", {})},
            "head": tables.get("head", {}),
            "run": {"seed": 7},
        }
    )


def loaded(recipe: Recipe, row: Row, split: str, epoch: int) -> np.ndarray:
    """What the loader of training makes of the clip that a row shows, uint8 [T, H, W, C]."""
    lists = read_dataset(recipe)
    dataset = TrainingClips(lists.train, recipe) if split == "train" else ValidationClips(lists.val, recipe)
    batch = dataset.batch_of([dataset[epoch, row.number]])
    return batch.frames[0].permute(0, 2, 3, 1).numpy()


def test_it_is_what_the_loader_gives_bit_for_bit(sheet: ContactSheet, tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "my clips")
    for dataset in ({"flip": 0.0}, {"crop": "random_resized", "flip": 1.0}, {"rand_augment": 9, "crop": "random"}):
        recipe = recipe_for(root, dataset=dataset)
        for split, epoch in (("train", 1), ("train", 2), ("val", 1)):
            row = sheet.row(recipe, Wish(2, split, epoch, take=1))
            assert row.trouble == "" and row.frames is not None
            assert row.seen_as == (CLASSES[2],) and f"/{split}/{CLASSES[2]}/" in row.name
            assert np.array_equal(row.frames, loaded(recipe, row, split, epoch)), (dataset, split, epoch)
            if split == "val":
                assert (row.numbers, row.num_frames, row.seconds) == ((2, 6, 10), 12, (0.08, 0.24, 0.4))
            elif "flip" in dataset:
                assert row.mirrored == bool(dataset["flip"])


def test_another_epoch_is_another_view_and_another_take_another_clip(sheet: ContactSheet, tmp_path: Path) -> None:
    recipe = recipe_for(make_dataset(tmp_path / "clips"))
    first, again, later = (sheet.row(recipe, Wish(0, epoch=epoch)) for epoch in (1, 1, 2))
    assert first.frames is not None and again.frames is not None and later.frames is not None
    assert np.array_equal(first.frames, again.frames)
    assert later.name == first.name and not np.array_equal(later.frames, first.frames)
    assert len({sheet.row(recipe, Wish(0, take=take)).name for take in range(8)}) == 4  # all there are


def test_folders_of_frames_and_flow(sheet: ContactSheet, tmp_path: Path) -> None:
    for label, name in enumerate(("ein Wurf", "投げる")):
        for number in range(3):
            write_frames(tmp_path / "rgb" / name / str(number), seed=label)
            write_flow(tmp_path / "flow" / name / str(number), pairs=8, seed=label)
    row = sheet.row(recipe_for(tmp_path / "rgb", dataset={"val_fraction": 0.3}), Wish(1))
    assert row.seen_as == ("投げる",) and row.seconds == () and row.num_frames == 6
    assert row.frames is not None and row.frames.shape == (3, 32, 32, 3)
    flow = recipe_for(
        tmp_path / "flow", model={"modality": "flow", "flow_length": 2}, dataset={"val_fraction": 0.3, "flip": 0.0}
    )
    row = sheet.row(flow, Wish(0))
    assert row.frames is not None and row.frames.shape == (3, 32, 64, 3)
    pairs = loaded(flow, row, "train", 1)  # [T, H, W, 2 * flow_length]
    assert np.array_equal(row.frames[:, :, :32, 0], pairs[..., 0])  # x of the first pair, grey
    assert np.array_equal(row.frames[:, :, 32:, 2], pairs[..., 1])  # y
    assert len(row.numbers) == 3


def test_mirrored_it_is_the_class_that_the_model_is_told(sheet: ContactSheet, tmp_path: Path) -> None:
    for name in ("turn left", "turn right"):
        make_video(tmp_path / "train" / name / "0.mp4", frames=6)
    assert sheet.row(recipe_for(tmp_path, dataset={"flip": 1.0}), Wish(0)).seen_as == ("turn right",)
    assert sheet.row(recipe_for(tmp_path, dataset={"flip": 0.0}), Wish(0)).seen_as == ("turn left",)


def test_parts_of_untrimmed_videos(sheet: ContactSheet, tmp_path: Path) -> None:
    for split, kind in (("val", "validation"), ("test", "test")):
        for number, name in enumerate(("Jump", "Run")):
            video = f"video_{kind}_{number:07}"
            make_video(tmp_path / "videos" / split / f"{video}.mp4", frames=25, seed=number)
            rows = tmp_path / f"annotations_{split}" / f"{name}_{split}.txt"
            rows.parent.mkdir(exist_ok=True)
            rows.write_text(f"{video}  0.2 0.6\n")
    found = inspect_folder(tmp_path)
    row = sheet.row(recipe_for(tmp_path, dataset=found.table), Wish(1))
    assert row.name.endswith("video_validation_0000001.mp4 [0.2–0.6 s]") and row.seen_as == ("Run",)
    assert row.num_frames == 10 and all(0.2 <= second < 0.6 for second in row.seconds)
    assert row.frames is not None and len(row.frames) == len(row.seconds) == 3


def test_clips_of_several_classes(sheet: ContactSheet, tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        write_frames(tmp_path / "frames" / name, seed=number)
    (tmp_path / "train.txt").write_text("a 6 0 2\nb 6 1\n")
    (tmp_path / "val.txt").write_text("c 6 2\n")
    table = {
        "format": "mmaction_rawframes", "root": str(tmp_path / "frames"), "annotations": str(tmp_path),
        "with_offset": False, "classes": ["jump", "run", "wave"],
    }  # fmt: skip
    recipe = recipe_for(tmp_path, dataset=table, head={"multi_label": True})
    rows = [sheet.row(recipe, Wish(label)) for label in range(3)]
    assert [row.seen_as for row in rows] == [("jump", "wave"), ("run",), ("jump", "wave")]
    assert [row.name[-1] for row in rows] == ["a", "b", "a"]


def test_what_cannot_be_shown_is_said_in_a_sentence(sheet: ContactSheet, tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "clips")
    for path in (root / "train/falls").iterdir():
        path.write_bytes(b"not a video at all")
    recipe = recipe_for(root)
    broken = sheet.row(recipe, Wish(0))
    assert broken.frames is None and broken.trouble and broken.name.endswith(".mp4")
    assert sheet.row(recipe, Wish(1)).trouble == ""
    wrong = sheet.row(recipe_for(root, head={"num_classes": 9}), Wish(0))
    assert "9" in wrong.refusal and wrong.name == "" and "\n" not in wrong.refusal
    for path in (root / "val/waits").iterdir():
        path.unlink()
    other = recipe_for(root, dataset={"flip": 0.25})  # the lists are read again
    assert sheet.row(other, Wish(2, "val")).trouble == "this class has no validation clip"


# --- the process ------------------------------------------------------------------------------------------------------

CRASHES_ON_CLASS_1 = """
import json, os, sys
for line in sys.stdin:
    wish = json.loads(line)
    if wish["label"] == 1: os.abort()
    if wish["label"] == 2: __import__("time").sleep(3600)
    print(json.dumps({"name": str(os.getpid()), "trouble": "none"}), flush=True)
"""
FAKE = (sys.executable, "-c", CRASHES_ON_CLASS_1)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_file_that_crashes_or_hangs_the_decoder_costs_its_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.dataset.contact_sheet.CLIP_SECONDS", 0.3)
    sheet, recipe = ContactSheet(FAKE), Recipe()
    first = sheet.row(recipe, Wish(0))
    assert sheet.row(recipe, Wish(0)).name == first.name  # one process for all of them
    assert sheet.row(recipe, Wish(1)).trouble == "it crashes the decoder (signal 6)"
    second = sheet.row(recipe, Wish(0))
    assert second.trouble == "none" and second.name != first.name
    assert sheet.row(recipe, Wish(2)).trouble == "it keeps the decoder busy for more than 0.3 seconds"
    assert not is_alive(int(second.name))
    sheet.close()


def test_closing_ends_the_process_and_the_question() -> None:
    sheet = ContactSheet(FAKE)
    pid = int(sheet.row(Recipe(), Wish(0)).name)
    rows: list[Row] = []
    asking = threading.Thread(target=lambda: rows.append(sheet.row(Recipe(), Wish(2))))
    asking.start()
    time.sleep(0.2)
    sheet.close()
    asking.join(10)
    assert not asking.is_alive() and not is_alive(pid)
    assert sheet.row(Recipe(), Wish(0)).trouble == rows[0].trouble == CLOSED


@pytest.mark.slow
def test_the_process_ends_with_whoever_asked(tmp_path: Path) -> None:
    process = subprocess.Popen(VIEWS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    recipe = recipe_for(make_dataset(tmp_path / "clips"))
    question = {"recipe": recipe.model_dump(mode="json"), "label": 0, "split": "train", "epoch": 1, "take": 0}
    out, _ = process.communicate(json.dumps(question).encode() + b"\n", timeout=120)  # and closes stdin
    head, _, pixels = out.partition(b"\n")
    assert process.returncode == 0
    assert json.loads(head)["shape"] == [3, 32, 32, 3] and len(pixels) == 3 * 32 * 32 * 3
