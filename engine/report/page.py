"""The facts of a run as one HTML page that needs nothing else: no script, no font, nothing from elsewhere.

It follows the reader's light or dark, folds what is long, and prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from engine.events import RunFinished
from engine.recipe import document_of, to_toml
from engine.report.charts import Line, line_chart
from engine.report.facts import Facts, Mistake, OfClass

STYLE = Path(__file__).with_name("page.css")
CLASSES_SHOWN = 24  # the others fold away
LARGEST_MATRIX = 40  # of classes; more are told by what is confused most
CONFUSIONS_SHOWN = 12
MOST_LARGE_CELLS = 15  # of classes; the cells of more are small, and the list stands below them
METRICS = {"top1": "top-1", "sample_map": "mAP"}


def page(facts: Facts) -> str:
    """The whole document."""
    title = f"{facts.run.path.resolve().name}: a run of ftwiz"
    sections = "\n".join(
        section for section in (
            _header(facts),
            _curves(facts),
            _of_classes(facts),
            _confusion(facts),
            _mistakes(facts),
            _test(facts),
            _recipe(facts),
            _log(facts),
        )
        if section
    )  # fmt: skip
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{sections}\n</main>\n</body>\n</html>\n"
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # file names that are not UTF-8


def _section(title: str, body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{said}{body}\n</section>" if body else ""


# --- at the top -------------------------------------------------------------------------------------------------------


def _header(facts: Facts) -> str:
    started, best = facts.state.started, facts.state.best
    name = facts.run.path.resolve().name
    about = [f"{facts.status}"]
    if started:
        began = f"{datetime.fromtimestamp(started.t):%Y-%m-%d %H:%M}"
        about += [f"began {began}", f"{started.device}, {started.precision}"]
    model = facts.recipe.model
    about.append(f"{model.recognizer}, {model.backbone}")
    tiles = []
    if best:
        metric = METRICS.get(best.key_metric, best.key_metric)
        chance = f", chance {_percent(started.chance)}" if started else ""
        tiles.append((_percent(best.key), f"best validation {metric}", f"epoch {best.epoch}{chance}"))
    if facts.test and facts.test.get("key_metric") in facts.test:
        key = facts.test["key_metric"]
        tiles.append((_percent(facts.test[key]), f"test {METRICS.get(key, key)}", f"{facts.test['clips']:,} clips"))
    if started:
        clips = f"{started.train_clips:,} to train, {started.val_clips:,} to validate"
        tiles.append((f"{len(started.classes):,}", "classes", clips))
        done = facts.state.steps[-1].epoch if facts.state.steps else 0
        tiles.append((f"{done}", "epochs", f"of {started.epochs}, in {_duration(_seconds(facts))}"))
    drawn = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span><small>{escape(more)}</small></div>'
        for value, what, more in tiles
    )
    head = f"<header>\n<h1>{escape(name)}</h1>\n<p>{escape(' · '.join(about))}</p>\n</header>"
    return f'{head}\n<div class="tiles">{drawn}</div>'


def _seconds(facts: Facts) -> float:
    state = facts.state
    if isinstance(state.ended, RunFinished):
        return state.ended.seconds
    return state.last_time - state.started.t if state.started else 0.0


# --- curves -----------------------------------------------------------------------------------------------------------


def _curves(facts: Facts) -> str:
    state = facts.state
    if not state.started or not state.steps:
        return ""
    an_epoch = max(1, state.started.steps_per_epoch)
    steps = [(step.step / an_epoch, step) for step in state.steps]
    validations = state.validations
    metric = METRICS.get(state.started.key_metric, state.started.key_metric)
    loss = line_chart(
        [
            Line("training loss", "train", [(epoch, step.loss) for epoch, step in steps]),
            Line("validation loss", "val", [(done.step / an_epoch, done.loss) for done in validations], dots=True),
        ],
        "epoch",
        lambda value: f"{value:.3g}",
    )
    accuracy = line_chart(
        [
            Line(f"training {metric}", "train", [(epoch, step.accuracy) for epoch, step in steps]),
            Line(f"validation {metric}", "val", [(done.step / an_epoch, done.key) for done in validations], dots=True),
        ],
        "epoch",
        _percent,
        level=state.started.chance,
    )
    rate = line_chart([Line("learning rate", "rate", [(epoch, step.lr) for epoch, step in steps])], "epoch", _rate)
    legend = (
        '<p class="legend"><i class="train"></i>training, on augmented clips<i class="val"></i>validation'
        '<i class="level"></i>chance</p>'
    )
    drawn = [("Loss", loss), (f"Accuracy ({metric})", accuracy), ("Learning rate", rate)]
    figures = "".join(f"<figure><figcaption>{escape(name)}</figcaption>{svg}</figure>" for name, svg in drawn if svg)
    return _section("Curves", f'{legend}<div class="charts">{figures}</div>')


# --- classes ----------------------------------------------------------------------------------------------------------


def _of_classes(facts: Facts) -> str:
    measured = sorted((found for found in facts.classes if found.score is not None), key=lambda found: found.score or 0)
    without = [found.name for found in facts.classes if found.score is None]
    shown, folded = measured[:CLASSES_SHOWN], measured[CLASSES_SHOWN:]
    body = _bars(shown)
    if folded:
        body += f"<details><summary>{len(folded):,} more, which do better</summary>{_bars(folded)}</details>"
    if without:
        body += f'<p class="note">No validation clips of {escape(_some(without))}.</p>'
    what = "Average precision" if facts.recipe.head.multi_label else "Accuracy"
    note = f"{what} on the validation clips in the best epoch, the lowest first."
    return _section("Classes", body if measured else "", note)


def _bars(classes: Sequence[OfClass]) -> str:
    return f'<table class="bars">{"".join(map(_bar, classes))}</table>'


def _bar(found: OfClass) -> str:
    share, clips = found.score or 0.0, f"{found.clips:,} clip{'' if found.clips == 1 else 's'}"
    bar = f'<td class="bar"><span style="width:{100 * share:.1f}%"></span></td>'
    return f'<tr><th>{escape(found.name)}</th>{bar}<td>{_percent(share)}</td><td class="dim">{clips}</td></tr>'


def _confusion(facts: Facts) -> str:
    """The matrix, where it can be read, and what is mistaken for what most often."""
    counts, names = facts.confusion, [found.name for found in facts.classes]
    if not counts or len(counts) != len(names):
        return ""
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = "".join(
        f'<tr><td>{escape(names[true])}</td><td class="dim">taken for</td><td>{escape(names[predicted])}</td>'
        f'<td class="number">{count:,} of {sum(counts[true]):,}</td></tr>'
        for count, true, predicted in pairs[:CONFUSIONS_SHOWN]
    )
    table = (
        f'<table class="pairs">{rows}</table>' if rows else '<p class="note">No clip was taken for another class.</p>'
    )
    if len(names) > LARGEST_MATRIX:
        return _section(
            "What is taken for what", table, f"The {min(len(pairs), CONFUSIONS_SHOWN)} most frequent mistakes."
        )
    side = "side" if len(names) <= MOST_LARGE_CELLS else "stack"
    note = "A row is a true class, a column what the model said; the stronger the colour, the more of the row's clips."
    return _section("What is taken for what", f'<div class="{side}">{_matrix(counts, names)}{table}</div>', note)


def _matrix(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    head = "".join(f"<th><span>{escape(name)}</span></th>" for name in names)
    rows = "".join(
        f"<tr><th>{escape(names[true])}</th>{''.join(_cell(true, at, row, names) for at in range(len(row)))}</tr>"
        for true, row in enumerate(counts)
    )
    small = " small" if len(names) > MOST_LARGE_CELLS else ""
    return f'<div class="scroll"><table class="matrix{small}"><tr><td></td>{head}</tr>{rows}</table></div>'


def _cell(true: int, predicted: int, row: Sequence[int], names: Sequence[str]) -> str:
    count, total = row[predicted], sum(row) or 1
    kind = ("right" if true == predicted else "wrong") + (" full" if count > 0.55 * total else "")
    said = escape(f"{names[true]}: {count:,} of {total:,} taken for {names[predicted]}")
    return f'<td class="{kind}" style="--part:{100 * count / total:.0f}%" title="{said}">{count or ""}</td>'


def _mistakes(facts: Facts) -> str:
    cards = "".join(map(_card, facts.mistakes))
    total = facts.mistaken
    which = f"The surest {len(facts.mistakes)} of {total:,}" if total > len(facts.mistakes) else "All of them"
    note = f"{which}, the surest first, each with the frame in the middle. Look for wrong labels here."
    return _section("Mistakes", f'<div class="cards">{cards}</div>' if cards else "", note)


def _card(mistake: Mistake) -> str:
    picture = (
        f'<img src="{mistake.picture}" alt="a frame of the clip">'
        if mistake.picture
        else '<div class="gone">the clip cannot be read here</div>'
    )
    return (
        f'<figure class="card" title="{escape(mistake.file)}">{picture}<figcaption><b>{escape(mistake.predicted)}</b> '
        f"<span>{_percent(mistake.probability)}</span><br>is {escape(mistake.true)}"
        f"<small>{escape('/'.join(mistake.file.split('/')[-2:]))}</small></figcaption></figure>"
    )


def _test(facts: Facts) -> str:
    test = facts.test
    if not test:
        return ""
    names = {
        "top1": "top-1", "top5": "top-5", "mean_class_accuracy": "mean of the classes", "sample_map": "mAP",
        "mean_average_precision": "class mAP",
    }  # fmt: skip
    figures = [(name, _percent(test[key])) for key, name in names.items() if test.get(key) is not None]
    views = f"{test['segments']} frames × {test['crops']} crop{'' if test['crops'] == 1 else 's'}"
    views += f" × {test['test_clips']} places in time" if test["test_clips"] > 1 else ""
    figures += [("views of each clip", views), ("clips", f"{test['clips']:,}, {test['skipped']:,} not decoded")]
    return _section("Test", _pairs(figures), "ftwiz test, with the test-time views of the recipe.")


# --- how it was made --------------------------------------------------------------------------------------------------


def _recipe(facts: Facts) -> str:
    recipe, started, weights = facts.recipe, facts.state.started, facts.state.weights
    model, dataset, schedule = recipe.model, recipe.dataset, recipe.schedule
    frames = (
        f"{model.clip_len} frames, every {model.frame_interval}." if model.clip_len else f"{model.segments} segments"
    )
    figures = [
        (
            "model",
            f"{model.recognizer}, {model.backbone}, {frames}, {dataset.frame_size} × {dataset.frame_size} pixels",
        ),
        ("dataset", f"{dataset.format}, {dataset.root}"),
        ("schedule", f"{schedule.epochs} epochs, {schedule.optimizer}, batches of {schedule.batch_size}"),
    ]
    if started:
        figures.append(("learning rate", started.lr_arithmetic))
        figures.append(("parameters", f"{started.parameters:,}"))
    if weights:
        kept = f"{weights.kept} tensors kept, {weights.reinitialised} new, {weights.dropped} dropped"
        figures.append(("weights", f"{weights.source}: {kept}"))
    packages = facts.provenance.get("packages", {})
    versions = [f"{name} {packages[name]}" for name in ("ftwiz", "torch", "torchvision") if name in packages]
    commit = facts.provenance.get("git_commit")
    figures.append(("made with", ", ".join([*versions, *([f"commit {commit[:12]}"] if commit else [])]) or "unknown"))
    whole = f"<details><summary>the whole recipe</summary><pre>{escape(to_toml(document_of(recipe)))}</pre></details>"
    return _section("Recipe", _pairs(figures) + whole)


def _log(facts: Facts) -> str:
    """Warnings, and clips that were left out."""
    warnings = [message.text for message in facts.state.messages if message.level == "warning"]
    skipped = [f"left out {clip.path}: {clip.reason}" for clip in facts.state.skipped]
    lines = list(dict.fromkeys([*warnings, *skipped]))
    return _section("What the run warned of", "".join(_items(lines[:40])) if lines else "")


def _items(lines: Iterable[str]) -> Iterator[str]:
    yield "<ul>"
    yield from (f"<li>{escape(line)}</li>" for line in lines)
    yield "</ul>"


def _pairs(figures: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in figures)}</dl>"


# --- words ------------------------------------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%" if math.isfinite(share) else "–"


def _rate(value: float) -> str:
    return f"{value:.2g}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
