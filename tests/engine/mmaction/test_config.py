"""Configs are read as data: what Python would compute, without running anything."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExitCode, RecipeError
from engine.mmaction.config import Config, read_config
from engine.mmaction.python_data import Unread


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def read(tmp_path: Path, text: str, **others: str) -> Config:
    """Read `text` as a config; others: the texts of files beside it, by stem."""
    for stem, other in others.items():
        write(tmp_path / f"{stem}.py", other)
    return read_config(write(tmp_path / "config.py", text))


def values(tmp_path: Path, text: str, **others: str) -> dict[str, Any]:
    config = read(tmp_path, text, **others)
    assert config.skipped == []
    return config.values


# --- the same as Python -----------------------------------------------------------------------------------------------

_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.text("abc_/{}'\"\\é ", max_size=8)
)
_names = st.sampled_from(["lr", "depth", "type", "scale"])


def _written(value: Any, draw: Any) -> str:
    """A value as a config may write it: `dict(…)` or braces, lists, tuples, plain or as a sum."""
    match value:
        case dict() if draw(st.booleans()):
            return f"dict({', '.join(f'{key}={_written(held, draw)}' for key, held in value.items())})"
        case dict():
            return "{" + ", ".join(f"{key!r}: {_written(held, draw)}" for key, held in value.items()) + "}"
        case list():
            return f"[{', '.join(_written(held, draw) for held in value)}]"
        case tuple():
            return f"({' '.join(_written(held, draw) + ',' for held in value)})"
        case int() if not isinstance(value, bool) and draw(st.booleans()):
            return f"({value - 7} + 7)"
        case str() if "{{" not in value and draw(st.booleans()):
            return f'f"{{{value!r}}}"' if not set(value) & set("'\"\\{}") else repr(value)
    return repr(value)


@st.composite
def config_texts(draw: Any) -> str:
    trees = st.recursive(
        _scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(_names, inner, max_size=3),
        ),
        max_leaves=12,
    )
    lines = [f"v{number} = {_written(draw(trees), draw)}" for number in range(draw(st.integers(1, 4)))]
    more = [
        "w = [v0, v0] * 2",
        "w = dict(a=v0, **dict(b=v0))",
        "w = [dict(type='X', n=i * 2) for i in range(3) if i != 1]",
        "w = {i: f'{i:05}' for i in range(2, 4)}",
        "w = v0 if v0 else [v0]",
        "w = dict(a=[v0])\nx = w\nx['a'] += [1]\nx.update(b=2)",
        "import copy\nw = [v0]\nx = copy.deepcopy(w)\nx.append(3)",
        "w = (1, 2, 3)[1:]\n(x, y), z = w, -w[0] // 2 ** 2 % 5",
        "w = not v0 and len([v0]) >= 1",
    ]
    return "\n".join([*lines, *draw(st.lists(st.sampled_from(more), unique=True, max_size=4))]) + "\n"


@pytest.mark.slow
@given(text=config_texts())
def test_a_config_without_code_is_what_python_computes(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected: dict[str, Any] = {}
    exec(compile(text, "config.py", "exec"), {}, expected)  # a config that this test wrote itself
    expected.pop("copy", None)
    if "{{" not in text:  # a template there, a set in a set here
        assert values(tmp_path_factory.mktemp("config"), text) == expected


def test_the_statements_and_expressions_that_configs_use(tmp_path: Path) -> None:
    text = """
        '''A docstring.'''
        from copy import deepcopy
        import os.path as osp
        split: int = 1
        ann_file = f'data/ucf101/ucf101_train_split_{split}_videos.txt'
        root = osp.join('data', 'ucf101', 'videos')
        name = 'tsn_{}_{:02d}'.format('r50', split)
        sizes = dict(action=739, scene=248)
        head = dict(num_classes=sizes['scene'], in_channels=2 ** 11)
        train = [dict(type='Flip', ratio=.5), dict(type='Resize', scale=(-1, 256))]
        test = deepcopy(train)
        test[0]['ratio'] = 0
        del test[0]['type']
        test.insert(0, dict(type='Init', **dict(io_backend='disk')))
        for step in train:
            step.setdefault('lazy', False)
        if split == 1:
            lr = 0.01 / 8
        else:
            lr = 1
        lr *= 4
        first, *_ = [1], 2
    """
    config = read(tmp_path, text)
    assert [str(skipped) for skipped in config.skipped] == [f"{tmp_path}/config.py:23: `first, *_ = ([1], 2)`"]
    got = config.values
    assert got["ann_file"] == "data/ucf101/ucf101_train_split_1_videos.txt"
    assert (got["root"], got["name"], got["lr"]) == ("data/ucf101/videos", "tsn_r50_01", 0.005)
    assert got["head"] == {"num_classes": 248, "in_channels": 2048}
    assert got["train"][0] == {"type": "Flip", "ratio": 0.5, "lazy": False}
    assert got["test"] == [{"type": "Init", "io_backend": "disk"}, {"ratio": 0}, {"type": "Resize", "scale": (-1, 256)}]


# --- inheritance ------------------------------------------------------------------------------------------------------


def test_bases_merge_key_by_key_and_delete_replaces(tmp_path: Path) -> None:
    got = values(
        tmp_path,
        """
        _base_ = ['./model.py', 'schedule.py']
        model = dict(backbone=dict(depth=101), cls_head=dict(_delete_=True, type='TSMHead'))
        optimizer = dict(lr=_base_.optimizer.lr * 2)
        steps = {{ _base_.lr_config.step }}
        note = 'from {{ fileBasenameNoExtension }} with {{ _base_.optimizer.type }}'
        """,
        model="model = dict(type='A', backbone=dict(type='ResNet', depth=50), cls_head=dict(type='TSNHead', n=2))",
        schedule="_base_ = 'deeper.py'\nlr_config = dict(step=[40, 80])\ntotal_epochs = 100",
        deeper="optimizer = dict(type='SGD', lr=0.01)\ntotal_epochs = 50",
    )
    assert got["model"] == {
        "type": "A",
        "backbone": {"type": "ResNet", "depth": 101},
        "cls_head": {"type": "TSMHead"},
    }
    assert got["optimizer"] == {"type": "SGD", "lr": 0.02}
    assert (got["steps"], got["total_epochs"]) == ([40, 80], 100)
    assert got["note"] == "from config with SGD"


def test_lists_replace(tmp_path: Path) -> None:
    got = values(tmp_path, "_base_ = 'b.py'\npipeline = [dict(type='A')]", b="pipeline = [dict(type='B'), dict()]")
    assert got["pipeline"] == [{"type": "A"}]


def test_the_newer_style_imports_its_bases(tmp_path: Path) -> None:
    write(
        tmp_path / "base" / "model.py",
        "from mmaction.models import TSNHead\nmodel = dict(head=dict(type=TSNHead, n=1))",
    )
    text = """
        from mmengine.config import read_base
        with read_base():
            from ..base.model import *
        model['head'].update(n=2)
        model.merge(dict(backbone=dict(depth=18)))
    """
    got = read_config(write(tmp_path / "tsn" / "config.py", text)).values
    assert got == {"model": {"head": {"type": "TSNHead", "n": 2}, "backbone": {"depth": 18}}}


def test_a_scoped_base_is_found_in_the_checkout_around_the_file(tmp_path: Path) -> None:
    write(tmp_path / "configs" / "_base_" / "default.py", "log_level = 'INFO'")
    mine = write(tmp_path / "projects" / "mine.py", "_base_ = ['mmaction::_base_/default.py']")
    assert read_config(mine).values == {"log_level": "INFO"}


def test_a_config_that_was_copied_away_finds_its_bases_by_the_named_folder(tmp_path: Path) -> None:
    write(tmp_path / "mmaction2" / "configs" / "_base_" / "default.py", "log_level = 'INFO'")
    mine = write(tmp_path / "mine" / "config.py", "_base_ = ['../../_base_/default.py']")
    assert read_config(mine, tmp_path / "mmaction2").values == {"log_level": "INFO"}
    with pytest.raises(RecipeError, match=r"based on \.\./\.\./_base_/default\.py, which is not there; .* --configs"):
        read_config(mine)


# --- nothing is executed ----------------------------------------------------------------------------------------------

CODE = [
    "import os\nos.system('touch {mark}')",
    "__import__('os').system('touch {mark}')",
    "exec(\"open('{mark}', 'w')\")",
    "x = [c for c in ().__class__.__base__.__subclasses__()]\nopen('{mark}', 'w')",
    "from pathlib import Path\nPath('{mark}').touch()",
    "def f():\n    open('{mark}', 'w')\nf()",
    "class C:\n    open('{mark}', 'w')",
    "with open('{mark}', 'w') as file:\n    pass",
    "while True:\n    open('{mark}', 'w')",
    "try:\n    open('{mark}', 'w')\nfinally:\n    pass",
    "[open('{mark}', 'w') for _ in range(1)]",
    "sorted([1], key=lambda _: open('{mark}', 'w'))",
    "x = f\"{{open('{mark}', 'w')}}\"",
    "x = '{{0.__class__}}'.format(open('{mark}', 'w'))",
    "assert open('{mark}', 'w')",
    "@open\ndef f(): ...\nopen('{mark}', 'w')",
]


@pytest.mark.parametrize("code", CODE)
def test_code_is_not_run_and_the_rest_is_read(code: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    config = read(tmp_path, f"before = 1\n{code.format(mark=mark)}\nafter = 2\n")
    assert not mark.exists()
    assert (config.values["before"], config.values["after"]) == (1, 2)
    unread = [value for value in config.values.values() if isinstance(value, Unread)]
    assert config.skipped or unread, "nobody was told"


def test_a_base_is_not_run_either(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    read(tmp_path, "_base_ = 'b.py'", b=f"import os\nos.system('touch {mark}')\nlr = 1")
    assert not mark.exists()


def test_a_value_that_is_code_stays_unread_with_its_place(tmp_path: Path) -> None:
    config = read(
        tmp_path, "import os\noptimizer = dict(lr=float(os.environ['LR']), type='SGD')\nlr2 = optimizer['lr'] * 2"
    )
    assert config.values["optimizer"]["type"] == "SGD"
    assert str(config.values["optimizer"]["lr"]) == f"{tmp_path}/config.py:2: `float(os.environ['LR'])`"
    assert isinstance(config.values["lr2"], Unread), "a value made of it is not known either"


def test_what_skipped_code_would_assign_is_not_known_any_more(tmp_path: Path) -> None:
    config = read(tmp_path, "lr = 1\nwhile True:\n    lr = 2\n    break")
    assert isinstance(config.values["lr"], Unread)


HUGE = [
    "x = 10 ** 10 ** 10",
    "x = 'a' * 10 ** 12",
    "x = [0] * 10 ** 9 * 10 ** 9",
    "x = list(range(10 ** 12))",
    "x = [i for i in range(10 ** 9)]",
    "x = f'{1:{10 ** 9}}'",
    "x = '{:1000000000}'.format(1)",
    "x = '%1000000000d' % 1",
    "x = round(5, -10 ** 9)",
    "x = 'a'\nfor i in range(60):\n    x = x + x",
    "x = [0]\nfor i in range(60):\n    x = [x, x]",
    "x = [0]\nfor i in range(60):\n    x = [x, x]\ny = str(x)",
    "x = [0]\nfor i in range(60):\n    x = [x, x]\nz = [0]\nfor i in range(60):\n    z = [z, z]\ny = x == z",
    "x = []\nx.append(x)",
    "x = dict()\nx.update(a=x)\nmodel = dict(b=x)",
    "x = ','.join(['a' * 1000] * 100000)",
    "x = " + "(" * 150 + ")" * 150,
    "x = " + "[" * 3000 + "]" * 3000,
    "x = " + "-" * 50000 + "1",
    "x = 1\n" + "x += x\n" * 20000,
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_a_text_made_to_be_huge_is_refused_or_left_unread(text: str, tmp_path: Path) -> None:
    try:
        config = read(tmp_path, text)
    except RecipeError as error:
        assert error.exit_code == ExitCode.RECIPE
        assert str(error).count("\n") == 0
    else:
        assert isinstance(config.values["x"], Unread | int | tuple)


BROKEN = {
    "x = (": r"config.py:1: not Python: .*never closed",
    "x = 'a\0b'": r"config.py(:1)?: not Python",
    "_base_ = 'nowhere.py'": "based on nowhere.py, which is not there",
    "_base_ = 'config.py'": r"goes in a circle: config.py → config.py",
    "_base_ = ['a.py', 'b.py']": "both say `lr`; MMAction2 refuses that",
    "_base_ = 5": "`_base_` must name files",
    "_base_ = [open('x')]": "`_base_` must name files",
    "_base_ = 'notes.txt'": "notes.txt: an MMAction2 config is a .py file",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_config_is_one_sentence(text: str, tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "lr = 1")
    with pytest.raises(RecipeError, match=BROKEN[text]) as raised:
        read(tmp_path, text, a="lr = 1", b="lr = 2")
    assert str(raised.value).count("\n") == 0


def test_files_that_are_no_config(tmp_path: Path) -> None:
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"\x80\x02}q\x00.")
    large = tmp_path / "large.py"
    large.write_text("#" * 2_000_000, encoding="utf-8")
    folder = tmp_path / "folder.py"
    folder.mkdir()
    for path, says in [
        (binary, "not a text file"),
        (large, "too many"),
        (folder, "no such file"),
        (tmp_path / "no.py", "no such"),
    ]:
        with pytest.raises(RecipeError, match=says):
            read_config(path)


def test_bases_that_multiply_are_refused(tmp_path: Path) -> None:
    for number in range(30):
        names = [f"f{number + 1}.py"] * 2 if number < 29 else []
        write(tmp_path / f"f{number}.py", f"_base_ = {names}")
    with pytest.raises(RecipeError, match="more than 100 files"):
        read_config(tmp_path / "f0.py")


def test_the_sources_come_bases_first(tmp_path: Path) -> None:
    config = read(tmp_path, "_base_ = 'b.py'  # mine\n", b="lr = 1  # this lr is used for 8 gpus\n")
    assert [path.name for path in config.sources] == ["b.py", "config.py"]
    assert "8 gpus" in next(iter(config.sources.values()))
