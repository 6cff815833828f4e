"""`ftwiz demo` as a whole: small, and once as large as it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.run_folder import find_runs
from tests.wizard.test_cli import ftwiz

SMALL = "Scale(pretraining_clips=2, motion_clips=2, val_clips=1, pretraining_epochs=1, epochs=1)"
LONG = SMALL.replace("epochs=1", "epochs=1000")


def command(folder: Path, as_json: bool = True, scale: str = SMALL) -> list[str]:
    code = (
        "import signal, sys; from pathlib import Path; from wizard.demo import Scale, run_demo; "
        # Whoever runs these tests in the background may have set it to be ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.exit(run_demo(Path({str(folder)!r}), as_json={as_json}, plain=True, scale={scale}))"
    )
    return [sys.executable, "-c", code]


@pytest.mark.slow
def test_a_small_demo_tells_its_story_twice(tmp_path: Path) -> None:
    first = subprocess.run(command(tmp_path / "d"), capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert {"fine_tuned", "from_scratch", "chance", "seed"} <= result.keys()
    assert result["chance"] == pytest.approx(1 / 6)
    assert "chance 16.7 %" in first.stderr and "\x1b" not in first.stderr
    assert "re-initialised 2 of" in first.stderr, "the head is replaced, and that is said"
    assert sorted(run.path.name.rsplit("-", 2)[0] for run in find_runs(tmp_path / "d" / "runs")) == [
        "fine-tune", "from-scratch", "pretrain",
    ]  # fmt: skip

    videos = {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*.mp4")}
    again = subprocess.run(command(tmp_path / "d", as_json=False), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "Pretraining bought" in again.stdout or "pretraining bought" in again.stdout
    assert videos == {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*.mp4")}
    for key in ("fine_tuned", "from_scratch"):
        assert f"{result[key] * 100:.1f} %" in again.stdout, "the same seed, the same numbers"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_text("mine")
    done = ftwiz("demo", ".", "--json", cwd=tmp_path)
    assert done.returncode == 2 and "not empty" in done.stderr and done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


@pytest.mark.slow
def test_an_interrupted_demo_leaves_no_training_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        command(tmp_path / "d", scale=LONG), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not (runs := find_runs(tmp_path / "d" / "runs")) or not runs[0].is_alive():
        assert time.monotonic() < until and demo.poll() is None
        time.sleep(0.001)  # at the very start is when a training could be left behind
    os.kill(demo.pid, signal.SIGINT)
    _, printed = demo.communicate(timeout=60)
    assert demo.returncode in (75, 130), printed
    assert "starts it again" in printed and "Traceback" not in printed
    assert not runs[0].is_alive()


@pytest.mark.slow
def test_the_demo_shows_what_pretraining_buys(tmp_path: Path) -> None:
    done = ftwiz("demo", "d", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["fine_tuned"] > 0.6 and result["fine_tuned"] > result["from_scratch"] + 0.3
