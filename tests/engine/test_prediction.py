"""What a run says of unlabelled videos is what its report says of the same clips; bad files cost only themselves."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len

from engine import build_model, load_recipe, load_weights, predict
from engine.dataset.clips import Clip
from engine.errors import DataError, DeviceError, RecipeError, WeightsError
from engine.metrics import tally_for
from engine.prediction import choose_place, parts_of
from engine.recipe import recipe_from
from engine.run_folder import RunFolder, open_checkpoint
from engine.trained import load_trained
from tests.clips import CLASSES
from tests.frames import write_frames
from tests.videos import make_video
from wizard.cli import app
from wizard.predict import Asked, Said, as_csv, as_document, as_table


def videos_of(run: RunFolder) -> Path:
    return run.path.parent.parent / "videos"


def rows_of(path: Path) -> dict[str, tuple[str, str]]:
    return {row["file"]: (row["predicted class"], row["probability"]) for row in csv.DictReader(path.open())}


def ftwiz(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wizard.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_validation_clips_get_the_predictions_of_the_report(trained: RunFolder) -> None:
    recipe = load_recipe(trained.recipe)
    model = build_model(recipe)
    load_weights(model, f"{trained.path}:best", recipe)
    model.train()
    paths = sorted((videos_of(trained) / "val").rglob("*.mp4"))
    found = list(predict(model, paths, recipe, test_views=False))
    said = {}
    for each in found:
        assert sum(each.probabilities) == pytest.approx(1, abs=1e-5) and not each.reason
        best = max(each.probabilities)
        said[each.name] = (CLASSES[each.probabilities.index(best)], f"{best:.4f}")
    assert said == rows_of(trained.report / "predictions.csv") and len(said) == 6
    assert model.training and torch.is_grad_enabled(), "the model is as it was, and so is the caller"


@pytest.mark.slow
def test_the_command_looks_as_the_test_does_and_goes_on_after_a_bad_file(trained: RunFolder, tmp_path: Path) -> None:
    videos = videos_of(trained)
    whole = (videos / "val" / "falls" / "0.mp4").read_bytes()
    (tmp_path / "cut off.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "list.txt").write_text(f"# mine\n\n{videos}/val/falls/0.mp4\ncut off.mp4\n")
    done = ftwiz("predict", "first", "list.txt", "-", "gone.mp4", "--json", "--csv", "out.csv",
                 "--runs", str(trained.path.parent), cwd=tmp_path, stdin=f"{videos}/val\n")  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert rows_of(tmp_path / "out.csv") == rows_of(trained.report / "test" / "predictions.csv")
    assert rows_of(tmp_path / "out.csv") != rows_of(trained.report / "predictions.csv"), "other views, other numbers"

    said = json.loads(done.stdout)
    assert [skipped["file"] for skipped in said["skipped"]] == ["gone.mp4", "cut off.mp4"]
    assert "gone.mp4: it does not exist.\n" in done.stderr and "\ncut off.mp4: " in done.stderr
    assert said["views"] == {"segments": 3, "test_clips": 1, "crops": 3} and said["checkpoint"] == "best.pt"
    assert len(said["videos"]) == 6 and {found["class"] for found in said["videos"][0]["classes"]} == set(CLASSES)
    assert "6 videos, 3 frames × 3 crops over the whole of each; best.pt" in done.stderr


MISTAKES = {
    "no such run": (["nowhere", "a.mp4"], RecipeError, "not a run folder"),
    "no such checkpoint": (
        ["first:epoch-900", "a.mp4"],
        WeightsError,
        "no checkpoint epoch-900; there is best, epoch-",
    ),
    "no such video": (["first", "a.mp4"], DataError, "a.mp4: it does not exist."),
    "a folder without videos": (["first", "."], DataError, "there is no video in it"),
    "no such list": (["first", "videos.txt"], DataError, "videos.txt cannot be read"),
    "one class a clip": (["first", "a.mp4", "--threshold", "0.5"], RecipeError, "--top"),
    "two documents": (["first", "a.mp4", "--json", "--csv", "-"], RecipeError, "choose one"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_before_anything_is_loaded(
    case: str, trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, kind, words = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as error:
        app(["predict", *arguments, "--runs", str(trained.path.parent)], standalone_mode=False)
    printed = capfd.readouterr()
    assert words in f"{printed.err}{error.value}" and not printed.out


def test_a_run_may_name_its_checkpoint(trained: RunFolder, tmp_path: Path) -> None:
    assert open_checkpoint("first:last", trained.path.parent) == (trained, "last")
    assert open_checkpoint("first", trained.path.parent) == (trained, "")
    assert open_checkpoint("latest:best", trained.path.parent) == (trained, "best")
    with pytest.raises(RecipeError, match="first:worst is not a run folder"):
        open_checkpoint("first:worst", trained.path.parent)
    assert load_trained(trained, "last").epochs == 2
    with pytest.raises(WeightsError, match=r"epoch-900\.pt does not exist"):
        load_trained(trained, "epoch-900")


def test_a_recipe_that_was_changed_is_told(trained: RunFolder, tmp_path: Path) -> None:
    text = trained.recipe.read_text()
    try:
        trained.recipe.write_text(text.replace("squeezenet1_1", "squeezenet1_0"))
        with pytest.raises(WeightsError, match=r"best\.pt does not fit the model of .*recipe\.toml"):
            load_trained(trained)
    finally:
        trained.recipe.write_text(text)


def test_a_long_video_in_parts(tmp_path: Path) -> None:
    path = str(make_video(tmp_path / "v.mp4", frames=60, fps=10))  # 6 s
    assert parts_of(path, 2.0) == [Clip(path, 0, end=2.0), Clip(path, 0, start=2.0, end=4.0), Clip(path, 0, start=4.0)]
    assert parts_of(path, 2.5) == [Clip(path, 0, end=2.5), Clip(path, 0, start=2.5)], "a second is left: too little"
    assert parts_of(path, 60) == [Clip(path, 0)]


def test_a_folder_of_frames_is_a_clip(trained: RunFolder, tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 5)
    model, recipe = load_trained(trained).model, load_recipe(trained.recipe)
    frames, video = predict(model, [tmp_path / "clip", tmp_path / "gone.mp4"], recipe)
    assert len(frames.probabilities) == 3
    assert (video.reason, video.probabilities) == ("the file is missing", ())


def test_a_gpu_that_is_not_here_is_said() -> None:
    gone = "mps" if torch.cuda.is_available() else "cuda"
    recipe = recipe_from({"run": {"device": gone, "precision": "bf16"}})
    device, precision, note = choose_place(recipe, "")
    assert note.startswith(f"The run was trained on {gone}, which is not here") and device.type != gone
    assert precision == "fp32" or device.type == "cuda", "bf16 is what the other device was good at"
    with pytest.raises(DeviceError):
        choose_place(recipe, gone)
    assert choose_place(recipe_from({"run": {"device": "cpu", "precision": "bf16"}}), "")[1:] == ("bf16", "")


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("average", ["prob", "score"])
def test_probabilities_are_those_that_are_measured(multi_label: bool, average: str) -> None:
    recipe = recipe_from({"head": {"num_classes": 4, "multi_label": multi_label}, "run": {"average_clips": average}})
    tally = tally_for(recipe, torch.device("cpu"))
    logits = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    tally.add([0, 1, 2], logits, torch.zeros(3, 4) if multi_label else torch.zeros(3, dtype=torch.long))
    best = tally.probabilities_of(logits).max(dim=1)
    assert tally.predictions == list(zip(range(3), best.indices.tolist(), best.values.tolist(), strict=True))


def test_of_several_classes_all_over_the_threshold_are_named() -> None:
    begun = {"classes": ["a", "b", "c"], "multi_label": True, "begun": 2, "checkpoint": "best.pt",
             "epochs_trained": 1, "device": "CPU", "segments": 2, "test_clips": 1, "crops": 1}  # fmt: skip
    said = Said(RunFolder(Path("runs/x")), Asked(top=1), begun, {"x.mp4": [0.6, 0.1, 0.9], "y.mp4": [0.1, 0.3, 0.2]})
    assert as_table(said, None)[1] == [["x.mp4", "c 90.0 %, a 60.0 %"], ["y.mp4", "none (b 30.0 %)"]]
    assert as_csv(said).splitlines() == [
        "file,predicted classes,likeliest class,probability,a,b,c",
        "x.mp4,c|a,c,0.9000,0.6,0.1,0.9",
        "y.mp4,,b,0.3000,0.1,0.3,0.2",
    ]
    assert [len(video["classes"]) for video in as_document(said)["videos"]] == [2, 0]
    said.asked = Asked(threshold=0.15)
    assert [len(video["classes"]) for video in as_document(said)["videos"]] == [2, 2]


def test_a_narrow_terminal_keeps_the_end_of_a_path() -> None:
    begun = {"classes": ["drifts down and then left", "drifts up", "waits"], "multi_label": False}
    said = Said(RunFolder(Path("runs/x")), Asked(), begun)
    said.probabilities = {f"{'folder/' * 20}{number}.mp4": [0.6, 0.25, 0.15] for number in range(2)}
    header, rows = as_table(said, 120)
    assert header == ["VIDEO", "CLASS", "PROBABILITY", "NEXT"]
    assert rows[1][0].startswith("…") and rows[1][0].endswith("/1.mp4") and cell_len(rows[1][0]) >= 20
    assert rows[1][1:] == ["drifts down and then left", "60.0 %", "drifts up 25.0 %, waits 15.0 %"]
    for width, following in ((80, "drifts up 25.0 %"), (72, "")):
        header, rows = as_table(said, width)
        assert rows[0][3] == following, "what comes next is left out before anything is cut"
        widths = [max(cell_len(row[column]) for row in [header, *rows]) for column in range(4)]
        assert sum(widths) + 6 <= width and widths[0] >= 20
