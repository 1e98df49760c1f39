"""The session of an agent: its lease lives on whatever is written, a name is used once, the history stays short."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from agent.core.leadership.events import LeaseSeen
from agent.core.model import records
from agent.core.model.archive import KEEP, Window, read_window
from agent.core.model.keys import Keys
from agent.core.model.records import Member
from agent.core.model.store import KeyValue, Put, Txn, TxnAnswer
from agent.core.node.state import EtcdSeen
from agent.errors import RefusedError, StoreRejected, StoreUnavailable
from agent.host.clock import boot_ms
from agent.ports import Lease, Store
from agent.runtime import session as session_module
from agent.runtime.session import Session
from tests.lab.etcd import EtcdCluster
from tests.support.children import wait_until
from tests.support.etcd_bench import store_on
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.moved_time import MovedTime

LIMIT_S = 2.0
TTL_S = 2


def member(node: str = "a", instance: str = "i1", head: int = 1) -> Member:
    """Return a report."""
    return Member(node, instance, "standby", True, True, (), head, 1, 0, 100, False, "0", "v4")


class Bench:
    """A store, and sessions on it."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self.make = make
        self.names = Keys(f"/nodeos-failover/{time.monotonic_ns()}/")
        self.store = make()
        self.events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.refused: list[RefusedError] = []
        self.wall = 1_000
        self.sessions: list[Session] = []

    def session(self, node: str = "a", instance: str = "i1", store: Store | None = None) -> Session:
        """Make a session; it is not started."""
        self.sessions.append(
            Session(
                store or self.make(),
                self.names,
                node,
                frozenset({instance}),
                TTL_S,
                LIMIT_S,
                self.events.put,
                self.refused.append,
                lambda: self.wall,
            )
        )
        return self.sessions[-1]

    def started(self, node: str = "a", instance: str = "i1", store: Store | None = None) -> tuple[Session, int]:
        """Start a session and return it with its lease."""
        session = self.session(node, instance, store)
        session.start(None)
        lease = self.lease()
        assert lease is not None
        return session, lease

    def lease(self) -> int | None:
        """Return the next news of a lease."""
        while True:
            event = self.events.get(timeout=10)
            if isinstance(event, LeaseSeen):
                return event.lease

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        """Write as somebody else."""
        self.store.txn(Txn((), (Put(key, value, lease),)), LIMIT_S)

    def read(self, node: str = "a") -> KeyValue | None:
        """Return the member key as it stands."""
        return self.read_key(self.names.member(node))

    def read_key(self, key: str) -> KeyValue | None:
        """Return one key."""
        return next((item for item in self.store.range(key, LIMIT_S).items if item.key == key), None)

    def reports(self, node: str = "a") -> Member | None:
        """Return the report that stands under a name."""
        found = self.read(node)
        return records.read_member(found.value) if found else None

    def history(self) -> dict[int, dict[str, Any]]:
        """Return the history."""
        prefix = f"{self.names.root}history/"
        found = self.store.range(prefix, LIMIT_S).items
        return {int(item.key.removeprefix(prefix)): json.loads(item.value) for item in found}


@pytest.fixture
def memory() -> MemoryEtcd:
    """Return the stand-in for etcd."""
    return MemoryEtcd(boot_ms)


def _closed(bench: Bench) -> Iterator[Bench]:
    yield bench
    for session in bench.sessions:
        session.close(3.0)
        assert not session._thread.is_alive()


@pytest.fixture
def bench(memory: MemoryEtcd) -> Iterator[Bench]:
    """Yield a bench on the stand-in."""
    yield from _closed(Bench(lambda: MemoryStore(memory)))


@pytest.fixture
def etcd(cluster: EtcdCluster) -> Iterator[Bench]:
    """Yield a bench on real etcd."""
    with ExitStack() as stack:
        yield from _closed(Bench(lambda: stack.enter_context(store_on(cluster))))


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.real)])
def both(request: pytest.FixtureRequest) -> Bench:
    """Return each in turn."""
    found: Bench = request.getfixturevalue("bench" if request.param == "memory" else "etcd")
    return found


# --- the lease -------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_the_lease_lives_whatever_is_published(etcd: Bench) -> None:
    """With the smallest lease etcd grants, reports every 2 s, all the time or never: the lease is kept in time (R6)."""
    slow, slow_lease = etcd.started("slow")
    busy, busy_lease = etcd.started("busy")
    _, idle_lease = etcd.started("idle")
    end = time.monotonic() + 6.5
    number, next_slow = 0, 0.0
    while time.monotonic() < end:
        number += 1
        busy.publish(member("busy", head=number))
        if time.monotonic() >= next_slow:
            next_slow = time.monotonic() + 2.0
            slow.publish(member("slow", head=number))
        for lease in (slow_lease, busy_lease, idle_lease):
            assert etcd.store.lease_state(lease, LIMIT_S) >= 0
        time.sleep(0.05)
    assert not [event for event in drain(etcd.events) if isinstance(event, LeaseSeen)]
    found = etcd.read("slow")
    assert found is not None
    assert found.lease == slow_lease


def drain(events: queue.SimpleQueue[object]) -> list[object]:
    """Return all events that are there."""
    found = []
    while not events.empty():
        found.append(events.get())
    return found


class Kept(MemoryStore):
    """A store that notes when (ms) a lease is kept or asked for, and ends the session after a while."""

    def __init__(self, time: MovedTime, ttls: list[int]) -> None:
        super().__init__(MemoryEtcd(time.boot))
        self.at: list[int] = []
        self.spans: list[float] = []
        self._time, self._ttls = time, ttls

    def _ttl(self, timeout_s: float) -> int:
        self.at.append(self._time.now)
        self.spans.append(timeout_s)
        if not self._ttls:
            raise RefusedError("the test is over")
        return self._ttls.pop(0)

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """Note it."""
        return self._ttl(timeout_s)

    def grant(self, ttl_s: int, timeout_s: float) -> Lease:
        """Note it."""
        return Lease(5, self._ttl(timeout_s))


@pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "granted"])
@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
def test_a_lease_is_renewed_after_a_fifth_of_what_etcd_grants(
    moved: MovedTime, monkeypatch: pytest.MonkeyPatch, resumed: bool, late: bool
) -> None:
    """R6: with a TTL of 10 s, the first keepalive comes 2 s after the lease was resumed or granted, and so do all.

    Chance makes it a tenth earlier at most, so that leases part again that one election held up.
    """
    monkeypatch.setattr(random, "uniform", lambda least, most: most if late else least)
    store = Kept(moved, [10, 10, 10, 30, 10])
    bench = Bench(lambda: store)
    session = bench.session(store=store)
    session.start(5 if resumed else None)
    session._thread.join(10)
    gaps = [(after - before) / 1000 for before, after in pairwise(store.at)]
    share = 1.0 if late else 0.9
    ttls = (10, 10, 10, 30, 10)  # as long as etcd says, not as long as we asked for
    assert gaps == [pytest.approx(share * ttl / 5, abs=0.003) for ttl in ttls]
    assert set(store.spans) == {LIMIT_S}


def test_an_etcd_that_is_away_is_asked_a_few_times(moved: MovedTime) -> None:
    """Ten seconds without etcd are some 20 to 40 tries of a session, each told, and no storm."""
    store = MemoryStore(MemoryEtcd(moved.boot))
    store.cut = True
    bench = Bench(lambda: store)
    session = bench.session(store=store)
    told: list[object] = []

    def emit(event: object) -> None:
        told.append(event)
        if moved.passed_s >= 10:
            session._over = True

    session._emit = emit
    session.start(None)
    session._thread.join(10)
    assert 20 <= len(told) <= 42
    assert all(isinstance(event, EtcdSeen) and event.error for event in told)


def test_a_lost_lease_is_told_and_replaced(both: Bench) -> None:
    """When the lease is gone the core hears it, then of a new one; the report stands again, on the new lease (R6)."""
    session, lease = both.started()
    session.publish(member(head=1))
    wait_until(both.reports)
    both.store.revoke(lease, LIMIT_S)
    session.publish(member(head=2))
    assert both.lease() is None
    new = both.lease()
    assert new not in (None, lease)
    wait_until(lambda: both.reports() == member(head=2))
    found = both.read()
    assert found is not None
    assert found.lease == new


def test_a_lost_lease_is_found_without_a_report(bench: Bench) -> None:
    """Nothing is published, and yet the loss is noticed with the next keepalive; what waited then is written."""
    session, lease = bench.started()
    bench.store.revoke(lease, LIMIT_S)
    assert bench.lease() is None
    assert bench.lease() is not None
    session.publish(member())
    wait_until(bench.reports)


def test_the_lease_of_the_process_before_is_kept(both: Bench) -> None:
    """A restarted agent goes on with its lease, without asking whether its own name is alive elsewhere."""
    lease = both.store.grant(TTL_S, LIMIT_S).id
    both.put(both.names.member("a"), records.write(member(instance="before")), lease)
    session = both.session()
    begin = time.monotonic()
    session.start(lease)
    assert both.lease() == lease
    session.publish(member(head=5))
    wait_until(lambda: both.reports() == member(head=5))
    assert time.monotonic() - begin < TTL_S


def test_a_dead_lease_of_the_process_before_is_replaced(both: Bench) -> None:
    """A lease that expired meanwhile is told as gone, and another is granted."""
    lease = both.store.grant(TTL_S, LIMIT_S).id
    both.store.revoke(lease, LIMIT_S)
    session = both.session()
    session.start(lease)
    assert both.lease() is None
    assert both.lease() not in (None, lease)


def test_close_revokes(both: Bench) -> None:
    """An agent that ends takes its report with it at once, not after the lease's time."""
    session, lease = both.started()
    session.publish(member())
    wait_until(both.reports)
    session.close(3.0)
    assert both.reports() is None
    assert both.store.lease_state(lease, LIMIT_S) == -1


def test_close_without_a_start() -> None:
    """A session that never began ends too."""
    bench = Bench(lambda: MemoryStore(MemoryEtcd(boot_ms)))
    bench.session().close(1.0)


# --- the name --------------------------------------------------------------------------------------------------------


def test_a_name_that_is_alive_elsewhere_is_refused(both: Bench) -> None:
    """Another agent goes on reporting under this name: this one does not begin, and says why."""
    other, _ = both.started("a", "other")
    other.publish(member("a", "other", 0))
    wait_until(both.reports)
    second = both.session("a", "second")
    second.start(None)
    for number in range(1, 40):
        if both.refused:
            break
        other.publish(member("a", "other", number))
        time.sleep(0.1)
    assert "alive elsewhere" in str(both.refused[0])
    wait_until(lambda: not second._thread.is_alive())
    found = both.reports()
    assert found is not None
    assert found.instance == "other"


def test_of_two_that_start_together_one_is_refused(both: Bench) -> None:
    """Two agents of one name start at the same moment, and neither sees the other: only one gets to report."""
    first, second = both.session("a", "i1"), both.session("a", "i2")
    for session in (first, second):
        session.start(None)
    assert both.lease()
    assert both.lease()
    first.publish(member("a", "i1"))
    second.publish(member("a", "i2"))
    wait_until(lambda: both.refused)
    wait_until(lambda: first._thread.is_alive() != second._thread.is_alive())
    time.sleep(0.1)
    assert len(both.refused) == 1
    found = both.reports()
    assert found is not None
    assert found.instance == ("i1" if first._thread.is_alive() else "i2")


def test_what_a_dead_agent_left_is_taken_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that stands still is nobody's any more: its name may be used, and the report is replaced."""
    monkeypatch.setattr(session_module, "ALIVE", 0.25)
    bench.put(bench.names.member("a"), records.write(member("a", "dead")))
    session, lease = bench.started()
    session.publish(member(head=9))
    wait_until(lambda: bench.reports() == member(head=9))
    found = bench.read()
    assert found is not None
    assert found.lease == lease
    assert not bench.refused


def test_what_a_dead_agent_left_may_expire_in_between(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dead agent's lease ends after its name was found free, and before the first report: nobody is refused."""
    monkeypatch.setattr(session_module, "ALIVE", 0.25)
    left = bench.store.grant(TTL_S, LIMIT_S).id
    bench.put(bench.names.member("a"), records.write(member("a", "dead")), left)
    session, _ = bench.started()
    bench.store.revoke(left, LIMIT_S)
    session.publish(member())
    wait_until(bench.reports)
    assert not bench.refused


@pytest.mark.parametrize("value", [b"", b"{", records.write(member("a", "i1"))])
def test_what_nobody_can_have_written_is_no_hindrance(bench: Bench, value: bytes) -> None:
    """Our own report of before, or a value that no agent wrote, does not keep us waiting."""
    bench.put(bench.names.member("a"), value)
    begin = time.monotonic()
    session, _ = bench.started()
    session.publish(member(head=3))
    wait_until(lambda: (bench.read() or KeyValue("", b"", 0)).value == records.write(member(head=3)))
    assert time.monotonic() - begin < TTL_S


def test_a_longer_name_is_another(bench: Bench) -> None:
    """`a` and `a1` have one prefix and are two nodes."""
    bench.started("a1", "other")[0].publish(member("a1", "other"))
    wait_until(lambda: bench.reports("a1"))
    bench.started("a", "i1")[0].publish(member("a", "i1"))
    wait_until(lambda: bench.reports("a"))
    assert not bench.refused


# --- writing ---------------------------------------------------------------------------------------------------------


class Gate(MemoryStore):
    """A store that counts transactions, and can hold or spoil them; it `refuses` to write keys that have this."""

    def __init__(self, etcd: MemoryEtcd) -> None:
        super().__init__(etcd)
        self.open = threading.Event()
        self.open.set()
        self.raises: Exception | None = None
        self.refuses = "none"
        self.lost_keepalives = 0
        self.tries = 0
        self.closed = False

    def txn(self, txn: Txn, timeout_s: float) -> TxnAnswer:
        """Wait for the gate."""
        self.tries += 1
        self.open.wait(10)
        if self.raises is not None:
            raise self.raises
        if any(self.refuses in each.key for each in txn.then):
            raise StoreRejected("permission_denied", "no")
        return super().txn(txn, timeout_s)

    def keepalive(self, lease: int, timeout_s: float) -> int:
        """Lose some."""
        if self.lost_keepalives:
            self.lost_keepalives -= 1
            raise StoreUnavailable("the test lost this keepalive")
        return super().keepalive(lease, timeout_s)

    def close(self) -> None:
        """Note that."""
        self.closed = True


def test_a_report_is_not_lost_with_a_keepalive(bench: Bench, memory: MemoryEtcd) -> None:
    """A keepalive that fails just when a report is to be written: the report is written after it."""
    gate = Gate(memory)
    session, _ = bench.started(store=gate)
    gate.open.clear()
    session.publish(member(head=1))
    wait_until(lambda: gate.tries)
    session.publish(member(head=2))
    time.sleep(TTL_S / 5 + 0.1)
    gate.lost_keepalives = 1
    gate.open.set()
    wait_until(lambda: bench.reports() == member(head=2))
    assert not gate.lost_keepalives


def test_only_the_newest_report_is_written(bench: Bench, memory: MemoryEtcd) -> None:
    """Reports that pile up while etcd is slow are not written one after another."""
    gate = Gate(memory)
    session, _ = bench.started(store=gate)
    gate.open.clear()
    for number in range(20):
        session.publish(member(head=number))
        wait_until(lambda: gate.tries)
    gate.open.set()
    wait_until(lambda: bench.reports() == member(head=19))
    assert gate.tries <= 3


def test_a_failure_is_told_and_nothing_is_lost(bench: Bench, memory: MemoryEtcd) -> None:
    """While etcd is away the core hears it, without spinning; when it is back, the report and the history stand."""
    store = Gate(memory)
    session, lease = bench.started(store=store)
    store.cut = True
    session.publish(member(head=4))
    session.record(1, {"node": "a"})
    time.sleep(1.2)
    told = [event for event in drain(bench.events) if isinstance(event, EtcdSeen) and event.error]
    assert 1 <= len(told) <= 9
    store.cut = False
    wait_until(lambda: bench.reports() == member(head=4) and bench.history())
    assert bench.lease() == lease


@pytest.mark.parametrize("error", [KeyError("a defect"), StoreRejected("permission_denied", "not allowed")])
def test_no_error_ends_it(bench: Bench, memory: MemoryEtcd, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A defect or a refusal is logged or told, and tried again, without spinning."""
    store = Gate(memory)
    session, _ = bench.started(store=store)
    store.raises = error
    session.publish(member())
    time.sleep(0.8)
    assert 1 <= store.tries <= 7
    store.raises = None
    wait_until(bench.reports)
    told = [event.error for event in drain(bench.events) if isinstance(event, EtcdSeen)]
    assert "not allowed" in told or "a defect in the session" in caplog.text


def test_a_refused_session_lets_go(bench: Bench, memory: MemoryEtcd) -> None:
    """Whoever is refused keeps neither lease nor connection."""
    bench.put(bench.names.member("a"), records.write(member("a", "other")))
    store = Gate(memory)
    session = bench.session(store=store)
    session.start(None)
    time.sleep(0.1)
    bench.put(bench.names.member("a"), records.write(member("a", "other", 2)))
    wait_until(lambda: bench.refused)
    wait_until(lambda: store.closed)


# --- history ---------------------------------------------------------------------------------------------------------


def test_a_change_is_recorded_with_its_time(both: Bench) -> None:
    """A change is dated when it is first told; what is learnt later is added under the same date."""
    session, _ = both.started()
    session.record(7, {"node": "a", "reason": "x"})
    wait_until(both.history)
    both.wall = 2_000
    session.record(7, {"node": "a", "reason": "x", "slots_missed": 3})
    wait_until(lambda: "slots_missed" in both.history()[7])
    assert both.history()[7] == {"when_ms": 1_000, "node": "a", "reason": "x", "slots_missed": 3}
    session.record(8, {"node": "a"})
    wait_until(lambda: 8 in both.history())
    assert both.history()[8]["when_ms"] == 2_000


def test_the_history_outlives_the_session(bench: Bench) -> None:
    """A change stays when the agent goes: it is bound to no lease."""
    session, _ = bench.started()
    session.record(1, {"node": "a"})
    wait_until(bench.history)
    session.close(3.0)
    assert bench.history()


def test_a_wish_that_is_refused_goes_and_the_reason_stays(both: Bench) -> None:
    """The wish is taken out of etcd together with the answer, dated; a reader finds no moment without either."""
    session, _ = both.started()
    both.put(both.names.switchover, b"{}")
    wish = both.read_key(both.names.switchover)
    assert wish is not None
    session.refuse(wish.mod_revision, {"to": "b", "refused": "b is not there"})
    wait_until(lambda: both.read_key(both.names.switchover) is None)
    answer = both.read_key(both.names.answer)
    assert answer is not None
    assert json.loads(answer.value) == {"when_ms": 1_000, "to": "b", "refused": "b is not there"}


def test_a_wish_that_was_asked_since_is_not_refused_with_the_one_before(both: Bench) -> None:
    """A refusal is of one wish, by its mod revision: one that was put meanwhile stays, and has no answer yet."""
    session, _ = both.started()
    both.put(both.names.switchover, b"{}")
    wish = both.read_key(both.names.switchover)
    assert wish is not None
    both.put(both.names.switchover, b'{"to":"c"}')
    session.refuse(wish.mod_revision, {"refused": "why"})
    session.record(7, {"node": "a"})
    wait_until(lambda: both.history().get(7))
    session.record(8, {"node": "a"})
    wait_until(lambda: both.history().get(8))  # the session went round once more since the refusal
    assert both.read_key(both.names.switchover) is not None
    assert both.read_key(both.names.answer) is None


def test_the_history_is_bounded(both: Bench) -> None:
    """The newest hundred stay, also when leaders in between died before they wrote theirs."""
    for epoch in (1, 2, 3, 5, 8, 13, *range(100, 190)):
        both.put(both.names.history(epoch), b"{}")
    both.put(f"{both.names.root}history/notes", b"of an operator")
    session, _ = both.started()
    for epoch in (190, 191, 192, 195, 250):
        session.record(epoch, {"node": "a"})
        wait_until(lambda epoch=epoch: both.read_key(both.names.history(epoch)))  # type: ignore[misc] # mypy: lambdas with defaults
    wait_until(lambda: both.read_key(both.names.history(150)) is None)
    left = [item.key.rpartition("/")[2] for item in both.store.range(f"{both.names.root}history/", LIMIT_S).items]
    assert sorted(int(each) for each in left if each != "notes") == [*range(151, 193), 195, 250]
    assert "notes" in left
    assert len(left) <= KEEP + 1


def test_a_long_history_is_cut_in_bounded_steps(both: Bench) -> None:
    """Whatever piled up, no transaction is larger than etcd takes (128 operations)."""
    for first in range(1, 300, 100):
        puts = tuple(Put(both.names.history(epoch), b"{}") for epoch in range(first, first + 100))
        both.store.txn(Txn((), puts), LIMIT_S)
    session, _ = both.started()
    session.record(1000, {"node": "a"})
    wait_until(lambda: 1000 in both.history())
    session.record(1001, {"node": "a"})
    session.record(1002, {"node": "a"})
    session.record(1003, {"node": "a"})
    wait_until(lambda: set(both.history()) == {1000, 1001, 1002, 1003})


def test_the_ledger_is_written_once_and_bounded(both: Bench) -> None:
    """What somebody has written of a window stays, and of all windows the newest hundred do."""
    both.put(both.names.ledger(1200), b"somebody's")
    for slot in range(0, 1188, 12):
        both.put(both.names.ledger(slot), b"{}")
    session, _ = both.started()
    session.count(Window(1200, 12, 12, 0))
    session.count(Window(1212, 12, 11, 1, {"node": 1}))
    session.publish(member())
    wait_until(lambda: both.read_key(both.names.ledger(0)) is None)
    wait_until(lambda: both.read_key(both.names.ledger(1212)))
    kept = both.read_key(both.names.ledger(1200))
    assert kept is not None
    assert kept.value == b"somebody's"
    left = both.store.range(both.names.ledger(0)[:-1], LIMIT_S).items
    assert {int(item.key.rpartition("/")[2]) for item in left} == {*range(12, 1188, 12), 1200, 1212}
    newest = both.read_key(both.names.ledger(1212))
    assert newest is not None
    assert read_window(newest.value) == Window(1212, 12, 11, 1, {"node": 1})


@pytest.mark.parametrize(("refuses", "written"), [("none", True), ("/ledger/", False)])
def test_windows_go_with_the_next_report(bench: Bench, memory: MemoryEtcd, refuses: str, written: bool) -> None:
    """One request for both; a role that may not write the ledger loses no report by it."""
    store = Gate(memory)
    store.refuses = refuses
    session, _ = bench.started(store=store)
    session.publish(member(head=1))
    wait_until(lambda: bench.reports() == member(head=1))
    begun = store.tries
    session.count(Window(1200, 12, 12, 0))
    session.publish(member(head=2))
    wait_until(lambda: bench.reports() == member(head=2))
    assert (bench.read_key(bench.names.ledger(1200)) is not None) is written
    assert not written or store.tries == begun + 1


def test_windows_that_wait_for_etcd_are_bounded(bench: Bench) -> None:
    """Hours without etcd pile nothing up: of what waits the newest hundred are kept."""
    session = bench.session()
    for slot in range(0, 12 * 500, 12):
        session.count(Window(slot, 12, 12, 0))
    session.start(None)
    session.publish(member())
    wait_until(lambda: bench.read_key(bench.names.ledger(12 * 499)))
    slots = [int(item.key.rpartition("/")[2]) for item in bench.store.range(bench.names.ledger(0)[:-1], LIMIT_S).items]
    assert min(slots) == 12 * 400
