"""How instant is instant: `ftwiz --help` against Python itself, the wizard's first screen against `import textual`.

python benchmarks/start_up.py
"""

from __future__ import annotations

import subprocess
import sys

from paired import compare

FIRST_SCREEN = """
import asyncio
from wizard.app import WizardApp

async def main():
    async with WizardApp().run_test(size=(80, 24)) as pilot:
        await pilot.pause()

asyncio.run(main())
"""


def python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    ratio = compare(lambda: python("-m", "wizard.cli", "--help"), lambda: python("-c", "import typer"))
    print(f"ftwiz --help / import typer: {ratio}")
    ratio = compare(lambda: python("-c", FIRST_SCREEN), lambda: python("-c", "import textual.app, textual.widgets"))
    print(f"first screen of the wizard / import textual: {ratio}")
    ratio = compare(lambda: python("-c", FIRST_SCREEN), lambda: python("-c", "import torch"), pairs=7)
    print(f"first screen of the wizard / import torch: {ratio}")


if __name__ == "__main__":
    main()
