"""Agents beside SIMULATED Spring on a Savanna chain, with a real etcd: the key follows the lead, and votes are judged.

Four finalizers, of which three are enough: ours with a key on each host, and three that the observer votes for.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import simulated_finality as finality
from tests.lab.agents import Agent
from tests.lab.etcd import EtcdCluster
from tests.lab.lab import Lab
from tests.lab.nodeos import Node
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_finality import Finalizer
from tests.lab.wait import until

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
LIMIT_S = 40.0
VOTES_S = 6.0
"""nodeos's default of production-pause-vote-timeout-ms."""


def key_of(name: str) -> str:
    """Return a BLS key, as long as one is."""
    return "PUB_BLS_" + (name.replace("-", "_") + "x" * 140)[:128]


class Spring:
    """Two agents beside SIMULATED Spring, the first of which leads."""

    def __init__(self, root: Path) -> None:
        self.lab = Lab(root)
        keys = {"bp-a": [key_of("bp-a")], "bp-b": [key_of("bp-b")], "observer": [key_of(each) for each in "cde"]}
        self.nodes = self.lab.chain(2, simulated=True, finalizers=keys)
        self.chain = SimulatedChain(self.nodes.root / "simulated-chain")
        others = (Finalizer(each, key_of(each)) for each in "cde")
        finality.propose(self.chain, Finalizer("eosio", key_of("bp-a")), *others)
        etcd = self.lab.etcd(1)
        self.a, self.b = (self._agent(node, etcd) for node in self.nodes.nodes.values())
        for agent in (self.a, self.b):
            agent.start()
        until(lambda: self.a.leads, LIMIT_S, f"bp-a to lead {self.a.log_tail(20)}")
        until(lambda: self.b.phase == "standby", LIMIT_S, "a standby")
        until(lambda: all(each["healthy"] for each in self.a.status()["members"]), LIMIT_S, "all to be healthy")

    def _agent(self, node: Node, etcd: EtcdCluster) -> Agent:
        return self.lab.agent(node, etcd, finalizer=self._finalizer(node.name))

    def _finalizer(self, name: str) -> dict[str, object]:
        words = [sys.executable, "-m", "tests.lab.simulated_finality", self.nodes.root / "simulated-chain", "eosio"]
        line = f"cd {shlex.quote(str(ROOT))} && exec {shlex.join([*map(str, words), key_of(name)])}"
        return {"public_key": key_of(name), "command": ["/bin/sh", "-c", line], "timeout": 20.0}

    @property
    def active(self) -> str:
        """The active key of our account."""
        policy = finality.policies(self.chain)[0]
        assert policy is not None
        return policy.finalizers[0].public_key

    def signs(self, agent: Agent, blocks: int = 4) -> None:
        """Wait until the nodeos beside an agent has signed so many blocks more."""
        goal = self.signed(agent) + blocks
        until(lambda: self.signed(agent) >= goal, LIMIT_S, f"{agent.node} to sign: {agent.log_tail(20)}")

    def signed(self, agent: Agent) -> int:
        """Return how many blocks the nodeos beside an agent has signed."""
        return sum(each.node == agent.node for each in self.chain.signatures())

    def close(self) -> None:
        """End everything."""
        self.chain.close()
        self.lab.close()


@pytest.fixture
def spring(tmp_path: Path) -> Iterator[Spring]:
    """A settled group; at its end no slot was signed twice (P1)."""
    found = Spring(tmp_path)
    try:
        yield found
        assert found.chain.doubles() == {}
    finally:
        found.close()


def test_lost_host_with_the_active_key(spring: Spring) -> None:
    """The new leader's key becomes active, LIB follows, and nodeos signs long after the time-out for votes (P2)."""
    spring.a.lose_host()
    spring.nodes.nodes["bp-a"].kill()
    until(lambda: spring.b.leads, LIMIT_S, "bp-b to lead")
    leads_at = time.monotonic()
    until(lambda: spring.active == key_of("bp-b"), LIMIT_S, f"its key to be active: {spring.b.log_tail(20)}")
    until(lambda: time.monotonic() > leads_at + 2 * VOTES_S, LIMIT_S, "two time-outs to be over")
    spring.signs(spring.b)
    assert spring.chain.head().num - spring.chain.irreversible().num < 10
    assert "finalizer" in spring.b.log.read_text()


def test_votes_that_everybody_misses_change_no_leader(spring: Spring) -> None:
    """The other finalizers are gone for a while: nodeos pauses itself, nobody else leads, and it goes on (P3)."""
    epoch = spring.a.status()["epoch"]
    spring.nodes.observer.freeze()
    until(lambda: "votes of others are missing" in spring.a.log.read_text(), LIMIT_S, "the want of votes to be told")
    assert spring.nodes.nodes["bp-a"].paused
    stands = spring.chain.head().num
    time.sleep(2 * VOTES_S)
    assert spring.chain.head().num - stands <= 1
    assert (spring.a.leads, spring.a.status()["epoch"]) == (True, epoch)
    spring.nodes.observer.thaw()
    spring.signs(spring.a)
    assert spring.a.status()["epoch"] == epoch


@pytest.mark.parametrize("fault", ["pause_at_block", "no signature"])
def test_a_leader_that_signs_nothing_is_replaced(spring: Spring, fault: str) -> None:
    """`paused` stays false and nothing is signed: its slots tell, and the other one signs (P2)."""
    node = spring.nodes.nodes["bp-a"]
    if fault == "no signature":
        node.signal(signal.SIGUSR1)  # as with a gate that was killed: nodeos asks it in vain
    else:
        node.call("/v1/producer/pause_at_block", {"block_num": node.head + 2})
    until(lambda: spring.b.leads, LIMIT_S, f"bp-b to lead: {spring.a.log_tail(20)}")
    spring.signs(spring.b)
