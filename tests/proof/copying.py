"""The core's own way to copy, made faster for the search, which spends most of its time on copies.

A frozen dataclass sets each field through a call. A twin with the same slots that is not frozen takes them directly,
and becomes the frozen one when it is complete: a copy of the core's state takes a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from agent.core.model import copying

T = TypeVar("T")
_COPIERS: dict[type, Callable[[Any], Any] | None] = {}


def replace(found: T, /, **changes: Any) -> T:
    """Return a dataclass with other values in some fields: itself, if it has those values already."""
    kind = type(found)
    try:
        copier = _COPIERS[kind]
    except KeyError:
        copier = _COPIERS[kind] = _copier(kind)
    if copier is None:
        return copying.replace(found, **changes)
    made = None
    for name, value in changes.items():
        old = getattr(found, name)
        if old is not value and old != value:
            if made is None:
                made = copier(found)
            setattr(made, name, value)
    if made is None:
        return found
    made.__class__ = kind
    return made  # type: ignore[no-any-return] # the twin has become one


def _copier(kind: type) -> Callable[[Any], Any] | None:
    """Return what copies one into a twin; None where the class sets more than its own slots."""
    names = [field.name for field in fields(kind)]
    if kind.__bases__ != (object,) or list(getattr(kind, "__slots__", ())) != names or hasattr(kind, "__post_init__"):
        return None
    twin = type(f"{kind.__name__}Twin", (), {"__slots__": tuple(names)})
    lines = ["def copier(found):", "    made = twin()", *(f"    made.{name} = found.{name}" for name in names)]
    room: dict[str, Any] = {"twin": twin}
    exec("\n".join([*lines, "    return made"]), room)  # nothing else writes the fields one by one as fast
    return room["copier"]  # type: ignore[no-any-return]
