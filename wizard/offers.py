"""What the weights step offers: a row for each network to start from, found by words, ordered by a column."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from engine.recipe import Model, load_recipe
from engine.recognizers import family_of
from engine.weights.published import PUBLISHED, Published
from wizard.starts import checkpoints_folder, file_of, is_cached, model_title, presets_for, published_for, start_keys
from wizard.words import frames_of

MOTION_DATA = ("Something-Something", "Jester")
# Of one image of 224 × 224 pixels: torchvision's ImageNet weights, `_docs` and meta["_ops"] of each.
GFLOPS_A_FRAME = {"resnet50": 4.09, "resnet101": 7.8, "densenet161": 7.73}


@dataclass(frozen=True)
class Offer:
    """A preset, and what its publisher says of the weights that belong to it (None: nothing is published).

    top1: percent on what it was trained on. gflops: of what the network is given at once.
    """

    preset: str
    name: str
    model: Model
    trained_on: str = ""
    top1: float | None = None
    size_mb: int | None = None
    gflops: float | None = None
    parameters_m: float | None = None
    is_here: bool = False  # in the cache of downloads

    @property
    def family(self) -> str:
        return family_of(self.model)

    @property
    def frames(self) -> str:
        """What it sees of a clip, short: "8", "32 × 2" (32 frames, every 2nd), "8 × 5" (of flow)."""
        if self.model.modality == "flow":
            return f"{self.model.segments} × {self.model.flow_length}"
        if not self.model.clip_len:
            return str(self.model.segments)
        return f"{self.model.clip_len} × {self.model.frame_interval}"

    @property
    def text(self) -> str:
        """All that a search may name."""
        size = f"{self.size_mb} mb" if self.size_mb else ""
        where = "in cache" if self.is_here else "to download"
        parts = (self.name, self.family, self.trained_on, self.preset, size, frames_of(self.model), where)
        return " ".join(parts).casefold()


@dataclass(frozen=True)
class Column:
    """A column of the table. low_first: whether the smaller value is the better one, and stands first."""

    title: str
    value: Callable[[Offer], str | float | None]
    low_first: bool = True


COLUMNS = {
    "model": Column("Model", lambda offer: offer.name.casefold()),
    "preset": Column("Preset", lambda offer: offer.preset),
    "trained_on": Column("Trained on", lambda offer: offer.trained_on.casefold() or None),
    "top1": Column("Top-1", lambda offer: offer.top1, low_first=False),
    "size": Column("Size", lambda offer: offer.size_mb),
    "gflops": Column("GFLOPs", lambda offer: offer.gflops),
    "parameters": Column("Params", lambda offer: offer.parameters_m),
    "frames": Column("Frames", lambda offer: offer.model.frames),
    "here": Column("Cached", lambda offer: not offer.is_here),
}


def published_offers(modality: str) -> list[Offer]:
    """The networks with published weights, as the engine lists them."""
    return list(_published_offers(modality, _files_here()))


def model_offers(modality: str) -> list[Offer]:
    """Every network, for weights of one's own or for none: what is published with it does not matter."""
    offers = [_offer_of(name, frozenset()) for name in presets_for(modality)]
    return [Offer(of.preset, of.name, of.model, gflops=of.gflops, parameters_m=of.parameters_m) for of in offers]


def offer_of(preset: str) -> Offer:
    """The row of a preset."""
    return _offer_of(preset, _files_here())


def _files_here() -> frozenset[str]:
    """The names in the cache of downloads, looked at once for a hundred rows; of the Hub's, the sources."""
    hub = {published.load_from for published in PUBLISHED if "hf://" in published.load_from and is_cached(published)}
    try:
        return frozenset({*os.listdir(checkpoints_folder()), *hub})
    except OSError:
        return frozenset(hub)


@cache
def _published_offers(modality: str, files: frozenset[str]) -> tuple[Offer, ...]:
    return tuple(_offer_of(key, files) for key in start_keys(modality) if published_for(key))


@cache
def _offer_of(preset: str, files: frozenset[str]) -> Offer:
    model, published = load_recipe(preset).model, published_for(preset)
    if not published:
        return Offer(preset, model_title(model), model)
    return Offer(
        preset,
        published.name,
        model,
        published.pretrained_on,
        published.top1,
        published.size_mb,
        _gflops(model, published),
        published.parameters_m,
        published.load_from in files or file_of(published) in files,
    )


def _gflops(model: Model, published: Published) -> float:
    """Of what the network is given at once. TSN's are published for the 25 frames of a test, or others."""
    return (
        GFLOPS_A_FRAME.get(model.backbone, published.gflops / 25) * model.segments
        if _is_tsn(model)
        else published.gflops
    )


def _is_tsn(model: Model) -> bool:
    return model.recognizer == "tsn" and not model.clip_len


def families(offers: Iterable[Offer]) -> dict[str, int]:
    """How many networks there are of each family, the largest family first."""
    counts: dict[str, int] = {}
    for offer in offers:
        counts[offer.family] = counts.get(offer.family, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def matching(offers: Iterable[Offer], words: str) -> list[Offer]:
    """Those that every word of the search is found in, in any order."""
    wanted = words.casefold().split()
    return [offer for offer in offers if all(word in offer.text for word in wanted)]


def ordered(offers: Sequence[Offer], column: str) -> list[Offer]:
    """By a column, the better value first; what has no value comes last."""
    of = COLUMNS[column]
    known = [(value, offer) for offer in offers if (value := of.value(offer)) is not None]
    known.sort(key=lambda pair: pair[0], reverse=not of.low_first)
    return [offer for _value, offer in known] + [offer for offer in offers if of.value(offer) is None]


def best_first(offers: Iterable[Offer], suggested: str, unfit: Collection[str], of_motion: bool = False) -> list[Offer]:
    """The suggestion, then what fits the data, then the rest; `unfit` are presets that do not fit.

    What learned from Kinetics-400 stands before the others, by its accuracy, which says little beside one on other
    data. of_motion: before it stands what learned from datasets whose classes are motions too.
    """

    def rank(offer: Offer) -> tuple[bool, bool, int, float]:
        learned_motion = of_motion and offer.trained_on.startswith(MOTION_DATA)
        elsewhere = 0 if learned_motion else 1 if offer.trained_on == "Kinetics-400" else 2
        return offer.preset != suggested, offer.preset in unfit, elsewhere, -(offer.top1 or 0)

    return sorted(offers, key=rank)
