"""What trains. `from engine import load_recipe, build_model, load_weights, fit, evaluate, predict`.

The names are looked up on first use, so that torch-free modules (recipe, events, run_folder, dataset.clips) can be
imported without paying the seconds that `import torch` takes.
"""

from importlib import import_module
from typing import Any

_WHERE = {
    "load_recipe": "engine.recipe",
    "Recipe": "engine.recipe",
    "build_model": "engine.model",
    "load_weights": "engine.weights.load",
    "LoadReport": "engine.weights.report",
    "fit": "engine.train",
    "evaluate": "engine.evaluation",
    "predict": "engine.prediction",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
