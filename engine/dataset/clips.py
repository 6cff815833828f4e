"""The one shape that every dataset format is read into. Torch-free."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled video file, folder of frames, or part of either.

    path: absolute, or relative to the working folder. label: index into the class names. group: what must not
    straddle two splits (a UCF101 group, a source video); "" where nothing is known.

    labels: every class of a multi-label clip (`label` is the first of them); () in a single-label dataset.
    start, end: the part of an untrimmed video, in seconds; end 0.0 means to the end of the file.
    first_frame, num_frames: the part of a folder of frames: the number of its first image as the file names count,
    and how many; num_frames 0 means all there are from first_frame on.
    """

    path: str
    label: int
    group: str = ""
    labels: tuple[int, ...] = ()
    start: float = 0.0
    end: float = 0.0
    first_frame: int = 0
    num_frames: int = 0

    @property
    def all_labels(self) -> tuple[int, ...]:
        """Its classes, however many the dataset allows."""
        return self.labels or (self.label,)

    @property
    def name(self) -> str:
        """What a message or a report calls the clip: the path, and the part of the video where it is one."""
        if self.first_frame > 1 and self.num_frames:
            return f"{self.path} [frames {self.first_frame}–{self.first_frame + self.num_frames - 1}]"
        if not self.start and not self.end:
            return self.path
        until = f"{round(self.end, 2):g} s" if self.end else "the end"
        return f"{self.path} [{round(self.start, 2):g}–{until}]"


class ClipTable(Sequence[Clip]):
    """Clips packed into a few flat columns instead of an object each; a Clip is made when it is asked for.

    Looking at an object counts a reference to it, which writes to its memory: a list of a million clips is copied into
    every loader worker, page by page. Reading a table writes nothing. It equals any sequence of the same clips.
    """

    def __init__(self, clips: Iterable[Clip] = ()) -> None:
        packer = ClipPacker()
        for clip in clips:
            packer.append(clip)
        self._columns: dict[str, Any] = packer.table()._columns
        self.missing: tuple[str, ...] = ()  # what the list names and the disk has not, as the list writes it

    @classmethod
    def over(cls, columns: Mapping[str, Any], missing: Iterable[str] = ()) -> ClipTable:
        """A table over columns that lie elsewhere, such as in memory that processes share."""
        table = cls.__new__(cls)
        table._columns = dict(columns)
        table.missing = tuple(missing)
        return table

    @property
    def columns(self) -> Mapping[str, Any]:
        """Name → array of numbers, or bytes: all that the table consists of."""
        return self._columns

    def paths(self) -> Iterator[str]:
        """Of each clip, in less time than making the clips takes."""
        columns = self._columns
        folders = [_text(columns, "folder", at) for at in range(len(columns["folder_ends"]) - 1)]
        return (folders[at] + _text(columns, "file", place) for place, at in enumerate(columns["in_folder"]))

    def groups(self) -> set[str]:
        """All there are, "" left out."""
        columns = self._columns
        return {_text(columns, "group", at) for at in range(len(columns["group_ends"]) - 1)} - {""}

    def label_counts(self) -> Counter[int]:
        """Clips a label; a clip of several labels counts for each."""
        if "labels" in self._columns:
            return Counter(label for clip in self for label in clip.all_labels)
        return Counter(self._columns["label"])

    @property
    def multi_label(self) -> bool:
        """Whether its clips may have several classes each."""
        return "labels" in self._columns

    def __len__(self) -> int:
        return len(self._columns["label"])

    @overload
    def __getitem__(self, place: int) -> Clip: ...
    @overload
    def __getitem__(self, place: slice) -> ClipTable: ...
    def __getitem__(self, place: int | slice) -> Clip | ClipTable:
        if isinstance(place, slice):
            return ClipTable(map(self._clip, range(*place.indices(len(self)))))
        return self._clip(range(len(self))[place])

    def __iter__(self) -> Iterator[Clip]:
        return map(self._clip, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"ClipTable({list(self)})"

    def _clip(self, at: int) -> Clip:
        columns = self._columns
        path = _text(columns, "folder", columns["in_folder"][at]) + _text(columns, "file", at)
        clip = path, columns["label"][at], _text(columns, "group", columns["in_group"][at])
        if len(columns) == _COLUMNS_OF_PLAIN_CLIPS:
            return Clip(*clip)
        labels: tuple[int, ...] = ()
        if "labels" in columns:
            ends = columns["labels_ends"]
            labels = tuple(columns["labels"][ends[at] : ends[at + 1]])
        return Clip(*clip, labels, **{name: columns[name][at] for name in _PARTS if name in columns})


# Columns that a table has only where some clip says more than path, label and group.
_PARTS = {"start": "d", "end": "d", "first_frame": "q", "num_frames": "q"}
_COLUMNS_OF_PLAIN_CLIPS = 9


class ClipPacker:
    """Packs clips one by one, so that whoever reads a long list never holds them all as objects."""

    def __init__(self) -> None:
        self._label, self._in_folder, self._in_group = array("i"), array("i"), array("i")
        self._files, self._folders, self._groups = _Texts(), _Texts(), _Texts()
        self._labels, self._labels_ends = array("i"), array("q", [0])
        self._parts: dict[str, array] = {}

    def __len__(self) -> int:
        return len(self._label)

    def append(self, clip: Clip) -> None:
        name_at = clip.path.rfind("/") + 1
        self._in_folder.append(self._folders.place_of(clip.path[:name_at]))
        self._files.append(clip.path[name_at:])
        self._in_group.append(self._groups.place_of(clip.group))
        if clip.labels:
            _fill(self._labels_ends, len(self) + 1, self._labels_ends[-1])
            self._labels.extend(clip.labels)
            self._labels_ends.append(len(self._labels))
        if clip.start or clip.end or clip.first_frame or clip.num_frames:
            for name, kind in _PARTS.items():
                if value := getattr(clip, name):
                    column = self._parts.setdefault(name, array(kind))
                    _fill(column, len(self), 0)
                    column.append(value)
        self._label.append(clip.label)

    def table(self, missing: Iterable[str] = ()) -> ClipTable:
        """What was packed so far. missing: what the list names and the disk has not."""
        columns: dict[str, Any] = {"label": self._label, "in_folder": self._in_folder, "in_group": self._in_group}
        for name, texts in (("file", self._files), ("folder", self._folders), ("group", self._groups)):
            columns[name], columns[f"{name}_ends"] = bytes(texts.joined), texts.ends
        if self._labels:
            _fill(self._labels_ends, len(self) + 1, self._labels_ends[-1])
            columns |= {"labels": self._labels, "labels_ends": self._labels_ends}
        for name, column in self._parts.items():
            _fill(column, len(self), 0)
            columns[name] = column
        return ClipTable.over(columns, missing)


# Folders and groups that are looked up again; lists that have more of them mostly have each of them once.
_REMEMBERED = 10_000


class _Texts:
    """Texts end to end in one buffer. ends: where each of them ends, after a 0."""

    def __init__(self) -> None:
        self.joined = bytearray()
        self.ends = array("q", [0])
        self._place: dict[str, int] = {}

    def append(self, text: str) -> None:
        self.joined += text.encode("utf-8", "surrogatepass")  # a file name that is not UTF-8 comes with surrogates
        self.ends.append(len(self.joined))

    def place_of(self, text: str) -> int:
        """For what many clips have in common: kept once, as far as a short memory reaches."""
        place = self._place.get(text)
        if place is None:
            if len(self._place) == _REMEMBERED:
                self._place.clear()
            place = self._place[text] = len(self.ends) - 1
            self.append(text)
        return place


def _text(columns: Mapping[str, Any], name: str, at: int) -> str:
    ends = columns[f"{name}_ends"]
    return str(columns[name][ends[at] : ends[at + 1]], "utf-8", "surrogatepass")


def _fill(column: array, length: int, value: float) -> None:
    """Clips before this one had nothing to say in a column."""
    column.extend([value] * (length - len(column)))


class Note(str):
    """A sentence worth telling that also says what trouble it tells of, so that it can be sorted and counted.

    code: as in the report of `ftwiz check`; a sentence without any is a plain str. files: those it is about.
    """

    code: str
    files: tuple[str, ...]

    def __new__(cls, text: str, code: str, files: Iterable[str] = ()) -> Note:
        note = super().__new__(cls, text)
        note.code, note.files = code, tuple(files)
        return note

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies, also into another process."""
        return Note, (str(self), self.code, self.files)


@dataclass(frozen=True)
class ClipLists:
    """A dataset as read: names and clips, and sentences worth telling (what was missing, how the split was made).

    decided: keys of [dataset] that were "auto", with what the disk said.
    """

    classes: tuple[str, ...]
    train: Sequence[Clip]
    val: Sequence[Clip]
    notes: tuple[str, ...] = ()
    decided: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("train", "val"):  # whatever a reader made them of
            object.__setattr__(self, name, packed(getattr(self, name)))

    @property
    def multi_label(self) -> bool:
        """Whether a clip may be of several classes at once, by what the dataset lists."""
        return packed(self.train).multi_label or packed(self.val).multi_label

    def counts(self, clips: Sequence[Clip]) -> dict[str, int]:
        """Clips a class, by name, in the order of the ids; classes without a clip are 0."""
        seen = packed(clips).label_counts()
        return {name: seen[label] for label, name in enumerate(self.classes)}


def packed(clips: Iterable[Clip]) -> ClipTable:
    """The clips as a table; a table is one already."""
    return clips if isinstance(clips, ClipTable) else ClipTable(clips)
