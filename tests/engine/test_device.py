"""Device, precision and workers: what "auto" becomes, and what is refused; what is written down about them."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.dataset.clips import Clip, ClipLists
from engine.device import (
    autocast,
    available_cores,
    choose_device,
    choose_precision,
    choose_workers,
    describe,
    make_deterministic,
)
from engine.errors import DeviceError, ExitCode
from engine.provenance import write_provenance
from engine.recipe import Recipe, Run

CPU = torch.device("cpu")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_auto_takes_the_best_there_is() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto") == torch.device(best)
    assert choose_device("cpu") == CPU


@without_gpu
@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there(asked: str) -> None:
    with pytest.raises(DeviceError) as caught:
        choose_device(asked)
    assert str(caught.value) == (
        f'[run] device = "{asked}", but CUDA is not available here; set it to "auto" or "cpu".'
    )
    assert caught.value.exit_code == ExitCode.DEVICE


def test_a_gpu_beyond_the_last_one() -> None:
    with pytest.raises(DeviceError, match=r'^\[run\] device = "cuda:99", but '):
        choose_device("cuda:99")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_an_apple_gpu_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="this machine has no Apple GPU"):
        choose_device("mps")


def test_auto_precision_is_fp32_on_a_cpu_and_what_is_asked_is_taken() -> None:
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    assert choose_precision("fp32", torch.device("cuda")) == "fp32"


def test_workers() -> None:
    assert choose_workers("auto", CPU) == 1  # the model needs the cores itself
    assert choose_workers("auto", torch.device("cuda")) == min(8, available_cores())
    assert choose_workers(0, CPU) == 0 and choose_workers(5, torch.device("cuda")) == 5


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_cores_are_those_this_process_may_use() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from engine.device import available_cores; print(available_cores())"
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"1\n"


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_forward_pass_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU, precision):
        assert layer(torch.ones(1, 4)).dtype == dtype
    assert layer(torch.ones(1, 4)).dtype == layer.weight.dtype == torch.float32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_deterministic_is_switched_on() -> None:
    """In a process of its own: the switch is for good."""
    process = multiprocessing.get_context("fork").Process(target=_be_deterministic)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def _be_deterministic() -> None:
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    make_deterministic()
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_devices_have_names_for_people() -> None:
    threads = torch.get_num_threads()
    assert describe(CPU) == ("CPU, 1 thread" if threads == 1 else f"CPU, {threads} threads")


# --- what a result depends on -----------------------------------------------------------------------------------------

CLIPS = ClipLists(("a", "b"), train=(Clip("x/1.mp4", 0), Clip("x/2.mp4", 1)), val=(Clip("y/视频\udcff.mp4", 0),))


def provenance(path: Path, clips: ClipLists = CLIPS, weights: str = "", sha256: str = "") -> dict:
    write_provenance(path, Recipe(run=Run(seed=7)), clips, describe(CPU), weights, sha256)
    return json.loads(path.read_text(encoding="utf-8"))


def test_provenance_names_everything(tmp_path: Path) -> None:
    found = provenance(tmp_path / "provenance.json", weights="torchvision://resnet50", sha256="0676ba61")
    assert found["seed"] == 7 and found["device"] == describe(CPU)
    assert found["weights"] == {"source": "torchvision://resnet50", "sha256": "0676ba61"}
    assert torch.__version__.startswith(found["packages"]["torch"])
    assert {"ftwiz", "av", "numpy"} <= set(found["packages"])
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["clips"]["train"] == {
        "count": 2,
        "sha256": hashlib.sha256(b"x/1.mp4\x000\nx/2.mp4\x001\n").hexdigest(),
    }
    assert found["clips"]["val"]["count"] == 1
    assert found["recipe"]["run"]["workers"] == "auto", "as it was asked for"


def test_another_list_has_another_hash(tmp_path: Path) -> None:
    def hash_of(*clips: Clip) -> str:
        lists = ClipLists(("a", "b"), train=clips, val=())
        return provenance(tmp_path / "provenance.json", lists)["clips"]["train"]["sha256"]

    one, two = Clip("1.mp4", 0), Clip("2.mp4", 1)
    hashes = [hash_of(one, two), hash_of(two, one), hash_of(one), hash_of(), hash_of(one, Clip("2.mp4", 0))]
    hashes += [hash_of(one, Clip("2.mp4", 1, start=2.0)), hash_of(one, Clip("2.mp4", 1, labels=(1, 0)))]
    assert len(set(hashes)) == 7 and hash_of(one, two) == hashes[0]


def test_the_commit_is_that_of_the_folder_one_works_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance(tmp_path / "provenance.json")["git_commit"] == ""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "recipes"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    assert provenance(tmp_path / "provenance.json")["git_commit"] == head


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance(tmp_path / "provenance.json")["git_commit"] == ""
