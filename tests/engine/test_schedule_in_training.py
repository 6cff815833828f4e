"""The schedule's promises on numbers: parts of a batch, what is frozen, averages, mixtures, memory that runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import engine.set_up
import engine.training
from engine.checkpoint import load_checkpoint, weights_in
from engine.dataset.balance import chances, class_weights
from engine.dataset.clips import Clip
from engine.dataset.loader import Batch, Batches
from engine.errors import DataError, DeviceError, RecipeError
from engine.events import EventLog, RunFinished
from engine.loss import build_loss
from engine.memory import largest_batch
from engine.meter import Meter
from engine.mixing import build_mix
from engine.model import build_model
from engine.recipe import Recipe, Schedule, load_recipe, recipe_from
from engine.run_folder import RunFolder, create_run_folder
from engine.schedule import build_average, parameter_groups, set_frozen
from engine.train import fit, train_epoch
from tests.clips import make_dataset, write_recipe

pytestmark = pytest.mark.slow  # `make quick` does without

# Batch statistics and dropout depend on how a batch is parted; without them only rounding does.
SAME_IN_PARTS = {"model": "norm_eval = true\nsegments = 2", "head": "dropout = 0.0"}
RESNET = 'backbone = "resnet10_slim"\nsegments = 2'


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def train(tmp_path: Path, videos: Path) -> Callable[..., RunFolder]:
    """Trains in this process, in a run folder of its own."""

    def train(name: str, **tables: str) -> RunFolder:
        recipe = load_recipe(write_recipe(tmp_path / f"{name}.toml", videos, **tables))
        run = create_run_folder(recipe, tmp_path / name, datetime.now())
        fit(load_recipe(run.recipe), run.path)
        return run

    return train


def weights(run: RunFolder, name: str = "last.pt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run.checkpoints / name)["model"]


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def messages(run: RunFolder) -> list[str]:
    return [message.text for message in run.state().messages]


# --- a batch in parts -------------------------------------------------------------------------------------------------


def test_a_batch_in_parts_gives_the_same_weights(train: Callable[..., RunFolder]) -> None:
    whole = train("whole", **SAME_IN_PARTS, schedule="batch_size = 4\nlr = 0.05")
    parts = train("parts", **SAME_IN_PARTS, schedule="batch_size = 4\nmicro_batch_size = 1\nlr = 0.05")
    other = train("other", **SAME_IN_PARTS, schedule="batch_size = 2\nlr = 0.05")
    assert largest_difference(weights(whole), weights(parts)) < 1e-5
    assert largest_difference(weights(whole), weights(other)) > 1e-3
    assert whole.state().total_steps == parts.state().total_steps == 6


def test_memory_that_runs_out_halves_what_is_done_at_a_time_and_nothing_else(
    train: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {**SAME_IN_PARTS, "schedule": "batch_size = 4\nlr = 0.05"}
    expected = train("expected", **tables)
    real_build = engine.set_up.build_model

    def build_small_device(recipe: Recipe) -> nn.Module:
        model = real_build(recipe)

        def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if module.training and len(inputs[0]) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        model.register_forward_pre_hook(refuse)
        return model

    monkeypatch.setattr(engine.set_up, "build_model", build_small_device)
    small = train("small", **tables)
    assert largest_difference(weights(expected), weights(small)) < 1e-5
    said = [text for text in messages(small) if "Out of memory" in text]
    assert len(said) == 2 and "step 1 with 4 clips at a time: goes on with 2" in said[0] and "with 1" in said[1]
    assert load_checkpoint(small.checkpoints / "last.pt")["micro_batch_size"] == 1
    assert [step.step for step in small.state().steps] == [step.step for step in expected.state().steps]


def test_memory_for_less_than_a_clip_is_one_sentence(
    train: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_fits(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr("engine.train.backward", nothing_fits)
    with pytest.raises(DeviceError, match=r"step 1 with a single clip at a time.*frame_size"):
        train("nothing")


def test_a_batch_that_fits_is_found_by_trying(train: Callable[..., RunFolder]) -> None:
    """12 training clips: 8 steps an epoch at least leave batches of one. The trial leaves no trace in the weights."""
    found = train("found", schedule='batch_size = "auto"')
    given = train("given", schedule="batch_size = 1")
    recipe = load_recipe(found.recipe)
    assert (recipe.schedule.batch_size, recipe.schedule.micro_batch_size) == (1, 1)
    assert largest_difference(weights(found), weights(given)) == 0.0


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_no_batch_is_found_where_no_clip_decodes(tmp_path: Path, share: float) -> None:
    root = make_dataset(tmp_path / "videos")
    for path in root.rglob("*.mp4"):
        path.write_bytes(b"no video")
    settings = {"schedule": 'batch_size = "auto"', "dataset": f"max_bad_fraction = {share}"}
    recipe = load_recipe(write_recipe(tmp_path / "recipe.toml", root, **settings))
    tried = {0.1: 2, 1.0: 12}[share]
    with pytest.raises(DataError, match=rf'{tried} of 18 clips cannot be decoded.*"auto".*\.mp4 \(.*ftwiz check'):
        fit(recipe, tmp_path / "run")


@pytest.mark.parametrize("limit", [0, 1, 5, 8])
def test_the_largest_power_of_two_below_the_limit(limit: int) -> None:
    class Limited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.head = nn.Linear(3, 2)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            if len(frames) > limit:
                raise torch.OutOfMemoryError("out of memory")
            return self.head(self.norm(frames[:, 0]).mean(dim=(2, 3)))

        def stages(self) -> tuple[tuple[str, ...], ...]:
            return (("norm",),)

    model = Limited()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recipe = recipe_from({"head": {"num_classes": 2}, "schedule": {"batch_size": "auto"}})
    batch = Batch(torch.randint(0, 256, (1, 2, 3, 8, 8), dtype=torch.uint8), torch.tensor([1]), [0])
    drawn = torch.get_rng_state()
    if not limit:
        with pytest.raises(DeviceError, match="Not even one clip"):
            largest_batch(model, recipe, build_loss(recipe), batch, torch.device("cpu"))
        return
    found = largest_batch(model, recipe, build_loss(recipe), batch, torch.device("cpu"))
    assert found == {1: 1, 5: 4, 8: 8}[limit]
    assert largest_difference(before, model.state_dict()) == 0.0
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


# --- frozen -----------------------------------------------------------------------------------------------------------


def changed(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    """The parts of the network, such as backbone.layer1, of which anything changed."""
    return {".".join(name.split(".")[:2]) for name in first if not torch.equal(first[name], second[name])}


@pytest.fixture
def start(tmp_path: Path, videos: Path) -> dict[str, torch.Tensor]:
    """The weights that a training starts from."""
    recipe = load_recipe(write_recipe(tmp_path / "start.toml", videos, model=RESNET, head="num_classes = 3"))
    torch.manual_seed(recipe.run.seed)
    return build_model(recipe).state_dict()


ALL = {"backbone.conv1", "backbone.bn1", *(f"backbone.layer{number}" for number in (1, 2, 3, 4)), "head.fc"}


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [
        ("none", ALL),
        ("stem", ALL - {"backbone.conv1", "backbone.bn1"}),
        ("stages:2", {"backbone.layer3", "backbone.layer4", "head.fc"}),
        ("backbone", {"head.fc"}),
    ],
)
def test_what_is_frozen_stays_bit_for_bit_with_its_statistics(
    train: Callable[..., RunFolder], start: dict[str, torch.Tensor], freeze: str, learning: set[str]
) -> None:
    run = train("frozen", model=RESNET, schedule=f'freeze = "{freeze}"\nweight_decay = 0.1\nlr = 0.05')
    assert changed(start, weights(run)) == learning
    said = [text for text in messages(run) if text.startswith("freeze = ")]
    assert bool(said) == (freeze != "none")
    if freeze == "backbone":
        assert " 387 of 307,923 parameters" in said[0]  # 128 features x 3 classes + 3


def test_what_is_frozen_learns_from_the_epoch_it_is_let_go(
    train: Callable[..., RunFolder], start: dict[str, torch.Tensor]
) -> None:
    run = train("thawed", model=RESNET, schedule='epochs = 3\nfreeze = "backbone"\nunfreeze_at_epoch = 3\nlr = 0.05')
    assert changed(start, weights(run, "epoch-002.pt")) == {"head.fc"}
    assert changed(start, weights(run, "epoch-003.pt")) == ALL
    assert any("Epoch 3: the whole network learns" in text for text in messages(run))


def test_more_stages_than_there_are_is_a_sentence(train: Callable[..., RunFolder]) -> None:
    with pytest.raises(RecipeError, match=r'freeze = "stages:5", but this backbone has 4 stages'):
        train("deep", model=RESNET, schedule='freeze = "stages:5"')


def test_frozen_dropout_is_off() -> None:
    recipe = recipe_from({"model": {"backbone": "alexnet", "segments": 2}, "head": {"num_classes": 2}})
    with torch.device("meta"):
        model = build_model(recipe).train()
    set_frozen(model, Schedule(freeze="backbone"), epoch=1)
    learning = {name: part.training for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    assert len(learning) > 1 and learning.pop("head.dropout") and not any(learning.values())


def test_frozen_batch_normalisation_keeps_scale_and_offset_and_all_else_learns(
    train: Callable[..., RunFolder], start: dict[str, torch.Tensor]
) -> None:
    run = train("norms", model=RESNET, schedule="freeze_batch_norm = true\nweight_decay = 0.1\nlr = 0.05")
    after = weights(run)
    kept = {name for name in start if torch.equal(start[name], after[name])}
    affine = {name for name in start if ".bn" in name and name.endswith(("weight", "bias"))}
    affine |= {name for name in start if "downsample.1." in name and name.endswith(("weight", "bias"))}
    assert kept == affine != set()


def test_each_stage_learns_slower_than_the_one_behind_it() -> None:
    schedule = Schedule(layer_decay=0.5, lr=1.0, lr_batch_size=0, head_lr_multiplier=3.0)
    resnet = build_model(recipe_from({"model": {"backbone": "resnet18"}, "head": {"num_classes": 2}}))
    rates = {group["name"]: group["lr"] for group in parameter_groups(resnet, schedule)}
    assert rates["head weight"] == 3.0
    assert [rates[f"stage {depth} weight"] for depth in range(5)] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2]

    transformer = {"model": {"backbone": "vit_b_16"}, "head": {"num_classes": 2}}
    with torch.device("meta"):
        vit = build_model(recipe_from(transformer))
    rate_of = {id(p): group["lr"] for group in parameter_groups(vit, schedule) for p in group["params"]}
    found = {name: rate_of[id(parameter)] for name, parameter in vit.named_parameters()}
    assert found["backbone.class_token"] == found["backbone.conv_proj.bias"] == 0.5**13
    assert found["backbone.encoder.layers.encoder_layer_0.mlp.0.weight"] == 0.5**12
    assert found["backbone.encoder.layers.encoder_layer_11.ln_1.weight"] == 0.5
    assert found["backbone.encoder.ln.weight"] == 0.5  # belongs to the last block
    assert len(rate_of) == len(found)


# --- averages ---------------------------------------------------------------------------------------------------------


def test_the_average_is_the_one_on_paper() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    average = build_average(model, Schedule(ema=0.5))
    assert average is not None
    expected = None
    for step, value in enumerate([2.0, 4.0, 8.0, 16.0, 32.0]):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected)  # type: ignore[operator]


def test_the_average_is_what_is_validated_kept_and_reused(
    train: Callable[..., RunFolder], videos: Path, tmp_path: Path
) -> None:
    run = train("average", schedule="ema = 0.9\nlr = 0.05\nepochs = 3")
    best = load_checkpoint(run.checkpoints / "best.pt")
    assert largest_difference(best["model"], best["average"]) > 1e-4
    recipe = load_recipe(run.recipe)
    model = build_model(recipe)
    model.load_state_dict(weights_in(best))
    clips = engine.set_up.read_dataset(recipe)
    assert engine.evaluate(model, clips.val, recipe).loss == pytest.approx(run.state().best.loss, rel=1e-5)
    model.load_state_dict(best["model"])
    assert engine.evaluate(model, clips.val, recipe).loss != pytest.approx(run.state().best.loss, rel=1e-5)

    again = build_model(recipe)
    report = engine.load_weights(again, str(run.checkpoints / "best.pt"), recipe)
    assert report.backbone_share == 1.0 and not report.dropped
    assert largest_difference(again.state_dict(), best["average"]) == 0.0


# --- mixtures and balance ---------------------------------------------------------------------------------------------


def mix_recipe(**schedule: float) -> Recipe:
    return recipe_from({"head": {"num_classes": 4}, "schedule": schedule})


@pytest.fixture
def batch() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield torch.rand(4, 2, 3, 8, 8), torch.tensor([0, 1, 2, 3])


def test_mixup_blends_a_clip_with_its_neighbour_and_so_its_classes(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames, targets = batch
    mixed, shares = build_mix(mix_recipe(mixup=1.0))(frames, targets)
    share = shares[1, 1].item()
    assert 0 < share < 1 and torch.allclose(shares.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(mixed, share * frames + (1 - share) * frames.roll(1, 0))
    logits = torch.randn(4, 4)
    own = F.cross_entropy(logits, targets, reduction="none")
    neighbours = F.cross_entropy(logits, targets.roll(1, 0), reduction="none")
    losses = build_loss(mix_recipe())(logits, shares)
    torch.testing.assert_close(losses, share * own + (1 - share) * neighbours)


def test_cutmix_takes_the_same_rectangle_in_every_frame(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames, targets = batch
    mixed, shares = build_mix(mix_recipe(cutmix=1.0))(frames, targets)
    from_neighbour = (mixed != frames).any(dim=2)  # [B, T, H, W]
    assert torch.equal(from_neighbour[:, 0], from_neighbour[:, 1])
    assert shares[1, 0].item() == pytest.approx(from_neighbour.float().mean().item(), abs=1e-6)


def test_without_mixing_nothing_changes_and_one_clip_has_no_neighbour(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    frames, targets = batch
    assert build_mix(mix_recipe())(frames, targets) == (frames, targets)
    assert build_mix(mix_recipe(mixup=1.0))(frames[:1], targets[:1])[1].tolist() == [0]


RARE = [Clip(f"{number}.mp4", int(number >= 9)) for number in range(10)]  # nine of one class, one of the other


def test_by_weight_all_classes_count_the_same() -> None:
    found = class_weights(RARE, 3)
    assert found.tolist() == pytest.approx([10 / 18, 10 / 2, 1.0])
    assert sum(found[clip.label] for clip in RARE) == pytest.approx(len(RARE))
    recipe = recipe_from({"head": {"num_classes": 3}})
    logits, targets = torch.randn(2, 3), torch.tensor([0, 1])
    plain = build_loss(recipe)(logits, targets)
    weighted = build_loss(recipe, torch.tensor(found))(logits, targets)
    torch.testing.assert_close(weighted, plain * torch.tensor([10 / 18, 5.0], dtype=torch.float64))


def test_by_sampling_the_rare_class_is_seen_as_often() -> None:
    batches = Batches(len(RARE), 5, shuffle_seed=0, chances=chances(RARE, 2))
    drawn = []
    for epoch in range(1, 201):
        batches.epoch = epoch
        drawn += [number for batch in batches for _, number in batch]
    assert len(drawn) == 200 * len(RARE)
    assert 0.46 < np.mean([RARE[number].label for number in drawn]) < 0.54
    again = list(batches)
    assert again == list(batches), "the draw is a function of seed and epoch"
    items = [item for batch in again for item in batch]
    assert len(set(items)) == len(items) > len({number for _, number in items}), "each view of a clip is another one"


# --- the end ----------------------------------------------------------------------------------------------------------


def test_early_stopping_ends_a_run_that_gets_no_better(train: Callable[..., RunFolder]) -> None:
    run = train("stuck", schedule="epochs = 9\nlr = 1e-12\nearly_stopping = 2", run="log_interval = 100")
    state = run.state()
    assert [done.epoch for done in state.validations] == [1, 2, 3]
    assert isinstance(state.ended, RunFinished) and run.status(state) == "finished"
    assert any("2 validations in a row were no better than epoch 1" in text for text in messages(run))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_keeps_full_weights(train: Callable[..., RunFolder], precision: str) -> None:
    run = train("half", run=f'precision = "{precision}"', model=RESNET)
    checkpoint = load_checkpoint(run.checkpoints / "last.pt")
    assert all(value.dtype == torch.float32 for value in checkpoint["model"].values() if value.is_floating_point())
    assert bool(checkpoint["scaler"]) == (precision == "fp16")
    assert all(np.isfinite(step.loss) for step in run.state().steps)


def test_fp16_leaves_out_a_step_that_overflows_and_scales_less(tmp_path: Path, videos: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "r.toml", videos, run='precision = "fp16"', model=RESNET))
    run = create_run_folder(recipe, tmp_path / "run", datetime.now())
    training = engine.set_up.set_up(recipe, run, EventLog(run.events), resume=False)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    control = SimpleNamespace(attend=lambda: None)
    train_epoch(training, training.meter, control)
    assert training.scaler.get_scale() < 1e38 and training.step == 3
    parameters = dict(training.model.named_parameters())
    assert all(torch.equal(before[name], parameters[name]) for name in parameters), "every step overflowed"


def test_channels_last_changes_nothing_but_the_layout(train: Callable[..., RunFolder]) -> None:
    plain = train("plain", model=RESNET)
    turned = train("turned", model=RESNET, run="channels_last = true")
    assert largest_difference(weights(plain), weights(turned)) < 1e-3


EVERYTHING = {
    "model": RESNET,
    "head": "dropout = 0.5",
    "dataset": 'rand_augment = 9\nbalance = "sampler"',
    "schedule": "epochs = 4\nmicro_batch_size = 2\nmixup = 0.4\ncutmix = 1.0\nema = 0.9\nwarmup_epochs = 1\n"
    'freeze = "stages:2"\nunfreeze_at_epoch = 3\nlabel_smoothing = 0.1\nlr_policy = "cosine"\nnesterov = true',
}


@pytest.mark.parametrize("step", [1, 4, 8])
def test_with_everything_on_a_stopped_run_ends_as_if_it_had_not_been(
    train: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    expected = train("whole", **EVERYTHING)
    run = expected.path.with_name("stopped")
    log_step = engine.train.log_step

    def stop_here(training: engine.training.Training, meter: Meter) -> None:
        log_step(training, meter)
        if training.step == step and training.run.path == run:
            training.run.say("stop")

    monkeypatch.setattr("engine.train.log_step", stop_here)
    stopped = train("stopped", **EVERYTHING)
    assert load_checkpoint(stopped.checkpoints / "last.pt")["step"] == step
    fit(load_recipe(stopped.recipe), stopped.path, resume=True)
    one, other = (load_checkpoint(run.checkpoints / "last.pt") for run in (expected, stopped))
    assert largest_difference(one["model"], other["model"]) == 0.0
    assert largest_difference(one["average"], other["average"]) == 0.0
    assert [(done.loss, done.top1) for done in expected.state().validations] == [
        (done.loss, done.top1) for done in stopped.state().validations
    ]
