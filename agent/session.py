"""The session of one agent in etcd: its lease, its member key, the history. Never on the way of a confirmation.

A lease that is kept alive proves nothing (R6); it only makes keys vanish when an agent is gone.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping

from agent.core import records
from agent.core.events import LeaseSeen
from agent.core.node import PUBLISH_EVERY, EtcdSeen
from agent.core.records import Keys, Member
from agent.core.store import Delete, Put, Txn
from agent.errors import LeaseGone, RefusedError, StoreError
from agent.ports import Emit, Store

log = logging.getLogger(__name__)

KEEP = 100
"""Changes that stay in the history."""
RETRY_S = 0.5


class Session:
    """One thread: grants the lease, keeps it, and writes what was handed in, the newest of each kind only."""

    def __init__(
        self,
        store: Store,
        names: Keys,
        node: str,
        instances: frozenset[str],
        ttl_s: int,
        timeout_s: float,
        emit: Emit,
        refuse: Callable[[RefusedError], None],
        wall: Callable[[], int],
    ) -> None:
        self._store = store
        self._names = names
        self._node = node
        self._instances = instances
        self._ttl = ttl_s
        self._timeout = timeout_s
        self._emit = emit
        self._refuse = refuse
        self._wall = wall
        self._lease: int | None = None
        self._renew_s = ttl_s / 3
        self._changed = threading.Condition()
        self._member: Member | None = None
        self._history: dict[int, Mapping[str, str | int]] = {}
        self._dated = (0, 0)  # the newest change, and when it was first told of
        self._over = False
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    def start(self, lease: int | None) -> None:
        """Begin; with the lease of the process before, if the run-time file had one."""
        self._lease = lease
        self._thread.start()

    def publish(self, member: Member) -> None:
        """Write how this member is, soon. Never blocks."""
        with self._changed:
            self._member = member
            self._changed.notify()

    def record(self, epoch: int, fields: Mapping[str, str | int]) -> None:
        """Write a change into the history, soon. Never blocks."""
        with self._changed:
            if epoch != self._dated[0]:
                self._dated = (epoch, self._wall())
            self._history[epoch] = {"when_ms": self._dated[1], **fields}
            self._changed.notify()

    def close(self, wait_s: float) -> None:
        """End: revoke the lease, so that the member key goes at once. Returns within `wait_s` seconds."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._over:
            try:
                self._claim()
                self._keep()
            except RefusedError as error:
                self._refuse(error)
                return
            except LeaseGone:
                log.warning("the session lease is gone; asking for a new one")
                self._lease = None
                self._emit(LeaseSeen(None))
            except StoreError as error:
                self._emit(EtcdSeen(str(error)))
                self._pause(RETRY_S)
        self._end()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._over:
                self._changed.wait(seconds)

    def _claim(self) -> None:
        """See that this node name is not alive elsewhere, then have a lease."""
        if self._lease is not None:
            self._renew_s = self._store.keepalive(self._lease, self._timeout) / 3
        else:
            self._see_that_nobody_else_is(self._node)
            lease = self._store.grant(self._ttl, self._timeout)
            self._lease, self._renew_s = lease.id, lease.ttl / 3
        self._emit(LeaseSeen(self._lease))

    def _see_that_nobody_else_is(self, node: str) -> None:
        """Raise RefusedError when another agent under this name goes on reporting: a live one does every 2 s."""
        key = self._names.member(node)
        first: int | None = None
        for _ in range(PUBLISH_EVERY * 3 // 2 // 250):
            items = [item for item in self._store.range(key, self._timeout).items if item.key == key]
            if not items or self._over:
                return
            try:
                if records.read_member(items[0].value).instance in self._instances:
                    return
            except records.RecordError:
                return  # nobody's report: it may be overwritten
            revision = items[0].mod_revision
            if first is not None and revision != first:
                raise RefusedError(
                    f"node {node} is alive elsewhere (the key {key} goes on changing): "
                    "give each agent of the group its own `node` name, or end the other one"
                )
            first = revision
            self._pause(0.25)

    def _keep(self) -> None:
        """Keep the lease and write, until something fails."""
        due = time.monotonic() + self._renew_s
        while not self._over:
            with self._changed:
                if not (self._member or self._history or self._over):
                    self._changed.wait(max(0.0, due - time.monotonic()))
                member, self._member = self._member, None
                history = dict(self._history)
            if self._lease is not None and time.monotonic() >= due:
                due = time.monotonic() + self._store.keepalive(self._lease, self._timeout) / 3
            self._write(member, history)
            self._emit(EtcdSeen())

    def _write(self, member: Member | None, history: dict[int, Mapping[str, str | int]]) -> None:
        assert self._lease is not None
        if member is not None:
            put = Put(self._names.member(self._node), records.write(member), self._lease)
            try:
                self._store.txn(Txn((), (put,)), self._timeout)
            except StoreError:
                with self._changed:
                    self._member = self._member or member
                raise
        for epoch, fields in history.items():
            then: list[Put | Delete] = [Put(self._names.history(epoch), json.dumps(fields).encode())]
            if epoch > KEEP:
                then.append(Delete(self._names.history(epoch - KEEP)))
            self._store.txn(Txn((), tuple(then)), self._timeout)
            with self._changed:
                if self._history.get(epoch) == fields:
                    del self._history[epoch]

    def _end(self) -> None:
        try:
            if self._lease is not None:
                self._store.revoke(self._lease, self._timeout)
        except StoreError as error:
            log.warning("the session lease could not be revoked, it will expire by itself: %s", error)
        self._store.close()
