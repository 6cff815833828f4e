"""`ftwiz weights`: the load report, asked of the engine in a process of its own."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RecipeError, WeightsError
from engine.events import LogReader, RunFinished, WeightsLoaded
from engine.recipe import Recipe, recipe_from
from engine.weights.published import PUBLISHED
from engine.weights.report import LoadReport, TensorNote
from tests.engine.weights.file_server import Site, serve
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import recipe_for, saved, trained
from tests.oracle.test_logits import as_mmaction_saves, config_of
from tests.videos import make_video
from tests.wizard.test_cli import ftwiz
from wizard.load_report import _Paper, recipe_that_goes_with
from wizard.weights import NoReport, WeightsInquiry


@pytest.fixture(scope="module")
def zoo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "tsm.pth"
    saved({"state_dict": mmaction_state(trained(recipe_for(400)))}, path)
    return path


@pytest.mark.slow
def test_a_report_with_its_download(zoo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    told: list[tuple[int, int | None]] = []
    content = zoo_file.read_bytes()
    with serve(Site(content)) as site, WeightsInquiry(recipe_for(7), f"{site.address}/tsm.pth") as inquiry:
        report = inquiry.report(lambda received, total: told.append((received, total)))
    assert report.lines()[-1].startswith("re-initialised 2 of 74 tensors: head 400 → 7")
    assert report.path.is_file() and told[-1] == (len(content), len(content))


@pytest.mark.slow
def test_an_inquiry_can_be_stopped_in_the_middle_of_a_download(
    zoo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    hold = threading.Event()
    recipe: Recipe = recipe_from({"head": {"num_classes": 3}})
    with (
        serve(Site(zoo_file.read_bytes(), hold=hold)) as site,
        WeightsInquiry(recipe, f"{site.address}/tsm.pth") as inquiry,
    ):
        stopper = threading.Thread(target=lambda: (_until_asked(site), inquiry.stop()))
        stopper.start()
        with pytest.raises(NoReport, match="ended by signal 15"):
            inquiry.report()
        stopper.join()
        hold.set()


def _until_asked(site: Site) -> None:
    asked = threading.Event()
    while not site.asked:
        asked.wait(0.01)


# --- `ftwiz weights` --------------------------------------------------------------------------------------------------


def printed(report: LoadReport, every_tensor: bool = False) -> list[str]:
    stream = io.StringIO()
    _Paper(stream).print(report, every_tensor)
    return [line for line in stream.getvalue().splitlines() if line]


def note(
    name: str, there: tuple[int, ...] | None, here: tuple[int, ...] | None, part: str, why: str = ""
) -> TensorNote:
    return TensorNote(name, there, here, why, part)


def a_report(**changes: Any) -> LoadReport:
    blocks = [note(f"backbone.blocks.{n}.weight", (8, 4), (8, 4), f"blocks.{n}") for n in range(12)]
    report = LoadReport(
        source="https://example.org/zoo.pth",
        path=Path("/cache/zoo.pth"),
        sha256="0123456789abcdef" * 4,
        model="TimeSformer",
        dialect="MMAction2 names",
        kept=(
            note("backbone.conv.weight", (8, 3, 2, 2), (8, 3, 2, 2), "stem"),
            note("backbone.bn.running_mean", (8,), (8,), "stem"),
            *blocks,
        ),
        reinitialised=(
            note("head.fc.weight", (400, 8), (7, 8), "head", "head 400 → 7"),
            note("head.fc.bias", (400,), (7,), "head", "head 400 → 7"),
        ),
        missing=(note("backbone.norm.weight", None, (8,), "blocks.12", "not in the file"),),
        dropped=(TensorNote("old.weight", (2, 2), None, "not in this model"),),
        head_change="head 400 → 7 (expected: the class count differs)",
        head_rows=(),
        backbone_share=0.97,
        classes=("archery", "bowling", "chess"),
        source_classes=(*(f"class {n}" for n in range(399)), "Archery"),
        known_classes=("archery",),
        doubts=("look at this.",),
    )
    return replace(report, **changes)


def test_the_report_has_a_line_for_each_part_of_the_network() -> None:
    assert printed(a_report()) == [
        "TimeSformer from zoo.pth",
        "  source   https://example.org/zoo.pth",
        "  file     /cache/zoo.pth",
        "  sha256   0123456789abcdef",
        "  names    MMAction2 names",
        "  ━━━━━━━━━━━━━━━━━━━━━━━─  97.0 % of the backbone's parameters are reused",
        "  part                   tensors   parameters",
        "  stem                         2           96   kept",
        "  blocks.0 … blocks.11        12          384   kept",
        "  blocks.12                    1            8   1 of them not in the file",
        "  head                         2           63   re-initialised: 400×8 → 7×8",
        "  kept 14 of 17 tensors (97.0 % of the backbone)",
        "  re-initialised 2 of 17 tensors: head 400 → 7 (expected: the class count differs)",
        "  not in the file: 1 tensor: backbone.norm.weight 8",
        "  dropped 1 tensor: old.weight 2×2",
        f"  The file knows 400 classes: {', '.join(f'class {n}' for n in range(12))} and 388 more.",
        "  Of your 3 it knows 1 already: archery.",
        "  Check: look at this.",
    ]
    lines = printed(a_report(source_classes=(), known_classes=()))
    assert "  The file does not name its classes." in lines
    assert "  None of your 3 classes is among them." in printed(a_report(known_classes=()))


def test_every_tensor_is_listed_where_it_is_asked_for() -> None:
    lines = printed(a_report(), every_tensor=True)
    assert lines[lines.index("Kept") + 1] == "  backbone.conv.weight  8×3×2×2"
    assert lines[lines.index("Re-initialised") + 1] == "  head.fc.weight  400×8 → 7×8  (head 400 → 7)"
    assert lines[-2:] == ["Dropped: in the file, not in this model", "  old.weight  2×2  (not in this model)"]
    assert len([line for line in lines if " 8×4" in line]) == 12


def test_without_a_recipe_nothing_is_guessed(zoo_file: Path) -> None:
    for source, sentence in {
        "": "Name a source of weights, a recipe, or both",
        "mine.toml": "`ftwiz weights --for mine.toml`",
        "tsn-r50-kinetics400": "`ftwiz weights --for tsn-r50-kinetics400`",
        str(zoo_file): "Say --for and a recipe, or a preset such as tsn-r50-kinetics400",
        "https://example.org/zoo.pth": "Say --for and a recipe",
    }.items():
        with pytest.raises(RecipeError) as caught:
            recipe_that_goes_with(source)
        assert sentence in str(caught.value)


def test_a_published_file_and_a_run_bring_their_recipe(tmp_path: Path) -> None:
    assert recipe_that_goes_with(PUBLISHED[1].load_from) == PUBLISHED[1].preset
    with pytest.raises(WeightsError, match="does not exist"):
        recipe_that_goes_with(str(tmp_path / "gone" / "best.pt"))
    run = tmp_path / "first"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("recipe.toml", "events.jsonl", "checkpoints/best.pt"):
        (run / name).write_text("x")
    for source in (f"{run}", f"{run}:best", f"{run}/checkpoints/best.pt"):
        assert recipe_that_goes_with(source) == str(run / "recipe.toml")


@pytest.mark.slow
def test_the_command(zoo_file: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[model]\nrecognizer = "tsm"\nbackbone = "resnet10_slim"\nsegments = 2\n[head]\nnum_classes = 7\n'
        f'[dataset]\nframe_size = 32\n[weights]\nload_from = "{zoo_file}"\n'
    )
    done = ftwiz("weights", "--for", "r.toml", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["lines"][-1] == "re-initialised 2 of 74 tensors: head 400 → 7 (expected: the class count differs)"
    assert document["totals"]["kept"] == 72 and document["source"] == str(zoo_file)
    other = ftwiz("weights", str(zoo_file), "--for", "r.toml", "--set", "model.backbone=resnet18", cwd=tmp_path)
    assert (other.returncode, other.stdout) == (4, "")
    assert len(other.stderr.splitlines()) == 1 and "has the shape" in other.stderr


# --- a published checkpoint, from an address to a trained model -------------------------------------------------------

SPORTS = ("archery", "bowling", "my own class", "my other class", "my third class", "my last class", "Push_Up")


def published_file(folder: Path) -> Path:
    """A TSN ResNet-50 for Kinetics-400 as MMAction2 publishes it: its names, 97 MB, the hash in its own name."""
    as_mmaction_saves(config_of("tsn_r50"), folder / "tsn")
    digits = hashlib.sha256((folder / "tsn").read_bytes()).hexdigest()[:8]
    name = f"tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-{digits}.pth"
    return (folder / "tsn").rename(folder / name)


@pytest.mark.slow
def test_fine_tuning_from_a_published_checkpoint_over_a_bad_connection(tmp_path: Path) -> None:
    file = published_file(tmp_path)
    for place, name in enumerate(SPORTS):
        for split in ("train", "val"):
            make_video(tmp_path / "videos" / split / name / "1.mp4", frames=4, seed=2 * place + (split == "val"))
    environment = {"TORCH_HOME": str(tmp_path / "torch"), "no_proxy": "*"}
    with serve(Site(file.read_bytes(), cuts=[30_000_000, 20_000_000])) as site:
        (tmp_path / "r.toml").write_text(
            'extends = "tsn-r50-kinetics400"\nname = "sports"\n[model]\nsegments = 1\n[head]\nnum_classes = 7\n'
            f'[dataset]\nformat = "folders"\nroot = "{tmp_path / "videos"}"\nshort_side = 40\nframe_size = 32\n'
            "[schedule]\nepochs = 1\nbatch_size = 7\ncheckpoint_interval = 9\n[run]\nworkers = 0\n"
            f'[weights]\nload_from = "{site.address}/{file.name}"\n'
        )
        done = ftwiz("run", "r.toml", "--run-dir", "sports", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert [asked for _, asked in site.asked] == ["", "bytes=30000000-", "bytes=50000000-"]
    assert 95e6 < file.stat().st_size < 100e6
    sentences = [
        f"TSN ResNet-50 from …{file.name[-43:]} (MMAction2 names)",
        "kept 318 of 320 tensors (100.0 % of the backbone)",
        "re-initialised 2 of 320 tensors: head 400 → 7 (expected: the class count differs)",
        "the file knows 400 classes: abseiling, air drumming, answering questions, …",
        "it knows 3 of the 7 classes here: Push_Up, archery, bowling",
    ]
    events = LogReader(tmp_path / "sports" / "events.jsonl").read()
    (loaded,) = [event for event in events if isinstance(event, WeightsLoaded)]
    assert loaded.report == sentences and (loaded.kept, loaded.reinitialised) == (318, 2)
    assert isinstance(events[-1], RunFinished) and (tmp_path / "sports" / "checkpoints" / "best.pt").is_file()
    assert all(f"  {line}" in done.stderr.splitlines() for line in sentences), "and on the terminal"
    # What is in torch's cache now is not asked for again.
    shown = ftwiz("weights", "--for", "r.toml", "--set", "head.reuse=matching", cwd=tmp_path, **environment)
    assert f"  {sentences[1]}" in shown.stdout.splitlines(), shown.stderr
    assert (
        "  re-initialised 2 of 320 tensors: head 400 → 7, kept 3 of 7 rows: Push_Up, archery, bowling" in shown.stdout
    )
