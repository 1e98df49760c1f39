"""From a key in config.ini to the signing gate, in the order of deploy/gate, on real parts: no slot is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent, to_toml
from tests.lab.binaries import find_nodeos
from tests.lab.gates import SigningGate
from tests.lab.group import Group
from tests.lab.lab import GROUP
from tests.lab.nodeos import PUBLIC_KEY

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(400)]


def settle(group: Group) -> None:
    """Wait until one leads and the other is a healthy standby; a busy machine takes long to find a node healthy."""
    group.wait("a settled group", group.settled, 60.0)


def set_gate(agent: Agent, gate: SigningGate, mode: str) -> None:
    """Write the table [gate] into an agent's configuration, as an operator does."""
    text = re.sub(r"(?ms)^\[gate\]\n.*\Z", "", agent.config.read_text())
    agent.config.write_text(f"{text}\n[gate]\n{to_toml({**gate.settings, 'mode': mode})}\n")


def move_key(group: Group, agent: Agent) -> SigningGate:
    """Take the standby of a group from its key to a gate: steps 1 to 4 of deploy/gate."""
    node = group.nodeos(agent)
    root = group.lab.root / f"agent-{node.name}"
    gate = SigningGate(root / "gate", (GROUP, node.name), agent.runtime_dir, group.lab.ports, find_nodeos())
    group.chain.gates[node.name] = gate  # ends with the chain
    gate.start()
    set_gate(agent, gate, "on")
    agent.kill()
    agent.start()
    settle(group)
    key = next(each for each in node.command if each.startswith(f"{PUBLIC_KEY}=KEY:"))
    node.command[node.command.index(key)] = gate.provider
    node.command += ["--keosd-provider-timeout", "100"]
    node.restart()
    node.wait_level(group.chain.observer)
    node.wait_blocks(3)  # it takes part again: a node that has just started produces only after a block in time
    settle(group)
    return gate


def lag(group: Group, agent: Agent) -> int:
    """Return by how many blocks the leader finds a standby behind."""
    members = {str(each["node"]): int(each["head"]) for each in group.leader.status()["members"]}
    return max(members.values()) - members[agent.node]


def hand_over(group: Group, to: Agent) -> None:
    """Hand the lead over, and see the gate sign."""
    gate = group.chain.gates[to.node]
    group.wait(f"{to.node} to be reported level", lambda: abs(lag(group, to)) <= 2)
    group.etcdctl("put", "@switchover", f'{{"to":"{to.node}","by":"test"}}')
    group.wait_leads(to)
    pattern = rb'gate_signatures_total\{[^}]*result="signed"[^}]*\} [1-9]'
    group.wait(f"signatures through {gate.process.name}", lambda: re.search(pattern, to.get("/metrics")[1]))
    settle(group)


def test_the_key_moves_behind_the_gate_without_a_lost_slot(tmp_path: Path) -> None:
    """One host after another, then `required` on both: no slot is missed, none is signed twice (P1, P3)."""
    with Group(tmp_path, timing={"validity": 15, "lease_ttl": 20}) as group:  # for agents that start on a busy machine
        group.start()
        first, second = group.leader, group.standby
        head = group.chain.observer.head
        for agent in (second, first):
            move_key(group, agent)
            hand_over(group, agent)
        for agent in (group.standby, group.leader):
            set_gate(agent, group.chain.gates[agent.node], "required")
            agent.kill()
            agent.start()
            settle(group)
        assert group.leader is first, "its restart cost it nothing"
        group.chain.observer.wait_blocks(4)
        assert evidence.slots_missed(group.chain.observer, head) == 0
        assert not any("=KEY:" in each for agent in (first, second) for each in group.nodeos(agent).command)
