from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.clips import Clip
from engine.dataset.split import split_clips, split_notes

FRACTIONS = st.floats(min_value=0, max_value=0.99)
SEEDS = st.integers(min_value=0, max_value=2**40)


@st.composite
def clip_lists(draw: st.DrawFn, mixed: bool = True) -> list[Clip]:
    """Clips of up to 5 classes in groups of up to 8 clips. mixed: one group may hold several classes."""
    clips = []
    for group in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(["", f"source {group}"]))
        label = draw(st.integers(0, 4))
        for number in range(draw(st.integers(1, 8))):
            if mixed:
                label = draw(st.integers(0, 4))
            clips.append(Clip(f"videos/{group}/{number}.mp4", label, name))
    return clips


def _groups(clips: tuple[Clip, ...]) -> set[str]:
    return {clip.group or clip.path for clip in clips}


def _counts(clips: tuple[Clip, ...] | list[Clip]) -> Counter[int]:
    return Counter(clip.label for clip in clips)


@given(clip_lists(), FRACTIONS, SEEDS)
def test_every_clip_is_on_one_side_and_no_group_on_both(clips: list[Clip], fraction: float, seed: int) -> None:
    train, val = split_clips(clips, fraction, seed)
    assert sorted((*train, *val), key=repr) == sorted(clips, key=repr)
    assert not _groups(train) & _groups(val)


@given(clip_lists(), FRACTIONS, SEEDS)
def test_every_class_keeps_a_training_clip(clips: list[Clip], fraction: float, seed: int) -> None:
    train, _ = split_clips(clips, fraction, seed)
    assert set(_counts(train)) == set(_counts(clips))


@given(clip_lists(mixed=False), st.floats(min_value=0.01, max_value=0.99), SEEDS)
def test_every_class_of_two_groups_has_a_validation_clip(clips: list[Clip], fraction: float, seed: int) -> None:
    _, val = split_clips(clips, fraction, seed)
    groups_of = {label: {c.group or c.path for c in clips if c.label == label} for label in _counts(clips)}
    assert set(_counts(val)) == {label for label, groups in groups_of.items() if len(groups) > 1}


@given(st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=3), min_size=2, max_size=60), SEEDS)
def test_clips_of_several_classes_count_for_each(sets: list[set[int]], seed: int) -> None:
    """Class 5 is never the first of a clip: it counts as the others do."""
    clips = [Clip(f"{number}.mp4", min(of), labels=tuple(sorted(of))) for number, of in enumerate(sets)]
    train, val = split_clips(clips, 0.3, seed)
    in_train, in_val = (Counter(label for clip in side for label in clip.labels) for side in (train, val))
    assert sorted((*train, *val), key=repr) == sorted(clips, key=repr)
    assert set(in_train) == set().union(*sets)
    notes = " ".join(split_notes(tuple("abcdef"), train, val, 0.3, seed))
    shares = [in_val[label] / (in_val[label] + in_train[label]) for label in sorted(in_train)]
    assert f"{max(shares):.1%}" in notes and f"{min(shares):.1%}" in notes


def test_a_class_that_is_never_the_first_is_held_out_too() -> None:
    clips = [
        Clip(f"{number:03}.mp4", number % 2, labels=(number % 2, 2) if number < 20 else (number % 2,))
        for number in range(100)
    ]
    for seed in range(5):
        _, val = split_clips(clips, 0.2, seed)
        assert Counter(label for clip in val for label in clip.labels) == {0: 10, 1: 10, 2: 4}


@given(clip_lists(), FRACTIONS, SEEDS, st.randoms())
def test_the_order_of_the_clips_does_not_matter(
    clips: list[Clip], fraction: float, seed: int, chance: random.Random
) -> None:
    shuffled = list(clips)
    chance.shuffle(shuffled)
    assert split_clips(shuffled, fraction, seed) == split_clips(clips, fraction, seed)


@given(clip_lists(), FRACTIONS, SEEDS)
def test_the_split_does_not_depend_on_where_the_videos_lie(clips: list[Clip], fraction: float, seed: int) -> None:
    moved = [Clip(f"/elsewhere/{clip.path}", clip.label, clip.group) for clip in clips]
    here, there = split_clips(clips, fraction, seed)[1], split_clips(moved, fraction, seed)[1]
    assert [f"/elsewhere/{clip.path}" for clip in here] == [clip.path for clip in there]


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.floats(0.01, 0.99), SEEDS)
def test_without_groups_every_class_gives_its_share_to_the_clip(sizes: list[int], fraction: float, seed: int) -> None:
    clips = [Clip(f"{label}/{n}.mp4", label) for label, size in enumerate(sizes) for n in range(size)]
    _, val = split_clips(clips, fraction, seed)
    for label, size in enumerate(sizes):
        wanted = min(max(fraction * size, 1), size - 1)
        assert abs(_counts(val)[label] - wanted) <= 0.5 + 1e-6


@given(st.lists(st.integers(1, 7), min_size=2, max_size=9), st.floats(0.05, 0.95), SEEDS)
def test_no_single_move_or_swap_of_groups_would_be_more_even(sizes: list[int], fraction: float, seed: int) -> None:
    clips = [Clip(f"{group}/{n}.mp4", 0, f"g{group}") for group, size in enumerate(sizes) for n in range(size)]
    train, val = split_clips(clips, fraction, seed)
    target = fraction * len(clips)
    got = abs(len(val) - target)
    inside, outside = Counter(c.group for c in val).values(), Counter(c.group for c in train).values()
    for entering in (0, *outside):
        for leaving in (0, *inside):
            other = len(val) + entering - leaving
            if 0 < other < len(clips):
                assert abs(other - target) >= got - 1e-5


def test_groups_like_those_of_ucf101_come_out_within_a_clip_of_the_share() -> None:
    clips = [
        Clip(f"{label}/{group}_{n}.avi", label, f"{label}_g{group}")
        for label in range(20)
        for group in range(25)
        for n in range(4 + (label * 3 + group) % 4)
    ]
    _, val = split_clips(clips, 0.2, seed=3)
    for label, count in _counts(clips).items():
        assert abs(_counts(val)[label] - 0.2 * count) <= 1


def test_another_seed_holds_out_others() -> None:
    clips = [Clip(f"{n:03}.mp4", n % 2, f"source {n // 3}") for n in range(300)]
    chosen = {split_clips(clips, 0.2, seed)[1] for seed in range(5)}
    assert len(chosen) == 5


def test_global_randomness_is_left_alone() -> None:
    random.seed(7)
    before = random.getstate()
    split_clips([Clip(f"{n}.mp4", 0) for n in range(50)], 0.3, seed=1)
    assert random.getstate() == before


def test_classes_that_share_every_source_still_get_both_sides() -> None:
    clips = [Clip(f"{s}/{label}{n}.mp4", label, f"s{s}") for s in range(6) for label in range(3) for n in range(s + 1)]
    train, val = split_clips(clips, 0.1, seed=0)
    assert set(_counts(train)) == set(_counts(val)) == {0, 1, 2}


def test_the_note_tells_the_shares_the_groups_and_the_seed() -> None:
    clips = [Clip(f"{n:02}.mp4", n % 2, f"source {n // 2}") for n in range(20)]
    train, val = split_clips(clips, 0.2, seed=5)
    (note,) = split_notes(("walk", "run"), train, val, 0.2, seed=5)
    assert note == (
        "Held out 4 of 20 clips (20.0%) for validation, seed 5: 2 of 10 groups, none on both sides; "
        "every class gives 20.0% (asked for 20.0%)."
    )


def test_the_note_names_the_classes_that_came_out_uneven_and_missing_groups() -> None:
    clips = [Clip("a.mp4", 0), Clip("b.mp4", 0), *(Clip(f"{n}.mp4", 1) for n in range(10))]
    train, val = split_clips(clips, 0.2, seed=0)
    made, groups = split_notes(("rare", "common"), train, val, 0.2, seed=0)
    assert "classes give 20.0% (common) to 50.0% (rare)" in made
    assert groups.startswith("No groups are known")


def test_a_fraction_of_0_holds_nothing_out() -> None:
    clips = [Clip(f"{n}.mp4", 0) for n in range(9)]
    train, val = split_clips(clips, 0, seed=0)
    assert (len(train), val) == (9, ())
    assert split_notes(("only",), train, val, 0, 0) == (
        "No clip is held out for validation, because [dataset] val_fraction is 0.",
    )
