"""What all tests share: a clean environment, the real data where it is there, and no GPU tests without a GPU."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# A property is about the result. How long an example takes on a busy machine says nothing.
settings.register_profile("ftwiz", deadline=None)
settings.load_profile("ftwiz")

_scratch = pytest.StashKey[str]()
_LEFT_OUT = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "LINES",
             "TEXTUAL_THEME", "COLORFGBG")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is imported: the same environment on every machine, for the tests and for what they start."""
    scratch = tempfile.mkdtemp(prefix="ftwiz-tests-")
    config.stash[_scratch] = scratch
    for name in list(os.environ):
        if name.startswith(("FTWIZ", "XDG_")) or name in _LEFT_OUT:
            del os.environ[name]
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TORCH_HOME"):
        os.environ[name] = os.path.join(scratch, name.lower())
    os.environ["TERM"] = "xterm-256color"
    # Threads that fight over cores make small models slower, not faster.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_scratch], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests, and torch, stay to the end: the garbage collector need not look at them again and again. It
    took a third of the time of the tests of the screens."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(10_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest test begins first, beside all others, instead of being waited for at the end.
    items.sort(key=lambda item: item.name != "test_the_demo_shows_what_pretraining_buys")
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch  # seconds; only when it decides something

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The read-only data beside the repository (real videos, published annotations); skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip("the shared data is not on this machine")
    return SHARED
