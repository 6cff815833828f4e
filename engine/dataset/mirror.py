"""What a clip's class is when the clip is mirrored: left and right change places, by the names. Torch-free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from engine.dataset.clips import ClipLists
from engine.dataset.files import some
from engine.errors import RecipeError
from engine.recipe import Recipe

# Words that change when a clip is mirrored. Whole words: a leftover or a bright thing has no side.
_ENDINGS = ("", "ward", "wards", "most", "side", "hand", "handed")
_OPPOSITES = {f"left{ending}": f"right{ending}" for ending in _ENDINGS} | {"clockwise": "counterclockwise"}
_OPPOSITES |= {opposite: word for word, opposite in _OPPOSITES.items()}

# Neighbours by which the word means no side: "pulling it right out" (Something-Something), "food left over".
_NO_SIDE_BEFORE = {
    "right": {"after", "angle", "angles", "away", "before", "here", "now", "off", "out", "there", "through"},
    "left": {"alone", "behind", "over", "overs"},
}
_NO_SIDE_AFTER = {
    "right": {"all"},
    "left": {"are", "be", "been", "being", "had", "has", "have", "is", "was", "were"},
}


@dataclass(frozen=True)
class Mirror:
    """image: for each class id, the class of its mirrored clips (most often itself); the image of the image is the
    class again. one_sided: names that speak of a side while no class has the name with left and right exchanged."""

    classes: tuple[str, ...]
    image: tuple[int, ...]
    one_sided: tuple[str, ...]

    def images(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """The classes of a mirrored clip. A label without a name is its own."""
        return tuple(self.image[label] if label < len(self.image) else label for label in labels)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Classes that change into each other, by name."""
        return [(self.classes[a], self.classes[b]) for a, b in enumerate(self.image) if a < b]

    def sentence(self) -> str:
        """What mirroring does to these classes; "" where it does nothing."""
        if self.one_sided:
            others = f" (as for {some(self.one_sided[1:])})" if self.one_sided[1:] else ""
            return (
                f"a mirrored “{self.one_sided[0]}” shows the other side, and no class has that name with the sides "
                f"exchanged{others}"
            )
        if pairs := [f"“{one}” and “{other}”" for one, other in self.pairs]:
            return f"a mirrored clip counts for the class that it looks like: {some(pairs)} change places"
        return ""


@cache
def mirror_of(classes: tuple[str, ...]) -> Mirror:
    """The mirror images of classes, found by exchanging left and right (and clockwise and counterclockwise) in their
    names. TurnLeft, turn_left and "Turn left" are the same words."""
    words = [_words(name) for name in classes]
    known = Counter(words)
    place = {name: number for number, name in enumerate(words)}
    image, one_sided = list(range(len(classes))), []
    for number, mine in enumerate(words):
        exchanged = tuple(_OPPOSITES.get(word, word) for word in mine)
        if exchanged == mine:
            continue
        if known[mine] == known[exchanged] == 1:
            image[number] = place[exchanged]
        elif _speaks_of_a_side(mine):
            one_sided.append(classes[number])
    return Mirror(classes, tuple(image), tuple(one_sided))


def mirror_note(recipe: Recipe, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The sentence on what a run makes of the mirroring that its recipe asks for; none where there is nothing to say.

    Where a class is one-sided a run mirrors no clip: flip becomes 0, and test_crops 3.
    """
    asked = [f"[dataset] flip = {recipe.dataset.flip:g}"] if recipe.dataset.flip else []
    asked += ["[run] test_crops = 10"] if recipe.run.test_crops == 10 else []
    mirror = mirror_of(classes)
    if not asked or not mirror.sentence():
        return ()
    if mirror.one_sided:
        return (f"No clip is mirrored in this run, in spite of {' and '.join(asked)}: {mirror.sentence()}.",)
    return (f"{mirror.sentence()[0].upper()}{mirror.sentence()[1:]}.",)


def decided_by_data(recipe: Recipe, clips: ClipLists) -> Recipe:
    """The recipe with the class names in it, and with what the data decide: "auto" and the mirroring."""
    document = recipe.model_dump()
    document["head"]["num_classes"] = len(clips.classes)
    document["dataset"] |= {**clips.decided, "classes": clips.classes}
    if mirror_of(clips.classes).one_sided:  # which `mirror_note` says
        document["dataset"]["flip"] = 0.0
        document["run"]["test_crops"] = min(recipe.run.test_crops, 3)
    return Recipe.model_validate(document)


def require_mirror_images(mirror: Mirror) -> None:
    """RecipeError where test-time views could not be mirrored: of such a clip nobody knows the class."""
    if mirror.one_sided:
        raise RecipeError(
            f"[run] test_crops = 10 sees every clip in the mirror too, but {mirror.sentence()}; set test_crops to 3."
        )


def _words(name: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\D)(?=\d)|(?<=\d)(?=\D)", " ", name)
    text = " ".join(re.findall(r"\w+", spaced.replace("_", " "))).lower()
    return tuple(re.sub(r"\b(?:counter|anti) ?clockwise\b", "counterclockwise", text).split())


def _speaks_of_a_side(words: Sequence[str]) -> bool:
    """Whether a side is meant, and not both alike as in "left and right"."""

    def without_both(match: re.Match[str]) -> str:
        return "" if _OPPOSITES.get(match[1]) == match[2] else match[0]

    text = re.sub(r"\b(\w+) (?:and|or) (\w+)\b", without_both, " ".join(words)).split()
    return any(
        word in _OPPOSITES and after not in _NO_SIDE_BEFORE.get(word, ()) and before not in _NO_SIDE_AFTER.get(word, ())
        for before, word, after in zip(["", *text], text, [*text[1:], ""], strict=False)
    )
