"""The method that is ours: an agent beside each node, over an etcd of three members."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agent.config.protocol import SHORT
from agent.core.node.plan import SOON
from tests.lab.agents import Agent, settled
from tests.lab.bench.field import HOSTS, MEMBERS, Field
from tests.lab.bench.method import Fault
from tests.lab.chain import OBSERVER
from tests.lab.etcd import EtcdCluster, EtcdMember, EtcdOptions
from tests.lab.group import ROOT
from tests.lab.lab import settings_of
from tests.lab.wait import until

FRESH_S = 1.0
"""A confirmation is fresh when less than so many seconds of E have gone: twice R."""
SETTLED_S = 70.0
"""What was released before another method produced is taken for a restored snapshot, which is waited out (R20)."""
STEADY_S = 2.5
"""For so long a fault that is to change nothing is watched at least; then the lead must be confirmed freshly."""


class Agents:
    """Two agents. Their etcd runs while they do. `members`: the places where its members run."""

    patience = 40.0

    def __init__(
        self,
        field: Field,
        name: str,
        title: str,
        settings: Mapping[str, Any],
        *,
        election_ms: int,
        validity: float,
        members: Sequence[str] = MEMBERS,
    ) -> None:
        self.name, self.title = name, title
        self._field, self._validity = field, validity
        options = EtcdOptions(
            size=3,
            election_ms=election_ms,
            heartbeat_ms=election_ms // 10,
            places={each: field.place(place) for each, place in zip(MEMBERS, members, strict=True)},
            desk=field.place(OBSERVER),
        )
        self.etcd = EtcdCluster(field.root / f"etcd-{name}", field.ports, options)
        field.closing.callback(self.etcd.close)
        self.agents = {host: self._agent(host, settings) for host in HOSTS}
        self._since = 0.0
        node, cut = field.node, field.spaces is not None
        self.faults: Mapping[str, Fault] = {
            "planned": Fault(self._hand_over),
            "nodeos-killed": Fault(lambda host: node(host).kill()),
            "nodeos-frozen": Fault(lambda host: node(host).freeze()),
            "nodeos-restarted": Fault(lambda host: node(host).restart()),
            "agent-restarted": Fault(self._restart, changes=False, over=self._steady),
            "agent-killed": Fault(lambda host: self.agents[host].kill()),
            "host-lost": Fault(self._lose),
            **({"host-cut": Fault(field.cut)} if cut else {}),
            "etcd-leader-killed": Fault(lambda _: self._leader().kill(), changes=False, over=self._steady),
            "etcd-leader-frozen": Fault(lambda _: self._leader().freeze(), changes=False, over=self._steady),
            "etcd-member-lost": Fault(self._kill_other, changes=False, over=self._steady),
        }

    def _agent(self, host: str, settings: Mapping[str, Any]) -> Agent:
        node = self._field.node(host)
        base = settings_of(node, self._field.chain.producer, self.etcd.urls)
        whole = {**base, "log": {"level": "info", "format": "json"}, **settings}
        root = self._field.root / f"agent-{self.name}-{host}"
        agent = Agent(whole, root, self._field.ports.take(), place=node.place)
        self._field.closing.callback(agent.close)
        return agent

    # --- the method ---

    def start(self) -> None:
        """Start etcd and both agents."""
        self.etcd.start()
        self.mend()

    def stop(self) -> None:
        """End both agents, each with a proven pause, then etcd."""
        for agent in self.agents.values():
            agent.stop(grace=8.0)
        self._field.pause_all()
        for member in self.etcd.members:
            member.stop()

    def mend(self) -> None:
        """Start what is down, and wait for a leader and a standby that are both well."""
        self._field.heal()
        for member in self.etcd.members:
            self._mend_member(member)
        self._field.mend_nodes()
        for agent in self.agents.values():
            if not agent.running:
                agent.start()
        self._field.wait("a settled group", self._settled, SETTLED_S)

    def _mend_member(self, member: EtcdMember) -> None:
        member.thaw()
        if not member.running:
            member.start()
            self.etcd.wait_ready(member)

    def _settled(self) -> bool:
        """Tell whether the group is as one that nothing happens to: its leader has led for longer than `SOON`.

        A leader that fails sooner, again and again, keeps the lead for a while, since all are held down.
        """
        agents = self.agents.values()
        alone = self._field.spaces is None
        long = any(agent.status()["phase_since_s"] * 1000 > SOON for agent in agents if agent.leads)
        return settled(agents) and long and (alone or all(agent.status()["peers"]["named"] for agent in agents))

    def producing(self) -> str | None:
        """Return who leads."""
        found = [host for host, agent in self.agents.items() if agent.running and agent.leads]
        return found[0] if len(found) == 1 else None

    def story(self) -> str:
        """Return the ends of the agents' logs."""
        return "\n".join(f"--- {agent.name}\n{agent.log_tail(40)}" for agent in self.agents.values())

    # --- faults ---

    def _hand_over(self, host: str) -> None:
        self.etcd.etcdctl("put", f"{ROOT}leader", self._field.other(host))

    def _restart(self, host: str) -> None:
        self._since = time.monotonic()
        self.agents[host].signal(signal.SIGUSR2)  # as the unit does at `systemctl restart`
        self._field.wait("the end of the agent", lambda: not self.agents[host].running)
        self.agents[host].start()

    def _lose(self, host: str) -> None:
        self.agents[host].lose_host()  # first: an agent that sees its nodeos die hands over in milliseconds
        self._field.node(host).signal(signal.SIGKILL)

    def _leader(self) -> EtcdMember:
        leader = until(self.etcd.leader, 10.0, "etcd's leader")
        self._since = time.monotonic()
        return leader

    def _kill_other(self, _host: str) -> None:
        leader = self._leader()
        next(member for member in self.etcd.members if member is not leader).kill()

    def _steady(self, host: str) -> bool:
        """Tell whether somebody leads with a confirmation that began after the fault."""
        if time.monotonic() - self._since < STEADY_S:
            return False
        found = self.agents[host].status()
        if found.get("phase") != "leading":
            return self.producing() not in (None, host)
        lasts = min(self._validity, SHORT / 1000) if found["peers"]["named"] else self._validity
        return float(found.get("validity_left_s") or 0) > lasts - FRESH_S
