"""The dashboard on a long log: how long it takes to open, and what it costs to follow a thousand events a second.

python benchmarks/dashboard.py [EVENTS]
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from engine.events import RunStarted, Step, to_line
from engine.recipe import Recipe
from engine.run_folder import RunFolder, create_run_folder
from wizard.dashboard import WatchApp

STEPS_PER_EPOCH = 10_000
FOLLOWED_SECONDS = 10.0
EVENTS_A_SECOND = 1000


def step(number: int) -> str:
    chance = random.Random(number)
    event = Step(
        t=1e9 + number,
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


def make_log(folder: Path, events: int) -> RunFolder:
    run = create_run_folder(Recipe(name="long"), folder / "long", datetime.now())
    started = RunStarted(
        t=1e9, name="long", classes=["a", "b"], train_clips=10, val_clips=0, epochs=2 * events // STEPS_PER_EPOCH + 1,
        steps_per_epoch=STEPS_PER_EPOCH, batch_size=1, lr=0.01, lr_arithmetic="lr 0.01", device="cpu", precision="fp32",
        workers=0, parameters=1, chance=0.5,
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


async def open_and_follow(run: RunFolder, events: int) -> tuple[float, float, float]:
    """Seconds until all is read; then, while the log grows, this process's CPU share and the median key latency."""
    app = WatchApp(run)
    began = time.perf_counter()
    async with app.run_test(size=(120, 40)) as pilot:
        while not app.dashboard.state.steps or app.dashboard.state.steps[-1].step < events:
            await asyncio.sleep(0.005)
        opened = time.perf_counter() - began

        stop = threading.Event()
        writer = threading.Thread(target=grow, args=(run, events, stop))
        writer.start()
        cpu, wall, latencies = time.process_time(), time.perf_counter(), []
        while time.perf_counter() - wall < FOLLOWED_SECONDS:
            pressed = time.perf_counter()
            await pilot.press("m")
            await pilot.pause()
            latencies.append(time.perf_counter() - pressed)
            await asyncio.sleep(0.2)
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
        stop.set()
        writer.join()
    return opened, share, statistics.median(latencies)


def grow(run: RunFolder, after: int, stop: threading.Event) -> None:
    """Steps are made beforehand, so that making them is not counted."""
    batches = [
        "".join(step(after + batch * 100 + place) for place in range(100))
        for batch in range(int(FOLLOWED_SECONDS * EVENTS_A_SECOND / 100))
    ]
    for batch in batches:
        if stop.is_set():
            return
        with open(run.events, "a", encoding="utf-8") as log:
            log.write(batch)
        time.sleep(100 / EVENTS_A_SECOND)


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        run = make_log(Path(folder), events)
        began = time.perf_counter()
        parse_plainly(run.events)
        plain = time.perf_counter() - began
        opened, share, latency = asyncio.run(open_and_follow(run, events))
    times = f"{opened:.2f} s / {plain:.2f} s"
    print(f"open a log of {events:,} events / json.loads of its lines: {opened / plain:.2f} ({times})")
    cost = f"{100 * share:.0f} % of a core, a key in {1000 * latency:.0f} ms"
    print(f"following {EVENTS_A_SECOND:,} events a second on top of them: {cost}")


if __name__ == "__main__":
    main()
