"""Whole trainings on real videos: what is logged, what is saved, what survives an interruption."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

import engine
from engine.checkpoint import load_checkpoint
from engine.errors import DataError, DeviceError, RecipeError, WeightsError
from engine.events import (
    CheckpointSaved,
    EventLog,
    LogReader,
    Message,
    RunFinished,
    RunState,
    Step,
    Validation,
)
from engine.recipe import load_recipe, recipe_from
from engine.run_folder import RunFolder, create_run_folder
from engine.set_up import check_test_frames, set_up
from engine.train import fit
from tests.clips import CLASSES, make_dataset, write_recipe
from tests.engines import engines
from tests.videos import write_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


def new_run(tmp_path: Path, root: Path, name: str = "run", **tables: str) -> RunFolder:
    recipe = load_recipe(write_recipe(tmp_path / f"{name}.toml", root, **tables))
    return create_run_folder(recipe, tmp_path / name, datetime.now())


def train(run: RunFolder, resume: bool = False) -> RunState:
    fit(load_recipe(run.recipe), run.path, resume)
    return run.state()


def events_of(run: RunFolder, kind: type) -> list:
    return [event for event in LogReader(run.events).read() if isinstance(event, kind)]


def model_hash(run: RunFolder) -> str:
    digest = hashlib.sha256()
    for name, value in load_checkpoint(run.checkpoints / "last.pt")["model"].items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.slow
def test_a_run_leaves_what_the_design_says(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos, schedule="epochs = 3\ncheckpoint_interval = 2")
    state = train(run)

    assert state.started is not None and state.started.classes == list(CLASSES)
    assert (state.started.train_clips, state.started.val_clips) == (12, 6)
    assert state.started.chance == pytest.approx(1 / 3)
    assert [step.step for step in state.steps] == list(range(1, 10))
    assert [done.epoch for done in state.validations] == [1, 2, 3]
    assert isinstance(state.ended, RunFinished) and state.ended.best_top1 == state.best.top1
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        "best.pt",
        "epoch-002.pt",
        "epoch-003.pt",
        "last-previous.pt",
        "last.pt",
    ]

    resolved = load_recipe(run.recipe)
    assert resolved.head.num_classes == 3 and resolved.dataset.classes == CLASSES
    assert (resolved.run.device, resolved.run.precision) == ("cpu", "fp32") or torch.cuda.is_available()
    provenance = json.loads(run.provenance.read_text())
    assert provenance["clips"]["train"]["count"] == 12 and provenance["packages"]["torch"]

    best = load_checkpoint(run.checkpoints / "best.pt")
    assert best["classes"] == list(CLASSES) and best["epoch"] == state.best.epoch + 1
    rows = list(csv.DictReader((run.report / "predictions.csv").open()))
    right = sum(row["true class"] == row["predicted class"] for row in rows)
    assert right / len(rows) == pytest.approx(state.best.top1)


@pytest.mark.slow
def test_checkpoints_in_the_middle_of_an_epoch(tmp_path: Path, videos: Path) -> None:
    """Epochs of 3 steps, a checkpoint every 2: after steps 2 and 4, and 3 and 6, where an epoch ends, too."""
    run = new_run(tmp_path, videos, schedule="epochs = 2\ncheckpoint_steps = 2")
    train(run)
    saved = [(event.step, event.epoch) for event in events_of(run, CheckpointSaved) if event.path.endswith("last.pt")]
    assert saved == [(2, 1), (3, 2), (4, 2), (6, 2), (6, 3)]

    often = new_run(tmp_path, videos, "often", schedule="epochs = 1\ncheckpoint_minutes = 1e-6")
    train(often)
    saved = [event.step for event in events_of(often, CheckpointSaved) if event.path.endswith("last.pt")]
    assert saved == [1, 2, 3, 3]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(tmp_path: Path, videos: Path) -> None:
    whole, hurt = (new_run(tmp_path, videos, name, schedule="epochs = 2") for name in ("whole", "hurt"))
    train(whole)
    train(hurt)
    last = hurt.checkpoints / "last.pt"
    content = last.read_bytes()
    last.unlink()  # best.pt may be the same file
    last.write_bytes(content[:-1000])
    state = train(hurt, resume=True)
    (warning,) = [event for event in events_of(hurt, Message) if "last.pt" in event.text]
    assert warning.level == "warning" and "Goes on from last-previous.pt instead, saved after step 3." in warning.text
    assert isinstance(state.ended, RunFinished) and [step.step for step in state.steps] == [1, 2, 3, 4, 5, 6]
    assert model_hash(hurt) == model_hash(whole)


def test_from_python_as_the_readme_says(tmp_path: Path, videos: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "r.toml", videos), {"schedule.epochs": 1})
    training = engine.fit(recipe, tmp_path / "mine")
    assert RunFolder(tmp_path / "mine").process.exists(), "a viewer could not tell that it is running"
    metrics = engine.evaluate(training.model, training.clips.val, training.recipe, test_views=True)
    assert len(metrics.predictions) == 6
    report = engine.load_weights(engine.build_model(training.recipe), str(tmp_path / "mine"), training.recipe)
    assert not report.reinitialised and report.backbone_share == 1.0
    with pytest.raises(RecipeError, match="already holds a run"):
        engine.fit(recipe, tmp_path / "mine")


@pytest.mark.parametrize(
    ("other", "flip", "crops", "told"),
    [
        (
            "right hook",
            0.5,
            10,
            "A mirrored clip counts for the class that it looks like: “left hook” and “right hook”",
        ),
        ("jab", 0.0, 3, "No clip is mirrored in this run, in spite of [dataset] flip = 0.5 and [run] test_crops = 10"),
    ],
)
def test_classes_of_a_side(tmp_path: Path, videos: Path, other: str, flip: float, crops: int, told: str) -> None:
    """Both sides: labels change places. One alone: no clip is mirrored, which the log says and the recipe keeps."""
    for split in ("train", "val"):
        (tmp_path / "videos" / split).mkdir(parents=True)
        for name, mine in zip(("left hook", other), CLASSES, strict=False):
            (tmp_path / "videos" / split / name).symlink_to(videos / split / mine)
    run = new_run(tmp_path, tmp_path / "videos", dataset="flip = 0.5", run="test_crops = 10")
    training = set_up(load_recipe(run.recipe), run, EventLog(run.events), resume=False)
    assert [note.text for note in events_of(run, Message) if note.text.startswith(told)]
    for kept in (training.recipe, load_recipe(run.recipe)):
        assert (kept.dataset.flip, kept.run.test_crops) == (flip, crops)


@pytest.mark.slow
def test_it_learns_several_classes_at_once(tmp_path: Path) -> None:
    """Each colour channel is a class that is there or not: the loss falls from that of guessing, 3 ln 2 = 2.1, and
    each clip's own classes come out on top."""
    rows: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(18):
        on = [bool(1 + number % 7 & 1 << channel) for channel in range(3)]
        images = np.random.default_rng(number).normal([220 if is_on else 30 for is_on in on], 20, (6, 48, 64, 3))
        write_video(tmp_path / f"videos/{number}.mp4", images.clip(0, 255).astype(np.uint8))
        label = "|".join(name for name, is_on in zip(CLASSES, on, strict=True) if is_on)
        rows["val" if number >= 14 else "train"].append(f"{number}.mp4,{label}\n")
    for split, lines in rows.items():
        (tmp_path / f"{split}.csv").write_text("".join(lines))
    run = new_run(
        tmp_path,
        tmp_path / "videos",
        dataset=f'format = "csv"\nannotations = "{tmp_path}"\ncrop = "random"',
        head="multi_label = true\ndropout = 0.0\ninit_std = 0.001",
        schedule="epochs = 8\nlr = 0.002",
        model='backbone = "resnet18"\nsegments = 1',
    )
    steps = train(run).steps
    assert median(step.loss for step in steps[-6:]) < 1.3 < 2.0 < steps[0].loss
    assert median(step.accuracy for step in steps[-6:]) > 0.95


def test_it_learns(tmp_path: Path, videos: Path) -> None:
    """Three colours are no riddle: the training loss falls far below that of guessing, ln 3 = 1.1."""
    run = new_run(tmp_path, videos, schedule="epochs = 6\nlr = 0.005", model='backbone = "resnet18"')
    steps = train(run).steps
    assert median(step.loss for step in steps[-6:]) < 0.5 < 1.0 < steps[0].loss


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_whatever_the_workers(tmp_path: Path, videos: Path) -> None:
    hashes = {}
    for name, table in {"a": "workers = 0", "b": "workers = 2", "c": "workers = 0\nseed = 1"}.items():
        run = new_run(tmp_path, videos, name, run=table, head="dropout = 0.5")
        train(run)
        hashes[name] = model_hash(run)
    assert hashes["a"] == hashes["b"] != hashes["c"]


@pytest.mark.slow
def test_what_is_reused_is_reported_and_reused(tmp_path: Path, videos: Path) -> None:
    first = new_run(tmp_path, videos, "first")
    train(first)
    source = first.checkpoints / "best.pt"
    second = new_run(tmp_path, videos, "second", weights=f'load_from = "{source}"', schedule="lr = 1e-9")
    state = train(second)
    assert state.weights is not None and state.weights.reinitialised == 0
    before, after = (load_checkpoint(path)["model"] for path in (source, second.checkpoints / "last.pt"))
    assert torch.allclose(before["head.fc.weight"], after["head.fc.weight"], atol=1e-6)


def test_without_validation_clips_it_trains_and_says_so(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos / "train", dataset="val_fraction = 0.0")
    state = train(run)
    assert isinstance(state.ended, RunFinished) and state.validations == []
    assert any("no validation clips" in message.text for message in events_of(run, Message))
    assert (run.checkpoints / "last.pt").exists() and not (run.checkpoints / "best.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "error", "message"),
    [
        ({"model": 'backbone = "resnet51"'}, RecipeError, "did you mean resnet"),
        ({"model": 'recognizer = "tsm"\nbackbone = "vgg11"'}, RecipeError, "tsm takes a ResNet"),
        (
            {"model": 'recognizer = "tsm"\nbackbone = "resnet18"', "run": "test_segments = 7"},
            RecipeError,
            "test_segments",
        ),
        ({"run": "test_clips = 3"}, RecipeError, r"test_clips = 3 is for dense clips"),
        ({"model": "clip_len = 4", "run": "test_segments = 4"}, RecipeError, r"test_segments = 4 is for frames spread"),
        ({"run": 'device = "cuda:99"'}, DeviceError, "cuda:99"),
        ({"head": "num_classes = 5"}, DataError, "num_classes"),
        ({"weights": 'load_from = "nowhere.pth"'}, WeightsError, "nowhere.pth"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    tmp_path: Path, videos: Path, tables: dict[str, str], error: type[Exception], message: str
) -> None:
    run = new_run(tmp_path, videos, **tables)
    with pytest.raises(error, match=message):
        train(run)


def test_frames_at_test_time_that_the_model_cannot_take_are_told_before_training() -> None:
    def check(backbone: str, **run: int) -> None:
        tables = {"model": {"backbone": backbone}, "head": {"num_classes": 3}, "run": run}
        check_test_frames(recipe_from(tables))

    check("resnet18", test_frame_size=256)
    check("regnet_y_400mf", test_frame_size=256)
    check("vit_b_32")
    with pytest.raises(RecipeError, match=r"test_frame_size is 300: .* short side is 256 .*; set test_short_side too"):
        check("resnet18", test_frame_size=300)
    check("resnet18", test_frame_size=300, test_short_side=320)
    with pytest.raises(RecipeError, match=r"test_frame_size = 256 does not suit vit_b_32, .* trained on, 224; set it"):
        check("vit_b_32", test_frame_size=256)


@pytest.mark.parametrize("preset", ["mvit-s-kinetics400", "timesformer-divst-kinetics400", "videomae-b-kinetics400"])
def test_transformers_with_places_learnt_for_one_size_are_tested_at_no_other(preset: str) -> None:
    sizes = {"head.num_classes": 3, "run.test_short_side": 256, "run.test_frame_size": 256}
    with pytest.raises(RecipeError, match=r"test_frame_size = 256 does not suit .* trained on, 224; set it to 0"):
        check_test_frames(load_recipe(preset, sizes))


def test_video_swin_and_convolutions_take_larger_frames() -> None:
    for preset in ("swin3d-t-kinetics400", "slowonly-r50-kinetics400"):
        sizes = {"head.num_classes": 3, "run.test_short_side": 256, "run.test_frame_size": 256}
        check_test_frames(load_recipe(preset, sizes))


# --- interruption -----------------------------------------------------------------------------------------------------


def wait_for(run: RunFolder, kind: type, count: int = 1, seconds: float = 120) -> None:
    """Until the log has so many events of a kind."""
    end = time.monotonic() + seconds
    while len(events_of(run, kind)) < count:
        assert time.monotonic() < end, f"no {kind.__name__} in {run.events}"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_four_words(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos, schedule="epochs = 500")
    engine = engines().start(run)
    wait_for(run, Step, 2)

    run.say("pause")
    until = time.monotonic() + 60
    while not run.state().paused:
        assert time.monotonic() < until
        time.sleep(0.02)
    steps = len(events_of(run, Step))
    assert run.status(run.state()) == "paused"
    run.say("resume")
    wait_for(run, Step, steps + 1)

    saved = len(events_of(run, CheckpointSaved))
    run.say("checkpoint")
    wait_for(run, CheckpointSaved, saved + 1)

    run.say("stop")
    assert engine.wait(60) == 0
    (finished,) = events_of(run, RunFinished)
    assert finished.stopped_early and load_checkpoint(run.checkpoints / "last.pt")["step"] == run.state().steps[-1].step


@pytest.mark.slow
def test_resume_refuses_what_is_no_longer_the_same(tmp_path: Path, videos: Path) -> None:
    own = shutil.copytree(videos, tmp_path / "own")
    run = new_run(tmp_path, own)
    train(run)
    text, last = run.recipe.read_text(), run.checkpoints / "last.pt"
    remedy = f'start a new run from these weights: load_from = "{last}" under [weights], without --resume.'

    def refusal() -> str:
        with pytest.raises(WeightsError) as caught:
            train(run, resume=True)
        return str(caught.value)

    run.recipe.write_text(text.replace("shufflenet_v2_x0_5", "shufflenet_v2_x1_0"))
    assert refusal() == (
        f'{last} is of another model than the recipe describes: [model] backbone is "shufflenet_v2_x1_0", was '
        f'"shufflenet_v2_x0_5". Undo the change, or {remedy}'
    )
    run.recipe.write_text(text)
    (own / "train" / "falls" / "0.mp4").rename(own / "0.mp4")
    for clip in sorted((own / "train" / "waits").iterdir())[:3]:
        clip.unlink()
    assert "is of epochs of 3 steps, and the training clips make 2 now" in refusal()

    run.recipe.write_text(text.replace("waits", "sleeps"))
    for split in ("train", "val"):
        (own / split / "waits").rename(own / split / "sleeps")
    assert 'is of other classes than the dataset has now: "sleeps" is new, "waits" is gone. Undo' in refusal()


def test_resume_tells_of_other_changes(tmp_path: Path, videos: Path) -> None:
    own = shutil.copytree(videos, tmp_path / "own")
    run = new_run(tmp_path, own)
    train(run)
    (own / "train" / "falls" / "0.mp4").rename(own / "train" / "falls" / "zero.mp4")
    run.recipe.write_text(run.recipe.read_text().replace("epochs = 2", "epochs = 3"))
    state = train(run, resume=True)
    assert state.steps[-1].epoch == 3
    assert [event.text for event in events_of(run, Message) if event.level == "warning"][-2:] == [
        "The recipe has changed since last.pt was saved: [schedule] epochs is 3, was 2.",
        "The training clips are not those that the run was started with (12 then, 12 now).",
    ]


@pytest.mark.slow
def test_the_test_views_are_measured_and_written(tmp_path: Path, videos: Path) -> None:
    run = new_run(tmp_path, videos, run="test_segments = 5\ntest_crops = 10")
    state = train(run)
    assert engines().start(run, "--test").wait(120) == 0
    result = json.loads((run.report / "test" / "test.json").read_text())
    assert result["clips"] == 6 and result["segments"] == 5 and result["crops"] == 10
    assert result["test_clips"] == 1
    assert 0 <= result["top1"] <= 1 and result["epochs_trained"] == state.best.epoch
    assert events_of(run, Validation)[-1] == state.validations[-1], "a test writes nothing into the log of the training"
