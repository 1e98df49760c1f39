"""Peers whose hosts run a member of etcd each: a lost host takes promises and etcd away (R13, R17)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from agent.core.node.level import LOST
from tests.e2e.peers import E_S, Count, Peers, namespaces

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
ELECTION_S = 3.0
"""etcd has elected another leader and answers within this: its time-out is 1 s, and a vote takes up to two of them."""


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """Yield a group whose hosts run a member of etcd each; the third member is elsewhere."""
    with namespaces(tmp_path_factory.mktemp("beside")) as field:
        yield Peers(field, "lease", beside=True)


@pytest.mark.parametrize("leads_etcd", [False, True])
def test_a_standby_lost_with_its_member_of_etcd_costs_no_slot(beside: Peers, leads_etcd: bool) -> None:
    """R17: beside etcd's leader a standby is not named, so that its host takes away promises or etcd, never both."""
    beside.settle()
    leader, standby = beside.leader, beside.standby
    beside.agents.etcd.move_leader(beside.member_on((standby if leads_etcd else leader).node))
    (beside.unnamed if leads_etcd else beside.named)()
    count, epoch = Count(beside.field), beside.heartbeat()["epoch"]
    beside.lose(standby.node)
    beside.unnamed()
    beside.confirmed_anew()
    assert count.missed() == 0
    assert (beside.heartbeat()["epoch"], beside.heartbeat()["node"]) == (epoch, leader.node)
    assert leader.leads
    count.never_twice()


def test_a_leader_lost_with_etcds_leader_is_followed(beside: Peers) -> None:
    """R13, P2: etcd elects while E_s runs, tells late who confirmed last, and blocks are waited for LOST at most."""
    beside.settle()
    leader, standby = beside.leader, beside.standby
    beside.agents.etcd.move_leader(beside.member_on(leader.node))
    beside.named()
    count, began = Count(beside.field), time.time()
    beside.lose(leader.node)
    first = beside.field.wait("the successor's block", lambda: beside.field.blocks.first_after(standby.node, began))
    assert E_S - 1.0 < first.wall - began < E_S + LOST / 1000 + ELECTION_S
    assert count.missed() <= 2 * (E_S + LOST / 1000 + ELECTION_S)
    count.never_twice()


def test_etcds_leader_is_moved_to_the_leaders_host(beside: Peers) -> None:
    """R17: with peers.move_etcd_leader a leader moves etcd's leader from a peer's host to its own, for no slot."""
    beside.settle()
    for agent in (beside.standby, beside.leader):
        agent.signal(signal.SIGUSR2)
        beside.field.wait("the end of the agent", lambda agent=agent: not agent.running)  # type: ignore[misc] # mypy knows no default of a lambda
        agent.config.write_text(agent.config.read_text().replace("[peers]", "[peers]\nmove_etcd_leader = true"))
        agent.start()
        beside.settle()
    leader, etcd = beside.leader, beside.agents.etcd
    count, own = Count(beside.field), beside.member_on(leader.node)
    etcd.move_leader(beside.member_on(beside.standby.node))
    beside.field.wait("etcd's leader on the leader's host", lambda: etcd.leader() is own)
    beside.named()
    assert etcd.leader() is own
    assert count.missed() == 0
    assert leader.leads
    count.never_twice()
    for agent in beside.agents.agents.values():
        agent.configure_anew()
