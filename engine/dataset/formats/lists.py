"""Annotation files of one entry a line: UTF-8 text, any line ending, blank lines allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import DataError

# A listed path, its label, its line.
Entry = tuple[str, int, int]


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


def read_entries(path: Path) -> list[Entry]:
    """Lines of "path label", read from the right: the path may hold spaces, the label is a whole number from 0 on."""
    found: list[Entry] = []
    labels: dict[str, int] = {}
    for number, line in numbered_lines(path):
        parts = line.rsplit(None, 1)
        if len(parts) != 2:
            raise DataError(f'{path}:{number}: "{line}" has no label; write "path label"{_comma_hint(line)}.')
        video, text = parts
        label = labels.get(text)
        if label is None:
            label = labels[text] = whole_number(text, path, number, 'write "path label"')
            if label < 0:
                raise DataError(f"{path}:{number}: label {label} is negative; labels count from 0.")
        found.append((video, label, number))
    if not found:
        raise DataError(f"{path} lists no video.")
    return found


def whole_number(text: str, path: Path, line: int, advice: str) -> int:
    """The number, or a DataError that names the line and ends in the advice."""
    digits = text[1:] if text.startswith("-") else text
    # The length keeps int() from refusing, and a label of more digits is none anyway.
    if digits.isascii() and digits.isdecimal() and len(digits) < 20:
        return int(text)
    raise DataError(f'{path}:{line}: label "{text}" is not a whole number; {advice}.')


def _comma_hint(line: str) -> str:
    return ", with a space instead of the comma" if "," in line else ""
