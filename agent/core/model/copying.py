"""`dataclasses.replace` for the state, faster: a step spends much of its time on copies.

A step sets many fields to what they are already, and a copy of thirty fields takes longer than most rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")
_SHAPES: dict[type, tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]] = {}


def replace(found: T, /, **changes: Any) -> T:
    """Return a dataclass with other values in some fields: itself, if it has those values already."""
    kind = type(found)
    get, places = _shape(kind)
    new = {
        places[name]: value
        for name, value in changes.items()
        if (old := getattr(found, name)) is not value and old != value
    }
    if not new:
        return found
    values = list(get(found))
    for place, value in new.items():
        values[place] = value
    return kind(*values)


def differing(before: T, after: T) -> set[str]:
    """Return the fields in which two dataclasses of one kind are unlike."""
    if before is after:
        return set()
    get, places = _shape(type(before))
    return {
        name for name, old, new in zip(places, get(before), get(after), strict=True) if old is not new and old != new
    }


def _shape(kind: type) -> tuple[Callable[[Any], tuple[Any, ...]], dict[str, int]]:
    shape = _SHAPES.get(kind)
    if shape is None:
        names = [field.name for field in fields(kind)]
        shape = _SHAPES[kind] = (attrgetter(*names), {name: place for place, name in enumerate(names)})
    return shape
