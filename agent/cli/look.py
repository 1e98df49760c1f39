"""Looking at a group, or at all below a prefix, twice: whether a leader is alive cannot be seen in one look at etcd."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.cli.target import Target
from agent.core.model.keys import Keys
from agent.core.model.records import GroupView, read_group
from agent.core.model.store import Snapshot
from agent.group.view import fresh, group_view, lives
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
        return self.view.held is not None and (self.seen or lives(self.view, read_group(self.names, self.first)))

    def data(self, left: Mapping[int, float] | None = None) -> dict[str, Any]:
        """Return what is known of the group as JSON-able data, see `group_view`."""
        return group_view(self.names, self.first, self.second, left, seen=self.seen)


def look(store: Store, target: Target, *, moving: bool = False) -> Look:
    """Look once, if that shows a leader that lives; else until one is seen, or long enough to say that none is.

    `moving`: a report of a moment ago does not suffice, as where an operator saw the leader die just now.
    """
    names = target.names
    found = looks(lambda: {names: store.range(names.root, target.timeout)}, target.look_for, moving=moving)
    return found[names]


def looks(read: Callable[[], Mapping[Keys, Snapshot]], look_for: float, *, moving: bool = False) -> dict[Keys, Look]:
    """Look at each group that `read` gives until its leader was seen to live, `look_for` seconds at the most.

    Where nobody leads there is nothing to wait for.
    """
    first, wall = read(), time.time_ns() // 1_000_000
    views = {names: read_group(names, each) for names, each in first.items()}
    found = {names: Look(names, each, each, seen=fresh(views[names], wall)) for names, each in first.items()}
    waited = {names: view for names, view in views.items() if moving or (view.held and not found[names].seen)}
    deadline = time.monotonic() + look_for
    while waited:
        time.sleep(EVERY_S)
        second, over = read(), time.monotonic() > deadline
        for names, before in tuple(waited.items()):
            now = second.get(names, Snapshot(0, ()))
            if over or lives(read_group(names, now), before):
                found[names] = Look(names, first[names], now)
                del waited[names]
    return found


def revision(snapshot: Snapshot, key: str) -> int:
    """Return the mod revision of a key, 0 when it is absent."""
    return next((item.mod_revision for item in snapshot.items if item.key == key), 0)


def looked_once(store: Store, target: Target) -> Look:
    """Look once, for what does not depend on whether the leader lives."""
    snapshot = store.range(target.names.root, target.timeout)
    return Look(target.names, snapshot, snapshot)
