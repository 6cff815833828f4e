"""The four decisions as pure data: one definition for the app, the line-by-line questions and `--yes`.

Each is a list of questions; a `Draft` (wizard/draft.py) holds the answers, and infers those that were not given
(wizard/inference.py). No Textual, no torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.recipe import TABLES
from wizard.starts import OWN, SCRATCH, preset_title, presets_for, start_keys, start_title

if TYPE_CHECKING:
    from wizard.draft import Draft

# Keys that say how folders of frames are to be read, where they do not say so themselves.
FRAMES = ("dataset.filename_template", "dataset.start_index", "dataset.with_offset", "dataset.frame_counts")
READ_DIFFERENTLY = (
    "dataset.format", "dataset.split", "dataset.val_fraction", "dataset.split_seed", "dataset.clips",
    "dataset.classes", "dataset.groups", "dataset.group_pattern", "dataset.first_label", *FRAMES,
)  # fmt: skip
WEIGHTS = ("weights.load_from", "weights.backbone")
LOOKS_AGAIN = ("data", "annotations", *READ_DIFFERENTLY)


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
                "Quick tells whether it learns; thorough takes twice the time.",
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


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
