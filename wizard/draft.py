"""What is answered so far, and the recipe that it makes.

The engine's own validator judges the answers: there is no second opinion here. No Textual, no torch.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.atomic import write_text
from engine.dataset.mirror import Mirror, mirror_of
from engine.errors import DataError, RecipeError, UndecidedError, WeightsError
from engine.learning_rate import lr_arithmetic
from engine.recipe import PATH_KEYS, Dataset, Recipe, changes_from, load_recipe, preset_names, recipe_from, spelt_out
from wizard.decisions import FRAMES, READ_DIFFERENTLY, WEIGHTS, parse_answer, shown
from wizard.inference import (
    FEW_CLIPS,
    INFERENCES,
    MIN_STEPS_PER_EPOCH,
    PACES,
    Answer,
    exists,
    fitting_preset,
    free_path,
    number_of,
    recipe_of_run,
    run_folder_of,
)
from wizard.pasted import as_path
from wizard.recipe_text import HEADER, recipe_text
from wizard.starts import OWN, SCRATCH, nearest_preset, preset_recipe, start_keys, start_title

if TYPE_CHECKING:
    from engine.dataset.inspect import Inspection
    from engine.weights.report import LoadReport

# Keys that say where the data lie. A preset's own must not show through when the data are the user's.
LOCATION = (
    "format", "root", "val_root", "annotations", "train_list", "val_list", "split", "clips", "classes", "groups",
    "group_pattern", "first_label", "quarantine",
    "filename_template", "start_index", "with_offset", "frame_counts",
)  # fmt: skip
PATHS = ("data", "annotations", "source")  # that are often dropped on the terminal
SIZES = ("short_side", "frame_size")  # of the frames that a network was trained on


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
        if infer := INFERENCES.get(key):
            return infer(self)
        return Answer(self._preset_value(key), "as in the preset")

    def value(self, key: str) -> Any:
        """The answer's value alone."""
        return self.answer(key).value

    def give(self, key: str, text: str) -> None:
        """Answer in the words of an input field; an empty text goes back to the inferred answer."""
        text = as_path(text) if key in PATHS else text.strip()
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
        return INFERENCES[key](self)

    @property
    def run_of_source(self) -> Recipe | None:
        """The recipe of the run whose weights are to be started from; None for all other sources."""
        folder = run_folder_of(str(self.value("source"))) if self.value("start") == OWN else None
        return recipe_of_run(folder) if folder else None

    @property
    def fitting_preset(self) -> Answer:
        """The published start that suits the data best, whatever was chosen."""
        return fitting_preset(self)

    @property
    def base(self) -> Recipe:
        return preset_recipe(self.preset)

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
        size = self.train_clips // MIN_STEPS_PER_EPOCH if batch == "auto" else number_of(batch, 1)
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
        for key in (*INFERENCES, *self.overrides, *self.given):
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
        return recipe_text(self.preset, self.base, self._said_by(recipe), self._comments(recipe), header)

    def _said_by(self, recipe: Recipe) -> dict[str, Any]:
        """What the recipe's file says on top of the preset."""
        said = changes_from(self.base, recipe)
        if recipe.model.recognizer == "transformers" and "backbone" in said.get("model", {}):
            said["model"].pop("backbone_config", None)  # the folder says it again
        return said

    def differences(self) -> list[Difference]:
        """What the recipe says otherwise than the preset, in the order of the file. Raises RecipeError."""
        found = []
        for table, values in self._said_by(self.recipe()).items():
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
        if not exists(path):
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
        epochs = number_of(self.value("schedule.epochs"), 0)
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


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, int) for value in values)


def _require_text(path: Path) -> None:
    """A recipe holds text, and not every name on a disk is text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(path)!a}: this name is not valid UTF-8, so no recipe can hold it; rename it.") from None


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
