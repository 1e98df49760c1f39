"""What happened to a group, read from its keys: changes of leader and operators' words. Keys in, plain data out."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.core.model.fields import shown
from agent.core.model.keys import Keys
from agent.core.model.slots import date
from agent.core.model.store import Snapshot

AUDIT = "audit/"
"""Below it stand the words of operators: when, by whom, what, why. Agents do not read them."""
_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str, now: datetime) -> datetime:
    """Read `2h`, `30m`, `7d`, or a time (without a zone: the local one). ValueError when it is none of these."""
    if found := _SPAN.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    return datetime.fromisoformat(text).astimezone(UTC)


def entries(names: Keys, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return all changes and words, oldest first. `kind` is `change` or `word`; `when` is ISO 8601 or None.

    A change keeps every field that stands in etcd. What is no JSON object is left out.
    """
    found = []
    for item in snapshot.items:
        for kind, root in (("change", names.history(0)[:-1]), ("word", names.root + AUDIT)):
            if item.key.startswith(root) and isinstance(record := _read(item.value), dict):
                fields = {str(key): _plain(value) for key, value in record.items() if key != "when_ms"}
                found.append({"kind": kind, "when": when(record.get("when_ms")), **_epoch(kind, item.key), **fields})
    return sorted(found, key=lambda each: (each["when"] or "", each["kind"], _number(each.get("epoch"))))


def windows(names: Keys, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return what is kept of own windows, oldest first: slots signed and missed, with causes; `when` is ISO 8601."""
    root, found = names.root + "ledger/", []
    for item in snapshot.items:
        word = item.key.removeprefix(root)
        record = _read(item.value) if item.key != word and word.isdecimal() and len(word) < 16 else None
        if isinstance(record, dict):
            fields = {str(key): _plain(value) for key, value in record.items()}
            found.append({"kind": "window", "when": when(date(int(word))), **fields, "slot": int(word)})
    return sorted(found, key=lambda each: each["slot"])


def record_at(snapshot: Snapshot, key: str) -> dict[str, Any]:
    """Return the JSON object that a key holds, empty when there is none: anybody who reaches etcd may write there."""
    found = next((_read(item.value) for item in snapshot.items if item.key == key), None)
    return found if isinstance(found, dict) else {}


def _read(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _epoch(kind: str, key: str) -> dict[str, Any]:
    word = key.rpartition("/")[2]
    return {"epoch": int(word)} if kind == "change" and word.isdecimal() and len(word) < 16 else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _plain(value: Any) -> Any:
    """Return a value fit to be shown: texts are cleaned, all else is as it is."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {shown(str(key)): _plain(each) for key, each in value.items()}
    return value


def when(value: Any) -> str | None:
    """Return a time in ms since 1970 as ISO 8601; None: it is none."""
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def later(found: list[dict[str, Any]], start: datetime | None) -> list[dict[str, Any]]:
    """Return what happened at `start` or later; what has no date stays."""
    if start is None:
        return found
    return [each for each in found if each["when"] is None or datetime.fromisoformat(each["when"]) >= start]
