"""[dataset]: where the clips are. How they are cropped is in `pipeline`."""

from __future__ import annotations

import posixpath
from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.section import Section

_FORMATS = {
    "VideoDataset": "mmaction_video",
    "RepeatAugDataset": "mmaction_video",
    "RawframeDataset": "mmaction_rawframes",
}


def read_dataset(train: Section, val: Section, test: Section, draft: Draft) -> None:
    """Carry over the kind of dataset, its folders and its lists."""
    shown = train if train.values else test
    kind = shown.kind()
    if kind not in _FORMATS:
        draft.leave_out(f'{shown.path}.type = "{kind}"', "name your data in [dataset] yourself")
    else:
        draft.set("dataset.format", _FORMATS[kind], f"{shown.path}.type")
    _places(train, val if val.values else test, draft)
    for dataset in (train, val, test):
        if dataset is not shown:  # what both say is told once
            dataset.without_influence(*(key for key, held in dataset.values.items() if shown.values.get(key) == held))
        _read_options(dataset, draft)
    if val.values and test.values and _list_of(val) != _list_of(test):
        draft.leave_out(f"{test.name('ann_file')} = {_list_of(test)!r}", "`ftwiz test` measures the validation clips")


def _places(train: Section, val: Section, draft: Draft) -> None:
    """Folders and lists. MMAction2 looks for relative ones in the folder it is started in, and so does ftwiz."""
    root, val_root = _prefix_of(train), _prefix_of(val)
    if _list_of(train):
        draft.set("dataset.root", root, _prefix_name(train))
        draft.set("dataset.train_list", _list_of(train), train.source("ann_file"))
    if _list_of(val):
        draft.set("dataset.val_list", _list_of(val), val.source("ann_file"))
        draft.set("dataset.val_root", "" if val_root == root else val_root, _prefix_name(val))
    for dataset in (train, val):
        dataset.take("ann_file")
        dataset.take("data_prefix")


def _read_options(dataset: Section, draft: Draft) -> None:
    dataset.without_influence("type", "ann_file", "data_prefix", "data_root", "pipeline", "test_mode", "num_classes")
    dataset.without_influence("multi_class")  # the head says it too
    dataset.expect("delimiter", " ", why="columns are parted by a space in lists of this format")
    dataset.without_influence("modality")  # the model is told
    power = dataset.number("power", 0)
    if dataset.take("sample_by_class", False):
        draft.set("dataset.balance", "sampler", dataset.source("sample_by_class"))
        if power:
            draft.leave_out(f"{dataset.name('power')} = {power:g}", "every class is drawn equally often here")
    repeats = dataset.whole("num_repeats", 1)
    if repeats != 1:
        draft.leave_out(f"{dataset.name('num_repeats')} = {repeats}", "a batch shows each of its clips once here")
    dataset.without_influence("sample_once")  # how the views of a clip are taken
    dataset.expect("dynamic_length", False)
    if dataset.kind() == "RawframeDataset":
        _read_names_of_frames(dataset, draft)
    else:
        dataset.without_influence("start_index")


def _read_names_of_frames(dataset: Section, draft: Draft) -> None:
    """What the config says of them; where it is silent, what lies on the disk is believed rather than the usual."""
    names = {"filename_tmpl": "filename_template", "start_index": "start_index", "with_offset": "with_offset"}
    for theirs, ours in names.items():
        if theirs in dataset:
            draft.set(f"dataset.{ours}", dataset.take(theirs), dataset.name(theirs))


def _prefix_of(dataset: Section) -> str:
    """The folder of the clips: a text in 0.x, a dict of one in 1.x, below `data_root` if there is one."""
    prefix: Any = dataset.values.get("data_prefix") or ""
    if isinstance(prefix, dict):
        prefix = next((held for held in prefix.values() if isinstance(held, str)), "")
    return _below_root(dataset, prefix)


def _prefix_name(dataset: Section) -> str:
    prefix = dataset.values.get("data_prefix")
    return dataset.name("data_prefix") + (f".{next(iter(prefix))}" if isinstance(prefix, dict) and prefix else "")


def _list_of(dataset: Section) -> str:
    return _below_root(dataset, dataset.values.get("ann_file") or "")


def _below_root(dataset: Section, path: Any) -> str:
    root = dataset.values.get("data_root")
    if not isinstance(path, str):
        return ""
    return posixpath.join(root, path) if isinstance(root, str) and root and path else path
