"""The format of a group: an agent that does not understand it takes no part, in either order of an upgrade."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.leadership.events import LeaseKept, LeaseSeen
from agent.core.model.keys import keys
from agent.core.model.records import REFUSED, Member, write
from agent.core.model.store import Put, Txn
from agent.errors import NotOursError, RefusedError, StoreRejected
from agent.host.clock import boot_ms
from agent.peers import key
from agent.runtime.joining import FORMAT_TEXT, JoiningLook, format_problem
from agent.runtime.session import Session
from tests.support.children import wait_until
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.recorder import Recorder

NAMES = keys("/nodeos-failover", "eos")


def report(node: str, **more: Any) -> Member:
    """Return a report."""
    return Member(node, "i1", more.get("role", "standby"), True, True, (), 1, 1, 0, 100, False, "0", "v4")


class Bench:
    """An etcd, and one agent's session on it."""

    def __init__(self) -> None:
        self.etcd = MemoryEtcd(boot_ms)
        self.store = MemoryStore(self.etcd)
        self.events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.refused: list[RefusedError] = []

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        """Write as somebody else does."""
        assert self.store.txn(Txn((), (Put(key, value, lease),)), 1).applied

    def leased(self, key: str, value: bytes) -> None:
        """Write a report."""
        self.put(key, value, self.store.grant(60, 1).id)

    def get(self, key: str) -> bytes | None:
        """Read a key."""
        return next((item.value for item in self.store.range(key, 1).items if item.key == key), None)

    def session(self, store: Any = None, address: Callable[[], str] = lambda: "") -> Session:
        """Start a session."""
        made = Session(
            store or MemoryStore(self.etcd),
            NAMES,
            "bp-a",
            frozenset({"me"}),
            60,
            1.0,
            self.events.put,
            self.refused.append,
            lambda: 1,
            address,
        )
        made.start(None)
        return made

    def lease(self) -> int:
        """Return the lease that the session got; the events before it are dropped."""
        while True:
            event = self.events.get(timeout=10)
            if isinstance(event, LeaseSeen) and event.lease is not None:
                return event.lease


def old(member: Member) -> bytes:
    """Return a report as version 0.1 wrote it."""
    value = json.loads(write(member))
    del value["host_id"], value["peer_address"]
    return json.dumps(value).encode()


def test_the_first_agent_says_the_format_and_later_ones_agree() -> None:
    """A group without a word of it gets one, once; who comes next goes on."""
    bench = Bench()
    first = bench.session()
    bench.lease()
    assert bench.get(NAMES.format) == FORMAT_TEXT
    first.close(5)
    second = bench.session()
    bench.lease()
    second.close(5)
    assert not bench.refused


@pytest.mark.parametrize("value", [b"2", b"garbage", b"", b"\xff"])
def test_an_older_agent_does_not_start_in_a_newer_group(value: bytes) -> None:
    """The newer agents came first: this one refuses, before it has a lease, and says what to install."""
    bench = Bench()
    bench.put(NAMES.format, value)
    session = bench.session()
    wait_until(lambda: bench.refused)
    assert "install the version of the other agents here" in str(bench.refused[0])
    assert bench.events.empty()
    session.close(5)


def test_an_agent_does_not_start_beside_one_of_0_1() -> None:
    """The newer agent came first to a group of old ones: it refuses; once they are gone it starts."""
    bench = Bench()
    bench.leased(NAMES.member("bp-b"), old(report("bp-b")))
    session = bench.session()
    wait_until(lambda: bench.refused)
    assert "members/bp-b is of an agent of version 0.1" in str(bench.refused[0])
    session.close(5)


@pytest.mark.parametrize(
    ("key", "value", "leased"),
    [
        (NAMES.member("bp-b"), write(report("bp-b")), True),
        (NAMES.member("bp-b"), old(report("bp-b", role=REFUSED)), True),
        (NAMES.member("bp-b"), old(report("bp-b")), False),  # nobody stands behind it
        (NAMES.member("bp-a"), old(report("bp-a")), True),  # our own, before the upgrade
        (NAMES.member("bp-b"), b"garbage", True),
        (NAMES.member("bp-b"), b"[" * 100_000, True),
        (NAMES.format, FORMAT_TEXT + b"\n", False),
    ],
)
def test_what_speaks_of_no_other_version_is_no_reason(key: str, value: bytes, leased: bool) -> None:
    """Agents of this version, reports that nobody stands behind, our own of before the upgrade, garbage."""
    bench = Bench()
    (bench.leased if leased else bench.put)(key, value)
    assert format_problem(NAMES, bench.store.range(NAMES.root, 1), "bp-a") == ""


@pytest.mark.parametrize(("key", "value"), [(NAMES.format, b"2"), (NAMES.member("bp-b"), old(report("bp-b")))])
def test_it_is_looked_at_before_the_first_pause(key: str, value: bytes) -> None:
    """An agent that must not take part touches no nodeos: the look before the first pause refuses."""
    bench = Bench()
    bench.leased(key, value)
    nodeos: Any = Recorder()
    look = JoiningLook(bench.store, nodeos, NAMES, "bp-a", lambda _: None)
    with pytest.raises(NotOursError, match="nodeos was not touched"):
        look.belongs(report("bp-a"))
    assert not nodeos.calls


def test_a_role_that_may_not_write_it_is_told_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Rights of before the upgrade: the agent leads as before, and the log names the key and the remedy."""
    bench = Bench()

    class Denied(MemoryStore):
        def txn(self, txn: Txn, timeout_s: float) -> Any:
            if any(isinstance(each, Put) and each.key == NAMES.format for each in txn.then):
                raise StoreRejected("permission_denied", "no")
            return super().txn(txn, timeout_s)

    session = bench.session(Denied(bench.etcd))
    bench.lease()
    session.close(5)
    assert "/eos/format cannot be written" in caplog.text
    assert not bench.refused


def test_the_lease_may_live_from_before_the_request_left() -> None:
    """R15, `lease`: until when our lease may live is counted from the time before the grant was sent."""
    bench = Bench()
    before = boot_ms()
    session = bench.session()
    kept = bench.events.get(timeout=10)
    assert isinstance(kept, LeaseKept)
    assert before + 60_000 <= kept.until <= boot_ms() + 60_000
    assert bench.lease() == kept.lease
    session.close(5)


def test_a_lease_stays_when_the_next_process_leads_on() -> None:
    """A planned restart keeps the lead: the lease on which `leader` rests is not given back."""
    for holding in (True, False):
        bench = Bench()
        session = bench.session()
        lease = bench.lease()
        session.close(5, holding=holding)
        assert (bench.store.lease_state(lease, 1) > 0) is holding


def test_what_is_missing_in_the_group_is_made_once() -> None:
    """The key of the peers is put where there is none; one that somebody else put stays."""
    bench = Bench()
    session = bench.session()
    bench.lease()
    session.once(key.make(NAMES))
    wait_until(lambda: bench.get(NAMES.peers_key))
    first = bench.get(NAMES.peers_key)
    session.once(key.make(NAMES))
    session.close(5)
    assert bench.get(NAMES.peers_key) == first


def test_an_address_that_is_known_later_is_reported_later() -> None:
    """An agent whose port was taken at its start tells its address once it has one; a report says what is true now."""
    bench, found = Bench(), ["", "", "10.0.0.1:9878"]
    session = bench.session(address=lambda: found.pop(0) if len(found) > 1 else found[0])
    bench.lease()
    for expected in ("", "10.0.0.1:9878"):
        session.publish(report("bp-a", head=len(found)))
        wait_until(lambda: bench.get(NAMES.member("bp-a")))
        wait_until(lambda: json.loads(bench.get(NAMES.member("bp-a")) or b"{}").get("peer_address") == expected)  # noqa: B023 - it is called at once
    session.close(5)
