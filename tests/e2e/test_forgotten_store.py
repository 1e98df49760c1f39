"""etcd that forgot, under running agents: its data was lost, or it was restored from a snapshot in place (R20)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.agents import Agent
from tests.lab.etcd import EtcdCluster, EtcdOptions
from tests.lab.group import VALIDITY, Group

pytestmark = pytest.mark.real

LEASE_S = 8
"""What everybody waits here, with E_s: a leader that the store has forgotten may be held by promises so long (R20)."""
OUTAGE_S = 10.0
"""How long a leader may be missing beyond E: that wait, elections, a stop, a busy machine."""
MOST_A_SECOND = 15
"""Requests to etcd of one agent; about 4 while nothing is wrong; 1,500 if fast answers bring no pause."""
MOST_LOG = 12_000
"""Bytes a second of one agent's log at level debug."""
BEHIND = 24
"""Revisions that are lost with what came after the snapshot: 12 s of confirmations."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """A group of its own, with short leases: an agent tells no more than once a minute that the store forgot."""
    with Group.running(tmp_path, timing={"lease_ttl": LEASE_S}) as group:
        yield group


@pytest.fixture
def cuttable(tmp_path: Path) -> Iterator[Group]:
    """A group of its own, for one test, with short leases and hosts that can be cut off from etcd."""
    with Group.running(tmp_path, cuttable=True, timing={"lease_ttl": LEASE_S}) as group:
        yield group


class Watched:
    """What the agents ask of etcd, and write into their logs, from now on."""

    def __init__(self, group: Group) -> None:
        self._agents = list(group.agents.values())
        self._begun = time.monotonic()
        self._before = {agent.node: _used(agent) for agent in self._agents}

    def check(self) -> None:
        """See that neither was without bounds."""
        seconds = time.monotonic() - self._begun
        for agent in self._agents:
            requests, size = (now - then for now, then in zip(_used(agent), self._before[agent.node], strict=True))
            assert requests / seconds < MOST_A_SECOND, f"{agent.node}: {requests:.0f} requests in {seconds:.1f} s"
            assert size / seconds < MOST_LOG, f"{agent.node}: {size:.0f} bytes of log in {seconds:.1f} s"


def _used(agent: Agent) -> tuple[float, float]:
    found = re.findall(
        r"^nodeos_failover_etcd_requests_total\{.*\} (\S+)$", agent.get("/metrics")[1].decode(), re.MULTILINE
    )
    assert found
    return sum(map(float, found)), agent.log.stat().st_size


def _revision(group: Group) -> int:
    found = json.loads(group.etcdctl("get", "@leader", "-w", "json"))
    return int(found["header"]["revision"])


def _goes_on(group: Group) -> None:
    """See that somebody leads within E and a while, without a hand, and then keeps the place (P2, P3)."""
    logs = [agent.log for agent in group.agents.values()]
    group.wait("every agent to see it", lambda: all("data was lost" in log.read_text() for log in logs))
    group.wait("a leader", lambda: group.heartbeat() and group.settled(), VALIDITY + OUTAGE_S)
    epoch, leader = group.heartbeat()["epoch"], group.leader
    revision = _revision(group)
    group.wait("confirmations", lambda: _revision(group) > revision + 10)
    assert (group.heartbeat()["epoch"], group.leader) == (epoch, leader)
    group.chain.observer.wait_blocks(2)


def test_etcd_whose_data_was_lost(group: Group) -> None:
    """etcd killed and started empty: a leader again without a hand, no slot twice, no storm of requests (P1, R20)."""
    before = group.heartbeat()["epoch"]
    watched = Watched(group)
    group.etcd.forget()
    _goes_on(group)
    assert group.heartbeat()["epoch"] > before, "an epoch is never given twice"
    watched.check()


def test_snapshot_that_is_restored_in_place(group: Group, tmp_path: Path) -> None:
    """The same with a snapshot of 12 s ago, whose revisions come a second time, under the same cluster id (P1, R20)."""
    saved = tmp_path / "snapshot"
    group.etcdctl("snapshot", "save", str(saved))
    revision = _revision(group)
    group.wait("what comes after the snapshot", lambda: _revision(group) > revision + BEHIND, 40.0)
    watched = Watched(group)
    group.etcd.forget(saved)
    assert _revision(group) < revision + BEHIND, "it has gone back"
    _goes_on(group)
    group.wait("revisions that come again", lambda: _revision(group) > revision + BEHIND + 10, 40.0)
    watched.check()


def test_agent_that_starts_beside_a_restored_release(cuttable: Group, tmp_path: Path) -> None:
    """P1, R20: a restored heartbeat says `released`, its leader of since then is cut off: who starts waits E."""
    saved = tmp_path / "snapshot"
    leader, standby = cuttable.leader, cuttable.standby
    standby.close()
    leader.close()
    cuttable.wait("a release", lambda: cuttable.heartbeat()["state"] == "released")
    cuttable.etcdctl("snapshot", "save", str(saved))
    leader.start()
    cuttable.wait_leads(leader)
    cuttable.chain.observer.wait_blocks(4)
    cuttable.lab.cut_from_etcd(leader.node)
    cuttable.etcd.forget(saved)
    standby.start()
    cuttable.wait_leads(standby, VALIDITY + OUTAGE_S)
    assert "snapshot of etcd may have been restored" in standby.log.read_text()


def test_member_of_etcd_that_was_set_up_alone(tmp_path: Path) -> None:
    """P1, P3, R20: no agent goes by it: neither a standby that is cut off from another one, nor the leader later on."""
    with Group.running(tmp_path, etcd=3, cuttable=True, timing={"lease_ttl": LEASE_S}) as group:
        first, second, _ = group.etcd.members
        leader, standby = group.leader, group.standby
        epoch = group.heartbeat()["epoch"]
        group.etcd.set_up_alone(second)
        group.lab.etcd_links[standby.node][0].cut()
        group.wait("it to be seen", lambda: "it is of another cluster" in standby.log.read_text())
        group.settle()
        first.kill()
        group.wait("it to be seen", lambda: "it is of another cluster" in leader.log.read_text())
        first.start()
        group.etcd.wait_ready(first)
        group.settle()
        assert (group.leader, group.heartbeat()["epoch"]) == (leader, epoch)


def test_agent_whose_etcd_is_a_copy(group: Group, tmp_path: Path) -> None:
    """P1, P3, R20: etcd was moved by a snapshot, and one agent alone uses the new one: it waits, and tells."""
    saved = tmp_path / "snapshot"
    leader, standby = group.leader, group.standby
    group.etcdctl("snapshot", "save", str(saved))
    standby.stop()
    copy = EtcdCluster(tmp_path / "copy", group.lab.ports, EtcdOptions(size=1))
    try:
        copy.start()
        copy.forget(saved)
        (old,), (new,) = group.etcd.endpoints, copy.endpoints
        standby.config.write_text(standby.config.read_text().replace(old, new))
        standby.start()
        group.wait("its wait to end but for the blocks", lambda: "another etcd" in standby.log.read_text(), 60.0)
        assert (leader.phase, standby.phase) == ("leading", "standby")
    finally:
        standby.stop()
        copy.close()
