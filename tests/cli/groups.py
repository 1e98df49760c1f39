"""Groups as they stand in etcd, for the tests of the command line: keys and values, no process."""

from __future__ import annotations

from typing import Any

from agent.cli.look import Look
from agent.core.model.keys import keys
from agent.core.model.records import Heartbeat, Member, write
from agent.core.model.store import KeyValue, Snapshot

NAMES = keys("/nodeos-failover", "eos")


def beat(seq: int, **other: Any) -> bytes:
    """Return a heartbeat of bp-a."""
    fields: dict[str, Any] = {"epoch": 7, "node": "bp-a", "instance": "i", "seq": seq, "validity_ms": 6000}
    return write(Heartbeat(**fields | other))


def member(node: str, **other: Any) -> bytes:
    """Return a healthy member."""
    fields: dict[str, Any] = {"role": "standby", "healthy": True, "able": True, "reasons": (), "head": 100, "lib": 90}
    fields |= {"head_age_ms": 120, "priority": 100, "drained": False, "version": "0.1.0", "nodeos": "v5.0.2"}
    return write(Member(**fields | {"node": node, "instance": node} | other))


def snapshot(revision: int, heartbeat: bytes | None, **other: bytes | None) -> Snapshot:
    """Return the keys of a group of two that is well, with changes: None takes a key away."""
    found = {
        "leader": b"bp-a",
        "heartbeat": heartbeat,
        "members/bp-a": member("bp-a", role="leading"),
        "members/bp-b": member("bp-b", head=97),
        "history/7": b'{"when_ms":1700000000000,"node":"bp-a"}',
    } | {name.replace("__", "/").replace("_", "-"): value for name, value in other.items()}
    items = tuple(
        KeyValue(
            NAMES.root + name,
            value,
            revision if name == "heartbeat" else 5,
            lease=int(name == "leader" or name.startswith("members/")),
        )
        for name, value in sorted(found.items())
        if value is not None
    )
    return Snapshot(revision, items)


def well(**other: bytes | None) -> Look:
    """Return two looks at a group of two that is well, with changes."""
    return Look(NAMES, snapshot(10, beat(3), **other), snapshot(11, beat(4), **other))


def silent(**other: bytes | None) -> Look:
    """Return the same with a heartbeat that stands still."""
    return Look(NAMES, snapshot(10, beat(3), **other), snapshot(10, beat(3), **other))
