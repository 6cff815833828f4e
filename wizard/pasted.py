"""A path as terminals type it when a file is dropped on them: in quotes, with backslashes, or as a file:// address."""

from __future__ import annotations

import os
import shlex
from urllib.parse import unquote, urlsplit


def as_path(text: str) -> str:
    """The path that is meant; the text itself where it is a path already, or not a whole one yet."""
    text = text.strip()
    if os.path.lexists(os.path.expanduser(text)):
        return text
    in_quotes = len(text) > 2 and text[0] == text[-1] and text[0] in "'\""
    if in_quotes or ("\\" in text and os.name != "nt"):
        try:
            words = shlex.split(text)
        except ValueError:  # an end is missing yet
            words = []
        text = words[0] if len(words) == 1 else text
    if text.startswith("file://"):
        address = urlsplit(text)
        text = unquote(address.path) if address.netloc in ("", "localhost") else text
    return text
