"""The end of a run's log.txt, followed while it grows."""

from __future__ import annotations

import re
from pathlib import Path

from textual.widgets import Log

TAIL_BYTES = 64 * 1024
KEPT_LINES = 1000
_ESCAPE_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|.)")


class LogTail(Log, can_focus=True):
    """Shows what the engine printed. Reads only what is new, and at first only the end."""

    def __init__(self, path: Path, id: str | None = None):
        super().__init__(max_lines=KEPT_LINES, id=id)
        self._path = path
        self._offset: int | None = None
        self._half = b""

    def follow(self) -> None:
        """Read and show what was appended since the last call."""
        if lines := self._new_lines():
            self.write_lines(lines)
        self.border_subtitle = "" if self.line_count else "nothing printed so far"

    def _new_lines(self) -> list[str]:
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, 2)
                if self._offset is None or size < self._offset:
                    self._offset, self._half = max(size - TAIL_BYTES, 0), b""
                # Whoever prints megabytes at once is shown by its end, like the file that was there at first.
                self._offset = max(self._offset, size - TAIL_BYTES)
                file.seek(self._offset)
                block = file.read(TAIL_BYTES)
        except OSError:
            return []
        self._offset += len(block)
        *lines, self._half = (self._half + block).split(b"\n")
        return [_plain(line) for line in lines]


def _plain(line: bytes) -> str:
    """Text without escape codes; of a line that rewrote itself (a progress bar), what it said last."""
    text = _ESCAPE_CODES.sub("", line.decode("utf-8", "replace")).rstrip("\r").rpartition("\r")[2]
    return "".join(c if c.isprintable() or c == "\t" else " " for c in text)
