"""Training processes for tests, forked from one that has imported everything: torch alone takes seconds.

engine = engines().start(run)
assert engine.wait() == 0, run.log.read_text()
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from engine.run_folder import RunFolder

_SERVER = """
import json, os, resource, sys
from engine.__main__ import main
import engine.train

def become(arguments, log, largest_file, environment, first_of_all):
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    exec(first_of_all, {})
    sys.argv = ["engine", *arguments]
    sys.exit(main())

for line in sys.stdin:
    order = json.loads(line)
    if "start" in order:
        answer = os.fork()
        if not answer:
            become(*order["start"])
    else:
        pid, status = os.waitpid(order["poll"], os.WNOHANG)
        answer = os.waitstatus_to_exitcode(status) if pid else None
    print(json.dumps(answer), flush=True)
"""


class Engines:
    """Starts `python -m engine …` in what costs a fork. Those still running at its end are killed."""

    def __enter__(self) -> Engines:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started: list[Engine] = []
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._started:
            if engine.poll() is None:
                engine.kill()
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)

    def start(
        self,
        run: RunFolder,
        *arguments: str,
        largest_file: int = 0,
        environment: Mapping[str, str] | None = None,
        first_of_all: str = "",
    ) -> Engine:
        """largest_file: bytes that no file of the process may exceed (0: any). first_of_all: code that it runs."""
        environment = {**os.environ, **(environment or {})}
        order = [[str(run.path), *arguments], str(run.log), largest_file, environment, first_of_all]
        engine = Engine(self, self.ask({"start": order}))
        self._started.append(engine)
        return engine

    def start_two(self, run: RunFolder, *arguments: str, first_of_all: str = "") -> tuple[Engine, Engine]:
        """Two that train together, with what torchrun would tell them. The run must be claimed by somebody who lives,
        as by the process that starts torchrun."""
        ranks = run.path.with_name(f"{run.path.name}-ranks")
        ranks.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
        first, second = (
            self.start(
                run, f"--ranks={ranks}", *arguments, environment={**place, "RANK": rank}, first_of_all=first_of_all
            )
            for rank in ("0", "1")
        )
        return first, second

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@cache
def engines() -> Engines:
    """Those of all tests: what they are forked from is started once, by the first that asks."""
    started = Engines().__enter__()
    atexit.register(started.__exit__)
    return started


class Engine:
    """One training process."""

    def __init__(self, engines: Engines, pid: int):
        self._engines, self.pid = engines, pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._engines.ask({"poll": self.pid})
        return self._code

    def wait(self, seconds: float = 120) -> int:
        """Its exit code; the negative signal's number where one ended it."""
        until(lambda: self.poll() is not None, seconds, "the process does not end", every=0.02)
        assert self._code is not None
        return self._code

    def send(self, name: str) -> None:
        os.kill(self.pid, getattr(signal, name))

    def kill(self) -> None:
        self.send("SIGKILL")
        self.wait()


def until(
    is_so: Callable[[], bool], seconds: float = 120, otherwise: str = "it never came", every: float = 0.001
) -> None:
    """Look a thousand times a second, or `every` so many seconds."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(every)
