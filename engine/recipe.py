"""The recipe: the four decisions of a fine-tuning as typed, frozen data.

A recipe is a TOML file with one table a decision (`[head] [dataset] [schedule] [weights]`) and two more that complete
it (`[model] [run]`). It may extend a preset or another file; the deeper file wins key by key, lists replace. This
module loads, inherits, overrides, validates and saves; it imports no torch, so the wizard can use it.

    recipe = load_recipe("recipe.toml", {"schedule.lr": 0.01})
    recipe.schedule.lr
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine import hugging_face
from engine.atomic import write_text
from engine.errors import RecipeError


def _array(value: Any) -> Any:
    """TOML arrays arrive as lists; the frozen recipe holds tuples."""
    return tuple(value) if isinstance(value, list) else value


def _filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("at least one is needed")
    return values


def _whole(value: Any) -> Any:
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


def _mirrors(value: Any) -> Any:
    """One mirror may stand alone, without brackets."""
    return (value,) if isinstance(value, str) else _array(value)


def _mirror(rule: str) -> str:
    start, arrow, to = (part.strip() for part in rule.rpartition("->"))
    if arrow and not start.startswith(("http://", "https://")):
        raise ValueError("in front of -> stands what an address begins with, such as https://huggingface.co")
    if not to.startswith(("http://", "https://")) and not os.path.isabs(to := _path(to)):
        raise ValueError("a mirror is an http(s):// address or a folder whose path begins with / or ~")
    return f"{start} -> {to}" if arrow else to


PathText = Annotated[str, AfterValidator(_path)]
SourceText = Annotated[str, AfterValidator(_source)]
Mirrors = Annotated[
    tuple[Annotated[str, AfterValidator(_mirror)], ...],
    BeforeValidator(_mirrors, json_schema_input_type=str | list[str]),
]
ImageNames = Annotated[str, AfterValidator(_image_names)]
RegexText = Annotated[str, AfterValidator(_regex)]
BackboneConfig = Annotated[str, AfterValidator(_backbone_config)]
Ints = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_array)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], BeforeValidator(_array), AfterValidator(_filled)]
Channels = Annotated[tuple[float, ...], BeforeValidator(_array)]
Names = Annotated[tuple[str, ...], BeforeValidator(_array)]
Auto = Literal["auto"]
Recognizer = Literal[
    "tsn", "tsm", "c2d", "i3d", "slowonly", "slowfast", "r2plus1d", "r3d", "mc3", "s3d", "swin3d", "mvit", "c3d", "x3d",
    "csn", "timesformer", "videomae", "transformers",
]  # fmt: skip
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Table(BaseModel):
    """One table of the recipe: frozen, no unknown keys, no silent type conversion."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _text_fits_into_a_file(cls, value: Any) -> Any:
        """The shell passes on file names that are not UTF-8 as lone surrogates, which no recipe file can hold."""
        texts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(text, str) and re.search("[\ud800-\udfff]", text) for text in texts):
            raise ValueError("a recipe can only hold text in UTF-8")
        return value


class Model(Table):
    """The recognizer. Normally inherited from a preset, because it must match the weights."""

    recognizer: Recognizer = "tsn"
    """tsn averages frames seen one by one; tsm shifts channels between neighbouring frames, so that order counts; the
    others see all frames of a clip together."""
    backbone: str = "resnet50"
    """tsn: any torchvision image classifier (torchvision.NAME: as MMAction2 uses it), or timm.NAME (needs
    ftwiz[timm]); tsm: a ResNet or mobilenet_v2; slowonly: a ResNet; c2d, i3d: a ResNet (resnet50-8x8:
    PySlowFast's), i3d: or resnet50-heavy; slowfast: a ResNet, or two (resnet101-resnet50); r2plus1d: a ResNet
    (MMAction2's) or r2plus1d_18 (torchvision's); r3d: r3d_18; mc3: mc3_18; s3d: s3d; c3d: c3d; x3d: x3d_xs, _s, _m,
    _l; csn: ir-resnet152, ip-resnet152 (or 50, 101); swin3d: swin3d_t, _s, _b, _l; mvit: mvit_v2_t, _s, _b, _l,
    mvit_v1_b; timesformer: divided_space_time, joint_space_time, space_only; videomae: vit_small_p16, vit_base_p16,
    vit_large_p16, vit_huge_p16; transformers: the folder of a video classifier of Hugging Face transformers (with
    its config.json), or hf://ORG/REPO, which say what [model], [dataset] and [weights] leave open."""
    backbone_config: BackboneConfig = ""
    """transformers: the network as its config.json describes it, so that a run can do without the folder. Empty: taken
    from there."""
    style: Literal["pytorch", "caffe"] = "pytorch"
    """Which convolution of a ResNet's bottleneck halves the image: the 3x3 one (pytorch) or the first (caffe)."""
    modality: Literal["rgb", "flow"] = "rgb"
    """What a frame is: a picture, or flow_length pairs of optical flow, x and y, as grey images (tsn and tsm)."""
    flow_length: int = Field(default=5, ge=1)
    """flow: consecutive pairs of x and y that make one frame of 2 x flow_length channels."""
    segments: int = Field(default=8, ge=1)
    """Frames a clip, one from each of so many equal parts of the video. Not used where clip_len says otherwise."""
    clip_len: int = Field(default=0, ge=0)
    """Frames a clip, taken densely from one place of the video, as 3D networks are trained. 0: `segments` instead."""
    frame_interval: int = Field(default=1, ge=1)
    """Dense clips (clip_len above 0): every so many-th frame. A video that is too short is repeated."""
    shift_div: int = Field(default=8, ge=2)
    """tsm: one part in so many of the channels moves one frame back, another one forward."""
    non_local: Literal[
        "none", "gaussian", "embedded_gaussian", "scaled_embedded_gaussian", "dot_product"
    ] = "none"  # fmt: skip
    """tsm, i3d, slowonly with a ResNet: blocks in which all places of all frames exchange what they see, and how they
    are compared (behind every other block of the second and third stage)."""
    stem_pool: bool = True
    """slowonly: the stem halves height and width a second time, by a max pool. false: for frames of half the size."""
    resample_rate: int = Field(default=8, ge=1)
    """slowfast: the slow pathway sees every so many-th frame of the clip."""
    speed_ratio: int = Field(default=8, ge=1)
    """slowfast: the fast pathway sees so many times as many frames as the slow one."""
    lateral_kernel: int = Field(default=5, ge=1)
    """slowfast: frames that the convolutions from the fast to the slow pathway reach over; an odd number."""
    lateral_norm: bool = False
    """slowfast: batch normalisation and a ReLU behind those convolutions."""
    drop_path: Fraction = 0.1
    """Transformers: the share of residual branches left out while training, rising from 0 to this at the last block.
    Networks of Hugging Face transformers have what their config says."""
    norm_eval: bool = False
    """Keep batch normalisation in eval mode while training (its running statistics stay the pretrained ones)."""
    mean: Channels = (123.675, 116.28, 103.53)
    """Subtracted from RGB values of 0..255, or from x and y of flow (128 unless said otherwise). Must be what the
    weights were trained with."""
    std: Channels = (58.395, 57.12, 57.375)
    """Divides RGB values of 0..255, or x and y of flow (128). Must be what the weights were trained with."""

    @property
    def frames(self) -> int:
        """How many frames the recognizer is given of a clip, T."""
        return self.clip_len or self.segments

    @property
    def channels(self) -> int:
        """Of a frame, C: red, green and blue, or x and y of each pair of flow."""
        return 2 * self.flow_length if self.modality == "flow" else 3

    @model_validator(mode="before")
    @classmethod
    def _flow_is_centred_at_128(cls, values: Any) -> Any:
        """Flow images store no motion as 128 (TSN's, and MMAction2's, mean and std of flow)."""
        if isinstance(values, Mapping) and values.get("modality") == "flow":
            return {"mean": (128.0, 128.0), "std": (128.0, 128.0), **values}
        return values

    @field_validator("modality")
    @classmethod
    def _flow_is_seen_frame_by_frame(cls, modality: str, info: ValidationInfo) -> str:
        recognizer = info.data.get("recognizer")
        if modality == "flow" and recognizer not in ("tsn", "tsm", None):
            raise ValueError(f"{recognizer} takes pictures; tsn and tsm take flow too")
        return modality

    @field_validator("clip_len")
    @classmethod
    def _flow_is_spread(cls, clip_len: int, info: ValidationInfo) -> int:
        if clip_len and info.data.get("modality") == "flow":
            raise ValueError("flow is taken from segments of the video, not in dense clips; set it to 0")
        return clip_len

    @field_validator("non_local")
    @classmethod
    def _some_have_non_local_blocks(cls, non_local: str, info: ValidationInfo) -> str:
        recognizer = info.data.get("recognizer")
        if non_local != "none" and recognizer not in ("tsm", "i3d", "slowonly", None):
            raise ValueError(f"{recognizer} has no non-local blocks; tsm, i3d and slowonly have")
        return non_local

    @field_validator("stem_pool")
    @classmethod
    def _some_pool_as_they_like(cls, stem_pool: bool, info: ValidationInfo) -> bool:
        recognizer = info.data.get("recognizer")
        if not stem_pool and recognizer not in ("slowonly", None):
            raise ValueError(f"{recognizer} always has its own stem; only slowonly takes it without the pool")
        return stem_pool

    @field_validator("mean", "std")
    @classmethod
    def _one_number_a_channel(cls, values: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        flow = info.data.get("modality") == "flow"
        if len(values) != (2 if flow else 3):
            wanted = "two numbers, for x and y (usually 128 each)" if flow else "three numbers, one a colour channel"
            raise ValueError(f"it takes {wanted}")
        return values

    @field_validator("lateral_kernel")
    @classmethod
    def _has_a_middle(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("it must be odd, so that it has a middle")
        return kernel

    @field_validator("std")
    @classmethod
    def _std_is_positive(cls, std: tuple[float, ...]) -> tuple[float, ...]:
        if min(std) <= 0:
            raise ValueError("every number must be above 0")
        return std


class Head(Table):
    """Decision 1: how many classes, and what the last layer looks like."""

    num_classes: Annotated[int, Field(ge=2)] | Auto = "auto"
    """Number of classes. "auto" takes it from the dataset."""
    multi_label: bool = False
    """A clip may be of several classes at once: each class is a yes or no of its own (sigmoid, binary cross entropy),
    measured by mean average precision. Must be what the dataset is."""
    consensus: Literal["avg"] = "avg"
    """How the frames' features become one prediction."""
    spatial: Literal["avg"] = "avg"
    """How a feature map becomes one vector."""
    dropout: Fraction = 0.5
    """Share of features dropped before the last layer while training."""
    init_std: float = Field(default=0.01, gt=0)
    """Standard deviation of a newly initialised last layer."""
    reuse: Literal["same", "matching", "none"] = "same"
    """What is kept of the last layer of weights.load_from. same: all of it where the classes are the same, else none;
    matching: the rows of classes that the file names too (case, spaces, underscores and hyphens do not count); none:
    every row is new."""

    @property
    def key_metric(self) -> str:
        """What decides which epoch is the best, by its name in a Validation event."""
        return "sample_map" if self.multi_label else "top1"


class Dataset(Table):
    """Decision 2: which clips, which frames, which augmentation."""

    format: Literal[
        "activitynet", "csv", "folders", "kinetics400", "mmaction_rawframes", "mmaction_video", "moments_in_time",
        "multi_moments_in_time", "something_v1", "something_v2", "thumos14", "ucf101",
    ] = "folders"  # fmt: skip
    """activitynet: the official JSON, or BSN's and its CSV; csv: lists of "path,label", with or without a header;
    folders: root/CLASS/* or root/{train,val,test}/CLASS/*; kinetics400: the CSV files of Kinetics 400, 600, 700 or 710;
    mmaction_rawframes: lists of folders of frames; mmaction_video: lists of "path label"; moments_in_time: categories
    and CSV files; multi_moments_in_time: the same with several classes a clip; something_v1: folders of frames and CSV
    files; something_v2: the JSON files; thumos14: a text file of segments for each class; ucf101: the official split
    files."""
    root: PathText = ""
    """Folder of the videos, or of the folders of frames."""
    val_root: PathText = ""
    """Formats with lists: folder of the validation videos, where it is another one. Empty: the same."""
    annotations: PathText = ""
    """Folder of the annotation files (all formats but folders)."""
    train_list: PathText = ""
    """Formats with lists: the training list, where its name in `annotations` does not say so."""
    val_list: PathText = ""
    """Formats with lists: the validation list, likewise."""
    split: Annotated[Literal[1, 2, 3], BeforeValidator(_whole)] = 1
    """ucf101: which official split."""
    clips: Literal["segments", "videos"] = "segments"
    """activitynet: a clip is an annotated segment, or a whole video under its first label."""
    filename_template: ImageNames = "auto"
    """Folders of frames: what the images are called, such as "img_{:05}.jpg", or "flow_{}_{:05}.jpg" for x and y of
    flow. auto: as seen on disk."""
    start_index: Annotated[int, Field(ge=0), BeforeValidator(_whole)] | Auto = "auto"
    """Folders of frames: the number of the first image. auto: as seen on disk."""
    with_offset: bool | Auto = "auto"
    """mmaction_rawframes: the lists' columns are folder, first frame, frames, label; false: folder, frames, label or
    labels. auto: what the folders on disk allow."""
    frame_counts: Literal["list", "disk"] = "list"
    """mmaction_rawframes: believe how many frames the lists give a folder, or count its images (slower)."""
    classes: Names = ()
    """Class names in the order of their ids. Empty: the dataset's own."""
    first_label: Annotated[Literal[0, 1], BeforeValidator(_whole)] = 0
    """Lists of ids (csv, mmaction_video, mmaction_rawframes): the id of the first class, 1 where they count from 1."""
    val_fraction: Fraction = 0.2
    """A dataset without validation clips of its own: the share of clips held out."""
    split_seed: int = Field(default=0, ge=0)
    """A dataset without validation clips of its own: decides which clips are held out."""
    groups: PathText = ""
    """A CSV with columns `file` and `source`: clips of one source must stay on one side of the split."""
    group_pattern: RegexText = ""
    """The same as a regular expression: what its first (group) matches in a clip's path below `root` is the source."""
    quarantine: PathText = ""
    """A file of clips to leave out, one a line, as `ftwiz check` writes it. Where a recipe does not say: quarantine.txt
    beside the recipe or in `root`, if there is one."""
    short_side: int = Field(default=256, ge=8)
    """Frames are scaled until their short side has so many pixels, then cropped."""
    frame_size: int = Field(default=224, ge=8, validate_default=True)
    """Height and width of what the model sees."""
    crop: Literal["multiscale", "random_resized", "random"] = "multiscale"
    """Training crop. Validation takes the centre."""
    crop_scales: Scales = (1.0, 0.875, 0.75, 0.66)
    """multiscale: crop heights and widths to choose from, as shares of the short side."""
    crop_scale_gap: int = Field(default=1, ge=0)
    """multiscale: how many places of crop_scales a crop's height and width may lie apart."""
    crop_positions: Annotated[Literal[5, 13], BeforeValidator(_whole)] = 5
    """multiscale: the corners and the centre, or eight places between them too."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Chance that a training clip is mirrored left to right."""
    rand_augment: int = Field(default=0, ge=0, le=30)
    """RandAugment's magnitude for training clips, the same for all frames of one (9 is usual). 0: none."""
    rand_augment_ops: int = Field(default=2, ge=1)
    """RandAugment: how many operations one after the other."""
    balance: Literal["none", "weights", "sampler"] = "none"
    """Rare classes count as much as frequent ones: by the weight of their clips in the loss, or by more of them."""
    max_bad_fraction: float = Field(default=0.05, ge=0, le=1)
    """Stop when more than this share of all clips cannot be decoded."""

    @field_validator("group_pattern")
    @classmethod
    def _sources_are_named_once(cls, group_pattern: str, info: ValidationInfo) -> str:
        if group_pattern and info.data.get("groups"):
            raise ValueError("[dataset] groups names the sources already; keep one of the two")
        return group_pattern

    @field_validator("frame_size")
    @classmethod
    def _fits_into_the_frame(cls, frame_size: int, info: ValidationInfo) -> int:
        short_side = info.data.get("short_side", frame_size)
        if frame_size > short_side:
            raise ValueError(f"it is cut out of frames whose short_side is {short_side}, so it cannot be larger")
        return frame_size


class Schedule(Table):
    """Decision 3: optimiser, learning rate over time, epochs."""

    epochs: int = Field(default=50, ge=1)
    """How often the training clips are seen."""
    batch_size: Annotated[int, Field(ge=1)] | Auto = 32
    """Clips an optimiser step. "auto": as many as fit into memory at a time, found by trying."""
    micro_batch_size: Annotated[int, Field(ge=1)] | Auto = "auto"
    """Clips on the device at a time; their gradients add up to those of batch_size. "auto": all, or what fits."""
    lr: float = Field(default=0.01, gt=0)
    """Learning rate, meant for a batch of lr_batch_size clips."""
    lr_batch_size: int = Field(default=256, ge=0)
    """The batch that lr is meant for: lr is scaled linearly to the real batch. 0: use lr as it is."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd uses momentum and nesterov; adamw ignores them."""
    momentum: Fraction = 0.9
    """Momentum of sgd."""
    nesterov: bool = False
    """Nesterov momentum."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay (L2 for sgd, decoupled for adamw)."""
    head_lr_multiplier: float = Field(default=1.0, gt=0)
    """The new last layer learns so many times faster than the rest."""
    bias_lr_multiplier: float = Field(default=1.0, gt=0)
    """Biases learn so many times faster than weights."""
    decay_norm_and_bias: bool = True
    """Apply weight decay to normalisation layers and biases too."""
    grad_clip_norm: float = Field(default=40.0, ge=0)
    """Gradients are scaled down to this total norm. 0: never."""
    label_smoothing: Fraction = 0.0
    """Share of the target spread over all classes."""
    mixup: float = Field(default=0.0, ge=0)
    """Mixup's alpha: a clip is blended with its neighbour in the batch, and so are their classes. 0: never."""
    cutmix: float = Field(default=0.0, ge=0)
    """CutMix's alpha: a rectangle of a clip comes from its neighbour in the batch. 0: never."""
    freeze: str = Field(default="none", pattern=r"^(none|stem|stages:[1-9]\d*|backbone)$")
    """What keeps its pretrained weights: none, the stem, the stem and the first N stages (stages:2), the backbone."""
    freeze_batch_norm: bool = False
    """Scale and offset of batch normalisation keep their pretrained values in every epoch; with model.norm_eval its
    statistics do too."""
    unfreeze_at_epoch: int = Field(default=0, ge=0)
    """The epoch from which everything learns again. 0: what is frozen stays frozen."""
    lora: int = Field(default=0, ge=0)
    """LoRA's rank: of a transformer, only small corrections of its linear layers learn. 0: none. Needs ftwiz[lora]."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Each stage of the backbone learns so many times as fast as the one behind it (0.65 to 0.9 suit transformers)."""
    ema: Fraction = 0.0
    """Decay of the moving average of the weights, which is then what is validated and kept as best. 0: no average."""
    early_stopping: int = Field(default=0, ge=0)
    """Stop after so many validations in a row without a better result. 0: never."""
    retries_at_half_lr: int = Field(default=0, ge=0)
    """How often a loss that is not finite makes training go back to a checkpoint with half the learning rate."""
    lr_policy: Literal["step", "cosine", "constant"] = "step"
    """step multiplies by gamma at each milestone; cosine falls to 0 at the last epoch."""
    milestones: Ints = ()
    """step: the epochs after which lr is multiplied by gamma."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """step: the factor."""
    warmup_epochs: float = Field(default=0.0, ge=0)
    """lr rises linearly over so many epochs, from warmup_start times its value."""
    warmup_start: float = Field(default=0.1, gt=0, le=1)
    """Where the warm-up begins, as a share of lr."""
    validation_interval: int = Field(default=1, ge=1)
    """Validate after every so many epochs, and after the last."""
    checkpoint_interval: int = Field(default=1, ge=1)
    """Keep checkpoints/epoch-NNN.pt after every so many epochs (last.pt and best.pt are kept anyway)."""
    keep_checkpoints: int = Field(default=3, ge=0)
    """How many of the newest epoch-NNN.pt are kept. 0: all."""
    checkpoint_steps: int = Field(default=0, ge=0)
    """Save last.pt after every so many steps too, in the middle of an epoch. 0: not by steps."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """Save last.pt when so many minutes have passed since the last save. 0: not by time."""

    @field_validator("milestones")
    @classmethod
    def _milestones_rise(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError("the epochs must rise")
        return milestones


class Weights(Table):
    """Decision 4: where the pretrained parameters come from."""

    load_from: SourceText = ""
    """The whole network: a file, a run (runs/NAME, runs/NAME:best, runs/NAME:epoch-005), an http(s) address,
    hf://ORG/REPO or torchvision://NAME. Wins over `backbone`. Empty: none."""
    backbone: SourceText = ""
    """The backbone alone: torchvision://NAME, torchvision://NAME.VERSION, timm://NAME, or what load_from takes. Empty:
    none."""
    mirror: Mirrors = ()
    """Where to fetch from first: an http(s) address that stands for any server, or a folder of files; only for some
    addresses as "https://huggingface.co -> https://hf-mirror.com". One, or a list that is tried in its order."""
    allow_partial: bool = False
    """Train even when less than half of the backbone's parameters were found in the source."""


class Run(Table):
    """What the training runs on, and what it leaves behind."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto, cpu, cuda, cuda:N or mps."""
    gpus: int = Field(default=1, ge=1)
    """GPUs of this machine that share each batch (`ftwiz run --gpus`). On device = "cpu": so many processes."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on a GPU that has it, fp16 (with its loss scaled) on an older CUDA GPU, else fp32."""
    channels_last: bool | Auto = "auto"
    """Store images with the channels last, which convolutions in bf16 and fp16 like. "auto": on a CUDA GPU."""
    compile: bool = False
    """Compile the model with torch.compile: some minutes once, faster steps from then on."""
    tf32: bool = True
    """Let a CUDA GPU round fp32 matrix products to TF32 (not in deterministic mode)."""
    workers: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Processes that decode video. 0: decode in the training process, where nothing protects it from a bad file."""
    clip_timeout: float = Field(default=120.0, ge=0)
    """A clip that takes longer to decode, in seconds, is left out (not with workers = 0). 0: wait for ever."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides the initial head, the order of clips and every augmentation."""
    deterministic: bool = False
    """Only algorithms that give the same result every time, where that costs speed."""
    output: PathText = "runs"
    """Folder that run folders are made in."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...], BeforeValidator(_array)] = ()
    """Experiment trackers that get the measurements too; each needs its package (pip install "ftwiz[wandb]")."""
    log_interval: int = Field(default=10, ge=1)
    """A step event every so many steps."""
    average_clips: Literal["prob", "score"] = "prob"
    """Test time: average the crops' probabilities, or their scores before softmax."""
    test_segments: int = Field(default=0, ge=0)
    """Test time: frames a view. 0: as many as model.segments."""
    test_clips: int = Field(default=1, ge=1)
    """Test time, dense clips (model.clip_len): so many clips at even distances over the video. Frames spread over the
    video: 2 adds a clip of the first frame of each part to that of the middle ones."""
    test_crops: Annotated[Literal[1, 3, 10], BeforeValidator(_whole)] = 1
    """Test time: the centre; three along the long side; or four corners and the centre, each mirrored too."""
    test_short_side: int = Field(default=0, ge=0)
    """Test time: like dataset.short_side. 0: the same."""
    test_frame_size: int = Field(default=0, ge=0)
    """Test time: like dataset.frame_size; convolutional networks take larger frames than they were trained on. 0: the
    same."""

    @field_validator("gpus")
    @classmethod
    def _one_device_is_one(cls, gpus: int, info: ValidationInfo) -> int:
        device = info.data.get("device", "auto")
        if gpus > 1 and (device == "mps" or ":" in device):
            advice = 'device = "cuda" takes the first ones' if ":" in device else "gpus must be 1"
            raise ValueError(f'device = "{device}" is a single one; {advice}')
        return gpus


class Recipe(Table):
    """A whole fine-tuning, resolved: every key has a value."""

    name: str = ""
    """Names the run folder. Empty: the recipe file's name."""
    model: Model = Model()
    head: Head = Head()
    dataset: Dataset = Dataset()
    schedule: Schedule = Schedule()
    weights: Weights = Weights()
    run: Run = Run()

    @property
    def dataset_at_test_time(self) -> Dataset:
        """[dataset] with the sizes that [run] wants at test time."""
        size, short_side = self.run.test_frame_size, self.run.test_short_side
        return self.dataset.model_copy(
            update={
                "short_side": short_side or self.dataset.short_side,
                "frame_size": size or self.dataset.frame_size,
            }
        )


TABLES: dict[str, type[Table]] = {
    "model": Model, "head": Head, "dataset": Dataset, "schedule": Schedule, "weights": Weights, "run": Run,
}  # fmt: skip

# Keys that name a file or folder of the user's; a relative one is looked up beside the recipe, then in the working
# folder. weights.* belong here only when they are no address ("https://…", "torchvision://…"); a run's may end in
# :best.
PATH_KEYS = (
    "dataset.root", "dataset.val_root", "dataset.annotations", "dataset.train_list", "dataset.val_list",
    "dataset.groups", "dataset.quarantine", "weights.load_from", "weights.backbone",
)  # fmt: skip


# Written by `ftwiz check`, and found where no recipe names it.
QUARANTINE = "quarantine.txt"


# --- load, inherit, override ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resolved:
    """A recipe with the place that every value came from.

    origins: "table.key" (or "name") → "recipe.toml:12", "preset tsn-r50-kinetics400", "--set" or "default".
    """

    recipe: Recipe
    origins: Mapping[str, str]


def load_recipe(source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load a recipe file or a preset by name, with `overrides` ("table.key" → value) on top.

    Raises RecipeError, one line a problem, all problems at once.
    """
    return resolve_recipe(source, overrides).recipe


def resolve_recipe(source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Resolved:
    """Like `load_recipe`, and remember where each value came from."""
    layers = _read_chain(source)
    layers.append(_override_layer(overrides or {}))
    return _validate(layers)


def recipe_from(document: Mapping[str, Any], extends: str | os.PathLike[str] = "", label: str = "the recipe") -> Recipe:
    """Validate tables that are in memory (the wizard's draft), on top of the preset or file they extend."""
    layers = _read_chain(extends) if extends else []
    layers.append(_Layer(label=label, document=dict(document)))
    return _validate(layers).recipe


def parse_override(text: str) -> tuple[str, Any]:
    """`schedule.lr=0.01` → ("schedule.lr", 0.01). The value is TOML; what is not, is text.

    So `run.device=cpu` needs no quotes, nor does text whose quotes the shell has taken away.
    """
    key, equals, value_text = (part.strip() for part in text.partition("="))
    if not equals or not re.fullmatch(r"name|[a-z_]+\.[a-z_]+", key):
        raise RecipeError(f"--set {text}: write it as table.key=value, for example --set schedule.lr=0.01.")
    try:
        document = tomllib.loads(f"value = {value_text}")
        if len(document) == 1:
            return key, document["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        if value_text.startswith(("[", "{", '"', "'")):
            raise RecipeError(f"--set {text}: the value is not complete; is a quote or a bracket missing?") from None
    return key, value_text


def preset_names() -> list[str]:
    """The presets that ship with ftwiz, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _presets().iterdir() if entry.name.endswith(".toml"))


def preset_path(name: str) -> Path:
    """The file of a preset."""
    return Path(str(_presets() / f"{name}.toml"))


def _presets() -> Any:
    return resources.files("presets")


@dataclass
class _Layer:
    """One source of values, the deeper ones later in the chain."""

    label: str
    document: dict[str, Any]
    path: Path | None = None
    lines: dict[str, int] = field(default_factory=dict)

    def where(self, key: str) -> str:
        line = self.lines.get(key) or self.lines.get(key.partition(".")[0])  # an inline table has one line for all
        return f"{self.label}:{line}" if line else self.label


def _read_chain(source: str | os.PathLike[str]) -> list[_Layer]:
    """The file or preset and everything it extends, the base first."""
    chain: list[_Layer] = []
    seen: list[Path] = []
    said_at = ""
    path, label = _find(source, beside=None)
    while True:
        if path.resolve() in seen:
            names = " → ".join(p.name for p in [*seen, path])
            raise RecipeError(f"{said_at}: `extends` goes in a circle: {names}. Remove one of them.")
        seen.append(path.resolve())
        layer = _read_layer(path, label)
        chain.insert(0, layer)
        parent = layer.document.pop("extends", "")
        said_at = layer.where("extends")
        if not isinstance(parent, str):
            raise RecipeError(f"{said_at}: extends must be a preset's name or a path in quotes, not {_shown(parent)}.")
        if not parent:
            return chain
        path, label = _find(parent, beside=path, said_at=said_at)


def _find(source: str | os.PathLike[str], beside: Path | None, said_at: str = "") -> tuple[Path, str]:
    """A preset's name or a path (relative to the file that names it) → the file and how to call it in messages."""
    text = os.fspath(source)
    if text in preset_names():
        return preset_path(text), f"preset {text}"
    path = Path(os.path.expanduser(text))
    path = beside.parent / path if beside else path
    if _exists(path) and not path.is_dir():
        return path, str(path)
    prefix = f"{said_at}: extends = " if said_at else ""
    if _exists(path):
        raise RecipeError(f'{prefix}"{text}" is a folder; name the recipe file in it.')
    close = _nearest(text.removesuffix(".toml"), preset_names())
    hint = (
        f'did you mean the preset "{close}"?' if close else "`ftwiz presets` lists them, `ftwiz new` writes a recipe."
    )
    raise RecipeError(f'{prefix}"{text}" is neither a file nor a preset; {hint}')


def _read_layer(path: Path, label: str) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise RecipeError(f"{label}: not a text file (byte {error.start} is not UTF-8); is it a recipe?") from None
    except OSError as error:
        raise RecipeError(f"{label}: cannot be read: {error.strerror}.") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)|\(at end of document\)", str(error))
        line = at.group(1) if at and at.group(1) else str(text.count("\n") + 1)
        reason = re.sub(r"\s*\(at [^)]*\)", "", str(error))
        raise RecipeError(f"{label}:{line}: not valid TOML: {reason}.") from None
    except RecursionError:
        raise RecipeError(f"{label}: not valid TOML: nested too deeply.") from None
    return _Layer(label=label, document=document, path=path, lines=_line_numbers(text))


def _line_numbers(text: str) -> dict[str, int]:
    """ "table.key" → line, for messages. Reads the usual layout; what it cannot place simply has no line."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[{1,2}\s*([\w.-]+)\s*\]", line):
            table = header.group(1)
            lines.setdefault(table, number)
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            lines.setdefault(f"{table}.{key.group(1)}" if table else key.group(1), number)
    return lines


def _override_layer(overrides: Mapping[str, Any]) -> _Layer:
    return _layer_of("--set", overrides)


def _layer_of(label: str, values: Mapping[str, Any]) -> _Layer:
    """Values by "table.key", all from one place."""
    document: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, name = key.partition(".")
        if dot:
            document.setdefault(table, {})[name] = value
        else:
            document[table] = value
    return _Layer(label=label, document=document)


# --- validate ---------------------------------------------------------------------------------------------------------


def _validate(layers: list[_Layer]) -> Resolved:
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    try:
        layers = _with_the_networks_folder(layers)
    except RecipeError as error:
        problems.append(str(error))
    for layer in layers:
        for table, values in layer.document.items():
            if table in TABLES and isinstance(values, Mapping):
                merged.setdefault(table, {})
                for key, value in values.items():
                    merged[table][key] = _beside(layer, value) if f"{table}.{key}" in PATH_KEYS else value
                    origins[f"{table}.{key}"] = layer.where(f"{table}.{key}")
            elif table in TABLES:
                problems.append(f"{layer.where(table)}: {table} is a table; write [{table}] on a line of its own.")
            else:
                merged[table] = values
                origins[table] = layer.where(table)
    if "dataset.quarantine" not in origins and (found := _quarantine(layers, merged)):
        merged.setdefault("dataset", {})["quarantine"] = str(found)
        origins["dataset.quarantine"] = "the file is there"
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        problems += _sentences(error, origins)
        recipe = Recipe()
    problems += _unlike_the_folder(layers, recipe, origins)
    if problems:
        raise RecipeError("\n".join(problems))
    for table, model in TABLES.items():
        for key in model.model_fields:
            origins.setdefault(f"{table}.{key}", "default")
    origins.setdefault("name", "default")
    return Resolved(recipe, origins)


def _with_the_networks_folder(layers: list[_Layer]) -> list[_Layer]:
    """Of a network of Hugging Face transformers, the recipe's tables and what its folder says besides: it counts as
    said right before the file that names the folder. Raises RecipeError where the folder is none of a network."""
    if _said(layers, "model", "recognizer") != "transformers":
        return layers
    place = max((place for place, layer in enumerate(layers) if _said([layer], "model", "backbone")), default=0)
    naming, backbone = layers[place], _said(layers, "model", "backbone")
    of_another = _said(layers[: place + 1], "model", "recognizer") != "transformers"  # a preset's resnet50, say
    if of_another or not backbone or not isinstance(backbone, str):
        raise RecipeError(
            f'{_where(layers, "model.recognizer")}: [model] recognizer = "transformers" needs backbone: the folder of '
            "a model with its config.json, or hf://ORG/REPO."
        )
    if _said(layers[place:], "model", "backbone_config"):
        return layers
    source = os.path.expanduser(_beside(naming, backbone))
    try:
        config_file, processor = hugging_face.described(source, _mirrors_in(layers))
        config, words = hugging_face.read_config(config_file), hugging_face.normalisation(processor)
    except RecipeError as error:
        raise RecipeError(f"{naming.where('model.backbone')}: {error}") from None
    frames, size = hugging_face.frames_and_size(config)
    table = "clip_len" if _said(layers, "model", "clip_len") else "segments"
    size = size or words.get("dataset.frame_size")
    of_config = {
        "model.backbone_config": hugging_face.as_text(config),
        f"model.{table}": frames,
        "dataset.frame_size": size,
        "dataset.short_side": max(size or 0, Dataset.model_fields["short_side"].default),
        "weights.load_from": source if hugging_face.has_weights(source) else "",
    }
    said = [
        _layer_of(str(config_file), {key: value for key, value in of_config.items() if value is not None}),
        _layer_of(str(processor or ""), {key: value for key, value in words.items() if key != "dataset.frame_size"}),
    ]
    naming = replace(naming, document={**naming.document, "model": {**naming.document["model"], "backbone": source}})
    return [*layers[:place], *said, naming, *layers[place + 1 :]]


def _said(layers: list[_Layer], table: str, key: str) -> Any:
    """What the deepest of these layers says of a key; None where none does."""
    tables = [layer.document.get(table) for layer in layers]
    return next((values[key] for values in reversed(tables) if isinstance(values, Mapping) and key in values), None)


def _mirrors_in(layers: list[_Layer]) -> tuple[str, ...]:
    """[weights] mirror, before the whole recipe is validated; () where it is wrong, which is told then."""
    try:
        return tuple(_mirror(rule) for rule in _mirrors(_said(layers, "weights", "mirror") or ()))
    except (ValueError, TypeError, AttributeError):
        return ()


def _where(layers: list[_Layer], key: str) -> str:
    """The deepest layer that says a key, and its line there."""
    table, _, name = key.partition(".")
    return next((layer.where(key) for layer in reversed(layers) if _said([layer], table, name) is not None), "")


def _unlike_the_folder(layers: list[_Layer], recipe: Recipe, origins: Mapping[str, str]) -> list[str]:
    """A sentence for each number that the frames would be normalised with, other than the network was trained with."""
    sentences = []
    for layer in layers:
        if layer.label.endswith(hugging_face.PROCESSORS):
            for key, wanted in layer.document.get("model", {}).items():
                given = getattr(recipe.model, key)
                if max(abs(one - other) for one, other in zip(given, wanted, strict=False)) > 0.01:
                    sentences.append(
                        f"{origins[f'model.{key}']}: [model] {key} is {_shown(given)}, but {layer.label} says "
                        f"{_shown(wanted)}; leave it out, and that is taken."
                    )
    return sentences


def _quarantine(layers: list[_Layer], merged: Mapping[str, Any]) -> Path | None:
    """The quarantine.txt that lies beside the recipe file or in [dataset] root, in the spelling that these have."""
    files = [layer.path for layer in layers if layer.path and not layer.label.startswith("preset ")]
    places = [files[-1].parent] if files else []
    root = merged.get("dataset", {}).get("root")
    if root and isinstance(root, str):
        places.append(Path(os.path.expanduser(root)))
    return next((found for place in places if _exists(found := place / QUARANTINE) and found.is_file()), None)


def _beside(layer: _Layer, value: Any) -> Any:
    """A relative path that exists beside the recipe file means that one; else it is the working folder's."""
    if layer.path is None or not isinstance(value, str):
        return value
    if not value or "://" in value or value.startswith("~") or Path(value).is_absolute():
        return value
    run, checkpoint = _of_a_run(value)
    beside = layer.path.parent / run
    here = layer.path.parent.resolve() == Path.cwd()
    return f"{beside.resolve()}{checkpoint}" if not here and _exists(beside) else value


def _of_a_run(source: str) -> tuple[str, str]:
    """runs/NAME:best → runs/NAME and :best; anything else is a path as it is, without more."""
    found = re.fullmatch(r"(.+)(:(?:best|last|epoch-\d+))", source)
    return (found[1], found[2]) if found and not _exists(Path(source)) else (source, "")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the system, or with a NUL in it, exists nowhere
        return False


def _sentences(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """Pydantic's findings as one sentence a key. A union ("auto" or a number) reports a finding a branch: join them."""
    by_key: dict[tuple[str, ...], list[Any]] = {}
    for finding in error.errors():
        by_key.setdefault(tuple(str(part) for part in finding["loc"][:2]), []).append(finding)
    return [_sentence(loc, findings, origins) for loc, findings in by_key.items()]


def _sentence(loc: tuple[str, ...], findings: list[Any], origins: Mapping[str, str]) -> str:
    where = origins.get(".".join(loc), "the recipe")
    kinds = {finding["type"] for finding in findings}
    if kinds == {"extra_forbidden"}:
        return f"{where}: {_unknown(loc)}"
    name = f"[{loc[0]}] {loc[1]}" if len(loc) == 2 else loc[0]
    if kinds == {"value_error"}:
        return f"{where}: {name} is {_shown(findings[0]['input'])}: {findings[0]['ctx']['error']}."
    if isinstance(findings[0]["loc"][-1], int):
        name = f"every item of {name}"
    wanted = " or ".join(dict.fromkeys(_wanted(finding) for finding in findings))
    sentence = f"{where}: {name} must be {wanted}, not {_shown(findings[0]['input'])}"
    if "literal_error" in kinds and isinstance(findings[0]["input"], str):
        choices = re.findall(r"'([^']*)'", " ".join(str(f.get("ctx", {}).get("expected", "")) for f in findings))
        if close := _nearest(findings[0]["input"], choices):
            sentence += f'; did you mean "{close}"?'
            return sentence
    return sentence + "."


def _unknown(loc: tuple[str, ...]) -> str:
    if len(loc) == 1:
        known = [*TABLES, "name", "extends"]
        close = _nearest(loc[0], known)
        for table, model in TABLES.items():
            if loc[0] in model.model_fields:
                return f"{loc[0]} stands outside a table; it belongs under [{table}]."
        hint = f"did you mean [{close}]?" if close else f"the tables are {', '.join(f'[{t}]' for t in TABLES)}."
        return f"[{loc[0]}] is not a table of a recipe; {hint}"
    table, key = loc
    for other, model in TABLES.items():
        if key in model.model_fields:
            return f"[{table}] {key} is not a known key here; it belongs under [{other}]."
    known = list(TABLES[table].model_fields)
    close = _nearest(key, known)
    hint = f"did you mean {close}?" if close else f"[{table}] has {', '.join(known)}."
    return f"[{table}] {key} is not a known key; {hint}"


_TYPES = {
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "string_type": "text in quotes",
    "tuple_type": "a list in [brackets]",
    "finite_number": "a finite number", "model_type": "a table", "model_attributes_type": "a table",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("above", "gt"), "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"), "less_than_equal": ("at most", "le"),
}  # fmt: skip
_PATTERNS = {"device": "auto, cpu, mps, cuda or cuda:N", "freeze": "none, stem, stages:N or backbone"}


def _wanted(finding: Any) -> str:
    kind, context = finding["type"], finding.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        bound = context[key]
        return f"{words} {bound:g}" if isinstance(bound, float) else f"{words} {bound}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    if kind == "string_pattern_mismatch":
        return _PATTERNS[finding["loc"][-1]]
    return str(finding["msg"])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(list(value) if isinstance(value, tuple) else value)
    text = text if len(text) <= 80 else f"{text[:79]}…"
    return f'the text "{text}"' if isinstance(value, str) else text


def _nearest(word: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), "")


# --- save -------------------------------------------------------------------------------------------------------------


def document_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain TOML data, every key spelt out."""
    return recipe.model_dump(mode="python")


def changes_from(base: Recipe, recipe: Recipe) -> dict[str, Any]:
    """Only the keys in which `recipe` differs from `base`: what a recipe that extends `base` must say."""
    changes: dict[str, Any] = {}
    if recipe.name != base.name:
        changes["name"] = recipe.name
    for table in TABLES:
        mine, theirs = getattr(recipe, table).model_dump(), getattr(base, table).model_dump()
        if differing := {key: value for key, value in mine.items() if value != theirs[key]}:
            changes[table] = differing
    return changes


def to_toml(document: Mapping[str, Any]) -> str:
    """TOML text of a recipe document, in the order name, extends, then the tables."""
    return tomli_w.dumps(dict(document))


def save_recipe(recipe: Recipe, path: str | os.PathLike[str]) -> None:
    """Write a recipe that is complete on its own and loads back equal."""
    write_text(Path(path), to_toml(document_of(recipe)))


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The same recipe, independent of the working folder: what a run folder keeps."""
    document = document_of(recipe)
    for key in PATH_KEYS:
        table, name = key.split(".")
        value = document[table][name]
        if value and "://" not in value:
            document[table][name] = str(Path(value).absolute())
    if recipe.model.recognizer == "transformers" and "://" not in recipe.model.backbone:
        document["model"]["backbone"] = str(Path(recipe.model.backbone).absolute())
    return Recipe.model_validate(document)


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, so that editors complete and check keys as they are typed."""
    schema = Recipe.model_json_schema()
    schema["title"] = "ftwiz recipe"
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["properties"] = {
        "extends": {"type": "string", "description": "A preset's name, or a path relative to this file."},
        **schema["properties"],
    }
    return schema
