"""Networks of Hugging Face's transformers library: what their folder says, the library's own logits, a training."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint import load_checkpoint
from engine.dataset.augment import normalise
from engine.errors import RecipeError, WeightsError
from engine.events import LogReader, WeightsLoaded
from engine.hugging_face import as_text, classes_beside, from_text, normalisation, read_config
from engine.lora import add_corrections, merged
from engine.model import build_model
from engine.model.vit import SIZES
from engine.recipe import Recipe, load_recipe, recipe_from, resolve_recipe, save_recipe, with_absolute_paths
from engine.recognizers import TITLES
from engine.run_folder import RunFolder, create_run_folder
from engine.schedule import set_frozen
from engine.set_up import check_test_frames
from engine.train import fit
from engine.weights.load import load_weights
from tests.clips import make_dataset, write_recipe
from tests.engine.networks import CLASSES, CONFIGS, describe, save_network
from tests.engine.test_clip_models import parameters_by_stage
from tests.engine.weights.file_server import Site, serve
from tests.test_clip_run import ftwiz
from wizard.run import prepare

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
    words = normalisation(describe(tmp_path / "videomae", **processor) / "preprocessor_config.json")
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
    with pytest.raises(RecipeError, match=r"^--set: .* needs backbone"):
        load_recipe("tsn-r50-kinetics400", {"model.recognizer": "transformers"})


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
    assert read_config(numbered / "config.json")["model_type"] == "videomae"


def test_without_the_library_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(tmp_path / "videomae")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RecipeError, match=r"needs the transformers library.*pip install 'ftwiz\[hf\]'"):
        build_model(load_recipe(write(tmp_path / "recipe.toml", "[head]", "num_classes = 3")))
    with pytest.raises(RecipeError, match=r"pip install 'ftwiz\[hf\]'"):  # before anything is made
        prepare(str(tmp_path / "recipe.toml"), tmp_path / "run", {})
    assert not (tmp_path / "run").exists()


def test_a_library_that_cannot_be_imported_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(tmp_path / "videomae")
    (tmp_path / "transformers.py").write_text("raise ImportError('tokenizers is too old\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RecipeError, match=r"cannot be used \(tokenizers is too old\): pip install --upgrade"):
        build_model(load_recipe(write(tmp_path / "recipe.toml", "[head]", "num_classes = 3")))


# --- the library's networks -------------------------------------------------------------------------------------------

KINDS = list(CONFIGS)


def recipe_of(folder: Path, num_classes: int = len(CLASSES), **tables: dict[str, Any]) -> Recipe:
    document = {
        "model": {"recognizer": "transformers", "backbone": str(folder), **tables.pop("model", {})},
        "head": {"num_classes": num_classes, **tables.pop("head", {})},
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

    clips = torch.randint(256, (2, recipe.model.frames, 3, 36, 36), dtype=torch.uint8)
    pixel_values = their_pixel_values(tmp_path / kind, clips)
    ours = normalise(clips[..., 2:34, 2:34], recipe.model)  # the centre
    torch.testing.assert_close(ours, pixel_values, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        logits = theirs(pixel_values).logits
        torch.testing.assert_close(model(pixel_values), logits, rtol=2e-6, atol=2e-6)
        assert (model(pixel_values.flip(-1)) - logits).abs().max() > 1e-4, "mirrored, as a control"


def their_pixel_values(folder: Path, clips: torch.Tensor) -> torch.Tensor:
    """By the library's processor of videos, or of images in transformers 4."""
    import transformers

    if of_videos := getattr(transformers, "VideoMAEVideoProcessor", None):
        return of_videos.from_pretrained(folder)(list(clips), return_tensors="pt")["pixel_values"]
    of_images = transformers.VideoMAEImageProcessor.from_pretrained(folder)
    return of_images([list(clip.numpy()) for clip in clips], return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_head_on_the_same_backbone(kind: str, tmp_path: Path) -> None:
    theirs = save_network(tmp_path / kind, kind)
    recipe = recipe_of(tmp_path / kind, num_classes=7, head={"init_std": 0.5})
    model = build_model(recipe)
    report = load_weights(model, recipe.weights.load_from, recipe)
    assert (
        f"re-initialised 2 of {report.total} tensors: head 5 → 7 (expected: the class count differs)" in report.lines()
    )
    assert 0.3 < model.head.fc.weight.std() < 0.7
    key = next(key for key in theirs.state_dict() if key.endswith("projection.weight") or key.endswith("proj.weight"))
    assert torch.equal(model.state_dict()[f"backbone.{key}"], theirs.state_dict()[key])
    assert set(model.state_dict()) == {note.name for note in (*report.kept, *report.reinitialised)}
    stages = parameters_by_stage(model)
    assert len(stages) == 3 + (kind == "vjepa2") and "embeddings" in stages[0][0], "of V-JEPA 2, its pooler too"
    assert all(f".{number}." in name or "norm" in name for number in (0, 1) for name in stages[1 + number])


@pytest.mark.parametrize("kind", ["videomae", "vivit"])
def test_files_of_older_versions_and_of_the_network_alone(kind: str, tmp_path: Path) -> None:
    """The names of transformers 4, in which most models on the Hub are."""
    theirs = save_network(tmp_path / kind, kind)
    older = {
        "videomae": ((".query.bias", ".q_bias"), (".value.bias", ".v_bias")),
        "vivit": (
            ("vivit.layers.", "vivit.encoder.layer."), ("attention.o_proj.", "attention.output.dense."),
            ("attention.q_proj.", "attention.attention.query."), ("attention.k_proj.", "attention.attention.key."),
            ("attention.v_proj.", "attention.attention.value."),
            ("mlp.fc1.", "intermediate.dense."), ("mlp.fc2.", "output.dense."),
        ),
    }[kind]  # fmt: skip
    state = theirs.state_dict()
    for new, old in older:
        state = {key.replace(new, old): value for key, value in state.items()}
    if set(state) == set(theirs.state_dict()):
        pytest.skip("the installed version is an older one itself")
    torch.save(state, tmp_path / "whole.bin")
    torch.save({key.removeprefix(f"{kind}."): value for key, value in state.items()}, tmp_path / "alone.bin")
    recipe = recipe_of(tmp_path / kind)
    for name in ("whole.bin", "alone.bin"):
        model = build_model(recipe)
        report = load_weights(model, str(tmp_path / name), recipe)
        assert report.backbone_share == 1.0 and not report.dropped and not report.missing
        assert all(
            torch.equal(model.state_dict()[f"backbone.{key}"], value)
            for key, value in theirs.state_dict().items()
            if not key.startswith("classifier.")
        )


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_network(tmp_path / "vivit", "vivit")
    save_network(tmp_path / "timesformer", "timesformer")
    recipe = recipe_of(tmp_path / "vivit", weights={"load_from": str(tmp_path / "timesformer")})
    with pytest.raises(WeightsError, match=r"only 0 of the backbone's .* were found"):
        load_weights(build_model(recipe), recipe.weights.load_from, recipe)


def test_frames_of_another_number_or_size(tmp_path: Path) -> None:
    """What is computed is computed for them; what was learnt for others is refused."""
    for kind in ("videomae", "vjepa2", "vivit"):
        save_network(tmp_path / kind, kind)
        recipe = recipe_of(tmp_path / kind, model={"clip_len": 6}, dataset={"frame_size": 48, "short_side": 48})
        model = build_model(recipe).eval()
        if kind == "vivit":
            with pytest.raises(
                WeightsError, match=r"trained on clips of another length or size; use its \[model\] clip_"
            ):
                load_weights(model, recipe.weights.load_from, recipe)
        else:
            assert load_weights(model, recipe.weights.load_from, recipe).backbone_share == 1.0
        with torch.inference_mode():
            assert model(torch.randn(1, 6, 3, 48, 48)).shape == (1, 5)
    with pytest.raises(RecipeError, match=r"cannot take 1 frames of 20 x 20; its config.json says 4 of 32 x 32 \("):
        build_model(recipe_of(tmp_path / "vivit", model={"clip_len": 1}, dataset={"frame_size": 20}))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_at_test_time_have_the_size_of_the_training(kind: str, tmp_path: Path) -> None:
    save_network(tmp_path / kind, kind)
    run = {"test_frame_size": 48, "test_short_side": 48}
    with pytest.raises(RecipeError, match=r"\[run\] test_frame_size = 48 does not suit .*, 32; set it to 0"):
        check_test_frames(recipe_of(tmp_path / kind, run=run))
    check_test_frames(recipe_of(tmp_path / kind, run={**run, "test_frame_size": 32}))


def test_a_network_that_sees_frame_by_frame(tmp_path: Path) -> None:
    """The library's TimeSformer of this kind scores every frame and averages nothing."""
    save_network(tmp_path / "hf", "timesformer", attention_type="space_only")
    with pytest.raises(RecipeError, match=r"\(it scores each frame, not the clip\)"):
        build_model(recipe_of(tmp_path / "hf"))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "bert"}, 'is of model_type "bert", which the installed transformers does not classify videos'),
        ({"model_type": "invented"}, 'is of model_type "invented"'),
        ({"model_type": "videomae", "hidden_size": 33}, "transformers builds no videomae from"),
        ({"model_type": "videomae", "hidden_size": "wide"}, "transformers builds no videomae from"),
    ],
)
def test_a_config_that_the_library_cannot_use(tmp_path: Path, config: dict[str, Any], sentence: str) -> None:
    pytest.importorskip("transformers")
    folder = describe(tmp_path / "videomae", config=config)
    with pytest.raises(RecipeError) as caught:
        build_model(recipe_of(folder))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


# --- training ---------------------------------------------------------------------------------------------------------


def write_training(folder: Path, kind: str = "videomae", **tables: str) -> Path:
    model = f'recognizer = "transformers"\nbackbone = "{kind}"\nsegments = 4'
    return write_recipe(folder / "recipe.toml", make_dataset(folder / "clips"), **{"model": model, **tables})


@pytest.mark.slow
def test_a_training_goes_on_bit_for_bit_without_the_folder(tmp_path: Path) -> None:
    save_network(tmp_path / "vivit", "vivit", hidden_dropout_prob=0.1)
    schedule = "epochs = 2\nema = 0.5\nlayer_decay = 0.8\nfreeze = 'stem'\noptimizer = 'adamw'"
    recipe = load_recipe(write_training(tmp_path, "vivit", schedule=schedule))
    run = create_run_folder(recipe, tmp_path / "run", datetime.now())
    whole = fit(load_recipe(run.recipe), run.path)
    before, after = load_checkpoint(run.checkpoints / "epoch-001.pt"), load_checkpoint(run.checkpoints / "last.pt")
    stem = "backbone.vivit.embeddings.cls_token"
    block = next(key for key in before["model"] if ".1." in key and "norm" not in key and key.endswith("weight"))
    assert torch.equal(before["model"][stem], after["model"][stem]), "the stem is frozen"
    assert not torch.equal(before["model"][block], after["model"][block])

    shutil.rmtree(tmp_path / "vivit")
    for name in ("last.pt", "last-previous.pt", "best.pt", "epoch-002.pt"):
        (run.checkpoints / name).unlink()
    again = fit(load_recipe(run.recipe), run.path, resume=True)
    for one, other in ((whole.model, again.model), (whole.model_to_measure, again.model_to_measure)):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    report = load_weights(build_model(again.recipe), str(run.path), again.recipe)  # as the start of another run
    assert report.backbone_share == 1.0 and not report.dropped and not report.reinitialised


@pytest.mark.parametrize("kind", ["videomae", "timesformer"])
def test_corrections_beside_every_linear_layer(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    save_network(tmp_path / kind, kind)
    recipe = recipe_of(tmp_path / kind, schedule={"lora": 2})
    model = build_model(recipe).eval()
    linear = sum(isinstance(part, torch.nn.Linear) for part in model.backbone.modules())
    frames = torch.randn(1, 4, 3, 32, 32)
    before = model(frames)
    add_corrections(model, recipe)
    torch.testing.assert_close(model.eval()(frames), before)
    set_frozen(model.train(), recipe.schedule, epoch=1)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(learning) == 2 * linear + 2 and all(".lora_" in name or name.startswith("head.") for name in learning)
    model(frames).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    plain = build_model(recipe)
    plain.load_state_dict(merged(model.state_dict()))


@pytest.mark.slow
def test_from_the_hub_to_a_test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ftwiz run` and `ftwiz test`, each a process: fetched once, trained, measured; then the Hub is not needed."""
    save_network(tmp_path / "saved", "timesformer")
    files = {f"/org/tiny/resolve/main/{file.name}": file.read_bytes() for file in (tmp_path / "saved").iterdir()}
    for name, value in {"TORCH_HOME": tmp_path / "torch", "HF_HOME": tmp_path / "hf", "no_proxy": "*"}.items():
        monkeypatch.setenv(name, str(value))
    recipe = write_training(
        tmp_path,
        model='recognizer = "transformers"\nbackbone = "hf://org/tiny"\nsegments = 4',
        run="test_crops = 3\nworkers = 1",
    )
    with serve(Site(files=files)) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        done = ftwiz("run", str(recipe), "--run-dir", "run", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len([path for path, _ in site.asked if path in files]) == len(files), "each file once"
    run = RunFolder(tmp_path / "run")
    (loaded,) = (event for event in LogReader(run.events).read() if isinstance(event, WeightsLoaded))
    assert loaded.source == "hf://org/tiny" and loaded.report[0].startswith("TimeSformer tiny from ")
    assert loaded.backbone_share == 1.0 and "head 5 → 3" in loaded.report[2]
    assert any(line.startswith("the file knows 5 classes: bowing, clapping, diving") for line in loaded.report)
    shutil.rmtree(tmp_path / "torch")
    tested = ftwiz("test", "run", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert "6 clips, 4 frames × 3 crops" in tested.stderr


def test_the_hub_says_what_it_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCH_HOME": tmp_path / "torch", "HF_HOME": tmp_path / "hf", "no_proxy": "*"}.items():
        monkeypatch.setenv(name, str(value))
    recipe = {"model": {"recognizer": "transformers", "backbone": "hf://org/tiny"}}
    with serve(Site(files={})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        with pytest.raises(
            RecipeError, match=r"\[model\] backbone: .*/org/tiny/resolve/main/config.json does not exist"
        ):
            recipe_from(recipe)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RecipeError, match="cannot be reached"):
        recipe_from(recipe)
    recipe["model"]["backbone"] = "https://example.org/tiny"
    with pytest.raises(RecipeError, match=r"is no model: give its folder, or hf://ORG/REPO"):
        recipe_from(recipe)
    # Everything said: nothing is asked.
    text = '{"model_type": "vivit", "num_frames": 4}'
    assert recipe_from({"model": {**recipe["model"], "backbone_config": text}}).model.backbone_config == text


# --- the same networks of ours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("biases", ["older", "newer"])
def test_our_videomae_takes_their_weights(biases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With VideoMAE's own eps, 1e-6, which the library has as 1e-12 and 1e-5: within 2e-6 of its logits."""
    monkeypatch.setitem(SIZES, "vit_small_p16", (32, 2, 2))
    theirs = save_network(tmp_path / "hf", "videomae", intermediate_size=128, layer_norm_eps=1e-6)
    theirs.fc_norm.eps = 1e-6
    give_every_tensor_a_meaning(theirs)
    state = theirs.state_dict()
    if biases == "older":
        state = {key.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): state[key] for key in state}
    torch.save(state, tmp_path / "videomae.bin")
    assert_same_logits("videomae", "vit_small_p16", tmp_path / "videomae.bin", theirs)


@pytest.mark.parametrize("attention", ["divided_space_time", "joint_space_time"])
def test_our_timesformer_takes_their_weights(attention: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_WIDTH": 32, "_BLOCKS": 2, "_HEADS": 2}.items():
        monkeypatch.setattr(sys.modules["engine.model.timesformer"], name, value)
    theirs = save_network(tmp_path, "timesformer", intermediate_size=128, attention_type=attention)
    give_every_tensor_a_meaning(theirs)
    torch.save(theirs.state_dict(), tmp_path / "timesformer.bin")
    assert_same_logits("timesformer", attention, tmp_path / "timesformer.bin", theirs)


def give_every_tensor_a_meaning(network: torch.nn.Module) -> None:
    """Zeros and ones, as networks begin, would hide a name that leads to the wrong place."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)


def assert_same_logits(recognizer: str, backbone: str, weights: Path, theirs: Any) -> None:
    recipe = recipe_from(
        {
            "model": {"recognizer": recognizer, "backbone": backbone, "clip_len": 4},
            "head": {"num_classes": len(CLASSES)},
            "dataset": {"frame_size": 32, "short_side": 32},
        }
    )
    model = build_model(recipe).eval()
    report = load_weights(model, str(weights), recipe)
    assert report.backbone_share == 1.0 and not report.dropped and not report.reinitialised
    assert report.dialect == f"Hugging Face names, {TITLES[recognizer]}"
    frames = torch.randn(2, 4, 3, 32, 32)
    with torch.inference_mode():
        logits = theirs(frames).logits
        assert (model(frames) - logits).abs().max() <= 2e-6 * logits.abs().max()
        assert (model(frames.flip(-1)) - logits).abs().max() > 1e-3 * logits.abs().max(), "mirrored, as a control"
