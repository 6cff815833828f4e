"""[weights]: `load_from`, and what the backbone is initialised from."""

from __future__ import annotations

from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.section import Section


def read_weights(whole: Section, draft: Draft) -> None:
    """Carry over where the parameters come from. Resuming is a command here, not a key."""
    backbone = whole.part("model").part("backbone")
    pretrained, source = _pretrained(backbone)
    load_from = whole.take("load_from", "")
    draft.set("weights.load_from", load_from, "load_from")
    if not load_from:  # which wins where both are given
        draft.set("weights.backbone", pretrained, source)
    for key in ("resume_from", "resume"):
        resume = whole.take(key)
        if resume:
            draft.leave_out(f"{key} = {resume!r}", "go on with a run of ftwiz by `ftwiz run --resume`")


def _pretrained(backbone: Section) -> tuple[str, str]:
    """The source of the backbone's weights, "" for none, and where the config says it."""
    pretrained = backbone.take("pretrained")
    source = backbone.name("pretrained")
    if pretrained is None:
        checkpoint = _checkpoint(backbone.values.get("init_cfg"))
        pretrained, source = checkpoint, backbone.name("init_cfg.checkpoint") if checkpoint else source
    kind = backbone.kind()
    library, dot, name = kind.partition(".")
    if pretrained is True and dot and library in ("torchvision", "timm"):
        return f"{library}://{name}", source
    if isinstance(pretrained, str) and pretrained.startswith("torchvision://"):
        return pretrained, source
    return (pretrained, source) if isinstance(pretrained, str) else ("", source)


def _checkpoint(init_cfg: Any) -> str:
    if isinstance(init_cfg, dict) and init_cfg.get("type") == "Pretrained":
        return str(init_cfg.get("checkpoint", ""))
    return ""
