"""Checkpoints: whole or not there, verified, loaded without executing anything, refused in a sentence."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoint import (
    DamagedError,
    drop_old_epochs,
    keep_as,
    load_best,
    load_checkpoint,
    load_newest,
    make_last,
    remove_leftovers,
    save_checkpoint,
)
from engine.errors import WeightsError
from engine.randomness import random_state
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.run_folder import RunFolder
from engine.schedule import build_optimizer, build_scheduler

RECIPE = recipe_from({"head": {"num_classes": 3}, "dataset": {"classes": ["a", "b", "打"], "root": "/x"}})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    return run


def save(run: RunFolder, step: int, *names: str) -> Path:
    """A checkpoint of this step, as last.pt and under other names."""
    save_checkpoint(run, {"step": step, "model": {"w": torch.full((5000,), float(step))}}, RECIPE, ["last.pt", *names])
    return run.checkpoints / "last.pt"


def step_in(run: RunFolder, name: str = "last.pt") -> int:
    return load_checkpoint(run.checkpoints / name)["step"]


def trained(recipe: Recipe = RECIPE) -> dict[str, Any]:
    """The state of a real model, optimiser and schedule after two steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))
    optimizer = build_optimizer(model, recipe, torch.device("cpu"))
    scheduler = build_scheduler(optimizer, recipe.schedule, steps_per_epoch=4)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 8, 8)).sum().backward()
        optimizer.step()
        scheduler.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "random": random_state(),
        "epoch": 1,
        "step": 2,
        "best_top1": 0.5,
    }


def same(one: Any, other: Any) -> bool:
    """Equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- save and load ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("policy", ["step", "cosine", "constant"])
def test_what_is_saved_is_loaded_bit_for_bit(optimizer: str, policy: str, run: RunFolder) -> None:
    recipe = recipe_from({"schedule": {"optimizer": optimizer, "lr_policy": policy, "warmup_epochs": 0.3}})
    state = trained(recipe)
    save_checkpoint(run, state, recipe)
    document = load_checkpoint(run.checkpoints / "last.pt")
    assert same({key: document[key] for key in state}, state)


def test_the_recipe_and_the_classes_are_in_it(run: RunFolder, tmp_path: Path) -> None:
    save_checkpoint(run, {}, RECIPE)
    document = load_checkpoint(run.checkpoints / "last.pt")
    assert document["classes"] == ["a", "b", "打"]
    (tmp_path / "recipe.toml").write_text(document["recipe"], encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == RECIPE


def test_others_can_read_it_with_weights_only(run: RunFolder) -> None:
    save_checkpoint(run, trained(), RECIPE)
    assert "0.weight" in torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]


class Unsaveable:
    def __reduce__(self) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_write_that_fails_leaves_the_old_one(run: RunFolder) -> None:
    save(run, 1)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(run, {"step": 2, "big": torch.zeros(1000), "cause": Unsaveable()}, RECIPE)
    assert step_in(run) == 1 and files(run.checkpoints) == ["last.pt"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, and a limit on the size of files")
@pytest.mark.parametrize("limit", [300, 20_000, 39_000])
def test_a_write_that_fails_at_any_byte_says_why(run: RunFolder, limit: int) -> None:
    """torch.save answers a failed write with "unexpected pos 1024 vs 918"; what a person needs is the reason."""
    save(run, 1)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as one_process:
        assert one_process.submit(_save_in_small_files, run, limit).result() == "File too large"
    assert step_in(run) == 1 and files(run.checkpoints) == ["last.pt"]


def _save_in_small_files(run: RunFolder, limit: int) -> str:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_checkpoint(run, {"step": 2, "a": torch.zeros(5000), "b": torch.zeros(5000)}, Recipe())
    except OSError as error:
        return error.strerror or ""
    return "nothing failed"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_at_any_moment_of_a_save_leaves_whole_checkpoints(tmp_path: Path) -> None:
    """Killed before its first, second, … touch of the file system, up to the last: whatever is there is whole, is
    known to provenance.json, and last.pt never waits for a best.pt that it speaks of."""
    survived, moment = False, 0
    while not survived:
        run = RunFolder(tmp_path / f"{moment}")
        run.checkpoints.mkdir(parents=True)
        save(run, 1, "best.pt")
        save(run, 2)
        if not (child := os.fork()):
            _be_killed_at(moment)
            save(run, 3, "best.pt", "epoch-001.pt")
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0

        found = {name: step_in(run, name) for name in files(run.checkpoints) if not name.startswith(".")}
        assert found["last.pt"] in (2, 3) and found["best.pt"] in (1, 3)
        if found["last.pt"] == 3:
            assert found == {"last.pt": 3, "last-previous.pt": 2, "best.pt": 3, "epoch-001.pt": 3}
        remove_leftovers(run)
        save(run, 4)
        assert (step_in(run), step_in(run, "last-previous.pt")) == (4, found["last.pt"])
        assert not [name for name in files(run.checkpoints) if name.startswith(".")]
        moment += 1
    assert moment > 10, "so many touches there are at least: two files, two fsyncs a file, four renames"


def _be_killed_at(moment: int) -> None:
    """End this process without a word before it opens, links, renames or removes a file for the so manieth time."""
    left = moment

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.link", "os.rename", "os.remove"):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(count)


def test_every_checkpoint_has_its_hash_in_provenance(run: RunFolder) -> None:
    run.provenance.write_text('{"seed": 7}')
    save(run, 1, "best.pt", "epoch-001.pt")
    save(run, 2)
    document = json.loads(run.provenance.read_text())
    assert document["seed"] == 7, "what else is known of the run stays"
    for name in ("last.pt", "best.pt", "epoch-001.pt"):
        digest = hashlib.sha256((run.checkpoints / name).read_bytes()).hexdigest()
        assert document["checkpoints"][name][0] == digest
    before = hashlib.sha256((run.checkpoints / "last-previous.pt").read_bytes()).hexdigest()
    assert document["checkpoints"]["last.pt"][1] == before


def test_the_newest_epochs_are_kept(run: RunFolder) -> None:
    for epoch in range(1, 6):
        save(run, epoch, f"epoch-{epoch:03d}.pt")
        drop_old_epochs(run, epoch, keep=2)
    assert files(run.checkpoints) == ["epoch-004.pt", "epoch-005.pt", "last-previous.pt", "last.pt"]
    drop_old_epochs(run, 4, keep=1)
    assert "epoch-005.pt" in files(run.checkpoints), "it is of the future of a run that went on from epoch 3"
    drop_old_epochs(run, 5, keep=0)
    assert len(files(run.checkpoints)) == 4


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and sentence.endswith(".") and "\n" not in sentence
    return sentence.removeprefix(str(path))


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    assert refusal(tmp_path / "last.pt") == " does not exist: the run was ended before its first checkpoint."


def damaged(path: Path, damage: str) -> None:
    """Break a file, but not the other names it has."""
    content = path.read_bytes()
    middle = len(content) // 2
    path.unlink()
    path.write_bytes(
        {
            "cut": content[:middle],
            "empty": b"",
            "text": b"This is no checkpoint.",
            "a byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        }[damage]
    )


DAMAGES = {
    "cut": "is cut off: its end is missing",
    "empty": "is empty (0 bytes)",
    "text": "is not a PyTorch checkpoint",
    "a byte": "is damaged: its content is not what was saved (its sha256 is not in provenance.json)",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(damage: str, run: RunFolder) -> None:
    path = save(run, 1)
    damaged(path, damage)
    assert refusal(path) == f" {DAMAGES[damage]}."


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_takes_the_place_of_a_damaged_one(damage: str, run: RunFolder) -> None:
    save(run, 1)
    damaged(save(run, 2), damage)
    document, path, wrong = load_newest(run)
    assert (document["step"], path.name) == (1, "last-previous.pt")
    assert wrong == [f"last.pt {DAMAGES[damage]}"]

    make_last(path)
    save(run, 3)
    assert (step_in(run), step_in(run, "last-previous.pt")) == (3, 1), "the damaged one took a whole one's place"
    assert (run.checkpoints / "last-damaged.pt").exists()


def test_then_the_newest_other(run: RunFolder) -> None:
    for step in (1, 2, 3):
        save(run, step, f"epoch-{step:03d}.pt", *(["best.pt"] if step == 1 else []))
    save(run, 4)
    damaged(run.checkpoints / "last.pt", "cut")
    damaged(run.checkpoints / "last-previous.pt", "a byte")
    assert load_newest(run)[0]["step"] == 3
    for name in ("epoch-002.pt", "epoch-003.pt"):
        damaged(run.checkpoints / name, "empty")
    document, _, wrong = load_newest(run)
    assert document["step"] == 1 and len(wrong) == 4


def test_a_missing_last_one_is_no_end(run: RunFolder) -> None:
    save(run, 1, "epoch-001.pt").unlink()
    assert load_newest(run)[1].name == "epoch-001.pt"


def test_all_of_them_damaged(run: RunFolder) -> None:
    save(run, 1)
    damaged(save(run, 2), "cut")
    damaged(run.checkpoints / "last-previous.pt", "text")
    with pytest.raises(WeightsError) as caught:
        load_newest(run)
    assert str(caught.value) == (
        f"{run.path} has no whole checkpoint to go on from (last.pt is cut off: its end is missing; last-previous.pt "
        "is not a PyTorch checkpoint); start a new run with `ftwiz run RECIPE`."
    )


def test_the_best_one_has_no_stand_in(run: RunFolder) -> None:
    """Another one would be measured under its name: say what there is, and leave it to a person."""
    save(run, 1, "epoch-001.pt")
    save(run, 2, "best.pt")
    save(run, 3)
    assert load_best(run)["step"] == 2
    damaged(run.checkpoints / "best.pt", "a byte")
    damaged(run.checkpoints / "last-previous.pt", "cut")
    with pytest.raises(WeightsError) as caught:
        load_best(run)
    assert str(caught.value) == (
        f"{run.checkpoints / 'best.pt'} {DAMAGES['a byte']}; copy a whole one there to measure it "
        "(last.pt, epoch-001.pt)."
    )
    (run.checkpoints / "best.pt").unlink()
    assert load_best(run)["step"] == 3, "nothing was validated"


def test_what_is_no_damage_is_not_passed_over(run: RunFolder) -> None:
    """Going on from an older one would undo work for nothing: a person can put these right."""
    save(run, 1)
    save(run, 2)
    torch.save({"format": "ftwiz-checkpoint", "version": 99}, run.checkpoints / "last.pt")
    with pytest.raises(WeightsError, match="another version"):
        load_newest(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"seed": 1}'])
def test_without_recorded_hashes_a_whole_file_is_taken(text: str, run: RunFolder) -> None:
    """A run of an earlier version, or a provenance.json that somebody spoilt."""
    save(run, 1)
    run.provenance.write_text(text)
    assert step_in(run) == 1
    run.provenance.unlink()
    assert step_in(run) == 1
    damaged(run.checkpoints / "last.pt", "cut")
    with pytest.raises(DamagedError):
        step_in(run)


class Malicious:
    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (open, (self.marker, "w"))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, marker = tmp_path / "last.pt", tmp_path / "executed"
    torch.save({"format": "ftwiz-checkpoint", "version": 1, "model": Malicious(marker)}, path)
    assert "damaged or not one that torch.save wrote" in refusal(path)
    path.write_bytes(pickle.dumps(Malicious(marker)))
    assert "damaged" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("document", [{"state_dict": {"w": torch.ones(2)}}, [1, 2], torch.ones(3), {"format": "other"}])
def test_somebody_elses_checkpoint(document: Any, tmp_path: Path) -> None:
    torch.save(document, tmp_path / "last.pt")
    assert (
        refusal(tmp_path / "last.pt")
        == " is not a checkpoint of an ftwiz run; as pretrained weights, name it in load_from."
    )


@pytest.mark.parametrize("version", [{"version": 2}, {}])
def test_another_version(version: dict[str, int], tmp_path: Path) -> None:
    torch.save({"format": "ftwiz-checkpoint", **version}, tmp_path / "last.pt")
    expected = f" was written by another version of ftwiz (format {version.get('version')})."
    assert refusal(tmp_path / "last.pt") == expected


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "last.pt").mkdir()
    assert refusal(tmp_path / "last.pt") == " cannot be read: Is a directory."


# --- a second name ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With hard links, and on a file system without them."""
    if request.param == "no links":

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    return request.param == "links"


def test_a_checkpoint_gets_a_second_name(links: bool, run: RunFolder) -> None:
    last = save(run, 1, "best.pt")
    assert files(run.checkpoints) == ["best.pt", "last.pt"]
    assert os.path.samefile(last, run.checkpoints / "best.pt") == links

    save(run, 2)  # the next one is a new file: best.pt stays what it was
    assert (step_in(run, "best.pt"), step_in(run, "last-previous.pt")) == (1, 1)
    save(run, 3, "best.pt")
    assert (step_in(run, "best.pt"), step_in(run, "last-previous.pt")) == (3, 2)


def test_the_same_name_twice_leaves_nothing_behind(links: bool, run: RunFolder) -> None:
    last = save(run, 1)
    for _ in range(3):
        keep_as(last, "best.pt")
    assert files(run.checkpoints) == ["best.pt", "last.pt"]


def test_what_a_killed_process_left_is_in_nobodys_way(links: bool, run: RunFolder) -> None:
    last = save(run, 1)
    (run.checkpoints / ".best.pt.part").write_bytes(b"half")
    keep_as(last, "best.pt")
    assert step_in(run, "best.pt") == 1 and files(run.checkpoints) == ["best.pt", "last.pt"]
