"""Before its first pause an agent sees whether it belongs to its group, and to its nodeos; in doubt it pauses (R4)."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from agent.core.model.belonging import Belonging, clash, clashes, process_text
from agent.core.model.chain import ChainInfo, ProcessId
from agent.core.model.keys import Keys, keys
from agent.core.model.records import REFUSED, Heartbeat, Member, read_member, write
from agent.core.model.store import Put, Snapshot, Txn
from agent.errors import NodeosTimeout, NotOursError, StoreUnavailable
from agent.host.clock import boot_ms
from agent.ports import Nodeos
from agent.runtime.joining import LOOK_S, JoiningLook
from agent.runtime.session import Session
from tests.core.parts import CHAIN, OTHER_CHAIN, PRODUCER, member
from tests.support.children import wait_until
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.recorder import Recorder

NAMES = keys("/nodeos-failover", "lab")
HOST = "boot.4026531836"
OURS = Belonging(PRODUCER, CHAIN, "", process_text(HOST, ProcessId(70, 700)))
REPORT = member("bp-b", instance="mine", producer=PRODUCER, process=OURS.process)
HEARTBEAT = Heartbeat(7, "bp-b", "other", 1, 6000)
WRONG = {
    "another producer": ({"producer": "othera"}, "serves producer othera"),
    "another chain": ({"chain": OTHER_CHAIN}, f"is on chain {OTHER_CHAIN}"),
    "the same nodeos": ({"process": OURS.process}, "governs the same nodeos"),
}


def theirs(**other: object) -> Member:
    """Return the report of a member that fits."""
    process = process_text(HOST, ProcessId(80, 800))
    return member("bp-a", **{"producer": PRODUCER, "chain": CHAIN, "process": process, **other})


def tells(*, paused: bool = False, silent: bool = False) -> Nodeos:
    """Return a nodeos that tells its chain and whether it is paused, or gives no answer."""
    chain = ChainInfo(CHAIN, "v4.1.0", 10, "f" * 64, 0, "eosio", 9, None)
    says = NodeosTimeout("no answer") if silent else {"info": chain, "paused": paused}
    return cast("Nodeos", Recorder(says))


class Bench:
    """A store in memory, and looks at it. `passing` happens while a look waits."""

    def __init__(self) -> None:
        self.etcd = MemoryEtcd(boot_ms)
        self.store = MemoryStore(self.etcd)
        self.lease = self.store.grant(60, 1.0).id
        self.passing: Callable[[], object] = lambda: None

    def put(self, key: str, value: bytes, lease: int | None = None) -> int:
        """Write a key, on the lease of the others if none is given; return the revision."""
        put = Put(key, value, self.lease if lease is None else lease)
        return self.store.txn(Txn((), (put,)), 1.0).revision

    def look(self, nodeos: Nodeos | None = None) -> None:
        """Look, as an agent does that is about to start."""

        def wait(_seconds: float) -> None:
            self.passing()
            time.sleep(0.01)

        JoiningLook(self.store, nodeos or tells(), NAMES, "bp-b", wait).belongs(REPORT)

    def refused(self) -> str:
        """Return why a look refuses."""
        with pytest.raises(NotOursError) as error:
            self.look()
        return str(error.value)


@pytest.fixture
def bench() -> Bench:
    """Return a bench of its own."""
    return Bench()


@pytest.mark.parametrize("wrong", WRONG)
def test_agent_that_does_not_belong_is_refused_before_the_first_pause(bench: Bench, wrong: str) -> None:
    """P1, P2: what contradicts a member's report is named with its remedy, and the others can read it."""
    other, text = WRONG[wrong]
    bench.put(NAMES.member("bp-a"), write(theirs(**other)))
    why = bench.refused()
    assert text in why
    assert "correct `" in why
    left = read_member(bench.store.range(NAMES.member("bp-b"), 1.0).items[0].value)
    assert left.role == REFUSED
    assert not left.healthy
    assert text in left.reasons[0]


def test_agent_that_belongs_starts(bench: Bench) -> None:
    """P2: a group of one producer, one chain and a nodeos for each is looked at without a word."""
    bench.put(NAMES.member("bp-a"), write(theirs()))
    bench.look()


@pytest.mark.parametrize("wrong", WRONG)
def test_reports_that_nobody_keeps_alive_refuse_nobody(bench: Bench, wrong: str) -> None:
    """P2: a report without a lease, or of an agent that was itself refused, says nothing of the group."""
    other, _ = WRONG[wrong]
    bench.put(NAMES.member("bp-a"), write(theirs(**other)), 0)
    bench.put(NAMES.member("bp-c"), write(replace(theirs(**other), node="bp-c", role=REFUSED)))
    bench.look()


def test_what_is_not_known_contradicts_nothing(bench: Bench) -> None:
    """P2: a member of an older version, or whose nodeos does not answer yet, refuses nobody."""
    bench.put(NAMES.member("bp-a"), write(member("bp-a")))
    bench.put(NAMES.member("bp-c"), b"{garbage")
    bench.look(tells(silent=True))


def led(bench: Bench) -> None:
    """Let our own name lead, by another agent."""
    bench.put(NAMES.member("bp-b"), write(member("bp-b", role="leading")))
    bench.put(NAMES.heartbeat, write(HEARTBEAT), 0)


def test_a_namesake_that_leads_keeps_its_nodeos(bench: Bench) -> None:
    """P2: while the heartbeat under our name is confirmed its holder lives, and nodeos is its."""
    led(bench)
    bench.passing = lambda: bench.put(NAMES.heartbeat, write(replace(HEARTBEAT, seq=2)), 0)
    assert "is alive elsewhere, and leads" in bench.refused()


def test_a_namesake_that_died_is_not_waited_for_longer_than_the_look(bench: Bench) -> None:
    """R4: in doubt the pause comes, after `LOOK_S` at most."""
    led(bench)
    begun = time.monotonic()
    bench.look()
    assert time.monotonic() - begun < LOOK_S + 1.0


def test_a_paused_nodeos_needs_no_wait(bench: Bench) -> None:
    """R4: pausing what is paused harms nobody, so that no heartbeat is watched for it."""
    led(bench)
    bench.passing = lambda: pytest.fail("it waits")
    bench.look(tells(paused=True))


def test_without_etcd_the_pause_comes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: a group that cannot be read is no reason to leave a nodeos unpaused."""

    def away(_prefix: str, timeout_s: float) -> Snapshot:
        assert timeout_s <= LOOK_S
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(bench.store, "range", away)
    bench.look()


def test_a_pid_of_another_boot_or_namespace_is_another_process() -> None:
    """P2: only host, boot, namespace, pid and start time together name a process; an unknown one names none."""
    assert process_text(HOST, None) == ""
    assert process_text(HOST, ProcessId(0, 0)) == ""
    assert process_text("", ProcessId(70, 700)) == ""
    other = replace(OURS, process=process_text("boot.1", ProcessId(70, 700)))
    assert not clash(OURS, other, "bp-a")


def test_those_outside_see_who_does_not_belong_together() -> None:
    """P2: `status` and `doctor` name every pair, and by what it differs."""
    told = {"bp-a": OURS, "bp-b": replace(OURS, process="", chain=OTHER_CHAIN), "bp-c": OURS}
    found = clashes(told)
    assert found[0] == f"bp-a and bp-b do not belong together: chain {CHAIN} and {OTHER_CHAIN}"
    assert found[1] == "bp-a and bp-c do not belong together: both govern one nodeos"
    assert len(found) == 3


class Race:
    """Sessions of agents that have started already."""

    def __init__(self) -> None:
        self.etcd = MemoryEtcd(boot_ms)
        self.refused: dict[str, Exception] = {}
        self.sessions: list[Session] = []

    def join(self, report: Member, names: Keys = NAMES) -> Session:
        """Let an agent report."""
        store, events = MemoryStore(self.etcd), queue.SimpleQueue[object]()
        refuse = lambda error: self.refused.__setitem__(report.node, error)  # noqa: E731 - one line, used once
        mine = frozenset({report.instance})
        session = Session(store, names, report.node, mine, 5, 1.0, events.put, refuse, lambda: 1)
        session.start(None)
        session.publish(report)
        wait_until(lambda: report.node in self.refused or self._stands(report), 5.0)
        self.sessions.append(session)
        return session

    def _stands(self, report: Member) -> bool:
        found = MemoryStore(self.etcd).range(NAMES.member(report.node), 1.0).items
        return bool(found) and read_member(found[0].value) == report


def test_of_two_that_race_the_later_one_is_refused() -> None:
    """P2: both looked before either reported; the one that reports later ends, the first goes on."""
    race = Race()
    try:
        race.join(theirs())
        late = theirs(instance="late")
        race.join(replace(late, node="bp-b"))
        wait_until(lambda: "bp-b" in race.refused, 5.0)
        assert "bp-a governs the same nodeos" in str(race.refused["bp-b"])
        assert "bp-a" not in race.refused
    finally:
        for session in race.sessions:
            session.close(2.0)


def test_a_nodeos_that_turns_out_to_be_wrong_later_refuses_its_own_agent_alone() -> None:
    """P2: a standby whose nodeos comes up on another chain ends; a leader is not ended, it stops by R3."""
    race = Race()
    try:
        race.join(theirs())
        other = member("bp-b", producer=PRODUCER)
        session = race.join(other)
        assert not race.refused
        session.publish(replace(other, chain=OTHER_CHAIN, role="leading"))
        session.publish(replace(other, chain=OTHER_CHAIN, role="standby"))
        wait_until(lambda: "bp-b" in race.refused, 5.0)
        assert set(race.refused) == {"bp-b"}
    finally:
        for session in race.sessions:
            session.close(2.0)
