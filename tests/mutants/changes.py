"""The mistakes that can be made in one module, by mutmut's operators. What is only said to people is left alone."""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

LOGS = ("log", "_log")
UNTOUCHED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise, cst.Assert)
"""What a mistake in it would only change the words of, or the import: a wrong import fails at once."""


@dataclass(frozen=True)
class Change:
    """One mistake. `function`: the innermost one that it is in, "" for the module; `line` counts from 1."""

    path: Path
    number: int
    function: str
    line: int
    before: Any
    after: Any


class Module:
    """A module and its mistakes, in an order that differs from module to module and never from run to run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        both = self.text + Path(__file__).read_text(encoding="utf-8")  # which mistakes there are stands here
        self.hash = hashlib.sha1(both.encode(), usedforsecurity=False).hexdigest()[:12]
        wrapper = MetadataWrapper(cst.parse_module(self.text))
        found = _changes(path, wrapper.module, wrapper.resolve(PositionProvider))
        self._module = wrapper.module
        self.changes = [replace(each, number=number) for number, each in enumerate(found)]
        random.Random(self.hash).shuffle(self.changes)

    def changed(self, change: Change) -> str | None:
        """Return the module with a mistake; None when it is none, or no Python."""
        text: str = self._module.deep_replace(change.before, change.after).code
        try:
            same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(self.text))
        except SyntaxError:
            return None
        return None if same else text


def _changes(path: Path, node: Any, places: Any, names: tuple[str, ...] = ()) -> Iterator[Change]:
    """Yield the mistakes in a node and below it. `number` is 0: it is given by the place in the module."""
    if isinstance(node, UNTOUCHED) or _is_said(node) or _is_docstring(node) or _for_types(node):
        return
    if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
        names = (*names, node.name.value)
    for after in _after(node):
        yield Change(path, 0, ".".join(names), places[node].start.line, node, after)
    for child in node.children:
        yield from _changes(path, child, places, names)


def _after(node: Any) -> Iterator[Any]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            found = [each for each in operator(node) if _texts(each) >= _texts(node)]
            yield from found[:1] if operator is operator_string else found
    if isinstance(node, cst.SimpleStatementLine) and m.matches(node, m.SimpleStatementLine([m.Expr(m.Call())])):
        yield node.with_changes(body=[cst.Pass()])  # what is left open, not told, not ended


def _texts(node: Any) -> int:
    """Count the texts for people among the arguments of a call: a mistake that takes one away is none to test for."""
    return sum(map(_is_text, (each.value for each in node.args))) if isinstance(node, cst.Call) else 0


def _is_text(node: Any) -> bool:
    if isinstance(node, cst.ConcatenatedString):
        return True
    return isinstance(node, cst.FormattedString) or (isinstance(node, cst.SimpleString) and " " in node.value)


def _is_said(node: Any) -> bool:
    """Whether a node is for people: a line of a log, or a text with a space in it."""
    if isinstance(node, cst.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    if isinstance(node, cst.SimpleStatementLine) and m.matches(node, m.SimpleStatementLine([m.Expr(m.Call())])):
        func = node.body[0].value.func
        return isinstance(func, cst.Attribute) and isinstance(func.value, cst.Name) and func.value.value in LOGS
    return _is_text(node)


def _is_docstring(node: Any) -> bool:
    return bool(m.matches(node, m.Expr(m.SimpleString() | m.ConcatenatedString())))


def _for_types(node: Any) -> bool:
    """Whether a node is for the type checker, for `import *`, or only run as a program."""
    named = m.AssignTarget(m.Name("__all__") | m.Name("_Base"))
    made = m.Assign([named]) | m.Assign(value=m.Call(m.Name("TypeVar")))
    started = m.Comparison(m.Name("__name__"))
    return bool(m.matches(node, m.If(m.Name("TYPE_CHECKING") | started) | made))
