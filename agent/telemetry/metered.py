"""Ports that count and time what goes through them. Only that lives here: nothing is decided, retried or changed.

`note` hears (name of the call, result, seconds) on the calling thread, after the call; a defect in it is logged and
changes nothing for the caller.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from agent.core.model.chain import ChainInfo, Header, Peers, Schedule
from agent.core.model.finality import Finality
from agent.core.model.store import Ms, Snapshot, Txn, TxnAnswer
from agent.errors import FailoverError, LeaseGone, NodeosAnswer, NodeosTimeout, NodeosUnreachable, StoreRejected
from agent.ports import Clock, Lease, LeaseState, Nodeos, Store, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")
Note = Callable[[str, str, float], None]

NODEOS_CALLS = (
    *("pause", "resume", "paused", "get_info", "connections", "get_producer_schedule", "get_block"),
    "get_finalizer_info",
)
NODEOS_RESULTS = ("ok", "unreachable", "timeout", "error")
STORE_CALLS = ("grant", "keepalive", "lease_state", "revoke", "txn", "range", "watch")
STORE_RESULTS = ("ok", "rejected", "lease_gone", "unknown")


def result_of(error: FailoverError) -> str:
    """Return the one word for a failure: what is known of the outcome."""
    match error:
        case NodeosUnreachable():
            return "unreachable"
        case NodeosTimeout():
            return "timeout"
        case NodeosAnswer():
            return "error"
        case LeaseGone():
            return "lease_gone"
        case StoreRejected():
            return "rejected"
    return "unknown"


def _timed(note: Note, name: str, call: Callable[[], T]) -> T:
    start = time.monotonic()
    try:
        found = call()
    except FailoverError as error:
        _tell(note, name, result_of(error), time.monotonic() - start)
        raise
    _tell(note, name, "ok", time.monotonic() - start)
    return found


def _tell(note: Note, name: str, result: str, seconds: float) -> None:
    try:
        note(name, result, seconds)
    except Exception:
        log.exception("a defect in counting requests")  # no reason to take a good answer for a bad one


class MeteredNodeos:
    """A nodeos (port `Nodeos`) whose calls are counted by their endpoint."""

    def __init__(self, nodeos: Nodeos, note: Note) -> None:
        self._nodeos = nodeos
        self._note = note

    def pause(self, timeout_s: float) -> None:
        """Pause production."""
        _timed(self._note, "pause", lambda: self._nodeos.pause(timeout_s))

    def resume(self, timeout_s: float) -> None:
        """Resume production."""
        _timed(self._note, "resume", lambda: self._nodeos.resume(timeout_s))

    def paused(self, timeout_s: float) -> bool:
        """Tell whether production is paused."""
        return _timed(self._note, "paused", lambda: self._nodeos.paused(timeout_s))

    def info(self, timeout_s: float) -> ChainInfo:
        """Read head and LIB."""
        return _timed(self._note, "get_info", lambda: self._nodeos.info(timeout_s))

    def peers(self, timeout_s: float) -> Peers:
        """Count connections."""
        return _timed(self._note, "connections", lambda: self._nodeos.peers(timeout_s))

    def schedule(self, timeout_s: float) -> Schedule:
        """Read the active schedule."""
        return _timed(self._note, "get_producer_schedule", lambda: self._nodeos.schedule(timeout_s))

    def finality(self, timeout_s: float) -> Finality:
        """Read the finalizers and their last votes."""
        return _timed(self._note, "get_finalizer_info", lambda: self._nodeos.finality(timeout_s))

    def block(self, num: int, timeout_s: float) -> Header:
        """Read one block's header."""
        return _timed(self._note, "get_block", lambda: self._nodeos.block(num, timeout_s))


class MeteredStore:
    """A store (port `Store`) whose calls are counted by their kind.

    `kept` hears of a lease (R6): its TTL in seconds, and when the request that gave it was sent (CLOCK_BOOTTIME); TTL 0
    when it is gone.
    """

    def __init__(
        self, store: Store, note: Note, clock: Clock, kept: Callable[[int, Ms], None] = lambda _ttl, _at: None
    ) -> None:
        self._store = store
        self._note = note
        self._clock = clock
        self._kept = kept

    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """Grant a lease."""
        at = self._clock.boot()
        lease = _timed(self._note, "grant", lambda: self._store.grant(ttl_s, timeout_s))
        self._kept(lease.ttl, at)
        return lease

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """Refresh a lease."""
        at = self._clock.boot()
        try:
            ttl = _timed(self._note, "keepalive", lambda: self._store.keepalive(lease, timeout_s))
        except LeaseGone:
            self._kept(0, at)
            raise
        self._kept(ttl, at)
        return ttl

    def lease_state(self, lease: int, timeout_s: float) -> LeaseState:
        """Read how long a lease has left."""
        return _timed(self._note, "lease_state", lambda: self._store.lease_state(lease, timeout_s))

    def revoke(self, lease: int, timeout_s: float) -> None:
        """Revoke a lease."""
        _timed(self._note, "revoke", lambda: self._store.revoke(lease, timeout_s))
        self._kept(0, self._clock.boot())

    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """Run one transaction."""
        return _timed(self._note, "txn", lambda: self._store.txn(txn, timeout_s))

    def range(self, prefix: str, timeout_s: float) -> Snapshot:
        """Read all keys under a prefix."""
        return _timed(self._note, "range", lambda: self._store.range(prefix, timeout_s))

    def watch(self, prefix: str, revision: int, timeout_s: float) -> Watch:
        """Open a watch."""
        return _timed(self._note, "watch", lambda: self._store.watch(prefix, revision, timeout_s))

    def endpoint(self) -> str:
        """Return the endpoint in use."""
        return self._store.endpoint()

    def close(self) -> None:
        """Drop the connection."""
        self._store.close()
