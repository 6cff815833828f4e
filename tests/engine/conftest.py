"""What several tests of the engine need and none of them changes."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine import fit, load_recipe
from engine.run_folder import RunFolder, create_run_folder
from tests.clips import make_dataset, write_recipe


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run, with the report of `ftwiz test`; its videos lie beside it. Seconds; nobody changes it."""
    from engine.final_test import test_run

    folder = tmp_path_factory.mktemp("trained")
    tables = {
        "model": 'backbone = "squeezenet1_1"',  # it learns something in two epochs: every clip gets its own numbers
        "head": "init_std = 1.0",
        "schedule": "lr = 0.001",
        "run": "test_segments = 3\ntest_crops = 3",
    }
    recipe = load_recipe(write_recipe(folder / "r.toml", make_dataset(folder / "videos"), **tables))
    run = create_run_folder(recipe, folder / "runs" / "first", datetime.now())
    fit(load_recipe(run.recipe), run.path)
    test_run(run)
    return run
