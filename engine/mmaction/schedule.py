"""[schedule]: optimiser, learning rate over time, epochs, batch, intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.parts import Parts
from engine.mmaction.section import Section

_MOST_MILESTONES = 10_000
_USUAL_GPUS = 8  # of MMAction2's own trainings, where a config does not say


def read_schedule(parts: Parts, sources: Mapping[Path, str], draft: Draft) -> None:
    """Carry the schedule over. sources: the texts of the config and its bases, whose comments may name the GPUs."""
    whole = parts.whole
    wrapper = whole.part("optim_wrapper")
    optimizer = whole.part("optimizer") if "optimizer" in whole else wrapper.part("optimizer")
    groups = whole.part("optimizer") if "optimizer" in whole else wrapper
    _read_epochs(whole, draft)
    _read_optimizer(optimizer, draft)
    _read_groups(groups, draft)
    _read_clipping(whole, draft)
    _read_batch(parts, _accumulation(whole), sources, draft)
    if "lr_config" in whole:
        _read_lr_config(whole.part("lr_config"), draft)
    else:
        _read_param_scheduler(whole.parts("param_scheduler"), draft)
    _read_intervals(whole, draft)
    wrapper.without_influence("type", "loss_scale", "dtype")  # mixed precision is [run] precision, auto by default
    whole.without_influence("fp16", "omnisource")


# --- epochs and batch -------------------------------------------------------------------------------------------------


def _read_epochs(whole: Section, draft: Draft) -> None:
    loop, runner = whole.part("train_cfg"), whole.part("runner")
    for holder, key in ((whole, "total_epochs"), (runner, "max_epochs"), (loop, "max_epochs")):
        if key in holder:
            draft.set("schedule.epochs", holder.number(key), holder.source(key))
    for holder in (runner, loop):
        if "max_iters" in holder:
            draft.leave_out(f"{holder.name('max_iters')} = {holder.take('max_iters')}", "recipes count epochs")
        holder.without_influence("type", "by_epoch")
    loop.expect("val_begin", 1, 0, why="validation begins with the first epoch")
    if "other_loaders" in loop:
        loop.take("other_loaders")
        draft.leave_out("train_cfg.other_loaders", "a recipe has one dataset")


def _accumulation(whole: Section) -> int:
    """Over how many batches gradients add up."""
    hook, wrapper = whole.part("optimizer_config"), whole.part("optim_wrapper")
    return int(hook.whole("cumulative_iters", 1) * wrapper.whole("accumulative_counts", 1))


def _read_batch(parts: Parts, accumulated: int, sources: Mapping[Path, str], draft: Draft) -> None:
    """The batch on one GPU, and the batch on all of them, which lr is meant for."""
    if parts.batch_size is None:
        return
    repeats = parts.train.whole("num_repeats", 1)
    batch = int(parts.batch_size) * accumulated * repeats
    times = f" x {accumulated} accumulated" if accumulated > 1 else ""
    times += f" x {repeats} views of each" if repeats > 1 else ""
    draft.set("schedule.batch_size", batch, f"{parts.batch_size_source}{times}, on each GPU")
    if accumulated > 1:
        draft.set("schedule.micro_batch_size", batch // accumulated, parts.batch_size_source)
    scaling = parts.whole.part("auto_scale_lr")
    scaling.without_influence("enable")
    base = scaling.whole("base_batch_size")
    if base is not None:
        views = f" x {repeats} views of each" if repeats > 1 else ""
        draft.set("schedule.lr_batch_size", base * repeats, scaling.name("base_batch_size") + views)
        return
    gpus, why = _gpus(sources, draft)
    draft.set("schedule.lr_batch_size", gpus * batch, f"{gpus} GPUs x {batch} clips; {why}")


def _gpus(sources: Mapping[Path, str], draft: Draft) -> tuple[int, str]:
    """How many GPUs lr is meant for: by the file's name (8xb32), by a comment, else the usual number."""
    config = list(sources)[-1]
    if named := re.search(r"(?:^|_)(\d+)xb\d+", config.stem):
        return int(named.group(1)), f"by the file's name ({named.group(0).strip('_')})"
    for path, text in reversed(list(sources.items())):
        if said := re.search(r"lr is used for (\d+)(?:x(\d+))? ?gpus?", text, re.IGNORECASE):
            where = "" if path == config else f" in {path.name}"
            return int(said.group(1)) * int(said.group(2) or 1), f'by the comment "{said.group(0)}"{where}'
    draft.guess(f"how many GPUs lr is meant for: {_USUAL_GPUS}, as in most of MMAction2's configs")
    return _USUAL_GPUS, "the number of GPUs is a guess"


# --- optimiser --------------------------------------------------------------------------------------------------------


def _read_optimizer(optimizer: Section, draft: Draft) -> None:
    """What a config leaves out is torch's default: no momentum for SGD, 0.01 weight decay for AdamW."""
    kind = optimizer.kind() or "SGD"
    name = {"SGD": "sgd", "AdamW": "adamw", "Adam": "adamw"}.get(kind, "")
    if not name:
        draft.leave_out(f'{optimizer.name("type")} = "{kind}"', "recipes have sgd and adamw; adamw is taken")
    if kind == "Adam":
        draft.leave_out(
            f'{optimizer.name("type")} = "Adam"', "adamw is taken, whose weight decay is not part of the gradient"
        )
    draft.set("schedule.optimizer", name or "adamw", optimizer.source("type"))
    if "lr" in optimizer:
        draft.set("schedule.lr", optimizer.number("lr"), optimizer.source("lr"))
    decay = {"SGD": 0.0, "AdamW": 0.01}.get(kind, 0.0)
    draft.set("schedule.weight_decay", optimizer.number("weight_decay", decay), optimizer.source("weight_decay"))
    if kind == "SGD":
        draft.set("schedule.momentum", optimizer.number("momentum", 0.0), optimizer.source("momentum"))
        draft.set("schedule.nesterov", optimizer.take("nesterov", False), optimizer.source("nesterov"))
        optimizer.expect("dampening", 0)
    else:
        optimizer.expect("betas", (0.9, 0.999))
        optimizer.expect("eps", 1e-8)
        optimizer.expect("amsgrad", False)
        optimizer.without_influence("momentum")


def _read_groups(holder: Section, draft: Draft) -> None:
    """Parameter groups: MMAction2's constructors and mmengine's multipliers."""
    constructor, groups = holder.take("constructor", ""), holder.part("paramwise_cfg")
    if constructor in ("TSMOptimizerConstructor", "TSMOptimWrapperConstructor"):
        _tsm_groups(groups, draft)
    elif constructor == "SwinOptimWrapperConstructor":
        _swin_groups(groups, draft)
    elif constructor in ("LearningRateDecayOptimizerConstructor", "LayerDecayOptimizerConstructor"):
        draft.set("schedule.layer_decay", groups.take("decay_rate"), groups.source("decay_rate"))
        groups.without_influence("decay_type", "num_layers")
        draft.set("schedule.decay_norm_and_bias", False, constructor)
    elif constructor not in ("", "DefaultOptimizerConstructor", "DefaultOptimWrapperConstructor"):
        draft.leave_out(
            f'{holder.name("constructor")} = "{constructor}"', "it is not known here; all parameters are alike"
        )
        groups.without_influence(*groups.values)
    else:
        _plain_groups(groups, draft)


def _tsm_groups(groups: Section, draft: Draft) -> None:
    """Biases learn twice as fast; with fc_lr5 the head 5 times (its bias 10 times); no decay on biases and norms."""
    faster = 5.0 if groups.take("fc_lr5", False) else 1.0
    draft.set("schedule.head_lr_multiplier", faster, groups.source("fc_lr5"))
    draft.set("schedule.bias_lr_multiplier", 2.0, "the constructor of TSM")
    draft.set("schedule.decay_norm_and_bias", False, "the constructor of TSM")


def _swin_groups(groups: Section, draft: Draft) -> None:
    """`backbone=dict(lr_mult=0.1)`: lr is the head's there and the backbone's here."""
    slower = groups.part("backbone").number("lr_mult", 1.0)
    if slower != 1.0 and slower > 0 and "schedule.lr" in draft.values:
        lr = round(draft.values["schedule.lr"] * slower, 12)
        draft.set("schedule.lr", lr, f"{draft.sources['schedule.lr']} x {slower:g}, the backbone's lr_mult")
        draft.set("schedule.head_lr_multiplier", round(1 / slower, 6), "1 / " + groups.name("backbone.lr_mult"))
    _no_decay(groups, ("norm",), draft)
    for key in ("absolute_pos_embed", "relative_position_bias_table"):
        decay = groups.part(key).number("decay_mult", 1.0)
        if decay != 1.0:
            draft.leave_out(
                f"{groups.name(key)}.decay_mult = {decay:g}", "its weight decay is that of other weights here"
            )


def _plain_groups(groups: Section, draft: Draft) -> None:
    norm, bias = groups.number("norm_decay_mult", 1.0), groups.number("bias_decay_mult", 1.0)
    if norm == bias == 0:
        draft.set("schedule.decay_norm_and_bias", False, groups.name("norm_decay_mult, bias_decay_mult"))
    elif not norm == bias == 1:
        what = f"{groups.name('norm_decay_mult')} = {norm:g} with bias_decay_mult = {bias:g}"
        draft.leave_out(what, "weight decay leaves out norms and biases together, or neither")
    draft.set("schedule.bias_lr_multiplier", groups.number("bias_lr_mult", 1.0), groups.source("bias_lr_mult"))
    keys = groups.take("custom_keys", {})
    for name, multipliers in keys.items() if isinstance(keys, dict) else ():
        draft.leave_out(f"{groups.name('custom_keys')}[{name!r}] = {multipliers}", "recipes name no single parameters")
    groups.without_influence("fc_lr5", "bypass_duplicate")


def _no_decay(groups: Section, keys: tuple[str, ...], draft: Draft) -> None:
    for key in keys:
        decay = groups.part(key).number("decay_mult", 1.0)
        if decay == 0:
            draft.set("schedule.decay_norm_and_bias", False, groups.name(f"{key}.decay_mult"))


def _read_clipping(whole: Section, draft: Draft) -> None:
    holder = whole.part("optimizer_config").part("grad_clip")
    if "optim_wrapper" in whole:
        holder = whole.part("optim_wrapper").part("clip_grad")
    draft.set("schedule.grad_clip_norm", holder.number("max_norm", 0.0), holder.source("max_norm"))
    holder.expect("norm_type", 2)
    whole.part("optimizer_config").without_influence("type")


# --- learning rate over time ------------------------------------------------------------------------------------------


def _read_lr_config(config: Section, draft: Draft) -> None:
    """0.x: one policy, and a warm-up laid over it."""
    policy = str(config.take("policy", "fixed"))
    match policy.lower():
        case "step":
            single = isinstance(config.values.get("step"), int)
            steps = _every(config.whole("step", 0), draft) if single else config.numbers("step")
            _steps(steps, config.name("step"), draft)
            draft.set("schedule.gamma", config.number("gamma", 0.1), config.source("gamma"))
            config.expect("by_epoch", True, why="milestones are epochs here")
        case "cosineannealing":
            draft.set("schedule.lr_policy", "cosine", config.source("policy"))
            for key in ("min_lr", "min_lr_ratio"):
                _lowest(config.number(key, 0), config.name(key), draft)
            config.without_influence("by_epoch")  # a step at a time here
        case "fixed":
            draft.set("schedule.lr_policy", "constant", config.source("policy"))
        case _:
            draft.leave_out(
                f'{config.name("policy")} = "{policy}"', "recipes have step, cosine and constant; cosine is taken"
            )
            draft.set("schedule.lr_policy", "cosine", config.source("policy"))
            config.without_influence(*config.values)
    config.without_influence("step", "gamma", "power", "min_lr", "min_lr_ratio")  # of a policy that a base had
    _read_warmup(config, draft)


def _read_warmup(config: Section, draft: Draft) -> None:
    kind, length = config.take("warmup"), config.number("warmup_iters", 0)
    ratio, by_epoch = config.number("warmup_ratio", 0.1), config.take("warmup_by_epoch", False)
    if kind is None or not length:
        return
    if kind != "linear":
        draft.leave_out(f'{config.name("warmup")} = "{kind}"', "the warm-up is linear here")
    if by_epoch:
        draft.set("schedule.warmup_epochs", float(length), config.source("warmup_iters"))
        draft.set("schedule.warmup_start", ratio, config.source("warmup_ratio"))
    else:
        draft.leave_out(
            f"{config.name('warmup_iters')} = {length} steps from {ratio:g} x lr",
            "divide it by the steps of an epoch and write it as [schedule] warmup_epochs",
        )


def _read_param_scheduler(schedulers: list[Section], draft: Draft) -> None:
    """1.x: a list of schedulers, each at work from `begin` to `end`."""
    draft.set("schedule.lr_policy", "constant", "no param_scheduler")
    for scheduler in schedulers:
        kind = scheduler.kind()
        reader = _SCHEDULERS.get(kind.removesuffix("LR"))
        if reader is None:
            draft.leave_out(f"param_scheduler {kind}", "recipes have step, cosine, constant and a linear warm-up")
            scheduler.without_influence(*scheduler.values)
        elif not scheduler.take("by_epoch", True):
            draft.leave_out(f"{kind}.by_epoch = False", "recipes count epochs, not steps")
            scheduler.without_influence(*scheduler.values)
        else:
            reader(scheduler, draft)
            scheduler.without_influence("begin", "end", "convert_to_iter_based", "verbose")


def _linear(scheduler: Section, draft: Draft) -> None:
    begin, end = scheduler.number("begin", 0), scheduler.number("end")
    scheduler.expect("end_factor", 1.0)
    scheduler.without_influence("total_iters")
    if begin != 0 or end is None:
        draft.leave_out(f"LinearLR from epoch {begin} to {end}", "the warm-up begins with the run")
        return
    draft.set("schedule.warmup_epochs", float(end), "LinearLR.end")
    draft.set("schedule.warmup_start", scheduler.number("start_factor", 1 / 3), "LinearLR.start_factor")


def _multi_step(scheduler: Section, draft: Draft) -> None:
    """mmengine counts milestones from the scheduler's own `begin`."""
    begin, milestones = scheduler.number("begin", 0), scheduler.numbers("milestones")
    source = "MultiStepLR.milestones" + (f" + {begin:g}, its begin" if begin else "")
    _steps([epoch + begin for epoch in milestones], source, draft)
    draft.set("schedule.gamma", scheduler.number("gamma", 0.1), "MultiStepLR.gamma")


def _step(scheduler: Section, draft: Draft) -> None:
    _steps(_every(scheduler.whole("step_size", 0), draft), "StepLR.step_size", draft)
    draft.set("schedule.gamma", scheduler.number("gamma", 0.1), "StepLR.gamma")


def _cosine(scheduler: Section, draft: Draft) -> None:
    """It falls from the end of the warm-up to the last epoch, here as there, unless the config says otherwise."""
    draft.set("schedule.lr_policy", "cosine", "CosineAnnealingLR")
    for key in ("eta_min", "eta_min_ratio"):
        _lowest(scheduler.number(key, 0), scheduler.name(key), draft)
    begin, end, length = (scheduler.number(key) for key in ("begin", "end", "T_max"))
    epochs = draft.values.get("schedule.epochs")
    begin, end = begin or 0, end if end is not None else epochs
    if length is not None and end is not None and length != end - begin:
        what = f"CosineAnnealingLR.T_max = {length:g} from epoch {begin:g} to {end:g}"
        draft.leave_out(what, "lr reaches its lowest with the last epoch")
    if begin and begin != draft.values.get("schedule.warmup_epochs", 0):
        draft.leave_out(f"CosineAnnealingLR.begin = {begin:g}", "lr falls from the end of the warm-up")


def _constant(scheduler: Section, draft: Draft) -> None:
    factor = scheduler.number("factor", 1 / 3)
    if factor != 1:
        draft.leave_out(f"ConstantLR.factor = {factor:g}", "the warm-up is linear here")


_SCHEDULERS = {
    "Constant": _constant, "CosineAnnealing": _cosine, "Linear": _linear, "MultiStep": _multi_step, "Step": _step,
}  # fmt: skip


def _steps(milestones: list[Any], source: str, draft: Draft) -> None:
    draft.set("schedule.lr_policy", "step", source.partition(".")[0])
    draft.set("schedule.milestones", [int(epoch) for epoch in milestones], source)


def _every(size: int, draft: Draft) -> list[int]:
    """A single number: a milestone each so many epochs."""
    epochs = draft.values.get("schedule.epochs", 0)
    return list(range(size, epochs, size)) if size > 0 and epochs / size < _MOST_MILESTONES else []


def _lowest(lowest: float, source: str, draft: Draft) -> None:
    if lowest:
        draft.leave_out(f"{source} = {lowest:g}", "cosine falls to 0 here")


# --- intervals --------------------------------------------------------------------------------------------------------


def _read_intervals(whole: Section, draft: Draft) -> None:
    evaluation, loop = whole.part("evaluation"), whole.part("train_cfg")
    holder, key = (evaluation, "interval") if evaluation.values else (loop, "val_interval")
    draft.set("schedule.validation_interval", holder.whole(key, 1), holder.source(key))
    evaluation.without_influence(*evaluation.values)
    hooks = whole.part("default_hooks")
    holder = whole.part("checkpoint_config") if "checkpoint_config" in whole else hooks.part("checkpoint")
    draft.set("schedule.checkpoint_interval", holder.whole("interval", 1), holder.source("interval"))
    if "max_keep_ckpts" in holder:
        draft.set(
            "schedule.keep_checkpoints", max(holder.whole("max_keep_ckpts", 0), 0), holder.source("max_keep_ckpts")
        )
    holder.without_influence("type", "save_best", "by_epoch", "save_optimizer", "rule")
    hooks.without_influence(*hooks.values)


# --- beside the schedule ----------------------------------------------------------------------------------------------


def read_hooks(whole: Section, draft: Draft) -> None:
    """Hooks that change what is learnt: the moving average of the weights, early stopping."""
    for hook in whole.parts("custom_hooks"):
        match hook.kind():
            case "EMAHook":
                momentum = hook.number("momentum", 0.0002)  # the share of the new weights, mmengine's default
                draft.set("schedule.ema", 1 - momentum, "EMAHook.momentum")
                hook.without_influence("priority")
            case "EarlyStoppingHook":
                draft.set("schedule.early_stopping", hook.number("patience", 5), "EarlyStoppingHook.patience")
                hook.without_influence("monitor", "rule", "priority")
            case kind:
                draft.leave_out(f"custom_hooks: {kind}", "recipes have nothing like it")
                hook.without_influence(*hook.values)


def read_blending(whole: Section, draft: Draft) -> None:
    """Mixup and CutMix; of several, one at random for each batch, here as there."""
    model = whole.part("model")
    preprocessor = model.part("data_preprocessor")
    for blending in (*model.part("train_cfg").parts("blending"), *preprocessor.parts("blending")):
        for each in blending.parts("augments") if blending.kind() == "RandomBatchAugment" else [blending]:
            key = {"MixupBlending": "schedule.mixup", "CutmixBlending": "schedule.cutmix"}.get(each.kind())
            if key is None:
                draft.leave_out(f"blending: {each.kind()}", "recipes have mixup and cutmix")
                each.without_influence(*each.values)
            else:
                draft.set(key, each.number("alpha", 0.2), f"{each.kind()}.alpha")
                each.without_influence("num_classes")
        blending.expect("probs", None)
