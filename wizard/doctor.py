"""`ftwiz doctor`: whether trainings can work on this machine, and what would make it better."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from engine.errors import DeviceError, ExitCode
from engine.finding import ABSENT, BAD, NOTE, OK, Finding, State
from engine.weights.fetch import checkpoints_folder
from wizard.inquiry import Inquiry
from wizard.progress import can_animate
from wizard.words import memory, printable

# In engine/doctor.py, in this order.
STEPS = ("torch", "device", "readers", "workers")
STEP_SECONDS = 180.0  # a driver that hangs is ended; a cold disk takes its time to load torch
LEAST_DISK_GB = 5.0
MARKS: dict[State, tuple[str, str]] = {
    OK: ("✓", "green"),
    NOTE: ("!", "yellow"),
    BAD: ("✗", "red"),
    ABSENT: ("–", "dim"),
}
PLAIN_MARKS: dict[State, str] = {OK: "ok", NOTE: "!", BAD: "x", ABSENT: "-"}


@dataclass(frozen=True)
class Extra:
    """An optional package: `pip install "ftwiz[NAME]"`."""

    name: str
    module: str
    package: str
    purpose: str


EXTRAS = (
    Extra("lora", "peft", "peft", "LoRA: schedule.lora"),
    Extra("timm", "timm", "timm", "timm's image networks: model.backbone, timm://"),
    Extra("hf", "transformers", "transformers", "video classifiers of Hugging Face"),
    Extra("export", "onnx", "onnx", "ftwiz export --to onnx"),
    Extra("export", "onnxruntime", "onnxruntime", "compares an exported ONNX file with the network"),
    Extra("serve", "textual_serve", "textual-serve", "ftwiz serve, the screens in a browser"),
    Extra("tensorboard", "tensorboardX", "tensorboardX", 'run.trackers = ["tensorboard"]'),
    Extra("wandb", "wandb", "wandb", 'run.trackers = ["wandb"]'),
    Extra("mlflow", "mlflow", "mlflow", 'run.trackers = ["mlflow"]'),
    Extra("trackio", "trackio", "trackio", 'run.trackers = ["trackio"]'),
)


def examine(runs: Path) -> list[Finding]:
    """Look at everything; some seconds, with a sign of life on a terminal. runs: the folder that runs are put in."""
    columns = (SpinnerColumn(), TextColumn("looking at {task.description}"))
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not can_animate(sys.stderr)
    ) as progress:
        task = progress.add_task("torch", total=None)
        found = list(_of_the_engine(lambda step: progress.update(task, description=step)))
    return [_python(), *found, _disk("runs", runs), _cache(), _terminal(), *map(_extra, EXTRAS)]


def exit_code(findings: list[Finding]) -> ExitCode:
    """0 where training can work here; 5 where it is for want of a device, 1 for anything else."""
    bad = [finding.name for finding in findings if finding.state == BAD]
    return ExitCode.OK if not bad else ExitCode.DEVICE if bad == ["device"] else ExitCode.TRAINING


def as_document(findings: list[Finding]) -> dict[str, Any]:
    return {"works": exit_code(findings) == ExitCode.OK, "findings": [finding.document() for finding in findings]}


def print_findings(findings: list[Finding]) -> None:
    """A line each, what to do below it, on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    marks = {state: mark for state, (mark, _) in MARKS.items()} if _can_print("✓✗–", console) else PLAIN_MARKS
    for finding in findings:
        mark = f"{marks[finding.state]:<{max(map(len, marks.values()))}}"
        indent = " " * (len(mark) + width + 3)
        console.print(f"[{MARKS[finding.state][1]}]{mark}[/] {finding.name:<{width}}  ", end="")
        console.print(_wrapped(finding.text, indent, console), markup=False)
        if finding.advice:
            console.print(indent, end="")
            console.print(_wrapped(finding.advice, indent, console), markup=False, style="dim")
    console.print()
    console.print(_verdict(findings), markup=False, style="bold")


def _wrapped(text: str, indent: str, console: Console) -> str:
    """In a pipe no line is broken."""
    text = printable(text)
    if not console.is_terminal:
        return text
    lines = textwrap.wrap(text, max(30, console.width - len(indent)), break_on_hyphens=False, break_long_words=False)
    return f"\n{indent}".join(lines)


def _verdict(findings: list[Finding]) -> str:
    if exit_code(findings) == ExitCode.OK:
        return "Trainings can work here."
    bad = ", ".join(finding.name for finding in findings if finding.state == BAD)
    return f"Trainings do not work here yet: see {bad}."


def _can_print(text: str, console: Console) -> bool:
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# --- what the engine tries, in a process of its own -------------------------------------------------------------------


def _of_the_engine(tell: Callable[[str], None]) -> Iterator[Finding]:
    """Each step's findings. A step that crashes or hangs is one itself, and the steps after it are tried anew."""
    left = list(STEPS)
    while left:
        with Inquiry("engine.doctor", left) as inquiry:
            hung = threading.Event()
            timer = threading.Timer(STEP_SECONDS, lambda stop=inquiry.stop, hung=hung: (hung.set(), stop()))
            timer.start()
            begun = False
            try:
                for said in inquiry.answers():
                    if "doing" in said:
                        begun = True
                        left = left[left.index(said["doing"]) :]
                        tell(left[0])
                    else:
                        yield Finding(**said)
                return
            except DeviceError as error:
                if not begun:
                    yield Finding("engine", BAD, f"does not start: {error}", "install ftwiz and its packages anew")
                    return
                why = f"does not answer within {STEP_SECONDS:.0f} s" if hung.is_set() else f"crashes: {error}"
                yield Finding(left[0], BAD, why, "update the driver or the package behind it, or install it anew")
                left = left[1:]
            finally:
                timer.cancel()


# --- what needs no torch ----------------------------------------------------------------------------------------------


def _python() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding("ftwiz", OK, f"{_version('ftwiz') or 'not installed'}, Python {platform.python_version()}, {system}")


def _disk(name: str, folder: Path) -> Finding:
    """Room for what a training writes, and whether it may."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        return Finding(name, BAD, f"{folder} cannot be written", "work in a folder of your own, or set run.output")
    free = shutil.disk_usage(there).free / 2**30
    text = f"{free:.0f} GiB free for {folder}" if free >= 10 else f"{free:.1f} GiB free for {folder}"
    if free < LEAST_DISK_GB:
        advice = "a checkpoint of a large model takes 1 GiB or more: make room, or set run.output to another disk"
        return Finding(name, NOTE, text, advice)
    return Finding(name, OK, text)


def _cache() -> Finding:
    """Downloaded weights."""
    folder = checkpoints_folder()
    files = [path.stat().st_size for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []
    held = f"{len(files)} file{'' if len(files) == 1 else 's'}, {memory(sum(files) / 2**20)}" if files else "empty"
    on_disk = _disk("cache", folder)
    if on_disk.state == BAD:
        return Finding("cache", BAD, on_disk.text, "set TORCH_HOME to a folder that can be written")
    return Finding("cache", on_disk.state, f"downloaded weights: {held}; {on_disk.text}", on_disk.advice)


def _terminal() -> Finding:
    """What the wizard and the dashboard would find."""
    name = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return Finding("terminal", OK, "none (a pipe or a script): `ftwiz new DATA --yes` and `ftwiz run` need none")
    if name in ("", "dumb"):
        return Finding("terminal", NOTE, f"cannot draw (TERM={name or 'unset'})", "use another, or `ftwiz new --plain`")
    console, size = Console(), shutil.get_terminal_size()
    colours = {"truecolor": "16 million colours", "256": "256 colours", "standard": "16 colours"}
    unicode = _can_print("─⣿✓", console)
    text = f"{size.columns} × {size.lines}, {colours.get(console.color_system or '', 'no colours')}, {name}"
    if not unicode:
        return Finding("terminal", NOTE, f"{text}, {console.encoding}", "no UTF-8: set LANG=C.UTF-8 for the curves")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", NOTE, text, "the screens want 80 × 24 or more: make it larger")
    return Finding("terminal", OK, text)


def _extra(extra: Extra) -> Finding:
    if find_spec(extra.module) is None:
        return Finding(extra.package, ABSENT, f'{extra.purpose} (pip install "ftwiz[{extra.name}]")')
    return Finding(extra.package, OK, f"{_version(extra.package)}: {extra.purpose}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
