"""`ftwiz serve`: the wizard or a run's dashboard in a browser.

textual-serve does the work: it sends a page with a terminal in it, and starts a process of its own for each page that
is opened. What is added here is who may open one. It is a program of the user's with no password before it, so it
listens on loopback, and a page of another site that happens to be open in the same browser gets no connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import RecipeError

if TYPE_CHECKING:
    from aiohttp import web

    from engine.run_folder import RunFolder

LEAVE = 10.0  # seconds that the wizards and dashboards of open pages get to keep their drafts and end


def require_textual_serve() -> None:
    """Raises RecipeError, with what to type, where the library is not installed."""
    try:
        import textual_serve  # noqa: F401
    except ModuleNotFoundError as error:
        raise RecipeError(
            "`ftwiz serve` needs the textual-serve library, which is not installed: pip install 'ftwiz[serve]'"
        ) from error


def serve(run: RunFolder | None, host: str, port: int) -> None:
    """Serve the dashboard of a run, or the wizard, until Ctrl-C or SIGTERM. Raises RecipeError: cannot listen there."""
    from aiohttp import web
    from textual_serve.server import Server

    arguments = ["watch", str(run.path.resolve())] if run else ["new"]
    server = Server(shell_command(arguments), title=f"ftwiz watch {run.path.name}" if run else "ftwiz new")
    server.console.quiet = True  # its banner names one address, but through a tunnel another one is right
    with listen(host, port) as listening:
        address = listening.getsockname()[0]
        print(f"http://{_in_url(address)}:{port}", flush=True)
        print(note(address, port), file=sys.stderr, flush=True)
        web.run_app(_guarded(server, address), sock=listening, print=None, shutdown_timeout=LEAVE)


def shell_command(arguments: list[str]) -> str:
    """`ftwiz ARGUMENTS` by this very Python, as the line for a shell that textual-serve takes.

    -P keeps the working folder off the module path: a folder of the user's called `wizard` must not be run.
    """
    command = [sys.executable, "-P", "-m", "wizard.cli", *arguments]
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there and nowhere else. Raises RecipeError: the port is taken, the host is not here."""
    if not host:  # which the socket would take for every interface
        raise RecipeError("--host is empty; name an address of this machine, or leave it out for 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(host, port, family)  # create_server would hide its kind of error
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise RecipeError(f"Cannot listen on {_in_url(host)}:{port}: {_reason(error)}.") from error


def _reason(error: OSError) -> str:
    """What is in the way, and what to do. Python's own words for the first name the address once more."""
    if error.errno == errno.EADDRINUSE:
        return "another program is listening there; choose another --port"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "that is not an address of this machine; choose another --host"
    return f"{os.strerror(error.errno or 0).lower()}; choose another --port or --host"


def note(address: str, port: int) -> str:
    """What to know about an address that is listened on: how to come from another machine, or who else can."""
    if ip_address(address).is_loopback:
        tunnel = f"ssh -L {port}:{_in_url(address)}:{port} {socket.gethostname()}"
        return (
            "Open it in a browser on this machine; no other machine can. Ctrl-C ends it, trainings go on.\n"
            f"From another machine, type there `{tunnel}` and open http://localhost:{port} in its browser."
        )
    return (
        f"Careful: whoever reaches port {port} of this machine can use it as you, without a password. "
        "Without --host only this machine can.\n"
        "Ctrl-C ends it, trainings go on."
    )


async def _guarded(server: Any, address: str) -> web.Application:
    """textual-serve's pages, for those who may see them, at whatever address they are asked for."""
    from aiohttp import web

    loopback = ip_address(address).is_loopback
    pages: set[asyncio.Task[Any]] = set()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not may_open(request.host, request.headers.get("Origin"), loopback):
            raise web.HTTPForbidden(text="This page is open to its own address only; see `ftwiz serve --help`.\n")
        # The page takes the address of its connection from here. At the end of `ssh -L 9000:…:8000` that is port 9000.
        server.public_url = f"{request.scheme}://{request.host}"
        if (task := asyncio.current_task()) is None or request.path != "/ws":
            return await handler(request)
        pages.add(task)
        try:
            return await handler(request)
        finally:
            pages.discard(task)

    async def close_pages(_: web.Application) -> None:
        for task in pages:  # textual-serve then tells the page's program to quit, and waits for it
            task.cancel()

    app: web.Application = await server._make_app()
    app.middlewares.append(guard)
    app.on_shutdown.append(close_pages)
    return app


def may_open(host: str, origin: str | None, loopback: bool) -> bool:
    """Whether a request comes from a page of ours. host, origin: its headers.

    A browser lets every site open a WebSocket to every address, this machine's loopback too, and says in Origin whose
    page asks (RFC 6455, section 10.2). A site whose name is made to point to 127.0.0.1 (DNS rebinding) shows in Host.
    """
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    return not loopback or _is_loopback(urlsplit(f"//{host}").hostname or "")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
