"""`ftwiz import` as a user types it: real processes, what they print where, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.recipe import load_recipe
from tests.engine.mmaction.configs import write, write_configs, write_old_configs

FTWIZ = [sys.executable, "-m", "wizard.cli"]


def ftwiz(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([*FTWIZ, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_the_recipe_is_printed_and_the_rest_said_on_stderr(tmp_path: Path) -> None:
    config = write_configs(tmp_path) / "tsn-ucf101.py"
    done = ftwiz("import", str(config), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("# Imported by `ftwiz import` from tsn-ucf101.py and 4 files it is based on")
    assert "\nnum_classes = 101          # model.cls_head.num_classes; 400 in the preset\n" in done.stdout
    assert done.stderr == (
        "Read tsn-ucf101.py and 4 files it is based on (MMAction2 1.x); the recipe extends tsn-r50-kinetics400.\n"
        "Everything was carried over.\n"
    )


@pytest.mark.slow
def test_the_recipe_is_written_loads_and_is_never_replaced(tmp_path: Path) -> None:
    config = str(write_configs(tmp_path) / "tsn-ucf101.py")
    done = ftwiz("import", config, "-o", "made/recipe.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "made/recipe.toml\n")
    assert "Look at all of it with: ftwiz show made/recipe.toml" in done.stderr
    shown = ftwiz("show", "made/recipe.toml", cwd=tmp_path)
    assert shown.returncode == 0
    assert "num_classes = 101\n" in shown.stdout

    before = (tmp_path / "made" / "recipe.toml").read_bytes()
    again = ftwiz("import", config, "-o", "made/recipe.toml", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "made/recipe.toml exists already; choose another name with -o, or remove it first.\n"
    assert (tmp_path / "made" / "recipe.toml").read_bytes() == before


def test_what_was_left_out_and_guessed_is_in_the_file_and_on_stderr(tmp_path: Path) -> None:
    folder = write_old_configs(tmp_path)
    text = "_base_ = './tsm_r50_1x1x8_25e_hmdb51_rgb.py'\nprecise_bn = dict(num_iters=200)\n"
    write(folder.parents[1] / "_base_" / "schedules" / "sgd_tsm.py", "optimizer = dict(type='SGD', lr=0.1)")
    config = write(folder / "mine.py", text)
    done = ftwiz("import", str(config), cwd=tmp_path)
    sentence = "- precise_bn = dict(num_iters=200): recipes have nothing like it."
    assert f"# {sentence}\n" in done.stdout
    assert sentence in done.stderr.splitlines()
    assert "- how many GPUs lr is meant for: 8, as in most of MMAction2's configs" in done.stderr.splitlines()


def test_json_is_one_document_with_the_whole_recipe(tmp_path: Path) -> None:
    config = write_configs(tmp_path) / "tsn-ucf101.py"
    done = ftwiz("import", str(config), "--json", "-o", "recipe.toml", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (document["preset"], document["edition"], document["left_out"]) == ("tsn-r50-kinetics400", "1.x", [])
    assert document["recipe"]["head"]["num_classes"] == 101
    assert document["sources"]["head.num_classes"] == "model.cls_head.num_classes"
    assert load_recipe(tmp_path / "recipe.toml").schedule.epochs == 50


def test_a_config_that_runs_commands_runs_none(tmp_path: Path) -> None:
    config = write(
        write_configs(tmp_path) / "mine.py",
        """
        _base_ = './tsn-ucf101.py'
        import os
        os.system('touch ran')
        os.environ['RAN'] = open('ran', 'w').name
        model = dict(cls_head=dict(num_classes=os.system('touch ran') + 5))
        """,
    )
    done = ftwiz("import", str(config), "-o", "recipe.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert not list(tmp_path.rglob("ran"))
    for line in (4, 5, 6):
        assert f"mine.py:{line}: `" in done.stderr
    assert load_recipe(tmp_path / "recipe.toml").head.num_classes == "auto"


MISTAKES = {
    "no such file": (["nothing.py"], "nothing.py: there is no such file."),
    "not a config": (["notes.txt"], "notes.txt: an MMAction2 config is a .py file."),
    "not Python": (["broken.py"], "broken.py:1: not Python: "),
    "another task": (["detection.py"], "detection.py: its model, FastRCNN, detects who does what in each frame"),
    "a recognizer that is not there": (["tin.py"], "tin.py: it describes TIN (Recognizer2D with ResNetTIN), a recogni"),
    "a base that is not there": (["alone.py"], "alone.py: it is based on ../_base_/x.py, which is not there; name the"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(mistake: str, tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "hello")
    write(tmp_path / "broken.py", "model = (")
    write(tmp_path / "detection.py", "model = dict(type='FastRCNN')")
    write(tmp_path / "tin.py", "model = dict(type='Recognizer2D', backbone=dict(type='ResNetTIN'))")
    write(tmp_path / "alone.py", "_base_ = '../_base_/x.py'")
    arguments, sentence = MISTAKES[mistake]
    done = ftwiz("import", *arguments, "-o", "recipe.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "recipe.toml").exists()
