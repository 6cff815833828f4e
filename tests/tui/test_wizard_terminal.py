"""`ftwiz new` on a real pseudo-terminal: what a Pilot cannot see. By screens, and line by line."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from engine.recipe import load_recipe
from wizard.drafts import find_draft

pytestmark = pytest.mark.slow
Start = Callable[..., pexpect.spawn]


@pytest.fixture
def ftwiz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts `ftwiz new …` beside a folder of videos; what it wrote is in `logfile_read`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name in ("jump", "run"):
        (tmp_path / "moves" / name).mkdir(parents=True)
        for number in range(150):
            (tmp_path / "moves" / name / f"{number}.mp4").touch()
    children = []

    def start(*arguments: str, size: tuple[int, int] = (80, 24), **environment: str) -> pexpect.spawn:
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        child = pexpect.spawn(
            sys.executable, ["-P", "-c", "from wizard.cli import main; main()", "new", *arguments],
            env=inherited | {"PROMPT_TOOLKIT_NO_CPR": "1"} | environment,
            encoding="utf-8", dimensions=(size[1], size[0]), timeout=60,
        )  # fmt: skip
        child.logfile_read = io.StringIO()
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_by_keyboard_to_a_recipe(ftwiz: Start, size: tuple[int, int]) -> None:
    child = ftwiz(size=size)
    child.expect("Browse")
    child.send("moves")
    child.expect("120 \\+ 30")
    for title in ("What does it answer", "What does it start from", "How does it learn", "The recipe about to be"):
        child.send("\r")
        child.expect(title)
    child.send("\x13")
    child.expect(re.escape("\x1b[?1049l"))
    child.expect("tsn-moves.toml")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert load_recipe("tsn-moves.toml").head.num_classes == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_restores_the_terminal_and_loses_nothing(ftwiz: Start, name: str) -> None:
    child = ftwiz("moves")
    child.expect("120 \\+ 30")
    child.send("\r")
    child.expect("What does it answer")
    child.send("\t")
    child.expect("Share of features dropped")
    child.send("7")
    child.expect("yours")
    child.kill(getattr(signal, name))
    child.expect(re.escape("\x1b[?1049l"))
    child.expect(pexpect.EOF)
    draft = find_draft(Path("moves"))
    assert draft is not None and "head.dropout" in draft.given


def test_no_color_leaves_every_colour_to_the_terminal(ftwiz: Start) -> None:
    child = ftwiz("moves", NO_COLOR="1")
    child.expect("120 \\+ 30")
    codes = [
        code for found in re.findall(r"\x1b\[([\d;]*)m", child.logfile_read.getvalue()) for code in found.split(";")
    ]
    assert set(codes) <= {"", "0", "1", "2", "3", "4", "7", "39", "49"}


def test_line_by_line_to_a_recipe(ftwiz: Start) -> None:
    child = ftwiz("--plain", size=(120, 60))
    child.expect("videos:")
    child.send("nowhere\r")
    child.expect("nowhere does not exist")
    child.expect("videos:")
    child.send("\x15moves\r")
    child.expect("jump: 120 training clips, 30 validation clips")
    for label in ("held out", "mirror", "classes"):
        child.expect(label)
        child.send("\r")
    child.expect("dropout")
    child.send("\x152\r")
    child.expect(r"\[head\] dropout must be below 1, not 2.")
    child.expect("dropout")
    child.send("\x150.3\r")
    child.expect("start from")
    child.send("\x1b[B\r")  # down: TSM
    for label in ("pace", "epochs", "batch size", "learning rate", "lr falls", "steps after", "frozen"):
        child.expect(label)
        child.send("\r")
    child.expect("lr 0.01 × 16/128 = 0.00125")
    for label in ("name", "save as", "Write this to tsm-moves.toml"):
        child.expect(label)
        child.send("\r")
    child.expect("Wrote tsm-moves.toml")
    child.expect(pexpect.EOF)
    recipe = load_recipe("tsm-moves.toml")
    assert recipe.head.dropout == 0.3
    assert recipe.model.recognizer == "tsm"


def test_line_by_line_nothing_is_written_without_a_yes(ftwiz: Start) -> None:
    child = ftwiz("moves", "--plain", "--set", "schedule.epochs=3", size=(120, 60))
    child.expect("videos: moves")
    labels = ("held out", "mirror", "classes", "dropout", "start from", "pace")
    for label in labels:
        child.expect(label)
        child.send("\r")
    child.expect("epochs: 3\r")
    for label in ("batch size", "learning rate", "lr falls", "steps after", "frozen", "name", "save as"):
        child.expect(label)
        child.send("\r")
    child.expect("Write this")
    child.send("n")
    child.expect("Nothing was written")
    child.expect(pexpect.EOF)
    assert "epochs = 3" in child.logfile_read.getvalue()
    assert list(Path().glob("*.toml")) == []


def test_line_by_line_nothing_is_asked_that_is_answered_already(ftwiz: Start) -> None:
    """Every question of the four decisions has an option, or a key for --set."""
    sets = {
        "dataset.val_fraction": "0.25", "dataset.flip": "0", "head.num_classes": "2", "head.dropout": "0.2",
        "schedule.epochs": "4", "schedule.batch_size": "8", "schedule.lr": "0.1", "schedule.lr_policy": "step",
        "schedule.milestones": "[2]", "schedule.freeze": "none", "name": "mine",
    }  # fmt: skip
    options = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    options += ["--start", "scratch", "--model", "tsm-r50-kinetics400", "--pace", "quick", "-o", "my recipe.toml"]
    child = ftwiz("moves", "--plain", *options, size=(120, 60))
    child.expect("Write this to my recipe.toml")
    child.send("\r")
    child.expect("ftwiz run 'my recipe.toml'")
    child.expect(pexpect.EOF)
    assert "start from: nothing: train from scratch" in child.logfile_read.getvalue()
    recipe = load_recipe("my recipe.toml")
    assert (recipe.name, recipe.schedule.epochs, recipe.dataset.val_fraction) == ("mine", 4, 0.25)
    assert (recipe.model.recognizer, recipe.weights.load_from, recipe.weights.backbone) == ("tsm", "", "")


def test_giving_up_line_by_line_ends_with_130(ftwiz: Start) -> None:
    child = ftwiz("--plain")
    child.expect("videos:")
    child.send("\x03")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
