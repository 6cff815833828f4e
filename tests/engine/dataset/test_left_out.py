"""The quarantine.txt of a dataset: found, read by every format, renewed by checks, and kept by runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.dataset.clips import Clip
from engine.dataset.formats import read_clips
from engine.dataset.quarantine import LeftOut, read_quarantine, renew
from engine.errors import DataError
from engine.recipe import Dataset, load_recipe, recipe_from, resolve_recipe
from engine.resume import changes


def make(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make(tmp_path / "data", *(f"{name}/{n}.mp4" for name in ("run", "walk") for n in range(10)))


def test_clips_in_it_are_left_out_and_counted_and_move_no_other_clip(data: Path) -> None:
    before = read_clips(Dataset(root=str(data)))
    out = {before.train[3].path, before.val[0].path}
    text = f"# a comment\n{before.train[3].path}\tmoov atom not found\n{before.val[0].path}\n/elsewhere.mp4\tgone\n"
    quarantine = write(data / "q.txt", text)
    after = read_clips(Dataset(root=str(data), quarantine=str(quarantine)))
    assert after.train == [clip for clip in before.train if clip.path not in out]
    assert after.val == [clip for clip in before.val if clip.path not in out]
    assert f"2 clips left out (1 of training, 1 of validation), as {quarantine} says." in after.notes


def test_names_may_be_relative_to_the_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data / "q.txt", "run/0.mp4\tempty\n./walk/../walk/1.mp4\tempty\n")
    monkeypatch.chdir(data.parent)
    lists = read_clips(Dataset(root="data", quarantine="data/q.txt"))
    assert {clip.path for clip in (*lists.train, *lists.val)}.isdisjoint({"data/run/0.mp4", "data/walk/1.mp4"})
    assert len(lists.train) + len(lists.val) == 18


def test_a_part_of_a_video_can_be_out_alone(tmp_path: Path) -> None:
    early, late = Clip(f"{tmp_path}/a [b]/v.mp4", 0, end=2), Clip(f"{tmp_path}/a [b]/v.mp4", 0, start=2, end=4)
    left_out = LeftOut(write(tmp_path / "q.txt", f"{late.name}\tthe video ends before\n"))
    assert [left_out.holds(clip) for clip in (early, late)] == [False, True]


def test_a_file_that_is_named_and_not_there_is_an_error(data: Path) -> None:
    with pytest.raises(DataError, match=r"\[dataset\] quarantine = nowhere.txt does not exist"):
        read_clips(Dataset(root=str(data), quarantine="nowhere.txt"))


def test_nothing_left_is_an_error(data: Path) -> None:
    quarantine = write(data / "q.txt", "".join(f"{name}/{n}.mp4\n" for name in ("run", "walk") for n in range(10)))
    with pytest.raises(DataError, match="leaves no training clip"):
        read_clips(Dataset(root=str(data), quarantine=str(quarantine)))


# --- found ------------------------------------------------------------------------------------------------------------


def test_the_one_beside_the_recipe_is_found_before_the_one_in_the_root(data: Path, tmp_path: Path) -> None:
    recipe = write(tmp_path / "recipe.toml", f"[dataset]\nroot = {json.dumps(str(data))}\n")
    assert load_recipe(recipe).dataset.quarantine == ""
    write(data / "quarantine.txt", "")
    assert load_recipe(recipe).dataset.quarantine == str(data / "quarantine.txt")
    write(tmp_path / "quarantine.txt", "")
    resolved = resolve_recipe(recipe)
    assert resolved.recipe.dataset.quarantine == str(tmp_path / "quarantine.txt")
    assert resolved.origins["dataset.quarantine"] == "the file is there"


def test_the_recipe_has_the_last_word(data: Path, tmp_path: Path) -> None:
    write(data / "quarantine.txt", "")
    lines = f"[dataset]\nroot = {json.dumps(str(data))}\nquarantine = "
    assert load_recipe(write(tmp_path / "recipe.toml", f'{lines}""\n')).dataset.quarantine == ""
    assert load_recipe(write(tmp_path / "recipe.toml", f'{lines}"my.txt"\n')).dataset.quarantine == "my.txt"
    assert recipe_from({"dataset": {"root": str(data)}}).dataset.quarantine == str(data / "quarantine.txt")


# --- renewed ----------------------------------------------------------------------------------------------------------


def test_a_check_renews_its_own_lines_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    here = {str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4")}
    renew(path, {str(tmp_path / "a.mp4"): "empty", str(tmp_path / "b.mp4"): "no video"}, here.__contains__)
    text = path.read_text(encoding="utf-8")
    assert "a.mp4\tempty\nb.mp4\tno video\n" in text and text.startswith("# Clips that training leaves out")
    path.write_text(f"{text}c.mp4\tblurred\n# and so on\n", encoding="utf-8")
    renew(path, {"/other/d.mp4": "empty"}, lambda name: name == "/other/d.mp4")  # another dataset, the same file
    renew(path, {str(tmp_path / "b.mp4"): "no video"}, here.__contains__)  # a.mp4 was mended
    assert read_quarantine(path) == {"/other/d.mp4": "empty", "b.mp4": "no video", "c.mp4": "blurred"}
    assert "# and so on\n" in path.read_text(encoding="utf-8")
    renew(path, {}, here.__contains__)
    assert read_quarantine(path) == {"/other/d.mp4": "empty", "c.mp4": "blurred"}


def test_nothing_to_write_makes_no_file(tmp_path: Path) -> None:
    renew(tmp_path / "quarantine.txt", {}, lambda name: True)
    assert not (tmp_path / "quarantine.txt").exists()


def test_a_file_that_no_check_has_written_stays_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "quarantine.txt", "a.mp4\tblurred\n")
    path.write_bytes(b"caf\xe9.mp4\tblurred\n")
    renew(path, {str(tmp_path / "#b.mp4"): "no\nvideo"}, lambda name: True)
    assert path.read_bytes().endswith(b"caf\xe9.mp4\tblurred\n")
    assert read_quarantine(path) == {"#b.mp4": "no video", "caf\udce9.mp4": "blurred"}


def test_a_check_after_the_start_keeps_no_run_from_going_on(data: Path) -> None:
    before = recipe_from({"dataset": {"root": str(data)}})
    write(data / "quarantine.txt", "run/0.mp4\n")
    after = recipe_from({"dataset": {"root": str(data), "flip": 0.0}})
    assert after.dataset.quarantine and changes(before, after) == {"dataset.flip": (0.5, 0.0)}


@pytest.mark.slow
def test_a_run_says_what_it_leaves_out_and_keeps_it(tmp_path: Path) -> None:
    from engine.train import fit
    from tests.clips import make_dataset, write_recipe

    root = make_dataset(tmp_path / "data")
    bad = root / "train" / "falls" / "0.mp4"
    bad.write_bytes(b"no video")
    write(root / "quarantine.txt", "train/falls/0.mp4\tit is text\n")
    recipe = load_recipe(write_recipe(tmp_path / "recipe.toml", root, schedule="epochs = 1"))
    training = fit(recipe, tmp_path / "run")
    assert len(training.clips.train) == 11 and not (tmp_path / "run" / "quarantine.txt").exists()
    assert any("1 clip left out (1 of training, 0 of validation)" in text for text in messages(tmp_path / "run"))
    write(root / "quarantine.txt", "")  # as if it was mended: the run goes on with what it began with
    kept = load_recipe(tmp_path / "run" / "recipe.toml")
    assert Path(kept.dataset.quarantine) == tmp_path / "run" / "left-out.txt"
    assert len(read_clips(kept.dataset).train) == 11


def messages(run: Path) -> list[str]:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["text"] for event in map(json.loads, lines) if event["event"] == "message"]
