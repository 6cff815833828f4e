"""The dashboard on a real pseudo-terminal: what a Pilot cannot see."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys

import pexpect
import pytest

from tests.runs import append, history, make_run, started, step_at
from wizard.ahead import LONG

pytestmark = pytest.mark.slow  # `make quick` does without

WATCH = """
import sys
from pathlib import Path
from engine.run_folder import RunFolder
from wizard.dashboard import watch
watch(RunFolder(Path(sys.argv[1])))
"""


@pytest.fixture
def watched(tmp_path):
    """Starts the dashboard of a live run, with more environment; its output is in `logfile_read`."""
    run = make_run(tmp_path / "run", history(140, started()))
    run.claim()
    children = []

    def start(**environment: str) -> pexpect.spawn:
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        child = pexpect.spawn(
            sys.executable, ["-c", WATCH, str(run.path)],
            env=inherited | environment, encoding="utf-8", dimensions=(24, 80), timeout=60,
        )  # fmt: skip
        child.logfile_read = io.StringIO()
        child.expect("step 140/320")
        child.expect("Smooth")
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


def test_q_restores_the_terminal_and_says_how_to_come_back(watched):
    child = watched()
    child.send("q")
    child.expect("The run goes on. Come back with: ftwiz watch")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "\x1b[?1049l" in child.logfile_read.getvalue()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_restores_the_terminal(watched, name):
    child = watched()
    child.kill(getattr(signal, name))
    child.expect(re.escape("\x1b[?1049l"))
    child.expect(pexpect.EOF)


def test_a_terminal_that_goes_without_a_signal_takes_the_dashboard_along(tmp_path):
    run = make_run(tmp_path / "run", history(140, started()))
    terminal, its_end = pty.openpty()
    code = [sys.executable, "-c", WATCH, str(run.path)]
    # Its own session, whose terminal this is not: nobody tells it that the terminal is closed.
    with subprocess.Popen(code, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True) as process:
        os.close(its_end)
        drawn = b""
        while b"Smooth" not in drawn:
            drawn += os.read(terminal, 65536)
        os.close(terminal)
        try:
            process.wait(timeout=60)  # else it would look for keys for ever
        finally:
            process.kill()


def test_a_signal_restores_the_terminal_from_beneath_a_question(watched):
    """And a resize before it draws all anew, in the new size."""
    child = watched()
    child.setwinsize(30, 100)
    child.expect("train 0")  # which 80 columns have no room for
    child.send("s")
    child.expect("Stop this run")
    child.kill(signal.SIGTERM)
    child.expect(re.escape("\x1b[?1049l"))
    child.expect(pexpect.EOF)


def test_no_color_sends_no_colours_and_still_tells_things_apart(watched):
    shown = watched(NO_COLOR="1").logfile_read.getvalue()
    codes = [code for found in re.findall(r"\x1b\[([\d;]*)m", shown) for code in found.split(";") if code]
    assert set(codes) <= {"0", "1", "2", "7", "39", "49"}  # bold, dim, reverse, and the terminal's own colours
    plain = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown)
    assert "▶ running" in plain and "┏━ Loss" in plain and "·●· 1.039" in plain


def test_a_long_log_is_read_by_two(tmp_path):
    """`ftwiz watch` itself. What of a log is long may be of a newer version, and is stepped over."""
    run = make_run(tmp_path / "run", history(100, started()))
    with open(run.events, "a", encoding="utf-8") as log:
        log.write('{"v":1,"event":"of a newer ftwiz","text":"' + "x" * LONG + '"}\n')
    append(run, step_at(101, started()))
    child = pexpect.spawn(
        sys.executable, ["-m", "wizard.cli", "watch", str(run.path)],
        env=os.environ | {"TERM": "xterm-256color"}, encoding="utf-8", dimensions=(24, 80), timeout=60,
    )  # fmt: skip
    child.expect("step 101/320")
    append(run, step_at(102, started()))
    child.expect("102/320|2/320")  # only the cells that changed are sent
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
