"""A small web server with the faults of real ones: it cuts connections, ignores ranges, changes its file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, how badly, and what was asked.

    files: by path, in place of one content for every path; where one is missing, the answer is 404. headers: besides,
    for every answer. moved_to: all that is asked is found at that server instead (302), as on the Hugging Face Hub.
    cuts: the first connections end after so many bytes of body each. then: replaces the content after the first cut.
    """

    content: bytes = b""
    files: dict[str, bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    moved_to: str = ""
    status: int = 200
    ranges: bool = True
    etag: bool = True
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    then: bytes | None = None
    honours_if_range: bool = True
    claims_length: int = 0
    hold: threading.Event | None = None  # the body is sent once this is set
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  # (path, Range header)
    authorized_by: list[str] = field(default_factory=list)  # Authorization headers


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, site)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    asked_range = handler.headers.get("Range", "")
    site.asked.append((handler.path, asked_range))
    site.authorized_by.append(handler.headers.get("Authorization", ""))
    if site.moved_to or (site.files is not None and handler.path not in site.files):
        handler.send_response(302 if site.moved_to else 404)
        for name, value in {**site.headers, "Location": site.moved_to + handler.path, "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        return
    cut = site.cuts.pop(0) if site.cuts else None
    content = site.content if site.files is None else site.files[handler.path]
    etag = f'"{hashlib.md5(content).hexdigest()}"'
    start = int(re.findall(r"\d+", asked_range)[0]) if asked_range and site.ranges else 0
    if site.honours_if_range and handler.headers.get("If-Range", etag) != etag:
        start = 0
    body = content[start:]
    if site.status != 200:
        handler.send_response(site.status)
    elif start >= len(content) and start:
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
    elif start:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    for name, value in site.headers.items():
        handler.send_header(name, value)
    if site.etag:
        handler.send_header("ETag", etag)
    if site.length:
        handler.send_header("Content-Length", str(site.claims_length or len(body)))
    handler.end_headers()
    if site.hold:
        site.hold.wait(20)
    handler.wfile.write(body if cut is None else body[:cut])
    if cut is not None and site.then is not None:
        site.content, site.then = site.then, None
    handler.close_connection = True
