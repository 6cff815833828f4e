"""A program on a terminal of its own, as a user has it."""

from __future__ import annotations

import atexit
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from pathlib import Path

COLUMNS, ROWS = 120, 40


class Terminal:
    """A process on a terminal of its own. What it draws is read at once, as a terminal does."""

    def __init__(self, *command: str, variables: dict[str, str] | None = None):
        """variables: of its environment, besides this process's own."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", **(variables or {})}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        atexit.register(self.process.kill)
        os.close(slave)
        self._drawn = b""
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self._master, 65536)
            except OSError:  # the process has left
                return
            with self._more:
                self._drawn += block
                self._more.notify_all()

    def wait_for(self, text: str) -> None:
        """Until it is drawn; what was drawn before the last `press` does not count."""
        with self._more:
            if not self._more.wait_for(lambda: text.encode() in self._drawn, timeout=300):
                raise TimeoutError(f"{text} never came")

    def press(self, key: str) -> None:
        with self._more:
            self._drawn = b""
        os.write(self._master, key.encode())

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process, and wait until it has left."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)
