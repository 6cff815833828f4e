"""Lets torchvision load beside a torch it was not built for: `from engine.torchvision_schemas import torchvision`.

torchvision's wheel on the package index is a CUDA build. Beside a CPU-only torch its compiled operators cannot be
loaded, so the schemas that its Python code attaches fake kernels to (`torchvision::nms`, `torchvision::qnms`) are
missing and the import fails. ftwiz uses none of these operators (they belong to object detection): declaring the two
schemas is enough. Where the operators are there already (a matching build), this does nothing.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _load_compiled_operators() -> None:
    """Load what torchvision itself is about to load: with a matching build this declares every schema."""
    found = importlib.util.find_spec("torchvision")
    for folder in (found and found.submodule_search_locations) or []:
        for compiled in [*Path(folder).glob("_C*.so"), *Path(folder).glob("_C*.pyd")]:
            try:
                torch.ops.load_library(str(compiled))
            except OSError:  # built for another torch: the very case this module is for
                continue


def _declare_missing_schemas() -> torch.library.Library | None:
    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        library.define(_SCHEMAS[name])
    return library


class _Nothing(ModuleType):
    """A module in which every name is None."""

    def __getattr__(self, name: str) -> None:
        return None


@contextmanager
def _without_transformers() -> Iterator[None]:
    """Where the transformers library is installed, torchmetrics imports it for its metrics of text: more than a second
    that few trainings need. Inside this, it gets nothing instead."""
    if "transformers" in sys.modules:
        yield
        return
    sys.modules["transformers"] = _Nothing("transformers")
    try:
        yield
    finally:
        del sys.modules["transformers"]


_load_compiled_operators()
LIBRARY = _declare_missing_schemas()  # the declarations live as long as this object; None: nothing was missing

# Only now can it be imported; torchmetrics imports it too.
import torchvision  # noqa: E402
import torchvision.transforms.v2  # noqa: E402

with _without_transformers():
    import torchmetrics.classification

__all__ = ["torchmetrics", "torchvision"]
