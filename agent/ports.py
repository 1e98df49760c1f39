"""What the agent needs of the outside world, as Protocols; adapters implement them, tests stand in for them.

Every call takes a total deadline in seconds, which the adapter enforces whatever the other side does, and
raises an error of `agent.errors` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agent.core.alerts.notice import Notice
from agent.core.model.chain import ChainInfo, Header, Peers, ProcessId, Schedule
from agent.core.model.finality import Finality
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms, Snapshot, Txn, TxnAnswer


class Clock(Protocol):
    """The two clocks. Decisions use `boot`; `wall` only dates records for people and reads the chain's age."""

    def boot(self) -> Ms:
        """Return milliseconds of CLOCK_BOOTTIME, rounded down: it counts through a suspend and is never set."""

    def wall(self) -> Ms:
        """Return milliseconds since 1970 UTC; may jump."""

    def boot_id(self) -> str:
        """Return the id of this clock: a reading of another boot, or in another time namespace, means nothing here."""


# --- etcd ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as granted: `ttl` in seconds is what the store gave, which may be more than was asked for."""

    id: int
    ttl: int


class Watch(Protocol):
    """A stream of changes under a prefix. It is a hint: it may be dead and look alive."""

    def next(self, timeout_s: float) -> Snapshot | None:
        """Return the changes of one revision (`Snapshot.items`; a deletion has an empty value and `mod_revision` 0).

        None after `timeout_s` seconds of silence. StoreCompacted when the revision is gone; StoreUnavailable when
        the stream broke.
        """

    def close(self) -> None:
        """End the stream. Never blocks, never raises."""


class Store(Protocol):
    """A linearizable key-value store with leases: etcd. One instance serves one thread.

    On StoreUnavailable the adapter has already dropped its connection and turned to the next endpoint.
    """

    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """Grant a lease of at least `ttl_s` seconds."""

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """Refresh a lease; return its TTL in seconds. LeaseGone when it has expired. Proves nothing (R6)."""

    def lease_state(self, lease: int, timeout_s: float) -> int:
        """Return how many seconds a lease has left, without refreshing it; -1 when it does not exist."""

    def revoke(self, lease: int, timeout_s: float) -> None:
        """Revoke a lease and with it its keys; one that is gone already is fine."""

    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """Run one transaction. StoreUnavailable: unknown outcome (R2). StoreRejected: nothing was changed."""

    def range(self, prefix: str, timeout_s: float) -> Snapshot:
        """Read all keys under a prefix, linearizably as far as the server keeps that promise."""

    def watch(self, prefix: str, revision: int, timeout_s: float) -> Watch:
        """Watch a prefix from `revision` on (inclusive)."""

    def endpoint(self) -> str:
        """Return the endpoint in use, for logs and metrics."""

    def close(self) -> None:
        """Drop the connection. Never blocks for longer than a second, never raises."""


# --- nodeos -------------------------------------------------------------------------------------------------


class Nodeos(Protocol):
    """The HTTP API of one nodeos (Leap 3.1 to Spring 1.3). Safe to use from several threads: a call shares nothing.

    NodeosUnreachable, NodeosTimeout and NodeosAnswer tell what is known of the outcome.
    """

    def pause(self, timeout_s: float) -> None:
        """Pause production; returns once nodeos has answered. The block in flight is still signed (R4)."""

    def resume(self, timeout_s: float) -> None:
        """Resume production. Acts at once."""

    def paused(self, timeout_s: float) -> bool:
        """Tell whether production is paused. Goes through the main thread: it is the honest probe of that thread."""

    def info(self, timeout_s: float) -> ChainInfo:
        """Read head, LIB, chain id and version. May come from a cache (Spring 1.1 on) while the main thread hangs."""

    def peers(self, timeout_s: float) -> Peers:
        """Count p2p connections. NodeosAnswer with status 404 when net_api_plugin is not loaded."""

    def schedule(self, timeout_s: float) -> Schedule:
        """Read the active schedule."""

    def finality(self, timeout_s: float) -> Finality:
        """Read the finalizers and their last votes; NodeosAnswer with status 404 before Spring."""

    def block(self, num: int, timeout_s: float) -> Header:
        """Read one block's header, as our node's chain has it now. NodeosAnswer when it has no such block."""


# --- the process of nodeos ------------------------------------------------------------------------------------


class ProcessHandle(Protocol):
    """A process that was found, held so that it cannot be confused with a later one of the same pid (pidfd)."""

    @property
    def id(self) -> ProcessId:
        """Return pid and start time."""

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until the process is gone (a zombie counts as gone); False when it is still there after `timeout_s`."""

    def close(self) -> None:
        """Let go of the handle."""


class Fence(Protocol):
    """Finds the nodeos process and, if it must, ends it."""

    def find(self) -> ProcessHandle | None:
        """Return the process now, None when there is none. FenceError when that cannot be told (no permission …)."""

    def stop(self, term_s: float, timeout_s: float) -> str:
        """End the process and see it gone, within `timeout_s` seconds in all.

        SIGTERM first when `term_s` > 0 (a killed nodeos needs a replay), SIGKILL after `term_s` seconds; a process
        that is stopped (SIGSTOP) gets SIGKILL at once. Return how it ended, for people: 'was gone already',
        'ended by SIGTERM', 'ended by SIGKILL'. FenceError when it was not seen gone.
        """


# --- the signing gate ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closed:
    """The proof that nothing is or can be signed: no signature left the gate from `quiet_since` (CLOCK_BOOTTIME) on.

    `how`, for people: the gate said so, or no gate runs. The block of the last signature may stand for a slot that ends
    up to a slot after `quiet_since`, and nodeos may need a moment to apply it.
    """

    how: str
    quiet_since: Ms


@dataclass(frozen=True, slots=True)
class GateStatus:
    """What the gate says of itself. Moments are CLOCK_BOOTTIME in ms; counts are since its start.

    holds           whether it has the lock of the page: one that has not signs nothing
    keosd           `ready`, or why not, for people: locked, without the key, out of reach
    last_signature  None: none yet
    refused         requests by the slug of the reason
    latency         signatures by the `BOUNDS` of agent.gate.control, each bucket for itself: from request to answer
    seconds         the sum of those spans
    refuses         why it signs by no page at all, whatever the page says: a slug of `agent.gate.permit.REASONS`
    """

    pid: int
    started: Ms
    holds: bool
    keosd: str
    signed: int
    last_signature: Ms | None
    refused: Mapping[str, int]
    latency: tuple[int, ...]
    seconds: float
    refuses: str = ""


class SigningGate(Protocol):
    """The signing gate beside nodeos: without its answer no block is signed."""

    def permit(self, epoch: int, until: Ms) -> None:
        """Let it sign for the tenure `epoch` until that moment (CLOCK_BOOTTIME). A memory store: never waits.

        GateError for an epoch that was closed by this process already: a tenure that has begun to stop is over (R3).
        """

    def close(self, timeout_s: float) -> Closed:
        """Forbid signatures, and return once it is proven that none is or can be given, before the next `permit`.

        It is forbidden at once, whatever comes of the proof. GateError when that is not proven within `timeout_s`.
        """

    def status(self, timeout_s: float) -> GateStatus:
        """Ask the gate how it is. GateError when it does not answer."""


# --- files and alerts -----------------------------------------------------------------------------------------


class RuntimeFile(Protocol):
    """The run-time file on tmpfs: what a restarted agent needs to go on as the same leader."""

    def load(self) -> RuntimeRecord | None:
        """Return the record, None when there is none (or it cannot be read, which is logged)."""

    def save(self, record: RuntimeRecord, more: dict[str, object]) -> None:
        """Replace the record, and the fields `more` beside it, as a whole. OSError or GateError when that fails."""

    def try_write(self) -> None:
        """See that a record could be saved, and leave it as it is. OSError or GateError when it could not."""

    def remove(self) -> None:
        """Remove the file; one that is not there is fine. OSError when that fails."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one try: `ok`; if not, whether it is worth another try, and when (seconds; None: our choice).

    `detail` says why, fit for a log; `answer` is the beginning of what came back, which may repeat secrets: no log.
    """

    ok: bool
    retry: bool = False
    retry_after_s: float | None = None
    detail: str = ""
    answer: str = field(default="", compare=False, repr=False)


class Sink(Protocol):
    """One alert channel. `name` is its label in metrics."""

    name: str

    def send(self, notice: Notice, timeout_s: float) -> Delivery:
        """Try once. Never raises."""


Emit = Callable[[object], None]
"""How a lane hands an event to the loop; never blocks."""
