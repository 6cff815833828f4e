"""The page of a run says what its files say, asks nobody for anything, and takes any name for a name."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.clips import Clip
from engine.recipe import Recipe, recipe_from
from engine.report.__main__ import main
from engine.report.charts import Line, line_chart, thin, ticks
from engine.report.facts import clip_named, read_facts
from engine.report.page import page
from engine.run_folder import RunFolder
from tests.runs import history, make_run, started
from tests.videos import make_video

CLASSES = ("<script>alert(1)</script>", "打篮球", "judo & ski")


class Seen(HTMLParser):
    """Tags, what they point at, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def write_csv(path: Path, *rows: Sequence[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def run_with(folder: Path, predictions: Sequence[Sequence[Any]], recipe: Recipe | None = None) -> RunFolder:
    run = make_run(folder, history(320, started()), recipe=recipe)
    write_csv(run.report / "per_class.csv", ["class", "clips", "accuracy"],
              [CLASSES[0], 3, "0.3333"], [CLASSES[1], 2, "1.0000"], [CLASSES[2], 0, ""])  # fmt: skip
    write_csv(run.report / "confusion.csv", ["true class", *CLASSES],
              [CLASSES[0], 1, 2, 0], [CLASSES[1], 0, 2, 0], [CLASSES[2], 0, 0, 0])  # fmt: skip
    header = ["file", "true class", "predicted class", "probability"]
    write_csv(run.report / "predictions.csv", header, *predictions)
    return run


def test_the_page_says_what_the_files_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = str(make_video(tmp_path / "v.mp4", frames=20, fps=10))
    script, ball, _ = CLASSES
    run = run_with(
        tmp_path / "run",
        [
            [video, script, script, "0.9"],
            [f"{video} [0.5–1 s]", script, ball, "0.7"],
            ["/gone/w.mp4", script, ball, "0.8"],
            [video, ball, ball, "0.6"],
        ],
    )
    assert main([str(run.path), str(tmp_path / "out" / "r.html")]) == 0
    assert json.loads(capsys.readouterr().out)["mistakes"] == 2
    seen = Seen((tmp_path / "out" / "r.html").read_text(encoding="utf-8"))
    assert "script" not in seen.tags and "link" not in seen.tags, "a class of that name is only a name"
    assert [address.partition(";")[0] for address in seen.addresses] == ["data:image/jpeg"]
    assert seen.tags.count("svg") == 3 and seen.tags.count("img") == 1
    assert all(name in seen.text for name in CLASSES)
    best = run.state().best
    assert best is not None and f"{100 * best.key:.1f}\N{NO-BREAK SPACE}%best validation top-1epoch 8" in seen.text
    assert "33.3\N{NO-BREAK SPACE}%" in seen.text and "No validation clips of judo & ski." in seen.text
    assert "2 of 3" in seen.text and seen.text.index("gone/w.mp4") < seen.text.index("v.mp4 [0.5"), "the surest first"
    assert "moov atom not found" in seen.text and "the clip cannot be read here" in seen.text


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    seen = Seen(page(read_facts(make_run(tmp_path / "run"))))
    assert "svg" not in seen.tags and "the whole recipe" in seen.text and "starting" in seen.text
    seen = Seen(page(read_facts(make_run(tmp_path / "more", history(30, started())))))
    assert seen.tags.count("svg") == 3 and "Classes" not in seen.text


def test_of_several_classes_a_mistake_is_a_class_that_a_clip_has_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", history(80, started()), recipe=recipe_from({"head": {"multi_label": True}}))
    header = ["file", "true classes", "predicted classes", "likeliest class", "probability"]
    rows = [["a.mp4", "gym|judo", "judo", "judo", "0.9"], ["b.mp4", "gym|judo", "", "ski", "0.4"]]
    write_csv(run.report / "predictions.csv", header, *rows)
    facts = read_facts(run)
    assert [(found.file, found.true, found.predicted) for found in facts.mistakes] == [("b.mp4", "gym, judo", "ski")]


def test_many_classes_are_folded_and_told_by_their_confusions(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", history(80, started()))
    names = [f"class {number:03}" for number in range(300)]
    write_csv(run.report / "per_class.csv", ["class", "clips", "accuracy"], *[[name, 4, "0.5"] for name in names])
    counts = [[2 * (true == said) + 2 * (said == (true + 1) % 300) for said in range(300)] for true in range(300)]
    rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
    write_csv(run.report / "confusion.csv", ["true class", *names], *rows)
    text = page(read_facts(run))
    assert "276 more, which do better" in text and 'class="matrix' not in text
    assert "The 12 most frequent mistakes." in text and text.count("taken for</td>") == 12
    assert len(text) < 200_000


@pytest.mark.parametrize(
    "clip",
    [
        Clip("/a/b.mp4", 0),
        Clip("/a/b [1].mp4", 0, start=1.5, end=4.25),
        Clip("b.mp4", 0, start=2.0),
        Clip("/frames", 0, first_frame=11, num_frames=20),
    ],
)
def test_a_name_leads_back_to_its_clip(clip: Clip) -> None:
    assert clip_named(clip.name) == clip


def test_a_file_that_is_called_like_a_part_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "w.mp4 [1–2 s]").write_text("")
    assert clip_named(str(tmp_path / "w.mp4 [1–2 s]")).end == 0.0


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_few_even_and_within(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    gaps = [after - before for before, after in pairwise(found)]
    assert 2 <= len(found) <= most + 2
    assert max(gaps) - min(gaps) <= 1e-6 * max(abs(low), span, 1)
    assert found[0] <= low + 1e-6 * max(abs(low), span, 1)


def test_long_curves_are_thinned_and_keep_their_level() -> None:
    points = [(float(x), 2.0 if x % 2 else 4.0) for x in range(100_000)]
    points[7] = (7.0, float("nan"))
    thinned = thin(points)
    assert len(thinned) == 400 and all(abs(y - 3) < 0.02 for _, y in thinned)
    assert line_chart([Line("a", "train", [])], "epoch", str) == ""
    assert line_chart([Line("a", "train", [(1.0, 0.5)], dots=True)], "epoch", str).count("<circle") == 1


@pytest.mark.slow
def test_the_command_prints_where_the_page_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "mine", history(80, started()))
    command = [sys.executable, "-m", "wizard.cli", "report", "--runs", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{run.report / 'report.html'}\n", "")
    (tmp_path / "file").write_text("")
    done = subprocess.run([*command, "-o", str(tmp_path / "file" / "r.html")], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
