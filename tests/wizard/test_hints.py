"""Hints fit the data and the machine, give their reason, and are silent once they are followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.draft import Draft
from wizard.hints import Hint, hints, misfit, order_matters
from wizard.inference import opposites
from wizard.machine import Machine, this_machine
from wizard.offers import offer_of
from wizard.starts import OWN, SCRATCH

NO_GPU, SMALL_GPU = Machine(none_why="no GPU was found on this machine"), Machine("Quadro", memory_gb=4.0)


def draft_of(tmp_path: Path, counts: dict[str, int], **answers: str) -> Draft:
    for name, clips in counts.items():
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(clips):
            (tmp_path / "clips" / name / f"{number}.mp4").touch()
    draft = Draft({"data": str(tmp_path / "clips")})
    draft.look()
    for key, text in answers.items():
        draft.give(key, text)
    return draft


def follow(draft: Draft, hint: Hint) -> None:
    for key, text in hint.answers.items():
        draft.give(key, text)


def one(found: list[Hint], words: str) -> Hint:
    """The only hint with these words."""
    (hint,) = [hint for hint in found if words in hint.says]
    return hint


def test_nothing_is_said_where_all_is_well(tmp_path: Path) -> None:
    assert hints(draft_of(tmp_path, {"jump": 60, "run": 60}), Machine("H100", memory_gb=80), 8.0, 30.0) == []


def test_few_clips_ask_for_a_frozen_backbone_and_it_can_be_taken_back(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 12, "run": 12})
    hint = one(hints(draft, Machine()), "are few for a whole network")
    follow(draft, hint)
    assert draft.recipe().schedule.freeze == "backbone"
    back = one(hints(draft, Machine()), "Frozen")
    assert "only the last layer learns" in back.says
    follow(draft, back)
    assert draft.recipe().schedule.freeze == "none"


def test_where_order_counts_the_later_stages_are_left_to_learn_it(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"swipe left": 12, "swipe right": 12})
    follow(draft, one(hints(draft, Machine()), "few"))
    assert draft.recipe().schedule.freeze == "stages:2"


def test_a_model_blind_to_order_is_named_with_the_classes_that_need_it(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"opening a door": 60, "closing a door": 60}, start="tsn-r50-kinetics400")
    hint = one(hints(draft, Machine()), "does not see the order")
    assert "“opening a door” and “closing a door”" in hint.says
    follow(draft, hint)
    assert draft.recipe().model.recognizer == "tsm"
    assert hints(draft, Machine()) == []


@pytest.mark.parametrize(
    "classes",
    [
        ("Pushing something from left to right", "Moving something up", "Pretending to open something"),
        ("swipe_up", "tap", "zoom in", "move closer"),
        ("Swapping two cups", "unfolding a map"),
        ("turn left", "turn right", "go straight"),
    ],
)
def test_classes_that_are_told_by_how_things_move(tmp_path: Path, classes: tuple[str, ...]) -> None:
    assert order_matters(draft_of(tmp_path, dict.fromkeys(classes, 2)))


def test_of_the_published_datasets_those_about_motion_are_told(shared: Path, tmp_path: Path) -> None:
    maps = shared / "data/annotations/mmaction2_label_maps"
    for name, has_motion in (
        ("ucf101_label_map", False),
        ("hmdb51_label_map", False),
        ("kinetics_label_map_k400", False),
        ("sthv2_label_map", True),
        ("jester_label_map", True),
    ):
        text = (maps / f"{name}.txt").read_text(encoding="utf-8")
        (tmp_path / name).mkdir()
        classes = dict.fromkeys(text.replace("/", " ").split("\n")[:-1], 1)
        assert bool(order_matters(draft_of(tmp_path / name, classes))) == has_motion, name


def test_a_few_directions_among_many_classes_are_not_enough(tmp_path: Path) -> None:
    names = [f"sport {number}" for number in range(8)] + ["push up", "opening bottle"]
    draft = draft_of(tmp_path, dict.fromkeys(names, 1))
    assert opposites(draft.found.classes, ()) is None if draft.found else False
    assert order_matters(draft) == ""


def test_without_a_gpu_a_light_network_and_small_frames_are_offered(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 60, "run": 60}, start="slowonly-r50-kinetics400")
    heavy = one(hints(draft, NO_GPU), "GFLOPs a clip")
    assert heavy.says.startswith("No GPU was found on this machine: ")
    follow(draft, heavy)
    light = offer_of(draft.preset)
    assert light.gflops and light.gflops < 20
    light_size = draft.recipe().dataset.frame_size
    small = one(hints(draft, NO_GPU), "times less work")
    follow(draft, small)
    recipe = draft.recipe()
    assert (recipe.dataset.frame_size, recipe.dataset.short_side) == (112, 128)
    follow(draft, one(hints(draft, NO_GPU), "Frames of 112"))
    assert draft.recipe().dataset.frame_size == light_size


def test_frames_are_not_made_smaller_where_the_networks_places_are_for_one_size(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 60, "run": 60}, start="videomae-b-kinetics400")
    assert not any("small frames" in hint.says for hint in hints(draft, NO_GPU))


def test_without_a_gpu_order_still_counts(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"swipe left": 60, "swipe right": 60})
    follow(draft, one(hints(draft, NO_GPU), "GFLOPs a clip"))
    assert draft.recipe().model.recognizer != "tsn"


def test_long_videos_ask_for_frames_from_all_over(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 60, "run": 60}, start="slowfast-r50-kinetics400")
    assert "2.1 s of one at a time" in one(hints(draft, Machine(), 90.0, 30.0), "1 min 30 s").says
    draft.give("start", "tsn-r50-kinetics400")
    follow(draft, one(hints(draft, Machine(), 90.0, 30.0), "30 s apart"))
    assert draft.recipe().model.segments == 8
    assert hints(draft, Machine(), 90.0, 30.0) == []


def test_from_scratch_the_published_start_is_offered(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 60, "run": 60}, start=SCRATCH)
    follow(draft, one(hints(draft, Machine()), "learn everything from"))
    assert draft.value("start") == "tsn-r50-kinetics400"


def test_ones_own_weights_are_not_talked_out_of(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"swipe left": 60, "swipe right": 60}, start=OWN, source="tsn.pth")
    assert not any("start" in hint.answers or "preset" in hint.answers for hint in hints(draft, NO_GPU))


def test_impossible_answers_elsewhere_silence_nothing(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"jump": 12, "run": 12})
    draft.give("schedule.lr", "much")
    assert hints(draft, Machine())


def test_rows_that_do_not_fit_say_why(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, {"swipe left": 60, "swipe right": 60})
    videomae = offer_of("videomae-b-kinetics400")
    assert "does not see the order" in misfit(offer_of("tsn-r50-kinetics400"), draft, Machine())
    assert "without a GPU: no GPU was found" in misfit(videomae, draft, NO_GPU)
    assert "many for a GPU of 4 GB" in misfit(videomae, draft, SMALL_GPU)
    assert misfit(videomae, draft, Machine()) == ""


def test_hidden_gpus_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine().has_no_gpu
