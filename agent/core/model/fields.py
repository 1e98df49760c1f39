"""Single fields of a JSON record: strict, bounded, and fit to be shown. Nothing about any one record lives here."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_BYTES = 64 * 1024
MAX_NUMBER = 2**53
"""The largest whole number that every JSON reader keeps exactly."""
TEXT = 1000
"""Characters that are kept of a text, where nothing less is said."""
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


class RecordError(ValueError):
    """A value that cannot be read; the text names the field and what was expected."""


def shown(text: str, limit: int = TEXT) -> str:
    """Return a text as one bounded line that can be encoded, logged and put on a terminal.

    Anybody who reaches etcd writes such texts: control characters and lone surrogates do not get through.
    """
    text = text[:limit]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def an_object(raw: bytes, what: str, most: int = MAX_BYTES) -> dict[str, Any]:
    """Read a JSON object of at most `most` bytes."""
    if len(raw) > most:
        raise RecordError(f"{what}: {len(raw)} bytes, at most {most} are read")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{what}: not JSON") from error
    if not isinstance(value, dict):
        raise RecordError(f"{what}: expected a JSON object")
    return value


def number(
    value: dict[str, Any], name: str, default: int | None = None, least: int = 0, below: int = MAX_NUMBER
) -> int:
    """Read a whole number; true is not 1."""
    found = value.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found < below:
        raise RecordError(f"{name}: expected a whole number from {least}, below {below}")
    return found


def text(value: dict[str, Any], name: str, default: str | None = None, limit: int = TEXT) -> str:
    """Read a text."""
    found = value.get(name, default)
    if not isinstance(found, str):
        raise RecordError(f"{name}: expected text")
    return shown(found, limit)


def texts(value: dict[str, Any], name: str, most: int, limit: int) -> tuple[str, ...]:
    """Read a list of texts; none if it is left out."""
    found = value.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise RecordError(f"{name}: expected a list of texts")
    return tuple(shown(each, limit) for each in found[:most])


def flag(value: dict[str, Any], name: str, default: bool | None = None) -> bool:
    """Read true or false."""
    found = value.get(name, default)
    if not isinstance(found, bool):
        raise RecordError(f"{name}: expected true or false")
    return found


def a_name(found: str, what: str) -> str:
    """Return a node's name."""
    if not NAME.fullmatch(found):
        raise RecordError(f"{what}: expected a node's name (a-z, 0-9, dot, hyphen; at most 63)")
    return found
