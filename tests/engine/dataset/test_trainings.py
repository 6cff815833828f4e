"""UCF101, lists of videos of MMAction2 and plain class folders, as they come: from the folder to a trained model.

The other formats have such a training beside their own tests.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engine.dataset.inspect import inspect_folder
from tests.layouts import train_as, write_clip

pytestmark = pytest.mark.slow


def write_xvid(path: Path, seed: int) -> None:
    """As UCF101 is: MPEG-4 part 2 in AVI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 255, (10, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.codec_tag = "XVID"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def test_ucf101_trains(tmp_path: Path) -> None:
    videos, lists = tmp_path / "ucf" / "UCF-101", tmp_path / "ucf" / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\r\n2 HandstandPushups\r\n")
    stems = ("Archery/v_Archery", "HandstandPushups/v_HandStandPushups")  # the one name with two spellings
    train = [f"{stem}_g{group:02}_c01.avi" for stem in stems for group in (8, 9)]
    test = [f"{stem}_g01_c01.avi" for stem in stems]
    for seed, name in enumerate([*train, *test]):
        write_xvid(videos / name, seed)
    (lists / "trainlist01.txt").write_text("".join(f"{name} {1 + ('Hand' in name)}\r\n" for name in train))
    (lists / "testlist01.txt").write_text("".join(f"{name}\r\n" for name in test))
    found = inspect_folder(tmp_path / "ucf")
    assert found.format == "ucf101"
    state = train_as(found.table, tmp_path)
    assert state.started is not None and state.started.classes == ["Archery", "HandstandPushups"]
    assert (state.started.train_clips, state.started.val_clips, state.skipped) == (4, 2, [])


def test_mmaction_video_trains(tmp_path: Path) -> None:
    root = tmp_path / "kinetics"
    rows = {"train": ["a b/0.mp4 0", "a b/1.mp4 0", "c/2.mp4 1"], "val": ["a b/3.mp4 0", "c/4.mp4 1"]}
    for split, lines in rows.items():
        for line in lines:
            write_clip(root / f"videos_{split}" / line[:-2], int(line[-7]))
        (root / f"kinetics400_{split}_list_videos.txt").write_text("\n".join(lines))
    found = inspect_folder(root)
    assert found.format == "mmaction_video"
    state = train_as(found.table, tmp_path)
    assert state.started is not None and len(state.started.classes) == 2
    assert (state.started.train_clips, state.started.val_clips, state.skipped) == (3, 2, [])


def test_folders_train(tmp_path: Path) -> None:
    root = tmp_path / "my clips"
    for seed in range(10):
        write_clip(root / ("fällt", "steht auf")[seed % 2] / f"clip {seed}.mp4", seed)
    found = inspect_folder(root)
    assert found.format == "folders"
    state = train_as(found.table, tmp_path)
    assert state.started is not None and state.started.classes == ["fällt", "steht auf"]
    assert (state.started.train_clips, state.started.val_clips, state.skipped) == (8, 2, [])
