"""quarantine.txt: what cannot be used, by name, in a file that survives crashes and that people edit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.clips import Clip, ClipLists
from engine.dataset.quarantine import Quarantine, append_quarantine, read_quarantine
from engine.errors import DataError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name.strip())


@given(names=st.lists(NAMES, unique=True, max_size=5), reason=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read(names: list[str], reason: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("q") / "quarantine.txt"
    for name in names:
        append_quarantine(path, name, reason)
    assert read_quarantine(path) == dict.fromkeys(names, " ".join(reason.split()))


def test_a_plain_name_stands_there_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    append_quarantine(path, "videos/打篮球/a b.mp4", "moov atom\nnot found")
    assert path.read_text(encoding="utf-8") == "videos/打篮球/a b.mp4\tmoov atom not found\n"


def test_a_name_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    append_quarantine(tmp_path / "q", "caf\udce9.mp4", "no frame in it")
    assert read_quarantine(tmp_path / "q") == {"caf\udce9.mp4": "no frame in it"}


def test_half_a_line_of_a_killed_process_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    path.write_text("a.mp4\tno fr")
    append_quarantine(path, "b.mp4", "no frame in it")
    assert list(read_quarantine(path)) == ["a.mp4", "b.mp4"]


def test_people_may_write_names_without_reasons(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    path.write_text('a.mp4\n\n"odd.mp4\tits name begins so\n')
    assert read_quarantine(path) == {"a.mp4": "", '"odd.mp4': "its name begins so"}
    assert read_quarantine(tmp_path / "nowhere.txt") == {}


def test_a_clip_is_in_by_itself_or_with_its_whole_file(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.txt")
    early, late, other = Clip("a.mp4", 0, start=0, end=2), Clip("a.mp4", 0, start=2, end=4), Clip("b.mp4", 0)
    assert quarantine.add(early.name, "no frame in it") and not quarantine.add(early.name, "again")
    is_in = quarantine.among([early, late, other])
    assert [is_in(number) for number in range(3)] == [True, False, False]
    quarantine.add("a.mp4", "gone")
    assert [is_in(number) for number in range(3)] == [True, True, False]
    assert read_quarantine(quarantine.path) == quarantine.reasons == {early.name: "no frame in it", "a.mp4": "gone"}


def test_the_limit_counts_each_clip_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.txt")
    clips = ClipLists(("a", "b"), tuple(Clip(f"{n}.mp4", n % 2) for n in range(15)), (Clip("v.mp4", 0),) * 5)
    for _ in range(10):
        quarantine.add("3.mp4", "no frame in it")
    quarantine.require_at_most(0.05, clips)
    quarantine.add("v.mp4", "gone")
    with pytest.raises(
        DataError, match=r"2 of 20 clips .* max_bad_fraction = 0.05 .* v\.mp4 \(gone\).*quarantine\.txt"
    ):
        quarantine.require_at_most(0.05, clips)
    again = Quarantine(quarantine.path)
    with pytest.raises(DataError):
        again.require_at_most(0.05, clips)
