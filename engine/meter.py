"""How fast and how well training goes between two step events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

_MEASURED = ("clips", "steps", "correct", "loss", "grad_norm")


class Meter:
    """Means since the last `read()`. All times in seconds, by `clock`; a pause is no time."""

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter):
        self._device, self._clock = device, clock
        self._paused = self._pause_began = 0.0
        self._began = self._since = self._saved = self.now()
        self._all_steps = 0
        self._forget()

    def waiting_for(self, loader: Iterable[Any]) -> Iterator[Any]:
        """The loader's batches, with the time that the loop stands waiting for them."""
        batches = iter(loader)
        while True:
            asked = self.now()
            batch = next(batches, None)
            self._waited += self.now() - asked
            if batch is None:
                return
            yield batch

    def add(self, losses: torch.Tensor, correct: torch.Tensor, grad_norm: torch.Tensor) -> None:
        """One optimiser step: the loss of each clip [B], whether it was recognised [B], the gradients' norm. They stay
        on their device until `read`, so that nothing waits for them."""
        self._steps += 1
        self._all_steps += 1
        self._clips += len(losses)
        self._loss += losses.detach().sum()
        self._correct += correct.sum()
        self._grad_norm += grad_norm

    def pause(self) -> None:
        self._pause_began = self._clock()

    def go_on(self) -> None:
        self._paused += self._clock() - self._pause_began

    def leave_out(self, seconds_since: float) -> None:
        """Time that is no training (validation) does not count as slow training."""
        self._since += self.now() - seconds_since

    def now(self) -> float:
        """By a clock that stands still in a pause."""
        return self._clock() - self._paused

    def seconds(self) -> float:
        """Since the meter began."""
        return self.now() - self._began

    def seconds_a_step(self) -> float:
        """Since the meter began, all included: what a forecast should count with."""
        return self.seconds() / max(self._all_steps, 1)

    def saved(self) -> None:
        """A checkpoint was written now."""
        self._saved = self.now()

    def minutes_since_save(self) -> float:
        """Minutes since the last checkpoint, or since the meter began."""
        return (self.now() - self._saved) / 60

    def state(self) -> dict[str, float]:
        """What was measured since the last `read`, without times: a resumed run's next Step event is then the same."""
        return {name: float(getattr(self, f"_{name}")) for name in _MEASURED}

    def restore(self, state: dict[str, float]) -> None:
        for name in _MEASURED:
            setattr(self, f"_{name}", state[name])

    def read(self) -> dict[str, float]:
        """The fields of a Step event that this meter knows; starts anew."""
        seconds = max(self.now() - self._since, 1e-9)
        clips, steps = max(self._clips, 1), max(self._steps, 1)
        fields = {
            "loss": float(self._loss) / clips,
            "accuracy": float(self._correct) / clips,
            "grad_norm": float(self._grad_norm) / steps,
            "clips_per_s": self._clips / seconds,
            "data_wait": min(1.0, self._waited / seconds),
            "memory_mb": peak_memory_mb(self._device),
        }
        self._since = self.now()
        self._forget()
        return fields

    def _forget(self) -> None:
        self._clips = self._steps = 0
        self._waited = 0.0
        self._loss: torch.Tensor | float = 0.0
        self._correct: torch.Tensor | float = 0.0
        self._grad_norm: torch.Tensor | float = 0.0


def peak_memory_mb(device: torch.device) -> float:
    """The most memory the device held so far; without a GPU, this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere
