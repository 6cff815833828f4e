"""Checkpoints: whole or not there, loaded without executing anything, refused in a sentence; and random state."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoint import keep_as, load_checkpoint, random_state, restore_random_state, save_checkpoint
from engine.errors import WeightsError
from engine.recipe import Recipe, load_recipe, recipe_from
from engine.schedule import build_optimizer, build_scheduler

RECIPE = recipe_from({"head": {"num_classes": 3}, "dataset": {"classes": ["a", "b", "打"], "root": "/x"}})


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
def test_what_is_saved_is_loaded_bit_for_bit(optimizer: str, policy: str, tmp_path: Path) -> None:
    recipe = recipe_from({"schedule": {"optimizer": optimizer, "lr_policy": policy, "warmup_epochs": 0.3}})
    state = trained(recipe)
    save_checkpoint(tmp_path / "last.pt", state, recipe)
    document = load_checkpoint(tmp_path / "last.pt")
    assert same({key: document[key] for key in state}, state)


def test_the_recipe_and_the_classes_are_in_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", {}, RECIPE)
    document = load_checkpoint(tmp_path / "last.pt")
    assert document["classes"] == ["a", "b", "打"]
    (tmp_path / "recipe.toml").write_text(document["recipe"], encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml") == RECIPE


def test_others_can_read_it_with_weights_only(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", trained(), RECIPE)
    assert "0.weight" in torch.load(tmp_path / "last.pt", weights_only=True)["model"]


class Unsaveable:
    def __reduce__(self) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1}, RECIPE)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"step": 2, "big": torch.zeros(1000), "cause": Unsaveable()}, RECIPE)
    assert load_checkpoint(path)["step"] == 1 and files(tmp_path) == ["last.pt"]


def test_a_process_that_dies_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    """Killed in the middle of torch.save, after bytes were written."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1}, RECIPE)
    code = """
import os, signal, sys, torch
from pathlib import Path
from engine.checkpoint import save_checkpoint
from engine.recipe import Recipe
real = torch.save
def dies(document, file):
    real(document, file)
    file.flush()
    assert os.fstat(file.fileno()).st_size > 1000
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = dies
save_checkpoint(Path(sys.argv[1]), {"step": 2, "big": torch.zeros(1000)}, Recipe())
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)])
    assert done.returncode == -9
    assert load_checkpoint(path)["step"] == 1


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and sentence.endswith(".") and "\n" not in sentence
    return sentence.removeprefix(str(path))


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    assert refusal(tmp_path / "last.pt") == " does not exist: the run was ended before its first checkpoint."


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped"])
def test_a_damaged_file(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": {"w": torch.ones(5000)}}, RECIPE)
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "text": b"This is no checkpoint.",
            "flipped": bytes(255 - byte for byte in content[:2000]) + content[2000:],
        }[damage]
    )
    assert refusal(path).startswith(" is damaged and cannot be loaded (")


class Malicious:
    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (open, (self.marker, "w"))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, marker = tmp_path / "last.pt", tmp_path / "executed"
    torch.save({"format": "ftwiz-checkpoint", "version": 1, "model": Malicious(marker)}, path)
    assert "cannot be loaded" in refusal(path)
    path.write_bytes(pickle.dumps(Malicious(marker)))
    assert "cannot be loaded" in refusal(path)
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


def test_a_checkpoint_gets_a_second_name(links: bool, tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    save_checkpoint(last, {"step": 1}, RECIPE)
    keep_as(last, "best.pt")
    assert files(tmp_path) == ["best.pt", "last.pt"]
    assert os.path.samefile(last, tmp_path / "best.pt") == links

    save_checkpoint(last, {"step": 2}, RECIPE)  # the next one is a new file: best.pt stays what it was
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 1
    keep_as(last, "best.pt")
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 2


def test_the_same_name_twice_leaves_nothing_behind(links: bool, tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    save_checkpoint(last, {"step": 1}, RECIPE)
    for _ in range(3):
        keep_as(last, "best.pt")
    assert files(tmp_path) == ["best.pt", "last.pt"]


def test_what_a_killed_process_left_is_in_nobodys_way(links: bool, tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    save_checkpoint(last, {"step": 1}, RECIPE)
    (tmp_path / ".best.pt.part").write_bytes(b"half")
    keep_as(last, "best.pt")
    assert load_checkpoint(tmp_path / "best.pt")["step"] == 1 and files(tmp_path) == ["best.pt", "last.pt"]


# --- random state -----------------------------------------------------------------------------------------------------


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    torch.manual_seed(7)
    torch.rand(5)
    save_checkpoint(tmp_path / "last.pt", {"random": random_state()}, RECIPE)
    expected = torch.rand(5), nn.functional.dropout(torch.ones(50)), torch.randn(3)
    torch.manual_seed(8)
    restore_random_state(load_checkpoint(tmp_path / "last.pt")["random"])
    assert same((torch.rand(5), nn.functional.dropout(torch.ones(50)), torch.randn(3)), expected)


def test_a_state_from_a_gpu_machine_is_taken_without_one() -> None:
    state = {**random_state(), "cuda": [torch.zeros(16, dtype=torch.uint8)]}
    if not torch.cuda.is_available():
        restore_random_state(state)
        assert torch.equal(torch.get_rng_state(), state["torch"])
