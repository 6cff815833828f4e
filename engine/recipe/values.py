"""What values of a recipe may be, where their type alone does not say it: paths, sources, mirrors, names of images."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from engine import hugging_face
from engine.errors import RecipeError


def as_tuple(value: Any) -> Any:
    """TOML arrays arrive as lists; the frozen recipe holds tuples."""
    return tuple(value) if isinstance(value, list) else value


def _filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("at least one is needed")
    return values


def whole_number(value: Any) -> Any:
    """Python takes true and 1.0 for 1; a recipe does not."""
    if isinstance(value, bool | float):
        raise ValueError("it must be a whole number")
    return value


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("no path can hold a NUL")
    if (expanded := os.path.expanduser(text)).startswith("~"):
        raise ValueError("there is no such home folder; a folder that is really called so is written ./~…")
    return expanded


def _image_names(template: str) -> str:
    """A name with room for a number, and for flow's x or y before it; {folder} is the folder's own name."""
    *axis, number = re.findall(r"\{(?!folder\})[^{}]*\}", template) or [""]
    known = axis in ([], ["{}"]) and re.fullmatch(r"\{(:(0\d+)?d?)?\}", number)
    if template != "auto" and (not known or "/" in template or re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", template))):
        raise ValueError('write it as in "img_{:05}.jpg", or for flow "flow_{}_{:05}.jpg", or "auto"')
    return template


def _regex(text: str) -> str:
    try:
        if text and not re.compile(text).groups:
            raise ValueError("it needs (brackets) around the part that names the source")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _backbone_config(text: str) -> str:
    try:
        return hugging_face.as_text(hugging_face.from_text(text)) if text else text
    except RecipeError as error:
        raise ValueError(str(error).removeprefix("[model] backbone_config ").rstrip(".")) from None


def spelt_out(source: str) -> str:
    """torchvision's own name of weights, ResNet50_Weights.IMAGENET1K_V2, is no path: torchvision:// goes before it."""
    return f"torchvision://{source}" if re.fullmatch(r"\w+_Weights(\.\w+)?", source) else source


def _source(text: str) -> str:
    return _path(spelt_out(text))


def as_mirrors(value: Any) -> Any:
    """One mirror may stand alone, without brackets."""
    return (value,) if isinstance(value, str) else as_tuple(value)


def as_mirror(rule: str) -> str:
    start, arrow, to = (part.strip() for part in rule.rpartition("->"))
    if arrow and not start.startswith(("http://", "https://")):
        raise ValueError("in front of -> stands what an address begins with, such as https://huggingface.co")
    if not to.startswith(("http://", "https://")) and not os.path.isabs(to := _path(to)):
        raise ValueError("a mirror is an http(s):// address or a folder whose path begins with / or ~")
    return f"{start} -> {to}" if arrow else to


PathText = Annotated[str, AfterValidator(_path)]
SourceText = Annotated[str, AfterValidator(_source)]
Mirrors = Annotated[
    tuple[Annotated[str, AfterValidator(as_mirror)], ...],
    BeforeValidator(as_mirrors, json_schema_input_type=str | list[str]),
]
ImageNames = Annotated[str, AfterValidator(_image_names)]
RegexText = Annotated[str, AfterValidator(_regex)]
BackboneConfig = Annotated[str, AfterValidator(_backbone_config)]
Ints = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(as_tuple)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], BeforeValidator(as_tuple), AfterValidator(_filled)]
Channels = Annotated[tuple[float, ...], BeforeValidator(as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Auto = Literal["auto"]
Recognizer = Literal[
    "tsn", "tsm", "c2d", "i3d", "slowonly", "slowfast", "r2plus1d", "r3d", "mc3", "s3d", "swin3d", "mvit", "c3d", "x3d",
    "csn", "timesformer", "videomae", "transformers",
]  # fmt: skip
Fraction = Annotated[float, Field(ge=0, lt=1)]
