"""How instant is instant: `ftwiz --help` against Python itself, the first screens against `import textual`.

python benchmarks/start_up.py      (Linux, macOS: the screens are drawn on terminals of their own)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from paired import compare
from terminal import Terminal

from engine.recipe import Recipe
from engine.run_folder import create_run_folder


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def ftwiz(*arguments: str, until: str, state: Path) -> None:
    """From the command until those words are on the screen, with no draft of an earlier wizard."""
    terminal = Terminal(sys.executable, "-m", "wizard.cli", *arguments, variables={"XDG_STATE_HOME": str(state)})
    terminal.wait_for(until)
    terminal.close()


def first_screen(name: str, draw: Callable[[], None]) -> None:
    """Against the package alone, which imports nothing, against what any screen of it imports, and against torch."""
    for base, pairs in (("textual", 9), ("textual.app, textual.widgets", 9), ("torch", 5)):
        print(
            f"first screen of {name} / import {base}: {compare(draw, partial(python, '-c', f'import {base}'), pairs)}"
        )


def main() -> None:
    ratio = compare(lambda: python("-m", "wizard.cli", "--help"), lambda: python("-c", "import typer"))
    print(f"ftwiz --help / import typer: {ratio}")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run = create_run_folder(Recipe(name="run"), Path(folder) / "run", datetime.now())
        state = Path(folder) / "state"
        first_screen("ftwiz new", partial(ftwiz, "new", until="A folder of videos is enough", state=state))
        first_screen("ftwiz watch", partial(ftwiz, "watch", str(run.path), until="nothing happened yet", state=state))


if __name__ == "__main__":
    main()
