"""`ftwiz run --resume`: which run is meant, and what may have changed since it was started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import RecipeError
from engine.events import RunFinished, RunInterrupted, to_line
from engine.recipe import document_of, load_recipe
from engine.run_folder import RunFolder
from tests.clips import make_dataset, write_recipe
from wizard.run import prepare, resume_run


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started_run(here: Path, videos: Path, **tables: str) -> RunFolder:
    """A run of r.toml as the engine leaves it after an interruption, but for the weights themselves."""
    run = prepare(str(write_recipe(here / "r.toml", videos, **tables)), None, {})
    asked = load_recipe(run.recipe)
    run.provenance.write_text(json.dumps({"recipe": document_of(asked)}))
    run.events.write_text(to_line(RunInterrupted(1.0, "SIGTERM", "checkpoints/last.pt", 3)) + "\n")
    (run.checkpoints / "last.pt").touch()
    return run


def test_the_latest_run_of_the_recipe_goes_on(here: Path, videos: Path) -> None:
    started_run(here, videos)
    latest = started_run(here, videos)
    assert resume_run("r.toml", None, {}) == latest


def test_a_damaged_recipe_of_another_run_is_in_nobodys_way(
    here: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = started_run(here, videos), started_run(here, videos)
    other.recipe.write_text("[schedule\n")
    assert resume_run("r.toml", None, {}) == run
    assert capsys.readouterr().err == f"{other.path} is passed over: its recipe.toml cannot be read.\n"


def test_a_recipe_that_has_changed_is_refused_and_says_where(here: Path, videos: Path) -> None:
    run = started_run(here, videos)
    write_recipe(here / "r.toml", videos, schedule="lr = 0.02\nepochs = 7", model="segments = 3")
    with pytest.raises(RecipeError) as caught:
        resume_run("r.toml", None, {})
    assert str(caught.value) == (
        f"r.toml has changed since {run.path} was started: [model] segments is 3, was 2; [schedule] epochs is 7, was "
        "2; [schedule] lr is 0.02, was 0.01. A resumed run keeps its recipe: undo the change, go on as it was with "
        f"`ftwiz run --resume --run-dir {run.path}`, or leave out --resume for a new run."
    )
    assert resume_run("", run.path, {}) == run


def test_what_was_decided_for_auto_is_no_change(here: Path, videos: Path) -> None:
    run = started_run(here, videos, head='num_classes = "auto"', run='workers = "auto"')
    run.recipe.write_text(run.recipe.read_text().replace('num_classes = "auto"', "num_classes = 3"))
    assert resume_run("r.toml", None, {}) == run


def test_what_the_run_runs_on_may_change(here: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = started_run(here, videos)
    write_recipe(here / "r.toml", videos, run="workers = 2")
    assert resume_run("r.toml", None, {"run.log_interval": 5}) == run
    assert capsys.readouterr().err == "r.toml has changed: [run] workers is 2, was 0.\n"
    assert load_recipe(run.recipe).run.workers == 2 and load_recipe(run.recipe).run.log_interval == 5


@pytest.mark.parametrize("key", ["run.seed", "schedule.lr"])
def test_what_decides_the_training_may_not(key: str, here: Path, videos: Path) -> None:
    run = started_run(here, videos)
    with pytest.raises(RecipeError, match=f"--set {key}: a resumed run keeps its recipe"):
        resume_run("", run.path, {key: 1})


def test_without_last_pt_another_checkpoint_will_do(here: Path, videos: Path) -> None:
    run = started_run(here, videos)
    (run.checkpoints / "last.pt").rename(run.checkpoints / "last-previous.pt")
    assert resume_run("r.toml", None, {}) == run
    (run.checkpoints / "last-previous.pt").unlink()
    with pytest.raises(RecipeError, match="has no checkpoint to go on from"):
        resume_run("r.toml", None, {})


def test_a_finished_run_does_not_go_on_but_a_stopped_one_does(here: Path, videos: Path) -> None:
    run = started_run(here, videos)
    run.events.write_text(to_line(RunFinished(1.0, 0.5, 1, 9.0, stopped_early=True)) + "\n")
    assert resume_run("r.toml", None, {}) == run
    run.events.write_text(to_line(RunFinished(1.0, 0.5, 1, 9.0)) + "\n")
    with pytest.raises(RecipeError, match=f'is finished.*load_from = "{run.checkpoints / "last.pt"}"'):
        resume_run("r.toml", None, {})


def test_a_run_of_another_machine(here: Path, videos: Path) -> None:
    """A cluster starts it anew on whatever node is free. Its log says that it is over, or nobody can tell."""
    run = started_run(here, videos)
    run.process.write_text(json.dumps({"pid": 1, "started": "0", "host": "node17"}))
    run.events.write_text(to_line(RunInterrupted(4e9, "SIGUSR1", "checkpoints/last.pt", 3)) + "\n")
    assert resume_run("r.toml", None, {}) == run
    run.events.write_text("")
    with pytest.raises(RecipeError, match=f"was training on node17, .* remove {run.process} and try again"):
        resume_run("r.toml", None, {})
