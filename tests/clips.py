"""A small labelled dataset of real videos and a recipe that trains on it in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.videos import write_video

CLASSES = ("falls", "rises", "waits")
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))
CLIPS_A_CLASS = {"train": 4, "val": 2}


def make_dataset(root: Path) -> Path:
    """root/{train,val}/CLASS/N.mp4: 12 training and 6 validation clips of 12 frames, each class of its own colour."""
    for split, clips in CLIPS_A_CLASS.items():
        for label, name in enumerate(CLASSES):
            for number in range(clips):
                random = np.random.default_rng([label, number, split == "val"])
                noise = random.normal(0, 30, (12, 48, 64, 3))
                images = (np.array(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8)
                write_video(root / split / name / f"{number}.mp4", images)
    return root


def write_recipe(path: Path, root: Path, **tables: str) -> Path:
    """A recipe for `make_dataset`'s videos. Further lines of a table: write_recipe(..., schedule="epochs = 5")."""
    lines = {
        "model": 'backbone = "shufflenet_v2_x0_5"\nsegments = 2',
        "dataset": f'root = "{root}"\nshort_side = 40\nframe_size = 32',
        "schedule": "epochs = 2\nbatch_size = 4\nlr = 0.01\nlr_batch_size = 0",
        "run": "workers = 0\nlog_interval = 1",
    }
    text = ""
    for table in dict.fromkeys([*lines, *tables]):
        own = {line.split("=")[0].strip(): line for line in tables.get(table, "").splitlines()}
        given = {line.split("=")[0].strip(): line for line in lines.get(table, "").splitlines()}
        text += f"[{table}]\n" + "\n".join({**given, **own}.values()) + "\n\n"
    path.write_text(text, encoding="utf-8")
    return path
