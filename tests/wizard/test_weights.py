"""`ftwiz weights`: the load report, asked of the engine in a process of its own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.errors import ExitCode
from engine.recipe import Recipe, recipe_from
from tests.engine.weights.file_server import Site, serve
from tests.engine.weights.mmaction_names import mmaction_state
from tests.engine.weights.test_load import recipe_for, saved, trained
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


def test_no_report_is_a_sentence_with_the_exit_code_of_a_run(tmp_path: Path) -> None:
    with WeightsInquiry(recipe_for(), str(tmp_path / "-gone.pth")) as inquiry, pytest.raises(NoReport) as caught:
        inquiry.report()
    assert caught.value.exit_code == ExitCode.WEIGHTS and "-gone.pth does not exist" in str(caught.value)


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
