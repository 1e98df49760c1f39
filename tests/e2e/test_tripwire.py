"""The tripwire on real nodeos: an ungoverned one with the same key is told within seconds, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.agents import Agent
from tests.lab.group import Group
from tests.lab.lab import Lab

pytestmark = pytest.mark.real
SECONDS = 15.0
"""Within so many seconds a second producer must have been told, on a busy machine."""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Group]:
    """A group of two, and a third nodeos with the same key that has no agent and is paused.

    It takes no transactions from its peers, so that its blocks are unlike those of the leader.
    """
    group = Group(tmp_path, count=3, p2p=True, alone=["bp-c"])
    try:
        group.start()
        assert group.chain.load is not None
        group.chain.load.period = 0.2  # some in each of the leader's blocks
        yield group
    finally:
        group.close()


def strays(agent: Agent) -> dict[str, float]:
    """Return what an agent counted, by kind."""
    lines = agent.get("/metrics")[1].decode().splitlines()
    found = [line for line in lines if line.startswith("nodeos_failover_stray_blocks_total{")]
    return {line.split('kind="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in found}


def warned(agent: Agent) -> bool:
    """Whether an agent has said it."""
    return "warning=stray_block" in agent.log.read_text()


def signers_of_head(group: Group, name: str) -> set[str]:
    """Return who signed the head block of a node."""
    head = group.chain.nodes[name].info()["head_block_id"]
    return {each.node for each in group.chain.signed() if head[8:].startswith(each.id)}


def test_an_ungoverned_nodeos_with_our_key_is_told(three: Group) -> None:
    """A third nodeos that has the key and is not paused is told within seconds by both agents.

    It stands between the two, so that the standby's nodeos follows its branch as soon as there is one.
    """
    three.etcdctl("put", "@leader", three.standby.node)
    three.wait("a change of leader", lambda: three.heartbeat().get("epoch", 0) > 1)
    three.settle()
    three.chain.observer.wait_blocks(6)
    agents = three.agents.values()
    assert not any(warned(agent) for agent in agents), "a handover is none"
    standby = three.standby.node
    three.chain.cut(standby, three.leader.node, three.chain.observer.name)
    three.chain.nodes["bp-c"].resume()
    # it signs nothing for as long as the leader's block comes in before its own is done: until then there is no stray
    three.wait("a branch of its own", lambda: signers_of_head(three, standby) == {"bp-c"}, 60.0)
    three.wait("both to tell", lambda: all(warned(agent) for agent in agents), SECONDS)
    three.wait("their counts", lambda: all(sum(strays(agent).values()) >= 1 for agent in agents))
    assert three.leader.node != standby, "the right one goes on"


def test_a_nodeos_that_signs_while_nobody_leads_is_told(three: Group) -> None:
    """With an override that nobody may lead, a third nodeos that signs is told by every agent."""
    three.etcdctl("put", "@override", "none")
    three.wait("everybody to stop", lambda: all(agent.phase == "standby" for agent in three.agents.values()))
    time.sleep(3)  # the blocks of the leader before must not be told: they are given the time in which they would
    assert not any(warned(agent) for agent in three.agents.values())
    three.chain.nodes["bp-c"].resume()
    three.wait("all to tell", lambda: all(warned(agent) for agent in three.agents.values()), SECONDS)
    assert all(strays(agent)["leaderless"] >= 1 for agent in three.agents.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_handovers_trip_nothing(three: Group) -> None:
    """Twenty changes of leader in a row, as operators ask for them, and not one false alarm."""
    for _ in range(20):
        standby = three.standby
        three.etcdctl("put", "@leader", standby.node)
        three.wait_leads(standby)
        three.settle()
    three.never_twice()
    for agent in three.agents.values():
        assert not warned(agent)
        assert sum(strays(agent).values()) == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_second_producer_in_a_schedule_is_told_in_its_first_turns(tmp_path: Path) -> None:
    """On a chain of four producers a second one is told once both have signed a turn."""
    with Lab(tmp_path) as lab:
        etcd = lab.etcd(1)
        chain = lab.chain(3, producers=4)
        agents = [lab.agent(node, etcd) for name, node in chain.nodes.items() if name != "bp-c"]
        for agent in agents:
            agent.start()
        agents[0].wait_phase("leading", "standby")
        end = time.monotonic() + 60
        while not any(agent.leads for agent in agents):
            assert time.monotonic() < end
            time.sleep(0.1)
        chain.nodes["bp-c"].resume()
        end = time.monotonic() + 90  # three rounds of 24 s
        while not all(warned(agent) for agent in agents):
            assert time.monotonic() < end, "\n".join(agent.log_tail(20) for agent in agents)
            time.sleep(0.2)
