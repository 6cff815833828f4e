"""`ftwiz --help`: the commands by what one wants to do, each with its whole first sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

SECTIONS = {
    "Begin": ("new", "demo", "import", "presets"),
    "Train": ("run", "watch", "runs", "compare", "serve"),
    "Look first": ("check", "weights", "estimate", "lr", "split", "show", "schema", "doctor"),
    "Use a run": ("test", "predict", "report", "export"),
}


class Sections(TyperGroup):
    """Rich's panels would do the same and take longer to import than the help may take."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Every command under its heading, all of them with one column of names."""
        widest = max(map(len, self.commands))
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{widest}}", self._sentence(name)) for name in names])

    def _sentence(self, name: str) -> str:
        return self.commands[name].get_short_help_str(limit=1000)
