"""Looking at a group twice: whether its leader is alive cannot be seen in one look at etcd."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agent.cli.target import Target
from agent.core.model.keys import Keys
from agent.core.model.records import GroupView, read_group
from agent.core.model.store import Snapshot
from agent.ports import Store

EVERY_S = 0.1
"""Between two looks, in seconds."""


@dataclass(frozen=True, slots=True)
class Look:
    """Two looks at the keys of a group. `confirmed`: the heartbeat moved on in between."""

    names: Keys
    first: Snapshot
    second: Snapshot

    @property
    def view(self) -> GroupView:
        """The keys, as the second look read them."""
        return read_group(self.names, self.second)

    @property
    def confirmed(self) -> bool:
        """Whether the heartbeat moved on, and is still held."""
        heartbeat = self.view.heartbeat
        held = heartbeat is not None and heartbeat.record is not None and not heartbeat.record.released
        return held and revision(self.first, self.names.heartbeat) != revision(self.second, self.names.heartbeat)


def look(store: Store, target: Target) -> Look:
    """Look until the heartbeat has moved on, or long enough to say that it stands still."""
    names = target.names
    first = store.range(names.root, target.timeout)
    deadline = time.monotonic() + target.look_for
    while True:
        time.sleep(EVERY_S)
        second = store.range(names.root, target.timeout)
        moved = revision(second, names.heartbeat) != revision(first, names.heartbeat)
        if moved or time.monotonic() > deadline:
            return Look(names, first, second)


def revision(snapshot: Snapshot, key: str) -> int:
    """Return the mod revision of a key, 0 when it is absent."""
    return next((item.mod_revision for item in snapshot.items if item.key == key), 0)


def looked_once(store: Store, target: Target) -> Look:
    """Look once, for what does not depend on whether the leader lives."""
    snapshot = store.range(target.names.root, target.timeout)
    return Look(target.names, snapshot, snapshot)
