"""The commands. Thin: parse, call, exit code. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from engine.errors import ExitCode, FtwizError, RecipeError
from wizard.sections import Sections

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="ftwiz",
    cls=Sections,
    help="Fine-tune a pretrained video model on your own clips: head, dataset, schedule, weights, and go.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class ExportFormat(Enum):
    """What `ftwiz export` writes; engine/export.py has how."""

    ONNX = "onnx"
    PT2 = "pt2"
    SAFETENSORS = "safetensors"


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a recipe key, e.g. --set schedule.lr=0.01. Repeatable."),
]


def main() -> NoReturn:
    """The `ftwiz` command. A user's mistake is a sentence on stderr and an exit code, never a traceback."""
    gc.set_threshold(50_000)  # what is loaded at the start stays: looking for garbage in it takes a tenth of the start
    try:
        app()
    except FtwizError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe (head, less) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    sys.exit(ExitCode.OK)


@app.command()
def new(
    data: Annotated[Path | None, typer.Argument(help="Your videos: a folder with one folder a class.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The recipe to write.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Ask line by line instead of drawing screens.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take every inferred answer.")] = False,
    start: Annotated[
        str, typer.Option("--start", metavar="WEIGHTS", help="A preset's name, a file, an address, or `scratch`.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="PRESET", help="The model that weights of yours, or none, belong to.")
    ] = "",
    pace: Annotated[str, typer.Option("--pace", metavar="PACE", help="quick, standard or thorough.")] = "",
    sets: Overrides = None,
) -> None:
    """Walk through the four decisions and write a recipe. Options and --set answer questions beforehand."""
    from wizard.draft import answers_of

    overrides, answers = _overrides(sets), answers_of(start, model, pace)
    if yes:
        _write_inferred(data, output, overrides, answers)
        return
    from wizard.terminal import require_terminal
    from wizard.words import quoted

    require_terminal(f"`ftwiz new {quoted(data) if data else 'DATA'} --yes -o recipe.toml`")
    if plain:
        from wizard.plain import run_plain

        run_plain(data, output, overrides, answers)
        return
    from wizard.app import run_wizard

    result = run_wizard(data, output, overrides, answers)
    if result.saved:
        print(result.saved)
        _say(f"Wrote {result.saved}. Train with: ftwiz run {quoted(result.saved)}" if not result.run else "")
    if result.run:
        from wizard.dashboard import farewell

        _say(farewell(result.run))
    if result.draft_kept:
        _say("Your draft is kept; `ftwiz new` goes on with it.")
    _say(result.not_kept)


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a preset's name.")] = "",
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="The run folder (default: runs/NAME-TIME).")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --run-dir, or the recipe's latest.")
    ] = False,
    sets: Overrides = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, help="GPUs that share each batch (default: run.gpus of the recipe).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Resolve the recipe, read the dataset, change nothing.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the dashboard on top.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The run's events on stdout, one JSON document a line.")
    ] = False,
) -> None:
    """Train as a recipe says, on the GPU, on several, or on the CPU."""
    from wizard.run import plan, prepare, resume_run, train

    overrides = _overrides(sets) | ({"run.gpus": gpus} if gpus else {})
    if watch and as_json:
        raise RecipeError("--watch draws the dashboard and --json prints the events: choose one of them.")
    if watch and not dry_run:
        from wizard.terminal import require_terminal

        require_terminal("`ftwiz run` without --watch")
    if dry_run:
        print(plan(recipe, overrides))
        return
    folder = resume_run(recipe, run_dir, overrides) if resume else prepare(recipe, run_dir, overrides)
    sys.exit(train(folder, resume, watch=watch, as_json=as_json))


@app.command()
def watch(
    run: Annotated[str, typer.Argument(help="A run folder or its name (default: the latest).")] = "",
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
) -> None:
    """Attach the dashboard to a run, live or finished. q leaves it; the run goes on."""
    from engine.run_folder import open_run
    from wizard.ahead import read_ahead

    folder = open_run(run, output)
    reader = read_ahead(folder.events)  # from here on, while Textual is loaded
    from wizard.terminal import require_terminal
    from wizard.words import quoted

    require_terminal(f"`tail -f {quoted(folder.events)}`")
    from wizard.dashboard import watch as show

    show(folder, reader)


@app.command()
def serve(
    run: Annotated[
        str, typer.Argument(help="A run folder or its name, or `latest`, for its dashboard (default: the wizard).")
    ] = "",
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; any but loopback lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 8000,
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
) -> None:
    """Show the wizard, or the dashboard of a run, in a browser. Ctrl-C ends it; trainings go on."""
    from wizard.serve import require_textual_serve
    from wizard.serve import serve as show

    require_textual_serve()
    from engine.run_folder import open_run

    show(open_run(run, output) if run else None, host, port)


@app.command()
def test(
    run: Annotated[str, typer.Argument(help="A run folder or its name (default: the latest).")] = "",
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a run's best checkpoint with the test-time views of its recipe."""
    from engine.run_folder import open_run
    from wizard.run import measure

    sys.exit(measure(open_run(run, output), as_json))


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A run folder or its name; RUN:last, RUN:epoch-005 for a checkpoint.")],
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO...", help="Videos, folders of them, lists (.txt), or - for stdin.")
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to name.")] = 5,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0, max=1, help="Several classes a clip: name those above (0.5).")
    ] = None,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0, help="Look at each so many seconds of a long video.")
    ] = 0.0,
    one_view: Annotated[
        bool, typer.Option("--one-view", help="The centre view alone, as validation does, not the test's views.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps (default: the run's).")] = "",
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all probabilities to a file; - for stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
) -> None:
    """Say what a run's best checkpoint sees in new videos. Exits with 3 where one of them does not decode."""
    from engine.run_folder import open_checkpoint
    from wizard.predict import Asked, as_csv, as_document, as_table, predict_videos, summary, write_csv

    if as_json and str(csv) == "-":
        raise RecipeError("--json and --csv - both print on stdout: choose one of them.")
    said = predict_videos(*open_checkpoint(run, output), videos, Asked(top, threshold, one_view, every, device))
    if as_json:
        print(json.dumps(as_document(said), indent=2))  # ASCII: file names that are not UTF-8 stay what they are
    elif str(csv) == "-":
        print(as_csv(said), end="")
    elif csv is None:
        _print_table(*as_table(said, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    if csv is not None and str(csv) != "-":
        write_csv(csv, said)
    for line in summary(said):
        _say(line)
    sys.exit(said.exit_code)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run folder or its name; RUN:last, RUN:epoch-005 for a checkpoint.")],
    to: Annotated[ExportFormat, typer.Option("--to", help="onnx, pt2 (torch.export) or safetensors (weights alone).")],
    file: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write (default: in RUN/export/).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
) -> None:
    """Write a run's network to one file that needs no ftwiz, and compare what it gives with the network."""
    from engine.run_folder import open_checkpoint
    from wizard.export import export_to, in_words

    exported = export_to(*open_checkpoint(run, output), to.value, file)
    if as_json:
        _print_json(exported)
        return
    print(exported["path"])
    for line in in_words(exported, to.value):
        _say(line)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run folder or its name (default: the latest).")] = "",
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The page to write (default: RUN/report/report.html)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
) -> None:
    """Write one HTML page of a run: curves, classes, what is taken for what, the surest mistakes, the recipe."""
    from engine.run_folder import open_run
    from wizard.report import write_page

    written = write_page(open_run(run, output), file)
    if as_json:
        _print_json(written)
    else:
        print(written["path"])


@app.command()
def doctor(
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Try whether trainings work here: device, versions, video readers, workers, disk, terminal, optional packages."""
    from wizard.doctor import as_document, examine, exit_code, print_findings

    findings = examine(output)
    if as_json:
        _print_json(as_document(findings))
    else:
        print_findings(findings)
    sys.exit(exit_code(findings))


@app.command()
def lr(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a preset's name.")],
    low: Annotated[float, typer.Option(min=0, help="The rate to begin with.")] = 1e-6,
    high: Annotated[float, typer.Option(min=0, help="The rate to end with.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="How many rates to try, a step each.")] = 100,
    sets: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Try learning rates from tiny to huge, draw the loss at each, and say which suits."""
    from wizard.lr import try_rates

    sys.exit(try_rates(recipe, _overrides(sets), low, high, steps, as_json))


@app.command()
def estimate(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a preset's name.")],
    sets: Overrides = None,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of steps; fewer where their time is steady.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure a few real steps: how long the training would take, what memory and disk it would need."""
    from wizard.estimate import print_estimate

    sys.exit(print_estimate(recipe, _overrides(sets), seconds, as_json))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where videos and runs go.")] = Path("ftwiz-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other videos.")] = 0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the dashboard.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make a small video dataset and fine-tune on it, on any machine, in a minute or two."""
    from wizard.demo import run_demo

    sys.exit(run_demo(folder, seed, plain=plain, as_json=as_json))


@app.command()
def show(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a preset's name.")],
    sets: Overrides = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print the resolved recipe."""
    from engine.recipe import document_of, resolve_recipe, to_toml
    from wizard.origins import with_origins

    resolved = resolve_recipe(recipe, _overrides(sets))
    document = document_of(resolved.recipe)
    if as_json:
        _print_json({"recipe": document, "origins": dict(resolved.origins)} if origin else document)
    else:
        print(with_origins(resolved) if origin else to_toml(document), end="")


@app.command()
def presets(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List the recipes that yours can extend."""
    from engine.recipe import load_recipe, preset_names
    from wizard.words import frames_of

    rows = []
    for name in preset_names():
        recipe = load_recipe(name)
        start = recipe.weights.load_from or recipe.weights.backbone
        rows.append(
            {
                "name": name,
                "model": f"{recipe.model.recognizer} {recipe.model.backbone}, {frames_of(recipe.model)}",
                "classes": recipe.head.num_classes,
                "starts_from": start.rpartition("/")[2] if start.startswith("http") else start,
            }
        )
    if as_json:
        _print_json(rows)
    else:
        _print_table(["NAME", "MODEL", "CLASSES", "STARTS FROM"], [list(map(str, row.values())) for row in rows])


@app.command()
def check(
    source: Annotated[str, typer.Argument(metavar="RECIPE|DATA", help="A recipe, or a folder of videos.")],
    sets: Overrides = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that decoding three frames of a file may take.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what would hurt a training on this dataset: files, labels, leakage. Exits with 3 where it would be wrong."""
    from wizard.check import check_dataset

    sys.exit(check_dataset(source, _overrides(sets), timeout, as_json))


@app.command()
def weights(
    source: Annotated[
        str,
        typer.Argument(
            help="A file, a run, an address, hf://…, torchvision://NAME (default: what the recipe starts from)."
        ),
    ] = "",
    recipe: Annotated[str, typer.Option("--for", metavar="RECIPE", help="Whose model: a recipe, or a preset.")] = "",
    backbone: Annotated[
        bool, typer.Option("--backbone", help="Take only the backbone, as weights.backbone does.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List every tensor.")] = False,
    sets: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what a training would reuse of a source of weights: kept, made anew, dropped. Trains nothing."""
    from wizard.load_report import show_weights

    sys.exit(show_weights(source, recipe, sets or [], backbone, every, as_json))


@app.command()
def split(
    source: Annotated[str, typer.Argument(metavar="DATA|RECIPE", help="A folder of videos, or a recipe.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The list to write.")],
    sets: Overrides = None,
) -> None:
    """Write the split into training and validation clips to a list, so that everyone trains on the same one."""
    from wizard.split import write_split_of

    write_split_of(source, output, _overrides(sets))


@app.command()
def runs(
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the runs here, the latest last."""
    from engine.run_folder import find_runs
    from wizard.summary import read_run, summary_of

    found = [summary_of(read_run(folder)) for folder in find_runs(output)]
    if as_json:
        _print_json([asdict(run) for run in found])
        return
    if not found:
        _say(f"No runs under {output}/ yet. Start one with: ftwiz run RECIPE")
    cells = [[run.name, run.status, f"{run.epoch}/{run.epochs}", run.best_in_words()] for run in found]
    _print_table(["RUN", "STATUS", "EPOCH", "BEST"], cells)


@app.command()
def compare(
    left: Annotated[str, typer.Argument(metavar="RUN", help="A run folder or its name.")],
    right: Annotated[str, typer.Argument(metavar="RUN", help="Another one.")],
    output: Annotated[Path, typer.Option("--runs", help="The folder that run folders are in.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say what came of two runs, and what differs in their recipes."""
    from engine.run_folder import open_run
    from wizard.compare import as_document, as_table, verdict
    from wizard.summary import read_run

    runs = read_run(open_run(left, output)), read_run(open_run(right, output))
    if as_json:
        _print_json(as_document(*runs))
    else:
        _print_table(*as_table(*runs))
        _say(verdict(*runs))


@app.command(name="import")
def import_(
    config: Annotated[Path, typer.Argument(help="A config of MMAction2, 0.x or 1.x.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The recipe to write; else it is printed.")
    ] = None,
    configs: Annotated[
        Path | None, typer.Option("--configs", help="MMAction2's folder of configs, for a config copied out of it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Turn an MMAction2 config into a recipe. The config is read, never executed."""
    from engine.mmaction.recipe import import_config
    from wizard.imported import document, summary, text, write

    found = import_config(config, configs)
    if output is not None:
        write(found, output)
    if as_json:
        _print_json(document(found))
    else:
        print(text(found) if output is None else output, end="" if output is None else "\n")
    _say(summary(found, output))


@app.command()
def schema(output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it to a file.")] = None) -> None:
    """Print the JSON Schema of recipes, so that editors complete and check keys."""
    from engine.atomic import write_text
    from engine.recipe import recipe_schema
    from wizard.words import quoted

    text = json.dumps(recipe_schema(), indent=2) + "\n"
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)
        _say(f"Wrote {output}. Put this on the first line of a recipe: #:schema {quoted(output)}")


def _write_inferred(data: Path | None, output: Path | None, overrides: dict[str, Any], answers: dict[str, str]) -> None:
    from wizard.draft import inferred
    from wizard.words import quoted

    if data is None:
        raise RecipeError("--yes needs to know your videos; name their folder: `ftwiz new DATA --yes`.")
    draft = inferred(data, overrides, answers)
    path = draft.save(output)
    print(path)
    _say(f"Wrote {path}. Train with: ftwiz run {quoted(path)}")


def _overrides(sets: list[str] | None) -> dict[str, Any]:
    from engine.recipe import parse_override

    return dict(parse_override(text) for text in sets or [])


def _say(text: str) -> None:
    """For people: on stderr, so that stdout carries data only."""
    if text:
        print(text, file=sys.stderr)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    from rich.cells import cell_len

    if not rows:
        return
    widths = [max(cell_len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
