"""What a person who knows the field would say about a start, looking at these data and this machine.

Each hint is one sentence with its reason, and where one answer would follow it, the answer. Nothing is said twice, and
nothing that has been followed. No Textual, no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from engine.errors import RecipeError
from engine.recipe import Model, Recipe
from engine.recognizers import family_of
from wizard.draft import Draft
from wizard.inference import BACKWARDS, FEW_CLIPS, opposites
from wizard.machine import Machine
from wizard.offers import Offer, offer_of, published_offers
from wizard.starts import OWN, SCRATCH, start_title
from wizard.words import count, duration, gflops_text

# The recognizers that average over frames, so that a clip played backwards looks the same to them.
BLIND_TO_ORDER = ("tsn",)
# Those whose tables of places hold for one size of frames only.
ONE_SIZE = ("swin3d", "mvit", "timesformer", "videomae")

WORTH_A_HINT, HEAVY = 20.0, 60.0  # GFLOPs a clip on a CPU: slow, and a matter of days
LARGE_M, SMALL_GPU_GB = 60.0, 8.0  # parameters in millions that a GPU with less memory has little room for
SMALL_FRAMES, SMALL_SIDE = 112, 128
SEEN_SHARE, SEEN_GAP_S = 0.1, 5.0
MORE_SEGMENTS = 8

# Names that tell a direction or a change, in the words of Something-Something and of gesture datasets. A few such
# names are in every large dataset, so a third of the classes must have one.
MOTION = re.compile(
    r"\b(left to right|right to left|from left|from right|clockwise|counterclockwise|anticlockwise"
    r"|upwards?|downwards?|forwards?|backwards?|leftwards?|rightwards?"
    r"|(moving|pushing|pulling|lifting|turning|swiping|sliding|rolling|tilting|drifts?|moves?|swipes?|slides?|turns?)"
    r"\b.*\b(up|down|left|right|closer|away|apart|together|over|in|out)"
    r"|swapping|swaps?|swapped|unfolding|uncovering|opening|closing|pretending)\b"
)
MOTION_SHARE = 1 / 3


@dataclass(frozen=True)
class Hint:
    """says: one sentence. offers, answers: what a key or a click would answer; "" and {} where nothing follows."""

    says: str
    offers: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)  # as typed: key → text, "" for the suggestion


def hints(draft: Draft, machine: Machine, seconds: float = 0.0, fps: float = 0.0) -> list[Hint]:
    """What to think of before going on from here. seconds, fps: of the middle video, 0 where it is not known yet."""
    if draft.reuse.state == "refused":
        return _about_refusal(draft)  # first things first
    try:
        recipe = draft.recipe_as_far_as_it_goes()
    except RecipeError:
        recipe = draft.base  # an impossible answer is told at its own field
    said = (
        _about_scratch(draft),
        _about_order(draft, recipe),
        _about_few_clips(draft),
        _about_weight(draft, machine),
        _about_frame_size(draft, recipe, machine),
        _about_long_clips(draft, recipe.model, seconds, fps),
    )
    return [hint for hint in said if hint]


def misfit(offer: Offer, draft: Draft, machine: Machine) -> str:
    """Why a network is not the one for these data or this machine; "" where it is."""
    if offer.model.recognizer in BLIND_TO_ORDER and (why := order_matters(draft)):
        return f"{why}, and {offer.family} does not see the order of frames."
    if machine.has_no_gpu and _cost(offer) > HEAVY:
        return f"{gflops_text(_cost(offer))} GFLOPs a clip are much without a GPU: {machine.none_why}."
    if 0 < machine.memory_gb < SMALL_GPU_GB and (offer.parameters_m or 0) > LARGE_M:
        return f"{offer.parameters_m:.3g} M parameters are many for a GPU of {machine.memory_gb:.0f} GB."
    return ""


def order_matters(draft: Draft) -> str:
    """Why these classes are told apart by the order of frames, as half a sentence; "" where they are not."""
    return _order_in(draft.found.classes) if draft.found else ""


@cache
def _order_in(classes: tuple[str, ...]) -> str:
    if pair := opposites(classes, BACKWARDS):
        return f"“{pair[0]}” and “{pair[1]}” differ in direction only"
    moving = [name for name in classes if MOTION.search(re.sub(r"[\s_-]+", " ", name).lower())]
    if len(moving) >= max(2, MOTION_SHARE * len(classes)):
        return f"“{moving[0]}” and “{moving[1]}” are told by how things move"
    return ""


def _about_refusal(draft: Draft) -> list[Hint]:
    if "weights.allow_partial" not in draft.reuse.sentence:
        return []
    return [Hint("What fits can be taken all the same.", "Train anyway", {"weights.allow_partial": "true"})]


def _about_scratch(draft: Draft) -> Hint | None:
    if draft.value("start") != SCRATCH or not draft.found:
        return None
    return Hint(
        f"{count(draft.train_clips, 'clip')} are few to learn everything from: "
        "a published network brings what it learned from hundreds of thousands.",
        f"Start from {start_title(draft.fitting_preset.value)}",
        {"start": draft.fitting_preset.value},
    )


def _about_order(draft: Draft, recipe: Recipe) -> Hint | None:
    why = order_matters(draft)
    if not why or recipe.model.recognizer not in BLIND_TO_ORDER or draft.modality == "flow":
        return None
    tsm, says = "tsm-r50-kinetics400", f"{why}, and TSN does not see the order of frames: TSM does."
    if draft.value("start") == OWN:
        return Hint(says)  # the weights are the user's, and of this model
    key = "preset" if draft.value("start") == SCRATCH else "start"
    return Hint(says, "Take TSM", {key: tsm})


def _about_few_clips(draft: Draft) -> Hint | None:
    """With few clips a whole network learns them by heart. Where order counts, the later stages must learn it."""
    if not draft.found or draft.value("start") == SCRATCH:
        return None
    few = sum(clips < FEW_CLIPS for clips in draft.found.train_counts.values()) * 2 > len(draft.found.classes)
    frozen = draft.value("schedule.freeze")
    if frozen != "none":
        if not few or not draft.answer("schedule.freeze").given:
            return None
        return Hint(f"Frozen: {_frozen_words(frozen)}.", "Let all of it learn", {"schedule.freeze": ""})
    if not few:
        return None
    clips = count(draft.train_clips, "training clip")
    if order_matters(draft):
        return Hint(
            f"{clips} are few for a whole network; its first stages see edges and textures and can stay as they are.",
            "Freeze the first stages",
            {"schedule.freeze": "stages:2"},
        )
    return Hint(
        f"{clips} are few for a whole network: with the backbone frozen only the last layer learns, "
        "which is quick and hard to overdo.",
        "Freeze the backbone",
        {"schedule.freeze": "backbone"},
    )


def _frozen_words(frozen: object) -> str:
    words = {"backbone": "only the last layer learns", "stem": "the stem stays as it is"}
    stages = str(frozen).removeprefix("stages:")
    return words.get(str(frozen)) or f"the stem and the first {stages} stages stay as they are"


def _about_weight(draft: Draft, machine: Machine) -> Hint | None:
    if not machine.has_no_gpu or draft.value("start") == OWN:
        return None
    here = offer_of(draft.preset)
    if _cost(here) <= WORTH_A_HINT:
        return None
    light = min(
        (offer for offer in published_offers(draft.modality) if not misfit(offer, draft, machine)),
        key=_cost,
        default=None,
    )
    if light is None or not light.gflops:
        return None
    key = "preset" if draft.value("start") == SCRATCH else "start"
    return Hint(
        f"{machine.none_why[:1].upper()}{machine.none_why[1:]}: {light.name} does "
        f"{gflops_text(_cost(light))} GFLOPs a clip, this one {gflops_text(_cost(here))}.",
        f"Take {light.name}",
        {key: light.preset},
    )


def _about_frame_size(draft: Draft, recipe: Recipe, machine: Machine) -> Hint | None:
    size = recipe.dataset.frame_size
    given = draft.answer("dataset.frame_size").given and draft.answer("dataset.short_side").given
    if not machine.has_no_gpu or recipe.model.recognizer in ONE_SIZE:
        return None
    back = {"dataset.frame_size": "", "dataset.short_side": ""}
    if size == SMALL_FRAMES and given:
        return Hint(f"Frames of {size} × {size} pixels.", "Back to the preset's size", back)
    if size <= SMALL_FRAMES:
        return None
    times = (size / SMALL_FRAMES) ** 2
    return Hint(
        f"Without a GPU small frames help: {SMALL_FRAMES} × {SMALL_FRAMES} pixels are {times:.2g} times less work "
        f"than {size} × {size}.",
        f"Take frames of {SMALL_FRAMES}",
        {"dataset.frame_size": str(SMALL_FRAMES), "dataset.short_side": str(SMALL_SIDE)},
    )


def _about_long_clips(draft: Draft, model: Model, seconds: float, fps: float) -> Hint | None:
    """Datasets that name the part of a video that counts have clips shorter than their files."""
    if seconds <= 0 or (draft.found and draft.found.format in ("thumos14", "activitynet")):
        return None
    if model.clip_len and fps > 0:
        seen = model.clip_len * model.frame_interval / fps
        if seen >= SEEN_SHARE * seconds:
            return None
        return Hint(
            f"Videos of {duration(seconds)} are long for {family_of(model)}, which sees {seen:.1f} s of one at "
            "a time: cut them, or take TSN or TSM, whose frames come from all over the video."
        )
    gap = seconds / model.segments
    if model.clip_len or model.segments >= MORE_SEGMENTS or gap < SEEN_GAP_S:
        return None
    return Hint(
        f"{count(model.segments, 'frame')} of a video of {duration(seconds)} are {gap:.0f} s apart: "
        f"{MORE_SEGMENTS} see more of it.",
        f"Take {MORE_SEGMENTS} frames",
        {"model.segments": str(MORE_SEGMENTS)},
    )


def _cost(offer: Offer) -> float:
    return offer.gflops or 0.0
