"""What happened to a group, read from its keys: changes of leader and operators' words. Keys in, plain data out."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from agent.core.model.fields import shown
from agent.core.model.keys import Keys
from agent.core.model.slots import EPOCH, SLOT
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
                found.append({"kind": kind, "when": _when(record.get("when_ms")), **_epoch(kind, item.key), **fields})
    return sorted(found, key=lambda each: (each["when"] or "", each["kind"], _number(each.get("epoch"))))


def windows(names: Keys, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return what is kept of own windows, oldest first: slots signed and missed, with causes; `when` is ISO 8601."""
    root, found = names.root + "ledger/", []
    for item in snapshot.items:
        word = item.key.removeprefix(root)
        record = _read(item.value) if item.key != word and word.isdecimal() and len(word) < 16 else None
        if isinstance(record, dict):
            fields = {str(key): _plain(value) for key, value in record.items()}
            found.append({"kind": "window", "when": _when(EPOCH + int(word) * SLOT), **fields, "slot": int(word)})
    return sorted(found, key=lambda each: each["slot"])


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


def _when(value: Any) -> str | None:
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def later(found: list[dict[str, Any]], start: datetime | None) -> list[dict[str, Any]]:
    """Return what happened at `start` or later; what has no date stays."""
    if start is None:
        return found
    return [each for each in found if each["when"] is None or datetime.fromisoformat(each["when"]) >= start]


def table(found: list[dict[str, Any]]) -> Table:
    """Return the same for a terminal; words of operators stand between the changes that they brought about."""
    grid = Table(box=None, pad_edge=False)
    for name in ("when (UTC)", "epoch", "gap", "missed", "what"):
        right = name in {"epoch", "gap", "missed"}
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=name != "what")
    for each in found:
        when = datetime.fromisoformat(each["when"]).strftime("%m-%d %H:%M:%S") if each["when"] else "?"
        if each["kind"] == "word":
            grid.add_row(when, "", "", "", Text(_word(each), style="yellow"))
            continue
        spans = [gap for name in ("leaderless_ms", "outage_ms") if isinstance(gap := each.get(name), int | float)]
        grid.add_row(
            when,
            str(each.get("epoch", "?")),
            f"{max(spans) / 1000:.1f} s" if spans else "-",
            str(each.get("slots_missed", "?")),
            Text(_change(each)),
        )
    return grid


def window_table(found: list[dict[str, Any]]) -> Table:
    """Return the windows for a terminal."""
    grid = Table(box=None, pad_edge=False)
    for name in ("when (UTC)", "slots", "signed", "missed", "leader", "epoch", "causes"):
        right = name in {"slots", "signed", "missed", "epoch"}
        grid.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=name == "when (UTC)")
    for each in found:
        causes = each.get("causes")
        why = ", ".join(f"{cause} {count}" for cause, count in causes.items()) if isinstance(causes, dict) else ""
        when = datetime.fromisoformat(each["when"]).strftime("%m-%d %H:%M:%S") if each["when"] else "?"
        words = [str(each.get(name, "?")) for name in ("slots", "signed", "missed", "leader", "epoch")]
        grid.add_row(when, *map(Text, words), Text(why), style="red" if each.get("missed") else "")
    return grid


def _change(each: dict[str, Any]) -> str:
    before = f"{each['from']} -> " if each.get("from") else ""
    reason = f": {each['reason']}" if each.get("reason") else ""
    return f"{before}{each.get('node', '?')}{reason}"


def _word(each: dict[str, Any]) -> str:
    reason = f" ({each['reason']})" if each.get("reason") else ""
    return f"{each.get('by', 'somebody')}: {each.get('did', '?')}{reason}"
