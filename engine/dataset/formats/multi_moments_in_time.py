"""Multi-Moments in Time (v1, v2): a file of categories, and lists of "file,id,id,…" without a header.

The folder that a video lies in is named after one of its classes: what its classes are, only the list says.
"""

from __future__ import annotations

from pathlib import Path

from engine.dataset.clips import ClipLists
from engine.dataset.files import entries, is_folder, is_video, require_folder, the_only
from engine.dataset.formats.classes import class_order, normal, require_class_count
from engine.dataset.formats.lists import TRAIN, csv_rows, find_lists, lists_named
from engine.dataset.formats.moments_in_time import Listed, clips_of, is_categories_file, read_categories
from engine.errors import DataError
from engine.recipe import Dataset


def read(dataset: Dataset, num_classes: int | None = None) -> ClipLists:
    """Ids are the categories' file's, or those of [dataset] classes. Every clip has `labels`, also a single one."""
    root = require_folder(dataset.root, "root")
    val_root = require_folder(dataset.val_root, "val_root") if dataset.val_root else root
    folder = require_folder(dataset.annotations, "annotations") if dataset.annotations else root
    categories = _categories_file(folder)
    names = read_categories(categories)
    classes = class_order(names, dataset.classes, dict.fromkeys(names, str(categories)))
    require_class_count(classes, num_classes, "[dataset] classes" if dataset.classes else str(categories))

    train_list, val_list = find_lists(dataset, list_kind(folder), otherwise=dataset.root)
    ids = [classes.index(name) for name in names]
    train, val = _entries(train_list, names, ids, categories), _entries(val_list, names, ids, categories)
    train_clips, train_notes = clips_of(train, root, "train", train_list)
    val_clips, val_notes = clips_of(val, val_root, "val", val_list)
    return ClipLists(classes, train_clips, val_clips, train_notes + val_notes)


def list_kind(folder: Path) -> str:
    """The extension of the lists: .csv by the README, .txt by others; they hold the same."""
    return ".csv" if lists_named(folder, TRAIN, ".csv") else ".txt"


def categories_in(folder: Path) -> list[Path]:
    """moments_categories.txt (v1), category_multi_momentsv2.txt; a name without "multi" only where none has it."""
    found = [folder / entry.name for entry in entries(folder) if not is_folder(entry)]
    known = [path for path in found if is_categories_file(path)]
    return [path for path in known if "multi" in path.name.lower()] or known


def is_list(path: Path) -> bool:
    """Whether the first line is a video and ids: Moments in Time has a name after the video."""
    try:
        _, (video, *labels) = next(csv_rows(path), (1, [""]))
    except DataError:
        return False
    return is_video(video.rpartition("/")[2]) and bool(labels) and all(label.isdecimal() for label in labels if label)


def _categories_file(folder: Path) -> Path:
    return the_only(
        categories_in(folder),
        folder,
        "of categories",
        f"{folder} has no moments_categories.txt or category_multi_momentsv2.txt; set [dataset] annotations to the "
        "folder it lies in.",
    )


def _entries(path: Path, names: list[str], ids: list[int], categories: Path) -> list[Listed]:
    """ids: of the names, in the order of the classes."""
    place = {name: number for number, name in enumerate(names)}
    found: list[Listed] = []
    for line, (video, *fields) in csv_rows(path):
        where = f"{path}:{line}"
        numbers = [_number(field, where, place, categories) for field in fields if field]
        if not video or not numbers:
            raise DataError(f'{where}: the row must be a video and the ids of its classes, "file,12,45".')
        labels = tuple(ids[number] for number in dict.fromkeys(numbers))
        found.append((video, labels[0], labels))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def _number(field: str, where: str, place: dict[str, int], categories: Path) -> int:
    """A category's number, by number or by name."""
    number = int(field) if field.isdecimal() and len(field) < 10 else place.get(normal(field))
    if number is None or number >= len(place):
        raise DataError(
            f'{where}: "{field}" is none of the {len(place)} categories in {categories}, which are 0 to '
            f"{len(place) - 1}; labels are the numbers of categories, from 0 on."
        )
    return number
