"""What the doctor finds is tried; what crashes there ends neither the doctor nor the steps after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.dataset.decode import PyAVReader
from engine.doctor import _difference, _make_video
from engine.finding import ABSENT, BAD, NOTE, OK, Finding
from tests.videos import make_video
from wizard.doctor import _disk, as_document, exit_code, print_findings


def doctor(*arguments: str, cwd: Path, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """first: a folder whose packages are found before all others."""
    return subprocess.run(
        [sys.executable, "-m", "wizard.cli", "doctor", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*([str(first)] if first else []), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_this_machine_can_train(tmp_path: Path) -> None:
    done = doctor("--json", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = json.loads(done.stdout)
    found = {finding["name"]: finding for finding in said["findings"]}
    assert said["works"] and {"torch", "device", "PyAV", "decord", "workers", "runs", "cache", "terminal"} <= set(found)
    assert found["PyAV"]["text"].endswith("decodes a video made here") and found["torch"]["state"] == OK
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_crashes_is_a_finding(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = doctor(cwd=tmp_path, first=tmp_path / "broken")
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith(("✓ ", "! ", "✗ ", "– "))}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [lines[name][0] for name in ("torch", "device", "PyAV", "workers", "runs")] == ["✗", "✗", "✓", "✗", "✓"]
    assert "SIGSEGV" in lines["torch"]
    assert done.stdout.endswith("Trainings do not work here yet: see torch, device, workers.\n")


def test_a_reader_that_reads_something_else_is_told(tmp_path: Path) -> None:
    made = _make_video(str(tmp_path / "made.mp4"))
    assert _difference(PyAVReader(str(tmp_path / "made.mp4")), made) == ""
    other = make_video(tmp_path / "other.mp4", frames=len(made), size=(64, 64))
    assert _difference(PyAVReader(str(other)), made).startswith("reads other pictures")
    longer = make_video(tmp_path / "longer.mp4", frames=len(made) + 1, size=(64, 64))
    assert _difference(PyAVReader(str(longer)), made) == "counts 9 frames in a video of 8"


def test_the_exit_code_says_what_is_missing() -> None:
    fine = [Finding("torch", OK, ""), Finding("device", NOTE, "no GPU"), Finding("peft", ABSENT, "")]
    assert exit_code(fine) == 0 and as_document(fine)["works"]
    device, reader = Finding("device", BAD, "does not compute"), Finding("PyAV", BAD, "")
    assert exit_code([*fine[:1], device]) == 5
    assert exit_code([device, reader]) == 1 and not as_document([reader])["works"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _disk("runs", tmp_path / "file" / "runs").state == BAD
    assert _disk("runs", tmp_path / "not" / "yet" / "there").state in (OK, NOTE)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_marks_need_no_unicode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdout.reconfigure(encoding="ascii")  # type: ignore[union-attr]
    print_findings([Finding("torch", OK, "2.0"), Finding("device", BAD, "gone", "look for it")])
    assert capsys.readouterr().out.splitlines() == [
        "ok torch   2.0",
        "x  device  gone",
        "           look for it",
        "",
        "Trainings do not work here yet: see device.",
    ]
