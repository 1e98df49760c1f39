"""Agents beside Spring on a Savanna chain, with a real etcd: the key follows the lead, and votes are judged.

Four finalizers, of which three are enough: ours with a key on each host, and three that the observer votes for.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.agents import Agent
from tests.lab.binaries import find_nodeos
from tests.lab.chain import SHARED
from tests.lab.etcd import EtcdCluster
from tests.lab.lab import Lab
from tests.lab.nodeos import Node
from tests.lab.savanna import active_keys
from tests.lab.schedule import SYSTEM
from tests.lab.wait import until

pytestmark = pytest.mark.real

LIMIT_S = 40.0
SETTLE_S = 90.0
"""With four producers a node that is to be adopted has to sign a turn before, and a round takes 24 s."""
ALONE = ("simulated", "real")
FOUR = "real, four producers"
GATED = "real, gates required"
VOTES_S = 6.0
"""nodeos's default of production-pause-vote-timeout-ms."""
STANDS_S = 10.0
"""A chain that stands still for less is not resumed (agent.core.node.votes)."""
BLOCKS = 16
"""That a resume without votes makes at most: those of the time-out and a second, and what a busy machine adds."""


class Spring:
    """Two agents beside Spring, SIMULATED or real, the first of which leads."""

    def __init__(self, root: Path, kind: str) -> None:
        self.kind = kind
        with ExitStack() as failed:
            self.lab = failed.enter_context(Lab(root))
            self._start(kind)
            failed.pop_all()

    def _start(self, kind: str) -> None:
        producers, ours = (4, SHARED) if kind == FOUR else (1, SYSTEM)
        votes = {"bp-a": [ours], "bp-b": [ours], "observer": ["c", "d", "e"]}
        self.nodes = self.lab.chain(
            2,
            producers=producers,
            simulated=kind == "simulated",
            gate=kind == GATED,
            finalizers=votes,
            load=False,
        )
        if kind == GATED:  # what signs without the gate's leave is not adopted
            self.nodes.nodes["bp-a"].pause()
            for gate in self.nodes.gates.values():
                gate.shut()
        etcd = self.lab.etcd(1)
        self.a, self.b = (self._agent(node, etcd) for node in self.nodes.nodes.values())
        self.a.start()
        until(lambda: self.a.leads, SETTLE_S, "bp-a to lead")
        self.b.start()
        until(lambda: self.b.phase == "standby", SETTLE_S, "a standby")
        until(lambda: all(each["healthy"] for each in self.a.status()["members"]), SETTLE_S, "all to be healthy")

    def _agent(self, node: Node, etcd: EtcdCluster) -> Agent:
        finality = self.nodes.finality
        assert finality is not None
        key = finality.public(node.name)
        settings: dict[str, Any] = {"gate": {"mode": "required"}} if self.nodes.gates else {}
        settings["finalizer"] = {"public_key": key, "command": finality.command(node), "timeout": 20.0}
        return self.lab.agent(node, etcd, **settings)

    def key(self, agent: Agent) -> str:
        """The key with which the nodeos beside an agent votes."""
        assert self.nodes.finality is not None
        return self.nodes.finality.public(agent.node)

    @property
    def active(self) -> str:
        """The active key of our account."""
        return active_keys(self.nodes.observer)[0]

    def signs(self, agent: Agent, blocks: int = 4) -> None:
        """Wait until the nodeos beside an agent has signed so many blocks more."""
        goal = self.signed(agent) + blocks
        until(lambda: self.signed(agent) >= goal, LIMIT_S, lambda: f"{agent.node} to sign: {agent.log_tail(20)}")

    def signed(self, agent: Agent) -> int:
        """Return how many blocks the nodeos beside an agent has signed."""
        return sum(each.node == agent.node for each in self.nodes.signed())

    def told(self) -> str:
        """Return what each agent logged last, and how many blocks its nodeos has signed."""
        return "\n".join(f"{each.node}: {self.signed(each)} blocks\n{each.log_tail(20)}" for each in (self.a, self.b))

    def lag(self) -> int:
        """Return how far the last irreversible block is behind the head."""
        info = self.nodes.observer.info()
        return int(info["head_block_num"]) - int(info["last_irreversible_block_num"])

    def close(self) -> None:
        """End everything."""
        self.lab.close()


@pytest.fixture(params=ALONE)
def spring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spring]:
    """A settled group; at its end no slot was signed twice (P1). Skip where the real nodeos is not Spring."""
    if request.param != "simulated" and find_nodeos().spring_util is None:
        pytest.skip("the nodeos of the tests is not Spring")
    found = Spring(tmp_path, request.param)
    try:
        yield found
        assert found.nodes.doubles() == {}
    finally:
        found.close()


@pytest.mark.parametrize("spring", [*ALONE, FOUR, GATED], indirect=True)
def test_lost_host_with_the_active_key(spring: Spring) -> None:
    """The new leader's key becomes active, LIB follows, and nodeos signs long after the time-out for votes (P2)."""
    spring.a.lose_host()
    spring.nodes.nodes["bp-a"].kill()
    until(lambda: spring.b.leads, LIMIT_S, "bp-b to lead")
    leads_at = time.monotonic()
    until(
        lambda: spring.active == spring.key(spring.b), LIMIT_S, lambda: f"its key to be active: {spring.b.log_tail(20)}"
    )
    until(lambda: time.monotonic() > leads_at + 2 * VOTES_S, LIMIT_S, "two time-outs to be over")
    spring.signs(spring.b)
    until(lambda: spring.lag() < 10, LIMIT_S, "the last irreversible block to follow")
    assert "finalizer" in spring.b.log.read_text()


@pytest.mark.parametrize("spring", [*ALONE, FOUR], indirect=True)
def test_dead_standby_with_the_active_key(spring: Spring) -> None:
    """The standby's key is the active one and its nodeos is dead: the leader makes its own active, and goes on (P2)."""
    epoch = spring.a.status()["epoch"]
    finality, (_, standby) = spring.nodes.finality, spring.nodes.nodes.values()
    assert finality is not None
    spring.a.freeze()  # or it would make its own key active before the standby is dead
    subprocess.run(finality.command(standby), check=True, capture_output=True)
    until(lambda: spring.active == spring.key(spring.b), 4.0, "the standby's key to be active")
    standby.kill()
    spring.a.thaw()
    until(lambda: spring.active == spring.key(spring.a), LIMIT_S, lambda: f"the leader's key: {spring.a.log_tail(20)}")
    spring.signs(spring.a)
    until(lambda: spring.lag() < 10, LIMIT_S, "the last irreversible block to follow")
    assert spring.a.status()["epoch"] == epoch


@pytest.mark.parametrize("silent_s", [2 * VOTES_S, 36.0])
def test_votes_that_everybody_misses_change_no_leader(spring: Spring, silent_s: float) -> None:
    """The other finalizers are gone for a while: nodeos pauses itself, nobody else leads, and it goes on (P2, P3).

    They vote for no block that is older than 30 s, and this leader alone makes new ones: it is resumed now and then.
    """
    spring.nodes.observer.freeze()
    until(lambda: "votes of others are missing" in spring.a.log.read_text(), LIMIT_S, "the want of votes to be told")
    stands = spring.nodes.nodes["bp-a"].head
    time.sleep(silent_s)
    resumes = 1 + silent_s // STANDS_S
    assert spring.nodes.nodes["bp-a"].head - stands <= BLOCKS * resumes
    spring.nodes.observer.thaw()
    spring.signs(spring.a)
    until(lambda: spring.lag() < 10, LIMIT_S, lambda: f"the last irreversible block to follow: {spring.a.log_tail(20)}")
    assert spring.a.leads
    assert spring.signed(spring.b) == 0


@pytest.mark.parametrize("fault", ["pause_at_block", "no signature"])
def test_a_leader_that_signs_nothing_is_replaced(spring: Spring, fault: str) -> None:
    """`paused` stays false and nothing is signed: its slots tell, and the other one signs (P2)."""
    node = spring.nodes.nodes["bp-a"]
    if fault == "no signature":
        if spring.kind == "real":
            pytest.skip("a real one that gets no signature is that of a gate: test_vain")
        node.signal(signal.SIGUSR1)  # as with a gate that was killed: nodeos asks it in vain
    else:
        node.call("/v1/producer/pause_at_block", {"block_num": node.head + 2})
    until(lambda: spring.b.leads, LIMIT_S, lambda: f"bp-b to lead: {spring.told()}")
    spring.signs(spring.b)
