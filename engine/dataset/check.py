"""Everything that can be known about a dataset before training: read its lists, decode a little of each file, report.

    report = check(recipe)
    report.ok, report.problems, report.splits["train"].missing

Torch-free; the decoding is done by processes of their own (`engine/dataset/probing.py`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.dataset import findings
from engine.dataset.clips import Clip, ClipLists, Note, packed
from engine.dataset.findings import Problem, both
from engine.dataset.formats import FRAME_READERS, read_clips
from engine.dataset.formats.classes import require_kind_of_labels, require_two_classes
from engine.dataset.mirror import mirror_note
from engine.dataset.probing import Facts, Memory, Question, Stamp, ask
from engine.errors import DataError, RecipeError, WeightsError
from engine.recipe import Recipe
from engine.weights.sources import locate

TIME_LIMIT = 30.0  # seconds a file; a healthy one takes a tenth of a second
_LABELS_DO_NOT_FIT = ("one_based_labels", "label_range", "num_classes")


@dataclass(frozen=True)
class Split:
    """Clips of one split: listed = found + missing; of the found some are unusable. classes: those with a clip."""

    listed: int
    found: int
    missing: int
    unusable: int
    classes: int
    clips_of_class: dict[str, int]


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of many numbers."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Videos:
    """What the files that can be decoded are like. sizes: "320x240" → files, the commonest first."""

    files: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    frames: Spread | None = None
    fps: Spread | None = None
    seconds: Spread | None = None


@dataclass(frozen=True)
class Report:
    """What a check found. unusable: name of a file or a clip → why. looked_at, remembered: files that were decoded now,
    and files that had not changed since an earlier check."""

    format: str
    root: str
    classes: tuple[str, ...] = ()
    splits: dict[str, Split] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    videos: Videos = Videos()
    unusable: dict[str, str] = field(default_factory=dict)
    looked_at: int = 0
    remembered: int = 0
    names: frozenset[str] = frozenset()  # of all files and clips, absolute

    @property
    def ok(self) -> bool:
        """Whether training would be right: there may be warnings, but no error."""
        return not any(problem.severity == "error" for problem in self.problems)

    def document(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        document = asdict(self)
        del document["names"]
        document["problems"] = [{**asdict(problem), "files": list(problem.files)} for problem in self.problems]
        return {"ok": self.ok, **document, "classes": list(self.classes), "notes": list(self.notes)}


def check(
    recipe: Recipe,
    memory: Path | None = None,
    workers: int = 1,
    time_limit: float = TIME_LIMIT,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    **how: Any,
) -> Report:
    """Look at a recipe's dataset. What its quarantine.txt leaves out is looked at again.

    memory: the file that answers are remembered in. time_limit: seconds to decode three frames of a file. how: for
    `ask`. on_progress: called with the number of files that are done, and of all, also now and then while nothing
    happens; what it raises ends the check.
    """
    lists, problems = _read(recipe)
    problems += _weights(recipe)
    if lists is None:
        return Report(recipe.dataset.format, recipe.dataset.root, problems=tuple(problems))
    remembering = Memory(memory)
    try:
        look = _Look(lists, recipe, remembering, time_limit)
        look.at_files(workers, on_progress, how)
        look.at_copies(workers)
    finally:
        remembering.save()
    problems += _found(lists, recipe, look)
    return Report(
        format=recipe.dataset.format,
        root=recipe.dataset.root,
        classes=lists.classes,
        splits={name: _split(clips, lists, look) for name, clips in both(lists)},
        problems=tuple(sorted(_once(problems), key=lambda problem: problem.severity)),
        notes=_notes(lists, recipe),
        videos=_videos(look.facts.values()),
        unusable=look.unusable,
        looked_at=look.looked_at,
        remembered=look.remembered,
        names=look.names,
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(recipe: Recipe) -> tuple[ClipLists | None, list[Problem]]:
    """The lists as they are, and what is wrong with them; None where nothing can be read.

    Labels that do not fit the recipe are read without it, so that one mistake does not hide the others.
    """
    problems: list[Problem] = []
    dataset = recipe.dataset.model_copy(update={"quarantine": ""})
    count = None if recipe.head.num_classes == "auto" else recipe.head.num_classes
    while True:
        try:
            lists = read_clips(dataset, count, recipe.model.modality)
            break
        except DataError as error:
            problems.append(Problem(error.code, "error", str(error)))
            if error.code not in _LABELS_DO_NOT_FIT or (count is None and not dataset.classes):
                return None, problems
            count, dataset = None, dataset.model_copy(update={"classes": ()} if count is None else {})
    try:
        require_two_classes(lists.classes, dataset.root)
        require_kind_of_labels(lists, recipe.head.multi_label, dataset.root)
    except (DataError, RecipeError) as error:
        code = "multi_label" if isinstance(error, RecipeError) else "one_class"
        problems.append(Problem(code, "error", str(error)))
    return lists, problems


def _weights(recipe: Recipe) -> list[Problem]:
    """Weights in a file that is not there; an address is the engine's to fetch."""
    source = recipe.weights.load_from or recipe.weights.backbone
    if source and "://" not in source:
        try:
            locate(source)
        except WeightsError as error:
            return [Problem("weights", "error", str(error))]
    return []


# --- looking ----------------------------------------------------------------------------------------------------------


class _Look:
    """Goes through the files of a dataset once, and knows what it saw."""

    def __init__(self, lists: ClipLists, recipe: Recipe, memory: Memory, time_limit: float):
        self.lists, self.recipe, self.memory, self.time_limit = lists, recipe, memory, time_limit
        self.facts: dict[Question, Facts] = {}
        self.stamps: dict[Question, Stamp] = {}
        self.digests: dict[str, str] = {}
        self.unusable: dict[str, str] = {}
        self.looked_at = self.remembered = 0
        self.names: frozenset[str] = frozenset()
        self._may_have_folders = recipe.dataset.format in FRAME_READERS
        self._folders: dict[str, bool] = {}
        self._template = str(lists.decided.get("filename_template", recipe.dataset.filename_template))

    def question(self, clip: Clip) -> Question:
        if not self._is_folder(clip.path):
            return Question(clip.path)
        is_flow = self.recipe.model.modality == "flow"
        return Question(clip.path, self._template, is_flow, clip.first_frame, clip.num_frames)

    def _is_folder(self, path: str) -> bool:
        """Of images; asked once a path."""
        if not self._may_have_folders:
            return False
        if path not in self._folders:
            self._folders[path] = os.path.isdir(path)
        return self._folders[path]

    def at_files(self, workers: int, on_progress: Callable[[int, int], None], how: Mapping[str, Any]) -> None:
        """Decode a little of every file that has changed."""
        clips = [clip for _, clips in both(self.lists) for clip in clips]
        questions = list(dict.fromkeys(map(self.question, clips)))
        open_questions = []
        for question in questions:
            stamp = Stamp.of(question.path)
            if stamp is None:
                self.facts[question] = Facts(kind="undecodable", reason="it was taken away just now")
                continue
            self.stamps[question] = stamp
            if facts := self.memory.facts(question, stamp, self.time_limit):
                self.facts[question] = facts
            else:
                open_questions.append(question)
        self.remembered, self.looked_at = len(questions) - len(open_questions), len(open_questions)
        on_progress(self.remembered, len(questions))
        with closing(ask(open_questions, workers, self.time_limit, **how)) as answers:
            done = self.remembered
            for answer in answers:
                if answer:
                    question, facts = answer
                    self.facts[question] = facts
                    self.memory.keep(question, self.stamps[question], facts, self.time_limit)
                    done += 1
                on_progress(done, len(questions))
        self._judge(clips)

    def _judge(self, clips: Sequence[Clip]) -> None:
        names = set()
        for clip in clips:
            names.add(os.path.abspath(clip.path))
            if clip.start or clip.end or clip.num_frames:
                names.add(os.path.abspath(clip.name))
            facts = self.facts[self.question(clip)]
            if facts.kind:
                whole = clip.name if self._is_folder(clip.path) else clip.path
                self.unusable[whole] = facts.reason
            elif clip.start and facts.seconds and clip.start >= facts.seconds:
                self.unusable[clip.name] = f"it begins after the end of the video, which is at {facts.seconds:.2f} s"
        self.names = frozenset(names)

    def at_copies(self, workers: int) -> None:
        """Digests of the files that have the size of another one. Empty files and folders are no copies."""
        of_size: dict[int, list[Question]] = {}
        for question, stamp in self.stamps.items():
            if stamp.size and not self._is_folder(question.path) and not self.facts[question].kind:
                of_size.setdefault(stamp.size, []).append(question)
        alike = [question for found in of_size.values() if len(found) > 1 for question in found]
        with ThreadPoolExecutor(max(1, workers)) as pool:
            digests = pool.map(lambda question: self.memory.digest(question, self.stamps[question]), alike)
            self.digests = {question.path: digest for question, digest in zip(alike, digests, strict=True)}

    def holds(self, clip: Clip) -> bool:
        """Whether a clip cannot be used."""
        return clip.path in self.unusable or clip.name in self.unusable

    def frames_of(self, clip: Clip) -> int:
        """0 where it is not known."""
        facts = self.facts[self.question(clip)]
        if facts.kind:
            return 0
        if not (clip.start or clip.end) or not facts.fps:
            return facts.frames
        end = min(clip.end or facts.seconds, facts.seconds)
        return max(1, round((end - clip.start) * facts.fps)) if clip.start < facts.seconds else 0


# --- the report -------------------------------------------------------------------------------------------------------


def _found(lists: ClipLists, recipe: Recipe, look: _Look) -> list[Problem]:
    """What hurts most comes first, among those of the same severity."""
    dataset = recipe.dataset
    files = {question.path: facts for question, facts in look.facts.items()}
    return [
        *findings.what_the_reader_told(lists),
        *findings.copies(lists, look.digests),
        *findings.shared_sources(lists, dataset, look.digests),
        *findings.unusable_clips(lists, dataset, look.unusable, look.holds),
        *findings.missing_files(lists, dataset),
        *findings.empty_classes(lists),
        *findings.imbalance(lists, recipe),
        *findings.short_clips(lists, recipe, look.frames_of),
        *findings.odd_pictures(files, recipe),
        *findings.extra_files(lists, dataset),
    ]


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """A list that counts from 1 is told by whoever notices first."""
    kept: list[Problem] = []
    for problem in problems:
        if problem.code != "one_based_labels" or not any(other.code == problem.code for other in kept):
            kept.append(problem)
    return kept


def _notes(lists: ClipLists, recipe: Recipe) -> tuple[str, ...]:
    told = tuple(note for note in lists.notes if not isinstance(note, Note))
    return told + findings.few_clips(lists) + mirror_note(recipe, lists.classes)


def _split(clips: Sequence[Clip], lists: ClipLists, look: _Look) -> Split:
    counts = lists.counts(clips)
    missing = len(packed(clips).missing)
    return Split(
        listed=len(clips) + missing,
        found=len(clips),
        missing=missing,
        unusable=sum(look.holds(clip) for clip in clips) if look.unusable else 0,
        classes=sum(number > 0 for number in counts.values()),
        clips_of_class=counts,
    )


def _videos(facts: Iterable[Facts]) -> Videos:
    seen = [found for found in facts if found.frames and not found.kind]
    return Videos(
        files=len(seen),
        sizes=dict(Counter(f"{found.width}x{found.height}" for found in seen).most_common()),
        frames=_spread([found.frames for found in seen]),
        fps=_spread([found.fps for found in seen if found.fps]),
        seconds=_spread([found.seconds for found in seen if found.seconds]),
    )


def _spread(numbers: Sequence[float]) -> Spread | None:
    ordered = sorted(numbers)
    return Spread(ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else None
