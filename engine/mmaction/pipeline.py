"""Pipelines of transforms: frames ([model]), crop and mirroring ([dataset]), views at test time ([run]).

`_TRAINING` is the table to extend: the type of a transform → how its arguments become keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.mmaction.draft import Draft
from engine.mmaction.model import read_normalisation
from engine.mmaction.section import Section

# Reading files, and the layout in memory: ftwiz has its own ways, and the result is the same.
_WITHOUT_INFLUENCE = (
    "Collect", "DecordDecode", "DecordInit", "FormatShape", "Fuse", "ImageDecode", "OpenCVDecode", "OpenCVInit",
    "PackActionInputs", "PIMSDecode", "PIMSInit", "PyAVDecode", "PyAVInit", "RawFrameDecode", "Rename", "ToTensor",
    "Transpose",
)  # fmt: skip
_SAMPLERS = ("SampleFrames", "DenseSampleFrames", "UniformSample", "UniformSampleFrames")


def read_training(steps: list[Section], frames_together: bool, draft: Draft) -> None:
    """Carry the training pipeline over. frames_together: for a 3D network."""
    steps = _steps(steps)
    kinds = [step.kind() for step in steps]
    for step, kind in zip(steps, kinds, strict=True):
        if kind in _SAMPLERS:
            _sampling(step, kind, frames_together, draft)
        elif kind == "Resize" and not step.take("keep_ratio", True):
            _frame_size(step.size("scale"), step.name("scale"), draft)
            step.without_influence("interpolation", "lazy")
        elif kind in ("Resize", "RandomRescale"):
            _training_short_side(step, kind, any(crop in kinds for crop in _RELATIVE_CROPS), draft)
        elif kind == "Normalize":
            read_normalisation(step, draft)
        elif kind in _TRAINING:
            _TRAINING[kind](step, draft)
        else:
            arguments = ", ".join(f"{key}={value!r}" for key, value in step.values.items() if key != "type")
            draft.leave_out(f"{kind}({_cut(arguments)}) in the training pipeline", "recipes have no such augmentation")
            step.without_influence(*step.values)
    if "Flip" not in kinds:
        draft.set("dataset.flip", 0.0, "no Flip in the training pipeline")
    if not any("Crop" in kind for kind in kinds):
        draft.leave_out("the training pipeline has no random crop", "training crops at random here")


def read_validation(steps: list[Section], draft: Draft) -> None:
    """Validation is the middle of the frames here; say where the config means something else."""
    for step in _steps(steps):
        if step.kind() == "Resize" and "scale" in step and step.take("keep_ratio", True):
            _validation_short_side(step, draft)
        elif step.kind() == "CenterCrop":
            _validation_size(step, draft)
        elif step.kind() in ("ThreeCrop", "TenCrop"):
            draft.leave_out(f"{step.kind()} in the validation pipeline", "validation takes the centre here")
        step.without_influence(*step.values)  # the rest repeats what training says


def read_test(steps: list[Section], frames_together: bool, draft: Draft) -> None:
    """Carry the test pipeline over: how many clips or frames, and which crops."""
    draft.set("run.test_crops", 1, "no crop in the test pipeline")
    for key in ("run.test_short_side", "run.test_frame_size"):
        draft.set(key, 0, "no size in the test pipeline")
    for step in _steps(steps):
        kind = step.kind()
        if kind in _SAMPLERS:
            if "model.clip_len" not in draft.values and "model.segments" not in draft.values:  # it only tests
                _sampling_by_test(step, kind, frames_together, draft)
            _test_sampling(step, kind, draft)
        elif kind in _TEST_CROPS:
            draft.set("run.test_crops", _TEST_CROPS[kind], f"{kind} in the test pipeline")
            _set_where_it_differs("test_frame_size", _square(step.size("crop_size")), f"{kind}.crop_size", draft)
        elif kind == "Resize" and step.take("keep_ratio", True):
            _set_where_it_differs("test_short_side", _side(step, draft), "Resize.scale", draft)
        elif kind == "Normalize" and "model.mean" not in draft.values:
            read_normalisation(step, draft)
        step.without_influence(*step.values)


# --- frames -----------------------------------------------------------------------------------------------------------


def _sampling(step: Section, kind: str, frames_together: bool, draft: Draft) -> None:
    """A recognizer sees `segments` frames spread over the video, or `clip_len` neighbouring ones."""
    clip_len, clips = step.whole("clip_len", 1), step.whole("num_clips", 1)
    interval = step.whole("frame_interval", 1)
    if draft.values.get("model.modality") == "flow":
        draft.set("model.flow_length", clip_len, step.source("clip_len"))
        draft.set("model.segments", clips, step.source("num_clips"))
    elif kind.startswith("UniformSample"):
        _spread(clip_len, step.name("clip_len"), draft)
        _expect_one_clip(step, clips, draft)
    elif kind == "DenseSampleFrames" and clip_len == 1:
        # One frame each 64 / num_clips: the same as a clip of so many frames.
        step_between = step.whole("sample_range", 64) // max(clips, 1)
        _dense(clips, step_between, f"DenseSampleFrames.num_clips, over {clips * step_between} frames", draft)
    elif clip_len == 1 and not (frames_together and clips == 1):
        _spread(clips, step.name("num_clips"), draft)
    else:
        _dense(clip_len, interval, step.name("clip_len"), draft)
        draft.sources["model.frame_interval"] = step.name("frame_interval")
        _expect_one_clip(step, clips, draft)
    step.expect("temporal_jitter", False)
    step.expect("twice_sample", False)
    step.expect("out_of_bound_opt", "loop")
    step.expect("keep_tail_frames", False)
    step.expect("target_fps", None, why="frames are taken as they are in the file")
    step.expect("num_sample_positions", 10)
    step.without_influence("test_mode", "start_index", "seed")


def _sampling_by_test(step: Section, kind: str, frames_together: bool, draft: Draft) -> None:
    """What a config that only tests tells of the frames that the model sees: of TSN, nothing, which may be tested with
    more of them."""
    if frames_together and not kind.startswith("UniformSample"):
        _dense(
            step.whole("clip_len", 1), step.whole("frame_interval", 1), f"{kind}.clip_len in the test pipeline", draft
        )
    elif frames_together or kind == "DenseSampleFrames" or draft.values["model.recognizer"] != "tsn":
        _sampling(step, kind, frames_together, draft)


def _spread(segments: int, source: str, draft: Draft) -> None:
    draft.set("model.segments", segments, source)
    draft.set("model.clip_len", 0, source)


def _dense(clip_len: int, frame_interval: int, source: str, draft: Draft) -> None:
    draft.set("model.clip_len", clip_len, source)
    draft.set("model.frame_interval", frame_interval, source)


def _expect_one_clip(step: Section, clips: int, draft: Draft) -> None:
    if clips != 1:
        draft.leave_out(f"{step.name('num_clips')} = {clips}", "training sees one clip of a video at a time here")


def _test_sampling(step: Section, kind: str, draft: Draft) -> None:
    clips, source = step.whole("num_clips", 1), f"{kind}.num_clips in the test pipeline"
    dense, segments = bool(draft.values.get("model.clip_len")), draft.values.get("model.segments")
    if kind == "DenseSampleFrames":  # clips from so many places of the video; of frames, all of them make one clip
        positions = step.whole("num_sample_positions", 10)
        clips = positions if step.whole("clip_len", 1) == 1 else positions * clips
        source = "DenseSampleFrames.num_sample_positions in the test pipeline"
    frames = clips if draft.values["model.recognizer"] == "tsn" or segments in (clips, None) else 0
    if kind.startswith("UniformSample"):
        frames = 0
        if clips != 1:
            draft.leave_out(f"{source} = {clips}", "frames spread over the video are one clip here")
    elif not dense and not frames:
        draft.leave_out(f"{source} = {clips}", "the model sees as many frames as in training")
    twice = not dense and step.take("twice_sample", False)
    draft.set("run.test_clips", clips if dense else 2 if twice else 1, step.name("twice_sample") if twice else source)
    draft.set("run.test_segments", 0 if dense else frames, source)
    if fps := step.take("target_fps"):
        draft.leave_out(f"{kind}.target_fps = {fps} in the test pipeline", "frames are taken as they are in the file")
    if dense and step.take("twice_sample", False):
        draft.leave_out(f"{kind}.twice_sample in the test pipeline", "it is for frames spread over the video here")


# --- size, crop, mirror -----------------------------------------------------------------------------------------------


def _training_short_side(step: Section, kind: str, relative: bool, draft: Draft) -> None:
    """What frames are scaled to before they are cropped. relative: the crop is a share of whatever is there, so that
    only the resolution is concerned."""
    if kind == "RandomRescale":
        low, high = step.size("scale_range", (256, 320))
        draft.set("dataset.short_side", low, step.source("scale_range"))
        if not relative:
            draft.leave_out(f"{step.name('scale_range')} = {(low, high)}", f"the short side is always {low} here")
    else:
        side = _side(step, draft, exact=not relative)
        draft.set("dataset.short_side", side, step.source("scale"))
    step.without_influence("interpolation", "lazy")


def _validation_short_side(step: Section, draft: Draft) -> None:
    side, source = _side(step, draft), "Resize.scale in the validation pipeline"
    if draft.values.get("dataset.crop") == "random" and draft.values.get("dataset.short_side") not in (None, side):
        draft.leave_out(f"{source} = {side}", "validation has the short side of training here")
    elif draft.values.get("dataset.short_side") != side:  # the one of training has no influence on relative crops
        draft.set("dataset.short_side", side, source)


def _validation_size(step: Section, draft: Draft) -> None:
    size, known = _square(step.size("crop_size")), draft.values.get("dataset.frame_size")
    source = "CenterCrop.crop_size in the validation pipeline"
    if known is None:
        _frame_size(size, source, draft)
    elif size != known:
        draft.leave_out(f"{source} = {size}", f"validation sees {known} x {known} here, as training does")


def _set_where_it_differs(name: str, size: Any, source: str, draft: Draft) -> None:
    """Test-time sizes: 0 where [dataset] says the same."""
    same = draft.values.get(f"dataset.{name.removeprefix('test_')}") == size
    draft.set(f"run.{name}", 0 if same else size, f"{source} in the test pipeline")


def _side(step: Section, draft: Draft, exact: bool = True) -> Any:
    """Resize with `keep_ratio`: (-1, 256) is a short side of 256, (340, 256) fits the frame into 340 x 256."""
    scale = step.size("scale")
    if not isinstance(scale, tuple):
        return scale
    side = min(scale) if min(scale) > 0 else max(scale)
    if min(scale) > 0 and exact:
        why = f"frames are scaled to a short side of {side}, also those wider than {max(scale)}:{side}"
        draft.leave_out(f"Resize.scale = {tuple(scale)}", why)
    return side


def _square(size: Any) -> Any:
    """(224, 224) and 224 are the same."""
    return size[0] if isinstance(size, list | tuple) and len(set(size)) == 1 else size


def _frame_size(size: Any, source: str, draft: Draft) -> None:
    if size is None:
        return
    width, height = size if isinstance(size, tuple) else (size, size)
    if width != height:
        draft.leave_out(f"{source} = {size!r}", "the model sees squares here")
    elif draft.values.get("dataset.short_side", width) < width:
        draft.set("dataset.short_side", width, f"{source}, which is larger than the short side there")
        draft.set("dataset.frame_size", width, source)
    else:
        draft.set("dataset.frame_size", width, source)


def _multi_scale_crop(step: Section, draft: Draft) -> None:
    draft.set("dataset.crop", "multiscale", "MultiScaleCrop")
    _frame_size(step.size("input_size"), step.name("input_size"), draft)
    draft.set("dataset.crop_scales", tuple(step.numbers("scales", (1,))), step.name("scales"))
    draft.set("dataset.crop_scale_gap", step.whole("max_wh_scale_gap", 1), step.source("max_wh_scale_gap"))
    draft.set("dataset.crop_positions", step.whole("num_fixed_crops", 5), step.source("num_fixed_crops"))
    step.expect("random_crop", False, why="crops stand at fixed places here")
    step.without_influence("lazy")


def _random_resized_crop(step: Section, draft: Draft) -> None:
    draft.set("dataset.crop", "random_resized", "RandomResizedCrop")
    step.expect("area_range", (0.08, 1.0))
    step.expect("aspect_ratio_range", (3 / 4, 4 / 3))
    step.without_influence("lazy")


def _random_crop(step: Section, draft: Draft) -> None:
    draft.set("dataset.crop", "random", "RandomCrop")
    _frame_size(step.size("size"), step.name("size"), draft)
    step.without_influence("lazy")


def _centre_crop(step: Section, draft: Draft) -> None:
    draft.leave_out("CenterCrop in the training pipeline", "training crops at random here")
    _frame_size(step.size("crop_size"), step.name("crop_size"), draft)
    step.without_influence("lazy")


def _flip(step: Section, draft: Draft) -> None:
    draft.set("dataset.flip", step.number("flip_ratio", 0.5), step.source("flip_ratio"))
    step.expect("direction", "horizontal")
    if "flip_label_map" in step:
        draft.leave_out(
            f"{step.name('flip_label_map')} = {step.take('flip_label_map')}",
            "left and right change places by the classes' names here: write them as [dataset] classes, then mirror",
        )
        draft.set("dataset.flip", 0.0, f"{step.name('flip_ratio')} there, with a flip_label_map; see below")
    step.without_influence("lazy")


def _rand_augment(step: Section, draft: Draft) -> None:
    """PyTorchVideo counts magnitudes up to 10, torchvision up to 30; their operations are nearly the same."""
    if step.take("op", step.kind().removeprefix("pytorchvideo.")) != "RandAugment":
        draft.leave_out(f"{step.path}(op={step.take('op')!r})", "recipes have no such augmentation")
        step.without_influence(*step.values)
        return
    draft.set("dataset.rand_augment", round(3 * step.number("magnitude", 9)), "RandAugment.magnitude x 3, of 30")
    draft.set("dataset.rand_augment_ops", step.number("num_layers", 2), "RandAugment.num_layers")


_TRAINING: dict[str, Callable[[Section, Draft], None]] = {
    "CenterCrop": _centre_crop,
    "Flip": _flip,
    "MultiScaleCrop": _multi_scale_crop,
    "PytorchVideoWrapper": _rand_augment,  # as 1.x calls it
    "pytorchvideo.RandAugment": _rand_augment,  # and 0.x
    "RandomCrop": _random_crop,
    "RandomResizedCrop": _random_resized_crop,
}
_RELATIVE_CROPS = ("MultiScaleCrop", "RandomResizedCrop")
_TEST_CROPS = {"CenterCrop": 1, "ThreeCrop": 3, "TenCrop": 10}


def _steps(steps: list[Section]) -> list[Section]:
    """The steps that matter; the others count as read."""
    for step in steps:
        if step.kind() in _WITHOUT_INFLUENCE:
            step.without_influence(*step.values)
    return [step for step in steps if step.kind() not in _WITHOUT_INFLUENCE]


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
