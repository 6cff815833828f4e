"""Random generators: seeded, saved with weights_only, and going on where they were."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.randomness import random_state, restore_random_state, seed_generators


def draws() -> list[Any]:
    """A few numbers of each generator; the gaussian ones of Python and numpy are drawn in pairs and half kept."""
    return [
        random.random(),
        random.gauss(0, 1),
        *np.random.rand(3).tolist(),
        np.random.normal(),
        *torch.randn(3).tolist(),
        *nn.functional.dropout(torch.ones(50)).tolist(),
    ]


def test_the_seed_decides_all_of_them() -> None:
    seed_generators(2**40 + 7)
    first = draws()
    assert first != draws()
    seed_generators(2**40 + 7)
    assert draws() == first


def test_they_go_on_where_they_were(tmp_path: Path) -> None:
    seed_generators(7)
    draws()
    torch.save(random_state(), tmp_path / "state.pt")
    expected = draws(), draws()
    seed_generators(8)
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (draws(), draws()) == expected


def test_a_state_from_a_gpu_machine_is_taken_without_one() -> None:
    state = {**random_state(), "cuda": [torch.zeros(16, dtype=torch.uint8)]}
    if not torch.cuda.is_available():
        restore_random_state(state)
        assert torch.equal(torch.get_rng_state(), state["torch"])
