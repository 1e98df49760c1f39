"""A STAND-IN for etcd: the port `Store` in memory, for property tests. It proves nothing about etcd.

It is linearizable, gives leases on a clock that the test owns, and can lose a request, lose an answer, or apply a
request late. That it otherwise behaves as etcd does is checked by tests/contract, which runs against both. What it
leaves out: latency, elections, several endpoints, leases that expire late, stale reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from agent.core.model.store import Compare, Delete, KeyValue, Ms, Put, Snapshot, Txn, TxnAnswer
from agent.errors import LeaseGone, StoreCompacted, StoreRejected, StoreUnavailable
from agent.ports import Lease

T = TypeVar("T")
SMALLEST_TTL_S = 2  # what etcd grants at least, with its defaults
_SLICE_S = 0.02  # how often a waiting watch looks at the clock of the leases


class Loss(Enum):
    """What becomes of a transaction whose caller hears nothing."""

    REQUEST = "it never arrived"
    ANSWER = "it was applied"
    LATE = "it is applied when the test calls deliver_late"


@dataclass(frozen=True)
class Saved:
    """A snapshot of the whole store: revision, keys, leases (ttl in s, end)."""

    revision: int = 1
    keys: dict[str, KeyValue] = field(default_factory=dict)
    leases: dict[int, tuple[int, Ms]] = field(default_factory=dict)


NOTHING = Saved()
"""What a store starts with whose data was lost."""


class MemoryEtcd:
    """What all stores of one test share. `now` is the clock of the leases, in ms."""

    def __init__(self, now: Callable[[], Ms]) -> None:
        self._now = now
        self.changed = threading.Condition(threading.RLock())
        self.cluster = 7
        self.life = 1  # the watches of an earlier one have ended
        self.revision = 1
        self.compacted = 0
        self.keys: dict[str, KeyValue] = {}
        self.history: list[Snapshot] = []
        self._leases: dict[int, tuple[int, Ms]] = {}  # ttl in s, end on the clock
        self._last_lease = 0
        self._late: list[Txn] = []

    def expire(self) -> None:
        """Drop the leases that are over by the clock, and their keys."""
        for lease, (_, end) in list(self._leases.items()):
            if end <= self._now():
                self.revoke(lease)

    def grant(self, ttl_s: int) -> Lease:
        """Make a lease of `ttl_s` seconds or the smallest, which is longer."""
        ttl = max(ttl_s, SMALLEST_TTL_S)
        self._last_lease += 1
        self._leases[self._last_lease] = ttl, self._now() + ttl * 1000
        return Lease(self._last_lease, ttl)

    def keepalive(self, lease: int) -> int:
        """Let a lease start anew; LeaseGone when there is none."""
        ttl, _ = self._leases.get(lease) or self._no_lease(lease)
        self._leases[lease] = ttl, self._now() + ttl * 1000
        return ttl

    def lease_state(self, lease: int) -> int:
        """Tell what is left of a lease."""
        if lease not in self._leases:
            return -1
        return (self._leases[lease][1] - self._now()) // 1000

    def revoke(self, lease: int) -> None:
        """Drop a lease and its keys, in one revision."""
        if self._leases.pop(lease, None) is not None:
            self._write(tuple(Delete(item.key) for item in self.keys.values() if item.lease == lease))

    def txn(self, txn: Txn) -> TxnAnswer:
        """Apply a transaction, or refuse it whole."""
        written = [write.key for write in txn.then]
        if not all(written) or len(set(written)) < len(written):
            raise StoreRejected("invalid", "a transaction writes each key once, and no empty one")
        if not all(map(self._holds, txn.compare)):
            found = tuple(self.keys[key] for key in txn.read if key in self.keys)
            return TxnAnswer(False, self.revision, found, self.cluster)
        for write in txn.then:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                self._no_lease(write.lease)
        self._write(txn.then)
        return TxnAnswer(True, self.revision, (), self.cluster)

    def range(self, prefix: str) -> Snapshot:
        """Return what stands under a prefix."""
        found = (self.keys[key] for key in sorted(self.keys) if key.startswith(prefix))
        return Snapshot(self.revision, tuple(found), self.cluster)

    def compact(self, revision: int) -> None:
        """Forget the changes up to `revision`."""
        with self.changed:
            self.compacted = revision
            self.history = [change for change in self.history if change.revision > revision]

    def hold(self, txn: Txn) -> None:
        """Keep a transaction for `deliver_late`."""
        self._late.append(txn)

    def deliver_late(self) -> None:
        """Apply what was held back, in order; nobody hears the answers."""
        with self.changed:
            self.expire()
            late, self._late = self._late, []
            for txn in late:
                try:
                    self.txn(txn)
                except StoreRejected:
                    continue

    def save(self) -> Saved:
        """Return a snapshot, as `etcdctl snapshot save` makes one."""
        return Saved(self.revision, dict(self.keys), dict(self._leases))

    def restore(self, saved: Saved, *, cluster: int = 0) -> None:
        """Go back to a snapshot, as a restore in place: what came since is gone. `cluster`: the id, if it changes.

        Watches end; leases have their whole time again.
        """
        with self.changed:
            self.cluster = cluster or self.cluster
            self.revision, self.keys = saved.revision, dict(saved.keys)
            self._leases = {lease: (ttl, self._now() + ttl * 1000) for lease, (ttl, _) in saved.leases.items()}
            self.history, self.compacted, self._late = [], 0, []
            self.life += 1
            self.changed.notify_all()

    def _holds(self, compare: Compare) -> bool:
        found = self.keys.get(compare.key)
        return (
            (found.mod_revision if found else 0) == compare.mod_revision
            and (compare.value is None or (found is not None and found.value == compare.value))
            and (compare.lease is None or (found.lease if found else 0) == compare.lease)
        )

    def _write(self, writes: tuple[Put | Delete, ...]) -> None:
        real = [write for write in writes if isinstance(write, Put) or write.key in self.keys]
        if not real:
            return
        self.revision += 1
        changes = []
        for write in real:
            if isinstance(write, Put):
                self.keys[write.key] = KeyValue(write.key, write.value, self.revision, write.lease)
                changes.append(self.keys[write.key])
            else:
                del self.keys[write.key]
                changes.append(KeyValue(write.key, b"", 0))
        self.history.append(Snapshot(self.revision, tuple(changes)))
        self.changed.notify_all()

    def _no_lease(self, lease: int) -> tuple[int, Ms]:
        raise LeaseGone(f"lease {lease} has expired or was revoked")


class MemoryWatch:
    """The port `Watch`: reads the history from one revision on. Waits in real time, whatever the clock of leases."""

    def __init__(self, store: MemoryStore, prefix: str, revision: int) -> None:
        self._store, self._prefix, self._next = store, prefix, revision
        self._life = store.etcd.life
        self._closed = False

    def next(self, timeout_s: float) -> Snapshot | None:
        """Return the next change; None after `timeout_s` seconds. A store that is cut off has silent watches."""
        end = time.monotonic() + timeout_s
        etcd = self._store.etcd
        with etcd.changed:
            while True:
                etcd.expire()
                if self._closed:
                    raise StoreUnavailable("the watch was closed")
                if self._life != etcd.life:
                    raise StoreUnavailable("the watch ended with the store that it was opened on")
                change = None if self._store.cut else self._take()
                left = end - time.monotonic()
                if change is not None or left <= 0:
                    return change
                etcd.changed.wait(min(left, _SLICE_S))

    def close(self) -> None:
        """End the watch."""
        with self._store.etcd.changed:
            self._closed = True
            self._store.etcd.changed.notify_all()

    def _take(self) -> Snapshot | None:
        if self._next <= self._store.etcd.compacted:
            raise StoreCompacted(f"revision {self._next} is compacted")
        for change in self._store.etcd.history:
            if change.revision >= self._next:
                self._next = change.revision + 1
                mine = tuple(item for item in change.items if item.key.startswith(self._prefix))
                if mine:
                    return Snapshot(change.revision, mine)
        return None


class MemoryStore:
    """The port `Store` for one agent. Set `cut` to lose every request; `lose_next` treats one transaction."""

    def __init__(self, etcd: MemoryEtcd) -> None:
        self.etcd = etcd
        self.cut = False
        self._loss: Loss | None = None

    def lose_next(self, loss: Loss) -> None:
        """Let the next transaction end in StoreUnavailable."""
        self._loss = loss

    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """See the port."""
        return self._ask(lambda: self.etcd.grant(ttl_s))

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """See the port."""
        return self._ask(lambda: self.etcd.keepalive(lease))

    def lease_state(self, lease: int, timeout_s: float) -> int:
        """See the port."""
        return self._ask(lambda: self.etcd.lease_state(lease))

    def revoke(self, lease: int, timeout_s: float) -> None:
        """See the port."""
        self._ask(lambda: self.etcd.revoke(lease))

    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """See the port."""
        loss, self._loss = self._loss, None
        if loss is None:
            return self._ask(lambda: self.etcd.txn(txn))
        if loss is Loss.ANSWER:
            self._ask(lambda: self.etcd.txn(txn))
        if loss is Loss.LATE:
            self._ask(lambda: self.etcd.hold(txn))
        raise StoreUnavailable("the test lost this transaction")

    def range(self, prefix: str, timeout_s: float) -> Snapshot:
        """See the port."""
        return self._ask(lambda: self.etcd.range(prefix))

    def watch(self, prefix: str, revision: int, timeout_s: float) -> MemoryWatch:
        """See the port."""
        return self._ask(lambda: MemoryWatch(self, prefix, revision))

    def endpoint(self) -> str:
        """See the port."""
        return "memory"

    def close(self) -> None:
        """See the port."""

    def _ask(self, do: Callable[[], T]) -> T:
        with self.etcd.changed:
            if self.cut:
                raise StoreUnavailable("the test cut this store off")
            self.etcd.expire()
            return do()
