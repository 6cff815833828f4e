"""Long lists: how fast each format is read, and what a million clips cost the trainer and each loader worker, packed as
they are, against a plain list of Clips in the same run. Memory is read from /proc: Linux only.

    python benchmarks/clip_lists.py [CLIPS]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

CLASSES = [f"Class{number:03}" for number in range(100)]
SEGMENTS_A_VIDEO = 20  # of untrimmed videos
WORKERS = (1, 4)
FORMATS = (
    "folders", "csv", "mmaction_video", "ucf101", "kinetics400", "moments_in_time", "something_v2", "thumos14",
    "activitynet", "mmaction_rawframes", "something_v1",
)  # fmt: skip
# Where the clips of a format lie, if not in videos/.
ROOTS = dict.fromkeys(("thumos14", "activitynet"), "untrimmed")
ROOTS |= dict.fromkeys(("mmaction_rawframes", "something_v1"), "frames")

# --- a dataset of empty files, and the lists of each format -----------------------------------------------------------


def make_files(folder: Path, clips: int) -> dict[str, list[str]]:
    """Split → paths such as Class017/00000000017_000010_000020.mp4, below folder/videos."""
    paths = [f"{CLASSES[n % len(CLASSES)]}/{n:011}_000010_000020.mp4" for n in range(clips)]
    _create(folder / "videos", paths)
    return {"train": paths[clips // 20 :], "val": paths[: clips // 20]}


def make_untrimmed(folder: Path, clips: int) -> dict[str, list[str]]:
    """Split → video ids, below folder/untrimmed."""
    videos = clips // SEGMENTS_A_VIDEO
    ids = {
        "train": [f"video_validation_{n:07}" for n in range(videos // 20, videos)],
        "val": [f"video_test_{n:07}" for n in range(videos // 20)],
    }
    _create(folder / "untrimmed", [f"{id}.mp4" for of_split in ids.values() for id in of_split])
    return ids


def make_frames(folder: Path, clips: int) -> dict[str, list[str]]:
    """Split → names of folders of two images each, below folder/frames; a tenth of the clips, for there are many."""
    names = [f"{n}" for n in range(clips // 10)]
    _create(folder / "frames", [f"{name}/{image:05}.jpg" for name in names for image in (1, 2)])
    return {"train": names[clips // 200 :], "val": names[: clips // 200]}


def _create(folder: Path, paths: list[str]) -> None:
    for name in {os.path.dirname(path) for path in paths}:
        (folder / name).mkdir(parents=True)
    for path in paths:
        os.close(os.open(folder / path, os.O_CREAT | os.O_WRONLY))


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_lists(
    folder: Path, trimmed: dict[str, list[str]], untrimmed: dict[str, list[str]], frames: dict[str, list[str]]
) -> None:
    """Every format's lists, each in a folder of the format's name."""
    write(folder / "moments_in_time/moments_categories.txt", [f"{name},{n}" for n, name in enumerate(CLASSES)])
    write(folder / "something_v2/labels.json", [json.dumps({name: str(n) for n, name in enumerate(CLASSES)})])
    write(folder / "ucf101/classInd.txt", [f"{n} {name}" for n, name in enumerate(CLASSES, start=1)])
    (folder / "folders").mkdir()
    for split, paths in trimmed.items():
        named = [(path, path[:8], int(path[5:8])) for path in paths]
        write(folder / f"csv/{split}.csv", [f"{path},{name}" for path, name, _ in named])
        write(folder / f"mmaction_video/{split}.txt", [f"{path} {label}" for path, _, label in named])
        write(folder / f"moments_in_time/{split}.csv", [f"{path},{name},3,0" for path, name, _ in named])
        write(
            folder / f"kinetics400/{split}.csv",
            [
                "label,youtube_id,time_start,time_end,split",
                *(f"{name},{p[9:20]},10,20,{split}" for p, name, _ in named),
            ],
        )
        entries = [{"id": path[9:-4], "label": "it", "template": f"[{name}]"} for path, name, _ in named]
        write(folder / f"something_v2/{split}.json", [json.dumps(entries)])
        list_name = "trainlist01.txt" if split == "train" else "testlist01.txt"
        write(folder / "ucf101" / list_name, [f"{path} {label + 1}" for path, _, label in named])
    write(folder / "something_v1/something-something-v1-labels.csv", CLASSES)
    for split, names in frames.items():
        labels = [number % len(CLASSES) for number in range(len(names))]
        rows = [f"{name} 2 {label}" for name, label in zip(names, labels, strict=True)]
        write(folder / f"mmaction_rawframes/{split}.txt", rows)
        rows = [f"{name};{CLASSES[label]}" for name, label in zip(names, labels, strict=True)]
        long_name = "train" if split == "train" else "validation"
        write(folder / f"something_v1/something-something-v1-{long_name}.csv", rows)
    database: dict[str, Any] = {}
    for split, ids in untrimmed.items():
        starts = range(0, 10 * SEGMENTS_A_VIDEO, 10)
        for number, name in enumerate(CLASSES):
            rows = [f"{id}  {start + 1}.5 {start + 4}.5" for id in ids[number :: len(CLASSES)] for start in starts]
            write(folder / f"thumos14/{name}_{'val' if split == 'train' else 'test'}.txt", rows)
        for number, id in enumerate(ids):
            label = CLASSES[number % len(CLASSES)]
            segments = [{"label": label, "segment": [start + 1.5, start + 4.5]} for start in starts]
            subset = "training" if split == "train" else "validation"
            database[id] = {"duration": 1e3, "subset": subset, "annotations": segments}
    write(folder / "activitynet/activity_net.v1-3.min.json", [json.dumps({"database": database})])


# --- what is measured, each time in a process of its own --------------------------------------------------------------


def reading(folder: Path, format: str) -> dict[str, float]:
    """Seconds, clips, and how many bytes the process grew: at most while reading, and when it was done."""
    from engine.dataset.formats import read_clips
    from engine.recipe import Dataset

    root = folder / ROOTS.get(format, "videos")
    dataset = Dataset(format=format, root=str(root), annotations=str(folder / format))  # type: ignore[arg-type]
    before = memory("VmRSS")
    began = time.perf_counter()
    lists = read_clips(dataset)
    seconds = time.perf_counter() - began
    peak, kept = memory("VmHWM") - before, memory("VmRSS") - before
    return {"seconds": seconds, "clips": len(lists.train) + len(lists.val), "peak": peak, "kept": kept}


def holding(folder: Path, kind: str, workers: int) -> dict[str, float]:
    """Bytes that the clips add to the trainer, and bytes private to each worker after two epochs without decoding."""
    import torch

    from engine.dataset.clips import Clip, ClipTable
    from engine.dataset.loader import Batches, ClipDataset, View, build_loader
    from engine.recipe import Recipe

    class Undecoded(ClipDataset):
        def view(self, clip: Clip, epoch: int, number: int) -> View:
            return View(torch.full((1,), len(clip.path), dtype=torch.uint8))  # a path is looked at, as to open it

    class OneOverAndOver(list[Clip]):
        def __getitem__(self, place: Any) -> Any:
            return super().__getitem__(0)

        def __len__(self) -> int:
            return clips

    def listed() -> Iterator[Clip]:
        with open(folder / "csv/train.csv") as file:
            for line in file:
                path, label = line.rstrip().split(",")
                yield Clip(f"{folder}/videos/{path}", int(label[5:]), path[9:20])

    clips = sum(1 for _ in listed())
    dataset = Undecoded([], Recipe())
    before = private_bytes(os.getpid())
    made: Any = {"table": ClipTable, "list": list, "none": lambda found: OneOverAndOver(islice(found, 1))}
    dataset.clips = made[kind](listed())
    trainer = private_bytes(os.getpid()) - before
    batches = Batches(len(dataset), 512, shuffle_seed=0)
    loader = build_loader(dataset, batches, workers, pin_memory=False)
    for batches.epoch in (1, 2):
        for _ in loader:
            pass
    private = [private_bytes(process.pid or 0) for process in multiprocessing.active_children()]
    assert len(private) == workers
    return {"trainer": trainer, "worker": sum(private) / workers, "clips": len(dataset)}


def memory(what: str) -> int:
    """Bytes of this process: VmRSS, or VmHWM, the most it ever was."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) << 10


def private_bytes(pid: int) -> int:
    """What no other process has a share in (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def apart(what: str, *arguments: object) -> dict[str, float]:
    # torch warns where there are fewer cores than workers
    command = [sys.executable, "-W", "ignore", __file__, what, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lists(folder, make_files(folder, clips), make_untrimmed(folder, clips), make_frames(folder, clips))
        for format in FORMATS:
            read = apart("reading", folder, format)
            peak, kept = (read[when] / read["clips"] for when in ("peak", "kept"))  # bytes a clip, MB a million
            print(
                f"{format:18} {read['clips'] / read['seconds']:9,.0f} clips/s; a million add {kept:4.0f} MB to the "
                f"process, {peak:4.0f} MB while they are read"
            )
        for workers in WORKERS:
            none, table, plain = (apart("holding", folder, kind, workers) for kind in ("none", "table", "list"))
            for who in ("trainer", "worker"):
                ours, theirs = (max(0.0, of[who] - none[who]) / of["clips"] for of in (table, plain))
                print(
                    f"{workers} worker{'s' if workers > 1 else ''}: a million clips are {ours:6.1f} MB private to "
                    f"{'the trainer' if who == 'trainer' else 'each worker'}, {theirs:6.1f} MB as a plain list: "
                    f"{ours / theirs:.3f}"
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["reading"]:
        print(json.dumps(reading(Path(sys.argv[2]), sys.argv[3])))
    elif sys.argv[1:2] == ["holding"]:
        print(json.dumps(holding(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
    else:
        main()
