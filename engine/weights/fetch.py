"""An http(s) address as a file on this disk: downloaded once, or taken from a mirror.

Torch-free. Downloads land in torch's own cache, so files are shared with torchvision. They survive dropped connections
and broken-off calls, are checked against the sha256 digits in their name (resnet50-0676ba61.pth), in the address
(….pyth#sha256=…) or of the Hugging Face Hub, and take their name only when whole.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
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


class NotServed(WeightsError):
    """This server does not give the file; another one may."""


class NotThere(NotServed):
    """The server says that it has no such file, and no mirror gives it."""


class NotOnTheMirror(NotThere):
    """A mirror says that it has no such file, and the server itself cannot be asked."""


class Refused(NotServed):
    """The server gives the file only to those whom it knows."""


def fetch(
    address: str,
    on_progress: Progress | None = None,
    mirror: Sequence[str] = (),
    target: Path | None = None,
    name_in_folder: str = "",
    token: str = "",
) -> Path:
    """The file of an http(s) address: of the first of `mirror` that has it, else downloaded from there, once.

    target: where it is kept (default: torch's cache, under its own name). name_in_folder: what it is called in a mirror
    that is a folder (default: its own name). token: for this server alone, not for mirrors. Raises WeightsError, where
    the server has no such file NotThere.
    """
    name = _file_name(address)
    target = target or checkpoints_folder() / name
    if found := _in_a_folder(address, mirror, name_in_folder or name):
        return found
    if _is_trusted(target, address):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(target, on_progress):
            if not _is_trusted(target, address):  # another process may just have brought it
                _download_from_first(mirrored(address, mirror), address, target, token, on_progress)
    except OSError as error:
        raise WeightsError(
            f"{target} cannot be written ({error.strerror}); set TORCH_HOME to a folder that can."
        ) from None
    except WeightsError as error:
        if target.exists() and _expected(target, address):
            raise type(error)(
                f"{error} (The file that is there now has the sha256 {sha256_of(target)[:8]}…, not the expected one.)"
            ) from None
        raise
    return target


def fetched_from_mirror(path: Path) -> str:
    """The address of the mirror that gave a file in the cache; "" where it came from its own server, or by hand."""
    stamp = _read_stamp(path)
    return str(stamp.get("from", "")) if stamp.get("from") != stamp.get("address") else ""


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


def refuse_impostor(path: Path, called: str, kind: type[WeightsError] = WeightsError) -> None:
    """Something else saved under a checkpoint's name is told by its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise WeightsError(f"{called} cannot be read: {error.strerror}.") from None
    if not head:
        raise kind(f"{called} is empty (0 bytes); delete it and fetch it again.")
    if head.startswith(b"version https://git-lfs"):
        raise kind(
            f"{called} is a git-lfs pointer, not the weights themselves; run `git lfs pull` where it came from, "
            "or take the address of the raw file."
        )
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--)", head, re.IGNORECASE):
        raise kind(
            f"{called} is a web page, not a weights file; open it in a browser to see what it says, "
            "then take the address of the file itself."
        )


# --- mirrors ----------------------------------------------------------------------------------------------------------


def mirrored(address: str, mirror: Sequence[str]) -> list[str]:
    """Where to try an address, in this order: at each mirror that is meant for it, then at its own place.

    A mirror is "FROM -> TO", for the addresses that begin with FROM, or only "TO", which stands for any server.
    """
    found = []
    for rule in mirror:
        start, arrow, to = (part.strip() for part in rule.rpartition("->"))
        start = start if arrow else _server_of(address)
        if _is_address(to) and address.startswith(start):
            rest = address.removeprefix(start).lstrip("/")
            found.append(f"{to.rstrip('/')}/{rest}")
    return list(dict.fromkeys([*found, address]))


def _in_a_folder(address: str, mirror: Sequence[str], name: str) -> Path | None:
    """The file in a mirror that is a folder: where the address would have it, or by its name alone."""
    for rule in mirror:
        start, arrow, to = (part.strip() for part in rule.rpartition("->"))
        start = start if arrow else _server_of(address)
        if _is_address(to) or not address.startswith(start):
            continue
        rest = urllib.parse.unquote(urllib.parse.urlsplit(address.removeprefix(start).lstrip("/")).path)
        for candidate in (Path(to).expanduser() / rest, Path(to).expanduser() / name):
            if candidate.is_file():
                expected = _expected(candidate, address)
                if expected and not sha256_of(candidate).startswith(expected):
                    raise WeightsError(
                        f"{candidate}, which [weights] mirror names, does not have the sha256 {expected}… that "
                        f"{address} promises; remove it or put the right file there."
                    )
                return candidate
    return None


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _server_of(address: str) -> str:
    """https://server:port"""
    parts = urllib.parse.urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


# --- the cache --------------------------------------------------------------------------------------------------------


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


def _expected(target: Path, address: str) -> str:
    """The sha256 digits that the file must have, by its address (#sha256=…) or its name; "" where none are known."""
    said = re.search(r"#sha256=([0-9a-fA-F]{8,64})$", address)
    return said.group(1).lower() if said else hash_in_name(target.name)


def _is_trusted(target: Path, address: str) -> bool:
    """Whether the cached file is what the address gives.

    Expected digits are verified once, then a stamp beside the file remembers. Without any, the stamp tells files of
    the same name from different places apart; a file without a stamp was put there by hand, and is taken.
    """
    try:
        status = target.stat()
    except OSError:
        return False
    stamp = _read_stamp(target)
    unchanged = stamp.get("size") == status.st_size and stamp.get("mtime_ns") == status.st_mtime_ns
    if expected := _expected(target, address):
        if unchanged and str(stamp.get("sha256", "")).startswith(expected):
            return True
        if not (sha256 := sha256_of(target)).startswith(expected):
            return False
        _write_stamp(target, address, str(stamp.get("from", "")) if unchanged else "", sha256)
        return True
    return not unchanged or stamp.get("address") == address


def _stamp_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.stamp")


def _read_stamp(target: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(_stamp_of(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(target: Path, address: str, source: str, sha256: str) -> None:
    """address: whose file it is; source: the server that gave it, a mirror perhaps."""
    status = target.stat()
    stamp = {"address": address, "from": source, "sha256": sha256, "size": status.st_size}
    stamp["mtime_ns"] = status.st_mtime_ns
    with suppress(OSError):  # a cache that is read-only is verified every time
        _stamp_of(target).write_text(json.dumps(stamp), encoding="utf-8")


@contextmanager
def _one_process_at_a_time(target: Path, on_progress: Progress | None) -> Iterator[None]:
    """Holds a lock that the system releases when its process dies; waits while another process holds it."""
    lock = _lock_of(target)
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


_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def _lock_of(target: Path) -> Path:
    """Beside the file, so that it holds for other machines too; on a file system without locks, as clusters may have,
    among this machine's temporary files."""
    beside = target.with_name(f".{target.name}.lock")
    try:
        with open(beside, "a+b") as file:
            _lock(file.fileno())
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        beside.unlink(missing_ok=True)
        name = hashlib.sha256(os.fsencode(beside.absolute())).hexdigest()
        return Path(tempfile.gettempdir()) / f"ftwiz-{name[:16]}.lock"
    return beside


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


# --- the download -----------------------------------------------------------------------------------------


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _version_of(target: Path) -> Path:
    """Beside a part: which version of the file it is of, so that a later call can go on with it."""
    return target.with_name(f".{target.name}.version")


def _download_from_first(
    sources: list[str], address: str, target: Path, token: str, on_progress: Progress | None
) -> None:
    """Download from the first of `sources` that gives the file; the last of them is the address itself."""
    failed: list[NotServed] = []
    for source in sources:
        try:
            return _download(source, address, target, token if source == address else "", on_progress)
        except NotServed as error:
            failed.append(error)
    *of_mirrors, own = failed
    before = "".join(f" (Its mirror was tried first: {str(error).removesuffix('.')}.)" for error in of_mirrors)
    nowhere = not isinstance(own, NotThere) and any(isinstance(error, NotThere) for error in of_mirrors)
    raise (NotOnTheMirror if nowhere else type(own))(f"{own}{before}")


def _download(source: str, address: str, target: Path, token: str, on_progress: Progress | None) -> None:
    """Bring `target` here from `source`, under its name only once it is whole and right."""
    part, expected = _part_of(target), _expected(target, address)
    # What an earlier call left may be of another version of the file, which only a hash or the server can tell.
    if not expected and _read_version(target).get("source") != source:
        _forget_part(target)
    continued = part.exists()
    try:
        download = _Download(source, target, token, on_progress)
        sha256 = download.run()
        expected = expected or download.promised
        if continued and not sha256.startswith(expected):
            _forget_part(target)
            sha256 = _Download(source, target, token, on_progress).run()
        refuse_impostor(part, f"What {source} gives", NotServed)
        if not sha256.startswith(expected):
            raise NotServed(
                f"{source}: what arrived has the sha256 {sha256[: len(expected)]}…, but {expected}… is expected; "
                "it was removed, so try again, or ask the publisher which one is right."
            )
    except WeightsError as error:
        known = expected or _read_version(target)
        if not (known and isinstance(error, _Unfinished | _NoRoom) and part.stat().st_size):
            _forget_part(target)
        raise
    os.replace(part, target)
    _version_of(target).unlink(missing_ok=True)
    _write_stamp(target, address, source, sha256)


def _read_version(target: Path) -> dict[str, str]:
    try:
        version = json.loads(_version_of(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return version if isinstance(version, dict) else {}


def _forget_part(target: Path) -> None:
    _part_of(target).unlink(missing_ok=True)
    _version_of(target).unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; keeps a token from other servers, and notes the sha256 that the Hugging Face Hub promises."""

    def __init__(self) -> None:
        self.promised = ""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self.promised = _promised_by(headers) or self.promised
        onward = super().redirect_request(req, fp, code, msg, headers, newurl)
        if onward and _server_of(newurl) != _server_of(req.full_url):
            onward.remove_header("Authorization")
        return onward


def _promised_by(headers: Any) -> str:
    """The Hub names the sha256 of large files in X-Linked-ETag."""
    tag = str(headers.get("X-Linked-ETag", "")).strip('"').lower()
    return tag if re.fullmatch(r"[0-9a-f]{64}", tag) else ""


class _Unfinished(NotServed):
    """The download stopped on the way: what is here can be continued."""


class _NoRoom(WeightsError):
    """Likewise, but not for the server's sake: what is here can be continued once there is room."""


class _Dropped(Exception):
    """One connection ended early; the next one goes on."""


class _Download:
    """One file on its way, through as many connections as it takes. Writes NAME.part."""

    def __init__(self, address: str, target: Path, token: str, on_progress: Progress | None):
        self.source = address
        self.address = urllib.parse.quote(address.partition("#")[0], safe="%/:=&?~+!$,;'@()*[]")
        self.target = target
        self.token = token
        self.redirects = _Redirects()
        self.on_progress = on_progress
        self.file = open(_part_of(target), "a+b", buffering=0)  # noqa: SIM115, closed by run
        self.file.seek(0)
        self.digest = hashlib.file_digest(self.file, "sha256")
        self.received = self.file.tell()
        self.total: int | None = None
        # The server's name for this version of the file, an ETag or a date; of a part, what it was then.
        self.version = _read_version(target).get("version", "") if self.received else ""
        self.answered = False

    def run(self) -> str:
        """Download, fsync, and return the sha256."""
        with self.file:
            self._receive_all()
            os.fsync(self.file.fileno())
        return self.digest.hexdigest()

    @property
    def promised(self) -> str:
        """The sha256 that the server promised, "" where it did not."""
        return self.redirects.promised

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
            with urllib.request.build_opener(self.redirects).open(self._request(), timeout=_TIMEOUT) as response:
                self._begin(response)
                while chunk := response.read1(_CHUNK):
                    self._keep(chunk)
        except urllib.error.HTTPError as error:
            with error:  # closes its connection
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
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
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
        self.redirects.promised = _promised_by(response.headers) or self.redirects.promised
        self.total = total
        self._remember(version or self.version)
        self._check_space()
        self._tell_progress()

    def _remember(self, version: str) -> None:
        """For a later call, should this one be broken off: a part without a version is not continued."""
        if version != self.version or not self.received:
            text = json.dumps({"source": self.source, "version": version})
            with suppress(OSError):  # a full disk is told when the file's own bytes do not fit
                _version_of(self.target).write_text(text if version else "{}", encoding="utf-8")
        self.version = version

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
            raise NotThere(f"{self.address} does not exist (HTTP {error.code}); check the address.")
        if error.code in (401, 403):
            raise Refused(
                f"{self.address} is refused by the server (HTTP {error.code}): it may need a login, or have moved; "
                f"download it in a browser and save it as {self.target}."
            )
        raise NotServed(f"{self.address}: the server answers HTTP {error.code} {error.reason}; check the address.")

    def _keep(self, chunk: bytes) -> None:
        try:
            written = 0
            while written < len(chunk):
                written += self.file.write(chunk[written:])
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            problem = "the disk is full" if full else f"it cannot be written ({error.strerror})"
            raise _NoRoom(
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
            raise _NoRoom(
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
