"""`ftwiz serve` as a browser meets it: a real server on loopback, its page, its connection, and how it ends.

Without textual-serve only its absence is tested, and what needs no server.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import RecipeError
from tests.runs import history, make_run, started
from wizard.serve import listen, may_open, note, shell_command

FTWIZ = [sys.executable, "-m", "wizard.cli"]
PATIENCE = 60.0  # seconds, for a busy machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def environment(folder: Path, *first: Path) -> dict[str, str]:
    path = [*map(str, first), str(Path(__file__).parents[2]), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "XDG_STATE_HOME": str(folder), "TERM": "dumb"}


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`ftwiz serve ARGUMENTS` in a folder, listening."""
    port = free_port()
    server = subprocess.Popen(
        [*FTWIZ, "serve", *arguments, "--port", str(port)],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout and server.stdout.readline().strip().endswith(f":{port}"), server.communicate()[1]
        yield server, port
    finally:
        server.kill()
        server.communicate()


def fetch(port: int, host: str = "127.0.0.1", **headers: str) -> str:
    request = urllib.request.Request(f"http://{host}:{port}/", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


def ended_by(server: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send a signal; the exit code must be 0. Returns what was said on stderr."""
    server.send_signal(number)
    error = server.communicate(timeout=PATIENCE)[1]
    assert server.returncode == 0, error
    assert "Traceback" not in error
    return error


def children_of(pid: int) -> set[int]:
    """The processes below one, the shell's children too."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found |= {child, *children_of(child)}
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "textual_serve.py").write_text("raise ModuleNotFoundError('hidden by this test')")
    ended = subprocess.run(
        [*FTWIZ, "serve", "no-such-run"], env=environment(tmp_path, tmp_path), capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "`ftwiz serve` needs the textual-serve library, which is not installed: pip install 'ftwiz[serve]'"
    ]


def test_a_port_in_use_is_a_sentence() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(RecipeError, match=rf"127.0.0.1:{taken.getsockname()[1]}: another program .* --port.$"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["", "192.0.2.1", "no such host"])  # 192.0.2.0/24 is nobody's: RFC 5737
def test_a_host_that_is_not_this_machine_is_a_sentence(host: str) -> None:
    with pytest.raises(RecipeError, match=r"--host is empty|not an address of this machine"):
        listen(host, free_port())


def test_the_note_has_the_tunnel_on_loopback_and_a_warning_elsewhere() -> None:
    assert "`ssh -L 8000:127.0.0.1:8000 " in note("127.0.0.1", 8000)
    assert "`ssh -L 8000:[::1]:8000 " in note("::1", 8000)
    assert "ssh" not in note("0.0.0.0", 8000) and "without a password" in note("0.0.0.0", 8000)


@pytest.mark.parametrize(
    ("host", "origin", "loopback", "allowed"),
    [
        ("127.0.0.1:8000", None, True, True),
        ("localhost:9000", "http://localhost:9000", True, True),  # the end of a tunnel
        ("[::1]:8000", "http://[::1]:8000", True, True),
        ("localhost:8000", "https://example.org", True, False),
        ("localhost:8000", "http://localhost:3000", True, False),  # another server on this machine
        ("localhost:8000", "null", True, False),  # a page from a file
        ("example.org:8000", "http://example.org:8000", True, False),  # DNS rebinding
        ("gpu-box:8000", "http://gpu-box:8000", False, True),
        ("gpu-box:8000", "https://example.org", False, False),
    ],
)
def test_only_its_own_page_may_open_it(host: str, origin: str | None, loopback: bool, allowed: bool) -> None:
    assert may_open(host, origin, loopback) == allowed


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_the_shell_starts_this_very_python(tmp_path: Path) -> None:
    run = str(tmp_path / "it's a run; $HOME")
    printed = shell_command(["watch", run]).replace("-m wizard.cli", "-c 'import sys; print(sys.executable, sys.argv)'")
    assert subprocess.check_output(printed, shell=True, text=True).strip() == f"{sys.executable} {['-c', 'watch', run]}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_listens_on_loopback_alone_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("textual_serve")
    with served(tmp_path) as (server, port):
        page = fetch(port)
        assert "ftwiz new" in page and f'"ws://127.0.0.1:{port}/ws' in page.replace("'", '"')
        assert "ws://localhost:9000/ws" in fetch(port, Host="localhost:9000")  # as a browser asks through a tunnel
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(port, Host="example.org")
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=PATIENCE)
        assert "ssh -L" in ended_by(server, number)


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux")
def test_another_interface_is_opened_by_host(tmp_path: Path) -> None:
    pytest.importorskip("textual_serve")
    with served(tmp_path, "--host", "0.0.0.0") as (server, port):
        assert "ftwiz new" in fetch(port, "127.0.0.2")
        assert "without a password" in ended_by(server, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
@pytest.mark.parametrize(
    ("arguments", "expected", "help_key"),
    [([], "Dataset", "\x1bOP"), (["it's a run"], "archery", "?")],  # F1: the wizard's fields take a question mark
    ids=["wizard", "dashboard"],
)
def test_a_page_shows_it_and_takes_it_along(tmp_path: Path, arguments: list[str], expected: str, help_key: str) -> None:
    """The connection of a page, as textual.js makes it: something is drawn, keys arrive, and SIGTERM leaves nothing."""
    pytest.importorskip("textual_serve")
    make_run(tmp_path / "it's a run", history(50, started()))
    with served(tmp_path, *arguments) as (server, port):
        assert asyncio.run(_look(server, port, expected, help_key)) == []
        assert "Traceback" not in ended_by(server, signal.SIGTERM)


async def _look(server: subprocess.Popen[str], port: int, expected: str, help_key: str) -> list[int]:
    """Open the page's connection, wait for a word on it, open the help, end the server; the processes left running."""
    import aiohttp

    address = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(f"{address}/ws", headers={"Origin": "https://example.org"})
        assert not children_of(server.pid)
        async with session.ws_connect(f"{address}/ws?width=140&height=40", headers={"Origin": address}) as page:
            await _until(page, expected)
            await page.send_str(json.dumps(["stdin", help_key]))
            await _until(page, "Esc closes")
            started_here = children_of(server.pid)
            assert started_here
            server.send_signal(signal.SIGTERM)
            async for _ in page:
                pass
    server.wait(PATIENCE)
    return [pid for pid in started_here if is_running(pid)]


async def _until(page, text: str) -> None:
    seen = ""
    async for message in page:
        seen += message.data.decode() if isinstance(message.data, bytes) else message.data
        if text in seen:
            return
    raise AssertionError(f"The page was closed before it showed {text}.")
