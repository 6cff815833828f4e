"""The dashboard on a long log: how long it takes to open, and what it costs to follow a thousand events a second.

python benchmarks/dashboard.py [EVENTS]      (Linux: CPU time is read from /proc)

`ftwiz watch` runs as a user runs it, a process on a terminal of its own; another process writes the log. Each number is
a ratio: to reading the same lines with json.loads, and to the same dashboard on a short log where nothing happens.
"""

from __future__ import annotations

import atexit
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from terminal import Terminal

from engine.events import RunStarted, Step, to_line
from engine.recipe import Recipe
from engine.run_folder import RunFolder, create_run_folder

STEPS_PER_EPOCH = 10_000
EVENTS_A_SECOND = 1000
PRESSES = 25
WATCH = "from wizard.cli import main; main()"  # as `ftwiz` is


def step(number: int) -> str:
    chance = random.Random(number)
    event = Step(
        t=time.time(),
        step=number,
        epoch=1 + number // STEPS_PER_EPOCH,
        loss=2.0 / (1 + number / 1e5) + chance.random(),
        accuracy=chance.random(),
        lr=0.01,
        grad_norm=chance.random() * 10,
        clips_per_s=chance.random() * 100,
        data_wait=chance.random(),
        memory_mb=1234.5,
        eta_s=1e6 - number,
    )
    return to_line(event) + "\n"


def make_log(folder: Path, name: str, events: int) -> RunFolder:
    run = create_run_folder(Recipe(name=name), folder / name, datetime.now())
    started = RunStarted(
        t=time.time(), name=name, classes=["a", "b"], train_clips=10, val_clips=0,
        epochs=2 * events // STEPS_PER_EPOCH + 1, steps_per_epoch=STEPS_PER_EPOCH, batch_size=1, lr=0.01,
        lr_arithmetic="lr 0.01", device="cpu", precision="fp32", workers=0, parameters=1, chance=0.5,
    )  # fmt: skip
    with open(run.events, "w", encoding="utf-8") as log:
        log.write(to_line(started) + "\n")
        log.writelines(step(number) for number in range(1, events + 1))
    run.log.write_text("", encoding="utf-8")
    run.claim()
    return run


def parse_plainly(path: Path) -> None:
    with open(path, "rb") as log:
        for line in log:
            json.loads(line)


def open_dashboard(run: RunFolder, events: int) -> tuple[Terminal, float]:
    """The dashboard once it shows the last step, and how many seconds that took."""
    began = time.perf_counter()
    terminal = Terminal(sys.executable, "-c", WATCH, "watch", str(run.path))
    terminal.wait_for(f"step {events:,}/")
    return terminal, time.perf_counter() - began


def use(terminal: Terminal) -> tuple[float, float]:
    """Share of a core, and the median seconds from a key to its answer on the screen."""
    cpu, began, latencies = terminal.cpu_seconds(), time.perf_counter(), []
    for _ in range(PRESSES):
        pressed = time.perf_counter()
        terminal.press("l")
        terminal.wait_for("(log)")
        latencies.append(time.perf_counter() - pressed)
        time.sleep(0.2)
        terminal.press("l")
        time.sleep(0.2)
    share = (terminal.cpu_seconds() - cpu) / (time.perf_counter() - began)
    return share, statistics.median(latencies)


def grow(run: RunFolder, after: int) -> subprocess.Popen[bytes]:
    """A process that writes a hundred events ten times a second, from now on: it has made them before."""
    command = [sys.executable, __file__, "--grow", str(run.events), str(after)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    atexit.register(writer.kill)
    assert writer.stdout is not None and writer.stdout.readline()
    return writer


def write_events(path: Path, after: int) -> None:
    batches = ["".join(step(after + first + place) for place in range(100)) for first in range(1, 60_000, 100)]
    print("go", flush=True)
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        with open(path, "a", encoding="utf-8") as log:
            log.write(batch)
        time.sleep(max(began + (number + 1) * 100 / EVENTS_A_SECOND - time.perf_counter(), 0.0))


def main() -> None:
    if sys.argv[1:2] == ["--grow"]:
        write_events(Path(sys.argv[2]), int(sys.argv[3]))
        return
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        short, long = make_log(Path(folder), "short", 100), make_log(Path(folder), "long", events)
        began = time.perf_counter()
        parse_plainly(long.events)
        plain = time.perf_counter() - began
        quiet, opened_short = open_dashboard(short, 100)
        busy, opened_long = open_dashboard(long, events)
        writer = grow(long, events)
        quiet_share, quiet_latency = use(quiet)
        busy_share, busy_latency = use(busy)
        for process in (writer, quiet.process, busy.process):
            process.kill()
            process.wait()
    reading = opened_long - opened_short
    print(f"a log of {events:,} events, reading and drawing / json.loads: {reading / plain:.2f} ({opened_long:.2f} s)")
    cost = f"{100 * busy_share:.0f} % of a core, {busy_share / quiet_share:.1f} times that of a short and silent log"
    print(f"following {EVENTS_A_SECOND:,} events a second, keys pressed meanwhile: {cost}")
    print(
        f"a key then / on the short log: {busy_latency / quiet_latency:.2f} ({1000 * busy_latency:.0f} ms / "
        f"{1000 * quiet_latency:.0f} ms)"
    )


if __name__ == "__main__":
    main()
