from __future__ import annotations

import os
import pickle
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.clips import Clip, ClipLists, ClipTable, packed

# Any text that a path or a group may be: also names that are not UTF-8, which come with surrogates.
texts = st.text(st.characters(exclude_characters="\0"), max_size=8)
seconds = st.floats(0, 1e5)
clips = st.builds(
    Clip,
    path=st.lists(texts, max_size=3).map("/".join) | st.sampled_from(["/a/b.mp4", "a/c.mp4", "d.mp4", "/x", "y/", ""]),
    label=st.integers(-1, 400),
    group=texts,
    labels=st.lists(st.integers(0, 400), max_size=3).map(tuple),
    start=seconds | st.just(0.0),
    end=seconds | st.just(0.0),
    first_frame=st.integers(0, 10**6),
    num_frames=st.integers(0, 10**6),
)
plain = st.builds(Clip, path=texts, label=st.integers(0, 3), group=st.sampled_from(["", "g"]))
lists_of_clips = st.lists(clips, max_size=8) | st.lists(plain, max_size=8) | st.lists(plain | clips, max_size=8)


@given(lists_of_clips)
def test_a_table_holds_what_was_packed(clips: list[Clip]) -> None:
    table = ClipTable(clips)
    assert list(table) == clips and len(table) == len(clips)
    assert [table[place] for place in range(-len(clips), len(clips))] == clips * 2
    assert table == clips and clips == table and table == tuple(clips) and table == ClipTable(table)
    assert table != [*clips, Clip("one more.mp4", 0)]
    assert list(table.paths()) == [clip.path for clip in clips]
    assert table.groups() == {clip.group for clip in clips if clip.group}
    assert ClipTable.over(pickle.loads(pickle.dumps(dict(table.columns)))) == clips


@given(lists_of_clips, st.slices(8))
def test_a_slice_is_a_table(clips: list[Clip], part: slice) -> None:
    assert isinstance(ClipTable(clips)[part], ClipTable)
    assert ClipTable(clips)[part] == clips[part]


@given(st.lists(clips, min_size=1, max_size=8), st.data())
def test_tables_differ_where_one_clip_does(clips: list[Clip], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(clips) - 1))
    other = replace(clips[at], **data.draw(st.sampled_from([{"label": 999}, {"end": 2e5}, {"path": "another"}])))
    assert ClipTable(clips) != [*clips[:at], other, *clips[at + 1 :]]


@pytest.mark.parametrize("place", [2, -3, 10**9])
def test_a_place_outside_raises_as_a_list_does(place: int) -> None:
    with pytest.raises(IndexError):
        ClipTable([Clip("a", 0), Clip("b", 1)])[place]


def test_lists_pack_what_a_reader_returns_and_count_it() -> None:
    lists = ClipLists(("a", "b", "c"), train=[Clip("1", 0), Clip("2", 0), Clip("3", 1)], val=(Clip("4", 2),))
    assert isinstance(lists.train, ClipTable) and isinstance(lists.val, ClipTable)
    assert lists.counts(lists.train) == {"a": 2, "b": 1, "c": 0}
    assert lists.counts([Clip("5", 1)]) == {"a": 0, "b": 1, "c": 0}
    assert replace(lists, notes=("a note",)).train is lists.train


def test_a_clip_of_several_labels_counts_for_each() -> None:
    clips = [Clip("1", 2, labels=(2, 0)), Clip("2", 1), Clip("3", 0, labels=(0,))]
    assert packed(clips).label_counts() == Counter({2: 1, 0: 2, 1: 1})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({}, "v.mp4"),
        ({"start": 72.8, "end": 76.4}, "v.mp4 [72.8–76.4 s]"),
        ({"end": 10.0}, "v.mp4 [0–10 s]"),
        ({"start": 25.81087, "end": 1250.8179}, "v.mp4 [25.81–1250.82 s]"),
        ({"start": 5.0}, "v.mp4 [5–the end]"),
    ],
)
def test_a_name_says_which_part_of_the_file_it_is(part: dict[str, float], name: str) -> None:
    assert Clip("v.mp4", 0, **part).name == name


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process's memory")
def test_reading_a_table_after_a_fork_copies_no_memory() -> None:
    clips = [Clip(f"/videos/class {n % 7}/{n:08d}.mp4", n % 7, f"source {n}", start=n / 8) for n in range(100_000)]
    table = ClipTable(clips)
    assert table[::997] == clips[::997] and table[-1] == clips[-1]  # of more groups than a packer remembers
    in_list, in_table = _made_private_by_reading(clips), _made_private_by_reading(table)
    assert in_list > 5_000_000  # or this test measures nothing
    assert in_table < in_list / 20


def _made_private_by_reading(clips: list[Clip] | ClipTable) -> int:
    """Bytes that a forked process copies for itself when it looks at every clip."""
    receive, send = os.pipe()
    if os.fork() == 0:
        before = _private_bytes()
        assert sum(clips[place].label for place in range(len(clips)))
        os.write(send, str(_private_bytes() - before).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as answer:
        return int(answer.read())


def _private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
