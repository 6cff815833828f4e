"""Paths that were dropped on a terminal or copied from somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.draft import Draft
from wizard.pasted import as_path

AWKWARD = "my clips/it's 跳舞 100%"


@pytest.mark.parametrize(
    "text",
    [
        f"  {AWKWARD}\n",
        f'"{AWKWARD}"',
        "'my clips/it'\\''s 跳舞 100%'",
        "my\\ clips/it\\'s\\ 跳舞\\ 100% ",
        "file:///my%20clips/it's%20%E8%B7%B3%E8%88%9E%20100%25",
        "'file://localhost/my%20clips/it%27s 跳舞 100%25'",
    ],
)
def test_all_these_mean_the_same_folder(text: str) -> None:
    assert as_path(text).lstrip("/") == AWKWARD


@pytest.mark.parametrize("text", ["", "'", "'my clips", "my\\", "a b", "it's", "hf://ORG/REPO", "file://server/share"])
def test_what_is_a_path_or_none_yet_stays_as_it_is(text: str) -> None:
    assert as_path(text) == text


def test_a_name_that_is_there_is_never_read_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("'quoted'").mkdir()
    Path("back\\slash").mkdir()
    assert as_path("'quoted'") == "'quoted'" and as_path("back\\slash") == "back\\slash"


def test_an_answer_that_is_a_path_may_be_dropped(tmp_path: Path) -> None:
    draft = Draft()
    draft.give("data", f"'{tmp_path.as_uri()}'")
    draft.give("source", "my\\ runs/a:best")
    draft.give("name", "'a name'")
    assert [draft.value(key) for key in ("data", "source", "name")] == [str(tmp_path), "my runs/a:best", "'a name'"]
