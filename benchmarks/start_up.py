"""How instant is instant: `ftwiz --help` against Python itself, the first screens against `import textual`.

python benchmarks/start_up.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path

from paired import compare

from engine.recipe import Recipe
from engine.run_folder import create_run_folder

FIRST_SCREEN = """
import asyncio, sys
from pathlib import Path

def app():
    if len(sys.argv) == 1:
        from wizard.app import WizardApp
        return WizardApp()
    from engine.run_folder import RunFolder
    from wizard.dashboard import WatchApp
    return WatchApp(RunFolder(Path(sys.argv[1])))

async def main():
    async with app().run_test(size=(80, 24)) as pilot:
        await pilot.pause()

asyncio.run(main())
"""


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def first_screen(name: str, *arguments: str) -> None:
    """Against the package alone, which imports nothing, against what any screen of it imports, and against torch."""
    for base, pairs in (("textual", 9), ("textual.app, textual.widgets", 9), ("torch", 5)):
        ratio = compare(lambda: python("-c", FIRST_SCREEN, *arguments), partial(python, "-c", f"import {base}"), pairs)
        print(f"first screen of the {name} / import {base}: {ratio}")


def main() -> None:
    ratio = compare(lambda: python("-m", "wizard.cli", "--help"), lambda: python("-c", "import typer"))
    print(f"ftwiz --help / import typer: {ratio}")
    first_screen("wizard")
    with tempfile.TemporaryDirectory() as folder:
        run = create_run_folder(Recipe(name="run"), Path(folder) / "run", datetime.now())
        first_screen("dashboard", str(run.path))


if __name__ == "__main__":
    main()
