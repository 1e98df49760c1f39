"""SIMULATED surroundings of one agent: nodeos, its process, the run-time file, the way to etcd. On simulated time.

Each stand-in acts at once and says in `Surroundings.took` how long the caller was kept; the lane that called lets that
time pass. Nothing is tested here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from agent.core.model import records
from agent.core.model.chain import ChainInfo, Header, Peers, ProcessId, Schedule
from agent.core.model.finality import Finality
from agent.core.model.runtime_record import RuntimeRecord, read_runtime
from agent.core.model.slots import EPOCH, SLOT
from agent.core.model.store import Ms, Txn, TxnAnswer
from agent.errors import FenceError, GateError, NodeosAnswer, NodeosTimeout, NodeosUnreachable, StoreUnavailable
from agent.gate.control import BOUNDS
from agent.ports import Closed, GateStatus, Lease
from tests.core.parts import CHAIN, PRODUCER, SCHEDULE
from tests.support.memory_store import MemoryEtcd, MemoryStore

BLOCK: Ms = 500
"""How long after a pause the block in flight may still be signed (R4): the protocol's B."""
OUT: Ms = 250
"""How long a signature that passed the last look takes to be out: the protocol's G is above."""
CALLS = ("pause", "resume")
After = Callable[[Ms, Callable[[], None]], None]
"""Does something after a span of true time."""


@dataclass
class Surroundings:
    """What all stand-ins of one host share. `took`: milliseconds that the last call kept its caller."""

    now: Callable[[], Ms]
    after: After
    took: Ms = 1
    peers: int = 3
    file_error: str = ""
    """Why the run-time file cannot be written."""
    quick: Ms = 1
    """How long an answer of nodeos takes when all is well."""
    cut_out: bool = False
    cut_in: bool = False
    delay: Ms = 1
    """Of one way to etcd."""
    answers: list[str] = field(default_factory=list)
    """Transactions that are treated in a way of their own: `lost`, `unanswered`, `late`."""


class SimNodeos:
    """The port `Nodeos`, and the truth about one nodeos.

    `rogue`: it was started unpaused by a fault of its configuration, and not resumed since.
    """

    def __init__(self, around: Surroundings, producing: Callable[[], bool]) -> None:
        self._around = around
        self._producing = producing
        self._pids = itertools.count(70)
        self.pid = 0
        self.slow = around.quick  # how long an answer takes
        self.frozen = False
        self.busy = False  # its main thread works on something long: get_info alone is answered
        self.refuses: Container[str] = ()  # the words that it answers with an error
        self._queued: list[str] = []
        self.start()

    def signs(self, now: Ms) -> bool:
        """Whether it may sign a block, agents being answerable for it."""
        return self.pid != 0 and not self.rogue and (not self.paused_flag or now < self.quiet_at)

    @property
    def process(self) -> ProcessId | None:
        """The process, None when there is none."""
        return ProcessId(self.pid, self._since) if self.pid else None

    @property
    def says_paused(self) -> bool:
        """What it answers: whether it is paused, for whatever reason."""
        return self.paused_flag

    # --- faults ---

    def kill(self) -> None:
        """End the process, and with it all that was asked of it."""
        self.pid, self._queued, self.frozen, self.slow, self.rogue = 0, [], False, self._around.quick, False

    def start(self, *, paused: bool = True) -> None:
        """Start a new process."""
        self.kill()
        self.pid, self._since = next(self._pids), self._around.now()
        self.paused_flag, self.quiet_at, self.rogue = paused, 0, not paused

    def thaw(self) -> None:
        """Go on: a block in flight is signed, and all that was asked meanwhile is done."""
        self.frozen = self.busy = False
        queued, self._queued = self._queued, []
        for word in queued:
            self.act(word)

    def act(self, word: str) -> None:
        """Pause or resume; any other word does nothing."""
        if word == "resume":
            self.paused_flag = self.rogue = False
        elif word == "pause" and not self.paused_flag:
            self.paused_flag, self.quiet_at = True, self._around.now() + BLOCK

    # --- the port ---

    def pause(self, timeout_s: float) -> None:
        """See the port."""
        self._call("pause", timeout_s)

    def resume(self, timeout_s: float) -> None:
        """See the port."""
        self._call("resume", timeout_s)

    def paused(self, timeout_s: float) -> bool:
        """See the port."""
        self._call("", timeout_s)
        return self.says_paused

    def info(self, timeout_s: float) -> ChainInfo:
        """See the port: a chain of several producers, which goes on whatever we do."""
        self._call("info", timeout_s)
        head = self._around.now() // SLOT
        signer = PRODUCER if self._producing() else "someoneelse1"
        return ChainInfo(CHAIN, "v4.1.0", head, f"{head:08x}", EPOCH + head * SLOT, signer, max(head - 10, 0), None)

    def peers(self, timeout_s: float) -> Peers:
        """See the port."""
        self._call("", timeout_s)
        return Peers(3, self._around.peers)

    def schedule(self, timeout_s: float) -> Schedule:
        """See the port."""
        self._call("", timeout_s)
        return SCHEDULE

    def finality(self, timeout_s: float) -> Finality:
        """See the port."""
        self._call("", timeout_s)
        return Finality()

    def block(self, num: int, timeout_s: float) -> Header:
        """See the port."""
        self._call("", timeout_s)
        signer = PRODUCER if self._producing() else "someoneelse1"
        return Header(num, f"{num:08x}", EPOCH + num * SLOT, signer, f"{num - 1:08x}")

    def _call(self, word: str, timeout_s: float) -> None:
        around, limit = self._around, round(timeout_s * 1000)
        if not self.pid:
            raise NodeosUnreachable("connection refused")
        if self.frozen or self.slow > limit or (self.busy and word != "info"):
            around.took = limit
            self._queue(word)
            raise NodeosTimeout("no answer in time")
        around.took = self.slow
        if word in self.refuses:
            raise NodeosAnswer(404, 0, "load eosio::producer_api_plugin")
        self.act(word)

    def _queue(self, word: str) -> None:
        """Let a call that nobody waits for any more act at its time: when nodeos thaws, or gets to it."""
        if word not in CALLS:
            return
        if self.frozen or self.busy:
            self._queued.append(word)
            return
        pid = self.pid

        def late() -> None:
            if self.pid == pid and not self.frozen:
                self.act(word)
            elif self.pid == pid:
                self._queued.append(word)

        around = self._around
        around.after(self.slow, late)


class SimHandle:
    """The port `ProcessHandle`: waits for nothing."""

    def __init__(self, nodeos: SimNodeos, found: ProcessId) -> None:
        self._nodeos, self._found = nodeos, found

    @property
    def id(self) -> ProcessId:
        """See the port."""
        return self._found

    def wait_gone(self, timeout_s: float) -> bool:
        """See the port."""
        return self._nodeos.process != self._found

    def close(self) -> None:
        """See the port."""


class SimFence:
    """The port `Fence`."""

    def __init__(self, around: Surroundings, nodeos: SimNodeos, *, helpless: bool) -> None:
        self._around, self._nodeos, self.helpless = around, nodeos, helpless

    def find(self) -> SimHandle | None:
        """See the port."""
        found = self._nodeos.process
        return SimHandle(self._nodeos, found) if found else None

    def stop(self, term_s: float, timeout_s: float) -> str:
        """See the port: a process that answers hears SIGTERM, any other gets SIGKILL when its grace is over."""
        if not self._nodeos.pid:
            return "was gone already"
        if self.helpless:
            raise FenceError("nothing can be ended here")
        hangs = self._nodeos.frozen or self._nodeos.slow > 100
        self._around.took = round(term_s * 1000) + 10 if hangs else 20
        self._nodeos.kill()
        return "ended by SIGKILL" if hangs else "ended by SIGTERM"


class SimGate:
    """The port `Gate`, and the truth about one gate with its page, which outlive the agent. Times are of its host.

    hangs      it gives no proof and no answer
    under_way  a request was handed on to keosd
    leaving    a signature has passed the last look at the page, and is not out yet
    """

    def __init__(self, around: Surroundings, boot: Callable[[], Ms]) -> None:
        self._around, self._boot = around, boot
        self.until: Ms = 0
        self.hangs = self.under_way = self.leaving = False
        self._epoch = 0
        self._over: int | None = None

    def begins(self) -> None:
        """Take it that another agent process is there, which has closed nothing yet."""
        self._over = None

    def may_sign(self) -> bool:
        """Whether a signature may come out now."""
        return self.leaving or self._boot() < self.until

    def ask(self, span: Ms) -> None:
        """Let nodeos ask for a signature that keosd takes so long for."""
        if self.under_way or not self.may_sign():
            return
        self.under_way = True
        self._around.after(span, self._answered)

    def _answered(self) -> None:
        if not self.may_sign():
            self.under_way = False
            return
        self.leaving = True
        self._around.after(OUT, self._out)

    def _out(self) -> None:
        self.leaving = self.under_way = False

    # --- the port ---

    def permit(self, epoch: int, until: Ms) -> None:
        """See the port."""
        if epoch == self._over:
            raise GateError(f"epoch {epoch} was closed")
        self._epoch, self.until = epoch, until

    def close(self, timeout_s: float) -> Closed:
        """See the port."""
        self._over, self.until = self._epoch, 0
        if self.hangs or self.under_way:
            self._around.took = round(timeout_s * 1000)
            raise GateError("not proven")
        return Closed("it said so", self._boot())

    def status(self, timeout_s: float) -> GateStatus:
        """See the port."""
        if self.hangs:
            self._around.took = round(timeout_s * 1000)
            raise GateError("no answer")
        last = self._boot() if self.may_sign() else None
        return GateStatus(1, 0, True, "ready", 1, last, {}, (0,) * (len(BOUNDS) + 1), 0.0)


class SimFile:
    """The port `RuntimeFile`: outlives the agent. `written` is called after each write."""

    def __init__(self, around: Surroundings, written: Callable[[], None]) -> None:
        self._around, self._written = around, written
        self.content: bytes | None = None

    def load(self) -> RuntimeRecord | None:
        """See the port."""
        return read_runtime(self.content) if self.content else None

    def save(self, record: RuntimeRecord, more: dict[str, object]) -> None:
        """See the port."""
        self._write(records.write(record, **more))

    def _write(self, content: bytes) -> None:
        self.try_write()
        self.content = content
        self._written()

    def try_write(self) -> None:
        """See the port."""
        if self._around.file_error:
            raise OSError(self._around.file_error)

    def remove(self) -> None:
        """See the port."""
        self._write(b"")


class SimStore(MemoryStore):
    """The port `Store` by way of a network: requests may be lost, late, or never answered."""

    def __init__(self, etcd: MemoryEtcd, around: Surroundings) -> None:
        super().__init__(etcd)
        self._around = around

    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """See the port."""
        self._way(timeout_s)
        return super().grant(ttl_s, timeout_s)

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """See the port."""
        self._way(timeout_s)
        return super().keepalive(lease, timeout_s)

    def revoke(self, lease: int, timeout_s: float) -> None:
        """See the port."""
        self._way(timeout_s)
        super().revoke(lease, timeout_s)

    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """See the port. Of a request that nobody waits for any more the store may still hear, at any time."""
        around, limit = self._around, round(timeout_s * 1000)
        fate = around.answers.pop(0) if around.answers else ""
        if around.cut_out or fate == "lost":
            around.took = limit
            raise StoreUnavailable("it never arrived")
        if 2 * around.delay > limit or fate == "late":
            around.took = limit
            around.after(max(around.delay, limit + 400 if fate else 0), lambda: self._late(txn))
            raise StoreUnavailable("it may be applied later")
        around.took = limit if self.cut else 2 * around.delay
        answer = super().txn(txn, timeout_s)
        if around.cut_in or fate:
            around.took = limit
            raise StoreUnavailable("it was applied, and the answer was lost")
        return answer

    def _late(self, txn: Txn) -> None:
        self.etcd.hold(txn)
        self.etcd.deliver_late()

    def _way(self, timeout_s: float) -> None:
        if self._around.cut_out or self._around.cut_in or 2 * self._around.delay > timeout_s * 1000:
            raise StoreUnavailable("no answer")
