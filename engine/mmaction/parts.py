"""Where a config says what: MMAction2 0.x and 1.x (mmcv and mmengine) put the same things into different places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.section import Section

# What MMAction2 reads at the top level of a config. Everything else there is a variable of the author's.
_READ = (
    "auto_scale_lr", "checkpoint_config", "custom_hooks", "data", "data_preprocessor", "default_hooks", "evaluation",
    "fp16", "load_from", "lr_config", "model", "omnisource", "optim_wrapper", "optimizer", "optimizer_config",
    "param_scheduler", "precise_bn", "randomness", "resume", "resume_from", "runner", "seed", "test_cfg",
    "test_dataloader", "test_evaluator", "total_epochs", "train_cfg", "train_dataloader", "train_ratio", "val_cfg",
    "val_dataloader", "val_evaluator",
)  # fmt: skip

# Of datasets inside datasets, the keys that hold them.
_WRAPPERS = {"RepeatDataset": "dataset", "ConcatDataset": "datasets", "RepeatAugDataset": ""}


@dataclass
class Parts:
    """edition: "0.x" or "1.x". train, val and test: the datasets, empty sections where the config has none."""

    edition: str
    whole: Section
    train: Section
    val: Section
    test: Section
    batch_size: Any
    batch_size_source: str


def parts_of(values: dict[str, Any], draft: Draft) -> Parts:
    """The parts of a config's values."""
    whole = Section({key: value for key, value in values.items() if key in _READ}, "", draft)
    if "data" in whole or "optimizer" in whole:
        return _of_0x(whole)
    return _of_1x(whole)


def _of_0x(whole: Section) -> Parts:
    data = whole.part("data")
    data.without_influence("workers_per_gpu", "persistent_workers", "val_dataloader", "test_dataloader")
    loader = data.part("train_dataloader")
    loader.without_influence("workers_per_gpu", "persistent_workers")
    holder = loader if "videos_per_gpu" in loader else data
    data.without_influence("videos_per_gpu")  # where the loader has its own
    return Parts(
        edition="0.x",
        whole=whole,
        train=_dataset(data, "train"),
        val=_dataset(data, "val"),
        test=_dataset(data, "test"),
        batch_size=holder.whole("videos_per_gpu"),
        batch_size_source=holder.name("videos_per_gpu"),
    )


def _of_1x(whole: Section) -> Parts:
    loaders = {name: whole.part(f"{name}_dataloader") for name in ("train", "val", "test")}
    for loader in loaders.values():
        loader.without_influence("num_workers", "persistent_workers", "sampler", "pin_memory", "collate_fn")
    for name in ("val", "test"):
        loaders[name].without_influence("batch_size", "drop_last", "test_mode", "pipeline")
    return Parts(
        edition="1.x",
        whole=whole,
        train=_dataset(loaders["train"], "dataset"),
        val=_dataset(loaders["val"], "dataset"),
        test=_dataset(loaders["test"], "dataset"),
        batch_size=loaders["train"].whole("batch_size"),
        batch_size_source=loaders["train"].name("batch_size"),
    )


def _dataset(holder: Section, key: str) -> Section:
    """The dataset under a key. Of several only the first is carried over."""
    several = holder.parts(key)
    if not several:
        return Section(None, holder.name(key), holder.draft)
    dataset = several[0]
    dataset.path = holder.name(key)
    if len(several) > 1:
        kinds = ", ".join(section.kind() for section in several[1:])
        holder.draft.leave_out(f"{holder.name(key)} has {len(several)} datasets", f"a recipe has one; not {kinds}")
        for section in several[1:]:
            section.without_influence(*section.values)
    inner = _WRAPPERS.get(dataset.kind())
    if inner:
        if dataset.kind() == "RepeatDataset":
            times = dataset.take("times", 1)
            holder.draft.leave_out(
                f"{dataset.path}.times = {times}", "multiply [schedule] epochs to see clips as often"
            )
        return _dataset(dataset, inner)
    return dataset
