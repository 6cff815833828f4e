"""The four decisions: what is inferred and why, what is refused, and that the recipe written is the one meant."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import DataError, RecipeError
from engine.recipe import TABLES, load_recipe
from engine.weights.hub import hub_source
from engine.weights.published import PUBLISHED, Published
from tests.engine.networks import describe
from wizard.decisions import DECISIONS, QUESTIONS, decision_of, parse_answer, shown
from wizard.draft import Draft, answers_of, inferred
from wizard.inference import BACKWARDS, PACES, free_path, opposites
from wizard.starts import OWN, SCRATCH, file_of, is_cached, start_keys, start_title


def make_clips(root: Path, counts: dict[str, int]) -> Path:
    """root/CLASS/N.mp4; looking at a dataset opens no video, so they are empty."""
    for name, clips in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(clips):
            (root / name / f"{number}.mp4").touch()
    return root


def make_ucf101(root: Path) -> Path:
    """Two classes and three official splits that differ."""
    make_clips(root, {})
    lists = root / "annotations"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\n2 Typing\n")
    names = {name: [f"v_{name}_g{group:02}_c01.avi" for group in range(1, 7)] for name in ("Archery", "Typing")}
    for name, files in names.items():
        (root / name).mkdir()
        for file in files:
            (root / name / file).touch()
    for split in (1, 2, 3):
        train = [f"{name}/{f} {label}" for label, name in enumerate(names, 1) for f in names[name][split:]]
        test = [f"{name}/{f}" for name in names for f in names[name][:split]]
        (lists / f"trainlist0{split}.txt").write_text("\n".join(train))
        (lists / f"testlist0{split}.txt").write_text("\n".join(test))
    return root


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return make_clips(tmp_path / "gym moves", {"jump": 200, "run": 200, "walk": 200})


def looked(data: Path, overrides: dict[str, Any] | None = None, **answers: str) -> Draft:
    draft = Draft({"data": str(data)}, overrides or {})
    for key, text in answers.items():
        draft.give(key.replace("__", "."), text)
    draft.look()
    return draft


def saved(draft: Draft, path: Path | None = None) -> dict[str, Any]:
    return tomllib.loads(draft.save(path).read_text(encoding="utf-8"))


# --- the questions ----------------------------------------------------------------------------------------------------


def test_the_decisions_are_the_houses_in_the_order_of_the_wizard() -> None:
    assert [decision.name for decision in DECISIONS] == ["dataset", "head", "weights", "schedule", "review"]


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_says_what_it_means(key: str) -> None:
    assert QUESTIONS[key].help.endswith(".")


@pytest.mark.parametrize("key", [key for key in QUESTIONS if "." in key])
def test_a_question_about_the_recipe_is_one_of_its_keys(key: str) -> None:
    table, _, name = key.partition(".")
    assert name in TABLES[table].model_fields


def test_every_key_has_a_step_to_be_mended_in() -> None:
    assert decision_of("schedule.warmup_epochs") == "schedule"
    assert decision_of("start") == "weights"
    assert decision_of("model.segments") == "review"


def test_each_row_of_the_weights_table_has_a_name() -> None:
    keys = {*start_keys(), *start_keys("flow")}
    assert len({start_title(key) for key in keys}) == len(keys) == len(PUBLISHED) + 2


# --- what is inferred -------------------------------------------------------------------------------------------------


def test_nothing_but_a_folder_makes_a_whole_recipe(clips: Path) -> None:
    recipe = inferred(clips).recipe()
    assert recipe.name == "tsn-gym-moves"
    assert recipe.head.num_classes == 3
    assert recipe.dataset.root == str(clips)
    assert recipe.weights.load_from == PUBLISHED[0].load_from


def test_the_tutorials_own_numbers_come_out_for_a_dataset_like_its_own(clips: Path) -> None:
    """100 → 50 epochs, lr 0.01 → 0.005, milestones 20 and 40, a checkpoint every 5."""
    draft = inferred(clips)
    mine, tutorial = draft.recipe().schedule, load_recipe("tsn-r50-ucf101").schedule
    assert mine == tutorial
    assert draft.answer("schedule.lr").why == "half the preset's 0.01, for fine-tuning"


def test_only_what_differs_from_the_preset_is_written(clips: Path) -> None:
    document = saved(inferred(clips))
    assert document.pop("extends") == "tsn-r50-kinetics400"
    assert document["schedule"] == {"epochs": 50, "lr": 0.005, "milestones": [20, 40], "checkpoint_interval": 5}
    assert document["head"] == {"num_classes": 3}
    assert set(document) == {"name", "head", "dataset", "schedule", "weights"}


def test_comments_say_what_the_preset_says_and_work_the_lr_out(clips: Path) -> None:
    text = inferred(clips).toml()
    assert "# 400 in the preset" in text
    assert "# 0.01 in the preset; 0.005 × 32/256 = 0.000625" in text


def test_the_presets_own_data_do_not_show_through(clips: Path) -> None:
    dataset = inferred(clips).recipe().dataset
    assert (dataset.val_root, dataset.train_list, dataset.val_list) == ("", "", "")


def test_classes_that_differ_in_direction_only_ask_for_a_model_that_sees_order(tmp_path: Path) -> None:
    draft = inferred(make_clips(tmp_path / "doors", {"opening a door": 40, "closing a door": 40}))
    assert draft.value("start") == "tsm-r50-kinetics400"
    assert "“opening a door” and “closing a door” differ in direction only" in draft.answer("start").why
    assert draft.recipe().model.recognizer == "tsm"
    assert draft.recipe().dataset.flip == 0.5


def test_classes_that_mirror_each_other_are_told(tmp_path: Path) -> None:
    draft = inferred(make_clips(tmp_path / "swipes", {"SwipeLeft": 40, "SwipeRight": 40, "Tap": 40}))
    assert draft.recipe().dataset.flip == 0.5
    assert "a mirrored “SwipeLeft” counts as “SwipeRight”" in draft.answer("dataset.flip").why


def test_a_class_without_the_other_side_stops_mirroring(tmp_path: Path) -> None:
    draft = inferred(make_clips(tmp_path / "boxing", {"left hook": 40, "jab": 40}))
    assert draft.recipe().dataset.flip == 0
    assert draft.answer("dataset.flip").why == "off: there is no other side to “left hook”"
    assert "mirrored, it would be no class of these" in draft.toml()


@pytest.mark.parametrize(
    ("names", "pairs", "expected"),
    [
        (("push_left", "push_right"), BACKWARDS, ("push_left", "push_right")),
        (("Moving something up", "Moving something down"), BACKWARDS, ("Moving something up", "Moving something down")),
        (("standing up", "sitting down"), BACKWARDS, None),
        (("upper cut", "downer cut"), BACKWARDS, None),
        (("copyright", "copyleft"), BACKWARDS, None),
        (("left",), BACKWARDS, None),
        ((), BACKWARDS, None),
    ],
)
def test_opposites(
    names: tuple[str, ...], pairs: tuple[tuple[str, str], ...], expected: tuple[str, str] | None
) -> None:
    assert opposites(names, pairs) == expected


def test_no_published_action_dataset_without_directions_is_taken_for_one(shared: Path) -> None:
    maps = shared / "data/annotations/mmaction2_label_maps"
    for name, has_directions in (("ucf101", False), ("hmdb51", False), ("sthv2", True), ("jester", True)):
        classes = tuple((maps / f"{name}_label_map.txt").read_text(encoding="utf-8").split("\n"))
        assert (opposites(classes, BACKWARDS) is not None) == has_directions, name


def test_few_clips_get_smaller_batches_and_more_epochs(tmp_path: Path) -> None:
    draft = inferred(make_clips(tmp_path / "few", {"a": 15, "b": 15}))
    schedule = draft.recipe().schedule
    assert draft.train_clips == 24
    assert schedule.batch_size == 4
    assert draft.steps_per_epoch * schedule.epochs >= 300
    assert draft.steps_sentence() == "6 steps an epoch × 50 epochs = 300 steps"


def test_a_batch_is_never_larger_than_the_training_set(tmp_path: Path) -> None:
    draft = inferred(make_clips(tmp_path / "tiny", {"a": 1, "b": 1}))
    assert draft.recipe().schedule.batch_size == 2
    assert draft.recipe().schedule.epochs == 100
    assert any("fewer than 20 training clips" in warning for warning in draft.warnings("dataset"))


@pytest.mark.parametrize("pace", PACES)
def test_the_pace_scales_epochs_and_what_hangs_on_them(clips: Path, pace: str) -> None:
    schedule = looked(clips, start="tsm-r50-kinetics400", pace=pace).recipe().schedule
    assert schedule.epochs == {"quick": 5, "standard": 25, "thorough": 50}[pace]
    assert schedule.milestones == {"quick": (2, 4), "standard": (10, 20), "thorough": (20, 40)}[pace]
    assert schedule.warmup_epochs == {"quick": 0.5, "standard": 2.5, "thorough": 5.0}[pace]


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 300])
def test_milestones_lie_inside_any_number_of_epochs(clips: Path, epochs: int) -> None:
    schedule = looked(clips, schedule__epochs=str(epochs)).recipe().schedule
    assert all(0 < milestone < epochs for milestone in schedule.milestones)


def test_from_scratch_takes_the_presets_whole_schedule_and_no_weights(clips: Path) -> None:
    recipe = looked(clips, start=SCRATCH).recipe()
    assert (recipe.weights.load_from, recipe.weights.backbone) == ("", "")
    assert (recipe.schedule.epochs, recipe.schedule.lr) == (100, 0.01)


def test_imagenets_preset_is_made_for_fine_tuning_already(clips: Path) -> None:
    recipe = looked(clips, start="tsn-r50-imagenet").recipe()
    assert recipe.weights.backbone == "torchvision://resnet50"
    assert recipe.schedule == load_recipe("tsn-r50-imagenet").schedule.model_copy(update={"checkpoint_interval": 5})


def test_weights_set_to_none_are_from_scratch_everywhere(clips: Path) -> None:
    draft = inferred(clips, {"model.backbone": "resnet18", "weights.load_from": "", "weights.backbone": ""})
    assert (draft.value("start"), draft.summary("weights")) == (SCRATCH, "from scratch")
    assert (draft.recipe().weights.load_from, draft.recipe().weights.backbone) == ("", "")
    assert draft.recipe().schedule.lr == 0.01, "no half of it, which is for fine-tuning"


def test_a_start_chosen_later_outranks_the_weights_set_before(clips: Path) -> None:
    draft = inferred(clips, {"weights.load_from": "", "weights.backbone": ""})
    draft.give("start", "tsn-r50-imagenet")
    assert draft.recipe().weights.backbone == "torchvision://resnet50"
    draft = inferred(clips, {"weights.load_from": "https://example.org/a-12345678.pth"})
    draft.give("source", "https://example.org/b-12345678.pth")
    assert draft.recipe().weights.load_from == "https://example.org/b-12345678.pth"


def test_another_backbone_starts_from_imagenet(clips: Path) -> None:
    draft = inferred(clips, {"model.backbone": "resnet18"})
    assert draft.recipe().weights.backbone == "torchvision://resnet18"
    assert draft.recipe().weights.load_from == ""
    assert "resnet18" in draft.answer("start").why


def test_a_network_of_hugging_face_starts_from_its_own_weights(tmp_path: Path, clips: Path) -> None:
    folder = describe(tmp_path / "tiny-network", "vivit")
    (folder / "model.safetensors").write_bytes(b"not looked into here")
    draft = inferred(clips, {"model.recognizer": "transformers", "model.backbone": str(folder)})
    recipe = draft.recipe()
    assert recipe.weights.load_from == str(folder) and recipe.weights.backbone == ""
    assert recipe.name.startswith("tiny-network-") and recipe.schedule.optimizer == "adamw"
    assert (recipe.model.clip_len, recipe.dataset.frame_size) == (4, 32)
    assert recipe.model.backbone_config and "backbone_config" not in draft.toml(), "which the folder says"
    written = tmp_path / "recipe.toml"
    written.write_text(draft.toml())
    assert load_recipe(written) == recipe


def test_the_head_and_the_name_follow_the_data(tmp_path: Path, clips: Path) -> None:
    draft = inferred(clips)
    draft.give("data", str(make_clips(tmp_path / "other" / "videos", {"a": 20, "b": 20})))
    draft.look()
    assert draft.recipe().head.num_classes == 2
    assert draft.recipe().name == "tsn-other"


def test_ucf101_is_recognised_and_another_split_is_counted_again(tmp_path: Path) -> None:
    root = make_ucf101(tmp_path / "UCF-101")
    draft = looked(root)
    assert draft.value("dataset.format") == "ucf101"
    assert (draft.train_clips, draft.val_clips) == (10, 2)
    draft = looked(root, dataset__split="3")
    assert (draft.train_clips, draft.val_clips) == (6, 6)
    assert draft.recipe().dataset.split == 3
    assert draft.recipe().name == "tsn-ucf101"
    assert not QUESTIONS["dataset.val_fraction"].applies(draft)


def test_the_share_held_out_is_counted_again(clips: Path) -> None:
    draft = looked(clips, dataset__val_fraction="0.5")
    assert (draft.train_clips, draft.val_clips) == (300, 300)
    assert QUESTIONS["dataset.val_fraction"].applies(draft)


# --- what is answered -------------------------------------------------------------------------------------------------


def test_an_answer_holds_until_it_is_emptied(clips: Path) -> None:
    draft = looked(clips, schedule__epochs="7")
    assert draft.answer("schedule.epochs").given
    draft.give("schedule.epochs", "  ")
    assert draft.value("schedule.epochs") == 50
    assert not draft.answer("schedule.epochs").given


def test_set_answers_beforehand_and_the_user_has_the_last_word(clips: Path) -> None:
    draft = inferred(clips, {"schedule.epochs": 9, "run.seed": 3})
    assert draft.recipe().schedule.epochs == 9
    assert draft.recipe().run.seed == 3
    assert draft.answer("schedule.epochs").why == "given with --set"
    draft.give("schedule.epochs", "8")
    assert draft.recipe().schedule.epochs == 8


def test_data_may_come_from_set_and_still_be_changed(clips: Path, tmp_path: Path) -> None:
    draft = Draft(overrides={"dataset.root": str(clips)})
    draft.look()
    assert len(draft.found.classes) == 3 if draft.found else False
    other = make_clips(tmp_path / "other", {"a": 5, "b": 5})
    draft.give("data", str(other))
    draft.look()
    assert draft.recipe().dataset.root == str(other)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("schedule.lr", "1e-3", 0.001),
        ("schedule.epochs", "many", "many"),
        ("schedule.milestones", "20, 40", [20, 40]),
        ("schedule.milestones", "[5]", [5]),
        ("schedule.lr_policy", "cosine", "cosine"),
        ("head.num_classes", "auto", "auto"),
        ("name", "007", "007"),
        ("source", "a = b.pth", "a = b.pth"),
    ],
)
def test_the_words_of_an_input_become_values(key: str, text: str, value: Any) -> None:
    assert parse_answer(key, text) == value


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers())))
def test_what_an_input_shows_is_read_back_as_the_same(value: Any) -> None:
    key = "schedule.milestones" if isinstance(value, list) else "schedule.lr"
    assert parse_answer(key, shown(value)) == value


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("schedule.lr", "-1", "[schedule] lr must be above 0, not -1."),
        ("schedule.lr", "nan", "[schedule] lr must be a finite number, not nan."),
        ("schedule.epochs", "1.5", "[schedule] epochs must be a whole number, not 1.5."),
        ("schedule.epochs", "ten", '[schedule] epochs must be a whole number, not the text "ten".'),
        ("schedule.batch_size", "0", '[schedule] batch_size must be at least 1 or "auto", not 0.'),
        ("head.dropout", "1", "[head] dropout must be below 1, not 1."),
        ("schedule.milestones", "40, 20", "[schedule] milestones is [40, 20]: the epochs must rise."),
        ("head.num_classes", "7", "The dataset has 3 classes, but [head] num_classes is 7"),
        ("start", OWN, "Name a checkpoint file or an address"),
    ],
)
def test_the_engines_own_sentence_stands_at_the_field(clips: Path, key: str, text: str, sentence: str) -> None:
    draft = looked(clips, **{key.replace(".", "__"): text})
    field = "source" if key == "start" else key
    assert draft.problems()[field].startswith(sentence)
    with pytest.raises(RecipeError):
        draft.recipe()


def test_all_problems_are_said_at_once(clips: Path) -> None:
    draft = looked(clips, schedule__lr="-1", head__dropout="2", start=OWN, source="gone.pth")
    assert set(draft.problems()) == {"schedule.lr", "head.dropout", "source"}


def test_a_wrong_answer_changes_no_other(clips: Path) -> None:
    draft = looked(clips, schedule__epochs="ten", schedule__batch_size="no", schedule__milestones="x")
    assert set(draft.problems()) == {"schedule.epochs", "schedule.batch_size", "schedule.milestones"}
    assert draft.value("schedule.lr") == 0.005
    assert draft.summary("schedule") == "ten epochs, lr 0.005"
    assert draft.warnings("schedule") == []


def test_weights_of_ones_own(clips: Path, in_a_folder_of_its_own: Path) -> None:
    draft = looked(clips, start=OWN, source="mine.pth", preset="tsm-r50-kinetics400")
    assert "mine.pth does not exist" in draft.problems()["source"]
    (in_a_folder_of_its_own / "mine.pth").write_bytes(b"\x80\x02")
    assert draft.problems() == {}
    assert draft.recipe().weights.load_from == "mine.pth"
    assert draft.recipe().model.recognizer == "tsm"
    draft.give("source", "torchvision://resnet50")
    assert (draft.recipe().weights.load_from, draft.recipe().weights.backbone) == ("", "torchvision://resnet50")
    for source in ("timm://resnet18.a1_in1k", "ResNet50_Weights.IMAGENET1K_V2"):
        draft.give("source", source)
        assert draft.recipe().weights.load_from == "" and draft.recipe().weights.backbone.endswith(source)
    draft.give("source", "https://example.org/w-12345678.pth")
    assert draft.recipe().weights.load_from == "https://example.org/w-12345678.pth"


def test_no_data_no_recipe(tmp_path: Path) -> None:
    assert Draft().problems() == {"data": "Name the folder of the videos."}
    with pytest.raises(DataError, match="does not exist"):
        inferred(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        inferred(tmp_path / "empty")


def test_impossible_overrides_are_refused_before_anything_is_asked(clips: Path) -> None:
    with pytest.raises(RecipeError, match=r"--set: \[schedule\] lrr is not a known key; did you mean lr\?"):
        inferred(clips, {"schedule.lrr": 1})


def test_warnings_stop_nobody(clips: Path) -> None:
    draft = looked(clips, schedule__batch_size="1000", schedule__milestones="20, 150")
    assert draft.warnings("schedule") == [
        "A batch of 1000 is more than the 480 training clips there are.",
        "After epoch 150 there is nothing left to train.",
    ]
    assert draft.recipe().schedule.milestones == (20, 150)


# --- what is written --------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)
answers = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "start": st.sampled_from(start_keys()),
        "source": st.sampled_from(["https://example.org/a.pth", "torchvision://resnet50"]),
        "preset": st.sampled_from(["tsn-r50-kinetics400", "tsm-r50-kinetics400"]),
        "pace": st.sampled_from(sorted(PACES)),
        "head.dropout": st.floats(0, 0.99),
        "schedule.epochs": st.integers(1, 500),
        "schedule.batch_size": st.integers(1, 4096),
        "schedule.lr": st.floats(1e-12, 1e6),
        "schedule.lr_policy": st.sampled_from(["step", "cosine", "constant"]),
        "schedule.milestones": st.lists(st.integers(1, 400), unique=True, max_size=40).map(sorted),
        "dataset.flip": st.floats(0, 1),
    },
)
overrides = st.fixed_dictionaries(
    {},
    optional={
        "run.seed": st.integers(0, 2**62),
        "run.output": names.filter(lambda name: not name.startswith("~")),  # there is no such home
        "dataset.classes": st.just(["jump", "run", "walk"]),
        "model.segments": st.integers(1, 64),
        "weights.allow_partial": st.booleans(),
        "schedule.lr_batch_size": st.integers(0, 1024),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=answers, overrides=overrides, elsewhere=st.booleans())
def test_the_file_reloads_as_the_recipe_that_was_meant(
    given: dict[str, Any], overrides: dict[str, Any], elsewhere: bool, tmp_path: Path, clips: Path
) -> None:
    if "source" not in given and given.get("start") == OWN:
        given["source"] = "https://example.org/a.pth"
    draft = Draft(given | {"data": str(clips)}, overrides)
    draft.look()
    path = draft.save(free_path(tmp_path / "else where" / "r.toml" if elsewhere else Path("r.toml")))
    assert load_recipe(path) == draft.recipe()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=30))
def test_any_folder_name_survives(name: str, tmp_path: Path) -> None:
    root = tmp_path / f"x{name}"
    try:
        if not root.exists():
            make_clips(root, {"a": 2, "b": 2})
    except OSError:
        return  # a name that this file system cannot hold
    draft = inferred(root)
    assert load_recipe(draft.save(free_path(Path("r.toml")))) == draft.recipe()


def test_a_relative_path_means_the_same_wherever_the_recipe_lies(in_a_folder_of_its_own: Path, tmp_path: Path) -> None:
    make_clips(in_a_folder_of_its_own / "data", {"a": 2, "b": 2})
    make_clips(tmp_path / "recipes" / "data", {"wrong": 2, "place": 2})
    assert inferred(Path("data")).recipe().dataset.root == "data"
    path = inferred(Path("data")).save(tmp_path / "recipes" / "r.toml")
    assert load_recipe(path).dataset.root == str(in_a_folder_of_its_own / "data")


def test_a_home_folder_is_spelt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_clips(tmp_path / "data", {"a": 2, "b": 2})
    draft = inferred(Path("~/data"))
    assert load_recipe(draft.save()) == draft.recipe()
    assert draft.recipe().dataset.root == str(tmp_path / "data")


def test_no_file_is_ever_replaced(clips: Path) -> None:
    Path("tsn-gym-moves.toml").write_text("mine")
    draft = inferred(clips)
    assert draft.out == Path("tsn-gym-moves-2.toml")
    assert "is there already" in draft.answer("out").why
    with pytest.raises(RecipeError, match=r"tsn-gym-moves.toml is there already; tsn-gym-moves-2.toml is free."):
        draft.save(Path("tsn-gym-moves.toml"))
    assert Path("tsn-gym-moves.toml").read_text() == "mine"


def test_what_the_draft_wrote_itself_it_may_write_again_unless_edited(clips: Path) -> None:
    draft = inferred(clips)
    path = draft.save()
    draft.give("schedule.epochs", "3")
    assert draft.save() == path
    assert load_recipe(path).schedule.epochs == 3
    path.write_text(path.read_text() + "# edited\n")
    with pytest.raises(RecipeError, match="is there already"):
        draft.save()


def test_a_place_that_cannot_be_written_is_named(clips: Path) -> None:
    Path("file").touch()
    with pytest.raises(RecipeError, match=r"file/r.toml: cannot be written: "):
        inferred(clips).save(Path("file/r.toml"))


@pytest.mark.skipif(os.name == "nt", reason="Windows names are Unicode")
def test_a_path_that_toml_cannot_hold_is_refused(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        make_clips(root, {"a": 2, "b": 2})
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with pytest.raises(DataError, match="not valid UTF-8"):
        inferred(root).save()
    assert list(Path().iterdir()) == []


def test_weights_in_the_cache_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    assert not any(is_cached(published) for published in PUBLISHED)
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for published in PUBLISHED:
        on_the_hub = hub_source(published.load_from)
        file = f"hf/{on_the_hub.repo}/main/model.safetensors" if on_the_hub else file_of(published)
        (cache / file).parent.mkdir(parents=True, exist_ok=True)
        (cache / file).touch()
        assert is_cached(published)


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_file_looked_for_is_the_one_that_will_be_fetched(published: Published) -> None:
    from engine.weights.named import address_of

    address = published.load_from or address_of(published.backbone)
    assert file_of(published) == address.rpartition("/")[2]


# --- what is frozen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "clips", "frozen"),
    [
        (("jump", "run"), 100, "none"),
        (("jump", "run"), 15, "none"),
        (("jump", "run"), 6, "backbone"),
        (("push left", "push right"), 6, "stages:2"),  # order is learned in the later stages
    ],
)
def test_very_few_clips_leave_the_backbone_as_it_is(
    tmp_path: Path, names: tuple[str, ...], clips: int, frozen: str
) -> None:
    draft = looked(make_clips(tmp_path / "few", dict.fromkeys(names, clips)), dataset__val_fraction="0.1")
    answer = draft.answer("schedule.freeze")
    assert answer.value == frozen and answer.why
    assert (frozen == "none") is ("freeze =" not in draft.toml())
    assert ("clips a class" in answer.why) is (clips < 20)
    draft.give("start", SCRATCH)
    assert draft.value("schedule.freeze") == "none"
    draft.give("schedule.freeze", "backbone")
    assert any("starts at random" in warning for warning in draft.warnings("schedule"))


def test_a_frozen_part_that_set_names_is_among_the_choices(clips: Path) -> None:
    draft = looked(clips, {"schedule.freeze": "stages:3"})
    choices = QUESTIONS["schedule.freeze"].choices
    assert choices is not None and "stages:3" in choices(draft)
    assert draft.recipe().schedule.freeze == "stages:3"


def test_a_batch_that_is_found_by_trying_promises_no_number_of_steps(clips: Path) -> None:
    draft = looked(clips, schedule__batch_size="auto")
    assert draft.steps_sentence().startswith("at least 8 steps an epoch")


# --- what the recipe changes ------------------------------------------------------------------------------------------


def test_each_difference_says_from_where_it_comes(clips: Path) -> None:
    draft = looked(clips, {"head.dropout": 0.6}, schedule__lr="0.02")
    found = {difference.key: difference for difference in draft.differences()}
    assert (found["schedule.lr"].before, found["schedule.lr"].after, found["schedule.lr"].origin) == (0.01, 0.02, "you")
    assert found["head.dropout"].origin == "--set"
    assert found["dataset.root"].origin == found["head.num_classes"].origin == "your data"
    assert found["schedule.epochs"].origin == "inferred" and "half the preset" in found["schedule.epochs"].why
    assert found["weights.load_from"].origin == "inferred"
    draft.give("start", "tsm-r50-kinetics400")
    assert {d.key: d for d in draft.differences()}["weights.load_from"].origin == "you"


# --- options of the command -------------------------------------------------------------------------------------------


def test_options_answer_the_questions_that_are_no_keys_of_the_recipe(clips: Path, tmp_path: Path) -> None:
    assert answers_of() == {}
    assert answers_of("tsm-r50-kinetics400", pace="quick") == {"start": "tsm-r50-kinetics400", "pace": "quick"}
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"PK")
    assert answers_of(str(weights), "tsm-r50-kinetics400") == {
        "start": OWN, "source": str(weights), "preset": "tsm-r50-kinetics400",
    }  # fmt: skip
    draft = inferred(clips, given=answers_of("https://example.org/a.pth", "tsm-r50-kinetics400"))
    assert draft.recipe().weights.load_from == "https://example.org/a.pth"
    assert draft.preset == "tsm-r50-kinetics400"


@pytest.mark.parametrize("options", [{"start": "nowhere.pth"}, {"model": "resnet"}, {"pace": "fast"}])
def test_an_option_that_is_no_answer_names_those_that_are(options: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match=f"--{next(iter(options))} .* one of .*"):
        answers_of(**options)
