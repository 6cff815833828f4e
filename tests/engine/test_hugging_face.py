"""Networks of Hugging Face's transformers library: what their folder says, the library's own logits, a training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import RecipeError
from engine.hugging_face import as_text, classes_beside, from_text, normalisation, read_config
from engine.model import build_model
from engine.recipe import Recipe, load_recipe, recipe_from, resolve_recipe, save_recipe, with_absolute_paths
from engine.weights.load import load_weights
from tests.engine.networks import CLASSES, CONFIGS, describe, save_network

# --- what a folder says; the library is not needed --------------------------------------------------------------------


def write(path: Path, *lines: str) -> Path:
    path.write_text('[model]\nrecognizer = "transformers"\nbackbone = "videomae"\n' + "\n".join(lines))
    return path


def test_the_folder_fills_in_what_the_recipe_leaves_out(tmp_path: Path) -> None:
    folder = describe(tmp_path / "videomae")
    resolved = resolve_recipe(write(tmp_path / "recipe.toml"))
    model, dataset = resolved.recipe.model, resolved.recipe.dataset
    assert (model.backbone, model.frames, model.segments, model.clip_len) == (str(folder), 4, 4, 0)
    assert model.mean == pytest.approx((102, 127.5, 153)) and model.std == pytest.approx((63.75, 63.75, 51))
    assert (dataset.short_side, dataset.frame_size) == (36, 32)
    assert from_text(model.backbone_config) == {"model_type": "videomae", **CONFIGS["videomae"]}
    assert resolved.origins["model.mean"] == str(folder / "preprocessor_config.json")
    assert resolved.origins["model.segments"] == str(folder / "config.json")
    assert resolved.origins["model.backbone"].endswith("recipe.toml:3")


def test_what_a_preset_says_of_another_network_gives_way_and_what_the_recipe_says_stays(tmp_path: Path) -> None:
    describe(tmp_path / "videomae")
    recipe = tmp_path / "recipe.toml"
    write(recipe, "frame_interval = 2", "[dataset]", "short_side = 48")
    recipe.write_text(f'extends = "videomae-b-kinetics400"\n{recipe.read_text()}')
    loaded = load_recipe(recipe)
    assert (loaded.model.clip_len, loaded.model.frame_interval) == (4, 2), "dense clips, as in the preset"
    assert loaded.model.mean == pytest.approx((102, 127.5, 153))
    assert (loaded.dataset.short_side, loaded.dataset.frame_size) == (48, 32)


def test_another_mean_than_the_networks_is_refused(tmp_path: Path) -> None:
    folder = describe(tmp_path / "videomae")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "recipe.toml", "mean = [123.675, 116.28, 103.53]"))
    assert str(caught.value) == (
        f"{tmp_path}/recipe.toml:4: [model] mean is [123.675, 116.28, 103.53], but {folder}/preprocessor_config.json "
        "says [102.0, 127.5, 153.0]; leave it out, and that is taken."
    )
    load_recipe(write(tmp_path / "recipe.toml", "mean = [102, 127.5, 153]"))


def test_a_runs_recipe_needs_the_folder_no_more(tmp_path: Path) -> None:
    folder = describe(tmp_path / "videomae")
    recipe = with_absolute_paths(load_recipe(write(tmp_path / "recipe.toml")))
    save_recipe(recipe, tmp_path / "run.toml")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert load_recipe(tmp_path / "run.toml") == recipe
    with pytest.raises(RecipeError, match="is no folder"):
        load_recipe(tmp_path / "run.toml", {"model.backbone": "videomae"})  # another one, perhaps


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({}, (102, 127.5, 153), (63.75, 63.75, 51)),
        ({"do_normalize": False}, (0, 0, 0), (255, 255, 255)),
        ({"do_rescale": False}, (0.4, 0.5, 0.6), (0.25, 0.25, 0.2)),
        # ViViT's: value / 127.5 - 1, then mean and std.
        ({"rescale_factor": 1 / 127.5, "offset": True}, (178.5, 191.25, 204), (31.875, 31.875, 25.5)),
        ({"rescale_factor": 1 / 127.5, "video_processor_type": "VivitVideoProcessor"}, (178.5, 191.25, 204), None),
    ],
)
def test_the_processors_arithmetic(tmp_path: Path, processor: dict[str, Any], mean: Any, std: Any) -> None:
    words = normalisation(describe(tmp_path / "videomae", **processor))[1]
    assert words["model.mean"] == pytest.approx(mean)
    assert std is None or words["model.std"] == pytest.approx(std)


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (None, "is no folder; give the folder of a model"),
        ({}, "it has no config.json"),
        ({"config.json": "{"}, "config.json cannot be read as JSON"),
        ({"config.json": "[]"}, "holds no JSON object"),
        ({"config.json": '{"hidden_size": 32}'}, 'config.json names no "model_type"'),
        (
            {"config.json": '{"model_type": "vivit"}', "preprocessor_config.json": "?"},
            "preprocessor_config.json cannot",
        ),
    ],
)
def test_a_folder_of_something_else(tmp_path: Path, contents: dict[str, str] | None, sentence: str) -> None:
    if contents is not None:
        (tmp_path / "videomae").mkdir()
        for name, text in contents.items():
            (tmp_path / "videomae" / name).write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "recipe.toml"))
    assert sentence in str(caught.value) and str(caught.value).startswith(f"{tmp_path}/recipe.toml:3: ")
    assert "\n" not in str(caught.value)


def test_a_recognizer_without_a_folder() -> None:
    with pytest.raises(RecipeError, match=r"needs backbone: the folder of a model"):
        recipe_from({"model": {"recognizer": "transformers"}})


@pytest.mark.parametrize("text", ["{", "[1]", '{"num_frames": 4}'])
def test_a_config_that_is_none(text: str) -> None:
    with pytest.raises(RecipeError, match=r"\[model\] backbone_config"):
        recipe_from({"model": {"recognizer": "transformers", "backbone": "x", "backbone_config": text}})


def test_what_could_run_code_or_is_not_of_the_network_is_left_out() -> None:
    config = {"model_type": "vivit", "num_frames": 4}
    hostile = {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "evil/kernel", "torch_dtype": "float16"}
    assert from_text(as_text({**config, **hostile, "id2label": {"0": "a"}})) == config
    assert from_text(json.dumps({**config, **hostile})) == config


def test_class_names_beside_the_weights(tmp_path: Path) -> None:
    weights = describe(tmp_path / "videomae") / "model.safetensors"
    assert classes_beside(weights) == CLASSES
    numbered = describe(tmp_path / "numbered", config={"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    assert classes_beside(numbered / "model.safetensors") == ()
    assert classes_beside(tmp_path / "model.safetensors") == ()
    assert read_config(numbered)["model_type"] == "videomae"


def test_without_the_library_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(tmp_path / "videomae")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RecipeError, match=r"needs the transformers library.*pip install 'ftwiz\[hf\]'"):
        build_model(load_recipe(write(tmp_path / "recipe.toml", "[head]", "num_classes = 3")))


# --- the library's networks -------------------------------------------------------------------------------------------

KINDS = list(CONFIGS)


def recipe_of(folder: Path, num_classes: int = len(CLASSES), **tables: dict[str, Any]) -> Recipe:
    document = {
        "model": {"recognizer": "transformers", "backbone": str(folder), **tables.pop("model", {})},
        "head": {"num_classes": num_classes, **tables.pop("head", {})},
        "weights": {"load_from": str(folder / "model.safetensors")},
        **tables,
    }
    return recipe_from(document)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_librarys_logits_of_its_own_pixel_values(kind: str, tmp_path: Path) -> None:
    theirs = save_network(tmp_path / kind, kind)
    recipe = recipe_of(tmp_path / kind)
    model = build_model(recipe).eval()
    report = load_weights(model, recipe.weights.load_from, recipe)
    assert report.backbone_share == 1.0 and not report.reinitialised and not report.missing
    assert report.source_classes == CLASSES and report.dialect == "Hugging Face names"
    assert all(".predictor." in note.name for note in report.dropped)

    from transformers import VideoMAEVideoProcessor

    from engine.dataset.augment import normalise

    clips = torch.randint(256, (2, recipe.model.frames, 3, 36, 36), dtype=torch.uint8)
    processor = VideoMAEVideoProcessor.from_pretrained(tmp_path / kind)
    pixel_values = processor(list(clips), return_tensors="pt")["pixel_values"]
    ours = normalise(clips[..., 2:34, 2:34], recipe.model)  # the centre
    torch.testing.assert_close(ours, pixel_values, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(model(pixel_values), theirs(pixel_values).logits, rtol=2e-6, atol=2e-6)
