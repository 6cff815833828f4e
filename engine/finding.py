"""One thing that `ftwiz doctor` found out about this machine. Torch-free."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "bad", "absent"]
OK: State = "ok"
NOTE: State = "note"  # training works, and something could be better
BAD: State = "bad"  # training does not work
ABSENT: State = "absent"  # an optional package that is not installed


@dataclass(frozen=True)
class Finding:
    """name: of the part. text: what was found. advice: what to do, "" for nothing."""

    name: str
    state: State
    text: str
    advice: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)
