"""Batches are a function of (seed, epoch, clip): workers, their order and a resume change nothing."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.dataset.augment import centre_view, views_at_test_time
from engine.dataset.clips import Clip
from engine.dataset.decode import open_video
from engine.dataset.loader import (
    Batch,
    Batches,
    ClipDataset,
    ClipsAtTestTime,
    TrainingClips,
    ValidationClips,
    View,
    build_loader,
)
from engine.dataset.sampling import centre_frames
from engine.recipe import Model, Recipe, recipe_from
from tests.videos import make_video, write_video

CLIPS = 7
BAD = {2: "the file is missing", 5: "Invalid data found when processing input"}


def recipe(**run: Any) -> Recipe:
    return recipe_from(
        {"model": {"segments": 3}, "dataset": {"short_side": 40, "frame_size": 32}, "run": {"workers": 0, **run}}
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """Real videos of different lengths and shapes; the first shows a single frame."""
    folder = tmp_path_factory.mktemp("clips")
    sizes = [(64, 48), (48, 64), (62, 46)]
    return tuple(
        Clip(str(make_video(folder / f"{n}.mp4", frames=1 + 5 * n, size=sizes[n % 3], seed=n)), label=n % 4)
        for n in range(CLIPS)
    )


@pytest.fixture(scope="module")
def clips(good: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """The same with two that do not decode."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("This is no video.")
    bad = {2: str(folder / "nowhere.mp4"), 5: str(folder / "text.mp4")}
    return tuple(Clip(bad.get(number, clip.path), clip.label) for number, clip in enumerate(good))


def batches_of(
    dataset: ClipDataset, epochs: list[int], workers: int = 0, done: int = 0, seed: int | None = 0, batch_size: int = 3
) -> list[Batch]:
    """What one loader gives in some epochs; `done` batches of the first one are left out."""
    batches = Batches(len(dataset), batch_size, shuffle_seed=seed)
    loader = build_loader(dataset, batches, workers, pin_memory=False)
    found = []
    for epoch in epochs:
        batches.epoch, batches.done = epoch, done
        found += list(loader)
        done = 0
    return found


def assert_equal(some: list[Batch], others: list[Batch]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)
        assert one.clips == other.clips and one.skipped == other.skipped


# --- the same batches, always -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int, clips: tuple[Clip, ...]) -> None:
    dataset = TrainingClips(clips, recipe())
    assert_equal(batches_of(dataset, [1, 2], workers), batches_of(dataset, [1, 2]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resume_in_the_middle_of_an_epoch_changes_nothing(workers: int, clips: tuple[Clip, ...]) -> None:
    dataset = TrainingClips(clips, recipe())
    whole = batches_of(dataset, [3, 4])
    for done in range(4):
        assert_equal(batches_of(dataset, [3, 4], workers, done=done), whole[done:])


def test_the_seed_decides(good: tuple[Clip, ...]) -> None:
    def frames(seed: int) -> torch.Tensor:
        """Of all clips, in their own order."""
        found = batches_of(TrainingClips(good, recipe(seed=seed)), [1], seed=None)
        return torch.cat([batch.frames for batch in found])

    assert torch.equal(frames(0), frames(0))
    assert not torch.equal(frames(0), frames(1))


def test_epochs_differ_in_order_and_in_augmentation(good: tuple[Clip, ...]) -> None:
    dataset = TrainingClips(good, recipe())
    first, second = batches_of(dataset, [1]), batches_of(dataset, [2])
    assert [batch.clips for batch in first] != [batch.clips for batch in second]
    by_clip = [
        {clip: view for batch in epoch for clip, view in zip(batch.clips, batch.frames, strict=True)}
        for epoch in (first, second)
    ]
    different = [clip for clip in range(CLIPS) if not torch.equal(by_clip[0][clip], by_clip[1][clip])]
    assert len(different) >= 5


def test_every_clip_is_seen_once_an_epoch_with_its_label(good: tuple[Clip, ...]) -> None:
    found = batches_of(TrainingClips(good, recipe()), [1])
    assert [len(batch.labels) for batch in found] == [3, 3, 1]
    assert sorted(clip for batch in found for clip in batch.clips) == list(range(CLIPS))
    for batch in found:
        assert batch.frames.shape[1:] == (3, 3, 32, 32) and batch.frames.dtype == torch.uint8
        assert batch.labels.tolist() == [good[clip].label for clip in batch.clips] and batch.labels.dtype == torch.int64


def test_loading_draws_nothing_from_the_generator_of_dropout(good: tuple[Clip, ...]) -> None:
    """Else a resume, which starts its loader anew, would go on with other dropout."""
    dataset = TrainingClips(good[:2], recipe())
    for workers in (0, 1):
        before = torch.get_rng_state()
        batches_of(dataset, [1, 2], workers)
        assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_can_go_to_workers_that_are_not_forked(good: tuple[Clip, ...]) -> None:
    """macOS, Windows and newer Pythons send everything to their workers as a pickle."""
    dataset = ValidationClips(good[:2], recipe())
    loader = build_loader(dataset, Batches(2, 2), workers=0, pin_memory=False)
    parts = pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn))
    there, batch_of, _ = pickle.loads(parts)
    assert_equal([batch_of([there[1, 0], there[1, 1]])], list(loader))


class _FrozenObjects(ClipDataset):
    """Shows how many objects garbage collection leaves alone, in thousands."""

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        return View(torch.full((1,), min(255, gc.get_freeze_count() // 1000), dtype=torch.uint8))


def test_garbage_collection_in_a_worker_leaves_the_trainers_objects_alone() -> None:
    """Looking at them would copy the memory they lie in."""
    gc.unfreeze()  # conftest.py has frozen what collection left
    try:
        (batch,) = batches_of(_FrozenObjects([Clip("a", 0)], recipe()), [1], workers=1)
        assert batch.frames.item() > 50
        assert gc.get_freeze_count() < 50_000
    finally:
        gc.freeze()


def test_workers_that_are_not_forked_share_one_copy_of_the_clips(good: tuple[Clip, ...]) -> None:
    for clips in (good, good[:0]):
        dataset = ValidationClips(clips, recipe())
        first, second = dataset.__getstate__(), dataset.__getstate__()
        assert first["clips"] is None  # nothing but the shared columns goes along
        for name, column in first["_shared"].items():
            assert column.is_shared() and column.data_ptr() == second["_shared"][name].data_ptr()
        there = pickle.loads(pickle.dumps(dataset))
        assert there.clips == clips and len(there) == len(clips)


@pytest.mark.slow  # each worker imports torch
def test_spawned_workers_give_the_same(good: tuple[Clip, ...]) -> None:
    dataset = ValidationClips(good[:3], recipe())
    loader = build_loader(dataset, Batches(3, 2), workers=1, pin_memory=False)
    loader.multiprocessing_context = "spawn"
    assert_equal(list(loader), batches_of(dataset, [1], seed=None, batch_size=2))


# --- clips that do not decode -----------------------------------------------------------------------------------------


def test_a_bad_clip_is_left_out_and_named(clips: tuple[Clip, ...]) -> None:
    found = batches_of(TrainingClips(clips, recipe()), [1])
    assert sorted(clip for batch in found for clip in batch.clips) == [0, 1, 3, 4, 6]
    skipped = [pair for batch in found for pair in batch.skipped]
    assert sorted(skipped) == sorted((clips[number].path, reason) for number, reason in BAD.items())
    for batch in found:
        assert len(batch.frames) == len(batch.labels) == len(batch.clips)
        assert batch.labels.tolist() == [clips[clip].label for clip in batch.clips]


def test_the_good_clips_of_a_batch_are_those_they_would_be_without_the_bad(
    good: tuple[Clip, ...], clips: tuple[Clip, ...]
) -> None:
    for whole, part in zip(
        batches_of(TrainingClips(good, recipe()), [1]), batches_of(TrainingClips(clips, recipe()), [1]), strict=True
    ):
        kept = [place for place, clip in enumerate(whole.clips) if clip not in BAD]
        assert part.clips == [whole.clips[place] for place in kept]
        assert all(map(torch.equal, part.frames, whole.frames[kept])) and len(part.frames) == len(kept)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_bad_clips_only_is_empty(workers: int, clips: tuple[Clip, ...]) -> None:
    (batch,) = batches_of(TrainingClips([clips[2], clips[5]], recipe()), [1], workers)
    assert len(batch.frames) == 0 and batch.labels.shape == (0,) and batch.labels.dtype == torch.int64
    assert batch.clips == [] and len(batch.skipped) == 2


# --- validation and test ----------------------------------------------------------------------------------------------


def test_validation_goes_through_the_list_and_is_the_same_each_epoch(clips: tuple[Clip, ...]) -> None:
    dataset = ValidationClips(clips, recipe())
    first = batches_of(dataset, [1], seed=None)
    assert [batch.clips for batch in first] == [[0, 1], [3, 4], [6]]
    assert_equal(batches_of(dataset, [2], workers=2, seed=None), first)


def test_validation_shows_the_middle_of_the_middle_frames(good: tuple[Clip, ...]) -> None:
    clip = good[4]
    video = open_video(clip.path)
    expected = centre_view(video.read(centre_frames(video.num_frames, 3)), recipe().dataset)
    number, view = ValidationClips(good, recipe())[1, 4]
    assert number == 4 and isinstance(view, View) and torch.equal(view.frames, expected)


@pytest.mark.parametrize(("asked", "segments"), [(0, 3), (5, 5)])
@pytest.mark.parametrize("crops", [1, 3, 10])
def test_views_at_test_time(asked: int, segments: int, crops: int, good: tuple[Clip, ...]) -> None:
    settings = recipe(test_segments=asked, test_crops=crops)
    (batch,) = batches_of(ClipsAtTestTime(good[3:4], settings), [1], seed=None)
    assert batch.frames.shape == (1, crops, segments, 3, 32, 32)
    video = open_video(good[3].path)
    frames = video.read(centre_frames(video.num_frames, segments))
    assert torch.equal(batch.frames[0], views_at_test_time(frames, settings.dataset, crops))


@pytest.mark.parametrize("crops", [1, 3, 10])
def test_test_time_may_have_sizes_of_its_own(crops: int, good: tuple[Clip, ...]) -> None:
    settings = recipe(test_crops=crops, test_short_side=48, test_frame_size=48)
    (batch,) = batches_of(ClipsAtTestTime(good[3:4], settings), [1], seed=None)
    assert batch.frames.shape == (1, crops, 3, 3, 48, 48)
    frames = open_video(good[3].path).read(centre_frames(16, 3))
    sizes = settings.dataset.model_copy(update={"short_side": 48, "frame_size": 48})
    assert torch.equal(batch.frames[0], views_at_test_time(frames, sizes, crops))
    _, view = ValidationClips(good, settings)[1, 3]
    assert isinstance(view, View) and view.frames.shape == (3, 3, 32, 32), "validation is as before"


def test_dense_clips_at_test_time(good: tuple[Clip, ...]) -> None:
    """The crops of the first clip, then those of the second."""
    settings = recipe(test_clips=2, test_crops=3)
    settings = settings.model_copy(update={"model": Model(clip_len=4, frame_interval=2)})
    (batch,) = batches_of(ClipsAtTestTime(good[3:4], settings), [1], seed=None)
    assert batch.frames.shape == (1, 6, 4, 3, 32, 32)
    video = open_video(good[3].path)  # 16 frames
    for place, frames in enumerate(([0, 2, 4, 6], [9, 11, 13, 15])):
        crops = views_at_test_time(video.read(frames), settings.dataset, 3)
        assert torch.equal(batch.frames[0, 3 * place : 3 * place + 3], crops)
    (batch,) = batches_of(TrainingClips(good[3:4], settings), [1], seed=None)
    assert batch.frames.shape == (1, 4, 3, 32, 32)


# --- parts of untrimmed videos ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrimmed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four seconds that grow lighter: frame n is grey of 2 * n."""
    images = [np.full((48, 64, 3), 2 * number, np.uint8) for number in range(100)]
    return str(write_video(tmp_path_factory.mktemp("untrimmed") / "long.mp4", images))


@pytest.mark.parametrize("views", [TrainingClips, ValidationClips, ClipsAtTestTime])
def test_frames_come_from_the_part_that_the_clip_is(views: type[ClipDataset], untrimmed: str) -> None:
    parts = [Clip(untrimmed, label, start=start, end=start + 1) for label, start in enumerate([0.0, 1.2, 3.0])]
    for epoch in range(1, 9):
        for batch in batches_of(views(parts, recipe()), [epoch]):
            for clip, frames in zip(batch.clips, batch.frames, strict=True):
                numbers = frames.float().mean(dim=(-3, -2, -1)).flatten() / 2
                first = parts[clip].start * 25
                assert first - 2 < numbers.min() < numbers.max() < first + 25 + 2  # of 100; coding costs a level or two
                assert numbers.max() - numbers.min() > 5


def test_a_part_past_the_end_is_left_out_and_named(untrimmed: str) -> None:
    parts = [Clip(untrimmed, 0, start=3.0, end=9.0), Clip(untrimmed, 1, start=72.8, end=76.4)]
    (batch,) = batches_of(ValidationClips(parts, recipe()), [1], seed=None)
    assert batch.clips == [0] and batch.labels.tolist() == [0]
    reason = "the part begins at 72.80 s, and the video ends at 4.00 s"
    assert batch.skipped == [(f"{untrimmed} [72.8–76.4 s]", reason)]


# --- the order of clips -----------------------------------------------------------------------------------------------


def numbers(batches: Batches) -> Iterator[int]:
    for batch in batches:
        assert all(epoch == batches.epoch for epoch, _ in batch)
        yield from (number for _, number in batch)


@given(st.integers(0, 200), st.integers(1, 50), st.one_of(st.none(), st.integers(0, 2**63 - 1)), st.integers(1, 10**6))
def test_batches_are_a_permutation_in_full_batches(clips: int, batch_size: int, seed: int | None, epoch: int) -> None:
    batches = Batches(clips, batch_size, seed)
    batches.epoch = epoch
    found = list(batches)
    assert len(found) == len(batches) == int(np.ceil(clips / batch_size))
    assert all(len(batch) == batch_size for batch in found[:-1])
    assert sorted(numbers(batches)) == list(range(clips))
    if seed is None:
        assert list(numbers(batches)) == list(range(clips))
    for done in range(len(found) + 1):
        batches.done = done
        assert list(batches) == found[done:] and len(batches) == len(found)


def test_every_order_is_equally_likely() -> None:
    """Of three clips over many epochs: six orders."""
    batches = Batches(3, 3, shuffle_seed=0)
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(1, 1201):
        batches.epoch = epoch
        order = tuple(numbers(batches))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6 and all(150 < count < 250 for count in counts.values())


def test_a_batch_says_where_its_clips_are_from(tmp_path: Path) -> None:
    missing = [Clip(str(tmp_path / f"{number}.mp4"), number) for number in range(2)]
    (batch,) = batches_of(ValidationClips(missing, recipe()), [1], seed=None)
    assert batch.skipped == [(clip.path, "the file is missing") for clip in missing]


# --- several classes a clip -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_labels_of_clips_with_several_classes_are_zeros_and_ones(clips: tuple[Clip, ...], workers: int) -> None:
    """Rows stay with their clips where others do not decode. A clip that names a single label is of that class."""
    sets = [(0,), (3, 1), (), (2,), (0, 1, 2, 3), (1,), (2, 0)]
    several = [Clip(clip.path, (of or (3,))[0], labels=of) for clip, of in zip(clips, sets, strict=True)]
    settings = recipe_from(
        {"head": {"num_classes": 5, "multi_label": True}, "model": {"segments": 2}, "dataset": {"short_side": 40,
         "frame_size": 32}}
    )  # fmt: skip
    found = batches_of(TrainingClips(several, settings), [1], workers)
    assert sorted(number for batch in found for number in batch.clips) == [0, 1, 3, 4, 6]
    for batch in found:
        assert batch.labels.dtype == torch.float32 and batch.labels.shape == (len(batch.clips), 5)
        for number, row in zip(batch.clips, batch.labels.tolist(), strict=True):
            assert row == [float(label in several[number].all_labels) for label in range(5)]


def test_a_batch_without_a_good_clip_has_no_rows() -> None:
    settings = recipe_from({"head": {"num_classes": 5, "multi_label": True}})
    batch = TrainingClips([Clip("gone.mp4", 1, labels=(1, 2))], settings).batch_of([(0, "why")])
    assert batch.labels.shape == (0, 5) and batch.skipped == [("gone.mp4", "why")]


# --- mirrored clips ---------------------------------------------------------------------------------------------------

TURNS = ("turn left", "nod", "turn right")


def of_classes(classes: tuple[str, ...], flip: float, multi_label: bool = False) -> Recipe:
    return recipe_from(
        {
            "model": {"segments": 2},
            "head": {"num_classes": len(classes), "multi_label": multi_label},
            "dataset": {"classes": classes, "flip": flip, "short_side": 40, "frame_size": 32, "crop": "random"},
        }
    )


def test_a_mirrored_clip_is_of_its_mirror_images_class(good: tuple[Clip, ...]) -> None:
    """The label goes with the view: wherever the view is the mirrored one, and nowhere else."""
    clips = [Clip(clip.path, number % 3) for number, clip in enumerate(good)]
    (plain,) = batches_of(TrainingClips(clips, of_classes(TURNS, 0.0)), [1], batch_size=CLIPS)
    (mirrored,) = batches_of(TrainingClips(clips, of_classes(TURNS, 1.0)), [1], batch_size=CLIPS)
    assert torch.equal(mirrored.frames, plain.frames.flip(-1)) and not torch.equal(mirrored.frames, plain.frames)
    assert mirrored.labels.tolist() == [2 - label for label in plain.labels.tolist()]

    seen = set()
    for half in batches_of(TrainingClips(clips, of_classes(TURNS, 0.5)), [1, 2, 3, 4], batch_size=CLIPS):
        for number, label in zip(half.clips, half.labels.tolist(), strict=True):
            seen.add((clips[number].label, label))
    assert seen == {(0, 0), (0, 2), (1, 1), (2, 2), (2, 0)}

    (validation,) = batches_of(ValidationClips(clips, of_classes(TURNS, 1.0)), [1], batch_size=CLIPS, seed=None)
    assert validation.labels.tolist() == [clip.label for clip in clips]


def test_every_class_of_a_mirrored_clip_is_exchanged(good: tuple[Clip, ...]) -> None:
    clips = [Clip(good[1].path, 0, labels=(0, 1)), Clip(good[2].path, 0, labels=(0, 2)), Clip(good[3].path, 1)]
    (batch,) = batches_of(TrainingClips(clips, of_classes(TURNS, 1.0, multi_label=True)), [1], seed=None)
    assert batch.labels.tolist() == [[0, 1, 1], [1, 0, 1], [0, 1, 0]]


def test_classes_without_names_have_no_sides(good: tuple[Clip, ...]) -> None:
    settings = recipe_from({"head": {"num_classes": 4}, "dataset": {"flip": 1.0}})
    (batch,) = batches_of(TrainingClips(good[:3], settings), [1], seed=None)
    assert batch.labels.tolist() == [0, 1, 2]
