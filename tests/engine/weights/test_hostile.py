"""Files that are no checkpoint, are broken or mean harm: one sentence each, exit code 4, and nothing of them is run.

Whole commands print the same sentence; `ftwiz run` and `ftwiz weights` share `load_weights`.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import pickletools
import re
import sys
import tarfile
import time
import types
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from engine.weights.checkpoint_file import read_checkpoint
from engine.weights.load import load_weights
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import (
    Evil,
    State,
    agree,
    model_for,
    recipe_for,
    refused,
    saved,
    trained,
    whole_file,
    zip_of_text,
)

BIAS = "backbone.bn1.bias"


@pytest.fixture(scope="module")
def state() -> State:
    return trained(recipe_for())


def zipped(path: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def files_of(path: str) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- other files under a checkpoint's name ----------------------------------------------------------------------------


def targz(folder: Path) -> bytes:
    with tarfile.open(folder / "tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return (folder / "tar").read_bytes()


def numpy_archive(folder: Path) -> bytes:
    np.savez(folder / "arrays.npz", weight=np.ones(3))
    return (folder / "arrays.npz").read_bytes()


def of(files: Mapping[str, bytes]) -> Callable[[Path], bytes]:
    return lambda folder: Path(zipped(folder / "zip", files)).read_bytes()


OTHERS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a web page": (lambda _: b"<!DOCTYPE html><title>Sign in</title>", "is a web page, not a weights file"),
    "a storage server's error": (lambda _: b'<?xml version="1.0"?><Error><Code>AccessDenied', "is a web page"),
    "an interface's error": (lambda _: b'{"message": "Not Found"}', "is not a PyTorch checkpoint"),
    "a git-lfs pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
    "nothing": (lambda _: b"", "is empty (0 bytes)"),
    "zeros": (lambda _: bytes(10_000), "is not a PyTorch checkpoint"),
    "half a checkpoint": (lambda folder: whole_file(folder)[:-5000], "is cut off: its end is missing"),
    "a document": (
        of({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}),
        "it begins with [Content_Types]",
    ),
    "an app": (of({"AndroidManifest.xml": b"", "classes.dex": b""}), "a zip archive that torch.save did not write"),
    "a Keras model": (
        of({"metadata.json": b"{}", "model.weights.h5": b""}),
        "torch.save did not write; it begins with",
    ),
    "a zip around the file": (of({"models/tsn.pth": b"\x80\x02}."}), "a zip archive around models/tsn.pth; unpack it"),
    "numpy's arrays": (numpy_archive, "a zip archive that torch.save did not write; it begins with weight.npy"),
    "HDF5": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, as Keras and TensorFlow write it"),
    "gzip": (lambda _: gzip.compress(b"x" * 100), "is a gzip archive, not a PyTorch checkpoint"),
    "a tar.gz": (targz, "is a gzip archive"),
    "text in a zip": (zip_of_text, "it begins with model.txt"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_another_file_under_a_checkpoints_name(kind: str, tmp_path: Path) -> None:
    make, sentence = OTHERS[kind]
    content = make(tmp_path)
    file = tmp_path / "x.pth"
    file.write_bytes(content)
    message = refused(recipe_for(), str(file))
    assert sentence in message and message.startswith(str(file)) and message.endswith(".")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder without checkpoints/best.pt" in refused(recipe_for(), str(tmp_path))


def test_safetensors_under_another_name_are_read(tmp_path: Path, state: State) -> None:
    safetensors.torch.save_file(state, tmp_path / "x.pth")
    model = model_for(recipe_for())
    load_weights(model, str(tmp_path / "x.pth"), recipe_for())
    assert agree(model, state)


# --- code -------------------------------------------------------------------------------------------------------------


def global_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text_of(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


@pytest.mark.slow
def test_no_name_leads_to_code(tmp_path: Path) -> None:
    """Neither the names that are let through for MMAction2's sake, nor those beside them; `ran` is what they want."""
    ran = tmp_path / "ran"
    text = text_of(f"touch '{ran}'")
    buffer = global_of("mmengine.logging.history_buffer", "HistoryBuffer")
    method = global_of("builtins", "getattr") + b"(" + buffer + text_of("mean") + b"tR"
    pickles = {
        "os.system": global_of("os", "system") + b"(" + text + b"tR.",
        "posix.system": global_of("posix", "system") + b"(" + text + b"tR.",
        "builtins.exec": global_of("builtins", "exec") + b"(" + text_of(f"open({str(ran)!r}, 'w')") + b"tR.",
        "getattr of a module": global_of("builtins", "getattr")
        + b"("
        + global_of("os", "path")
        + text_of("os")
        + b"tR.",
        "what getattr gave is called": method + b"(" + text + b"tR.",
        "a buffer is called": buffer + b"(tR(" + text + b"tR.",
        "a name beside it": global_of("mmengine.logging.history_buffer", "HistoryBuffers") + b"(tR.",
        "its module's own import": global_of("mmengine.logging.history_buffer", "os.system") + b"(" + text + b"tR.",
        "a module beside it": global_of("mmengine.logging.history", "HistoryBuffer") + b"(tR.",
        "numpy's loader": global_of("numpy", "load") + b"(" + text + b"tR.",
    }
    whole = files_of(saved({"x": torch.ones(2)}, tmp_path / "whole.pth"))
    (name,) = [name for name in whole if name.endswith("data.pkl")]
    for what, content in pickles.items():
        modern = zipped(tmp_path / "modern.pth", {**whole, name: b"\x80\x02" + content})
        old = tmp_path / "old.pth"
        torch.save({"x": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
        start = old.read_bytes().index(b"\x80\x02}q\x00X\x01\x00\x00\x00x")
        old.write_bytes(old.read_bytes()[:start] + b"\x80\x02" + content)
        for path in (modern, str(old)):
            message = refused(recipe_for(), path)
            assert re.search("(could|would) run code.*so it was not loaded", message), (what, message)
    assert not ran.exists()
    pickle.loads(pickles["os.system"])
    assert ran.exists(), "the pickle does what it is said to do, where somebody lets it"


def test_code_in_the_tar_files_of_2016(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.pth", "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Evil(tmp_path / "it ran"))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert "is not a PyTorch checkpoint" in refused(recipe_for(), str(tmp_path / "x.pth"))
    assert not (tmp_path / "it ran").exists()


def test_a_training_checkpoint_of_mmengine_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    """Its message hub, as mmengine fills it: a HistoryBuffer for each number that is logged."""
    buffer = type("HistoryBuffer", (), {"__module__": "mmengine.logging.history_buffer"})
    log = {f"train/{name}": buffer() for name in ("lr", "data_time", "grad_norm", "loss", "top1_acc")}
    for one in log.values():
        one._log_history, one._count_history, one._max_length = np.arange(5.0), np.ones(5, np.int64), 1_000_000
    document = {
        "meta": {"epoch": 100, "iter": 94000, "dataset_meta": {"classes": ["a", "b", "c"]}, "seed": np.int64(3)},
        "state_dict": mmaction_state(state),
        "message_hub": {"log_scalars": log, "runtime_info": {"epoch": 99}, "resumed_keys": {"train/lr": True}},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "param_schedulers": [{"milestones": {40: 1, 80: 1}, "_last_lr": [0.01], "base_values": [0.01]}],
    }
    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = buffer  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        for name in ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer"):
            patched.setitem(sys.modules, name, module)
        source = saved(document, tmp_path / "epoch_100.pth")
    model = model_for(recipe_for())
    report = load_weights(model, source, recipe_for())
    assert agree(model, state) and report.source_classes == ("a", "b", "c")
    hub = read_checkpoint(Path(source))["message_hub"]["log_scalars"]
    assert {type(one).__name__ for one in hub.values()} == {"_Inert"} and len(hub) == 5


# --- sizes that are made up -------------------------------------------------------------------------------------------


def with_number(path: str, nth: int, number: int, to: Path) -> str:
    """A file of 16 numbers whose pickle says another one: nth 0 how long the storage is, 1 how long the tensor."""
    files = files_of(path)
    (name,) = [name for name in files if name.endswith("data.pkl")]
    content = files[name]
    places = [place for code, value, place in pickletools.genops(content) if code.name == "BININT1" and value == 16]
    large = b"\x8a\x06" + number.to_bytes(6, "little")
    files[name] = content[: places[nth]] + large + content[places[nth] + 2 :]
    return zipped(to, files)


@pytest.mark.parametrize("nth", [0, 1], ids=["storage", "tensor"])
def test_a_tensor_that_claims_a_trillion_numbers(nth: int, tmp_path: Path) -> None:
    path = saved({BIAS: torch.arange(16.0)}, tmp_path / "small.pth")
    assert os.path.getsize(with_number(path, nth, 10**12, tmp_path / "x.pth")) < 5000
    refused(recipe_for(), str(tmp_path / "x.pth"))


@pytest.mark.parametrize(
    "bomb",
    [
        {"backbone.extra": torch.ones(1).expand(10**7, 10**6)},
        {"s1_fuse.conv_f2s.weight": torch.ones(1), "head.projection.weight": torch.ones(1).expand(10**7, 10**6)},
        {
            "a.base_layer.weight": torch.ones(1),
            "a.lora_A.default.weight": torch.ones(1).expand(4, 10**7),
            "a.lora_B.default.weight": torch.ones(1).expand(10**7, 4),
        },
    ],
    ids=["dropped", "rearranged", "multiplied"],
)
def test_one_number_that_is_said_to_be_trillions(bomb: State, tmp_path: Path, state: State) -> None:
    message = refused(recipe_for(), saved({**state, **bomb}, tmp_path / "x.pth"))
    assert re.search(r"claims [\d,]{10,} numbers, but the file has 1 for it", message)


def test_a_zip_that_grows_when_it_is_read(tmp_path: Path, state: State) -> None:
    files = files_of(saved(state, tmp_path / "whole.pth"))
    (name,) = [name for name in files if name.endswith("data.pkl")]
    path = zipped(tmp_path / "x.pth", {**files, name: bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 5_000_000
    before = time.process_time()
    assert "is a zip archive with compressed files in it" in refused(recipe_for(), path)
    assert time.process_time() - before < 30  # seconds


# --- what is no state dict, or one that cannot be used ----------------------------------------------------------------


def test_tensors_without_names(tmp_path: Path, state: State) -> None:
    for document in ({0: torch.ones(3)}, {**state, 7: torch.ones(3)}):
        assert "not under names" in refused(recipe_for(), saved(document, tmp_path / "x.pth"))


ODD: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "NaN": (lambda bias: bias * float("nan"), "numbers that are not finite; the training it comes from diverged"),
    "infinity": (lambda bias: bias + float("inf"), "numbers that are not finite"),
    "complex": (lambda bias: bias.to(torch.complex64), "they are of the type complex64"),
    "float8": (lambda bias: bias.to(torch.float8_e4m3fn), "they are of the type float8_e4m3fn"),
    "whole numbers": (lambda bias: bias.to(torch.int8), "holds whole numbers (int8) and no fractions"),
    "truths": (lambda bias: bias > 0, "holds whole numbers (bool)"),
    "quantised": (lambda bias: torch.quantize_per_tensor(bias, 0.1, 0, torch.qint8), "of the type qint8"),
    "sparse": (lambda bias: bias.to_sparse(), "it is a sparse or nested tensor"),
    "nested": (lambda bias: torch.nested.nested_tensor([bias, bias[:1]]), "it is a sparse or nested tensor"),
    "meta": (lambda bias: bias.to("meta"), "it is a meta tensor"),
    "another shape": (lambda bias: bias[:5].clone(), "has the shape 5, but 16 is needed"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_cannot_be_used(kind: str, tmp_path: Path, state: State) -> None:
    make, sentence = ODD[kind]
    message = refused(recipe_for(), saved({**state, BIAS: make(state[BIAS])}, tmp_path / "x.pth"))
    assert BIAS in message and sentence in message


def test_half_precision_is_fine(tmp_path: Path, state: State) -> None:
    halves = {key: value.bfloat16() if value.is_floating_point() else value for key, value in state.items()}
    model = model_for(recipe_for())
    load_weights(model, saved(halves, tmp_path / "x.pth"), recipe_for())
    assert agree(model, {key: value.to(state[key].dtype) for key, value in halves.items()})


def test_a_flipped_bit_is_doubted(tmp_path: Path, state: State) -> None:
    """torch.load does not look at the checksums of a mapped file."""
    path = Path(saved(state, tmp_path / "x.pth"))
    assert load_weights(model_for(recipe_for()), str(path), recipe_for()).doubts == ()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (doubt,) = load_weights(model_for(recipe_for()), str(path), recipe_for()).doubts
    assert re.fullmatch(r"x/data/\d+ in the file has not the checksum it was saved with: it may be damaged.", doubt)


def test_another_network(tmp_path: Path) -> None:
    language_model: dict[str, Any] = {"embeddings.weight": torch.ones(5, 2), "encoder.0.weight": torch.ones(2, 2)}
    message = refused(recipe_for(), saved(language_model, tmp_path / "x.pth"))
    assert "only 0 of the backbone's 60 tensors" in message and "embeddings.weight" in message
