"""Batches of clips from worker processes.

The order of clips and every augmentation are functions of (seed, epoch, clip): the number of workers, the order they
finish in and a resume in the middle of an epoch change nothing. A clip that does not decode is left out of its batch
and named; no other clip takes its place.
"""

from __future__ import annotations

import gc
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine import recipe
from engine.dataset.augment import centre_view, stack_flow, training_view, views_at_test_time
from engine.dataset.clips import Clip, ClipTable, packed
from engine.dataset.decode import open_clip
from engine.dataset.mirror import mirror_of
from engine.dataset.reader import DecodeError, FrameReader
from engine.dataset.sampling import frames_at_test_time, training_frames, validation_frames


@dataclass
class Batch:
    """frames: uint8 [B, T, C, H, W] (test: [B, views, T, C, H, W]); labels: int64 [B], with head.multi_label
    float32 [B, num_classes] of zeros and ones; clips: their numbers in the list. B is smaller than asked by the clips
    in `skipped`, as (name, reason)."""

    frames: torch.Tensor
    labels: torch.Tensor
    clips: list[int]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def split(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Frames and labels of at most `size` clips at a time; nothing of a batch without any."""
        if not self.clips:
            return iter(())
        return zip(self.frames.split(size), self.labels.split(size), strict=True)

    def pin_memory(self) -> Batch:
        return Batch(self.frames.pin_memory(), self.labels.pin_memory(), self.clips, self.skipped)


@dataclass
class View:
    """The frames of one clip as the model sees them, uint8 [T, 3, H, W], or pairs of flow [T * flow_length, 2, H, W].
    mirrored: left and right have changed places. numbers: of the frames in their clip, where somebody asks."""

    frames: torch.Tensor
    mirrored: bool = False
    numbers: Sequence[int] = ()


Item = tuple[int, View | str]  # a clip's number, with its view or the reason why there is none


class ClipDataset(Dataset):
    """Decodes one clip. An item is asked for by (epoch, clip number)."""

    def __init__(self, clips: Sequence[Clip], recipe: recipe.Recipe):
        self.clips = packed(clips)
        self._shared: dict[str, torch.Tensor] | None = None  # the clips' columns, once another process has them
        self.recipe = recipe
        self.mirror = mirror_of(recipe.dataset.classes)

    def __getitem__(self, item: tuple[int, int]) -> Item:
        """An odd file never ends a training by itself; too many of them do."""
        epoch, number = item
        try:
            return number, self.view(self.clips[number], epoch, number)
        except DecodeError as error:
            return number, str(error)
        except Exception as error:
            traceback.print_exc()  # into log.txt
            return number, f"unexpected {type(error).__name__}: {error}"

    def __len__(self) -> int:
        return len(self.clips)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker that is not forked (macOS, Windows): the clips lie in memory that all workers share.

        A forked worker has the trainer's own memory, and reading a table copies none of it.
        """
        if self._shared is None:
            columns = {
                name: torch.from_numpy(np.array(memoryview(column))) for name, column in self.clips.columns.items()
            }
            self._shared = {name: column.share_memory_() for name, column in columns.items()}
        return {**self.__dict__, "clips": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.clips = ClipTable.over({name: memoryview(column.numpy()) for name, column in state["_shared"].items()})

    def open(self, clip: Clip) -> FrameReader:
        """Raises DecodeError."""
        return open_clip(clip, self.recipe.dataset.filename_template, self.recipe.model.modality == "flow")

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        """What the model sees of a clip. Raises DecodeError."""
        raise TypeError("a ClipDataset says in a subclass which frames it shows")

    def batch_of(self, items: list[Item]) -> Batch:
        good = [(number, view) for number, view in items if isinstance(view, View)]
        return Batch(
            frames=self._frames([view for _, view in good]) if good else torch.empty(0),
            labels=self._labels([self._classes(self.clips[number], view.mirrored) for number, view in good]),
            clips=[number for number, _ in good],
            skipped=[(self.clips[number].name, why) for number, why in items if isinstance(why, str)],
        )

    def _frames(self, views: list[View]) -> torch.Tensor:
        model, frames = self.recipe.model, torch.stack([view.frames for view in views])
        return stack_flow(frames, model.flow_length) if model.modality == "flow" else frames

    def _classes(self, clip: Clip, mirrored: bool) -> tuple[int, ...]:
        """A mirrored turn to the left is a turn to the right."""
        return self.mirror.images(clip.all_labels) if mirrored else clip.all_labels

    def _labels(self, classes: list[tuple[int, ...]]) -> torch.Tensor:
        if not self.recipe.head.multi_label:
            return torch.tensor([of_clip[0] for of_clip in classes], dtype=torch.long)
        labels = torch.zeros(len(classes), int(self.recipe.head.num_classes))
        for row, of_clip in enumerate(classes):
            labels[row, list(of_clip)] = 1
        return labels


class ClipsAround(ClipDataset):
    """A dataset that asks another one for its items; the clips travel to a worker with that one, once."""

    def __init__(self, dataset: ClipDataset):
        super().__init__(dataset.clips, dataset.recipe)
        self._dataset = dataset

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "clips": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.clips = self._dataset.clips


class TrainingClips(ClipDataset):
    """Random frames, randomly cropped and mirrored."""

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        rng = np.random.default_rng([self.recipe.run.seed, epoch, number])
        video = self.open(clip)
        numbers = training_frames(video.num_frames, self.recipe.model, rng)
        return View(*training_view(video.read(numbers), self.recipe.dataset, rng), numbers)


class ValidationClips(ClipDataset):
    """The frames in the middle, the middle of each frame."""

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        video = self.open(clip)
        numbers = validation_frames(video.num_frames, self.recipe.model)
        return View(centre_view(video.read(numbers), self.recipe.dataset), numbers=numbers)


class ClipsAtTestTime(ClipDataset):
    """Test-time views, the crops of one clip after those of another: [clips * crops, …]."""

    def view(self, clip: Clip, epoch: int, number: int) -> View:
        run = self.recipe.run
        video = self.open(clip)
        clips = frames_at_test_time(video.num_frames, self.recipe.model, run)
        frames = video.read([frame for clip in clips for frame in clip])  # all at once: clips overlap
        dataset = self.recipe.dataset_at_test_time
        crops = views_at_test_time(frames, dataset, run.test_crops)  # [crops, clips * T, C, H, W]
        return View(crops.unflatten(1, (len(clips), -1)).transpose(0, 1).flatten(0, 1))


_MORE_EPOCHS_THAN_ANY_RUN = 1_000_000


class Batches(Sampler[list[tuple[int, int]]]):
    """The clip numbers of each batch. Set `epoch`, and `done` to leave out an epoch's first batches (resume).

    A clip that `leaves_out` names is not in its batch, which is smaller for it; no other one takes its place.
    """

    def __init__(
        self,
        clips: int,
        batch_size: int,
        shuffle_seed: int | None = None,
        chances: np.ndarray | None = None,
        share: tuple[int, int] = (0, 1),
    ):
        """shuffle_seed: None for the order of the list. chances: of each clip to be drawn, float [clips]; an epoch
        then draws as many clips as there are, some twice and some never. None: each clip once. share: (2, 4) for
        the third of four parts of each batch, as equal as may be; the parts in their order are the batch."""
        self.clips, self.batch_size, self.shuffle_seed, self.chances = clips, batch_size, shuffle_seed, chances
        self.share = share
        self.epoch = 1
        self.done = 0
        self.leaves_out: Callable[[int], bool] = lambda number: False

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        rounds = self.epoch + _MORE_EPOCHS_THAN_ANY_RUN * _times_before(order)
        for start in range(self.done * self.batch_size, self.clips, self.batch_size):
            part = self._part(start)
            items = zip(rounds[part].tolist(), order[part].tolist(), strict=True)
            yield [item for item in items if not self.leaves_out(item[1])]

    def _part(self, start: int) -> slice:
        """This share of the batch that begins there."""
        rank, size = self.share
        clips = min(self.batch_size, self.clips - start)
        return slice(start + clips * rank // size, start + clips * (rank + 1) // size)

    def _order(self) -> np.ndarray:
        """A function of the seed and the epoch."""
        if self.shuffle_seed is None:
            return np.arange(self.clips)
        rng = np.random.default_rng([self.shuffle_seed, self.epoch])
        if self.chances is not None:
            return rng.choice(self.clips, self.clips, p=self.chances)
        return rng.permutation(self.clips)

    def __len__(self) -> int:
        return -(-self.clips // self.batch_size)


def _times_before(order: np.ndarray) -> np.ndarray:
    """How often each number stood in the order before: a clip that is drawn again is seen as in another epoch, far
    from this one, so that it is not the same view twice."""
    by_number = np.argsort(order, kind="stable")
    places = np.arange(len(order))
    is_first = np.diff(order[by_number], prepend=-1) != 0
    times = np.empty_like(order)
    times[by_number] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return times


def build_loader(dataset: ClipDataset, batches: Batches, workers: int, pin_memory: bool) -> DataLoader:
    """A loader of `Batch`es. Workers stay alive from epoch to epoch."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=dataset.batch_of,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=begin_worker,
        generator=torch.Generator(),  # a loader that draws from the global one changes what dropout draws next
    )


def begin_worker(worker: int = 0) -> None:
    """Keep the trainer's memory shared, and leave signals to the trainer.

    Garbage collection looks at every object there is, which would copy some 80 MB of modules into each forked worker.
    Ctrl-C reaches the whole process group; the trainer finishes its step first and then ends the workers.
    """
    gc.freeze()
    signal.set_wakeup_fd(-1)  # the trainer's, which would take a signal of ours for one of its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # of several trainers, most keep all signals out
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
