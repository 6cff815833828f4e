"""Folders of frames, an image each: what the images are called and where their numbers begin, as seen on disk.

A template is written as MMAction2 writes it: `img_{:05}.jpg`. Optical flow has two grey images a frame, named by a
template with room for x or y before the number: `flow_{}_{:05}.jpg`. `{folder}` stands for the folder's own name.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.dataset.files import counted, entries, is_folder, some
from engine.errors import DataError, UndecidedError
from engine.recipe import Dataset

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
# How many folders are looked into before all others are taken to be like them.
FOLDERS_LOOKED_INTO = 20
# The last digits of a name are its number: v_Archery_g01_c01_0001.jpg is number 1.
_NUMBERED = re.compile(r"([^{}]*?)(\d+)([^\d{}]*)")


@dataclass(frozen=True)
class Images:
    """The images of one template in a folder."""

    template: str
    first: int  # the lowest number
    last: int
    count: int


@dataclass(frozen=True)
class FrameNames:
    """How the frames of a dataset are stored, and what was seen of it: folder → its images."""

    template: str
    start_index: int
    seen: dict[str, Images]

    def notes(self) -> tuple[str, ...]:
        """Sentences on what was detected."""
        others = [folder for folder, images in self.seen.items() if images.first != self.start_index]
        found = f"Frames are called {self.template}, counted from {self.start_index}"
        notes = [f"{found} ({counted(len(self.seen), 'folder')} looked into)."]
        if others:
            notes.append(
                f"{len(others)} of them count from another number, e.g. {others[0]} from "
                f"{self.seen[others[0]].first}; [dataset] start_index = {self.start_index} is taken for all."
            )
        return tuple(notes)


def file_name(template: str, number: int, folder: str, axis: str = "") -> str:
    """The name of an image. folder: the path that it lies in. axis: x or y where it is flow."""
    name = os.path.basename(folder)
    return template.format(axis, number, folder=name) if axis else template.format(number, folder=name)


def is_of_flow(template: str) -> bool:
    """Whether it has a place for x or y beside that of the number."""
    return len(re.findall(r"\{(?!folder\})", template)) == 2


def images_in(folder: str, flow: bool) -> list[Images]:
    """What a folder holds by template, one scan. flow: pairs of x and y; else all that is no such pair."""
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in _image_names(folder):
        stem, extension = os.path.splitext(name)
        if match := _NUMBERED.fullmatch(stem):
            numbers.setdefault((match[1], match[3] + extension), []).append(match[2])
    pairs = {key: other for key in numbers if (other := _y_of(key, numbers))}
    if flow:
        both = {key: sorted({*numbers[key]} & {*numbers[other]}) for key, other in pairs.items()}
        return [_images(_with_axis(key[0], "{}"), key[1], found) for key, found in both.items() if found]
    of_flow = {*pairs, *pairs.values()}
    return [_images(*key, found) for key, found in numbers.items() if key not in of_flow]


def images_of(folder: str, template: str, flow: bool) -> Images | None:
    """The images of one template in a folder; None where there are none."""
    names = list(_image_names(folder))
    numbers = _numbers(template, folder, names, "x") & _numbers(template, folder, names, "y") if flow else None
    if numbers is None:
        numbers = _numbers(template, folder, names)
    return Images(template, min(numbers), max(numbers), len(numbers)) if numbers else None


def detect(folders: Sequence[str], dataset: Dataset, flow: bool) -> FrameNames:
    """Template and first number, from [dataset] where it says so and else from the first folders.

    DataError where they hold no such images, or images of several names.
    """
    probes = folders[:FOLDERS_LOOKED_INTO]
    template = dataset.filename_template
    if template == "auto":
        template = common_template(probes, flow)
    elif flow != is_of_flow(template):
        raise DataError(
            f'[dataset] filename_template = "{template}" '
            + (
                'has no place for x and y; flow has both, such as "flow_{}_{:05}.jpg".'
                if flow
                else 'is one of flow; set [model] modality = "flow", or give the template of the pictures.'
            )
        )
    seen = {folder: images for folder in probes if (images := images_of(folder, template, flow))}
    if not seen:
        raise DataError(
            f"{probes[0]} has no image called {file_name(template, 1, probes[0], 'x' if flow else '')} or so; it has "
            f"{_names_in(probes[0])}; correct [dataset] filename_template."
        )
    start = dataset.start_index
    if start == "auto":
        start = Counter(images.first for images in seen.values()).most_common(1)[0][0]
    return FrameNames(template, start, seen)


def common_template(folders: Sequence[str], flow: bool) -> str:
    """The template that most of the folders have. DataError where they have none, or several."""
    literal: Counter[str] = Counter()
    by_folder: Counter[str] = Counter()  # with {folder} where the names begin with it
    for folder in folders:
        name = os.path.basename(folder)
        for images in images_in(folder, flow):
            literal[images.template] += 1
            if images.template.startswith(name):
                by_folder["{folder}" + images.template[len(name) :]] += 1
    if not literal:
        raise DataError(_without_images(folders[0], flow))
    most = max(literal.values())
    if by_folder and max(by_folder.values()) > most:
        literal, most = by_folder, max(by_folder.values())
    found = sorted(template for template, seen in literal.items() if seen == most)
    if len(found) > 1:
        raise UndecidedError(
            f"{folders[0]} has images of several names: {some(found)}; choose one with [dataset] filename_template.",
            "dataset.filename_template",
        )
    return found[0]


def frame_folders_below(folder: str | Path) -> Iterator[str]:
    """The folders of numbered images below a folder, however deep, as paths below it, sorted; not the folder itself."""
    for entry in entries(folder):
        if not is_folder(entry) or entry.name.startswith("."):
            continue
        if _holds_frames(entry.path):
            yield entry.name
        elif not entry.is_symlink():  # a link may lead in a circle
            yield from (f"{entry.name}/{below}" for below in frame_folders_below(entry.path))


def _holds_frames(folder: str) -> bool:
    return any(_NUMBERED.fullmatch(os.path.splitext(name)[0]) for name in _image_names(folder))


# --- templates --------------------------------------------------------------------------------------------------------


def _without_images(folder: str, flow: bool) -> str:
    if flow:
        return (
            f"{folder} has no flow: looked for pairs such as flow_x_00001.jpg and flow_y_00001.jpg, and found "
            f"{_names_in(folder)}."
        )
    if pairs := images_in(folder, flow=True):
        first = file_name(pairs[0].template, pairs[0].first, folder, "x")
        return f'{folder} has images of optical flow only, such as {first}; set [model] modality = "flow".'
    return f"{folder} has no numbered images, such as img_00001.jpg; it has {_names_in(folder)}."


def _images(prefix: str, rest: str, digits: list[str]) -> Images:
    """digits: the numbers as the file names write them."""
    padded = any(text[0] == "0" and len(text) > 1 for text in digits)
    number = f"{{:0{min(map(len, digits))}}}" if padded else "{}"
    values = [int(text) for text in digits]
    return Images(f"{prefix}{number}{rest}", min(values), max(values), len(values))


def _y_of(key: tuple[str, str], numbers: dict[tuple[str, str], list[str]]) -> tuple[str, str] | None:
    """The names that differ from these in nothing but y for x."""
    prefix, rest = key
    other = _with_axis(prefix, "y"), rest
    return other if other != key and other in numbers else None


def _with_axis(prefix: str, axis: str) -> str:
    """Another axis in the place of the last x: flow_x_ → flow_y_."""
    before, x, after = prefix.rpartition("x")
    return f"{before}{axis}{after}" if x else prefix


def _numbers(template: str, folder: str, names: Sequence[str], axis: str = "") -> set[int]:
    """The numbers of those names that are of a template."""
    pattern = re.escape(template).replace(re.escape("{folder}"), re.escape(os.path.basename(folder)))
    if axis:
        pattern = pattern.replace(re.escape("{}"), axis, 1)
    pattern = re.sub(r"\\\{(?::(?:0(\d+))?d?)?\\\}", _digits, pattern)
    return {int(match[1]) for name in names if (match := re.fullmatch(pattern, name))}


def _digits(field: re.Match[str]) -> str:
    """Exactly the digits that the field would write: no number has two names."""
    width = int(field[1] or 1)
    return rf"(\d{{{width}}}|[1-9]\d{{{width},}})"


# --- the disk ---------------------------------------------------------------------------------------------------------


def _image_names(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS:
                    yield entry.name
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from None


def _names_in(folder: str) -> str:
    try:
        return some(sorted(os.listdir(folder))) or "nothing in it"
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from None
