"""`ftwiz check` as a user types it: what it prints where, what it writes, how it ends, what training makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.dataset.quarantine import read_quarantine
from tests.clips import make_dataset, write_recipe
from tests.engines import engines
from tests.traps import BROKEN, seed_traps
from wizard.run import prepare


def ftwiz(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "wizard.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "XDG_CACHE_HOME": str(cwd / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    seed_traps(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset with one empty video among its 12 and 6."""
    root = make_dataset(tmp_path / "data")
    (root / "train/falls/0.mp4").write_bytes(b"")
    return root


@pytest.mark.slow
def test_json_is_one_document_and_nothing_else(traps: Path, tmp_path: Path) -> None:
    done = ftwiz("check", str(traps), "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "")
    report = json.loads(done.stdout)
    assert report["ok"] is False
    train = report["splits"]["train"]
    assert {key: train[key] for key in ("listed", "found", "missing", "unusable", "classes")} == {
        "listed": 41, "found": 40, "missing": 1, "unusable": 6, "classes": 3,
    }  # fmt: skip
    for problem in report["problems"]:
        assert set(problem) == {"code", "severity", "message", "files"}
        assert problem["severity"] in ("error", "warning") and problem["message"].endswith((".", "]"))
    quarantine = traps / "videos/quarantine.txt"
    assert report["quarantine"] == {"path": str(quarantine), "clips": 6}
    assert set(read_quarantine(quarantine)) == set(BROKEN)


@pytest.mark.slow
def test_a_report_in_a_pipe_is_plain_text_with_a_line_for_each_broken_file(traps: Path, tmp_path: Path) -> None:
    done = ftwiz("check", str(traps), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "") and "\x1b" not in done.stdout
    for name, (_, reason) in BROKEN.items():
        (line,) = [line for line in done.stdout.splitlines() if name in line]
        assert reason in line
    assert "7 errors, 7 warnings: training on this would be wrong." in done.stdout
    assert "48 files decoded, 0 unchanged since the last check." in done.stdout
    again = ftwiz("check", str(traps), cwd=tmp_path)
    assert "0 files decoded, 48 unchanged since the last check." in again.stdout
    assert again.stdout.replace("0 files decoded, 48", "48 files decoded, 0") == done.stdout


@pytest.mark.slow
def test_a_clean_dataset_ends_with_0_and_leaves_no_quarantine(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data")
    done = ftwiz("check", "data", cwd=tmp_path)
    assert done.returncode == 0 and "Nothing found that would hurt." in done.stdout
    assert not list(tmp_path.rglob("quarantine.txt"))


@pytest.mark.slow
def test_what_a_check_finds_is_left_out_by_the_next_run(data: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path / "recipe.toml", data, dataset="max_bad_fraction = 0.5", schedule="epochs = 1")
    done = ftwiz("check", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 0 and "1 warning, nothing that keeps you from training." in done.stdout
    assert read_quarantine(tmp_path / "quarantine.txt") == {"data/train/falls/0.mp4": "the file is empty"}
    plan = ftwiz("run", "recipe.toml", "--dry-run", cwd=tmp_path)
    assert "dataset   11 training and 6 validation clips" in plan.stdout
    assert "1 clip left out (1 of training, 0 of validation), as quarantine.txt says." in plan.stdout


@pytest.mark.slow
def test_a_mended_video_comes_back_and_lines_of_ones_own_stay(data: Path, tmp_path: Path) -> None:
    ftwiz("check", "data", cwd=tmp_path)
    quarantine = data / "quarantine.txt"
    with quarantine.open("a", encoding="utf-8") as file:
        file.write("train/rises/1.mp4\tthe camera shakes\n")
    (data / "train/falls/0.mp4").write_bytes((data / "train/falls/1.mp4").read_bytes())
    (data / "train/falls/1.mp4").unlink()
    ftwiz("check", "data", cwd=tmp_path)
    assert read_quarantine(quarantine) == {"train/rises/1.mp4": "the camera shakes"}


@pytest.mark.slow
def test_where_the_data_cannot_be_written_the_working_folder_is_told(data: Path, tmp_path: Path) -> None:
    (data / "quarantine.txt").mkdir()  # permissions keep no superuser out
    done = ftwiz("check", "data", cwd=tmp_path)
    assert "quarantine.txt names 1 file that training leaves out." in done.stdout
    assert 'name it there: quarantine = "quarantine.txt" under [dataset].' in done.stdout
    assert read_quarantine(tmp_path / "quarantine.txt") == {"data/train/falls/0.mp4": "the file is empty"}


def test_a_check_of_a_runs_recipe_changes_nothing_in_the_run(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "events.jsonl").touch()
    (run / "left-out.txt").touch()
    write_recipe(run / "recipe.toml", data, dataset='quarantine = "left-out.txt"\nmax_bad_fraction = 0.5')
    done = ftwiz("check", "run/recipe.toml", cwd=tmp_path)
    assert done.returncode == 0 and read_quarantine(data / "quarantine.txt") == {
        "train/falls/0.mp4": "the file is empty",
    }
    assert sorted(path.name for path in run.iterdir()) == ["events.jsonl", "left-out.txt", "recipe.toml"]
    assert (run / "left-out.txt").read_bytes() == b""


@pytest.mark.parametrize(("source", "code"), [("nothing.toml", 2), ("empty", 3)])
def test_nothing_to_check_is_a_sentence(source: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = ftwiz("check", source, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "") and done.stderr.count("\n") == 1


def test_a_recipe_whose_dataset_is_not_there_is_a_report_too(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[dataset]\nroot = "nowhere"\n', encoding="utf-8")
    done = ftwiz("check", "r.toml", "--json", cwd=tmp_path)
    assert done.returncode == 3
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["code"] == "dataset" and "nowhere does not exist" in problem["message"]


@pytest.mark.slow
def test_fight_surv_is_checked_split_by_source_and_trained(shared: Path, tmp_path: Path) -> None:
    root = shared / "data/fight_surv"
    checked = json.loads(ftwiz("check", str(root), "--json", cwd=tmp_path).stdout)
    assert checked["ok"] and checked["problems"] == [] and checked["quarantine"] == {"path": None, "clips": 0}
    assert checked["videos"]["files"] == 300
    assert [checked["splits"][name]["found"] for name in ("train", "val")] == [240, 60]
    assert ftwiz("split", str(root), "-o", "split.csv", cwd=tmp_path).returncode == 0
    write_recipe(
        tmp_path / "recipe.toml", root, dataset='format = "csv"\ntrain_list = "split.csv"', schedule="epochs = 1"
    )
    assert json.loads(ftwiz("check", "recipe.toml", "--json", cwd=tmp_path).stdout)["problems"] == []
    run = prepare(str(tmp_path / "recipe.toml"), tmp_path / "run", {})
    assert engines().start(run).wait() == 0, run.log.read_text(encoding="utf-8")
    started = run.state().started
    assert started is not None and (started.train_clips, started.val_clips) == (240, 60)


@pytest.mark.slow
def test_lists_that_lie_apart_from_the_videos(tmp_path: Path) -> None:
    """Whichever of the two folders is named, --set names the other."""
    root = make_dataset(tmp_path / "data")
    lists = tmp_path / "lists"
    lists.mkdir()
    for split in ("train", "val"):
        videos = [path.relative_to(root) for path in sorted((root / split).rglob("*.mp4"))]
        rows = [f"{path} {int(path.parts[1] > 'm')}\n" for path in videos]
        (lists / f"{split}.txt").write_text("".join(rows))
    from_lists = ftwiz("check", str(lists), "--set", f"dataset.root={root}", cwd=tmp_path)
    from_videos = ftwiz("check", str(root), "--set", f"dataset.annotations={lists}", cwd=tmp_path)
    assert "(mmaction_video)" in from_lists.stdout and from_lists.stderr == ""
    assert "(mmaction_video)" in from_videos.stdout
