"""Looking at a group twice: whether its leader is alive cannot be seen in one look at etcd."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agent.cli.target import Target
from agent.core.model.keys import Keys
from agent.core.model.records import GroupView, read_group
from agent.core.model.store import Snapshot
from agent.group.view import fresh, lives
from agent.ports import Store

EVERY_S = 0.1
"""Between two looks, in seconds."""


@dataclass(frozen=True, slots=True)
class Look:
    """Two looks at the keys of a group. `confirmed`: its leader was seen to live; `seen`: at the first look already."""

    names: Keys
    first: Snapshot
    second: Snapshot
    seen: bool = False

    @property
    def view(self) -> GroupView:
        """The keys, as the second look read them."""
        return read_group(self.names, self.second)

    @property
    def confirmed(self) -> bool:
        """Whether the leader was seen to live, and the heartbeat is still held."""
        heartbeat = self.view.heartbeat
        held = heartbeat is not None and heartbeat.record is not None and not heartbeat.record.released
        return held and (self.seen or lives(self.view, read_group(self.names, self.first)))


def look(store: Store, target: Target, *, moving: bool = False) -> Look:
    """Look once, if that shows a leader that lives; else until one is seen, or long enough to say that none is.

    `moving`: a report of a moment ago does not suffice, as where an operator saw the leader die just now.
    """
    names = target.names
    first = store.range(names.root, target.timeout)
    view = read_group(names, first)
    if not moving and fresh(view, time.time_ns() // 1_000_000):
        return Look(names, first, first, seen=True)
    deadline = time.monotonic() + target.look_for
    while True:
        time.sleep(EVERY_S)
        second = store.range(names.root, target.timeout)
        if lives(read_group(names, second), view) or time.monotonic() > deadline:
            return Look(names, first, second)


def revision(snapshot: Snapshot, key: str) -> int:
    """Return the mod revision of a key, 0 when it is absent."""
    return next((item.mod_revision for item in snapshot.items if item.key == key), 0)


def looked_once(store: Store, target: Target) -> Look:
    """Look once, for what does not depend on whether the leader lives."""
    snapshot = store.range(target.names.root, target.timeout)
    return Look(target.names, snapshot, snapshot)
