"""Several processes that train together, each on its share of every batch: the few lines torch.distributed needs.

torchrun starts them (`engine/torchrun.py`). All of them do the same, step by step, with the same weights; the first one
alone writes, and hears signals and words. It may leave the loop wherever it stands: the others notice at the next
thing that all do together, and end.

Gradients are added up between backward and the optimiser step, and not by DistributedDataParallel, which does so inside
of backward: a process that runs out of memory there and tries again with less, or whose clips did not decode, would
leave the others waiting for ever. It costs the overlap of the two: for ResNet-50 100 MB a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.dataset.loader import Batch
from engine.errors import RecipeError, TrainingError
from engine.recipe import Recipe, Run

T = TypeVar("T")

# The first process pauses, or writes a checkpoint to a slow disk, for as long as it likes. One that dies is noticed at
# once, by its closed connection.
_PATIENCE = timedelta(days=365)
_BUCKET_BYTES = 25 * 2**20  # as in DistributedDataParallel


class LostError(TrainingError):
    """Another process of the training is gone. Why, it has said itself, or nobody knows."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is. Alone, every method does nothing and returns what it was given."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, and answers."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """For `Batches`: which part of how many."""
        return self.rank, self.size

    # --- objects ------------------------------------------------------------------------------------------------------

    def gather(self, own: T) -> list[T]:
        """What each process has, in their order, on all of them. Tensors must be on the CPU."""
        if self.size == 1:
            return [own]
        found: list[T] = [own] * self.size
        with _noticing_losses():
            dist.all_gather_object(found, own)
        return found

    def wait(self) -> None:
        """Until all have come here."""
        self.gather(None)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process does what is inside, and then all others: `with world.first_before_others(): …`. What it
        fetched or wrote is there for them."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    # --- a batch ------------------------------------------------------------------------------------------------------

    def whole(self, batch: Batch) -> Batch:
        """The batch that this process has a share of: the clips and the skipped ones of all, without their pixels."""
        if self.size == 1:
            return batch
        shares = self.gather((batch.clips, batch.skipped))
        return Batch(
            frames=torch.empty(0),
            labels=torch.empty(0),
            clips=[number for clips, _ in shares for number in clips],
            skipped=[clip for _, skipped in shares for clip in skipped],
        )

    def joined(self, parts: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """Of parts of a batch [b] each, the whole batch [B], in the order of its clips: of several processes on the
        CPU, where parts of all are put together."""
        if self.size > 1:
            own = [tuple(tensor.cpu() for tensor in part) for part in parts]
            parts = [part for share in self.gather(own) for part in share]
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def draw_apart(self, seed: int, step: int) -> None:
        """For dropout and mixing: the first process draws on as if it were alone. What the others draw in a step is a
        function of (seed, step, rank), so that a checkpoint need not hold where their generators stand."""
        if not self.is_first:
            torch.manual_seed(int(np.random.default_rng([seed, step, self.rank]).integers(2**63)))

    # --- weights and gradients ----------------------------------------------------------------------------------------

    @torch.no_grad()
    def take_weights_of_the_first(self, model: nn.Module) -> None:
        """The parameters and buffers of the first process, on all of them."""
        if self.size == 1:
            return
        with _noticing_losses():
            for tensor in model.state_dict().values():
                copy = tensor.contiguous()
                dist.broadcast(copy, src=0)
                tensor.copy_(copy)

    @torch.no_grad()
    def add_up_gradients(self, model: nn.Module) -> None:
        """Each gradient becomes the sum of those of all processes, which are so those of the whole batch.

        Batch normalisation sees the share of its own process; its running statistics become the mean over them.
        """
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with _noticing_losses():
            is_used = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
            dist.all_reduce(is_used, dist.ReduceOp.MAX)  # a process without a clip has no gradients
            used = [parameter for parameter, used in zip(parameters, is_used.tolist(), strict=True) if used]
            for parameter in used:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            _add_up([parameter.grad for parameter in used if parameter.grad is not None])
            statistics = list(_running_statistics(model))
            _add_up(statistics)
        for tensor in statistics:
            tensor.div_(self.size)


ALONE = World()


def on_one_gpu(recipe: Recipe) -> Recipe:
    """The recipe for what a single process does."""
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"gpus": 1})})


def join(run: Run) -> World:
    """Become one of [run] gpus processes; with one GPU nothing happens.

    Raises RecipeError in a process that torchrun did not start.
    """
    if run.gpus == 1:
        return ALONE
    if not dist.is_torchelastic_launched():
        raise RecipeError(
            f"[run] gpus = {run.gpus} takes as many processes, and this is one; start them with `ftwiz run`, or set it "
            "to 1."
        )
    on_gpus = run.device != "cpu" and torch.cuda.is_available()
    with _noticing_losses():
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=_PATIENCE)
    return World(dist.get_rank(), dist.get_world_size())


def leave(world: World) -> None:
    """The training is over, and no other process will be asked for anything."""
    if world.size > 1:
        dist.destroy_process_group()


@contextmanager
def _noticing_losses() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostError(f"Another process of the training is gone ({str(error).splitlines()[0]}).") from None


def _add_up(tensors: Iterable[torch.Tensor]) -> None:
    """In place, many at a time: each time costs as much as some thousand numbers."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        dist.all_reduce(flat)
        for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
            tensor.copy_(part.view_as(tensor))


def _buckets(tensors: Iterable[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(each.nbytes for each in bucket) >= _BUCKET_BYTES):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _running_statistics(model: nn.Module) -> Iterator[torch.Tensor]:
    for layer in model.modules():
        if isinstance(layer, _BatchNorm) and layer.training and layer.running_mean is not None:
            assert layer.running_var is not None
            yield from (layer.running_mean, layer.running_var)
