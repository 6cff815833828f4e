"""Where ftwiz keeps what it should still know the next time: drafts, and the theme."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """The user's, as the XDG base directory specification has it; it need not exist yet. Reads the environment."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "ftwiz"
