"""What can be told of this machine's GPU without importing torch, which takes seconds."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ASK_SECONDS = 5.0
# A driver whose card cannot be asked for: AMD's, and Windows' inside WSL.
OTHER_DRIVERS = ("/dev/kfd", "/dev/dxg", "/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Machine:
    """gpu: its name, "" where none is known. none_why: why it is certain that training will use none, "" where it is
    not. memory_gb: of the GPU, 0 where it is not known."""

    gpu: str = ""
    none_why: str = ""
    memory_gb: float = 0.0

    @property
    def has_no_gpu(self) -> bool:
        return bool(self.none_why)


def this_machine() -> Machine:
    """Asks the driver, so it may take a second. Silence is no proof: what is not certain is left open."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "any").strip() in ("", "-1"):
        return Machine(none_why="CUDA_VISIBLE_DEVICES hides every GPU")
    if _is_cpu_build():
        return Machine(none_why="this PyTorch is a build without GPUs")
    if nvidia := _from_nvidia_smi():
        return nvidia
    if platform.system() == "Darwin":
        return Machine(gpu="Apple's own") if platform.machine() == "arm64" else Machine()
    if platform.system() == "Linux" and not any(Path(driver).exists() for driver in OTHER_DRIVERS):
        return Machine(none_why="no GPU was found on this machine")
    return Machine()


def _is_cpu_build() -> bool:
    """PyTorch says so in its version, which is read from its package's metadata."""
    try:
        return version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _from_nvidia_smi() -> Machine | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True).stdout
        name, megabytes = said.splitlines()[0].rsplit(",", 1)
        return Machine(gpu=name.strip(), memory_gb=float(megabytes) / 1024)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # a driver that does not answer
