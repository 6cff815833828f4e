"""The recipe: what is valid comes back equal; what is not is one sentence with its place and the way out."""

from __future__ import annotations

import json
import os
import re
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from engine.dataset.formats import FRAME_READERS, READERS
from engine.errors import ExitCode, RecipeError
from engine.recipe import (
    PATH_KEYS,
    TABLES,
    Recipe,
    Table,
    changes_from,
    document_of,
    load_recipe,
    parse_override,
    preset_names,
    preset_path,
    recipe_from,
    recipe_schema,
    resolve_recipe,
    save_recipe,
    to_toml,
    with_absolute_paths,
)

FORMATS = sorted({*READERS, *FRAME_READERS})
ONE_OF_THE_FORMATS = ", ".join(f'"{name}"' for name in FORMATS[:-1]) + f' or "{FORMATS[-1]}"'

# --- recipes of any valid content, built from the models --------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)  # quotes, newlines, control characters, every script
TOML_LIKE = st.sampled_from(['"', "'", '"""', "\\", "\n", "\r\n", "\x00", "\x7f", "]\n[head]", "# no", "é\u2028", "🎬"])
NAME = st.one_of(TEXT, TOML_LIKE)
PATH = NAME.filter(lambda text: "\0" not in text and not text.startswith("~"))


def values_of(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Every value that a field of this type may hold."""
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = get_args(annotation)
        return values_of(inner, [*more, *metadata])
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        item, *rest = get_args(annotation)
        if rest == [Ellipsis]:
            return st.lists(values_of(item, []), min_size=1, max_size=5).map(tuple)
        return st.tuples(*(values_of(part, []) for part in (item, *rest)))
    if origin is not None:  # a union
        return st.one_of([values_of(branch, metadata) for branch in get_args(annotation)])
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return NAME
    low, high, open_low, open_high = bounds(metadata)
    if annotation is int:
        return st.integers(low, high - 1 if open_high and high is not None else high)
    assert annotation is float, annotation
    return st.floats(low, high, exclude_min=open_low, exclude_max=open_high, allow_nan=False, allow_infinity=False)


def bounds(metadata: list[Any]) -> tuple[Any, Any, bool, bool]:
    low = high = None
    open_low = open_high = False
    for part in metadata:
        for limit in getattr(part, "metadata", [part]):  # a FieldInfo carries its own
            match limit:
                case Ge(ge):
                    low = ge
                case Gt(gt):
                    low, open_low = gt, True
                case Le(le):
                    high = le
                case Lt(lt):
                    high, open_high = lt, True
    return low, high, open_low, open_high


SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "run.device": st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:13"]),
    "run.output": PATH,
    "dataset.group_pattern": st.just(""),  # nothing beside `groups`
    "schedule.freeze": st.sampled_from(["none", "stem", "stages:1", "stages:12", "backbone"]),
    "schedule.milestones": st.lists(st.integers(1, 10**6), unique=True, max_size=5).map(lambda m: tuple(sorted(m))),
    "model.lateral_kernel": st.integers(0, 10**6).map(lambda half: 2 * half + 1),
    "model.mean": st.tuples(*[st.floats(-1e300, 1e300)] * 3),
    "model.std": st.tuples(*[st.floats(1e-300, 1e300)] * 3),
    "model.backbone_config": st.sampled_from(["", '{"model_type": "vivit", "num_frames": 32}']),
    "dataset.filename_template": st.sampled_from(["auto", "img_{:05}.jpg", "{}_{:05d}.jpg", "{folder}_{}.png"]),
    "weights.mirror": st.lists(
        st.sampled_from(["https://a.example", "/nas/weights", "https://huggingface.co -> http://b.example/hf"]),
        max_size=3,
    ).map(tuple),
    **{key: PATH for key in PATH_KEYS},
}


def values_of_field(key: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    return SPECIAL[key] if key in SPECIAL else values_of(field.annotation, field.metadata)


@st.composite
def any_document(draw: st.DrawFn) -> dict[str, Any]:
    """A valid recipe as plain data; some keys are left out."""
    document: dict[str, Any] = {"name": draw(NAME)}
    for table, model in TABLES.items():
        optional = {key: values_of_field(f"{table}.{key}", field) for key, field in model.model_fields.items()}
        document[table] = draw(st.fixed_dictionaries({}, optional=optional))
    if (of_frames := document["model"]).get("modality") == "flow":
        of_frames["recognizer"] = "tsm"
        of_frames.pop("clip_len", None)
        of_frames.update({key: of_frames[key][:2] for key in ("mean", "std") if key in of_frames})
    if of_frames.get("recognizer") == "transformers":  # of a run: it needs the folder no more
        of_frames |= {"backbone": "models/vivit", "backbone_config": '{"model_type": "vivit"}'}
    if document["model"].get("recognizer", "tsn") not in ("tsm", "i3d", "slowonly"):
        document["model"].pop("non_local", None)
    if document["model"].get("recognizer", "tsn") != "slowonly":
        document["model"].pop("stem_pool", None)
    if document["run"].get("device", "auto") not in ("auto", "cpu", "cuda"):  # a single one
        document["run"].pop("gpus", None)
    sizes = document["dataset"]
    if "frame_size" in sizes or "short_side" in sizes:
        sizes["frame_size"], sizes["short_side"] = sorted([sizes.get("frame_size", 224), sizes.get("short_side", 256)])
    return document


# --- files ------------------------------------------------------------------------------------------------------------

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `text` into a file of the working folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "recipe.toml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    return write


def problems(source: str | os.PathLike[str], overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, overrides)
    assert caught.value.exit_code == ExitCode.RECIPE == 2
    return str(caught.value).split("\n")


def the_problem(source: str | os.PathLike[str], overrides: dict[str, Any] | None = None) -> str:
    (sentence,) = problems(source, overrides)
    return sentence


# --- saving and loading back ------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(any_document())
def test_a_saved_recipe_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    recipe = Recipe.model_validate(document)
    folder = tmp_path_factory.mktemp("saved")
    before = Path.cwd()
    os.chdir(folder)
    try:
        save_recipe(recipe, "recipe.toml")
        assert load_recipe("recipe.toml") == recipe
    finally:
        os.chdir(before)


@pytest.mark.slow
@given(any_document())
def test_a_recipe_with_absolute_paths_loads_back_equal_from_anywhere(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    recipe = with_absolute_paths(Recipe.model_validate(document))
    path = tmp_path_factory.mktemp("saved") / "recipe.toml"
    save_recipe(recipe, path)
    assert load_recipe(path) == recipe
    assert with_absolute_paths(recipe) == recipe


@given(base=any_document(), deeper=any_document())
def test_what_differs_on_top_of_the_base_is_the_recipe(base: dict[str, Any], deeper: dict[str, Any]) -> None:
    first, second = Recipe.model_validate(base), Recipe.model_validate(deeper)
    changes = changes_from(first, second)
    on_top = document_of(first)
    for table, values in changes.items():
        if table == "name":
            on_top["name"] = values
        else:
            on_top[table].update(values)
            assert all(values[key] != getattr(getattr(first, table), key) for key in values)
    assert Recipe.model_validate(tomllib.loads(to_toml(on_top))) == second
    assert changes_from(second, second) == {}


def test_the_changes_from_a_preset_and_extends_reproduce_a_recipe(write: Write) -> None:
    base = load_recipe("tsn-r50-kinetics400")
    recipe = load_recipe("tsn-r50-ucf101", {"schedule.milestones": [1], "name": "mine"})
    changes = changes_from(base, recipe)
    assert changes["head"] == {"num_classes": 101}
    assert "model" not in changes and "run" not in changes
    write(to_toml({"extends": "tsn-r50-kinetics400", **changes}))
    assert load_recipe("recipe.toml") == recipe


def test_a_saved_recipe_spells_out_every_key(write: Write) -> None:
    save_recipe(load_recipe("tsn-r50-ucf101"), "recipe.toml")
    saved = tomllib.loads(Path("recipe.toml").read_text(encoding="utf-8"))
    assert "extends" not in saved
    for table, model in TABLES.items():
        assert set(saved[table]) == set(model.model_fields)


def test_saving_over_a_recipe_leaves_no_other_file(write: Write) -> None:
    write("old")
    save_recipe(Recipe(), "recipe.toml")
    assert os.listdir() == ["recipe.toml"]


def test_a_recipe_does_not_change() -> None:
    recipe = Recipe()
    with pytest.raises(ValueError, match="frozen"):
        recipe.schedule.lr = 1.0  # type: ignore[misc]


# --- extends ----------------------------------------------------------------------------------------------------------


def test_the_deeper_file_wins_key_by_key_and_lists_replace(write: Write) -> None:
    write("[schedule]\nlr = 0.5\nepochs = 7\nmilestones = [1, 2, 3]\n[head]\ndropout = 0.1\n", "base.toml")
    write('extends = "base.toml"\n[schedule]\nlr = 0.25\nmilestones = [4]\n', "middle.toml")
    write('extends = "middle.toml"\n[schedule]\nlr = 0.125\n', "recipe.toml")
    recipe = load_recipe("recipe.toml")
    assert (recipe.schedule.lr, recipe.schedule.epochs, recipe.schedule.milestones) == (0.125, 7, (4,))
    assert recipe.head.dropout == 0.1
    assert recipe.schedule.momentum == 0.9


def test_a_preset_can_be_extended_and_is_loaded_by_name(write: Write) -> None:
    write('extends = "tsn-r50-kinetics400"\n[head]\nnum_classes = 7\n')
    recipe = load_recipe("recipe.toml")
    assert recipe.head.num_classes == 7
    assert recipe.model == load_recipe("tsn-r50-kinetics400").model


def test_extends_is_relative_to_the_file_that_says_it(write: Write) -> None:
    write("[head]\ndropout = 0.125\n", "shared/base.toml")
    write('extends = "../shared/base.toml"\n', "mine/middle.toml")
    write('extends = "mine/middle.toml"\n', "recipe.toml")
    assert load_recipe("recipe.toml").head.dropout == 0.125
    assert load_recipe(Path("mine/middle.toml").absolute()).head.dropout == 0.125


def test_extends_an_absolute_path_and_one_in_the_home_folder(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write("[head]\ndropout = 0.125\n", "home/base.toml").absolute()
    monkeypatch.setenv("HOME", str(base.parent))
    for parent in (str(base), "~/base.toml"):
        write(f"extends = '{parent}'\n")
        assert load_recipe("recipe.toml").head.dropout == 0.125


def test_a_circle_of_extends_is_named(write: Write) -> None:
    write('\nextends = "b.toml"\n', "a.toml")
    write('extends = "a.toml"\n', "b.toml")
    assert the_problem("a.toml") == (
        "b.toml:1: `extends` goes in a circle: a.toml → b.toml → a.toml. Remove one of them."
    )
    write('extends = "./alone.toml"\n', "alone.toml")
    assert "alone.toml → alone.toml" in the_problem("alone.toml")


def test_a_missing_parent_is_named_with_the_nearest_preset(write: Write) -> None:
    write('# mine\nextends = "tsn-r50-kinetic400"\n')
    assert the_problem("recipe.toml") == (
        'recipe.toml:2: extends = "tsn-r50-kinetic400" is neither a file nor a preset; '
        'did you mean the preset "tsn-r50-kinetics400"?'
    )


@pytest.mark.parametrize("name", ["nowhere.toml", "x" * 300, "a\0b", "nowhere/recipe.toml"])
def test_a_missing_recipe_says_what_to_do(write: Write, name: str) -> None:
    assert the_problem(name).endswith("is neither a file nor a preset; "
                                      "`ftwiz presets` lists them, `ftwiz new` writes a recipe.")  # fmt: skip


@pytest.mark.parametrize("value", ["5", "[]", "true", "{ a = 1 }"])
def test_extends_must_be_text(write: Write, value: str) -> None:
    write(f"extends = {value}\n")
    assert the_problem("recipe.toml").startswith("recipe.toml:1: extends must be a preset's name or a path in quotes")


# --- files that are no recipe -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, line",
    [
        ("[head\n", 1),
        ("[head]\n\nnum_classes = \n", 3),
        ("[head]\nnum_classes = 1\nnum_classes = 2\n", 3),
        ('[head]\nnum_classes = "auto\n', 2),
        ("x = [1,\n2,\n", 3),
        ("name = 'a' 'b'", 1),
    ],
)
def test_bad_toml_is_told_by_its_line(write: Write, text: str, line: int) -> None:
    write(text)
    assert re.fullmatch(rf"recipe\.toml:{line}: not valid TOML: [^()]+\.", the_problem("recipe.toml"))


def test_toml_nested_too_deeply(write: Write) -> None:
    write("a = " + "[" * 10_000)
    assert the_problem("recipe.toml").startswith("recipe.toml: not valid TOML")


def test_not_utf8_is_not_a_recipe(write: Write) -> None:
    write(b"name = '\xff'")
    assert the_problem("recipe.toml") == ("recipe.toml: not a text file (byte 8 is not UTF-8); is it a recipe?")


def test_a_folder_is_not_a_recipe(write: Write) -> None:
    Path("folder").mkdir()
    assert the_problem("folder") == '"folder" is a folder; name the recipe file in it.'
    write('extends = "folder"')
    assert the_problem("recipe.toml") == 'recipe.toml:1: extends = "folder" is a folder; name the recipe file in it.'


@pytest.mark.parametrize("text", [b"", b"\n", b"# only a comment\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf[head]\r\n"])
def test_an_empty_recipe_is_all_defaults(write: Write, text: bytes) -> None:
    write(text)
    assert load_recipe("recipe.toml") == Recipe()


# --- wrong content: one sentence a problem ----------------------------------------------------------------------------

WRONG = [
    # unknown
    ("[schedule]\nlrr = 1", "recipe.toml:2: [schedule] lrr is not a known key; did you mean lr?"),
    ("[head]\nlr = 1", "recipe.toml:2: [head] lr is not a known key here; it belongs under [schedule]."),
    ("[head]\nzzzz = 1", "recipe.toml:2: [head] zzzz is not a known key; [head] has num_classes, multi_label, "
                         "consensus, spatial, dropout, init_std, reuse."),
    ("[hed]\ndropout = 0.1", "recipe.toml:1: [hed] is not a table of a recipe; did you mean [head]?"),
    ("[zzzz]\nx = 1", "recipe.toml:1: [zzzz] is not a table of a recipe; the tables are [model], [head], [dataset], "
                      "[schedule], [weights], [run]."),
    ("epochs = 1", "recipe.toml:1: epochs stands outside a table; it belongs under [schedule]."),
    ("head.dropuot = 0.1", "recipe.toml:1: [head] dropuot is not a known key; did you mean dropout?"),
    ("head = { dropuot = 0.1 }", "recipe.toml:1: [head] dropuot is not a known key; did you mean dropout?"),
    ("[head]\n'dropuot' = 0.1", "recipe.toml:1: [head] dropuot is not a known key; did you mean dropout?"),
    # not a table
    ("\nhead = 5", "recipe.toml:2: head is a table; write [head] on a line of its own."),
    ("[[head]]\ndropout = 0.1", "recipe.toml:1: head is a table; write [head] on a line of its own."),
    # wrong type
    ("name = 5", "recipe.toml:1: name must be text in quotes, not 5."),
    ("[schedule]\nepochs = 5.0", "recipe.toml:2: [schedule] epochs must be a whole number, not 5.0."),
    ('[schedule]\nepochs = "5"', 'recipe.toml:2: [schedule] epochs must be a whole number, not the text "5".'),
    ("[schedule]\nepochs = true", "recipe.toml:2: [schedule] epochs must be a whole number, not true."),
    ("[schedule]\nepochs = 2026-11-24", "recipe.toml:2: [schedule] epochs must be a whole number, not 2026-11-24."),
    ('[schedule]\nlr = "fast"', 'recipe.toml:2: [schedule] lr must be a number, not the text "fast".'),
    ("[schedule]\nnesterov = 1", "recipe.toml:2: [schedule] nesterov must be true or false, not 1."),
    ("[schedule]\nmilestones = 20", "recipe.toml:2: [schedule] milestones must be a list in [brackets], not 20."),
    ("[schedule]\nmilestones = [1.5]",
     "recipe.toml:2: every item of [schedule] milestones must be a whole number, not 1.5."),
    ("[dataset]\nroot = ['a']", "recipe.toml:2: [dataset] root must be text in quotes, not ['a']."),
    ("[dataset]\nsplit = true", "recipe.toml:2: [dataset] split is true: it must be a whole number."),
    ("[dataset]\nsplit = 1.0", "recipe.toml:2: [dataset] split is 1.0: it must be a whole number."),
    ("[model]\nmean = ['a', 2, 3]",
     'recipe.toml:2: every item of [model] mean must be a number, not the text "a".'),
    # impossible value
    ("[schedule]\nlr = 0", "recipe.toml:2: [schedule] lr must be above 0, not 0."),
    ("[schedule]\nlr = nan", "recipe.toml:2: [schedule] lr must be a finite number, not nan."),
    ("[schedule]\nlr = inf", "recipe.toml:2: [schedule] lr must be a finite number, not inf."),
    ("[schedule]\nepochs = 0", "recipe.toml:2: [schedule] epochs must be at least 1, not 0."),
    ("[schedule]\nmilestones = [40, 20]",
     "recipe.toml:2: [schedule] milestones is [40, 20]: the epochs must rise."),
    ("[schedule]\nmilestones = [0]", "recipe.toml:2: every item of [schedule] milestones must be at least 1, not 0."),
    ("[head]\nnum_classes = 1", 'recipe.toml:2: [head] num_classes must be at least 2 or "auto", not 1.'),
    ('[head]\nnum_classes = "atuo"',
     'recipe.toml:2: [head] num_classes must be a whole number or "auto", not the text "atuo"; did you mean "auto"?'),
    ("[head]\ndropout = 1", "recipe.toml:2: [head] dropout must be below 1, not 1."),
    ('[dataset]\nformat = "ucf-101"',
     f'recipe.toml:2: [dataset] format must be {ONE_OF_THE_FORMATS}, not the text '
     '"ucf-101"; did you mean "ucf101"?'),
    ("[dataset]\nsplit = 4", "recipe.toml:2: [dataset] split must be 1, 2 or 3, not 4."),
    ("[dataset]\nflip = 1.5", "recipe.toml:2: [dataset] flip must be at most 1, not 1.5."),
    ("[dataset]\ncrop_scales = []", "recipe.toml:2: [dataset] crop_scales is []: at least one is needed."),
    ("[dataset]\ncrop_scales = [2]", "recipe.toml:2: every item of [dataset] crop_scales must be at most 1, not 2."),
    ("[dataset]\nframe_size = 300",
     "recipe.toml:2: [dataset] frame_size is 300: it is cut out of frames whose short_side is 256, so it cannot be "
     "larger."),
    ('[dataset]\nroot = "a\\u0000b"', 'recipe.toml:2: [dataset] root is the text "a\0b": no path can hold a NUL.'),
    ("[model]\nmean = [1, 2]",
     "recipe.toml:2: [model] mean is [1, 2]: it takes three numbers, one a colour channel."),
    ("[model]\nstd = [0, 1, 1]", "recipe.toml:2: [model] std is [0, 1, 1]: every number must be above 0."),
    ('[run]\ndevice = "gpu"',
     'recipe.toml:2: [run] device must be auto, cpu, mps, cuda or cuda:N, not the text "gpu".'),
    (f"[run]\nseed = {2**63}", f"recipe.toml:2: [run] seed must be below {2**63}, not {2**63}."),
    (f'[run]\ndevice = "{"x" * 200}"',
     f'recipe.toml:2: [run] device must be auto, cpu, mps, cuda or cuda:N, not the text "{"x" * 79}…".'),
]  # fmt: skip


@pytest.mark.parametrize("text, sentence", WRONG, ids=[sentence[13:60] for _, sentence in WRONG])
def test_what_is_wrong_is_one_sentence(write: Write, text: str, sentence: str) -> None:
    write(text + "\n")
    assert the_problem("recipe.toml") == sentence


def test_all_problems_are_reported_at_once_each_with_its_own_file(write: Write) -> None:
    write("[schedule]\nlr = -1\n[head]\nnum_clases = 3\n", "base.toml")
    write('extends = "base.toml"\n[run]\nworkers = -2\n[schedule]\n# slower\nepochs = 0\n[extra]\nhead = 1\n')
    assert sorted(problems("recipe.toml", {"model.segments": 0, "dataset": 3})) == [
        "--set: [model] segments must be at least 1, not 0.",
        "--set: dataset is a table; write [dataset] on a line of its own.",
        "base.toml:2: [schedule] lr must be above 0, not -1.",
        "base.toml:4: [head] num_clases is not a known key; did you mean num_classes?",
        "recipe.toml:3: [run] workers must be at least 0 or \"auto\", not -2.",
        "recipe.toml:6: [schedule] epochs must be at least 1, not 0.",
        "recipe.toml:7: [extra] is not a table of a recipe; "
        "the tables are [model], [head], [dataset], [schedule], [weights], [run].",
    ]  # fmt: skip


def test_a_wrong_value_that_a_deeper_file_mends_is_no_problem(write: Write) -> None:
    write("[schedule]\nlr = -1\n", "base.toml")
    write('extends = "base.toml"\n[schedule]\nlr = 1\n')
    assert load_recipe("recipe.toml").schedule.lr == 1.0


def test_lines_are_counted_as_editors_count_them(write: Write) -> None:
    write("# a\u2028b\x85c\r\n[schedule]\r\n  lr=0 # none\r\n")
    assert the_problem("recipe.toml").startswith("recipe.toml:3: ")


def test_text_that_is_not_unicode_is_refused(write: Write) -> None:
    for key, value in (("name", "\udcff"), ("dataset.root", "/a/\udcff"), ("dataset.classes", ["\udcff"])):
        assert "a recipe can only hold text in UTF-8" in the_problem("tsn-r50-ucf101", {key: value})


def test_a_draft_is_checked_like_a_file() -> None:
    recipe = recipe_from({"head": {"num_classes": 5}}, extends="tsn-r50-kinetics400")
    assert recipe.head.num_classes == 5 and recipe.schedule.epochs == 100
    with pytest.raises(RecipeError, match=r"^the wizard: \[head\] dropuot is not a known key; did you mean dropout\?$"):
        recipe_from({"head": {"dropuot": 5}}, label="the wizard")


# --- --set ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, key, value",
    [
        ("schedule.lr=0.01", "schedule.lr", 0.01),
        (" schedule.lr = 1e-2 ", "schedule.lr", 0.01),
        ("schedule.epochs=5", "schedule.epochs", 5),
        ("schedule.milestones=[20, 40]", "schedule.milestones", [20, 40]),
        ("model.norm_eval=true", "model.norm_eval", True),
        ('name="a = b"', "name", "a = b"),
        ("name='it''s'", None, None),
        ("name=tsn", "name", "tsn"),
        ("head.num_classes=auto", "head.num_classes", "auto"),
        ("run.device=cuda:0", "run.device", "cuda:0"),
        ("dataset.root=./my videos", "dataset.root", "./my videos"),
        ("dataset.root=../视频", "dataset.root", "../视频"),
        ("dataset.root=C:\\videos", "dataset.root", "C:\\videos"),
        ("weights.load_from=https://host/a.pth?x=1&y=2", "weights.load_from", "https://host/a.pth?x=1&y=2"),
        ("weights.load_from=", "weights.load_from", ""),  # the shell takes the quotes of "" away
        ("name=2026run", "name", "2026run"),
        ("name=1\nx=2", "name", "1\nx=2"),
    ],
)
def test_set(text: str, key: str | None, value: Any) -> None:
    if key is None:
        with pytest.raises(RecipeError, match="is a quote or a bracket missing"):
            parse_override(text)
    else:
        assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["", "lr", "schedule.lr", "=5", "lr=5", "a.b.c=5", "schedule.=5", ".lr=5", "a b.c=5"])
def test_set_without_a_key_shows_how(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_override(text)
    assert str(caught.value) == (f"--set {text}: write it as table.key=value, for example --set schedule.lr=0.01.")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", ["[1, 2", "{a = ", '"open', "'open", "[1 2]", "[" * 10_000])
def test_set_with_half_a_value(value: str) -> None:
    with pytest.raises(RecipeError, match="is a quote or a bracket missing"):
        parse_override(f"schedule.milestones={value}")


@given(st.from_regex(r"[a-z_]+\.[a-z_]+", fullmatch=True), st.one_of(TEXT, st.integers(), st.booleans(), st.floats()))
def test_any_toml_value_can_be_set(key: str, value: Any) -> None:
    line = to_toml({"value": value}).removeprefix("value = ")
    got_key, got = parse_override(f"{key}={line}")
    assert got_key == key
    assert got == value or (value != value and got != got)  # nan


def test_set_wins_over_everything_and_is_checked_like_the_rest() -> None:
    overrides = dict(map(parse_override, ["schedule.lr=0.5", "run.device=cpu", "schedule.milestones=[1]"]))
    recipe = load_recipe("tsn-r50-ucf101", overrides)
    assert (recipe.schedule.lr, recipe.run.device, recipe.schedule.milestones) == (0.5, "cpu", (1,))
    assert the_problem("tsn-r50-ucf101", {"schedule.lrr": 1}) == (
        "--set: [schedule] lrr is not a known key; did you mean lr?"
    )
    assert the_problem("tsn-r50-ucf101", {"optimiser.lr": 1}).startswith("--set: [optimiser] is not a table")


# --- paths ------------------------------------------------------------------------------------------------------------


def test_a_relative_path_that_exists_beside_the_recipe_means_that_one(write: Write) -> None:
    write("", "project/videos/a.mp4")
    write("", "videos/b.mp4")
    write('[dataset]\nroot = "videos"\nannotations = "annotations"\n', "project/recipe.toml")
    write('extends = "project/recipe.toml"\n')
    for source in ("project/recipe.toml", "recipe.toml"):
        dataset = load_recipe(source).dataset
        assert dataset.root == str(Path("project/videos").resolve())
        assert dataset.annotations == "annotations"  # not there: the working folder's


def test_beside_also_holds_for_weights_but_not_for_addresses(write: Write) -> None:
    write("", "project/tsn.pth")
    write('[weights]\nload_from = "tsn.pth"\nbackbone = "torchvision://resnet50"\n', "project/recipe.toml")
    weights = load_recipe("project/recipe.toml").weights
    assert weights.load_from == str(Path("project/tsn.pth").resolve())
    assert weights.backbone == "torchvision://resnet50"


def test_set_means_the_working_folder(write: Write) -> None:
    write("", "project/videos/a.mp4")
    write("", "project/recipe.toml")
    assert load_recipe("project/recipe.toml", {"dataset.root": "videos"}).dataset.root == "videos"


@pytest.mark.parametrize("where", ["file", "set", "draft"])
def test_the_home_folder_is_spelt_out(write: Write, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    write('[dataset]\nroot = "~/videos"\n')
    recipe = {
        "file": lambda: load_recipe("recipe.toml"),
        "set": lambda: load_recipe("tsn-r50-ucf101", {"dataset.root": "~/videos"}),
        "draft": lambda: recipe_from({"dataset": {"root": "~/videos"}}),
    }[where]()
    assert recipe.dataset.root == "/home/someone/videos"


def test_an_unknown_home_folder_is_one_sentence(write: Write) -> None:
    write('[dataset]\nroot = "~nobody-at-all/videos"\n')
    assert "there is no such home folder" in the_problem("recipe.toml")


def test_absolute_paths_are_kept_and_made(write: Write) -> None:
    recipe = recipe_from({
        "dataset": {"root": "videos", "annotations": "/a//b/../c"},
        "weights": {"load_from": "tsn.pth", "backbone": "torchvision://resnet50"},
    })  # fmt: skip
    absolute = with_absolute_paths(recipe)
    assert absolute.dataset.root == str(Path.cwd() / "videos")
    assert absolute.weights.load_from == str(Path.cwd() / "tsn.pth")
    assert absolute.weights.backbone == "torchvision://resnet50"
    assert absolute.dataset.val_root == ""


# --- origins ----------------------------------------------------------------------------------------------------------


def test_every_value_knows_where_it_came_from(write: Write) -> None:
    write('name = "b"\n[schedule]\nlr = 0.5\nepochs = 3\n', "base.toml")
    write('extends = "base.toml"\n\n[schedule]\nlr = 0.25\n[head]\nnum_classes = 3\n', "recipe.toml")
    origins = resolve_recipe("recipe.toml", {"run.device": "cpu", "name": "x"}).origins
    assert origins["schedule.lr"] == "recipe.toml:4"
    assert origins["head.num_classes"] == "recipe.toml:6"
    assert origins["schedule.epochs"] == "base.toml:4"
    assert origins["run.device"] == "--set"
    assert origins["name"] == "--set"
    assert origins["model.segments"] == "default"
    every_key = {f"{table}.{key}" for table, model in TABLES.items() for key in model.model_fields}
    assert set(origins) == every_key | {"name"}


def test_what_comes_from_a_preset_says_so(write: Write) -> None:
    origins = resolve_recipe("tsn-r50-ucf101").origins
    line = 1 + preset_path("tsn-r50-kinetics400").read_text(encoding="utf-8").split("\n").index("norm_eval = false")
    assert origins["model.norm_eval"] == f"preset tsn-r50-kinetics400:{line}"
    assert origins["head.num_classes"].startswith("preset tsn-r50-ucf101:")


# --- the schema that editors complete from ----------------------------------------------------------------------------


def test_the_schema_names_every_table_and_key_with_a_description() -> None:
    schema = json.loads(json.dumps(recipe_schema()))
    assert set(schema["properties"]) == {"extends", "name", *TABLES}
    assert schema["additionalProperties"] is False
    for table, model in TABLES.items():
        reference = json.dumps(schema["properties"][table])
        definition = schema["$defs"][model.__name__]
        assert f'"#/$defs/{model.__name__}"' in reference
        assert definition["additionalProperties"] is False
        assert definition["description"]
        assert set(definition["properties"]) == set(model.model_fields)
        for key, about in definition["properties"].items():
            assert len(about["description"]) > 10, f"{table}.{key}"
            assert "default" in about, f"{table}.{key}"


def test_the_schema_knows_choices_and_bounds() -> None:
    definitions = recipe_schema()["$defs"]
    assert definitions["Dataset"]["properties"]["format"]["enum"] == FORMATS
    assert definitions["Schedule"]["properties"]["lr"]["exclusiveMinimum"] == 0
    classes = definitions["Head"]["properties"]["num_classes"]["anyOf"]
    assert {"minimum": 2, "type": "integer"} in classes and {"const": "auto", "type": "string"} in classes
    assert definitions["Schedule"]["properties"]["milestones"]["type"] == "array"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_default_is_itself_valid(table: type[Table]) -> None:
    assert table.model_validate(table().model_dump()) == table()


@pytest.mark.parametrize("name", preset_names())
def test_presets_use_only_keys_that_the_schema_knows(name: str) -> None:
    definitions = recipe_schema()["$defs"]
    document = tomllib.loads(preset_path(name).read_text(encoding="utf-8"))
    for table, values in document.items():
        if table in TABLES:
            assert set(values) <= set(definitions[TABLES[table].__name__]["properties"])


# --- where weights come from ------------------------------------------------------------------------------------------


def test_torchvisions_own_names_of_weights_are_no_paths(write: Write) -> None:
    recipe = load_recipe(write("[weights]\nbackbone = 'ResNet50_Weights.IMAGENET1K_V2'"))
    assert recipe.weights.backbone == "torchvision://ResNet50_Weights.IMAGENET1K_V2"
    assert with_absolute_paths(recipe).weights == recipe.weights


def test_a_run_beside_the_recipe_is_found_with_its_checkpoints_name(write: Write, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "runs" / "first").mkdir(parents=True)
    for name in ("best", "last", "epoch-005"):
        path = write(f"[weights]\nload_from = 'runs/first:{name}'", "elsewhere/recipe.toml")
        assert load_recipe(path).weights.load_from == f"{tmp_path}/elsewhere/runs/first:{name}"
    path = write("[weights]\nload_from = 'runs/second:best'", "elsewhere/recipe.toml")
    assert load_recipe(path).weights.load_from == "runs/second:best"  # of the working folder, if anywhere


def test_mirrors(write: Write) -> None:
    one = load_recipe(write("[weights]\nmirror = 'https://mirror.example/models'"))
    assert one.weights.mirror == ("https://mirror.example/models",)
    both = load_recipe(write("[weights]\nmirror = ['https://a.example/x->http://b.example', '~/weights']"))
    assert both.weights.mirror == ("https://a.example/x -> http://b.example", os.path.expanduser("~/weights"))
    assert "a folder whose path begins with / or ~" in the_problem(write("[weights]\nmirror = 'weights'"))
    assert "in front of -> stands" in the_problem(write("[weights]\nmirror = 'openmmlab -> https://b.example'"))
