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
    shape = _SHAPES.get(kind)
    if shape is None:
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type] # a dataclass, by contract
        shape = _SHAPES[kind] = (attrgetter(*names), {name: place for place, name in enumerate(names)})
    get, places = shape
    values = list(get(found))
    same = True
    for name, value in changes.items():
        place = places[name]
        if values[place] is not value:
            same = same and values[place] == value
            values[place] = value
    return found if same else kind(*values)
