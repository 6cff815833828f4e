"""From what `[weights]` says to a file on this disk: a path is checked, an address is downloaded once.

Torch-free. Downloads land in torch's own cache, so files are shared with torchvision. They survive dropped connections,
are checked against the sha256 digits in their name (resnet50-0676ba61.pth), and take that name only when whole.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import WeightsError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Progress = Callable[[int, int | None], None]  # bytes that are here, bytes in all (None: the server does not say)

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each new try; counted anew whenever bytes arrived


def locate(source: str, on_progress: Progress | None = None) -> Path:
    """The file that `source` means: a path, a run folder (its best checkpoint) or an http(s) address.

    Raises WeightsError where it is missing, cannot be downloaded, or is something else under a checkpoint's name.
    """
    scheme = re.match(r"([A-Za-z][\w+.-]*)://", source)
    if scheme is None:
        path = _local_file(Path(source).expanduser())
    elif scheme.group(1).lower() in ("http", "https"):
        path = _downloaded(source, on_progress)
    else:
        raise WeightsError(
            f'"{source}" cannot be fetched: give a file, a run folder, an http(s):// address or torchvision://NAME.'
        )
    _refuse_impostor(path, str(path))
    return path


def hash_in_name(name: str) -> str:
    """The sha256 digits that end a published file's name before its extension; "" where there are none."""
    found = re.search(r"-([0-9a-f]{8,64})(?:\.[A-Za-z]\w*)+$", name)
    # -20220906.pth is a date. A hash that looks like a date of this century is one in half a million.
    return found.group(1) if found and not re.fullmatch(r"20\d\d[01]\d[0-3]\d", found.group(1)) else ""


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoints_folder() -> Path:
    """torch's cache of downloaded weights. The one place here that reads the environment."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    torch_home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(torch_home).expanduser() / "hub" / "checkpoints"


# --- a path -----------------------------------------------------------------------------------------------------------


def _local_file(path: Path) -> Path:
    if path.is_dir():
        return _checkpoint_of_run(path)
    if path.is_file():
        return path
    if not path.parent.is_dir():
        raise WeightsError(f"{path} does not exist, nor does its folder; check weights.load_from and weights.backbone.")
    neighbours = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, neighbours, n=1)
    hint = f"did you mean {path.with_name(close[0])}?" if close else "check weights.load_from and weights.backbone."
    raise WeightsError(f"{path} does not exist; {hint}")


def _checkpoint_of_run(folder: Path) -> Path:
    for name in ("best.pt", "last.pt"):
        if (checkpoint := folder / "checkpoints" / name).is_file():
            return checkpoint
    if (folder / "recipe.toml").is_file():
        raise WeightsError(f"The run {folder} has not saved a checkpoint yet; wait for its first, or name another run.")
    raise WeightsError(f"{folder} is a folder without checkpoints/best.pt; name a weights file or the folder of a run.")


def _refuse_impostor(path: Path, called: str) -> None:
    """Something else saved under a checkpoint's name is told by its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise WeightsError(f"{called} cannot be read: {error.strerror}.") from None
    if not head:
        raise WeightsError(f"{called} is empty (0 bytes); delete it and fetch it again.")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{called} is a git-lfs pointer, not the weights themselves; run `git lfs pull` where it came from, "
            "or take the address of the raw file."
        )
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)", head, re.IGNORECASE):
        raise WeightsError(
            f"{called} is a web page, not a weights file; open it in a browser to see what it says, "
            "then take the address of the file itself."
        )


# --- an address: the cache --------------------------------------------------------------------------------------------


def _downloaded(address: str, on_progress: Progress | None) -> Path:
    """The cached file of an address, downloaded where it is missing or not the right one."""
    target = checkpoints_folder() / _file_name(address)
    if _is_trusted(target, address):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(target, on_progress):
            if not _is_trusted(target, address):  # another process may just have brought it
                _download(address, target, on_progress)
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written ({error.strerror}); set TORCH_HOME to a folder that can."
        ) from None
    except WeightsError as error:
        if target.exists() and hash_in_name(target.name):
            raise WeightsError(
                f"{error} (The file that is there now has the sha256 {sha256_of(target)[:8]}…, not what its name says.)"
            ) from None
        raise
    return target


def _file_name(address: str) -> str:
    try:
        parts = urllib.parse.urlsplit(address)
        if not parts.hostname or parts.port == 0:
            raise ValueError("it names no server")
    except ValueError as error:
        raise WeightsError(f'"{address}" is not a valid address: {error}.') from None
    name = urllib.parse.unquote(parts.path).replace("\\", "/").rpartition("/")[2]
    if not re.search(r"\w", name):
        raise WeightsError(f'"{address}" names no file; its last part should be one, such as model.pth.')
    return re.sub(r'[<>:"|?*\x00-\x1f]', "_", name)


def _is_trusted(target: Path, address: str) -> bool:
    """Whether the cached file is what the address gives.

    Digits in the name are verified once, then a stamp beside the file remembers. Without digits, the stamp tells files
    of the same name from different places apart; a file without a stamp was put there by hand, and is taken.
    """
    try:
        status = target.stat()
    except OSError:
        return False
    stamp = _read_stamp(target)
    unchanged = stamp.get("size") == status.st_size and stamp.get("mtime_ns") == status.st_mtime_ns
    if expected := hash_in_name(target.name):
        if not unchanged and sha256_of(target).startswith(expected):
            _write_stamp(target, address)
            return True
        return unchanged
    return not unchanged or stamp.get("address") == address


def _stamp_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.stamp")


def _read_stamp(target: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(_stamp_of(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(target: Path, address: str) -> None:
    status = target.stat()
    stamp = {"address": address, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    with suppress(OSError):  # a cache that is read-only is verified every time
        _stamp_of(target).write_text(json.dumps(stamp), encoding="utf-8")


@contextmanager
def _one_process_at_a_time(target: Path, on_progress: Progress | None) -> Iterator[None]:
    """Holds a lock that the system releases when its process dies; waits while another process holds it."""
    lock = target.with_name(f".{target.name}.lock")
    while True:
        file = open(lock, "a+b")  # noqa: SIM115, closed below
        try:
            while not _lock(file.fileno()):
                if on_progress and (part := _part_of(target)).exists():
                    with suppress(OSError):
                        on_progress(part.stat().st_size, None)
                time.sleep(0.1)
            if _still_names(lock, file.fileno()):
                break
        except BaseException:
            file.close()
            raise
        file.close()  # the previous holder removed this file: lock the new one
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove an open file, and need not
            lock.unlink()
        file.close()


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK):
            return False
        raise
    return True


def _still_names(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# --- an address: the download -----------------------------------------------------------------------------------------


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _download(address: str, target: Path, on_progress: Progress | None) -> None:
    """Bring `target` here, under its name only once it is whole and right."""
    part, expected = _part_of(target), hash_in_name(target.name)
    # What an earlier call left may be of another version of the file; only digits in the name would tell.
    if not expected:
        part.unlink(missing_ok=True)
    continued = part.exists()
    try:
        sha256 = _Download(address, target, on_progress).run()
        if continued and not sha256.startswith(expected):
            part.unlink()
            sha256 = _Download(address, target, on_progress).run()
        _refuse_impostor(part, f"What {address} gives")
        if not sha256.startswith(expected):
            raise WeightsError(
                f"{address}: what arrived has the sha256 {sha256[: len(expected)]}…, but the name says {expected}…; "
                "it was removed, so try again, or ask the publisher which one is right."
            )
    except WeightsError as error:
        resumable = expected and isinstance(error, _Unfinished) and part.stat().st_size
        if not resumable:
            part.unlink(missing_ok=True)
        raise
    os.replace(part, target)
    _write_stamp(target, address)


class _Unfinished(WeightsError):
    """The download stopped on the way: what is here can be continued."""


class _Dropped(Exception):
    """One connection ended early; the next one goes on."""


class _Download:
    """One file on its way, through as many connections as it takes. Writes NAME.part."""

    def __init__(self, address: str, target: Path, on_progress: Progress | None):
        self.address = urllib.parse.quote(address.partition("#")[0], safe="%/:=&?~+!$,;'@()*[]")
        self.target = target
        self.on_progress = on_progress
        self.file = open(_part_of(target), "a+b", buffering=0)  # noqa: SIM115, closed by run
        self.file.seek(0)
        self.digest = hashlib.file_digest(self.file, "sha256")
        self.received = self.file.tell()
        self.total: int | None = None
        self.version = ""  # the server's name for this version of the file: an ETag, or a date
        self.answered = False

    def run(self) -> str:
        """Download, fsync, and return the sha256."""
        with self.file:
            self._receive_all()
            os.fsync(self.file.fileno())
        return self.digest.hexdigest()

    def _receive_all(self) -> None:
        furthest, failures = self.received, 0
        while True:
            try:
                return self._receive_once()
            except _Dropped as drop:
                failures = 0 if self.received > furthest else failures + 1
                furthest = max(furthest, self.received)
                if failures > len(_PAUSES):
                    raise _Unfinished(
                        f"{self.address}: the download stopped {failures} times in a row at {self._how_far()} "
                        f"({drop}); try again later, or save the file by hand as {self.target}."
                    ) from None
                time.sleep(_PAUSES[max(failures - 1, 0)])

    def _receive_once(self) -> None:
        """One connection, to the end of the file. Raises _Dropped where another one may bring more."""
        try:
            with urllib.request.urlopen(self._request(), timeout=_TIMEOUT) as response:
                self._begin(response)
                while chunk := response.read1(_CHUNK):
                    self._keep(chunk)
        except urllib.error.HTTPError as error:
            return self._answer_to(error)
        except urllib.error.URLError as error:
            if self.answered:
                raise _Dropped(_said(error.reason)) from None
            raise _Unfinished(
                f"{self.address} cannot be reached ({_said(error.reason)}); if this machine is offline, download that "
                f"address on another one and save it here as {self.target}."
            ) from None
        except (http.client.HTTPException, OSError) as error:
            raise _Dropped(_said(error)) from None
        if self.total is not None and self.received < self.total:  # a short body is no error to http.client
            raise _Dropped("the connection was closed")

    def _request(self) -> urllib.request.Request:
        headers = {"User-Agent": "ftwiz", "Accept-Encoding": "identity"}
        if self.received:
            headers["Range"] = f"bytes={self.received}-"
            if self.version:
                headers["If-Range"] = self.version
        return urllib.request.Request(self.address, headers=headers)

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """Read the answer's headers: does it go on where we are, and is it still the same file?"""
        self.answered = True
        etag = response.headers.get("ETag", "")
        version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            goes_on = span is not None and int(span.group(1)) == self.received
            total = int(span.group(2)) if span and span.group(2) != "*" else self.total
            if not goes_on or _differ(total, self.total) or _differ(version, self.version):
                self._start_anew()
                raise _Dropped("the file changed on the server")
        else:  # the whole file, whatever was asked: no ranges here, or a new version
            if self.received:
                self._start_anew()
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        self.total, self.version = total, version or self.version
        self._check_space()
        self._tell_progress()

    def _answer_to(self, error: urllib.error.HTTPError) -> None:
        """An HTTP error: the end of the file, worth another try, or final."""
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.received:
            if error.headers.get("Content-Range", "").strip() == f"bytes */{self.received}":
                return  # it was all here already
            self._start_anew()
            raise _Dropped("the file changed on the server")
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Dropped(f"HTTP {error.code} {error.reason}")
        if error.code in (404, 410):
            raise WeightsError(f"{self.address} does not exist (HTTP {error.code}); check the address.")
        if error.code in (401, 403):
            raise WeightsError(
                f"{self.address} is refused by the server (HTTP {error.code}): it may need a login, or have moved; "
                f"download it in a browser and save it as {self.target}."
            )
        raise WeightsError(f"{self.address}: the server answers HTTP {error.code} {error.reason}; check the address.")

    def _keep(self, chunk: bytes) -> None:
        try:
            written = 0
            while written < len(chunk):
                written += self.file.write(chunk[written:])
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            problem = "the disk is full" if full else f"it cannot be written ({error.strerror})"
            raise _Unfinished(
                f"{self.target.parent}: {problem} after {self._how_far()} of {self.target.name}; "
                "make room, or set TORCH_HOME to another disk, and start again."
            ) from None
        self.digest.update(chunk)
        self.received += len(chunk)
        self._tell_progress()

    def _start_anew(self) -> None:
        self.file.truncate(0)
        self.digest, self.received = hashlib.sha256(), 0
        self.total, self.version = None, ""

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.target.parent).free
        if self.total is not None and self.total - self.received > free:
            raise _Unfinished(
                f"{self.target.parent}: {self.target.name} needs {_megabytes(self.total - self.received)} more, "
                f"but only {_megabytes(free)} are free on that disk; make room, or set TORCH_HOME to another disk."
            )

    def _tell_progress(self) -> None:
        if self.on_progress:
            self.on_progress(self.received, self.total)

    def _how_far(self) -> str:
        return _megabytes(self.received) + (f" of {_megabytes(self.total)}" if self.total else "")


def _differ(now: object, before: object) -> bool:
    """Whether both are known, and not the same."""
    return bool(now and before and now != before)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _said(error: object) -> str:
    """An error's own words, or at least its kind."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().rstrip(".")
