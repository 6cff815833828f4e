"""Files that hang or crash the decoder cost a process, never the check; answers are remembered until a file changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.dataset import probing
from engine.dataset.probing import PROBE, Facts, Memory, Question, Stamp, ask
from engine.errors import DataError
from tests.frames import write_frames
from tests.traps import BROKEN
from tests.videos import make_video

# The real probe, but for names that say what happens to it.
_FRAGILE = """
import os, signal, sys, time
from engine.dataset import probe
honest = probe.probe
def fragile(question):
    name = os.path.basename(question.path)
    if "hang" in name:
        time.sleep(600)
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "once" in name and not os.path.exists(question.path + ".was"):
        open(question.path + ".was", "w").close()
        os._exit(7)
    return honest(question)
probe.probe = fragile
probe.main()
"""
FRAGILE = (sys.executable, "-c", _FRAGILE)


def asked(*paths: Path, time_limit: float = 60, command: tuple[str, ...] = PROBE) -> dict[str, Facts]:
    questions = [Question(str(path)) for path in paths]
    return answers(questions, time_limit, command)


def answers(
    questions: list[Question], time_limit: float, command: tuple[str, ...] = PROBE, workers: int = 1
) -> dict[str, Facts]:
    given = filter(None, ask(questions, workers, time_limit, command))
    return {Path(question.path).name: facts for question, facts in given}


def test_a_healthy_video_is_measured(tmp_path: Path) -> None:
    found = asked(make_video(tmp_path / "a b 打.mp4", frames=30, size=(64, 48), fps=15))
    assert found == {"a b 打.mp4": Facts(frames=30, width=64, height=48, fps=15.0, seconds=2.0)}


def test_what_is_no_video_is_said_in_words(tmp_path: Path) -> None:
    for name, (write, _) in BROKEN.items():
        write(tmp_path / name)
    found = asked(*(tmp_path / name for name in BROKEN), tmp_path / "gone.mp4")
    for name, (_, reason) in BROKEN.items():
        assert found[name].kind == "undecodable" and reason in found[name].reason, (name, found[name])
    assert "missing" in found["gone.mp4"].reason


def test_a_matroska_file_that_was_cut_off_is_told_by_its_length(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", frames=100)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = asked(whole, cut)
    assert found["whole.mkv"].kind == "" and found["whole.mkv"].frames == 100
    assert found["cut.mkv"].kind == "truncated"
    assert found["cut.mkv"].reason.endswith(f"{found['cut.mkv'].seconds:.1f} of 4.0 seconds are there")


def test_a_folder_of_frames_and_a_part_of_it(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", frames=6)
    whole, part, beyond = (Question(str(folder), first_frame=f, num_frames=n) for f, n in ((1, 0), (3, 2), (5, 9)))
    found = dict(filter(None, ask([whole, part, beyond], 1, 60)))
    assert found[whole] == Facts(frames=6, width=64, height=48) and found[part].frames == 2
    assert found[beyond].kind == "undecodable" and "img_00013.jpg is missing" in found[beyond].reason


@pytest.mark.slow
def test_crashes_are_answers_and_the_others_are_answered_too(tmp_path: Path) -> None:
    names = ("crash 1.mp4", "good 1.mp4", "crash 2.mp4", "good 2.mp4", "once.mp4")
    found = asked(*(make_video(tmp_path / name, seed=seed) for seed, name in enumerate(names)), command=FRAGILE)
    for number in (1, 2):
        assert found[f"crash {number}.mp4"] == Facts(kind="crash", reason="it crashes the decoder (signal 11)")
        assert found[f"good {number}.mp4"].frames == 16
    assert found["once.mp4"].frames == 16  # died of something that was gone at the second try


@pytest.mark.slow
def test_what_hangs_is_an_answer_and_the_others_are_answered_too(tmp_path: Path) -> None:
    questions = [Question(str(make_video(tmp_path / f"{name}.mp4"))) for name in ("hang", "good 1", "good 2")]
    found = answers(questions, 10, FRAGILE, workers=2)
    assert found["hang.mp4"] == Facts(kind="timeout", reason="it keeps the decoder busy for more than 10 seconds")
    assert found["good 1.mp4"].frames == found["good 2.mp4"].frames == 16


def test_no_process_is_left_when_the_asking_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    code = f"import os\nopen({str(path)!r}, 'a').write(f'{{os.getpid()}}\\n')\n{_FRAGILE}"
    questions = [Question(str(make_video(tmp_path / name))) for name in ("good.mp4", "hang.mp4")]
    asking = ask(questions, 2, 600, (sys.executable, "-c", code))
    next(filter(None, asking))
    asking.close()
    for pid in map(int, path.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_starts_while_the_asking_ends_is_asked_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowPopen(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **keywords: Any):
            super().__init__(*arguments, **keywords)
            begun.set()
            ended.wait(60)

    begun, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(probing.subprocess, "Popen", SlowPopen)
    asking = ask([Question(str(make_video(tmp_path / "once.mp4")))], 1, 60, FRAGILE)
    assert next(asking) is None and begun.wait(60)
    threading.Timer(0.5, ended.set).start()  # by then it has been told to stop, and is waited for
    asking.close()
    assert ended.is_set() and not (tmp_path / "once.mp4.was").exists()


def test_a_process_that_cannot_start_is_an_error_and_no_verdict_on_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not start \(exit code 1\)"):
        asked(make_video(tmp_path / "a.mp4"), command=(sys.executable, "-c", "raise SystemExit(1)"))


# --- memory -----------------------------------------------------------------------------------------------------------

FINE = Facts(frames=10, width=64, height=48, fps=25.0, seconds=0.4)
SLOW = Facts(kind="timeout", reason="it keeps the decoder busy")


def test_an_answer_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    question, stamp = Question("a.mp4", first_frame=3), Stamp(10, 20)
    memory = Memory(tmp_path / "deep/memory.jsonl")
    assert memory.facts(question, stamp, 30) is None
    memory.keep(question, stamp, FINE, 30)
    memory.save()
    again = Memory(tmp_path / "deep/memory.jsonl")
    assert again.facts(question, stamp, 30) == FINE
    assert again.facts(question, Stamp(11, 20), 30) is None and again.facts(question, Stamp(10, 21), 30) is None
    assert again.facts(Question("a.mp4"), stamp, 30) is None


def test_more_time_is_a_reason_to_ask_again(tmp_path: Path) -> None:
    memory = Memory(None)
    memory.keep(Question("a.mp4"), Stamp(1, 1), SLOW, 30)
    assert memory.facts(Question("a.mp4"), Stamp(1, 1), 30) == SLOW
    assert memory.facts(Question("a.mp4"), Stamp(1, 1), 60) is None


def test_files_that_went_away_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    memory = Memory(path)
    for name in ("a.mp4", "b.mp4"):
        memory.keep(Question(name), Stamp(1, 1), FINE, 30)
    memory.save()
    again = Memory(path)
    assert again.facts(Question("b.mp4"), Stamp(1, 1), 30)
    again.save()
    assert Memory(path).facts(Question("a.mp4"), Stamp(1, 1), 30) is None
    assert Memory(path).facts(Question("b.mp4"), Stamp(1, 1), 30) == FINE


@pytest.mark.parametrize("text", ["", "no json\n", '{"version": 0}\n[1]\n', '{"version": 1}\n[1, 2]\nnull\n'])
def test_an_odd_memory_is_an_empty_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "memory.jsonl").write_text(text)
    assert Memory(tmp_path / "memory.jsonl").facts(Question("a.mp4"), Stamp(1, 1), 30) is None


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"othr")):
        (tmp_path / name).write_bytes(content)
    memory = Memory(tmp_path / "memory.jsonl")
    questions = [Question(str(tmp_path / name)) for name in "abc"]
    a, b, c = (memory.digest(question, Stamp(4, 1)) for question in questions)
    assert a == b != c and len(a) == 32
    memory.save()
    (tmp_path / "a").write_bytes(b"new!")
    again = Memory(tmp_path / "memory.jsonl")
    assert again.digest(questions[0], Stamp(4, 1)) == a  # the stamp says that nothing changed
    assert again.digest(questions[0], Stamp(4, 2)) != a
