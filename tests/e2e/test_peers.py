"""Peers with real parts: hosts in network namespaces, an etcd of three members, real nodeos (R13 to R17).

What the members promise each other keeps the lead while etcd is away, and lets a lost host be followed in two seconds.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from agent.core.model.peers import Beat, Promise
from agent.peers import wire
from tests.e2e.peers import E_S, Count, E, Peers, namespaces
from tests.lab.agents import Agent
from tests.lab.bench.field import HOSTS, Field
from tests.lab.group import ROOT

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """Yield a chain whose hosts are namespaces."""
    with namespaces(tmp_path_factory.mktemp("peers")) as made:
        yield made


@pytest.fixture(scope="module")
def lease(field: Field) -> Iterator[Peers]:
    """Yield a group in mode `lease`."""
    made = Peers(field, "lease")
    yield made
    made.agents.stop()


def test_peers_without_quorum(lease: Peers) -> None:
    """R15: with default settings promises alone confirm the leader for 20 s, and nothing changes when etcd is back."""
    lease.settle()
    before, count = lease.leader.node, Count(lease.field)
    with lease.no_quorum():
        time.sleep(20.0)
    assert count.missed() == 0
    lease.field.wait("a confirmation by etcd", lambda: bool(lease.heartbeat().get("peers")))
    assert lease.leader.node == before
    count.never_twice()


def test_peers_with_loss(lease: Peers) -> None:
    """R17: with 30 % loss each way promises are late now and then, and etcd confirms in their place."""
    before, count = lease.leader.node, Count(lease.field)
    assert lease.field.spaces is not None
    one, two = HOSTS
    for source, target in ((one, two), (two, one)):
        lease.field.spaces.delay(source, target, 0.0, lost=0.3)
    time.sleep(15.0)
    for source, target in ((one, two), (two, one)):
        lease.field.spaces.heal(source, target)
    assert count.missed() == 0
    assert lease.leader.node == before
    count.never_twice()


def test_agents_that_cannot_hear_each_other_are_as_without_peers(lease: Peers) -> None:
    """R17: a firewall between them means an empty list and E, no slot and no change of leader."""
    lease.named()
    before, count = lease.leader.node, Count(lease.field)
    assert lease.field.spaces is not None
    one, two = HOSTS
    lease.field.spaces.cut(one, two)
    lease.field.wait("a heartbeat that names nobody", lambda: not lease.heartbeat().get("peers"))
    assert lease.heartbeat()["validity_ms"] == 1000 * E
    lease.field.spaces.heal(one, two)
    lease.named()
    assert lease.heartbeat()["validity_ms"] == 1000 * E_S
    assert count.missed() == 0
    assert lease.leader.node == before


def test_doctor_tries_the_way_between_the_members(lease: Peers) -> None:
    """On the leader's host: a datagram comes back from the standby; where it cannot, the standby is named."""
    lease.named()
    leader, standby = lease.leader, lease.standby
    assert lease.field.spaces is not None
    assert doctor(leader)["peers_path"] == ("ok", f"datagrams reach {standby.node} and come back; try it on each host")
    assert {doctor(leader)[name][0] for name in ("peers_key", "peers_host_id", "peers_etcd_leader")} == {"ok"}
    lease.field.spaces.cut(standby.node, leader.node)
    grade, seen = doctor(leader)["peers_path"]
    lease.field.spaces.heal(standby.node, leader.node)
    assert grade == "warn"
    assert f"no datagram comes back from {standby.node}" in seen


def doctor(agent: Agent) -> dict[str, tuple[str, str]]:
    """Run `doctor` on an agent's host; return grade and text by check."""
    command = agent.place.command([sys.executable, "-m", "agent", "doctor", "-f", "json", "--config", agent.config])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60.0)
    found = json.loads(done.stdout)
    return {each["check"]: (each["verdict"], each["seen"]) for each in found["checks"]}


def test_forged_and_recorded_datagrams_change_nothing(lease: Peers) -> None:
    """Garbage, another key, and what was recorded, at a rate that a network gives: dropped and counted."""
    lease.named()
    leader, standby = lease.leader, lease.standby
    count = Count(lease.field)
    forged = wire.encode(Beat(2**40, "x", 2**40, leader.node, 600_000, "t"), wire.tag(ROOT, b"z" * 32), b"z" * 32)
    promise = wire.encode(Promise(1, "x", 1, standby.node, "0" * 32), wire.tag(ROOT, b"z" * 32), b"z" * 32)
    with standby.place.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        for _ in range(3000):
            for place in (leader.place, standby.place):
                for raw in (forged, promise, b"garbage" * 20):
                    sock.sendto(raw, (place.address, 9878))
            time.sleep(0.001)
    assert count.missed() == 0
    assert lease.leader is leader
    assert lease.heartbeat()["peers"]
    count.never_twice()


def asked(agent: Agent) -> int:
    """Return how many requests an agent has sent to etcd so far, by its own count at the adapter."""
    text = agent.get("/metrics")[1].decode()
    return round(sum(map(float, re.findall(r"^nodeos_failover_etcd_requests_total\{.*\} (\S+)$", text, re.MULTILINE))))


def test_while_all_promise_etcd_is_asked_seldom(lease: Peers) -> None:
    """R17: in ten seconds a leader sends one or two confirmations and not twenty, and a standby's reports."""
    lease.named()
    agents, before = (lease.leader, lease.standby), lease.heartbeat()["seq"]
    counts = [asked(each) for each in agents]
    time.sleep(10.0)
    sent = [asked(each) - count for each, count in zip(agents, counts, strict=True)]
    assert lease.heartbeat()["seq"] - before <= 4, "one in 5 s, and some spare for promises that a busy machine delays"
    assert all(each <= 20 for each in sent), sent


def test_a_rolling_restart_of_etcd_costs_nothing(lease: Peers) -> None:
    """P3: one member of etcd after another is restarted, the leader of etcd among them."""
    lease.named()
    before, count = lease.leader.node, Count(lease.field)
    for member in lease.agents.etcd.members:
        member.restart()
        lease.agents.etcd.wait_ready(member)
    lease.named()
    assert count.missed() == 0
    assert lease.leader.node == before
    count.never_twice()


def test_a_standby_that_restarts_during_an_election_may_cost_the_lead_for_a_moment(lease: Peers) -> None:
    """P1, P2: promises and etcd are gone at once, for longer than E_s - A: 0 to 8 slots in five runs, none twice."""
    lease.named()
    leader, standby, count = lease.leader, lease.standby, Count(lease.field)
    standby.signal(signal.SIGUSR2)
    lease.agents.faults["etcd-leader-killed"].act(leader.node)
    lease.field.wait("the end of the agent", lambda: not standby.running)
    standby.start()
    lease.agents.mend()
    lease.named()
    missed = count.missed()
    count.never_twice()
    assert missed <= 12, "a lost host without peers costs as much"


def test_a_lost_standby_costs_no_slot(lease: Peers) -> None:
    """R17: its promises end at once; etcd confirms in their place, the list becomes empty, and the leader leads on."""
    lease.named()
    leader, standby = lease.leader, lease.standby
    count, epoch = Count(lease.field), lease.heartbeat()["epoch"]
    lease.agents.faults["host-lost"].act(standby.node)
    lease.field.wait("a heartbeat that names nobody", lambda: not lease.heartbeat().get("peers"))
    assert count.missed() == 0
    assert lease.heartbeat()["epoch"] == epoch
    assert leader.leads
    count.never_twice()
    lease.agents.mend()


def test_lost_host_with_peers(lease: Peers) -> None:
    """R13, R8: host and agent die at once; the standby, which promised last, waits E_s, takes over and produces."""
    lease.named()
    leader, standby = lease.leader, lease.standby
    count = Count(lease.field)
    began = time.time()
    lease.agents.faults["host-lost"].act(leader.node)
    first = lease.field.wait("the successor's block", lambda: lease.field.blocks.first_after(standby.node, began))
    assert E_S - 1.0 < first.wall - began < E_S + 2.0
    assert count.missed() <= 8
    count.never_twice()
    lease.agents.mend()


def test_a_planned_restart_keeps_the_lead(lease: Peers) -> None:
    """R16: told that it is about to be replaced, a leader writes a heartbeat of the long validity, and ends holding.

    The next process has E - A to come back in; a machine that needs longer for that shows the first half only.
    """
    lease.agents.mend()
    lease.named()
    leader = lease.leader
    count, epoch = Count(lease.field), lease.heartbeat()["epoch"]
    leader.signal(signal.SIGUSR2)
    lease.field.wait("the end of the agent", lambda: not leader.running)
    ended, left = time.monotonic(), lease.heartbeat()
    assert (left["epoch"], left["node"], left["state"]) == (epoch, leader.node, "held")
    assert left["validity_ms"] == 1000 * E
    assert not left.get("peers")
    assert lease.agents.etcd.etcdctl("get", f"{ROOT}leader", "--print-value-only").strip() == leader.node
    leader.start()
    lease.field.wait("a leader", lease.agents.producing)
    back = time.monotonic() - ended
    lease.named()
    if back < E - 2.0:
        assert lease.heartbeat()["epoch"] == epoch
        assert count.missed() == 0
    count.never_twice()


def test_all_agents_restarted_at_once_keep_the_lead(lease: Peers) -> None:
    """R16, R20: an upgrade of every host in one go: no new process has seen a change, and the leader's goes on."""
    lease.agents.mend()
    lease.named()
    leader, standby, count = lease.leader, lease.standby, Count(lease.field)
    for agent in (leader, standby):
        agent.signal(signal.SIGUSR2)
    lease.field.wait("the end of both agents", lambda: not leader.running and not standby.running)
    ended = time.monotonic()
    for agent in (standby, leader):
        agent.start()
    lease.field.wait("a leader", lease.agents.producing)
    back = time.monotonic() - ended
    lease.named()
    if back < E - 2.0:
        assert lease.leader.node == leader.node
        assert count.missed() == 0
    count.never_twice()


@pytest.mark.parametrize("away_s", [30.0, pytest.param(180.0, marks=pytest.mark.slow)])
def test_peers_in_failsafe(field: Field, lease: Peers, away_s: float) -> None:
    """R15: much longer than the lease lives, no slot is missed; in mode `lease` the leader would have stopped.

    An etcd that comes back after that has no lease any more: the lead may change hands then, by a proven stop.
    """
    lease.agents.stop()
    failsafe = Peers(field, "failsafe")
    before, count = failsafe.leader, Count(field)
    with failsafe.no_quorum():
        time.sleep(away_s)
        assert count.missed() == 0
        assert before.leads
        assert before.status()["peers"]["confirmed_by"] == "peers"
    failsafe.named()
    assert count.missed() <= 4
    count.never_twice()
    failsafe.agents.stop()
    lease.agents.start()
    lease.named()
