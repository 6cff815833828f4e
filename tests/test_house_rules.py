"""The rules of the house: who may import what, who may look at the clock, and one name for each decision.

Imports are checked twice: by reading the code, where imports inside functions count too, and by importing every module
in a process of its own and looking at what came along.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from engine import _WHERE
from engine.recipe import TABLES

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "torchvision", "torchmetrics", "decord"}
SCREEN = {"textual", "rich", "typer", "questionary", "prompt_toolkit", "wizard"}
DECISIONS = ("head", "dataset", "schedule", "weights")

TORCH_FREE = [
    "engine.recipe",
    "engine.events",
    "engine.errors",
    "engine.finding",
    "engine.advice",
    "engine.atomic",
    "engine.control",
    "engine.forecast",
    "engine.hugging_face",
    "engine.report.charts",
    "engine.run_folder",
    "engine.resume",
    "engine.torchrun",
    "engine.tracking",
    "engine.dataset.check",
    "engine.dataset.clips",
    "engine.dataset.contact_sheet",
    "engine.dataset.findings",
    "engine.dataset.images",
    "engine.dataset.inspect",
    "engine.dataset.reader",
    "engine.dataset.mirror",
    "engine.dataset.quarantine",
    "engine.dataset.probing",
    "engine.dataset.split",
    "engine.weights.published",
    "engine.weights.fetch",
    "engine.weights.hub",
    "engine.weights.sources",
    "engine.weights.report",
]

# Where the engine may look at the environment or the clock, and why. Everything else gets it as an argument.
LOOKS_OUTSIDE = {
    ("engine/device.py", "os.environ"): "deterministic: cuBLAS takes this setting from the environment only",
    ("engine/doctor.py", "os.environ"): "a variable that hides every GPU is the reason why there is none",
    ("engine/estimate.py", "time.perf_counter"): "it measures how long steps take",
    ("engine/events.py", "time.time"): "EventLog's default clock",
    ("engine/meter.py", "time.perf_counter"): "the meter's default clock",
    (
        "engine/torchrun.py",
        "os.environ",
    ): "torchrun says the rank there, and hears of threads",
    ("engine/weights/fetch.py", "os.environ"): "the cache folder that torch uses too",
    ("engine/weights/hub.py", "os.environ"): "the token, the cache and the endpoint of Hugging Face's own library",
}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


ENGINE, WIZARD = modules("engine"), modules("wizard")
EVERYTHING = ENGINE | WIZARD
TORCH_FREE += [name for name in ENGINE if name.startswith(("engine.dataset.formats", "engine.mmaction"))]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, also inside functions; what only a type checker sees is left out."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: write imports in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                lazily = _WHERE.get(alias.name) if node.module == "engine" else None
                found.add(lazily or (inner if inner in EVERYTHING else node.module))
        waiting += ast.iter_child_nodes(node)
    return found


def reaches(start: str) -> dict[str, list[str]]:
    """Everything that importing and using a module can load, each with the way it is reached."""
    ways: dict[str, list[str]] = {}
    waiting = [(start, [start])]
    while waiting:
        name, way = waiting.pop(0)
        if name in ways:
            continue
        ways[name] = way
        if name not in EVERYTHING:
            continue
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        waiting += [(other, [*way, other]) for other in sorted(imports(EVERYTHING[name]) | set(parents))]
    return ways


def trespasses(start: str, forbidden: set[str]) -> list[str]:
    return [" → ".join(way) for name, way in reaches(start).items() if name.split(".")[0] in forbidden]


def loaded_by_importing(names: list[str], forbidden: set[str]) -> dict[str, list[str]]:
    """Import modules one after the other in a fresh process: which one brought which forbidden package along."""
    code = (
        "import importlib, json, sys\n"
        "names, forbidden = json.loads(sys.argv[1])\n"
        "culprits, before = {}, set()\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "    here = set(forbidden) & set(sys.modules)\n"
        "    if here - before: culprits[name] = sorted(here - before)\n"
        "    before = here\n"
        "print(json.dumps(culprits))"
    )
    arguments = json.dumps([names, sorted(forbidden)])
    done = subprocess.run(
        [sys.executable, "-c", code, arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


# --- imports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WIZARD)
def test_the_wizard_never_reaches_torch(name: str) -> None:
    assert trespasses(name, HEAVY) == []


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_never_reaches_a_screen(name: str) -> None:
    assert trespasses(name, SCREEN) == []


@pytest.mark.parametrize("name", TORCH_FREE)
def test_torch_free_files_never_reach_torch(name: str) -> None:
    assert name in ENGINE
    assert trespasses(name, HEAVY) == []


def test_importing_the_wizard_loads_no_torch() -> None:
    assert loaded_by_importing(list(WIZARD), HEAVY) == {}


def test_importing_the_torch_free_engine_loads_neither_torch_nor_a_screen() -> None:
    assert loaded_by_importing(["engine", *TORCH_FREE], HEAVY | SCREEN) == {}


@pytest.mark.slow  # imports torch
def test_importing_the_engine_loads_no_screen() -> None:
    ours = [name for name in ENGINE if name != "engine.__main__"]
    assert loaded_by_importing([*ours, "engine.__main__"], SCREEN) == {}


def test_the_check_itself_sees_what_it_should() -> None:
    """A check that finds nothing anywhere would pass for ever."""
    assert trespasses("engine.model", {"torch"})
    assert trespasses("wizard.app", {"textual"})
    assert trespasses("engine.train", {"torchvision"})
    assert loaded_by_importing(["engine.recipe", "wizard.terminal"], {"pydantic", "textual"}) == {
        "engine.recipe": ["pydantic"],
        "wizard.terminal": ["textual"],
    }


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["new", "--help"]], ids=" ".join)
def test_help_costs_little_more_than_the_interpreter(arguments: list[str]) -> None:
    code = (
        "import json, sys\n"
        "sys.argv = ['ftwiz', *sys.argv[1:]]\n"
        "from wizard.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    *help_text, loaded = done.stdout.splitlines()
    assert "Usage" in "\n".join(help_text)
    heavy = HEAVY | {"textual", "rich", "questionary", "prompt_toolkit", "numpy", "av", "asyncio"}
    if arguments == ["--help"]:  # typer itself loads it for the arguments of a command
        heavy.add("pydantic")
    assert heavy & set(json.loads(loaded)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("screen", "later"),
    [
        ("wizard.app", {"engine.events", "engine.weights.fetch", "engine.dataset.formats", "wizard.steps.weights"}),
        ("wizard.dashboard", {"engine.recipe", "pydantic"}),
    ],
)
def test_a_first_screen_does_not_wait_for_what_only_later_ones_need(screen: str, later: set[str]) -> None:
    code = f"import json, sys, {screen}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert later & set(json.loads(done.stdout)) == set()


# --- the environment and the clock ------------------------------------------------------------------------------------

_OUTSIDE = re.compile(
    r"os\.(environb?|getenvb?|putenv)|time\.(?!sleep$)\w+|(datetime\.)?(datetime|date)\.(now|utcnow|today)"
)


def looks_outside(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and _OUTSIDE.fullmatch(ast.unparse(node)):
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "time"):
            for alias in node.names:
                if _OUTSIDE.fullmatch(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}"


def test_the_engine_looks_at_the_environment_and_the_clock_in_named_places_only() -> None:
    found = {(path.relative_to(ROOT).as_posix(), what) for path in ENGINE.values() for what in looks_outside(path)}
    assert found == set(LOOKS_OUTSIDE)


# --- one name a decision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_has_one_name_everywhere(decision: str) -> None:
    assert decision in TABLES
    assert f"wizard.steps.{decision}" in WIZARD
    assert f"engine.{decision}" in ENGINE


# --- what no file may hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_file_runs_data_as_code(name: str) -> None:
    for node in ast.walk(tree(EVERYTHING[name])):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"), called
            options = {option.arg: ast.unparse(option.value) for option in node.keywords}
            assert options.get("weights_only", "True") == "True"
            assert options.get("shell", "False") == "False"
            if called == "torch.load":
                assert "weights_only" in options
    unsafe = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve"}
    assert {module.split(".")[0] for module in imports(EVERYTHING[name])} & unsafe == set()


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_file_is_left_half_done(name: str) -> None:
    text = EVERYTHING[name].read_text(encoding="utf-8")
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|stub)\b|\bplaceholder\b(?!=)", re.IGNORECASE)
    assert [line for line in text.splitlines() if unfinished.search(line)] == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_file_says_what_it_is_for(name: str) -> None:
    source = tree(EVERYTHING[name])
    assert not source.body or ast.get_docstring(source)
