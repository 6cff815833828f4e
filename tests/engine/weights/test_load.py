"""What is in a file reaches the model, all of it or none, and the report says exactly what."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.checkpoint import save_checkpoint
from engine.errors import ExitCode, WeightsError
from engine.model import build_model
from engine.recipe import Recipe, recipe_from
from engine.run_folder import RunFolder
from engine.weights.checkpoint_file import read_checkpoint
from engine.weights.fetch import checkpoints_folder
from engine.weights.load import LoadReport, initialise, load_weights
from engine.weights.named import address_of
from tests.engine.weights.file_server import Site, serve
from tests.engine.weights.mmaction_names import mmaction_state

# after engine.model, which prepares torchvision's import
from torchvision import models  # isort: skip

State = dict[str, torch.Tensor]


def recipe_for(classes: int = 3, backbone: str = "resnet10_slim", recognizer: str = "tsm", **tables: Any) -> Recipe:
    document: dict[str, Any] = {
        "model": {"recognizer": recognizer, "backbone": backbone, "segments": 2},
        "head": {"num_classes": classes},
        "dataset": {"frame_size": 32},
    }
    for table, values in tables.items():
        document[table] = {**document.get(table, {}), **values}
    return recipe_from(document)


def model_for(recipe: Recipe, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(recipe)


def trained(recipe: Recipe, seed: int = 1) -> State:
    """The state dict of another model, its running statistics no longer the initial ones."""
    state = model_for(recipe, seed).state_dict()
    generator = torch.Generator().manual_seed(seed)
    return {
        key: value + torch.rand(value.shape, generator=generator) if value.is_floating_point() else value + seed
        for key, value in state.items()
    }


def saved(document: Any, path: Path, **options: Any) -> str:
    torch.save(document, path, **options)
    return str(path)


def agree(model: nn.Module, state: State, but: tuple[str, ...] = ()) -> bool:
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items() if not key.startswith(but))


def refused(recipe: Recipe, source: str, **options: Any) -> str:
    """The one sentence of a WeightsError; the model is as it was."""
    model = model_for(recipe)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, source, recipe, **options)
    assert caught.value.exit_code == ExitCode.WEIGHTS
    assert agree(model, before)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- image weights in 3D networks ------------------------------------------------------------------------------------


def image_weights(backbone: str = "resnet18", seed: int = 3) -> State:
    """As torchvision saves a classifier."""
    state = trained(recipe_for(1000, backbone=backbone, recognizer="tsn"), seed)
    return {key.removeprefix("backbone.").replace("head.fc.", "fc."): value for key, value in state.items()}


@pytest.mark.parametrize("recognizer", ["slowonly", "i3d"])
def test_image_kernels_are_inflated_over_time(recognizer: str, tmp_path: Path) -> None:
    """On a clip that stands still, the inflated kernel gives what the image's gave on the image."""
    recipe = recipe_for(backbone="resnet18", recognizer=recognizer, model={"clip_len": 8})
    model, image = model_for(recipe), image_weights()
    report = load_weights(model, saved(image, tmp_path / "x.pth"), recipe, backbone_only=True)
    assert report.lines()[1:3] == [
        "kept 120 of 122 tensors (100.0 % of the backbone)",
        "inflated 20 image kernels: repeated over time, divided by their length in time",
    ]
    for key, value in model.state_dict().items():
        if key.startswith("backbone."):
            there = image[key.removeprefix("backbone.")]
            assert value.shape == there.shape if there.dim() < 4 else value.dim() == 5
            torch.testing.assert_close(value.sum(dim=2) if value.dim() == 5 else value, there)
    kernel = model.state_dict()["backbone.layer4.1.conv1.weight"]
    assert kernel.shape[2] == 3 and torch.equal(kernel[:, :, 0], kernel[:, :, 2])


def test_an_image_network_is_no_whole_3d_network(tmp_path: Path) -> None:
    recipe = recipe_for(backbone="resnet18", recognizer="slowonly", model={"clip_len": 4})
    message = refused(recipe, saved(image_weights(), tmp_path / "x.pth"))
    assert "name it in [weights] backbone, which inflates its kernels over time." in message


@pytest.mark.slow
def test_another_3d_network_is_refused(tmp_path: Path) -> None:
    """I3D and SlowOnly have the same names; only the lengths of their kernels differ."""
    i3d, slowonly = (
        recipe_for(backbone="resnet18", recognizer=name, model={"clip_len": 8}) for name in ("i3d", "slowonly")
    )
    message = refused(slowonly, saved(mmaction_state(trained(i3d)), tmp_path / "i3d.pth"))
    assert "backbone.conv1.weight has the shape 64×3×5×7×7, but 64×3×1×7×7 is needed" in message
    assert 'over 5 frames there, SlowOnly\'s over 1: it is another network; is model.recognizer = "slowonly"' in message
    deeper = recipe_for(backbone="resnet34", recognizer="slowonly", model={"clip_len": 8})
    message = refused(slowonly, saved(mmaction_state(trained(deeper)), tmp_path / "r34.pth"))
    assert 'looks like resnet34: is model.backbone = "resnet18" right?' in message


# --- transformers of other sizes --------------------------------------------------------------------------------------


def transformer(recognizer: str, backbone: str, clip_len: int) -> Recipe:
    return recipe_for(
        recognizer=recognizer, backbone=backbone, model={"clip_len": clip_len}, dataset={"frame_size": 64}
    )


@pytest.mark.slow
def test_sinusoids_for_clips_of_another_length_are_computed(tmp_path: Path) -> None:
    longer, shorter = (transformer("videomae", "vit_small_p16", clip_len) for clip_len in (8, 4))
    state = trained(longer)
    model = model_for(shorter)
    sinusoids = model.state_dict()["backbone.pos_embed"].clone()
    report = load_weights(model, saved(state, tmp_path / "x.pth"), shorter)
    assert agree(model, state, but=("backbone.pos_embed",))
    assert torch.equal(model.state_dict()["backbone.pos_embed"], sinusoids)
    assert report.backbone_share == 1.0 and len(report.kept) == len(state)
    same = model_for(longer)
    load_weights(same, saved(state, tmp_path / "x.pth"), longer)
    assert agree(same, state), "where they fit, the file's are taken: they may have been learnt"


@pytest.mark.slow
def test_a_learnt_table_of_places_must_fit(tmp_path: Path) -> None:
    longer, shorter = (transformer("mvit", "mvit_v2_t", clip_len) for clip_len in (8, 4))
    message = refused(shorter, saved(trained(longer), tmp_path / "x.pth"))
    assert (
        "rel_pos_t has the shape 7×96, but 3×96 is needed; the file was trained on clips of another length" in message
    )


@pytest.mark.slow
def test_swins_windows_are_not_loaded(tmp_path: Path) -> None:
    """They follow from the window's size, and MMAction2 stores them in another shape."""
    recipe = transformer("swin3d", "swin3d_t", 4)
    state = trained(recipe)
    index = "backbone.features.0.0.attn.relative_position_index"
    before = state[index] - 1  # trained() counts up what are whole numbers
    state[index] = torch.zeros(3, 3, dtype=torch.int64)
    model = model_for(recipe)
    report = load_weights(model, saved(state, tmp_path / "x.pth"), recipe)
    assert torch.equal(model.state_dict()[index], before)
    assert len(report.kept) == len(state) and report.backbone_share == 1.0 and not report.dropped


# --- what is reused ---------------------------------------------------------------------------------------------------


def test_a_file_with_mmactions_names_and_other_classes(tmp_path: Path) -> None:
    recipe = recipe_for(7)
    state = trained(recipe_for(400))
    source = saved({"meta": {}, "state_dict": mmaction_state(state, shifted=True)}, tmp_path / "tsm.pth")
    model = model_for(recipe)
    fresh_head = model.head.fc.weight.clone()
    report = load_weights(model, source, recipe)
    assert agree(model, state, but=("head.",))
    assert torch.equal(model.head.fc.weight, fresh_head)
    total = len(state)
    assert report.lines() == [
        "TSM resnet10_slim from tsm.pth (MMAction2 names)",
        f"kept {total - 2} of {total} tensors (100.0 % of the backbone)",
        f"re-initialised 2 of {total} tensors: head 400 → 7 (expected: the class count differs)",
    ]
    note = report.reinitialised[0]
    assert (note.name, note.there, note.here) == ("head.fc.weight", (400, 128), (7, 128))
    assert report.sha256 == hashlib.sha256(Path(source).read_bytes()).hexdigest()
    assert (report.backbone_share, report.missing, report.dropped, report.doubts) == (1.0, (), (), ())


def test_the_same_class_count_keeps_the_head(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    model = model_for(recipe)
    report = load_weights(model, saved(mmaction_state(state), tmp_path / "x.pth"), recipe)
    assert agree(model, state)
    assert len(report.kept) == len(state) and report.head_change == ""


def test_an_image_classifier_gives_its_backbone(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    image = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    image |= {"fc.weight": torch.ones(1000, 128), "fc.bias": torch.ones(1000)}
    model = model_for(recipe)
    report = load_weights(model, saved(image, tmp_path / "x.pth"), recipe, backbone_only=True)
    assert agree(model, state, but=("head.",))
    assert report.dialect == "torchvision names"
    assert report.lines()[-1].endswith("head 1000 → 3 (expected: only the backbone is taken)")


def test_files_of_before_2018_have_no_batch_counters(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = {key: value for key, value in trained(recipe).items() if not key.endswith("num_batches_tracked")}
    report = load_weights(model_for(recipe), saved(state, tmp_path / "x.pth"), recipe)
    assert report.backbone_share == 1.0
    assert report.lines()[-1] == "not in the file: 12 batch counters, which start at 0 (expected: an older file)"


def test_what_the_model_does_not_have_is_dropped_and_named(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    source = saved({**state, "backbone.extra": torch.ones(2, 3)}, tmp_path / "x.pth")
    report = load_weights(model_for(recipe), source, recipe)
    assert "dropped 1 tensor: backbone.extra 2×3" in report.lines()


@pytest.mark.slow
@pytest.mark.parametrize("modern", [True, False], ids=["zip", "before 2020"])
@pytest.mark.parametrize("wrapper", ["state_dict", "model_state", "model"])
def test_both_file_formats_and_every_wrapper(tmp_path: Path, modern: bool, wrapper: str) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    parallel = {f"module.{key}": value for key, value in state.items()}
    source = saved({wrapper: parallel, "epoch": 3}, tmp_path / "x.pth", _use_new_zipfile_serialization=modern)
    model = model_for(recipe)
    load_weights(model, source, recipe)
    assert agree(model, state)


def test_a_model_does_not_hang_on_the_file(tmp_path: Path) -> None:
    """The file is mapped into memory while it is read; the parameters must be copies."""
    recipe = recipe_for()
    state = trained(recipe)
    source = saved(state, tmp_path / "x.pth")
    model = model_for(recipe)
    load_weights(model, source, recipe)
    with open(source, "r+b") as file:
        file.write(bytes(os.path.getsize(source)))
    assert agree(model, state)


# --- projections apart ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_projections_that_are_stored_apart_are_joined(tmp_path: Path) -> None:
    recipe = recipe_for(recognizer="mvit", backbone="mvit_v2_t", model={"clip_len": 4}, dataset={"frame_size": 64})
    state = trained(recipe)
    apart = {}
    for key, value in state.items():
        stem, found, kind = key.partition(".attn.qkv.")
        parts = zip("qkv", value.chunk(3), strict=True) if found else [("", value)]
        apart.update({f"{stem}.attn.{letter}.{kind}" if found else key: part.clone() for letter, part in parts})
    assert len(apart) > len(state)
    model = model_for(recipe)
    load_weights(model, saved(apart, tmp_path / "x.pth"), recipe)
    assert agree(model, state)


# --- safetensors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "downloaded"])
def test_safetensors(tmp_path: Path, name: str) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    save_file(mmaction_state(state), tmp_path / name, metadata={"format": "pt"})
    model = model_for(recipe)
    report = load_weights(model, str(tmp_path / name), recipe)
    assert agree(model, state)
    assert report.dialect == "MMAction2 names"


def test_weights_in_several_files(tmp_path: Path) -> None:
    """One index, two files beside it; the report's sha256 stands for the tensors, not for the index."""
    recipe = recipe_for()
    state = trained(recipe)
    keys = sorted(state)
    halves = {"model-1.safetensors": keys[::2], "model-2.safetensors": keys[1::2]}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: name for name, half in halves.items() for key in half}}))
    hashes = set()
    for factor in (1, 2):
        for name, half in halves.items():
            save_file({key: state[key] * factor for key in half}, tmp_path / name)
        model = model_for(recipe)
        hashes.add(load_weights(model, str(index), recipe).sha256)
        assert agree(model, {key: value * factor for key, value in state.items()})
    assert len(hashes) == 2
    (tmp_path / "model-2.safetensors").unlink()
    assert "model-2.safetensors cannot be read: No such file" in refused(recipe, str(index))


@pytest.mark.slow
def test_broken_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file(trained(recipe_for()), file)
    whole = file.read_bytes()
    for content in (whole[:-1000], whole[:20], whole[:4], b"not one at all" * 9, whole[:8] + b"?" + whole[9:]):
        file.write_bytes(content)
        assert "x.safetensors is cut off or damaged" in refused(recipe_for(), str(file))
    save_file({"a": torch.tensor([float("nan")])}, file)
    assert "only 0 of the backbone's" in refused(recipe_for(), str(file))
    saved(trained(recipe_for()), file)
    assert "was written by torch.save, not as safetensors; rename it" in refused(recipe_for(), str(file))


# --- class names ------------------------------------------------------------------------------------------------------


def our_checkpoint(tmp_path: Path, classes: tuple[str, ...]) -> tuple[str, State]:
    recipe = recipe_for(len(classes), dataset={"classes": list(classes)})
    state = trained(recipe)
    run = tmp_path / "runs" / "first"
    (run / "checkpoints").mkdir(parents=True)
    save_checkpoint(RunFolder(run), {"model": state, "epoch": 4}, recipe, ["last.pt", "best.pt"])
    return str(run), state


def test_a_run_of_ours_with_the_same_classes_is_taken_whole(tmp_path: Path) -> None:
    source, state = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    recipe = recipe_for(dataset={"classes": ["push", "pull", "turn"]})
    model = model_for(recipe)
    report = load_weights(model, source, recipe)
    assert agree(model, state)
    assert report.source_classes == ("push", "pull", "turn")
    assert report.lines()[0] == "TSM resnet10_slim from first/checkpoints/best.pt (ftwiz names)"
    assert report.lines()[-1] == "the file knows 3 classes: push, pull, turn"


def test_of_a_run_with_a_moving_average_that_is_taken(tmp_path: Path) -> None:
    """As `ftwiz test` does; and of the checkpoint that is named, not of the best one."""
    recipe = recipe_for()
    run = tmp_path / "runs" / "second"
    (run / "checkpoints").mkdir(parents=True)
    averages = {name: trained(recipe, seed) for name, seed in (("best", 2), ("epoch-005", 3))}
    for name, average in averages.items():
        state = {"model": trained(recipe), "average": average, "epoch": 4}
        save_checkpoint(RunFolder(run), state, recipe, [f"{name}.pt"])
    for name, average in averages.items():
        model = model_for(recipe)
        load_weights(model, f"{run}:{name}", recipe)
        assert agree(model, average)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [["push", "fall", "turn"], ["push", "turn", "pull"]], ids=["other", "other order"])
def test_names_travel_ids_do_not(tmp_path: Path, classes: list[str]) -> None:
    source, state = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    recipe = recipe_for(dataset={"classes": classes})
    model = model_for(recipe)
    report = load_weights(model, source, recipe)
    assert agree(model, state, but=("head.",)) and not agree(model, state)
    assert f'other ones: class 1 was "pull", is "{classes[1]}"' in "\n".join(report.lines())


def test_unknown_names_and_an_equal_count_keep_the_head(tmp_path: Path) -> None:
    source, state = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    model = model_for(recipe_for())
    load_weights(model, source, recipe_for())
    assert agree(model, state)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_resnet_is_named(tmp_path: Path) -> None:
    of_18 = saved(trained(recipe_for(backbone="resnet18")), tmp_path / "18.pth")
    of_34 = saved(trained(recipe_for(backbone="resnet34")), tmp_path / "34.pth")
    message = refused(recipe_for(backbone="resnet50"), of_18)
    assert "backbone.layer1.0.conv1.weight has the shape 64×64×3×3, but 64×64×1×1 is needed" in message
    assert 'looks like resnet18: is model.backbone = "resnet50" right?' in message
    # Every tensor of a ResNet-18 is in a ResNet-34, with the same shape; the other 18 layers would be thrown away.
    assert "looks like resnet34" in refused(recipe_for(backbone="resnet18"), of_34)
    partial = recipe_for(backbone="resnet18", weights={"allow_partial": True})
    report = load_weights(model_for(partial), of_34, partial)
    assert report.lines()[-1] == 'check: the file looks like resnet34: is model.backbone = "resnet18" right?'
    deeper = recipe_for(backbone="resnet34")
    assert "looks like resnet18" in refused(deeper, of_18)


def test_a_3d_network_is_named(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = {key: value.unsqueeze(2) if value.ndim == 4 else value for key, value in trained(recipe).items()}
    assert "3D network" in refused(recipe, saved(state, tmp_path / "x.pth"))


def test_less_than_half_of_the_backbone(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = {key: value for key, value in trained(recipe).items() if not key.startswith("backbone.layer4")}
    source = saved(
        {**state, "backbone.stage4.a": torch.ones(1), "backbone.stage4.b": torch.ones(1)}, tmp_path / "x.pth"
    )
    message = refused(recipe, source)
    assert "only 45 of the backbone's 60 tensors (25.2 %" in message
    assert "backbone.stage4.a and backbone.stage4.b" in message
    assert "backbone.layer4.0.conv1.weight and backbone.layer4.0.bn1.weight" in message
    assert "weights.allow_partial = true" in message
    report = load_weights(model_for(recipe), source, recipe_for(weights={"allow_partial": True}))
    assert 0.2 < report.backbone_share < 0.3
    assert "not in the file: 15 tensors: backbone.layer4.0.conv1.weight 128×64×3×3" in "\n".join(report.lines())


@pytest.mark.parametrize("allow_partial", [False, True])
def test_nothing_matched_is_never_training_from_scratch(tmp_path: Path, allow_partial: bool) -> None:
    recipe = recipe_for(weights={"allow_partial": allow_partial})
    source = saved({"encoder.a": torch.ones(3), "encoder.b": torch.ones(3)}, tmp_path / "x.pth")
    message = refused(recipe, source)
    assert "only 0 of the backbone's 60 tensors (0.0 % of its parameters)" in message
    assert "the file has encoder.a and encoder.b" in message
    assert "empty [weights] trains from scratch" in message


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    recipe = recipe_for()
    state = trained(recipe)
    state["backbone.bn1.bias"][3] = float("nan")
    message = refused(recipe, saved(state, tmp_path / "x.pth"))
    assert "backbone.bn1.bias" in message and "not finite" in message


# --- hostile and broken files -----------------------------------------------------------------------------------------


class Evil:
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "before 2020"])
def test_code_in_a_file_is_named_and_not_run(tmp_path: Path, modern: bool) -> None:
    witness = tmp_path / "it ran"
    source = saved(
        {"state_dict": trained(recipe_for()), "meta": Evil(witness)},
        tmp_path / "x.pth",
        _use_new_zipfile_serialization=modern,
    )
    message = refused(recipe_for(), source)
    assert "mkdir" in message and "could run code" in message
    assert not witness.exists()
    torch.load(source, weights_only=False)
    assert witness.exists()  # the file does what it is said to do


def test_a_pickle_of_another_kind_is_not_run(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file = tmp_path / f"{protocol}.pth"
        file.write_bytes(pickle.dumps(Evil(tmp_path / "it ran"), protocol))
        assert str(file) in refused(recipe_for(), str(file))
    assert not (tmp_path / "it ran").exists()


def test_a_whole_model_saved_as_an_object(tmp_path: Path) -> None:
    message = refused(recipe_for(), saved(nn.Sequential(nn.Linear(1, 1)), tmp_path / "x.pth"))
    assert "torch.nn.modules.container.Sequential" in message and "state_dict()" in message


class HistoryBuffer:
    """Saved as MMEngine's is: named from its module, with numpy arrays and its own methods in its state."""

    def __init__(self) -> None:
        self._log_history = np.array([1.0, 2.0])
        self.statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self) -> float:
        return float(self._log_history.mean())


@pytest.mark.parametrize("modern", [True, False], ids=["zip", "before 2020"])
def test_mmactions_training_checkpoints_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modern: bool) -> None:
    name = "mmengine.logging.history_buffer"
    module = types.ModuleType(name)
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    recipe = recipe_for()
    state = trained(recipe)
    document = {
        "meta": {"dataset_meta": {"classes": ["a", "b", "c"]}},
        "state_dict": mmaction_state(state),
        "message_hub": {"loss": HistoryBuffer(), "best": np.float64(1.5), "lr": np.arange(3)},
    }
    with monkeypatch.context() as patched:
        for part in ("mmengine", "mmengine.logging", name):
            patched.setitem(sys.modules, part, module)
        patched.setattr(HistoryBuffer, "__module__", name)
        patched.setattr(HistoryBuffer.mean, "__module__", name)
        source = saved(document, tmp_path / "x.pth", _use_new_zipfile_serialization=modern)
    assert name not in sys.modules
    model = model_for(recipe)
    report = load_weights(model, source, recipe)
    assert agree(model, state)
    assert report.source_classes == ("a", "b", "c")
    assert type(read_checkpoint(Path(source))["message_hub"]["loss"]).__name__ == "_Inert"


def whole_file(folder: Path, **options: Any) -> bytes:
    return Path(saved(trained(recipe_for()), folder / "whole", **options)).read_bytes()


def zip_of_text(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("model.txt", "no")
    return (folder / "zip").read_bytes()


def script(folder: Path) -> bytes:
    torch.jit.script(nn.Linear(2, 2)).save(str(folder / "script"))
    return (folder / "script").read_bytes()


BROKEN: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "cut off": (lambda folder: whole_file(folder)[:-5000], "is cut off"),
    "cut off early": (lambda folder: whole_file(folder)[:10], "is cut off"),
    "old, cut off": (lambda f: whole_file(f, _use_new_zipfile_serialization=False)[:-9], "cut off or damaged"),
    "old, cut off early": (lambda f: whole_file(f, _use_new_zipfile_serialization=False)[:60], "cut off or damaged"),
    "text": (lambda _: b"404: Not Found", "is not a PyTorch checkpoint"),
    "noise": (lambda _: np.random.default_rng(0).bytes(5000), "is not a PyTorch checkpoint"),
    "zip": (zip_of_text, "is a zip archive"),
    "script": (script, "is a TorchScript program"),
    "empty": (lambda _: b"", "is empty"),
    "page": (lambda _: b"<!doctype html>", "is a web page"),
    "pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.filterwarnings("ignore")
def test_broken_files(tmp_path: Path, kind: str) -> None:
    make, sentence = BROKEN[kind]
    content = make(tmp_path)
    file = tmp_path / "x.pth"
    file.write_bytes(content)
    message = refused(recipe_for(), str(file))
    assert sentence in message and str(file) in message


def test_files_without_a_state_dict(tmp_path: Path) -> None:
    assert "holds a list" in refused(recipe_for(), saved([torch.ones(1)], tmp_path / "list.pth"))
    assert "its keys: epoch, lr" in refused(recipe_for(), saved({"epoch": 1, "lr": 2}, tmp_path / "none.pth"))
    meta = saved({"x": torch.ones(2, device="meta")}, tmp_path / "meta.pth")
    assert "x holds no plain numbers" in refused(recipe_for(), meta)
    assert "a folder without checkpoints" in refused(recipe_for(), str(tmp_path))


# --- what [weights] says ----------------------------------------------------------------------------------------------


def initialised(recipe: Recipe) -> tuple[nn.Module, LoadReport | None]:
    model = model_for(recipe)
    return model, initialise(model, recipe)


def test_load_from_wins_over_backbone(tmp_path: Path) -> None:
    whole, body = trained(recipe_for(), seed=1), trained(recipe_for(), seed=2)
    sources = {"load_from": saved(whole, tmp_path / "w.pth"), "backbone": saved(body, tmp_path / "b.pth")}
    model, report = initialised(recipe_for(weights=sources))
    assert agree(model, whole) and report is not None and report.source == sources["load_from"]
    model, report = initialised(recipe_for(weights={"backbone": sources["backbone"]}))
    assert agree(model, body, but=("head.",)) and not agree(model, body)
    model, report = initialised(recipe_for())
    assert report is None and agree(model, model_for(recipe_for()).state_dict())


def test_torchvisions_names_lead_to_its_addresses() -> None:
    assert address_of("torchvision://resnet50") == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    second = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert address_of("torchvision://resnet50.IMAGENET1K_V2") == second
    assert address_of("torchvision://ResNet50_Weights.IMAGENET1K_V2") == second
    assert address_of("torchvision://r2plus1d_18") == "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"
    assert address_of("torchvision://ResNet50_Weights.DEFAULT") == address_of("torchvision://resnet50.default")
    assert address_of("ResNet50_Weights.DEFAULT") == second
    assert address_of("Swin3D_T_Weights.KINETICS400_V1").endswith("/swin3d_t-7615ae03.pth")
    large = "https://download.pytorch.org/models/swin3d_b_22k-7c6ae6fa.pth"
    assert address_of("torchvision://swin3d_b.KINETICS400_IMAGENET22K_V1") == large
    assert address_of("some/file.pth") == "some/file.pth"
    with pytest.raises(WeightsError, match="did you mean resnet50"):
        address_of("torchvision://resnet5O")
    with pytest.raises(WeightsError, match="there is IMAGENET1K_V1, IMAGENET1K_V2"):
        address_of("torchvision://resnet50.V9")


@pytest.mark.parametrize("module", [models, models.video], ids=["image", "video"])
def test_every_enum_of_torchvision_is_understood_as_it_prints_itself(module: types.ModuleType) -> None:
    for name in models.list_models(module=module):
        for weights in models.get_model_weights(name):
            assert address_of(str(weights)) == address_of(f"torchvision://{name}.{weights.name}") == weights.url


def test_torchvisions_weights_are_found_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verified there by the digits in their name, which a file made here cannot have."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    message = refused(recipe_for(), "torchvision://resnet18")
    target = checkpoints_folder() / "resnet18-f37072fd.pth"
    assert f"save it here as {target}" in message
    saved(trained(recipe_for()), target)
    assert "not the expected one" in refused(recipe_for(), "torchvision://resnet18")


def test_a_name_that_promises_another_hash_is_doubted(tmp_path: Path) -> None:
    recipe = recipe_for()
    source = saved(trained(recipe), tmp_path / "tsm-0676ba61.pth")
    report = load_weights(model_for(recipe), source, recipe)
    assert "ends in 0676ba61, but its sha256 begins with" in report.lines()[-1]


def test_the_report_says_which_mirror_gave_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    recipe = recipe_for()
    content = Path(saved(trained(recipe), tmp_path / "x.pth")).read_bytes()
    with serve(Site(content)) as own, serve(Site(content)) as mirror:
        for mirrors, name, taken_from in (
            ([], "a.pth", ""),
            ([f"{mirror.address}/m"], "b.pth", f"{mirror.address}/m/b.pth"),
            ([str(tmp_path)], "x.pth", str(tmp_path)),
        ):
            recipe = recipe_for(weights={"mirror": mirrors})
            report = load_weights(model_for(recipe), f"{own.address}/{name}", recipe)
            assert report.taken_from == taken_from
            assert (f"taken from {taken_from}" in report.lines()) == bool(taken_from)
