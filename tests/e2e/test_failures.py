"""Every row of the README's table of failures, on real parts. Each test ends with: no slot signed twice (P1)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_switchover import wait_away
from tests.lab import evidence
from tests.lab.group import VALIDITY, Group

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """A group with an etcd of three members, whose hosts can be cut off from it."""
    with Group.running(tmp_path_factory.mktemp("group"), etcd=3, cuttable=True) as group:
        yield group


def test_killed_nodeos_is_replaced(group: Group) -> None:
    """A nodeos that dies is replaced at once, without waiting for E (R4, R5, R8)."""
    leader, standby = group.leader, group.standby
    started = time.time()
    group.nodeos(leader).kill()
    assert group.wait_signs(standby, started) < VALIDITY / 2
    released = group.heartbeat()
    assert released["node"] == standby.node
    group.nodeos(leader).restart()
    group.settle()
    assert group.leader is standby, "no failback by itself (P3)"
    assert group.nodeos(leader).paused


def test_frozen_nodeos_is_killed_and_replaced(group: Group) -> None:
    """A nodeos whose main thread does not answer is ended by SIGKILL, for when it thaws it would sign (R3)."""
    leader, standby = group.leader, group.standby
    node = group.nodeos(leader)
    node.freeze()
    group.wait_leads(standby)
    assert not node.running
    assert node.exit_code == -9


def test_agent_killed_for_good(group: Group) -> None:
    """When the leader's agent dies for good its guard stops nodeos before E is over; a candidate leads (R3, R8)."""
    leader, standby = group.leader, group.standby
    leader.kill()
    node = group.nodeos(leader)
    group.wait("the guard to pause nodeos", lambda: not node.running or node.paused, VALIDITY + 1)
    assert not standby.leads
    group.wait_leads(standby)


def test_frozen_agent_is_guarded(group: Group) -> None:
    """A frozen agent is guarded too, and when it thaws it does not produce again in its old epoch (R3)."""
    leader, standby = group.leader, group.standby
    leader.freeze()
    group.wait_leads(standby)
    leader.thaw()
    leader.wait_phase("standby")
    assert group.nodeos(leader).paused
    assert group.leader is standby


def test_lost_host_is_replaced(group: Group) -> None:
    """A host that is gone at once, nodeos, agent and guard, is replaced after E (R8)."""
    leader, standby = group.leader, group.standby
    started = time.time()
    leader.lose_host()
    group.nodeos(leader).kill()
    assert group.wait_signs(standby, started) < VALIDITY + 2


def test_host_cut_off_from_etcd(group: Group) -> None:
    """A leader that cannot confirm stops before its confirmation runs out, and comes back as standby (R1, R3)."""
    leader, standby = group.leader, group.standby
    group.lab.cut_from_etcd(leader.node)
    group.wait_leads(standby)
    assert group.nodeos(leader).paused
    group.lab.heal_etcd(leader.node)
    leader.wait_phase("standby")
    group.settle()
    assert group.leader is standby


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_etcd_leader_lost(group: Group, fault: str) -> None:
    """The loss of etcd's leader, dead or frozen, costs neither the leadership nor a slot (P3)."""
    epoch, head = group.heartbeat()["epoch"], group.chain.observer.head
    member = group.wait("etcd's leader", group.etcd.leader)
    getattr(member, fault)()
    group.chain.observer.wait_blocks(20)
    assert group.leader.status()["epoch"] == epoch
    assert evidence.slots_missed(group.chain.observer, head) == 0


def test_etcd_without_quorum(group: Group) -> None:
    """Without a quorum the leader stops in time, nobody leads, and somebody does when the quorum is back (R3, P2).

    The history tells how long no block came, though the leader before releases only then.
    """
    leader = group.leader
    lost = group.etcd.members[:2]
    for member in lost:
        member.kill()
    group.wait("the leader to stop", lambda: group.nodeos(leader).paused)
    stopped = time.monotonic()
    assert not any(agent.leads for agent in group.agents.values())
    group.wait("an outage of 4 s", lambda: time.monotonic() > stopped + 4 or None)
    for member in lost:
        member.start()
    group.settle()
    silent_ms = group.wait("the outage to be counted", lambda: _newest_change(group).get("outage_ms"))
    assert 3000 <= silent_ms <= 1000 * (time.monotonic() - stopped)


def _newest_change(group: Group) -> dict[str, Any]:
    """Return the entry of the history about the newest change of leader."""
    lines = group.etcdctl("get", "--prefix", "@history/", "--print-value-only").splitlines()
    found: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
    return max(found, key=lambda each: int(each["epoch"]))


def test_nodeos_restarted_under_standby(tmp_path: Path) -> None:
    """A standby's nodeos that comes back unpaused in an own window is paused again, and the chain stays one.

    Spring opens a block with the first one that it gets, 10 ms after its port: that one and the next are signed twice
    before anybody can pause it, so P1 counts again from then on. A required gate or pause-on-startup prevents it.
    Four producers, for the second of two blocks makes the first irreversible on a chain of one: it may split for good.
    """
    with Group.running(tmp_path, producers=4) as group:
        leader, standby = group.leader, group.standby
        node = group.nodeos(standby)
        node.stop()
        wait_away(group, 0.1, 1.0)
        wait_away(group, 0.0, 0.0)  # of an own window 5 s are left when its port opens
        group.never_twice()
        started = time.time()
        node.launch()  # without --pause-on-startup: the fault in the configuration that this is about
        group.wait("the agent to pause it", lambda: node.paused)
        time.sleep(0.6)  # the block at hand may be signed, or not: there is nothing to wait for
        own = [each for each in group.chain.signed() if each.node == node.name and each.wall >= started]
        last = max([each.wall for each in own], default=group.governed)
        group.governed = last + 1.0  # the leader's for that slot too
        wait_away(group, 1.0, 60.0)  # the others' blocks decide between two branches
        node.wait_level(group.chain.observer)
        group.chain.observer.wait_blocks(4)
        assert not node.split_from(group.chain.observer)
        group.settle()
        assert group.leader is leader


def test_standby_resumed_by_hand(group: Group) -> None:
    """A standby that somebody resumes by hand is paused again, and said loudly (nodeos restarting)."""
    group.etcdctl("put", "@override", "none")  # nobody produces meanwhile: a hand that resumes a second node forks
    idle = next(iter(group.agents.values()))
    node = group.nodeos(idle)
    group.wait("everybody to stop", lambda: all(agent.phase == "standby" for agent in group.agents.values()))
    node.resume()
    group.wait("the warning", lambda: "somebody resumed it" in idle.log.read_text())
    group.wait("the pause", lambda: node.paused)
    # the next test lets the other node lead, and the block that the hand began may still be in flight
    group.wait("the proof of the stop", lambda: idle.status()["nodeos_production"] == "stopped")


def test_sigterm_stops_proves_and_releases(group: Group) -> None:
    """SIGTERM ends an agent with a proven pause and a release: the other leads without waiting for E (R4, R5)."""
    leader, standby = group.leader, group.standby
    started = time.time()
    leader.terminate()
    assert leader.wait(10.0) == 0
    assert group.wait_signs(standby, started) < VALIDITY / 2
    assert group.nodeos(leader).paused
