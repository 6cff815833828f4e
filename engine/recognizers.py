"""The recognizers by the names that recipes use. Torch-free; `engine/model` builds them."""

from __future__ import annotations

TITLES = {
    "tsn": "TSN",
    "tsm": "TSM",
    "c2d": "C2D",
    "i3d": "I3D",
    "slowonly": "SlowOnly",
    "slowfast": "SlowFast",
}
