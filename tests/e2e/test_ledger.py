"""The proof of production on real parts: what stands in ledger and history after a change of leader."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from agent.core.model.archive import Window, read_window
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.group import Group

pytestmark = pytest.mark.real


def windows(group: Group) -> list[Window]:
    """Return what stands in the ledger, in order."""
    lines = group.etcdctl("get", "--prefix", "@ledger/", "--print-value-only").splitlines()
    return sorted((read_window(line.encode()) for line in lines if line), key=lambda each: each.slot)


def change(group: Group, epoch: int) -> dict[str, Any]:
    """Return what stands in the history of an epoch."""
    found: dict[str, Any] = json.loads(group.etcdctl("get", f"@history/{epoch}", "--print-value-only"))
    return found


def metric(agent: Agent, name: str) -> float:
    """Return what an agent's metric stands at; each agent counts for itself, in its own time."""
    lines = agent.get("/metrics")[1].decode().splitlines()
    line = next(line for line in lines if line.startswith(f"nodeos_failover_{name}{{"))
    return float(line.rpartition(" ")[2])


def reaches(agent: Agent, name: str, least: float) -> bool:
    """Tell whether a metric has come so far."""
    return metric(agent, name) >= least


def test_a_handover_is_proven_from_the_other_members_chain(group: Group) -> None:
    """After a handover the next window is counted by the other member, and history and metrics agree with the chain."""
    leader, standby = group.leader, group.standby
    head = group.chain.observer.head
    group.wait("the standby to know this leader's blocks", lambda: metric(standby, "head_block_number") > head)
    group.etcdctl("put", "@leader", standby.node)
    group.wait_leads(standby)
    proven = group.wait(
        "the first window of the new leader", lambda: found if "witness" in (found := change(group, 2)) else None, 40.0
    )
    assert (proven["node"], proven["from"], proven["witness"]) == (standby.node, leader.node, leader.node)
    assert proven["leaderless_ms"] >= 0
    assert (proven["window_signed"], proven["window_missed"]) == (12, 0)
    assert proven["slots_missed"] == evidence.slots_missed(group.chain.observer, head), "all that the chain misses"
    first = next(each for each in windows(group) if each.slot == proven["window"])
    assert (first.signed, first.missed, first.leader, first.witness) == (12, 0, standby.node, leader.node)
    lost = [each for each in windows(group) if each.missed]
    assert all(each.causes == {"handover": each.missed} for each in lost)
    for agent in group.agents.values():
        group.wait(f"{agent.node} to have counted it, too", partial(reaches, agent, "produced_blocks_total", 12))
        member = json.loads(group.etcdctl("get", f"@members/{agent.node}", "--print-value-only"))
        assert len(member["own"]) >= 12


@pytest.mark.slow
def test_a_frozen_nodeos_goes_to_the_nodes_account(group: Group) -> None:
    """What a frozen nodeos cost is in ledger and history, with the node as its cause."""
    leader, standby = group.leader, group.standby
    group.wait("the first window", lambda: windows(group) or None, 40.0)
    head = group.chain.observer.head
    group.nodeos(leader).freeze()
    group.wait_leads(standby)
    proven = group.wait("the cost", lambda: found if "slots_missed" in (found := change(group, 2)) else None)
    missed = evidence.slots_missed(group.chain.observer, head, proven["counted_to"])
    assert proven["slots_missed"] == missed > 0

    def counted() -> list[Window] | None:
        found = [each for each in windows(group) if each.change == 2]
        return found if sum(each.missed for each in found) >= missed else None

    lost = group.wait("the ledger", counted, 40.0)
    assert {cause for each in lost for cause in each.causes} == {"node"}
