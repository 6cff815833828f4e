"""[head], and what else a config says in `model.cls_head`: label smoothing, and how views are averaged."""

from __future__ import annotations

from dataclasses import dataclass

from engine.mmaction.draft import Draft
from engine.mmaction.section import Section


@dataclass(frozen=True)
class _Defaults:
    """What MMAction2's head does where the config is silent (the signatures of mmaction/models/heads)."""

    dropout: float
    init_std: float


_HEADS = {
    "TSNHead": _Defaults(0.4, 0.01),
    "TSMHead": _Defaults(0.8, 0.001),
    "I3DHead": _Defaults(0.5, 0.01),
    "SlowFastHead": _Defaults(0.8, 0.01),
    "X3DHead": _Defaults(0.5, 0.01),
    "MViTHead": _Defaults(0.5, 0.02),
    "TimeSformerHead": _Defaults(0.0, 0.02),
}


def read_head(model: Section, draft: Draft) -> None:
    """Carry the head over; where the config has none (feature extraction), say so."""
    head = model.part("cls_head")
    if not head.values:
        draft.leave_out("model.cls_head is missing", "the preset's head is kept")
        return
    kind = head.kind()
    defaults = _HEADS.get(kind)
    if defaults is None:
        draft.leave_out(f'model.cls_head.type = "{kind}"', "the recognizer's usual head is taken")
        defaults = _Defaults(0.5, 0.01)
    draft.set("head.num_classes", head.take("num_classes", "auto"), head.source("num_classes"))
    draft.set("head.dropout", head.number("dropout_ratio", defaults.dropout), _or_default(head, "dropout_ratio"))
    draft.set("head.init_std", head.number("init_std", defaults.init_std), _or_default(head, "init_std"))
    head.expect("spatial_type", "avg", None)
    head.part("consensus").expect("type", "AvgConsensus")
    head.part("consensus").expect("dim", 1)
    head.expect("temporal_pool", False)
    head.without_influence("in_channels", "num_segments", "is_shift", "topk", "fc1_bias")
    _read_loss(head, draft)
    smoothing = head.number("label_smooth_eps", 0)
    draft.set("schedule.label_smoothing", smoothing, head.source("label_smooth_eps"))


def read_average(model: Section, test_cfg: Section, draft: Draft) -> None:
    """How test-time views are averaged: 1.x says it in the head, 0.x in `test_cfg`."""
    head, inner = model.part("cls_head"), model.part("test_cfg")
    for holder in (inner, test_cfg):
        holder.without_influence("type", "max_testing_views", "fcn_test")
    draft.set("run.average_clips", "score", "average_clips is None")
    for holder in (head, test_cfg, inner):
        average = holder.take("average_clips")
        if average is not None:
            draft.set("run.average_clips", average, holder.source("average_clips"))


def _read_loss(head: Section, draft: Draft) -> None:
    loss = head.part("loss_cls")
    kind = loss.kind() or "CrossEntropyLoss"
    multi_class = bool(head.take("multi_class", False))
    weight = loss.number("loss_weight", 1.0)
    draft.set("head.multi_label", multi_class, head.source("multi_class"))
    loss.expect("class_weight", None, why="every class counts the same here")
    if kind not in ("CrossEntropyLoss", "BCELossWithLogits") or (kind == "BCELossWithLogits") is not multi_class:
        usual = "binary cross entropy" if multi_class else "cross entropy"
        draft.leave_out(f'{loss.name("type")} = "{kind}"', f"the loss is {usual} here")
    elif multi_class:
        if weight != 1:
            draft.leave_out(
                f"{loss.name('loss_weight')} = {weight:g}",
                "the loss is a sum over the classes here, where MMAction2 takes so many times the mean",
            )
    elif weight != 1:
        draft.leave_out(f"{loss.name('loss_weight')} = {weight:g}", "multiply [schedule] lr by it")


def _or_default(head: Section, key: str) -> str:
    return head.name(key) if key in head else f"{head.kind()}'s default"
