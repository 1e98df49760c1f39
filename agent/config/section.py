"""The strict reader of the configuration: classes whose annotations and `Field`s say what may be set.

It tells every fault at once, also where settings that are right by themselves do not fit together, and reads a part of
a configuration as well as the whole. A library for that (pydantic) took a quarter of the agent's start and of its RSS.

A setting is a str, bool, int, float, Path, SecretStr, Literal or another Section, a tuple of one of these, or one of
these or None; `Annotated` adds functions that look at a value and return it or raise ValueError with the remedy.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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

MASK = "**********"
REQUIRED: Any = object()
"""In the place of a default: the setting has to be given."""
Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SecretStr:
    """A text that nothing shows by accident."""

    _text: str

    def get_secret_value(self) -> str:
        """Return the text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"SecretStr('{self}')"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `ge` and `le` are the least and the most that is taken, `gt` is not. `form`: `pattern` in words."""

    default: Any = REQUIRED
    description: str = ""
    examples: Sequence[Any] = ()
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    pattern: str = ""
    form: str = ""
    name: str = ""
    hint: Any = None

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is REQUIRED

    @property
    def bounds(self) -> dict[str, float | None]:
        """The bounds of a number as JSON schema names them."""
        return {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le}

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return SecretStr in leaves(self.hint)


def Field(**given: Any) -> Any:  # noqa: N802 - it stands where a type checker looks for a field's default
    """Describe a setting: its default, meaning and bounds (see `Setting`)."""
    return Setting(**given)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place. `kind`: missing, unknown, value (`text` is a sentence), type (`text`: should be …).

    whole: the text is a complete line, for a section with a place of its own knows the names of its settings.
    """

    loc: Loc
    kind: Literal["missing", "unknown", "value", "type", "whole"]
    text: str = ""
    value: Any = field(default=None, repr=False)


class Invalid(ValueError):
    """A section that cannot be; `faults` has all that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{'.'.join(map(str, each.loc))}: {each.text or each.kind}" for each in faults))


class NotGiven(AttributeError):
    """A value that was faulty is asked for: what depends on it cannot be judged."""


class Wrong(Exception):
    """A value is not of its type; the text says what it should be, and is empty where the fault is noted already."""


def leaves(hint: Any) -> list[Any]:
    """Return the types that a hint is made of."""
    inner = [each for each in get_args(hint) if each is not ...]
    if get_origin(hint) is Annotated:
        return leaves(inner[0])
    if not inner or get_origin(hint) is Literal:
        return [hint]
    return [leaf for each in inner for leaf in leaves(each)]


def single(hint: Any) -> Any:
    """Return the type of a single value."""
    return leaves(hint)[0]


def is_list(hint: Any) -> bool:
    """Tell whether a setting has several entries."""
    return get_origin(get_args(hint)[0] if get_origin(hint) is Annotated else hint) is tuple


def within(setting: Setting, value: Any) -> Any:
    """Return a value that is within the bounds; Wrong when it is not."""
    if setting.ge is not None and not value >= setting.ge:
        raise Wrong(f"should be greater than or equal to {setting.ge:g}")
    if setting.gt is not None and not value > setting.gt:
        raise Wrong(f"should be greater than {setting.gt:g}")
    if setting.le is not None and not value <= setting.le:
        raise Wrong(f"should be less than or equal to {setting.le:g}")
    if setting.pattern and not re.search(setting.pattern, value):
        raise Wrong(f"should be {setting.form}")
    return value


def one_of(value: Any, words: tuple[str, ...]) -> Any:
    """Return one of a few words; Wrong when it is none."""
    if value not in words:
        shown = [repr(each) for each in words]
        raise Wrong(f"should be {', '.join(shown[:-1])} or {shown[-1]}")
    return value


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
    _fields: ClassVar[dict[str, Setting] | None] = None

    def __init_subclass__(cls, *, partial: bool = False) -> None:
        cls._partial, cls._fields = partial, None
        cls._own = dict(cls._own)
        for name in inspect.get_annotations(cls):
            given = cls.__dict__.get(name, REQUIRED)
            above = cls._own.get(name, Setting())  # a plain value is another default for what is inherited
            cls._own[name] = given if isinstance(given, Setting) else replace(above, default=given)
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
        if cls._fields is None:
            hints = get_type_hints(cls, include_extras=True)
            cls._fields = {name: replace(own, name=name, hint=hints[name]) for name, own in cls._own.items()}
        return cls._fields

    def _fill(self, given: Mapping[str, Any], loc: Loc, faults: list[Fault]) -> None:
        """Take the values; note what is wrong, and leave such a value out."""
        values, fields = vars(self), self.fields()
        for name, setting in fields.items():
            if name in given:
                with _noting(faults, (*loc, name), given[name]):
                    found = _read(setting.hint, given[name], (*loc, name), faults)
                    values[name] = None if found is None else within(setting, found)
            elif setting.required:
                faults.append(Fault((*loc, name), "missing"))
            else:
                values[name] = setting.default
        if not self._partial:
            faults += [Fault((*loc, name), "unknown", "", given[name]) for name in given if name not in fields]
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

    def in_ms(self) -> dict[str, Any]:
        """Return the values by name as the core has them: spans, and these alone are floats, in whole ms."""
        return {name: round(each * 1000) if isinstance(each, float) else each for name, each in self.values().items()}

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


def _read(hint: Any, value: Any, loc: Loc, faults: list[Fault]) -> Any:
    """Return a value as its type wants it. It raises Wrong or ValueError, or notes the faults of a section."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _read(inner[0], value, loc, faults)
        for look in inner[1:]:
            found = None if found is None else look(found)
        return found
    if origin is Literal:
        return one_of(value, inner)
    if origin is tuple:
        return _entries(inner[0], value, loc, faults)
    if origin in (types.UnionType, Union):
        given = next(each for each in inner if each is not type(None))
        return None if value is None or value == "" else _read(given, value, loc, faults)
    if issubclass(hint, Section):
        return _table(hint, value, loc, faults)
    return _single(value, hint)


def _entries(hint: Any, value: Any, loc: Loc, faults: list[Fault]) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise Wrong("should be a list in [ ]")
    found = []
    for place, each in enumerate(value):
        with _noting(faults, (*loc, place), each):
            found.append(_read(hint, each, (*loc, place), faults))
    if len(found) < len(value):
        raise Wrong
    return tuple(found)


def _table(kind: type[Section], value: Any, loc: Loc, faults: list[Fault]) -> Section:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise Wrong("should be a table")
    made = object.__new__(kind)
    made._fill(value, loc, faults)
    return made


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
