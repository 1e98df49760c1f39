"""The session of one agent in etcd: its lease, its member key, the history. Never on the way of a confirmation.

A lease that is kept alive proves nothing (R6); it only makes keys vanish when an agent is gone.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.core.leadership.events import LeaseKept, LeaseSeen
from agent.core.model import records
from agent.core.model.archive import KEEP, Window, write_window
from agent.core.model.belonging import Belonging
from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.core.model.keys import Keys
from agent.core.model.records import Member
from agent.core.model.store import Compare, Delete, Put, Txn, TxnAnswer
from agent.core.node.state import EtcdSeen
from agent.errors import LeaseGone, NotOursError, RefusedError, StoreError, StoreRejected
from agent.host.clock import boot_ms, boot_s
from agent.host.jitter import Pauses, spread
from agent.ports import Emit, Store
from agent.runtime.joining import FORMAT_TEXT, contradiction, format_problem

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Keys that are deleted in one transaction; etcd takes 128 operations (--max-txn-ops)."""
COUNT_EVERY = 25
"""Own windows that are written before the old ones are looked for: on a chain of one producer one comes every 6 s."""
RENEWALS = 5
"""Keepalives within a TTL: etcd may be away for four fifths of it at the least, before promises count no more (R15)."""
EARLY = 0.9
"""Of the pause between two keepalives at least so much: leases that one election held up part again, at little cost."""
ALIVE = 1.5
"""A report that stands still for so many of its own pauses is nobody's any more."""
LOOK_S = 0.25
"""Between two looks at it."""
IDLE = ("starting", "standby")
"""Roles in which an agent may end at once: it holds nothing that the others wait for."""


@dataclass(eq=False)
class Session:
    """One thread: grants the lease, keeps it, and writes what was handed in, the newest of each kind only."""

    _store: Store
    _names: Keys
    _node: str
    _instances: frozenset[str]
    _ttl: int
    _timeout: float
    _emit: Emit
    _refuse: Callable[[RefusedError], None]
    _wall: Callable[[], int]
    _find_address: Callable[[], str] = lambda: ""  # where the others' datagrams reach us; it may take a look-up

    def __post_init__(self) -> None:
        self._key = self._names.member(self._node)
        self._address = ""
        self._once: Txn | None = None
        self._denied: set[str] = set()  # keys that our role may not write, as far as it was told
        self._holding = False  # the next process goes on with our lease
        self._lease: int | None = None
        self._pauses = Pauses()
        self._renew_s = self._ttl / RENEWALS
        self._expected: int | None = None  # the revision that our first report may replace; None: any
        self._changed = threading.Condition()
        self._member: Member | None = None
        self._history: dict[int, Mapping[str, str | int]] = {}
        self._refusal: tuple[int, Mapping[str, str | int]] | None = None
        self._windows: dict[int, Window] = {}
        self._written = COUNT_EVERY  # windows since the old ones were looked for
        self._dated = (0, 0)  # the newest change, and when it was first told of
        self._fits: Belonging | None = None  # what the others were last compared with
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

    def refuse(self, revision: int, fields: Mapping[str, str | int]) -> None:
        """Delete the wish of this mod revision from etcd, soon, and write why. Never blocks."""
        with self._changed:
            self._refusal = (revision, {"when_ms": self._wall(), **fields})

    def count(self, window: Window) -> None:
        """Write what was counted of an own window with the next report, unless another member has. Never blocks."""
        with self._changed:
            self._windows[window.slot] = window
            while len(self._windows) > KEEP:
                del self._windows[min(self._windows)]  # etcd was away for long: those would be deleted anyway

    def once(self, txn: Txn) -> None:
        """Run a transaction that makes what is missing in the group, soon. Never blocks."""
        with self._changed:
            self._once = txn
            self._changed.notify()

    def close(self, wait_s: float, *, holding: bool = False) -> None:
        """End: revoke the lease, so that the member key goes at once. Returns within `wait_s` seconds.

        `holding`: the next process goes on as the same leader, so the lease stays.
        """
        with self._changed:
            self._holding = holding
            self._over = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    # --- the thread ---

    def _run(self) -> None:
        while not self._over:
            try:
                self._claim()
                self._keep()
            except RefusedError as error:
                self._refuse(error)
                break
            except LeaseGone:
                log.warning("the session lease is gone; asking for a new one")
                self._lease = None
                self._emit(LeaseSeen(None))
                self._pause(self._pauses.after_failure())
            except StoreError as error:
                self._emit(EtcdSeen(str(error)))
                self._pause(self._pauses.after_failure())
            except Exception:
                log.exception("a defect in the session")
                self._pause(self._pauses.after_failure())
        self._end()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._over:
                self._changed.wait_for(lambda: self._over, seconds)

    def _claim(self) -> None:
        """See that we know the group's format and that this node name is not alive elsewhere, then have a lease."""
        self._see_the_format()
        if self._lease is not None:
            self._keep_alive(self._lease)
        else:
            self._expected = self._see_that_nobody_else_is()
            sent = boot_ms()
            lease = self._store.grant(self._ttl, self._timeout)
            self._lease, self._renew_s = lease.id, lease.ttl / RENEWALS
            self._emit(LeaseKept(lease.id, sent + 1000 * lease.ttl))
        self._address = self._find_address()
        self._emit(LeaseSeen(self._lease))

    def _keep_alive(self, lease: int) -> None:
        """Refresh the lease. Until when it may live counts from before the request left."""
        sent = boot_ms()
        ttl = self._store.keepalive(lease, self._timeout)
        self._renew_s = ttl / RENEWALS
        self._emit(LeaseKept(lease, sent + 1000 * ttl))

    def _see_the_format(self) -> None:
        """Refuse a group that we do not understand; else say which format it has, for those who come later."""
        found = self._store.range(self._names.root, self._timeout)
        if why := format_problem(self._names, found, self._node):
            raise NotOursError(why)
        if not any(item.key == self._names.format for item in found.items):
            self._make(Txn((Compare(self._names.format, 0),), (Put(self._names.format, FORMAT_TEXT),)))

    def _make(self, txn: Txn) -> None:
        """Make what is missing; a role that may not is told, and no reason to stop."""
        try:
            self._store.txn(txn, self._timeout)
        except LeaseGone:
            raise
        except StoreRejected as error:
            key = txn.compare[0].key
            if key not in self._denied:
                self._denied.add(key)
                log.warning("%s cannot be written: %s (deploy/etcd/access.sh grants it)", key, error)

    def _see_that_nobody_else_is(self) -> int | None:
        """Return the revision of the report that our first one may replace (0: there is none; None: any).

        RefusedError when another agent under this name goes on reporting.
        """
        first, looks = 0, 1
        while looks > 0:
            items = [item for item in self._store.range(self._key, self._timeout).items if item.key == self._key]
            if not items:
                return 0
            other = self._other(items[0].value)
            if self._over or other is None:
                return None
            if not first:
                first, looks = items[0].mod_revision, round(ALIVE * other.every_ms / 1000 / LOOK_S)
            elif items[0].mod_revision != first:
                raise self._alive_elsewhere()
            looks -= 1
            self._pause(LOOK_S)
        return first

    def _other(self, value: bytes) -> Member | None:
        """Return a report that is another agent's. What cannot be read is nobody's and may be overwritten."""
        try:
            found = records.read_member(value)
        except RecordError:
            return None
        return None if found.instance in self._instances or found.role == records.REFUSED else found

    def _alive_elsewhere(self) -> NotOursError:
        return NotOursError(
            f"node {self._node} is alive elsewhere (another agent writes the key {self._key}): "
            "give each agent of the group its own `node` name, or end the other one"
        )

    def _keep(self) -> None:
        """Keep the lease and write, until something fails."""
        due = boot_s() + spread(self._renew_s, EARLY)
        while not self._over:
            with self._changed:
                self._changed.wait_for(self._has_work, max(0.0, due - boot_s()))
                member, history, windows = self._member, dict(self._history), dict(self._windows)
                refusal = self._refusal
                once, self._once = self._once, None
            if self._lease is not None and boot_s() >= due:
                self._keep_alive(self._lease)
                due = boot_s() + spread(self._renew_s, EARLY)
            if once is not None:
                self._make(once)
            if member is not None:
                self._report(member, windows.values())
                for window in windows.values():
                    self._write_window(window)
            for epoch, fields in history.items():
                self._write_change(epoch, fields)
            if refusal is not None:
                self._write_refusal(refusal)
            self._emit(EtcdSeen())

    def _has_work(self) -> bool:
        return bool(self._member or self._history or self._refusal or self._once or self._over)

    def _report(self, member: Member, windows: Collection[Window]) -> None:
        """Write the member key. The first report replaces only what was found, so that of two agents one is refused."""
        assert self._lease is not None
        self._address = self._address or self._find_address()  # a port that was taken may be free by now
        put = Put(self._key, records.write(replace(member, peer_address=self._address)), self._lease)
        compare = () if self._expected is None else (Compare(self._key, self._expected),)
        answer = self._with_windows(put, windows) if windows and not compare else None
        answer = answer or self._store.txn(Txn(compare, (put,), (self._key,)), self._timeout)
        if not answer.applied:
            if answer.found and self._other(answer.found[0].value):
                raise self._alive_elsewhere()
            self._expected = None if answer.found else 0  # ours, after all; or it has expired: try again
            self._pause(self._pauses.after_failure())
            return
        self._expected = None
        with self._changed:
            if self._member is member:
                self._member = None
        if member.role in IDLE and member.belonging != self._fits:
            self._see_that_it_fits(member, answer.revision)

    def _with_windows(self, report: Put, windows: Collection[Window]) -> TxnAnswer | None:
        """Write a report and the windows in one request; None: another member has written one, or etcd refuses it."""
        puts = [Put(self._names.ledger(each.slot), write_window(each)) for each in windows]
        try:
            answer = self._store.txn(Txn(tuple(Compare(each.key, 0) for each in puts), (report, *puts)), self._timeout)
        except LeaseGone:
            raise
        except StoreRejected:
            return None
        if answer.applied:
            self._wrote(windows, len(windows))
        return answer if answer.applied else None

    def _see_that_it_fits(self, member: Member, revision: int) -> None:
        """Refuse when a report that stood before ours (at `revision`) contradicts what ours says for the first time.

        Each of two agents writes before it reads, so of two that join at once at least the later one sees the other.
        """
        found = self._store.range(self._names.member(""), self._timeout)
        if why := contradiction(self._names, found, self._node, member.belonging, revision):
            raise NotOursError(f"this agent does not belong to the group {self._names.root}: {why}")
        self._fits = member.belonging

    def _write_refusal(self, refusal: tuple[int, Mapping[str, str | int]]) -> None:
        """Delete a wish and write why it was refused; one that was put since is another one, and stays."""
        revision, fields = refusal
        then = (Delete(self._names.switchover), Put(self._names.answer, json.dumps(fields).encode()))
        try:
            self._store.txn(Txn((Compare(self._names.switchover, revision),), then), self._timeout)
        except StoreRejected as error:
            log.warning("the wish that was refused cannot be taken away: %s", error)  # the report still says why
        with self._changed:
            if self._refusal is refusal:
                self._refusal = None

    def _write_change(self, epoch: int, fields: Mapping[str, str | int]) -> None:
        """Write one change, and delete those that are too old; dead leaders left gaps, so each is looked at."""
        self._store.txn(Txn((), (Put(self._names.history(epoch), json.dumps(fields).encode()),)), self._timeout)
        with self._changed:
            if self._history.get(epoch) == fields:
                del self._history[epoch]
        root = self._names.history(0)[:-1]
        self._delete(root, [each for each in self._numbers(root) if each <= epoch - KEEP])

    def _write_window(self, window: Window) -> None:
        """Write one window that still waits, if nobody has written it."""
        if self._windows.get(window.slot) is not window:
            return
        key = self._names.ledger(window.slot)
        answer = self._store.txn(Txn((Compare(key, 0),), (Put(key, write_window(window)),)), self._timeout)
        self._wrote((window,), int(answer.applied))

    def _wrote(self, windows: Collection[Window], new: int) -> None:
        """Note that windows stand; the newest stay, and a few more until they are counted."""
        with self._changed:
            for window in windows:
                if self._windows.get(window.slot) is window:
                    del self._windows[window.slot]
        self._written += new
        if new and self._written > COUNT_EVERY:
            self._written = 0
            root = self._names.ledger(0)[:-1]
            self._delete(root, self._numbers(root)[:-KEEP])

    def _numbers(self, root: str) -> list[int]:
        """Return the numbers that stand below `root`, in order."""
        words = [item.key.removeprefix(root) for item in self._store.range(root, self._timeout).items]
        return sorted(int(each) for each in words if each.isdecimal())

    def _delete(self, root: str, numbers: Sequence[int]) -> None:
        if numbers:
            self._store.txn(Txn((), tuple(Delete(f"{root}{each}") for each in numbers[:AT_ONCE])), self._timeout)

    def _end(self) -> None:
        try:
            if self._lease is not None and not self._holding:
                self._store.revoke(self._lease, self._timeout)
        except StoreError as error:
            log.warning("the session lease could not be revoked, it will expire by itself: %s", error)
        self._store.close()
