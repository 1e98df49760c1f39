"""Our dataclasses are the library's in all that the product uses of them, and cost no compiling of six methods each."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import ClassVar

import pytest

from agent.core.model.copying import replace
from agent.core.model.data import dataclass, field, fields, is_dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """What is made of ours."""

    STATED: ClassVar[int] = 7
    a: int
    b: str = "x"
    c: tuple[int, ...] = field(default_factory=tuple)
    d: object = field(default=None, compare=False, repr=False, metadata={"key": "dee"})

    @property
    def twice(self) -> int:
        """Twice a."""
        return 2 * self.a


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same, made by the library."""

    STATED: ClassVar[int] = 7
    a: int
    b: str = "x"
    c: tuple[int, ...] = dataclasses.field(default_factory=tuple)
    d: object = dataclasses.field(default=None, compare=False, repr=False, metadata={"key": "dee"})

    @property
    def twice(self) -> int:
        """Twice a."""
        return 2 * self.a


Kind = type[Ours] | type[Theirs]
QUESTIONS: list[Callable[[Kind], object]] = [
    lambda kind: repr(kind(1)).partition("(")[2],
    lambda kind: kind(1) == kind(1, "x", (), 5),
    lambda kind: kind(1) == kind(2),
    lambda kind: kind(1) == object(),
    lambda kind: hash(kind(1)) == hash(kind(1, d=3)),
    lambda kind: (kind(1, c=(2,)).c, kind(b="y", a=3).twice, kind.STATED),
    lambda kind: kind.__match_args__,
    lambda kind: (kind.__slots__, hasattr(kind(1), "__dict__"), kind.__module__, kind.__doc__ is not None),
    lambda kind: copy.deepcopy(kind(1, c=(2,))) == kind(1, c=(2,)),
    lambda kind: pickle.loads(pickle.dumps(kind(1, "y"))) == kind(1, "y"),
    lambda kind: [(each.name, each.default == "x", dict(each.metadata)) for each in dataclasses.fields(kind)],
    lambda kind: [(each.name, dict(each.metadata)) for each in fields(kind)],
    lambda kind: (is_dataclass(kind), dataclasses.is_dataclass(kind), is_dataclass(7)),
    lambda kind: dataclasses.replace(kind(1), a=2) == kind(2),
    lambda kind: replace(kind(1), a=2) == kind(2),
    lambda kind: dataclasses.asdict(kind(1)),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_it_answers_as_the_library_does(ask: Callable[[Kind], object]) -> None:
    """Whatever the product asks of such a class, the library's says the same."""
    assert ask(Ours) == ask(Theirs)


@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_it_is_frozen_and_strict(kind: Kind) -> None:
    """No field is set or deleted later, and no argument is missing or too many."""
    made = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.a = 2  # type: ignore[misc] # that is what is refused
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.a
    with pytest.raises(TypeError):
        kind()  # type: ignore[call-arg] # a is required
    with pytest.raises(TypeError):
        kind(1, e=2)  # type: ignore[call-arg] # there is none
    assert made.a == 1


def test_two_kinds_with_the_same_values_differ() -> None:
    """A value of one class is never one of another: what is compared is what was said, not its numbers."""

    @dataclass(frozen=True, slots=True)
    class Other:
        """Another class with the same field."""

        a: int

    @dataclass(frozen=True, order=True, slots=True)
    class Ordered:
        """One with an order."""

        a: int
        b: int = 0

    different: object = Ordered(1)
    assert Other(1) != different
    assert sorted([Ordered(2), Ordered(1, 5), Ordered(1)]) == [Ordered(1), Ordered(1, 5), Ordered(2)]


def test_the_guard_loads_nothing_of_the_library() -> None:
    """A guard is small and starts at once: `dataclasses` would bring `inspect`, `ast` and `tokenize` with it."""
    code = "import agent.guard.guard, sys; print(*sorted({'dataclasses', 'inspect', 'ast'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
