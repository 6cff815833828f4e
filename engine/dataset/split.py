"""Hold out clips for validation: whole groups, every class its share, the same clips for the same seed. Torch-free."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from engine.dataset.clips import Clip

# A group as the split sees it: its clips a class, as (label, count) pairs. Groups of one kind are interchangeable.
Kind = tuple[tuple[int, int], ...]

# Swaps to try. Small datasets need far fewer; huge ones are even before the first swap, by the law of large numbers.
SWAP_TRIALS = 100_000


def split_clips(clips: Iterable[Clip], val_fraction: float, seed: int) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Split into (train, val), each sorted by path and time. The order of `clips` does not matter.

    No group is on both sides; a clip without a group is one of its own. Every class keeps a clip in train, and has one
    in val where it lies in two groups or more (unless groups of several classes make that impossible).
    """
    groups = _groups(clips)
    groups_of_kind: dict[Kind, list[list[Clip]]] = {}
    for name in sorted(groups):
        groups_of_kind.setdefault(_kind(groups[name]), []).append(groups[name])
    kinds = sorted(groups_of_kind)
    chance = random.Random(seed)

    search = _Search({kind: len(groups_of_kind[kind]) for kind in kinds}, val_fraction)
    if val_fraction > 0:
        search.start(chance)
        search.improve()

    train: list[Clip] = []
    val: list[Clip] = []
    for kind in kinds:
        members = groups_of_kind[kind]
        held_out = set(chance.sample(range(len(members)), search.held_out[kind]))
        for place, group in enumerate(members):
            (val if place in held_out else train).extend(group)
    return _by_path(train), _by_path(val)


def split_notes(
    classes: Sequence[str], train: Sequence[Clip], val: Sequence[Clip], val_fraction: float, seed: int
) -> tuple[str, ...]:
    """Sentences on how the split was made and how even it came out."""
    if not val_fraction:
        return ("No clip is held out for validation, because [dataset] val_fraction is 0.",)
    total = len(train) + len(val)
    grouped = len({clip.group for clip in train if clip.group}), len({clip.group for clip in val if clip.group})
    made = f"Held out {len(val)} of {total} clips ({len(val) / total:.1%}) for validation, seed {seed}"
    notes = []
    if sum(grouped):
        made += f": {grouped[1]} of {sum(grouped)} groups, none on both sides"
    else:
        notes.append(
            "No groups are known: if several clips were cut from one video, name their source in a [dataset] groups "
            "file, or validation will look better than it is."
        )
    return (f"{made}; {_evenness(classes, train, val, val_fraction)}.", *notes, *_undivided(classes, train, val))


def _undivided(classes: Sequence[str], train: Sequence[Clip], val: Sequence[Clip]) -> Iterator[str]:
    """Why a class has no validation clip, where no split could give it one."""
    sources: dict[int, set[str]] = {}
    clips: Counter[int] = Counter()
    for clip in (*train, *val):
        for label in clip.all_labels:
            sources.setdefault(label, set()).add(clip.group or f"\0{clip.path}")
            clips[label] += 1
    alone = [label for label in sorted(sources) if len(sources[label]) == 1]
    if single := [classes[label] for label in alone if clips[label] == 1]:
        yield f"No validation clip, because there is only one clip: {_some(single)}."
    if one_source := [classes[label] for label in alone if clips[label] > 1]:
        yield f"No validation clip, because all clips are from one source: {_some(one_source)}."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _evenness(classes: Sequence[str], train: Sequence[Clip], val: Sequence[Clip], val_fraction: float) -> str:
    in_val = _clips_a_class(val)
    in_all = in_val + _clips_a_class(train)
    shares = sorted((in_val[label] / count, label) for label, count in in_all.items())
    (least, least_label), (most, most_label) = shares[0], shares[-1]
    if f"{least:.1%}" == f"{most:.1%}":
        return f"every class gives {least:.1%} (asked for {val_fraction:.1%})"
    return (
        f"classes give {least:.1%} ({classes[least_label]}) to {most:.1%} ({classes[most_label]}) "
        f"(asked for {val_fraction:.1%})"
    )


def _groups(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        # A NUL is in no path and no group name, so that a clip of its own can not fall in with a named group.
        groups.setdefault(clip.group or f"\0{clip.path}", []).append(clip)
    return groups


def _kind(group: list[Clip]) -> Kind:
    if len(group) == 1 and not group[0].labels:
        return ((group[0].label, 1),)
    return tuple(sorted(_clips_a_class(group).items()))


def _clips_a_class(clips: Iterable[Clip]) -> Counter[int]:
    """A clip of several classes counts for each."""
    return Counter(label for clip in clips for label in clip.all_labels)


def _by_path(clips: list[Clip]) -> tuple[Clip, ...]:
    return tuple(sorted(clips, key=lambda clip: (clip.path, clip.start, clip.end, clip.first_frame, clip.label)))


class _Search:
    """Finds how many groups of each kind to hold out: a random start, then moves and swaps while they help.

    What "help" means, in this order: no class without training clips, no class without validation clips, and the
    sum over the classes of (share held out - val_fraction) squared.
    """

    def __init__(self, available: dict[Kind, int], val_fraction: float) -> None:
        self.available = available
        self.val_fraction = val_fraction
        self.held_out = dict.fromkeys(available, 0)
        self.clips: Counter[int] = Counter()
        self.groups: Counter[int] = Counter()
        for kind, groups in available.items():
            for label, count in kind:
                self.clips[label] += groups * count
                self.groups[label] += groups
        self.in_val = dict.fromkeys(self.clips, 0)

    def start(self, chance: random.Random) -> None:
        """Every group with the same chance, but rounded kind by kind: many like groups give their exact share."""
        for kind, groups in self.available.items():
            self._move(kind, min(groups, int(groups * self.val_fraction + chance.random())))

    def improve(self) -> None:
        trials = SWAP_TRIALS
        improved = True
        while improved:
            while self._improved_by_moves():
                pass
            improved, trials = self._improved_by_swaps(trials)

    def _improved_by_moves(self) -> bool:
        improved = False
        for kind, groups in self.available.items():
            for step in (1, -1):
                while 0 <= self.held_out[kind] + step <= groups and self._helps(kind, step):
                    self._move(kind, step)
                    improved = True
        return improved

    def _improved_by_swaps(self, trials: int) -> tuple[bool, int]:
        """Swap one group in for one out. Only kinds that share a class can mend each other."""
        kinds_of_label: dict[int, list[Kind]] = {}
        for kind in self.available:
            for label, _ in kind:
                kinds_of_label.setdefault(label, []).append(kind)
        improved = False
        for kinds in kinds_of_label.values():
            for entering in kinds:
                for leaving in kinds:
                    if entering == leaving or not self.held_out[leaving]:
                        continue
                    if self.held_out[entering] == self.available[entering]:
                        break
                    if not trials:
                        return improved, 0
                    trials -= 1
                    if self._helps(entering, 1, leaving):
                        self._move(entering, 1)
                        self._move(leaving, -1)
                        improved = True
        return improved, trials

    def _move(self, kind: Kind, groups: int) -> None:
        self.held_out[kind] += groups
        for label, count in kind:
            self.in_val[label] += groups * count

    def _helps(self, kind: Kind, step: int, leaving: Kind = ()) -> bool:
        change = {label: step * count for label, count in kind}
        for label, count in leaving:
            change[label] = change.get(label, 0) - count
        no_train = no_val = 0
        uneven = 0.0
        for label, clips in change.items():
            before, after, all_clips = self.in_val[label], self.in_val[label] + clips, self.clips[label]
            no_train += (after == all_clips) - (before == all_clips)
            if self.groups[label] > 1:
                no_val += (after == 0) - (before == 0)
            uneven += (after / all_clips - self.val_fraction) ** 2 - (before / all_clips - self.val_fraction) ** 2
        # Rounded, so that the noise of floating point can not move a group to and fro for ever.
        return (no_train, no_val, round(uneven, 12)) < (0, 0, 0.0)
