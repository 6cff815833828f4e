"""The load report as a document: what `python -m engine.weights` prints, and how it is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ExitCode
from engine.recipe import Recipe, save_recipe
from engine.weights.__main__ import main
from engine.weights.load import load_weights
from engine.weights.report import LoadReport, matching_rows, report_from
from tests.clips import CLASSES, make_dataset
from tests.engine.weights.file_server import Site, serve
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import model_for, our_checkpoint, recipe_for, saved, trained


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


class Asked:
    """One call of the program: its exit code, the one document on stdout, the lines on stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        self._monkeypatch, self._capfd, self._path = monkeypatch, capfd, tmp_path / "asked.toml"

    def __call__(self, source: str, recipe: Recipe, *options: str) -> tuple[int, dict[str, Any]]:
        save_recipe(recipe, self._path)
        self._monkeypatch.setattr("sys.argv", ["engine.weights", *options, "--", source, str(self._path)])
        code = main()
        out, err = self._capfd.readouterr()
        self.told = [json.loads(line) for line in err.splitlines()]
        return code, json.loads(out)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Asked:
    return Asked(monkeypatch, capfd, tmp_path)


def zoo_file(path: Path, classes: int = 400) -> str:
    return saved({"meta": {}, "state_dict": mmaction_state(trained(recipe_for(classes)))}, path)


def test_it_says_what_loading_says_and_loads_nothing(ask: Asked, tmp_path: Path) -> None:
    source, recipe = zoo_file(tmp_path / "tsm.pth"), recipe_for(7)
    code, document = ask(source, recipe)
    loaded = load_weights(model_for(recipe), source, recipe)
    assert code == ExitCode.OK and report_from(document) == loaded
    assert document["lines"] == loaded.lines()
    assert document["totals"] == {"tensors": 74, "kept": 72, "reinitialised": 2, "missing": 0, "dropped": 0}
    assert document["reinitialised"][0] == {
        "name": "head.fc.weight",
        "there": [400, 128],
        "here": [7, 128],
        "reason": "head 400 → 7 (expected: the class count differs)",
        "part": "head",
    }
    stages = ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert list(dict.fromkeys(note["part"] for note in document["kept"])) == stages
    assert document["path"] == source and ask.told == []


def test_it_names_the_classes_that_are_known_already(ask: Asked, tmp_path: Path, videos: Path) -> None:
    source, _ = our_checkpoint(tmp_path, ("Waits", "jumps", "RISES", "sits"))
    recipe = recipe_for(dataset={"root": str(videos)}, head={"num_classes": "auto"})
    code, document = ask(source, recipe)
    assert code == ExitCode.OK
    assert document["classes"] == list(CLASSES) and document["known_classes"] == ["rises", "waits"]
    assert document["lines"][-2:] == [
        "the file knows 4 classes: Waits, jumps, RISES, …",
        "it knows 2 of the 3 classes here: rises, waits",
    ]


def test_without_a_dataset_a_number_of_classes_is_enough(ask: Asked, tmp_path: Path) -> None:
    source = zoo_file(tmp_path / "tsm.pth")
    code, document = ask(source, recipe_for(head={"num_classes": "auto"}))
    assert code == ExitCode.RECIPE and "--set head.num_classes=7" in document["error"]
    gone = recipe_for(7, dataset={"root": str(tmp_path / "gone")})
    code, document = ask(source, gone)
    assert code == ExitCode.OK and document["doubts"] == [], "the file names no classes to compare"
    source, _ = our_checkpoint(tmp_path, ("push", "pull", "turn"))
    code, document = ask(source, gone)
    assert code == ExitCode.OK
    assert document["lines"][-1].startswith("check: the dataset's classes are not compared with the file's: [dataset]")
    code, document = ask(source, gone.model_copy(update={"head": recipe_for(head={"num_classes": "auto"}).head}))
    assert code == document["exit_code"] == ExitCode.DATA


def test_what_the_recipe_itself_starts_from(ask: Asked, tmp_path: Path) -> None:
    source = zoo_file(tmp_path / "tsm.pth", classes=3)
    whole, backbone = (recipe_for(weights={key: source}) for key in ("load_from", "backbone"))
    assert ask("", whole)[1]["totals"]["reinitialised"] == 0
    only_backbone = ask("", backbone)[1]
    assert only_backbone["head_change"] == "head 3 → 3 (expected: only the backbone is taken)"
    assert ask(source, whole, "--backbone")[1] == only_backbone
    code, document = ask("", recipe_for())
    assert code == document["exit_code"] == ExitCode.RECIPE and "starts from nothing" in document["error"]


def test_a_refusal_is_the_sentence_and_the_exit_code_of_a_run(ask: Asked, tmp_path: Path) -> None:
    code, document = ask(str(tmp_path / "gone.pth"), recipe_for())
    assert code == document["exit_code"] == ExitCode.WEIGHTS
    assert document["error"].startswith(f"{tmp_path / 'gone.pth'} does not exist")


def test_a_download_is_told_on_stderr(ask: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    content = Path(zoo_file(tmp_path / "tsm.pth")).read_bytes()
    with serve(Site(content, cuts=[700_000, 300_000])) as site:
        code, document = ask(f"{site.address}/tsm.pth", recipe_for(7))
    assert code == ExitCode.OK and len(site.asked) == 3
    assert 3 < len(ask.told) < 110
    assert ask.told[-1] == {"received": len(content), "total": len(content)}
    assert document["totals"]["kept"] == 72


# --- class names ------------------------------------------------------------------------------------------------------


def test_names_are_compared_however_they_are_spelt() -> None:
    there = ("Playing Guitar", "archery", "pull-ups", "bowling")
    assert matching_rows(("bowling", "playing_guitar", "PullUps", "chess"), there) == {0: 3, 1: 0, 2: 2}
    assert matching_rows(("crane", "Crane"), ("crane", "CRANE")) == {0: 0}, (
        "two that are alike: only the exact name counts"
    )
    assert matching_rows((), there) == matching_rows(there, ()) == {}


def test_a_document_that_is_no_report_is_told_apart() -> None:
    with pytest.raises(Exception, match="missing required field"):
        report_from({"source": "x"})
    assert LoadReport.__dataclass_fields__.keys() >= {"kept", "known_classes"}
