"""The strict reader and writer of JSON records: dataclasses whose fields say by type and `Rule` what may stand there.

A field is an int, bool, str, tuple of str, mapping of str to int or str, another such dataclass, or tuple of those; or
one of these or None. Unknown fields are ignored: a later version may have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import lru_cache, partial
from types import NoneType
from typing import Any, TypedDict, TypeVar, get_args, get_origin, get_type_hints

MAX_BYTES = 64 * 1024
MAX_NUMBER = 2**53
"""The largest whole number that every JSON reader keeps exactly."""
TEXT = 1000
"""Characters that are kept of a text, where nothing less is said."""
ENTRIES = 16
"""Texts that are kept of a list, where nothing else is said."""
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
Reader = Callable[[dict[str, Any]], Any]
T = TypeVar("T")


class Rule(TypedDict, total=False):
    """The metadata of a field: what its type does not say.

    absent  what it is in JSON that lacks it: else the field's default, and without one the field is required
    least, below  the bounds of a number, from 0 to MAX_NUMBER unless said
    limit   characters that are kept of a text, or of each in a list
    most    texts of a list, or entries of a mapping, that are kept; a list of records with more is refused
    words   the texts that are allowed
    named   it is a node's name
    """

    absent: Any
    least: int
    below: int
    limit: int
    most: int
    words: tuple[str, ...]
    named: bool


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


def word(value: dict[str, Any], name: str, words: tuple[str, ...]) -> str:
    """Read one of a few words."""
    found = value.get(name)
    if found not in words:
        raise RecordError(f"{name}: expected {', '.join(words[:-1])} or {words[-1]}")
    return str(found)


def inner(value: dict[str, Any], name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read an object within an object."""
    found = value.get(name, default)
    if not isinstance(found, dict):
        raise RecordError(f"{name}: expected an object")
    return found


def record(kind: type[T], value: dict[str, Any]) -> T:
    """Read a dataclass from a JSON object. RecordError names the field at fault."""
    return kind(*[read(value) for read in _readers(kind)])  # type: ignore[arg-type]  # mypy: no type[T] is Hashable


def as_json(found: Any, **more: object) -> bytes:
    """Return a dataclass as JSON, with `more` fields beside it."""
    return dumped(plain(found) | more)


def dumped(values: Mapping[str, object]) -> bytes:
    """Return plain values as JSON."""
    return json.dumps(values, separators=(",", ":")).encode()


def plain(found: Any) -> dict[str, Any]:
    """Return a dataclass as JSON has it, with what `record` would keep of each field."""
    return {name: _bounded(getattr(found, name), rule) for name, rule in _writers(type(found))}  # type: ignore[arg-type]  # as above


@lru_cache
def _readers(kind: type) -> tuple[Reader, ...]:
    hints = get_type_hints(kind)
    return tuple(_reader(each.name, hints[each.name], each.metadata, _absent(each)) for each in fields(kind))


@lru_cache
def _writers(kind: type) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple((each.name, each.metadata) for each in fields(kind))


def _absent(each: Field[Any]) -> Any:
    """Return what a field is that is left out; None if it must not be."""
    return each.metadata.get("absent", None if each.default is MISSING else each.default)


def _reader(key: str, hint: Any, rule: Mapping[str, Any], absent: Any) -> Reader:
    """Return what reads one field from an object."""
    limit, most = rule.get("limit", TEXT), rule.get("most", ENTRIES)
    if hint is bool:
        return partial(flag, name=key, default=absent)
    if hint is int:
        least, below = rule.get("least", 0), rule.get("below", MAX_NUMBER)
        return partial(number, name=key, default=absent, least=least, below=below)
    if hint is str:
        if "words" in rule:
            return partial(word, name=key, words=rule["words"])
        if "named" in rule:
            return lambda value: a_name(text(value, key), key)
        return partial(text, name=key, default=absent, limit=limit)
    if is_dataclass(hint):
        return lambda value: record(hint, inner(value, key))  # type: ignore[arg-type]  # no instance, a class
    if get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
        return partial(_records, key=key, kind=get_args(hint)[0], most=most)
    if get_origin(hint) is tuple:
        return partial(texts, name=key, most=most, limit=limit)
    if get_origin(hint) is Mapping:
        return partial(_mapping, key=key, hint=get_args(hint)[1], rule=rule)
    (known,) = (each for each in get_args(hint) if each is not NoneType)
    read = _reader(key, known, rule, None)
    return lambda value: None if value.get(key) is None else read(value)


def _records(value: dict[str, Any], key: str, kind: type[T], most: int) -> tuple[T, ...]:
    """Read a list of records, in full or not at all."""
    found = value.get(key, [])
    if not isinstance(found, list) or len(found) > most or not all(isinstance(each, dict) for each in found):
        raise RecordError(f"{key}: expected a list of at most {most} objects")
    try:
        return tuple(record(kind, each) for each in found)
    except RecordError as error:
        raise RecordError(f"{key}: {error}") from error


def _mapping(value: dict[str, Any], key: str, hint: type, rule: Mapping[str, Any]) -> dict[str, Any]:
    found = inner(value, key, {})
    kept = list(found)[: rule.get("most", ENTRIES)]
    return {shown(name, rule.get("limit", TEXT)): _reader(name, hint, rule, None)(found) for name in kept}


def _bounded(value: Any, rule: Mapping[str, Any]) -> Any:
    """Return what a reader would keep of a field, as JSON has it."""
    if isinstance(value, str):
        return shown(value, rule.get("limit", TEXT))
    if isinstance(value, tuple):
        return [_bounded(each, rule) for each in value[: rule.get("most", ENTRIES)]]
    if isinstance(value, Mapping):
        kept = list(value.items())[: rule.get("most", ENTRIES)]
        return {shown(name, rule.get("limit", TEXT)): _bounded(each, rule) for name, each in kept}
    return plain(value) if is_dataclass(value) else value
