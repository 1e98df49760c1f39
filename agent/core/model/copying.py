"""`dataclasses.replace` for the state, faster: a step spends much of its time on copies.

A step sets many fields to what they are already, and a copy of fifty fields takes longer than most rules: a frozen
dataclass sets each through a call. A twin with the same slots that is not frozen takes them at once, and becomes the
frozen one when it is complete: a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")
Shape = tuple[Callable[[Any], tuple[Any, ...]], dict[str, int], Callable[..., Any]]
"""How all fields are read, where each stands, and what takes their values."""
_SHAPES: dict[type, Shape] = {}


def replace(found: T, /, **changes: Any) -> T:
    """Return a dataclass with other values in some fields: itself, if it has those values already."""
    kind = type(found)
    get, places, twin = _shape(kind)
    values: list[Any] | None = None
    for name, value in changes.items():
        old = getattr(found, name)
        if old is not value and old != value:
            values = values or list(get(found))
            values[places[name]] = value
    if values is None:
        return found
    made = twin(*values)
    if twin is not kind:
        made.__class__ = kind
    return made  # type: ignore[no-any-return] # the twin has become one


def differing(before: T, after: T) -> set[str]:
    """Return the fields in which two dataclasses of one kind are unlike."""
    if before is after:
        return set()
    get, places, _ = _shape(type(before))
    return {
        name for name, old, new in zip(places, get(before), get(after), strict=True) if old is not new and old != new
    }


def _shape(kind: type) -> Shape:
    shape = _SHAPES.get(kind)
    if shape is None:
        names = [field.name for field in fields(kind)]
        places = {name: place for place, name in enumerate(names)}
        shape = _SHAPES[kind] = (attrgetter(*names), places, _twin(kind, names))
    return shape


def _twin(kind: type, names: list[str]) -> type:
    """Return a class whose objects may become ones of `kind`: itself where it does more than keep its fields."""
    if hasattr(kind, "__post_init__"):
        return kind
    twin = make_dataclass(f"{kind.__name__}Twin", names, slots=True, eq=False, repr=False)
    try:
        twin(*names).__class__ = kind
    except TypeError:  # it has no slots, or more than these
        return kind
    return twin
