"""The classes of published files that do not name them. A file counts as published where the sha256 digits in its name
are its own: then its publisher gave it that name.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.weights.fetch import hash_in_name

# MMAction2's own trainings, and the transformers it took from PySlowFast and Video Swin. Their lists are sorted by name
# (0 is abseiling). Left out is what may go by Caffe2's order (341 is abseiling): CSN, and UniFormer says so.
_MMACTION2 = re.compile(
    r"(tsn|tsm|c2d|i3d|slowonly|slowfast|r2plus1d|timesformer|swin|mvit)[-_].*[-_]kinetics400[-_]rgb_\d{8}-\w+\.pth"
)


def classes_of_published(path: Path, sha256: str) -> tuple[str, ...]:
    """The class names in the order of their ids; () where the file is not known. sha256: of the file."""
    digits = hash_in_name(path.name)
    if not digits or not sha256.startswith(digits):
        return ()
    return _torchvisions(path.name) or (_kinetics400() if _MMACTION2.fullmatch(path.name) else ())


def _torchvisions(file_name: str) -> tuple[str, ...]:
    """torchvision names the classes of all its classifiers."""
    from engine.torchvision_schemas import torchvision

    models = torchvision.models
    for name in [*models.list_models(module=models), *models.list_models(module=models.video)]:
        for weights in models.get_model_weights(name):
            if weights.url.rpartition("/")[2] == file_name:
                return tuple(weights.meta["categories"])
    return ()


def _kinetics400() -> tuple[str, ...]:
    """As in MMAction2's label_map_k400.txt, line for line."""
    from engine.torchvision_schemas import torchvision

    return tuple(torchvision.models.video.R3D_18_Weights.KINETICS400_V1.meta["categories"])
