"""The four decisions as pure data: one definition for the app, the line-by-line questions and `--yes`.

A `Draft` holds what was answered and infers the rest from what is known by then, each inferred answer with a sentence
that says why. The engine's own validator judges the answers: there is no second opinion here. No Textual, no torch.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.atomic import write_text
from engine.dataset.mirror import Mirror, mirror_of
from engine.errors import DataError, RecipeError, UndecidedError, WeightsError
from engine.learning_rate import lr_arithmetic
from engine.recipe import (
    PATH_KEYS,
    TABLES,
    Dataset,
    Model,
    Recipe,
    changes_from,
    load_recipe,
    preset_names,
    recipe_from,
    spelt_out,
)
from engine.recognizers import family_of
from engine.weights.published import PUBLISHED, Published
from wizard.recipe_text import HEADER, recipe_text
from wizard.words import count, frames_of

if TYPE_CHECKING:
    from engine.dataset.inspect import Inspection
    from engine.weights.report import LoadReport

# The two rows of the weights table that are no published checkpoint.
OWN, SCRATCH = "own", "scratch"
PACES = {"quick": 0.2, "standard": 1.0, "thorough": 2.0}

# Fine-tuning as the tutorial does it: half the template's lr and epochs, steps at 40 % and 80 % of them.
FINE_TUNING = 0.5
MILESTONES = (0.4, 0.8)
# A small dataset gets smaller batches and then more epochs, until the optimiser has this much to work with.
MIN_STEPS_PER_EPOCH, MIN_STEPS, MIN_BATCH, MAX_EPOCHS = 8, 300, 4, 100
KEPT_CHECKPOINTS = 10
FEW_CLIPS = 20
# With so few of a class, what is learned in the backbone is these very clips.
FROZEN_BELOW = 10

# What torchvision calls the files, which only torchvision knows and importing it takes seconds; held by a test.
TORCHVISION_FILES = {"torchvision://resnet50": "resnet50-0676ba61.pth"}

# Keys that say where the data lie. A preset's own must not show through when the data are the user's.
LOCATION = (
    "format", "root", "val_root", "annotations", "train_list", "val_list", "split", "clips", "classes", "groups",
    "group_pattern", "first_label", "quarantine",
    "filename_template", "start_index", "with_offset", "frame_counts",
)  # fmt: skip

# Keys that say how folders of frames are to be read, where they do not say so themselves.
FRAMES = ("dataset.filename_template", "dataset.start_index", "dataset.with_offset", "dataset.frame_counts")

READ_DIFFERENTLY = (
    "dataset.format", "dataset.split", "dataset.val_fraction", "dataset.split_seed", "dataset.clips",
    "dataset.classes", "dataset.groups", "dataset.group_pattern", "dataset.first_label", *FRAMES,
)  # fmt: skip

SIZES = ("short_side", "frame_size")  # of the frames that a network was trained on

WEIGHTS = ("weights.load_from", "weights.backbone")

LOOKS_AGAIN = ("data", "annotations", *READ_DIFFERENTLY)

# Words that turn into each other when a clip is played backwards.
BACKWARDS = (
    ("up", "down"), ("left", "right"), ("open", "close"), ("opening", "closing"), ("in", "out"), ("into", "out of"),
    ("forward", "backward"), ("forwards", "backwards"), ("towards", "away from"), ("toward", "away"), ("from", "to"),
    ("clockwise", "counterclockwise"), ("rising", "falling"), ("lifting", "lowering"), ("entering", "leaving"),
    ("pushing", "pulling"),
)  # fmt: skip


# --- the questions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """One thing to decide. `key` is a key of the recipe, or one of the draft's own words (data, start, pace …)."""

    key: str
    label: str
    note: str = ""
    applies: Callable[[Draft], bool] = lambda draft: True
    choices: Callable[[Draft], dict[str, str]] | None = None  # value → what to call it

    @property
    def help(self) -> str:
        """What it means: the recipe's own documentation where it is a key of the recipe."""
        table, dot, name = self.key.partition(".")
        if self.note or not dot:
            return self.note
        return (TABLES[table].model_fields[name].description or "").replace("\n", " ")


@dataclass(frozen=True)
class Decision:
    """One step of the wizard, one table of the recipe."""

    name: str
    title: str
    asks: str
    questions: tuple[Question, ...]


def _is_asked_for_labels(draft: Draft) -> bool:
    """Where every clip has one class nobody need be asked, unless somebody said otherwise."""
    return bool(draft.value("head.multi_label")) or draft.answer("head.multi_label").given


HEAD_CHOICES = {"same": "kept for the same classes", "matching": "kept for known ones", "none": "new"}


def head_choices(draft: Draft) -> dict[str, str]:
    """What can be kept of the source's last layer; {} where nothing can, or where that is not known."""
    report = draft.reuse.report
    if report is None or draft.value("weights.load_from") == "":
        return {}
    if not report.head_change or draft.value("head.reuse") == "none":
        return {"same": "kept, as the classes are the same", "none": "new"}
    if not report.known_classes:
        return {}
    known, every = len(report.known_classes), len(report.classes)
    return {"same": "new", "matching": f"kept for the {known} of {every} classes it knows"}


def _in_format(*formats: str) -> Callable[[Draft], bool]:
    return lambda draft: draft.value("dataset.format") in formats


def _freezes(chosen: str) -> dict[str, str]:
    """What may be frozen, with what is chosen among it, whatever --set named."""
    usual = {"none": "nothing", "stages:2": "stem, 2 stages", "backbone": "the backbone"}
    return usual if chosen in usual else {**usual, chosen: chosen}


DECISIONS: tuple[Decision, ...] = (
    Decision(
        "dataset",
        "Dataset",
        "Which videos does it learn from?",
        (
            Question("data", "videos", "A folder of videos, sorted into one folder a class, or a published dataset."),
            Question(
                "annotations",
                "annotations",
                "The folder of the split or list files, where they are not beside the videos.",
                lambda draft: bool(
                    draft.given.get("annotations")
                    or (draft.trouble and draft.data_path and _is_folder(draft.data_path))
                    or draft.value("dataset.format") != "folders"
                ),
            ),
            Question(
                "dataset.split",
                "split",
                applies=_in_format("ucf101"),
                choices=lambda draft: {"1": "split 1", "2": "split 2", "3": "split 3"},
            ),
            Question(
                "dataset.with_offset",
                "columns",
                "What the numbers behind the folders mean, where the folders themselves do not tell.",
                lambda draft: "dataset.with_offset" in (draft.undecided, *draft.given),
                lambda draft: {
                    "auto": "not said yet",
                    "false": "frames, labels",
                    "true": "first frame, frames, label",
                },
            ),
            Question(
                "dataset.filename_template",
                "images",
                "What the images are called, where the folders hold several kinds.",
                lambda draft: "dataset.filename_template" in (draft.undecided, *draft.given),
            ),
            Question(
                "dataset.val_fraction",
                "held out",
                "The share of clips kept aside for validation, since there is no val folder.",
                lambda draft: draft.makes_split and (draft.found is not None or "dataset.val_fraction" in draft.given),
            ),
            Question("dataset.flip", "mirror", applies=lambda draft: draft.found is not None),
        ),
    ),
    Decision(
        "head",
        "Head",
        "What does it answer?",
        (
            Question("head.num_classes", "classes"),
            Question(
                "head.multi_label",
                "a clip has",
                applies=_is_asked_for_labels,
                choices=lambda draft: {"false": "one class", "true": "several classes"},
            ),
            Question(
                "head.reuse",
                "last layer",
                applies=lambda draft: bool(head_choices(draft)) or draft.answer("head.reuse").given,
                choices=lambda draft: head_choices(draft) or HEAD_CHOICES,
            ),
            Question("head.dropout", "dropout"),
        ),
    ),
    Decision(
        "weights",
        "Weights",
        "What does it start from?",
        (
            Question(
                "start",
                "start from",
                "The trained parameters to begin with, and with them the model.",
                choices=lambda draft: {key: start_title(key) for key in start_keys(draft.modality)},
            ),
            Question(
                "source",
                "source",
                "A checkpoint file, a run, https://…, hf://ORG/REPO, or torchvision://NAME for a backbone.",
                lambda draft: draft.value("start") == OWN,
            ),
            Question(
                "preset",
                "model",
                "The model that the parameters belong to.",
                lambda draft: draft.value("start") in (OWN, SCRATCH),
                lambda draft: {name: preset_title(name) for name in presets_for(draft.modality)},
            ),
        ),
    ),
    Decision(
        "schedule",
        "Schedule",
        "How does it learn?",
        (
            Question(
                "pace",
                "pace",
                "A quick look tells whether it learns; thorough takes twice the time.",
                choices=lambda draft: {"quick": "quick look", "standard": "standard", "thorough": "thorough"},
            ),
            Question("schedule.epochs", "epochs"),
            Question("schedule.batch_size", "batch size"),
            Question("schedule.lr", "learning rate"),
            Question(
                "schedule.lr_policy",
                "lr falls",
                choices=lambda draft: {"step": "in steps", "cosine": "as a cosine", "constant": "never"},
            ),
            Question(
                "schedule.milestones", "steps after", applies=lambda draft: draft.value("schedule.lr_policy") == "step"
            ),
            Question("schedule.freeze", "frozen", choices=lambda draft: _freezes(str(draft.value("schedule.freeze")))),
        ),
    ),
    Decision(
        "review",
        "Review",
        "The recipe about to be written",
        (
            Question("name", "name", "Names the run folder."),
            Question("out", "save as", "Where the recipe is written. A file that exists is never replaced."),
        ),
    ),
)
QUESTIONS: dict[str, Question] = {q.key: q for decision in DECISIONS for q in decision.questions}


def decision_of(key: str) -> str:
    """The name of the decision that a question or a recipe key belongs to; "review" for what has no step."""
    table = key.partition(".")[0]
    for decision in DECISIONS:
        if decision.name == table or any(question.key == key for question in decision.questions):
            return decision.name
    return "review"


def start_keys(modality: str = "rgb") -> list[str]:
    """The rows of the weights table, in order: the published checkpoints by their preset, then one's own, then none."""
    return [*(published.preset for published in PUBLISHED if published.modality == modality), OWN, SCRATCH]


def start_title(key: str) -> str:
    """What to call a row of the weights table in one line."""
    if published := published_for(key):
        return f"{published.name}, {published.pretrained_on}"
    return {OWN: "a file or an address of yours", SCRATCH: "nothing: train from scratch"}[key]


def published_for(key: str) -> Published | None:
    """The published checkpoint of a row; None for the rows that have none."""
    return next((published for published in PUBLISHED if published.preset == key), None)


def presets_for(modality: str) -> list[str]:
    """The models that weights of one's own, or none, may belong to."""
    return [name for name in preset_names() if _preset(name).model.modality == modality]


def preset_title(name: str) -> str:
    """What to call a preset's model in one line; several presets may share a network."""
    model = _preset(name).model
    published = published_for(name)
    return f"{published.name if published else model_title(model)}, {frames_of(model)} ({name})"


def model_title(model: Model) -> str:
    """TSN ResNet-50, CSN ir-ResNet-152."""
    backbone = re.sub(r"resnet([0-9]+)", r"ResNet-\1", model.backbone)
    return f"{family_of(model)} {backbone.rpartition('/')[2]}"


def checkpoints_folder() -> Path:
    """Where downloads are kept."""
    from engine.weights.fetch import checkpoints_folder  # the first screen does not wait for it

    return checkpoints_folder()


def is_cached(published: Published) -> bool:
    """Whether a published checkpoint is on this disk already, or will have to be downloaded."""
    from engine.weights.hub import cached_weights, hub_source

    if hub := hub_source(published.load_from):
        return cached_weights(hub) is not None
    return (checkpoints_folder() / file_of(published)).is_file()


def file_of(published: Published) -> str:
    """The file name that its download is kept under; of the Hub, the repository's."""
    return TORCHVISION_FILES.get(published.backbone) or published.load_from.rpartition("/")[2]


# --- the draft --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A value and the sentence that says where it comes from. `given`: by the user, not inferred."""

    value: Any
    why: str
    given: bool = False


@dataclass(frozen=True)
class Reuse:
    """How much is known. nothing: there is nothing to compare. away: the source has to be downloaded first. sentence:
    the engine's own, where it refuses the source, or why it could not be asked (failed)."""

    state: Literal["nothing", "away", "asking", "fetching", "known", "refused", "failed"] = "nothing"
    report: LoadReport | None = None
    sentence: str = ""
    received: int = 0  # bytes of the download
    total: int | None = None


@dataclass(frozen=True)
class Difference:
    """A key that the recipe says otherwise than the preset it extends. origin: "you", "--set", "your data",
    "inferred"; why: the sentence that goes with an inferred value, "" where there is none."""

    key: str
    before: Any
    after: Any
    origin: str
    why: str


@dataclass
class Draft:
    """What is answered so far. Everything else follows from it, so an earlier answer may change at any time.

    given: answers by key, from the user. overrides: answers by recipe key, from `--set`. found, trouble: what looking
    at the data came to; one of them is set once they were looked at.
    """

    given: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    found: Inspection | None = None
    trouble: str = ""
    undecided: str = ""  # the key that has to be answered before the data can be read
    makes_split: bool = False  # validation clips are held out of the training ones, for lack of a split on disk
    written: tuple[Path, str] | None = None  # what `save` wrote: ours to replace
    reuse: Reuse = field(default_factory=Reuse)  # what is known of the chosen weights
    remark: str = ""  # what was measured with these answers, for the head of the recipe file

    # --- answers ------------------------------------------------------------------------------------------------------

    def answer(self, key: str) -> Answer:
        """The answer that holds now, and why."""
        if key in self.given:
            return Answer(
                self.given[key], "" if key in ("data", "source") else "yours; empty it for the suggestion", given=True
            )
        # A row or a source chosen in the wizard outranks the weights that --set named.
        chosen = key in WEIGHTS and ("start" in self.given or "source" in self.given)
        if key in self.overrides and not chosen:
            return Answer(self.overrides[key], "given with --set", given=True)
        if infer := _INFERENCES.get(key):
            return infer(self)
        return Answer(self._preset_value(key), "as in the preset")

    def value(self, key: str) -> Any:
        """The answer's value alone."""
        return self.answer(key).value

    def give(self, key: str, text: str) -> None:
        """Answer in the words of an input field; an empty text goes back to the inferred answer."""
        text = text.strip()
        if key == "data" and text != self.given.get("data"):
            for of_other_data in FRAMES:
                self.given.pop(of_other_data, None)
        if text == "":
            self.given.pop(key, None)
        else:
            self.given[key] = parse_answer(key, text)

    def look(self) -> None:
        """Look at the data, which takes a while on a large dataset. Raises DataError when they are not understood."""
        seen = self.looked_at()
        self.take_over(seen)
        if self.trouble:
            raise DataError(self.trouble)

    def take_over(self, seen: Draft) -> None:
        """What a copy has seen."""
        self.found, self.trouble, self.undecided = seen.found, seen.trouble, seen.undecided
        self.makes_split = seen.makes_split

    def looked_at(self) -> Draft:
        """A copy that has looked at the data: safe to call in a thread, since nothing of this draft changes."""
        from engine.dataset.formats.classes import require_two_classes
        from engine.dataset.formats.folders import split_folders
        from engine.dataset.inspect import inspect_folder

        copy = Draft(dict(self.given), dict(self.overrides))
        if copy.data_path is None:
            return copy
        annotations = str(copy.given.get("annotations") or copy.overrides.get("dataset.annotations", ""))
        try:
            _require_text(copy.data_path)
            found = inspect_folder(
                copy.data_path,
                Path(annotations).expanduser() if annotations else None,
                {key.partition(".")[2]: copy.value(key) for key in FRAMES if copy.answer(key).given},
                copy.overrides.get("model.modality", ""),
            )
            copy.makes_split = found.format == "folders" and "val" not in split_folders(Path(found.table["root"]))
            copy.found = found
            copy._read_as_answered(found)
            require_two_classes(copy.found.classes, str(copy.data_path))
        except DataError as error:
            copy.found, copy.trouble = None, str(error)
            copy.undecided = error.key if isinstance(error, UndecidedError) else ""
        return copy

    def _read_as_answered(self, found: Inspection) -> None:
        """Count again where answers change what is read (another split, another share held out)."""
        from engine.dataset.formats import read_clips

        if not any(key in self.given or key in self.overrides for key in READ_DIFFERENTLY):
            return
        try:
            dataset = self.recipe_as_far_as_it_goes().dataset
        except RecipeError:
            return  # the answer is wrong, which its own field says
        lists = read_clips(dataset, modality=found.modality)
        self.found = replace(
            found,
            classes=lists.classes,
            train_counts=lists.counts(lists.train),
            val_counts=lists.counts(lists.val),
            notes=lists.notes,
            multi_label=lists.multi_label,
            train_clips=len(lists.train),
            val_clips=len(lists.val),
        )

    @property
    def data_path(self) -> Path | None:
        text = str(self.value("data"))
        return Path(text).expanduser() if text else None

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def preset(self) -> str:
        """The preset that the recipe extends: the weights decide it, since the model must match them."""
        start = self.value("start")
        return self.value("preset") if start in (OWN, SCRATCH) else str(start)

    def suggested(self, key: str) -> Answer:
        """The answer that would be inferred, whatever was given."""
        return _INFERENCES[key](self)

    @property
    def run_of_source(self) -> Recipe | None:
        """The recipe of the run whose weights are to be started from; None for all other sources."""
        folder = _run_folder_of(str(self.value("source"))) if self.value("start") == OWN else None
        return _recipe_of_run(folder) if folder else None

    @property
    def fitting_preset(self) -> Answer:
        """The published start that suits the data best, whatever was chosen."""
        return _fitting_preset(self)

    @property
    def base(self) -> Recipe:
        return _preset(self.preset)

    @property
    def modality(self) -> str:
        """[model] modality, by what the data are."""
        return self.found.modality if self.found else str(self.overrides.get("model.modality", "rgb"))

    @property
    def mirror(self) -> Mirror:
        """What becomes of the classes when a clip is mirrored."""
        return mirror_of(self.found.classes if self.found else ())

    @property
    def train_clips(self) -> int:
        return self.found.train_clips if self.found else 0

    @property
    def val_clips(self) -> int:
        return self.found.val_clips if self.found else 0

    @property
    def clips_a_class(self) -> float:
        """Training clips of a class, in the mean."""
        return self.train_clips / max(1, len(self.found.classes)) if self.found else 0.0

    @property
    def steps_per_epoch(self) -> int:
        """At least so many, where the batch is still to be found by trying."""
        batch = self.value("schedule.batch_size")
        size = self.train_clips // MIN_STEPS_PER_EPOCH if batch == "auto" else _number(batch, 1)
        return math.ceil(self.train_clips / max(1, size))

    def _preset_value(self, key: str) -> Any:
        table, dot, name = key.partition(".")
        return getattr(getattr(self.base, table), name) if dot else ""

    # --- the recipe ---------------------------------------------------------------------------------------------------

    def recipe(self) -> Recipe:
        """The recipe that these answers make. Raises RecipeError with all that is wrong, one a line."""
        recipe = self.recipe_as_far_as_it_goes()
        if wrong := self._own_findings():
            raise RecipeError("\n".join(sentence for _key, sentence in wrong))
        return recipe

    def recipe_as_far_as_it_goes(self) -> Recipe:
        """The recipe even where data or weights are still missing. Raises RecipeError for impossible answers."""
        return recipe_from(self._document(), extends=self.preset)

    def problems(self) -> dict[str, str]:
        """What is wrong with the answers, by key, in the validator's own sentences. Empty: the recipe is good."""
        found = dict(self._own_findings())
        try:
            self.recipe_as_far_as_it_goes()
        except RecipeError as error:
            for line in str(error).splitlines():
                sentence = line.removeprefix("the recipe: ")
                key = re.match(r"\[(\w+)\] (\w+)", sentence)
                found[f"{key.group(1)}.{key.group(2)}" if key else "name"] = sentence
        return found

    def _document(self) -> dict[str, Any]:
        """The recipe's tables on top of the preset, before validation."""
        document: dict[str, Any] = {"name": str(self.value("name"))}
        if self.found:
            document["dataset"] = {key: Dataset.model_fields[key].default for key in LOCATION} | self.found.table
        for key in (*_INFERENCES, *self.overrides, *self.given):
            table, dot, name = key.partition(".")
            # Where the data lie is told by looking at them: they may have been changed after --set named others.
            if dot and not (self.found and key in ("dataset.root", "dataset.annotations")):
                document.setdefault(table, {})[name] = self.value(key)
        if (run := self.run_of_source) and self.preset == nearest_preset(run.model):
            changes = changes_from(self.base, run)
            document["model"] = changes.get("model", {}) | document.get("model", {})
            sizes = {key: value for key, value in changes.get("dataset", {}).items() if key in SIZES}
            document["dataset"] = sizes | document.get("dataset", {})
        for key in PATH_KEYS:
            table, _, name = key.partition(".")
            if name in document.get(table, {}):
                document[table][name] = self._for_the_file(document[table][name])
        return document

    def _for_the_file(self, path: Any) -> Any:
        """A path as the recipe file must say it: as typed, but absolute when the file lies in another folder."""
        if not isinstance(path, str | os.PathLike) or not str(path) or "://" in str(path):
            return path
        here = self.out.parent.resolve() == Path.cwd()
        plain = Path(path).expanduser()
        return str(plain if here else plain.absolute())

    def _own_findings(self) -> list[tuple[str, str]]:
        """What only the wizard can know to be wrong: the engine sees the recipe alone."""
        found = []
        if self.trouble:
            found.append((self.undecided or "data", self.trouble))
        elif self.found is None:
            found.append(("data", "Name the folder of the videos."))
        classes = self.value("head.num_classes")
        if self.found and isinstance(classes, int) and not isinstance(classes, bool) and classes > 0:
            from engine.dataset.formats.classes import require_class_count

            try:
                require_class_count(self.found.classes, classes, "The dataset")
            except DataError as error:
                found.append(("head.num_classes", str(error)))
        if self.found and (wrong := self._labels_finding(self.found)):
            found.append(("head.multi_label", wrong))
        if self.value("start") == OWN and (sentence := self._source_finding()):
            found.append(("source", sentence))
        if self.reuse.state == "refused" and not any(key == "source" for key, _sentence in found):
            about_head = self.reuse.sentence.startswith("[head] reuse")
            found.append(("head.reuse" if about_head else "start", self.reuse.sentence))
        if self._would_replace(self.out):
            found.append(("out", f"{self.out} is there already; {free_path(self.out)} is free."))
        return found

    def _labels_finding(self, found: Inspection) -> str:
        asked = self.value("head.multi_label")
        if asked is found.multi_label or not isinstance(asked, bool):
            return ""
        return "Clips of this dataset may have several classes." if found.multi_label else "Every clip has one class."

    def _source_finding(self) -> str:
        source = spelt_out(str(self.value("source")))
        if not source:
            return "Name a checkpoint file or an address, or choose another row."
        if "://" not in source:
            from engine.weights.sources import locate

            try:
                locate(source)
            except WeightsError as error:
                return str(error)
        return ""

    @property
    def out(self) -> Path:
        """Where the recipe goes."""
        return Path(str(self.value("out"))).expanduser()

    def toml(self) -> str:
        """The recipe file's text: the preset it extends and the keys that differ, with comments. Raises RecipeError."""
        recipe = self.recipe()
        header = (*HEADER, f"# {self.remark}") if self.remark else HEADER
        return recipe_text(self.preset, self.base, changes_from(self.base, recipe), self._comments(recipe), header)

    def differences(self) -> list[Difference]:
        """What the recipe says otherwise than the preset, in the order of the file. Raises RecipeError."""
        found = []
        for table, values in changes_from(self.base, self.recipe()).items():
            if table == "name":
                continue  # no preset has that of somebody's recipe
            before = getattr(self.base, table)
            found += [self._difference(f"{table}.{key}", getattr(before, key), values[key]) for key in values]
        return found

    def _difference(self, key: str, before: Any, after: Any) -> Difference:
        answer = self.answer(key)
        if key in self.given:
            return Difference(key, before, after, "you", "")
        if answer.given:
            return Difference(key, before, after, "--set", "")
        is_where = key.startswith("dataset.") and key.partition(".")[2] in LOCATION
        if is_where or key in ("head.num_classes", "head.multi_label"):
            return Difference(key, before, after, "your data", "" if is_where else answer.why)
        if key in WEIGHTS:
            return Difference(key, before, after, "you" if self._chose_the_start else "inferred", "")
        return Difference(key, before, after, "inferred", answer.why)

    @property
    def _chose_the_start(self) -> bool:
        return "start" in self.given or "source" in self.given

    def _comments(self, recipe: Recipe) -> dict[str, str]:
        before = f"{self.base.schedule.lr:g} in the preset; " if recipe.schedule.lr != self.base.schedule.lr else ""
        comments = {"schedule.lr": before + lr_arithmetic(recipe.schedule).removeprefix("lr ")}
        if recipe.head.multi_label:
            comments["head.multi_label"] = "sigmoids and binary cross entropy; mAP decides which epoch is the best"
        if self.found and recipe.dataset.flip != self.base.dataset.flip and not self.answer("dataset.flip").given:
            comments["dataset.flip"] = "a class is one-sided: mirrored, it would be no class of these"
        return comments

    def save(self, path: Path | None = None) -> Path:
        """Write the recipe to `path` (default: `out`), which must not exist yet. Raises RecipeError."""
        if path is not None:
            self.given["out"] = str(path)
        path, text = self.out, self.toml()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        except OSError as error:
            raise RecipeError(f"{path}: cannot be written: {error.strerror}.") from None
        self.given["out"], self.written = str(path), (path, text)
        return path

    def _would_replace(self, path: Path) -> bool:
        """A file of somebody's is in the way; what this draft wrote itself is not, unless it was edited since."""
        if not _exists(path):
            return False
        return self.written is None or self.written[0] != path or self.written[1] != _text_of(path)

    # --- for people ---------------------------------------------------------------------------------------------------

    def summary(self, decision: str) -> str:
        """A decision's answers in a few words."""
        match decision:
            case "dataset":
                if not self.found:
                    return "not understood" if self.trouble else "no videos yet"
                return f"{self.train_clips + self.val_clips:,} clips, {len(self.found.classes)} classes"
            case "head":
                return f"{shown(self.value('head.num_classes'))} classes, dropout {shown(self.value('head.dropout'))}"
            case "weights":
                return {OWN: Path(str(self.value("source"))).name or "a file", SCRATCH: "from scratch"}.get(
                    self.value("start"), start_title(self.value("start"))
                )
            case "schedule":
                return f"{shown(self.value('schedule.epochs'))} epochs, lr {shown(self.value('schedule.lr'))}"
        return str(self.out)

    def warnings(self, decision: str) -> list[str]:
        """What may turn out badly about a decision; none of it stops anyone."""
        found = self.found
        warnings: list[str] = []
        few = sum(clips < FEW_CLIPS for clips in found.train_counts.values()) if found else 0
        if decision == "dataset" and found and few:
            which = "Every class has" if few == len(found.classes) else f"{few} of {len(found.classes)} classes have"
            warnings.append(
                f"{which} fewer than {FEW_CLIPS} training clips: lean on pretrained weights, trust no decimals."
            )
        if decision == "schedule":
            batch, epochs = self.value("schedule.batch_size"), self.value("schedule.epochs")
            if found and isinstance(batch, int) and batch > self.train_clips:
                warnings.append(f"A batch of {batch} is more than the {self.train_clips} training clips there are.")
            if self.value("start") == SCRATCH and self.value("schedule.freeze") != "none":
                warnings.append("What is frozen stays as it starts, and without trained weights it starts at random.")
            milestones = self.value("schedule.milestones")
            steps = self.value("schedule.lr_policy") == "step" and isinstance(epochs, int) and _are_numbers(milestones)
            if steps and (late := [milestone for milestone in milestones if milestone >= epochs]):
                warnings.append(f"After epoch {shown(late)} there is nothing left to train.")
        return warnings

    def steps_sentence(self) -> str:
        """The length of the training in optimiser steps, worked out."""
        epochs = _number(self.value("schedule.epochs"), 0)
        if not self.found:
            return ""
        per_epoch = self.steps_per_epoch
        if self.value("schedule.batch_size") == "auto":
            return f"at least {per_epoch:,} steps an epoch × {epochs:,} epochs, by the batch that fits"
        return f"{per_epoch:,} steps an epoch × {epochs:,} epochs = {per_epoch * epochs:,} steps"


def inferred(data: Path, overrides: Mapping[str, Any] | None = None, given: Mapping[str, str] | None = None) -> Draft:
    """The draft of `--yes`: every answer inferred but those given, nothing asked. Raises DataError, RecipeError."""
    draft = Draft(given={"data": str(data), **(given or {})}, overrides=checked_overrides(overrides or {}))
    draft.look()
    draft.recipe()
    return draft


def answers_of(start: str = "", model: str = "", pace: str = "") -> dict[str, str]:
    """Answers by key, from the options of `ftwiz new`. start: a preset's name, "scratch", a file or an address.

    Raises RecipeError for what is no answer.
    """
    answers: dict[str, str] = {}
    rows = [row for row in dict.fromkeys([*start_keys("rgb"), *start_keys("flow")]) if row != OWN]
    if start in rows:
        answers["start"] = start
    elif start:
        answers |= {"start": OWN, "source": start}
        if "://" not in start and not Path(start).expanduser().exists():
            raise RecipeError(f"--start {start}: neither a file nor an address, nor one of {', '.join(rows)}.")
    if model and model not in preset_names():
        raise RecipeError(f"--model {model}: choose one of {', '.join(preset_names())}.")
    if pace and pace not in PACES:
        raise RecipeError(f"--pace {pace}: choose one of {', '.join(PACES)}.")
    answers |= {key: answer for key, answer in (("preset", model), ("pace", pace)) if answer}
    return answers


def checked_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The same overrides, if the engine accepts them. Raises RecipeError."""
    modality = "flow" if overrides.get("model.modality") == "flow" else "rgb"
    load_recipe(start_keys(modality)[0], overrides)
    return dict(overrides)


# --- what follows from what -------------------------------------------------------------------------------------------


def _infer_data(draft: Draft) -> Answer:
    return Answer(draft.overrides.get("dataset.root", ""), "")


def _infer_annotations(draft: Draft) -> Answer:
    if "dataset.annotations" in draft.overrides:
        return Answer(draft.overrides["dataset.annotations"], "given with --set", given=True)
    if draft.found and (folder := draft.found.table.get("annotations")):
        return Answer(folder, "found beside the videos")
    return Answer("", "where the split or list files are")


def _infer_format(draft: Draft) -> Answer:
    if draft.found:
        return Answer(draft.found.table.get("format", draft.found.format), " ".join(draft.found.why))
    return Answer("folders", "")


def _infer_val_fraction(draft: Draft) -> Answer:
    value = draft.found.table.get("val_fraction") if draft.found else None
    fraction = draft._preset_value("dataset.val_fraction") if value is None else value
    return Answer(fraction, "for validation: there is no val folder")


def _infer_flip(draft: Draft) -> Answer:
    usual, mirror = draft._preset_value("dataset.flip"), draft.mirror
    if mirror.one_sided:
        return Answer(0.0, f"off: there is no other side to “{mirror.one_sided[0]}”")
    if usual and mirror.pairs:
        one, other = mirror.pairs[0]
        return Answer(usual, f"the chance of it; a mirrored “{one}” counts as “{other}”")
    return Answer(usual, "the chance of it, as in the preset")


def _infer_num_classes(draft: Draft) -> Answer:
    if not draft.found:
        return Answer("auto", "counted when the data are read")
    return Answer(len(draft.found.classes), "as many as the dataset has")


def _infer_multi_label(draft: Draft) -> Answer:
    if not draft.found:
        return Answer(False, "told by the data when they are read")
    if not draft.found.multi_label:
        return Answer(False, "every clip of these: softmax, cross entropy, judged by top-1")
    several = several_classes(draft.found.notes)
    return Answer(True, f"{several}: sigmoids, judged by mAP" if several else "so is the format; judged by mAP")


def several_classes(notes: Sequence[str]) -> str:
    """How many clips have several classes, as the reader of the data said it; "" where none has."""
    said = next((note for note in notes if "several classes" in note), "")
    return "" if said.startswith("0 ") else said.rstrip(".")


def _infer_reuse(draft: Draft) -> Answer:
    return Answer(draft._preset_value("head.reuse"), "")


def _infer_dropout(draft: Draft) -> Answer:
    return Answer(draft._preset_value("head.dropout"), "as in the preset; more against overfitting")


def _infer_start(draft: Draft) -> Answer:
    set_weights = [draft.overrides[key] for key in WEIGHTS if key in draft.overrides]
    if any(set_weights):
        return Answer(OWN, "given with --set", given=True)
    if len(set_weights) == len(WEIGHTS):
        return Answer(SCRATCH, "--set leaves no weights to start from")
    backbone = draft.overrides.get("model.backbone", "resnet50")
    if of_hugging_face(draft):
        return Answer(OWN, "The folder or repository that --set names has its own weights.")
    if backbone != "resnet50":
        return Answer(OWN, f"The published video checkpoints are of ResNet-50; for {backbone} there are ImageNet's.")
    return _fitting_preset(draft)


def _infer_source(draft: Draft) -> Answer:
    for key in WEIGHTS:
        if source := draft.overrides.get(key):
            return Answer(source, "given with --set", given=True)
    if backbone := draft.overrides.get("model.backbone", ""):
        if of_hugging_face(draft):
            return Answer(backbone, "where the network comes from")
        return Answer(f"torchvision://{backbone}", "ImageNet weights, by way of torchvision")
    return Answer("", "")


def _infer_preset(draft: Draft) -> Answer:
    """The model of weights of one's own is told by the run they are of, or by their name."""
    if draft.value("start") == OWN:
        if run := draft.run_of_source:
            return Answer(nearest_preset(run.model), "the recipe of that run says so")
        if named := preset_named_by(str(draft.value("source")), draft.modality):
            return named
    if of_hugging_face(draft):
        return Answer("videomae-b-kinetics400", "Its schedule suits a transformer; the network is the one of --set.")
    return _fitting_preset(draft)


def nearest_preset(model: Model) -> str:
    """The preset that agrees in most; what differs is then spelt out."""

    def likeness(preset: str) -> tuple[bool, bool, int]:
        other = _preset(preset).model
        agreeing = sum(getattr(model, key) == getattr(other, key) for key in Model.model_fields)
        return model.recognizer == other.recognizer, model.backbone == other.backbone, agreeing

    return max(presets_for(model.modality), key=likeness)


def _run_folder_of(source: str) -> Path | None:
    """The folder of the run that a source names or lies in; None where it is no run's."""
    path = Path(re.sub(r":(best|last|epoch-\d+)$", "", source)).expanduser()
    folder = path.parent.parent if path.parent.name == "checkpoints" else path
    return folder if source and "://" not in source and _exists(folder / "recipe.toml") else None


@cache
def _recipe_of_run(folder: Path) -> Recipe | None:
    try:
        return load_recipe(folder / "recipe.toml")
    except RecipeError:
        return None  # of another version of ftwiz; its model is then chosen like any other file's


def of_hugging_face(draft: Draft) -> bool:
    """Whether `--set` asks for a network of Hugging Face transformers."""
    return draft.overrides.get("model.recognizer") == "transformers"


def preset_named_by(source: str, modality: str = "rgb") -> Answer | None:
    """The preset whose published file it is, or whose network the file's name begins with or holds; None where the
    name says nothing."""
    name = source.rstrip("/").replace("\\", "/").rpartition("/")[2].casefold()
    for published in PUBLISHED:
        if name and published.modality == modality and name == file_of(published).casefold():
            return Answer(published.preset, f"the file is the published {published.name}")
    words = re.split(r"[^a-z0-9]+", name)
    rows = [published.preset for published in PUBLISHED]

    def likeness(preset: str) -> tuple[int, bool, int, int]:
        """How many words agree; of equals the plainest, and the first of the published ones."""
        own = preset.split("-")
        row = rows.index(preset) if preset in rows else len(rows)
        return sum(word in words for word in own), "kinetics400" in own, -len(own), -row

    alike = [preset for preset in presets_for(modality) if preset.partition("-")[0] in words]
    if not alike:
        return None
    best = max(alike, key=likeness)
    return Answer(best, f"by its name, which says {best.partition('-')[0]}")


def _fitting_preset(draft: Draft) -> Answer:
    if draft.modality == "flow":
        return Answer("tsn-r50-kinetics400-flow", "The frames are optical flow, which this one has learned from.")
    tsn, tsm = "tsn-r50-kinetics400", "tsm-r50-kinetics400"
    if "model.recognizer" in draft.overrides:
        return Answer(tsm if draft.overrides["model.recognizer"] == "tsm" else tsn, "given with --set", given=True)
    if pair := opposites(draft.found.classes, BACKWARDS) if draft.found else None:
        return Answer(
            tsm,
            f"“{pair[0]}” and “{pair[1]}” differ in direction only: TSM sees the order of frames, TSN does not.",
        )
    return Answer(tsn, "The tutorial's own start; three frames a clip make it the quickest to train.")


def _infer_load_from(draft: Draft) -> Answer:
    return Answer(_sources(draft)[0], "")


def _infer_backbone(draft: Draft) -> Answer:
    return Answer(_sources(draft)[1], "")


def _sources(draft: Draft) -> tuple[str, str]:
    """weights.load_from and weights.backbone for the chosen row."""
    start, presets_own = draft.value("start"), draft.base.weights.backbone
    if start == OWN:
        source = spelt_out(str(draft.value("source")))
        return ("", source) if source.startswith(("torchvision://", "timm://")) else (source, presets_own)
    if published := published_for(start):
        return published.load_from, presets_own if published.load_from else published.backbone
    return "", ""


def _infer_pace(draft: Draft) -> Answer:
    return Answer("standard", "as the tutorial")


def _infer_batch_size(draft: Draft) -> Answer:
    usual = batch = _number(draft.base.schedule.batch_size, 32)
    if not draft.found:
        return Answer(usual, "as in the preset")
    while batch > MIN_BATCH and math.ceil(draft.train_clips / batch) < MIN_STEPS_PER_EPOCH:
        batch //= 2
    batch = max(1, min(batch, draft.train_clips))
    if batch == usual:
        return Answer(batch, "as in the preset")
    return Answer(batch, f"{usual} in the preset: few steps for {count(draft.train_clips, 'clip')}")


def _infer_epochs(draft: Draft) -> Answer:
    usual, pace = draft.base.schedule.epochs, draft.value("pace")
    share, reason = _of_the_preset(draft, usual)
    epochs = round(usual * share)
    if draft.found and (enough := math.ceil(MIN_STEPS / max(1, draft.steps_per_epoch))) > epochs:
        epochs = max(epochs, min(enough, MAX_EPOCHS))
        reason = f"more than usual, for about {MIN_STEPS} steps"
    factor = PACES.get(pace, 1.0)
    if factor != 1:
        reason = f"{factor:g} × the standard {epochs}"
    return Answer(max(1, round(epochs * factor)), reason)


def _infer_lr(draft: Draft) -> Answer:
    share, reason = _of_the_preset(draft, draft.base.schedule.lr)
    return Answer(_tidy(draft.base.schedule.lr * share), reason)


def _of_the_preset(draft: Draft, usual: float) -> tuple[float, str]:
    """The share of the preset's lr and epochs that suits the start, and why."""
    if draft.value("start") == SCRATCH:
        return 1.0, "the preset's: there is all to learn"
    if _preset_fine_tunes(draft.base):
        return 1.0, "the preset's, made for fine-tuning"
    return FINE_TUNING, f"half the preset's {usual:g}, for fine-tuning"


def _preset_fine_tunes(base: Recipe) -> bool:
    """A preset with a head of its own size was trained there; "auto" is one that waits for the user's data."""
    return base.head.num_classes == "auto"


def _infer_policy(draft: Draft) -> Answer:
    return Answer(draft._preset_value("schedule.lr_policy"), "as in the preset")


def _infer_milestones(draft: Draft) -> Answer:
    epochs = _number(draft.value("schedule.epochs"), 1)
    places = sorted({round(epochs * share) for share in MILESTONES} & set(range(1, epochs)))
    return Answer(places, f"at 40 % and 80 %; lr × {shown(draft.value('schedule.gamma'))} after each")


def _infer_freeze(draft: Draft) -> Answer:
    usual = draft._preset_value("schedule.freeze")
    if draft.value("start") == SCRATCH:
        return Answer(usual, "all of it has to learn" if usual == "none" else "as in the preset")
    if draft.found and not draft.overrides.get("schedule.lora"):
        from wizard.hints import order_matters

        clips = f"{draft.clips_a_class:.0f} clips a class"
        if draft.clips_a_class < FROZEN_BELOW and order_matters(draft):
            return Answer("stages:2", f"{clips}: only the later stages learn")
        if draft.clips_a_class < FROZEN_BELOW:
            return Answer("backbone", f"only {clips}")
        if draft.clips_a_class < FEW_CLIPS:
            return Answer(usual, f"{clips} are few")
    return Answer(usual, "all of it adapts" if usual == "none" else "as in the preset")


def _infer_warmup(draft: Draft) -> Answer:
    schedule = draft.base.schedule
    epochs = _number(draft.value("schedule.epochs"), 1)
    return Answer(round(schedule.warmup_epochs * epochs / schedule.epochs, 1), "the preset's share of the epochs")


def _infer_checkpoint_interval(draft: Draft) -> Answer:
    epochs = _number(draft.value("schedule.epochs"), 1)
    return Answer(max(1, epochs // KEPT_CHECKPOINTS), f"so that {KEPT_CHECKPOINTS} are kept on the way")


def _infer_name(draft: Draft) -> Answer:
    network = draft.overrides.get("model.recognizer", draft.base.model.recognizer)
    if of_hugging_face(draft) and (backbone := draft.overrides.get("model.backbone")):
        network = str(backbone).rstrip("/").rpartition("/")[2]
    return Answer(f"{network}-{_data_name(draft)}", "from the model and the data")


def _infer_out(draft: Draft) -> Answer:
    slug = re.sub(r"[^\w.-]+", "-", str(draft.value("name"))).strip("-.") or "recipe"
    wanted = Path(f"{slug}.toml")
    free = free_path(wanted)
    return Answer(str(free), "in this folder" if free == wanted else f"{wanted} is there already, and stays as it is")


_INFERENCES: dict[str, Callable[[Draft], Answer]] = {
    "data": _infer_data,
    "annotations": _infer_annotations,
    "dataset.format": _infer_format,
    "dataset.val_fraction": _infer_val_fraction,
    "dataset.flip": _infer_flip,
    "head.num_classes": _infer_num_classes,
    "head.multi_label": _infer_multi_label,
    "head.reuse": _infer_reuse,
    "head.dropout": _infer_dropout,
    "start": _infer_start,
    "source": _infer_source,
    "preset": _infer_preset,
    "weights.load_from": _infer_load_from,
    "weights.backbone": _infer_backbone,
    "pace": _infer_pace,
    "schedule.epochs": _infer_epochs,
    "schedule.batch_size": _infer_batch_size,
    "schedule.lr": _infer_lr,
    "schedule.lr_policy": _infer_policy,
    "schedule.milestones": _infer_milestones,
    "schedule.freeze": _infer_freeze,
    "schedule.warmup_epochs": _infer_warmup,
    "schedule.checkpoint_interval": _infer_checkpoint_interval,
    "name": _infer_name,
    "out": _infer_out,
}


# --- small things -----------------------------------------------------------------------------------------------------


def parse_answer(key: str, text: str) -> Any:
    """The text of an input field as a value. What is not understood stays text, for the validator to judge."""
    table, dot, name = key.partition(".")
    if not dot or (name in TABLES[table].model_fields and TABLES[table].model_fields[name].annotation is str):
        return text
    if name == "milestones" and not text.startswith("["):
        text = f"[{text}]"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def shown(value: Any) -> str:
    """A value as an input field shows it."""
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def free_path(path: Path) -> Path:
    """`path`, or the first of path-2, path-3 … that does not exist."""
    candidate, number = path, 2
    while _exists(candidate):
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate


@cache
def opposites(classes: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """Two classes whose names differ in one opposite pair of words only, such as “push left” and “push right”."""
    names = {_words(name): name for name in classes}
    for word, opposite in pairs:
        pattern = re.compile(rf"\b{word}\b")
        for words, name in names.items():
            if pattern.search(words):
                other = names.get(pattern.sub(opposite, words))
                if other is not None and other != name:
                    return name, other
    return None


def _words(name: str) -> str:
    """SwipeLeft, swipe_left and "Swipe left" are the same words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_-]+", spaced.strip())).lower()


def _data_name(draft: Draft) -> str:
    if draft.found and draft.found.format not in ("folders", "csv", "mmaction_rawframes", "mmaction_video"):
        return draft.found.format
    path = draft.data_path
    if path is None:
        return "recipe"
    parts = [
        part for part in path.absolute().parts if part.lower() not in ("videos", "video", "data", "train", "clips")
    ]
    return re.sub(r"[^\w.-]+", "-", parts[-1] if parts else "").strip("-._").lower() or "videos"


def _tidy(number: float) -> float:
    """Without the noise that a float's multiplication leaves in the last digits."""
    return float(f"{number:.6g}")


def _number(value: Any, otherwise: int) -> int:
    """A whole number to go on with, where the answer may be anything that was typed."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, int) for value in values)


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _require_text(path: Path) -> None:
    """A recipe holds text, and not every name on a disk is text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(path)!a}: this name is not valid UTF-8, so no recipe can hold it; rename it.") from None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


@cache
def _preset(name: str) -> Recipe:
    return load_recipe(name)
