"""Annotation files of one entry a line: UTF-8 text, any line ending, blank lines allowed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from engine.dataset.files import entries, is_folder, is_video, require_folder, some
from engine.errors import DataError
from engine.recipe import Dataset

# What the names of lists say, in the order in which they are tried.
TRAIN, VAL = ("train",), ("val", "test")

# Files of ours that may lie beside lists, and are none.
NO_LISTS = ("groups.csv", "quarantine.txt")

# A listed path, its label, its line.
Entry = tuple[str, int, int]
# The same of a list that has names for labels.
NamedEntry = tuple[str, str, int]


def find_lists(dataset: Dataset, kind: str = ".txt", otherwise: str = "") -> tuple[Path, Path]:
    """The training and the validation list: as given, or found by name in [dataset] annotations.

    kind: the lists' extension. otherwise: the folder to look in where the recipe names neither.
    """
    folder = dataset.annotations or otherwise
    return (
        _given_or_found(dataset.train_list, "train_list", folder, TRAIN, kind),
        _given_or_found(dataset.val_list, "val_list", folder, VAL, kind),
    )


def find_one_or_two(dataset: Dataset, kind: str = ".txt", otherwise: str = "") -> tuple[Path, Path | None]:
    """Like `find_lists`, but there may be no validation list, and the only list there is needs no name that says so."""
    folder = dataset.annotations or otherwise
    if dataset.val_list or (folder and lists_named(require_folder(folder, "annotations"), VAL, kind)):
        return find_lists(dataset, kind, otherwise)
    if not dataset.train_list and folder and not lists_named(Path(folder), TRAIN, kind):
        files = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
        lists = [path for path in files if path.suffix.lower() == kind and path.name not in NO_LISTS]
        if len(lists) == 1:
            return lists[0], None
    return _given_or_found(dataset.train_list, "train_list", folder, TRAIN, kind), None


def lists_named(folder: Path, words: tuple[str, ...], kind: str = ".txt") -> list[Path]:
    """The files of a kind with a word in their name that speaks for no other split; later words if earlier find none.

    A name such as trainval.txt counts as a training list where nothing has a clearer name, never as a validation list.
    """
    files = [Path(entry.path) for entry in entries(folder) if not is_folder(entry)]
    texts = [path for path in files if path.suffix.lower() == kind]
    for word in words:
        named = [path for path in texts if word in path.stem.lower()]
        clear = [path for path in named if not any(other in path.stem.lower() for other in _OTHERS.get(word, ()))]
        if clear or (word == "train" and named):
            return clear or named
    return []


_OTHERS = {"train": ("val", "test"), "val": ("train",), "test": ("train",)}


def _given_or_found(given: str, key: str, annotations: str, words: tuple[str, ...], kind: str) -> Path:
    if given:
        return Path(given)
    if not annotations:
        raise DataError(f"[dataset] {key} is empty; name the list, or set [dataset] annotations to the lists' folder.")
    folder = require_folder(annotations, "annotations")
    found = lists_named(folder, words, kind)
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(f"*{word}*{kind}" for word in words)
    if found:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder} has {len(found)} files named {wanted}: {names}; choose one with [dataset] {key}.")
    texts = some(sorted(path.name for path in folder.glob(f"*{kind}"))) or f"no {kind} file"
    raise DataError(f"{folder} has no {wanted}, but {texts}; name the list with [dataset] {key}.")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text without outer blanks) of every line that has any."""
    text = read_text(path)
    # Not splitlines(): it also splits at characters that a file name may hold, such as U+2028.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if line := line.strip():
            yield number, line


def read_text(path: Path) -> str:
    """An annotation file's text, without a byte order mark."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist (looked from {Path.cwd()}).") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give the file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: the text is not UTF-8; save the file as UTF-8.") from None


def read_json(path: Path) -> Any:
    """DataError with the line where it is not valid."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON: {error.msg}.") from None
    except RecursionError:
        raise DataError(f"{path}: not valid JSON: nested too deep.") from None


def head_of(path: Path, size: int = 1 << 16) -> str:
    """How a file begins, to tell what it is without reading all of it; "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def text_or_json(dataset: Dataset) -> str:
    """The extension of MMAction2's lists that are found by name: .txt, or .json where there are only such."""
    folder = dataset.annotations
    if folder and os.path.isdir(folder) and not lists_named(Path(folder), TRAIN, ".txt"):
        return ".json" if lists_named(Path(folder), TRAIN, ".json") else ".txt"
    return ".txt"


def read_entries(path: Path, first_label: int = 0) -> list[Entry]:
    """Lines of "path label", read from the right: the path may hold spaces, the label is a whole number from
    first_label ([dataset] first_label) on, and counts from 0 in what is returned. A .json has a list of objects with
    "filename" and "label".

    A video with several labels has an entry for each, all of one line: `videos_of` puts them together.
    """
    rows = _json_rows(path) if path.suffix.lower() == ".json" else _text_rows(path)
    found: list[Entry] = []
    labels: dict[str, int] = {}
    for video, texts, line in rows:
        for text in texts:
            label = labels.get(text)
            if label is None:
                label = labels[text] = label_of(text, path, line, first_label, 'write "path label"')
            found.append((video, label, line))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def _text_rows(path: Path) -> Iterator[tuple[str, Sequence[str], int]]:
    for number, line in numbered_lines(path):
        parts = line.rsplit(None, 1)
        if len(parts) != 2:
            raise DataError(f'{path}:{number}: "{line}" has no label; write "path label"{_comma_hint(line)}.')
        video, label = parts
        if video[-1].isdigit() and (several := _SEVERAL.fullmatch(line)) and is_video(os.path.basename(several[1])):
            yield several[1], several[2].split(), number
        else:
            yield video, (label,), number


_SEVERAL = re.compile(r"(.*?\S)((?:\s+[0-9]+)+)")


def _json_rows(path: Path) -> Iterator[tuple[str, Sequence[str], int]]:
    """The line is the entry's number. The label is a list even where it is one."""
    loaded = read_json(path)
    if not isinstance(loaded, list):
        raise DataError(f'{path}: must be a list of objects with "filename" and "label".')
    for number, entry in enumerate(loaded, start=1):
        video = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(video, str) or not video:
            raise DataError(f'{path}: entry {number} has no "filename".')
        label = entry.get("label")
        labels = label if isinstance(label, list) and label else [label]
        if not all(type(one) is int for one in labels):
            raise DataError(f'{path}: entry {number} ({video}): "label" must be a whole number, or a list of such.')
        yield video, [str(one) for one in labels], number


def have_several(entries: Sequence[Entry]) -> bool:
    """Whether any video has more than one label."""
    return any(one[2] == other[2] for one, other in pairwise(entries))


def videos_of(entries: Sequence[Entry]) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """(place of its first entry, path, labels, each once) of each video."""
    if not have_several(entries):
        yield from ((place, video, (label,)) for place, (video, label, _) in enumerate(entries))
        return
    place = 0
    for _, of_one_line in groupby(entries, key=itemgetter(2)):
        same = list(of_one_line)
        yield place, same[0][0], tuple(dict.fromkeys(label for _, label, _ in same))
        place += len(same)


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(line number, fields without outer blanks) of every row that has any."""
    rows = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if any(fields):
                yield rows.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not valid CSV: {error}.") from None


def label_of(text: str, path: Path, line: int, first_label: int, advice: str) -> int:
    """A listed id, counted from 0. DataError where it is none, or below first_label."""
    label = whole_number(text, path, line, advice)
    if label < first_label:
        where = f"{path}:{line}: label {label}"
        if first_label and label == 0:
            raise DataError(f"{where} is 0, but [dataset] first_label is {first_label}; set it to 0.")
        raise DataError(f"{where} is negative; labels count from {first_label}.")
    return label - first_label


def whole_number(text: str, path: Path, line: int, advice: str) -> int:
    """The number, or a DataError that names the line and ends in the advice."""
    digits = text[1:] if text.startswith("-") else text
    # The length keeps int() from refusing, and a label of more digits is none anyway.
    if digits.isascii() and digits.isdecimal() and len(digits) < 20:
        return int(text)
    raise DataError(f'{path}:{line}: label "{text}" is not a whole number; {advice}.')


def _comma_hint(line: str) -> str:
    return ", with a space instead of the comma" if "," in line else ""
