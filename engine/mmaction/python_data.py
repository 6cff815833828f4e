"""Python text read as data: literals, `dict(...)`, and the little arithmetic that configs do. Nothing is executed.

A config is a list of assignments. `PythonData` walks their syntax tree and works out each value itself, with the few
operators, functions and methods named in the tables below. Whatever else stands there (a call of `os.system`, a value
from the environment) stays an `Unread` that remembers its text and line, so that a person can be told.
"""

from __future__ import annotations

import ast
import copy
import operator
import posixpath
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import RecipeError

# A config takes a few thousand steps. Text made to be slow or large (10 ** 10 ** 10, a list of lists of lists) stops
# here: every value computed costs a step, and a text or list as many as it is long.
STEPS = 1_000_000
_LARGEST_EXPONENT = 100
_LARGEST_INTEGER_BITS = 4096


@dataclass(frozen=True)
class Unread:
    """A value that is code and not data. where: "config.py:12"."""

    text: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: `{self.text}`"


@dataclass(frozen=True)
class Imported(Unread):
    """A name that an import would bring. Pure functions below are known by it; a class's name is all a config needs."""

    name: str = ""


class _NotData(Exception):
    """This expression cannot be worked out."""


class PythonData:
    """The assignments of one file. `names` holds them, with what was there before; `skipped` is what was not read."""

    def __init__(
        self,
        label: str,
        names: dict[str, Any],
        placeholders: Mapping[str, str] | None = None,
        read_module: Callable[[str], dict[str, Any]] | None = None,
    ):
        """label: how messages call the file. placeholders: what {{ name }} in a text stands for. read_module: the
        names of another config, for `with read_base(): from .other import *` (".other" → {…})."""
        self.label = label
        self.names = names
        self.skipped: list[Unread] = []
        self._placeholders = placeholders or {}
        self._read_module = read_module
        self._steps = 0

    # --- statements ---------------------------------------------------------------------------------------------------

    def read(self, statements: Iterable[ast.stmt]) -> None:
        """Follow the statements in order."""
        for statement in statements:
            self._spend(1)
            try:
                self._follow(statement)
            except _NotData:
                self._skip(statement)

    def _follow(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                result = self.value(value)
                for target in targets:
                    self._assign(target, result)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assign(target, self.value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                self._augment(target, op, self._data(value))
            case ast.Expr(value=ast.Constant()) | ast.Pass():  # a docstring
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute()) as call):  # model.update(…)
                self._data(call)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.If(test=test, body=body, orelse=orelse):
                self.read(body if self._data(test) else orelse)
            case ast.For(target=target, iter=items, body=body, orelse=[]):
                for item in self._items(items):
                    self._assign(target, item)
                    self.read(body)
            case ast.Import(names=names):
                for alias in names:
                    # `import os.path` makes the name os, `import os.path as p` the whole.
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._import(alias.asname or whole, whole, statement)
            case ast.ImportFrom(module=module, names=names):
                for alias in names:
                    self._import(alias.asname or alias.name, f"{module}.{alias.name}", statement)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self.names[name] = Unread(name, self._where(statement))
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="read_base")))], body=body):
                for inner in body:
                    self._inherit(inner)
            case _:
                raise _NotData

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts) if isinstance(value, list | tuple):
                if len(parts) != len(value) or any(isinstance(part, ast.Starred) for part in parts):
                    raise _NotData
                for part, item in zip(parts, value, strict=True):
                    self._assign(part, item)
            case ast.Subscript(value=holder, slice=index):
                self._change(operator.setitem, holder, self._data(index), value)
            case ast.Attribute(value=holder, attr=name):
                self._change(operator.setitem, holder, name, value)
            case _:
                raise _NotData

    def _augment(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        """`a += [1]` changes the list itself, which other names may hold too; as in Python."""
        before = self._data(target)
        if isinstance(before, list) and isinstance(op, ast.Add):
            _attempt(before.extend, self._sized(value))
        elif isinstance(before, dict) and isinstance(op, ast.BitOr):
            _attempt(before.update, self._sized(value))
        else:
            self._assign(target, self._operate(op, before, value))

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name) if name in self.names:
                del self.names[name]
            case ast.Subscript(value=holder, slice=index):
                self._change(operator.delitem, holder, self._data(index))
            case _:
                raise _NotData

    def _change(self, change: Callable[..., Any], holder: ast.expr, *arguments: Any) -> None:
        held = self._data(holder)
        if not isinstance(held, dict | list):
            raise _NotData
        _attempt(change, held, *arguments)

    def _import(self, name: str, whole: str, statement: ast.stmt) -> None:
        self.names[name] = Imported(name, self._where(statement), whole)

    def _inherit(self, statement: ast.stmt) -> None:
        """`from .other import *`, or some names of it, inside `with read_base()`."""
        if not isinstance(statement, ast.ImportFrom) or self._read_module is None:
            raise _NotData
        names = self._read_module("." * statement.level + (statement.module or ""))
        for alias in statement.names:
            if alias.name == "*":
                self.names.update(names)
            elif alias.name in names:
                self.names[alias.asname or alias.name] = names[alias.name]
            else:
                raise _NotData

    def _skip(self, statement: ast.stmt) -> None:
        """Remember a statement that is code. What it would have assigned is not known any more."""
        self.skipped.append(Unread(_shortened(statement), self._where(statement)))
        if not isinstance(statement, ast.Expr):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    self.names[node.id] = Unread(_shortened(statement), self._where(statement))

    # --- expressions --------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        """What an expression stands for; an `Unread` where it is code."""
        try:
            return self._compute(node)
        except _NotData:
            return Unread(_shortened(node), self._where(node))

    def _data(self, node: ast.expr) -> Any:
        """Like `value`, where something is to be done with it: raises _NotData for what is code."""
        result = self._compute(node)
        if isinstance(result, Unread):
            raise _NotData
        return result

    def _compute(self, node: ast.expr) -> Any:
        self._spend(1)
        match node:
            case ast.Constant(value=str(text)):
                return self._filled(text)
            case ast.Constant(value=bool() | int() | float() | None as value):
                return value
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.List(elts=elements):
                return list(self._elements(elements))
            case ast.Tuple(elts=elements):
                return tuple(self._elements(elements))
            case ast.Set(elts=[ast.Set(elts=[inner])]):  # {{ _base_.model }}
                return self._compute(inner)
            case ast.Set(elts=elements):
                return _attempt(set, list(self._elements(elements)))
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values)
            case ast.Attribute(value=holder, attr=name):  # _base_.model.backbone
                return _attempt(operator.getitem, self._of_type(dict, holder), name)
            case ast.Subscript(value=holder, slice=index):
                held = self._of_type(dict | list | tuple | str, holder)
                return self._sized(_attempt(operator.getitem, held, self._index(index)))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _attempt(_UNARY[type(op)], self._data(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._operate(op, self._data(left), self._data(right))
            case ast.BoolOp(op=op, values=values):
                return self._either(isinstance(op, ast.Or), values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._compute(body if self._data(test) else orelse)
            case ast.JoinedStr(values=parts):
                return self._sized("".join(self._text(part) for part in parts))
            case ast.ListComp(elt=element, generators=loops) | ast.GeneratorExp(elt=element, generators=loops):
                return self._comprehended(loops, lambda: self.value(element))
            case ast.SetComp(elt=element, generators=loops):
                return _attempt(set, self._comprehended(loops, lambda: self.value(element)))
            case ast.DictComp(key=key, value=value, generators=loops):
                return _attempt(dict, self._comprehended(loops, lambda: (self._data(key), self.value(value))))
            case ast.Call(func=function, args=positional, keywords=keywords):
                return self._call(function, list(self._elements(positional)), self._keywords(keywords))
        raise _NotData

    def _of_type(self, kinds: Any, node: ast.expr) -> Any:
        held = self._data(node)
        if not isinstance(held, kinds):
            raise _NotData
        return held

    def _elements(self, nodes: Iterable[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self._items(node.value)
            else:
                yield self.value(node)

    def _items(self, node: ast.expr) -> Iterator[Any]:
        items = self._data(node)
        if not isinstance(items, dict | list | tuple | set | range | str):
            raise _NotData
        yield from list(self._sized(items))

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:  # {**other}
                result.update(self._of_type(dict, value))
            else:
                _attempt(operator.setitem, result, self._data(key), self.value(value))
        return result

    def _keywords(self, keywords: list[ast.keyword]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for keyword in keywords:
            if keyword.arg is None:  # dict(**other)
                result.update(self._of_type(dict, keyword.value))
            else:
                result[keyword.arg] = self.value(keyword.value)
        return result

    def _index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            return slice(*(part and self._data(part) for part in (node.lower, node.upper, node.step)))
        return self._data(node)

    def _operate(self, op: ast.operator, left: Any, right: Any) -> Any:
        if type(op) not in _BINARY or _would_be_huge(op, left, right):
            raise _NotData
        return self._sized(_attempt(_BINARY[type(op)], left, right))

    def _either(self, is_or: bool, nodes: list[ast.expr]) -> Any:
        result: Any = None
        for node in nodes:
            result = self._data(node)
            if bool(result) is is_or:
                break
        return result

    def _compare(self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr]) -> bool:
        before = self._small(self._data(left))
        for op, node in zip(ops, others, strict=True):
            after = self._small(self._data(node))
            if not _attempt(_COMPARISONS[type(op)], before, after):
                return False
            before = after
        return True

    def _comprehended(self, loops: list[ast.comprehension], item: Callable[[], Any]) -> list[Any]:
        """The items of a comprehension. The names that it assigns are its own."""
        outside = dict(self.names)
        try:
            return [item() for _ in self._looped(loops)]
        finally:
            self.names.clear()
            self.names.update(outside)

    def _looped(self, loops: list[ast.comprehension]) -> Iterator[None]:
        if not loops:
            yield
            return
        first, *rest = loops
        for item in self._items(first.iter):
            self._assign(first.target, item)
            if all(self._data(condition) for condition in first.ifs):
                yield from self._looped(rest)

    # --- text ---------------------------------------------------------------------------------------------------------

    def _filled(self, text: str) -> Any:
        """`{{ fileDirname }}` and `{{ _base_.x }}` in a text; a text that is nothing else becomes the value itself."""
        if "{{" not in text:
            return self._sized(text)
        if whole := _PLACEHOLDER.fullmatch(text.strip()):
            return self._placeholder(whole.group(1))
        return self._sized(_PLACEHOLDER.sub(lambda found: _plain(self._placeholder(found.group(1))), text))

    def _placeholder(self, name: str) -> Any:
        if name in self._placeholders:
            return self._placeholders[name]
        start, *keys = name.split(".")
        if start != "_base_":
            raise _NotData
        held = self.names.get("_base_")
        for key in keys:
            held = _attempt(operator.getitem, held, int(key) if key.isdigit() else key)
        return held

    def _text(self, part: ast.expr) -> str:
        """One part of an f-string."""
        match part:
            case ast.Constant(value=str(text)):
                return text
            case ast.FormattedValue(value=node, conversion=conversion, format_spec=spec):
                value = self._small(self._data(node))
                written = repr(value) if conversion == ord("r") else str(value) if conversion == ord("s") else value
                return _formatted(written, self._text(spec) if spec else "")
            case ast.JoinedStr(values=parts):  # a format specification
                return "".join(self._text(inner) for inner in parts)
        raise _NotData

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, function: ast.expr, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if any(isinstance(argument, Unread) for argument in arguments):
            raise _NotData
        if (name := self._function(function)) == "dict":
            return _attempt(
                dict, *arguments, **keywords
            )  # may hold what is code: dict(lr=os.environ["LR"], momentum=0.9)
        if any(isinstance(argument, Unread) for argument in keywords.values()):
            raise _NotData
        if name in _FUNCTIONS:
            self._small(arguments)
            return self._sized(_attempt(_FUNCTIONS[name], *arguments, **keywords))
        if isinstance(function, ast.Attribute):
            held = self._data(function.value)
            if any(isinstance(held, kind) and function.attr in names for kind, names in _METHODS.items()):
                return self._method(held, function.attr, arguments, keywords)
        raise _NotData

    def _function(self, node: ast.expr) -> str:
        """The full name of what is called: deepcopy after `from copy import deepcopy` is copy.deepcopy."""
        match node:
            case ast.Name(id=name):
                held = self.names.get(name)
                return held.name if isinstance(held, Imported) else "" if name in self.names else name
            case ast.Attribute(value=ast.Name() | ast.Attribute() as holder, attr=name):
                before = self._function(holder)
                return f"{before}.{name}" if before else ""
        return ""

    def _method(self, held: Any, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        self._small([held, arguments])
        if name == "merge":  # of mmengine's ConfigDict
            return _attempt(lambda changes: held.update(merged(changes, held)), *arguments)
        if name == "format":
            return self._sized(_template_filled(held, arguments, keywords))
        if name == "join" and isinstance(arguments[0], list | tuple):
            self._spend(len(held) * len(arguments[0]))
        result = _attempt(getattr(held, name), *arguments, **keywords)
        return self._sized(list(result) if name in ("keys", "values", "items") else result)

    def charge(self, value: Any) -> None:
        """Refuse what is too large, or holds itself."""
        self._small(value)

    # --- limits -------------------------------------------------------------------------------------------------------

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            raise RecipeError(f"{self.label}: reading it takes more than {STEPS:,} steps; it is no ordinary config.")

    def _sized(self, value: Any) -> Any:
        if isinstance(value, str | list | tuple | dict | set | range):
            self._spend(_attempt(len, value))
        return value

    def _small(self, value: Any) -> Any:
        """Charges for everything inside: comparing or printing a list goes through all of it."""
        for item in walk(value):
            self._spend(len(item) if isinstance(item, str) else 1)
        return value

    def _where(self, node: ast.AST) -> str:
        return f"{self.label}:{getattr(node, 'lineno', 1)}"


def walk(value: Any) -> Iterator[Any]:
    """Everything inside a value, itself too, shared parts as often as they are held: endless where it holds itself."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item


def merged(changes: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """A config on top of what it is based on: dicts merge key by key, `_delete_=True` drops what was there."""
    result = dict(base)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(value, dict):
            keeps = isinstance(before, dict) and not value.get("_delete_", False)
            value = {inner: held for inner, held in value.items() if inner != "_delete_"}
            result[key] = merged(value, before if keeps and before else {})
        else:
            result[key] = value
    return result


# --- the tables of what is known --------------------------------------------------------------------------------------

_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitOr: operator.or_,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items, ast.NotIn: lambda item, items: item not in items,
}  # fmt: skip


def _add_up(numbers: Iterable[Any]) -> Any:
    """sum, of numbers only: of lists it takes the square of the time."""
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError("numbers only")
    return sum(numbers)


def _round(number: float, digits: int = 0) -> float:
    """round. Of a billion digits it takes for ever."""
    if abs(digits) > _LARGEST_EXPONENT:
        raise ValueError("too many digits")
    return round(number, digits) if digits else round(number)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "list": list, "tuple": tuple, "set": set, "range": range, "len": len, "int": int, "float": float, "str": str,
    "bool": bool, "min": min, "max": max, "sum": _add_up, "abs": abs, "round": _round, "sorted": sorted,
    "zip": lambda *sequences: list(zip(*sequences, strict=False)), "enumerate": lambda *args: list(enumerate(*args)),
    "copy.copy": copy.copy, "copy.deepcopy": copy.deepcopy, "os.path.join": posixpath.join,
}  # fmt: skip
_METHODS: dict[type, tuple[str, ...]] = {
    dict: ("copy", "get", "items", "keys", "merge", "pop", "setdefault", "update", "values"),
    list: ("append", "copy", "extend", "insert", "pop"),
    str: ("endswith", "format", "join", "lower", "lstrip", "rstrip", "split", "startswith", "strip", "upper"),
}
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+(?:\.\w+)*)\s*\}\}")


def _attempt(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Where Python itself would complain, there is no value either."""
    try:
        return function(*arguments, **keywords)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
        raise _NotData from None


def _would_be_huge(op: ast.operator, left: Any, right: Any) -> bool:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    match op:
        case ast.Pow():
            return not numbers or abs(right) > _LARGEST_EXPONENT or _bits(left) * abs(right) > _LARGEST_INTEGER_BITS
        case ast.Mult() if numbers:
            return _bits(left) + _bits(right) > _LARGEST_INTEGER_BITS
        case ast.Mult():
            sequence, times = (right, left) if isinstance(left, int) else (left, right)
            return isinstance(times, int) and isinstance(sequence, str | list | tuple) and len(sequence) * times > STEPS
        case ast.Mod():  # "%1000000000d" % 1
            return not numbers
    return False


def _bits(number: float) -> int:
    return number.bit_length() if isinstance(number, int) else 0


def _formatted(value: Any, specification: str) -> str:
    if len(str(value)) > STEPS or re.search(r"\d{4}", specification):  # a width of a billion
        raise _NotData
    return _attempt(format, value, specification)


def _template_filled(template: str, arguments: list[Any], keywords: dict[str, Any]) -> str:
    """str.format with plain fields: "{}", "{0}", "{name:05d}"; no attributes, no items, no nested fields."""
    filled, numbered = [], iter(range(len(arguments)))
    for text, name, specification, conversion in _attempt(lambda: list(string.Formatter().parse(template))):
        filled.append(text)
        if name is not None:
            if conversion or "{" in (specification or ""):
                raise _NotData
            key = next(numbered, -1) if name == "" else int(name) if name.isdigit() else name
            value = _attempt(operator.getitem, arguments if isinstance(key, int) else keywords, key)
            filled.append(_formatted(value, specification or ""))
    return "".join(filled)


def _plain(value: Any) -> str:
    if not isinstance(value, bool | int | float | str | None):
        raise _NotData
    return str(value)


def _shortened(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
