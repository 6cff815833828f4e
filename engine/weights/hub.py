"""hf://ORG/REPO[@REVISION][/FILE]: files of a model on the Hugging Face Hub, by plain HTTP and without its library.

Torch-free. A file that Hugging Face's own cache has already is taken from there. Else it is fetched into torch's cache,
hf/ORG/REPO/REVISION/FILE, and checked against the sha256 that the Hub names. The address is
https://huggingface.co/ORG/REPO/resolve/REVISION/FILE (https://huggingface.co/docs/hub/models-downloading).
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import WeightsError
from engine.weights.fetch import NotOnTheMirror, NotThere, Progress, Refused, checkpoints_folder, fetch

_HUB = "https://huggingface.co"
# The first that a repository has is taken. An index names the files that share the weights between them.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_PART = r"[A-Za-z0-9][\w.-]*"
_SOURCE = re.compile(
    rf"hf://(?P<repo>{_PART}/{_PART})(@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(/(?P<file>.+))?"
)
_PAGE = re.compile(
    rf"https?://(?:huggingface\.co|hf\.co)/(?!datasets/|spaces/)(?P<repo>{_PART}/{_PART})"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>refs(?:/|%2F)(?:pr|convert)(?:/|%2F)[^/?#]+|[^/?#]+)(?:/(?P<file>[^?#]+))?)?"
    r"/?(?:[?#].*)?"
)


@dataclass(frozen=True)
class HubSource:
    """A model on the Hub. file: "" for whichever file holds its weights."""

    repo: str  # ORG/REPO
    revision: str = "main"
    file: str = ""

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf://{self.repo}{revision}{self.file and f'/{self.file}'}"


def hub_source(source: str) -> HubSource | None:
    """What hf://… or the address of a page or file on huggingface.co names; None for any other source.

    Raises WeightsError where it begins with hf:// but is not written like one.
    """
    found = _SOURCE.fullmatch(source.rstrip("/")) or _PAGE.fullmatch(source)
    if found:
        revision = urllib.parse.unquote(found["revision"] or "main")
        return _without_steps(source, HubSource(found["repo"], revision, urllib.parse.unquote(found["file"] or "")))
    if source.startswith("hf://"):
        raise WeightsError(
            f'"{source}" names no model: write hf://ORG/REPO, hf://ORG/REPO/FILE or hf://ORG/REPO@REVISION/FILE.'
        )
    return None


def _without_steps(source: str, hub: HubSource) -> HubSource:
    """The revision and the file become folders in the cache, out of which nothing may step."""
    if {"..", "."} & set(f"{hub.revision}/{hub.file}".replace("\\", "/").split("/")):
        raise WeightsError(f'"{source}" is not an address on the Hub: it may not hold ".." or ".".')
    return hub


def fetch_weights(hub: HubSource, on_progress: Progress | None = None, mirror: Sequence[str] = ()) -> Path:
    """The file with the weights; where several share them, their index, the others beside it. Raises WeightsError."""
    if hub.file:
        path = fetch_file(hub, hub.file, on_progress, mirror)
        return _with_shards(hub, path, on_progress, mirror) if path.name.endswith(".index.json") else path
    missing: list[NotThere] = []
    for name in WEIGHT_FILES:
        try:
            path = fetch_file(hub, name, on_progress, mirror)
        except NotThere as error:
            missing.append(error)
            continue
        return fetch_weights(replace(hub, file=name), on_progress, mirror) if name.endswith(".json") else path
    if isinstance(missing[0], NotOnTheMirror):
        raise missing[0]
    raise NotThere(
        f"{hub} has none of {', '.join(WEIGHT_FILES[::2])} ({str(missing[0]).removesuffix('.')}); look at "
        f"{_endpoint()}/{hub.repo}/tree/{hub.revision} for its files, and name one: hf://{hub.repo}/FILE."
    )


def cached_weights(hub: HubSource) -> Path | None:
    """The file with the weights where it is on this machine already."""
    names = (hub.file,) if hub.file else WEIGHT_FILES
    cached = [_in_their_cache(hub, name) or _target(hub, name) for name in names]
    return next((path for path in cached if path.is_file()), None)


def fetch_file(hub: HubSource, name: str, on_progress: Progress | None = None, mirror: Sequence[str] = ()) -> Path:
    """One file of the model, such as config.json. Raises WeightsError; NotThere where the Hub says it has none."""
    if cached := _in_their_cache(hub, name):
        return cached
    quoted = urllib.parse.quote(name)
    address = f"{_endpoint()}/{hub.repo}/resolve/{urllib.parse.quote(hub.revision, safe='')}/{quoted}"
    target = _target(hub, name)
    try:
        return fetch(address, on_progress, mirror, target, name_in_folder=f"{hub.repo}/{name}", token=_token())
    except Refused as error:
        raise Refused(
            f"{replace(hub, file=name)} is refused: it does not exist, or is private or gated; accept its terms "
            f"at {_endpoint()}/{hub.repo} and set HF_TOKEN to a token that may read it. ({error})"
        ) from None


def _target(hub: HubSource, name: str) -> Path:
    return checkpoints_folder() / "hf" / hub.repo / hub.revision / name


def _with_shards(hub: HubSource, index: Path, on_progress: Progress | None, mirror: Sequence[str]) -> Path:
    for name in shards_of(index):
        folder = hub.file.rpartition("/")[0]
        shard = fetch_file(hub, f"{folder}/{name}" if folder else name, on_progress, mirror)
        if shard.parent != index.parent:
            raise WeightsError(f"{shard} and {index} belong together; put them into one folder.")
    return index


def shards_of(index: Path) -> list[str]:
    """The file names, beside the index, that share a model's tensors between them. Raises WeightsError."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise WeightsError(f'{index} is not an index of weights: it has no "weight_map" of file names.') from None
    if not names or not all(isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*", name) for name in names):
        raise WeightsError(f"{index} is not an index of weights: its files must lie beside it.")
    return names


# --- what Hugging Face keeps on this machine. The one place here that reads the environment ---------------------------


def _endpoint() -> str:
    """HF_ENDPOINT, as Hugging Face's own library and its mirrors have it."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")).expanduser()


def _token() -> str:
    """HF_TOKEN, or what `hf auth login` has saved: for private and gated models, never sent to a mirror."""
    if token := os.environ.get("HF_TOKEN", "").strip():
        return token
    try:
        return Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _in_their_cache(hub: HubSource, name: str) -> Path | None:
    """A file that huggingface_hub has downloaded: models--ORG--REPO/snapshots/COMMIT/FILE, refs/REVISION → COMMIT."""
    hub_cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    model = Path(hub_cache or _home() / "hub").expanduser() / f"models--{hub.repo.replace('/', '--')}"
    try:
        commit = (model / "refs" / hub.revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = hub.revision
    cached = model / "snapshots" / commit / name
    return cached if cached.is_file() else None
