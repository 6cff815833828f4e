"""Drafts of recipes, kept in the user's state folder: a closed terminal loses nothing.

The newest comes first. Only answers are kept; what follows from them is inferred again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.atomic import write_text
from wizard.state_folder import state_folder

VERSION = 1
KEPT = 20


@dataclass(frozen=True)
class SavedDraft:
    """The answers given so far, and when the last one was. id: of the session that it was begun in."""

    id: str
    given: dict[str, Any]
    saved_at: float  # unix seconds

    @property
    def data(self) -> str:
        return str(self.given.get("data", ""))

    def saved(self, now: float) -> str:
        """When it was saved, as one says it: "3 minutes ago"."""
        minutes = int((now - self.saved_at) / 60)
        if minutes < 1:
            return "a moment ago"
        if minutes < 60:
            return "a minute ago" if minutes == 1 else f"{minutes} minutes ago"
        if minutes < 24 * 60:
            return "an hour ago" if minutes < 120 else f"{minutes // 60} hours ago"
        return f"{datetime.fromtimestamp(self.saved_at):%d %B %Y}"


def drafts_file() -> Path:
    """Where drafts are kept."""
    return state_folder() / "draft.json"


def find_draft(data: Path | None) -> SavedDraft | None:
    """The draft for this dataset; for None the newest of all."""
    drafts = _read()
    if data is None:
        return drafts[0] if drafts else None
    return next((draft for draft in drafts if draft.data and _same(draft.data, data)), None)


def keep_draft(draft: SavedDraft) -> None:
    """Put a draft first, in place of what was kept of it before."""
    _write([draft, *(other for other in _read() if other.id != draft.id)])


def forget_draft(id: str, data: str) -> None:
    """A recipe is written: this draft, and older ones for the same dataset, have served."""
    drafts = _read()
    left = [draft for draft in drafts if draft.id != id and not (draft.data and data and _same(draft.data, data))]
    if left != drafts:
        _write(left)


def _same(data: str, other: str | Path) -> bool:
    return Path(data).expanduser().absolute() == Path(other).expanduser().absolute()


def _read() -> list[SavedDraft]:
    """A file of another version, or half a file from elsewhere, is no draft; it must never keep anyone from working."""
    try:
        document = json.loads(drafts_file().read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            return []
        return [
            SavedDraft(str(draft["id"]), dict(draft["given"]), float(draft["saved_at"])) for draft in document["drafts"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(drafts: list[SavedDraft]) -> None:
    path = drafts_file()
    if not drafts:
        path.unlink(missing_ok=True)
        return
    document = {"version": VERSION, "drafts": [asdict(draft) for draft in drafts[:KEPT]]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(document, indent=1, default=str))
