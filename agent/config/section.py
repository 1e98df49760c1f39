"""The strict reader of the configuration: classes whose annotations and `Field`s say what may be set.

It tells every fault at once, also where settings that are right by themselves do not fit together, and reads a part of
a configuration as well as the whole. A library for that (pydantic) took a quarter of the agent's start and of its RSS.

A setting is a str, bool, int, float, Path, SecretStr, Literal or another Section, a tuple of one of these, or one of
these or None; `Annotated` adds functions that look at a value and return it or raise ValueError with the remedy.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from agent.config.setting import (
    REQUIRED,
    Fault,
    Field,
    Invalid,
    Loc,
    NotGiven,
    SecretStr,
    Setting,
    Wrong,
    leaves,
    one_of,
    within,
)

T = TypeVar("T")


@contextmanager
def _noting(faults: list[Fault], loc: Loc, value: Any) -> Iterator[None]:
    """Note what is wrong with a value."""
    try:
        yield
    except Wrong as error:
        if str(error):
            faults.append(Fault(loc, "type", str(error), value))
    except ValueError as error:
        faults.append(Fault(loc, "value", str(error), value))


Read = Callable[[Any, Loc, list[Fault]], Any]


def relation(method: Callable[[T], Iterator[str]]) -> Callable[[T], Iterator[str]]:
    """Mark a method that yields a line for each pair of settings that do not fit together.

    It is not asked where a value that it looks at was faulty itself.
    """
    method.is_relation = True  # type: ignore[attr-defined]  # a mark on a function
    return method


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class Section:
    """A table of the file. Frozen; a key that it does not know is an error, unless it is `partial`."""

    _partial: ClassVar[bool] = False
    _relations: ClassVar[tuple[str, ...]] = ()
    _own: ClassVar[dict[str, Setting]] = {}
    _made: ClassVar[dict[str, tuple[Setting, Read]] | None] = None

    def __init_subclass__(cls, *, partial: bool = False) -> None:
        cls._partial, cls._made = partial, None
        cls._own = dict(cls._own)
        for name in inspect.get_annotations(cls):
            given = cls.__dict__.get(name, REQUIRED)
            cls._own[name] = given if isinstance(given, Setting) else Setting(given)
            if name in cls.__dict__:
                delattr(cls, name)
        marked = [name for name, each in vars(cls).items() if hasattr(each, "is_relation")]
        cls._relations = tuple(dict.fromkeys((*cls._relations, *marked)))

    def __init__(self, /, **given: Any) -> None:
        faults: list[Fault] = []
        self._fill(given, (), faults)
        if faults:
            raise Invalid(faults)

    @classmethod
    def model_validate(cls, given: Mapping[str, Any]) -> Self:
        """Return a section of these values. Invalid tells all that is wrong."""
        return cls(**given)

    @classmethod
    def fields(cls) -> dict[str, Setting]:
        """Return the settings by name, in the order of the file."""
        return {name: setting for name, (setting, _) in cls._readers().items()}

    @classmethod
    def _readers(cls) -> dict[str, tuple[Setting, Read]]:
        if cls._made is None:
            hints = get_type_hints(cls, include_extras=True)
            made = {}
            for name, own in cls._own.items():
                setting = replace(own, name=name, hint=hints[name])
                made[name] = (setting, _looked_at(_reader(setting.hint), (setting,)))
            cls._made = made
        return cls._made

    def _fill(self, given: Mapping[str, Any], loc: Loc, faults: list[Fault]) -> None:
        """Take the values; note what is wrong, and leave such a value out."""
        values, readers = vars(self), self._readers()
        for name, (setting, read) in readers.items():
            if name in given:
                with _noting(faults, (*loc, name), given[name]):
                    values[name] = read(given[name], (*loc, name), faults)
            elif setting.required:
                faults.append(Fault((*loc, name), "missing"))
            else:
                values[name] = setting.default
        if not self._partial:
            faults += [Fault((*loc, name), "unknown", "", given[name]) for name in given if name not in readers]
        for name in self._relations:
            try:
                for line in getattr(self, name)():
                    faults.append(Fault(loc, "value" if any(isinstance(each, int) for each in loc) else "whole", line))
            except NotGiven:
                continue
            except ValueError as error:
                faults.append(Fault(loc, "value", str(error)))

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return dict(vars(self))

    def replace(self, **changes: Any) -> Self:
        """Return the section with other values, which are not checked."""
        made = object.__new__(type(self))
        vars(made).update(self.values() | changes)
        return made

    def __getattr__(self, name: str) -> NoReturn:
        raise NotGiven(name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def section_of(hint: Any) -> type[Section] | None:
    """Return the section that a setting, or each of its entries, is; None for a single value."""
    return next((each for each in leaves(hint) if isinstance(each, type) and issubclass(each, Section)), None)


def _reader(hint: Any) -> Read:
    """Return what reads a value of a type. It raises Wrong or ValueError, or notes the faults of a section."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _looked_at(_reader(inner[0]), inner[1:])
    if origin is Literal:
        return lambda value, *_: one_of(value, inner)
    if origin is tuple:
        return _entries(_reader(inner[0]))
    if origin in (types.UnionType, Union):
        read = _reader(next(each for each in inner if each is not type(None)))
        return lambda value, loc, faults: None if value is None or value == "" else read(value, loc, faults)
    if issubclass(hint, Section):
        return _table(hint)
    return lambda value, *_: _single(value, hint)


def _looked_at(read: Read, marks: tuple[Any, ...]) -> Read:
    def look(value: Any, loc: Loc, faults: list[Fault]) -> Any:
        found = read(value, loc, faults)
        for each in marks:
            if callable(each) and found is not None:
                found = each(found)
            elif isinstance(each, Setting):
                within(found, each)
        return found

    return look


def _entries(read: Read) -> Read:
    def entries(value: Any, loc: Loc, faults: list[Fault]) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise Wrong("should be a list in [ ]")
        found = []
        for place, each in enumerate(value):
            with _noting(faults, (*loc, place), each):
                found.append(read(each, (*loc, place), faults))
        if len(found) < len(value):
            raise Wrong
        return tuple(found)

    return entries


def _table(kind: type[Section]) -> Read:
    def table(value: Any, loc: Loc, faults: list[Fault]) -> Section:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise Wrong("should be a table")
        made = object.__new__(kind)
        made._fill(value, loc, faults)
        return made

    return table


def _single(value: Any, kind: type) -> Any:
    """Return a single value of a type; a whole number is taken for a float, a text for a path or a secret."""
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind in (Path, SecretStr) and isinstance(value, str):
        return kind(value)
    if kind is int and isinstance(value, float):
        raise Wrong("should be a whole number")
    raise Wrong(f"should be {_TYPES.get(kind, 'a text in quotes')}")


_TYPES = {
    bool: "true or false, without quotes",
    int: "a whole number, without quotes",
    float: "a number, without quotes",
}
