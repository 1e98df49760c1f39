"""A group as operators run it: real etcd, a real chain under load, an agent beside each producing node."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.lab import evidence
from tests.lab.agents import Agent, settled
from tests.lab.chain import PAUSED
from tests.lab.errors import LabError
from tests.lab.lab import GROUP, Lab
from tests.lab.nodeos import Node
from tests.lab.places import LOOPBACK
from tests.lab.process import Process
from tests.lab.wait import until

T = TypeVar("T")
ROOT = f"/nodeos-failover/{GROUP}/"
VALIDITY = 6.0
LIMIT = 25.0
WORDS = ("override", "maintenance", "switchover", "drain/")
SETTLE_LIMIT = 60.0
"""Seconds; a few on a quiet machine, more where agents and nodes start while others compute."""


def of_group(arguments: Sequence[str]) -> list[str]:
    """Return arguments of etcdctl; `@` at the start of one stands for the group's prefix."""
    return [ROOT + each[1:] if each.startswith("@") else each for each in arguments]


class Group:
    """A running group, for tests and benchmark. `start` returns once somebody leads and the chain moves.

    As a context it ends everything, and raises LabError when a slot was signed twice.
    Of `count` nodes that share the producer the first `agents` have an agent; `apart`: each hears its peers at an
    address of its own, away from etcd. `nodeos`: further words for every node. With `gate` the nodes that share the
    producer sign through gates (`chain.gates`); it may be a table of settings, e.g. of the mode.
    """

    def __init__(
        self,
        root: Path,
        etcd: int = 1,
        *,
        cuttable: bool = False,
        p2p: bool = False,
        simulated: bool = False,
        producers: int = 1,
        count: int = 2,
        gate: bool | Mapping[str, Any] = False,
        agents: int = 2,
        apart: bool = False,
        alone: Collection[str] = (),
        nodeos: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.governed = 0.0
        self.lab = Lab(root)
        try:
            self.etcd = self.lab.etcd(etcd)
            gated = bool(gate)
            self.chain = self.lab.chain(
                count,
                producers=producers,
                cuttable=p2p,
                simulated=simulated,
                gate=gated,
                alone=alone,
                more=nodeos,
            )
            if isinstance(gate, Mapping):
                settings["gate"] = dict(gate)
            self.agents = {}
            for number, (name, node) in enumerate(list(self.chain.nodes.items())[:agents], 1):
                hears = f"127.0.1.{number}" if apart else LOOPBACK.address
                self.agents[name] = self.lab.agent(node, self.etcd, cuttable=cuttable, hears=hears, **settings)
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self.never_twice()
        finally:
            self.close()

    @classmethod
    @contextmanager
    def running(cls, root: Path, etcd: int = 1, **more: Any) -> Iterator[Self]:
        """Make a group, start it, and end it with the block."""
        with cls(root, etcd, **more) as group:
            group.start()
            yield group

    def start(self) -> None:
        """Start the agents, the one that is to lead first: it adopts the node that booted the chain (R19).

        With gates all nodes are paused before, for what signs without the gate's leave is not adopted.
        """
        live, *others = self.chain.nodes.values()
        for node in (live, *others) if self.chain.gates else others:
            node.pause()
        for signer in self.chain.gates.values():
            signer.shut()
        for agent in self.agents.values():
            agent.start()
        self.settle()
        self.governed = self.governed or time.time()

    def settle(self) -> None:
        """Wait until one leads, the other is a healthy standby, and blocks come."""
        self.wait("a settled group", self.settled, SETTLE_LIMIT)
        self.chain.observer.wait_blocks(2)

    def heal(self) -> None:
        """Bring back what a test ended, froze, cut off or configured, take away what it said, and see the group well.

        The agents' logs begin anew.
        """
        for member in self.etcd.members:
            _bring_back(member)
        for name in self.lab.etcd_links:
            self.lab.heal_etcd(name)
        words = "".join(f"del {ROOT}{word} --prefix\n" for word in WORDS)
        self.etcd.etcdctl("txn", stdin=f"\n{words}\n\n")
        for agent in self.agents.values():
            if agent.log.exists():
                os.truncate(agent.log, 0)
            agent.thaw()
            agent.configure_anew()
            _bring_back(agent)
        for node in self.chain.nodes.values():
            node.thaw()
            if not node.running:
                self.wait("somebody to produce", lambda: any(agent.leads for agent in self.agents.values()))
                node.restart()
        for node in self.chain.nodes.values():
            if node.split_from(self.chain.observer):
                node.begin_anew(PAUSED)
        try:
            self._settle_level()
        except LabError:  # a nodeos of Leap may give up catching up for good: "Unable to continue syncing at this time"
            for agent in self.agents.values():
                if not agent.leads:
                    self.nodeos(agent).restart()
            self._settle_level()

    def _settle_level(self) -> None:
        self.settle()
        for node in self.chain.nodes.values():  # a node that was frozen may be behind, and yet well
            node.wait_level(self.chain.observer)

    def settled(self) -> bool:
        """Whether one leads, the other is a healthy standby, and both see both."""
        return settled(self.agents.values())

    @property
    def leader(self) -> Agent:
        """The agent that leads, once there is one."""
        return self.wait("a leader", lambda: next((a for a in self.agents.values() if a.running and a.leads), None))

    @property
    def standby(self) -> Agent:
        """The agent that does not."""
        leader = self.leader
        return next(agent for agent in self.agents.values() if agent is not leader)

    def nodeos(self, agent: Agent) -> Node:
        """Return the nodeos beside an agent."""
        return self.chain.nodes[agent.node]

    def etcdctl(self, *arguments: str) -> str:
        """Run the real etcdctl as an operator does, with the group's prefix for `@`."""
        return self.etcd.etcdctl(*of_group(arguments))

    def heartbeat(self) -> dict[str, Any]:
        """Return what stands in the key heartbeat."""
        text = self.etcdctl("get", "@heartbeat", "--print-value-only")
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def wait(self, what: str, check: Callable[[], T | None], limit: float = LIMIT) -> T:
        """Wait for a condition; the error tells the agents' stories."""
        try:
            return until(check, limit, what)
        except LabError as error:
            raise LabError(f"{error}\n{self.story()}") from None

    def wait_leads(self, agent: Agent, limit: float = LIMIT) -> None:
        """Wait until `agent` is the confirmed leader and its node's blocks reach the observer."""
        self.wait(f"{agent.node} to lead", lambda: agent.leads, limit)
        since = time.time()
        self.wait(f"{agent.node} to sign", lambda: evidence.first_after(self.chain.signed(), agent.node, since))

    def wait_signs(self, agent: Agent, since: float) -> float:
        """Wait until `agent` leads; return how many seconds after `since` its node signed its first block."""
        self.wait_leads(agent)
        first = evidence.first_after(self.chain.signed(), agent.node, since)
        assert first is not None
        return first.wall - since

    def never_twice(self) -> None:
        """Raise LabError when a slot was signed twice (P1): what all this is for.

        Not before every agent governed its node: the first node signs from the start of the chain, and the agent beside
        it may be the later one to come up.
        """
        found = self.chain.doubles()
        doubles = {slot: made for slot, made in found.items() if max(each.wall for each in made) >= self.governed}
        if doubles:
            raise LabError(f"slots signed twice: {doubles}\n{self.story()}")

    def story(self) -> str:
        """Return the ends of the agents' logs, for the message of a failure."""
        return "\n".join(f"--- {agent.name}\n{_log(agent)}" for agent in self.agents.values())

    def close(self) -> None:
        """End everything."""
        self.lab.close()


def _bring_back(process: Process) -> None:
    process.thaw()
    if not process.running:
        process.start()


def _log(agent: Agent) -> str:
    if not agent.log.exists():
        return ""
    lines = [line for line in agent.log.read_text(errors="replace").splitlines() if "http_server" not in line]
    return "\n".join(lines[-60:])
