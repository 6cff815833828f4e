"""The random generators of the training process: seeded at its start, saved with every checkpoint.

The loaders draw from generators of their own, made from (seed, epoch, clip), which need no saving.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Everything that is drawn from here on (initial heads, dropout, mixing) is a function of `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy's old generator takes 32 bits
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Where Python's, numpy's and torch's generators stand, in plain values and tensors (weights_only=True)."""
    version, numbers, next_gauss = random.getstate()
    old: dict[str, Any] = np.random.get_state(legacy=False)
    state: dict[str, Any] = {
        "python": [version, torch.tensor(numbers), next_gauss],
        "numpy": {
            "key": torch.from_numpy(old["state"]["key"].astype(np.int64)),
            "pos": old["state"]["pos"],
            "has_gauss": old["has_gauss"],
            "gauss": old["gauss"],
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Draw on where `random_state` was taken; what belongs to a device that is not here is left out."""
    version, numbers, next_gauss = state["python"]
    random.setstate((version, tuple(numbers.tolist()), next_gauss))
    old = state["numpy"]
    np.random.set_state(("MT19937", old["key"].numpy().astype(np.uint32), old["pos"], old["has_gauss"], old["gauss"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])  # maybe on another machine
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
