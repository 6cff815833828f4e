"""The commands as a user types them: real processes, what they print where, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from engine.events import LogReader, RunStarted, Step
from engine.run_folder import RunFolder
from tests.clips import CLASSES, make_dataset, write_recipe
from wizard.cli import app
from wizard.sections import SECTIONS

FTWIZ = [sys.executable, "-m", "wizard.cli"]


def ftwiz(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*FTWIZ, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def one_class(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos of `waits` alone."""
    folder = tmp_path_factory.mktemp("one")
    shutil.copytree(videos / "train" / "waits", folder / "waits")
    return folder


def recipe_in(folder: Path, text: str) -> None:
    (folder / "r.toml").write_text(text, encoding="utf-8")


WRONG = {
    "missing recipe": (["run", "nothing.toml"], None, 2, "nothing.toml"),
    "preset with a typo": (["run", "tsn-r50-ucf100"], None, 2, "tsn-r50-ucf101"),
    "no recipe at all": (["run"], None, 2, "ftwiz new"),
    "bad TOML": (["run", "r.toml"], "[head]\nnum_classes = = 3\n", 2, "r.toml:2"),
    "unknown key": (["run", "r.toml"], "[schedule]\nepohcs = 3\n", 2,
                    "r.toml:2: [schedule] epohcs is not a known key; did you mean epochs?"),
    "wrong type": (["run", "r.toml"], '[schedule]\nlr = "fast"\n', 2, "r.toml:2: [schedule] lr must be a number"),
    "bad --set": (["run", "r.toml", "--set", "schedule.epochs=0"], "", 2,
                  "--set: [schedule] epochs must be at least 1, not 0"),
    "no dataset": (["run", "r.toml"], "", 3, "root"),
    "missing dataset folder": (["run", "r.toml"], '[dataset]\nroot = "nowhere"\n', 3, "nowhere"),
    "empty dataset folder": (["run", "r.toml"], '[dataset]\nroot = "empty"\n', 3, "empty"),
    "one class only": (["run", "r.toml", "--dry-run"], '[dataset]\nroot = "ONE_CLASS"\n', 3, "only one class, waits"),
    "new with one class only": (["new", "ONE_CLASS", "--yes"], None, 3, "only one class, waits"),
    "dashboard and events": (["run", "r.toml", "--watch", "--json"], "", 2, "choose one"),
    "missing weights file": (["run", "r.toml"], '[dataset]\nroot = "VIDEOS"\n[weights]\nload_from = "gone.pth"\n', 4,
                             "gone.pth"),
    "no terminal for new": (["new"], None, 2, "--yes"),
    "no terminal for watch": (["watch", "."], "", 2, "terminal"),
    "no run to watch": (["watch"], None, 2, "no run"),
    "unknown command": (["trian"], None, 2, "trian"),
    "resume without a run": (["run", "r.toml", "--resume"], '[dataset]\nroot = "VIDEOS"\n', 2, "no run of r.toml"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_sentence_and_an_exit_code(case: str, tmp_path: Path, videos: Path, one_class: Path) -> None:
    arguments, recipe, code, words = WRONG[case]

    def filled(text: str) -> str:
        return text.replace("VIDEOS", str(videos)).replace("ONE_CLASS", str(one_class))

    (tmp_path / "empty").mkdir()
    if recipe is not None:
        recipe_in(tmp_path, filled(recipe))
        (tmp_path / "recipe.toml").write_text("")  # makes "." look like a run folder
    done = ftwiz(*map(filled, arguments), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "runs").exists(), "nothing is made for a run that cannot start"


def test_a_label_outside_the_classes_is_told_with_its_line(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "train.txt").write_text("falls/0.mp4 0\nrises/0.mp4 1\nwaits/0.mp4 7\n")
    (tmp_path / "val.txt").write_text("falls/1.mp4 0\n")
    recipe_in(
        tmp_path,
        f'[head]\nnum_classes = 3\n[dataset]\nformat = "mmaction_video"\nroot = "{videos / "train"}"\n'
        'train_list = "train.txt"\nval_list = "val.txt"\n',
    )
    done = ftwiz("run", "r.toml", cwd=tmp_path)
    assert done.returncode == 3
    assert "train.txt:3" in done.stderr and "7" in done.stderr


def test_all_mistakes_of_a_recipe_at_once(tmp_path: Path) -> None:
    recipe_in(tmp_path, '[schedule]\nepohcs = 3\nlr = -1\n[run]\ndevice = "tpu"\n')
    done = ftwiz("show", "r.toml", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 3


def test_help_lists_every_command_once_under_a_heading(tmp_path: Path) -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert sorted(listed) == sorted(commands)
    told = ftwiz("--help", cwd=tmp_path).stdout
    assert all(f"\n{heading}:\n" in told for heading in SECTIONS) and "..." not in told.partition("Begin:")[2]


def test_show_prints_a_recipe_that_loads_again(tmp_path: Path) -> None:
    first = ftwiz("show", "tsn-r50-ucf101", "--set", "schedule.lr=0.5", cwd=tmp_path).stdout
    recipe_in(tmp_path, first)
    assert ftwiz("show", "r.toml", cwd=tmp_path).stdout == first
    assert json.loads(ftwiz("show", "r.toml", "--json", cwd=tmp_path).stdout)["schedule"]["lr"] == 0.5


def test_show_origin_names_preset_file_line_and_command_line(tmp_path: Path) -> None:
    recipe_in(tmp_path, 'extends = "tsn-r50-kinetics400"\n[head]\nnum_classes = 7\n')
    text = ftwiz("show", "r.toml", "--origin", "--set", "schedule.epochs=3", cwd=tmp_path).stdout
    origins = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in text.splitlines() if " = " in line}
    assert origins["num_classes"] == "r.toml:3" and origins["epochs"] == "--set"
    assert (
        origins["dropout"].startswith("preset tsn-r50-kinetics400:")
        and origins["shift_div"].startswith("preset") is False
    )


@pytest.mark.slow
def test_lists_are_tables_or_json(tmp_path: Path) -> None:
    assert "tsm-r50-kinetics400" in ftwiz("presets", cwd=tmp_path).stdout
    names = [row["name"] for row in json.loads(ftwiz("presets", "--json", cwd=tmp_path).stdout)]
    assert names == sorted(names) and "tsn-r50-ucf101" in names
    assert json.loads(ftwiz("runs", "--json", cwd=tmp_path).stdout) == []
    assert "extends" in json.loads(ftwiz("schema", cwd=tmp_path).stdout)["properties"]


def test_a_dry_run_tells_the_plan_and_changes_nothing(tmp_path: Path, videos: Path) -> None:
    write_recipe(tmp_path / "r.toml", videos, schedule="lr = 0.005\nlr_batch_size = 256")
    before = sorted(tmp_path.rglob("*"))
    done = ftwiz("run", "r.toml", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and "12 training and 6 validation clips" in done.stdout
    assert "lr 0.005 × 4/256 = 7.813e-05" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_split_is_written_once_and_trains(tmp_path: Path, videos: Path) -> None:
    folder = videos / "train"
    done = ftwiz("split", str(folder), "-o", "split.csv", "--set", "dataset.val_fraction=0.25", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "split.csv\n")
    assert "Wrote split.csv: 9 training clips and 3 validation clips." in done.stderr
    table = tomllib.loads(done.stderr[done.stderr.rindex("[dataset]") :])
    assert table == {"dataset": {"format": "csv", "root": str(folder), "train_list": "split.csv"}}
    recipe_in(tmp_path, done.stderr[done.stderr.rindex("[dataset]") :])
    plan = ftwiz("run", "r.toml", "--dry-run", cwd=tmp_path)
    assert "9 training and 3 validation clips" in plan.stdout
    before = (tmp_path / "split.csv").read_bytes()
    again = ftwiz("split", str(folder), "-o", "split.csv", cwd=tmp_path)
    assert again.returncode == 2 and "split.csv is there already" in again.stderr
    assert (tmp_path / "split.csv").read_bytes() == before


def test_run_prints_plain_lines_and_makes_a_named_folder(tmp_path: Path, videos: Path) -> None:
    write_recipe(tmp_path / "colours.toml", videos)
    done = ftwiz("run", "colours.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "\x1b" not in done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("colours-")
    assert "epoch 2/2" in done.stderr and "best top-1" in done.stderr

    (row,) = json.loads(ftwiz("runs", "--json", cwd=tmp_path).stdout)
    assert (row["status"], row["epoch"], row["epochs"]) == ("finished", 2, 2)
    tested = ftwiz("test", "--json", cwd=tmp_path)
    assert tested.returncode == 0 and json.loads(tested.stdout)["clips"] == 6
    again = ftwiz("run", "colours.toml", "--resume", cwd=tmp_path)
    assert again.returncode == 2 and "finished" in again.stderr
    into_the_same = ftwiz("run", "colours.toml", "--run-dir", str(folder), cwd=tmp_path)
    assert into_the_same.returncode == 2 and "already holds a run" in into_the_same.stderr


@pytest.mark.slow
def test_json_is_the_event_stream_and_nothing_else(tmp_path: Path, videos: Path) -> None:
    write_recipe(tmp_path / "r.toml", videos)
    done = ftwiz("run", "r.toml", "--json", "--run-dir", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "out" / "events.jsonl").read_text()
    names = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert names[0] == "run_started" and names[-1] == "run_finished"
    assert json.loads(done.stdout.splitlines()[0])["classes"] == list(CLASSES)


@pytest.mark.slow
def test_interrupt_saves_exits_75_and_resume_finishes(tmp_path: Path, videos: Path) -> None:
    write_recipe(tmp_path / "r.toml", videos, schedule="epochs = 30")
    command = [*FTWIZ, "run", "r.toml", "--run-dir", "out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    run = RunFolder(tmp_path / "out")
    until = time.monotonic() + 120
    while not any(isinstance(event, Step) for event in LogReader(run.events).read()):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 75, printed
    assert "ftwiz run --resume --run-dir out" in printed and "Traceback" not in printed
    assert not run.is_alive()

    changed = ftwiz("run", "--resume", "--run-dir", "out", "--set", "schedule.epochs=2", cwd=tmp_path)
    assert changed.returncode == 2 and "only keys of [run]" in changed.stderr
    done = ftwiz("run", "--resume", "--run-dir", "out", "--set", "run.log_interval=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([event for event in LogReader(run.events).read() if isinstance(event, RunStarted)]) == 2
    assert run.state().validations[-1].epoch == 30
