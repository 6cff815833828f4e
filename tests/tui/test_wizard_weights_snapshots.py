"""Pictures of the weights and the head step: a change of looks is seen in review, not by accident."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.weights.report import LoadReport, TensorNote
from tests.tui.test_wizard import type_in, wizard, work
from tests.tui.test_wizard_weights import at_weights
from wizard import offers
from wizard.app import WizardApp
from wizard.draft import Reuse
from wizard.widgets.reuse_desk import ReuseDesk

pytestmark = pytest.mark.slow  # `make quick` does without

SIZES = pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
CLASSES = ("jump", "run")

# Whoever publishes one more network has not changed the looks.
ROWS = [
    "tsn-r50-kinetics400", "tsm-r50-kinetics400", "slowonly-r50-kinetics400", "slowfast-r50-kinetics400",
    "x3d-m-kinetics400", "swin3d-t-kinetics400", "mvit-s-kinetics400", "videomae-b-kinetics400", "tsn-r50-imagenet",
    "tsm-r50-something-v2", "tsm-mobilenetv2-kinetics400", "mvit-l-kinetics400", "csn-ir-r152-kinetics400",
]  # fmt: skip

__all__ = ["work"]  # the fixture, which is every test's


@pytest.fixture(autouse=True)
def the_same_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    offers._published_offers.cache_clear()
    monkeypatch.setattr(offers, "start_keys", lambda modality: ROWS)
    yield
    offers._published_offers.cache_clear()


def notes(count: int, name: str = "backbone.conv{}.weight") -> tuple[TensorNote, ...]:
    return tuple(TensorNote(name.format(number), (64, 64, 3, 3), (64, 64, 3, 3), "") for number in range(count))


REPORT = LoadReport(
    source="tsn.pth",
    path=Path("tsn.pth"),
    sha256="",
    model="TSN ResNet-50",
    dialect="MMAction2 names",
    kept=notes(318),
    reinitialised=notes(2, "head.fc.{}"),
    missing=(),
    dropped=notes(4, "neck.{}.weight"),
    head_change="head 400 → 2 (expected: the class count differs)",
    head_rows=(),
    backbone_share=1.0,
    classes=CLASSES,
    source_classes=("archery", "jump"),
    known_classes=("jump",),
    doubts=("the file's name ends in cd10898e, but its sha256 begins with 12345678: it was changed or renamed.",),
)
REFUSED = (
    "tsn.pth: backbone.layer1.0.conv1.weight has the shape 64×64×3×3, but 64×64×1×1 is needed; the file looks like "
    'resnet18: is model.backbone = "resnet50" right?'
)


def told(reuse: Reuse, step: str = "weights") -> Callable[[Pilot[None]], Awaitable[None]]:
    """As if the engine had answered."""

    async def before(pilot: Pilot[None]) -> None:
        await at_weights(pilot)
        wizard(pilot).query_one(ReuseDesk).tell(reuse)
        await wizard(pilot).go_to(step)
        await pilot.pause()

    return before


@SIZES
def test_a_search(work: Path, snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    async def search(pilot: Pilot[None]) -> None:
        await at_weights(pilot)
        await type_in(pilot, "slow r50")
        wizard(pilot).step.query_one("#search").cursor_blink = False

    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=search)


@SIZES
def test_a_report(work: Path, snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=told(Reuse("known", REPORT)))


@SIZES
def test_a_refusal(work: Path, snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    refused = told(Reuse("refused", sentence=REFUSED))
    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=refused)


@SIZES
def test_a_head_that_is_known_in_part(work: Path, snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(WizardApp(Path("moves")), terminal_size=size, run_before=told(Reuse("known", REPORT), "head"))
