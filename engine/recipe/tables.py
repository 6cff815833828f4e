"""The tables of a recipe with their keys and defaults: the four decisions, and [model] and [run] beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from engine.recipe.values import (
    Auto,
    BackboneConfig,
    Channels,
    Fraction,
    ImageNames,
    Ints,
    Mirrors,
    Names,
    PathText,
    Recognizer,
    RegexText,
    Scales,
    SourceText,
    as_tuple,
    whole_number,
)


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
    split: Annotated[Literal[1, 2, 3], BeforeValidator(whole_number)] = 1
    """ucf101: which official split."""
    clips: Literal["segments", "videos"] = "segments"
    """activitynet: a clip is an annotated segment, or a whole video under its first label."""
    filename_template: ImageNames = "auto"
    """Folders of frames: what the images are called, such as "img_{:05}.jpg", or "flow_{}_{:05}.jpg" for x and y of
    flow. auto: as seen on disk."""
    start_index: Annotated[int, Field(ge=0), BeforeValidator(whole_number)] | Auto = "auto"
    """Folders of frames: the number of the first image. auto: as seen on disk."""
    with_offset: bool | Auto = "auto"
    """mmaction_rawframes: the lists' columns are folder, first frame, frames, label; false: folder, frames, label or
    labels. auto: what the folders on disk allow."""
    frame_counts: Literal["list", "disk"] = "list"
    """mmaction_rawframes: believe how many frames the lists give a folder, or count its images (slower)."""
    classes: Names = ()
    """Class names in the order of their ids. Empty: the dataset's own."""
    first_label: Annotated[Literal[0, 1], BeforeValidator(whole_number)] = 0
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
    crop_positions: Annotated[Literal[5, 13], BeforeValidator(whole_number)] = 5
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
    trackers: Annotated[
        tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...], BeforeValidator(as_tuple)
    ] = ()
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
    test_crops: Annotated[Literal[1, 3, 10], BeforeValidator(whole_number)] = 1
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
