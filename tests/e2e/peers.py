"""A group of two agents that are each other's peers, and the slots it missed, with real parts (R13 to R17)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.bench.agents import Agents
from tests.lab.bench.field import HOSTS, MEMBERS, Field
from tests.lab.etcd import EtcdMember
from tests.lab.group import ROOT

E_S, E = 2.0, 6.0
SHORT_TTL = 10
NAMED_S = 20.0
"""A member is named a second after it was heard; on a busy machine the group settles within this."""


@contextmanager
def namespaces(root: Path) -> Iterator[Field]:
    """Yield a chain whose hosts are namespaces; skip the tests where they are not allowed."""
    made = Field(root)
    try:
        if made.lacks:
            pytest.skip(made.lacks)
        yield made
    finally:
        made.close()


class Peers:
    """Two agents that are each other's peers. `beside`: each of their hosts runs a member of etcd too."""

    def __init__(self, field: Field, mode: str, *, beside: bool = False) -> None:
        self.field = field
        settings: dict[str, Any] = {"peers": {"mode": mode}}
        if mode == "failsafe":
            settings["timing"] = {"lease_ttl": SHORT_TTL}  # so that it is over before etcd is back
        name, members = (f"beside-{mode}", [*HOSTS, MEMBERS[2]]) if beside else (f"peers-{mode}", MEMBERS)
        self.agents = Agents(field, name, "agent", settings, election_ms=1000, validity=E, members=members)
        if beside:
            self.settle()
        else:
            self.agents.start()
        self.named()

    @property
    def leader(self) -> Agent:
        """The agent that leads."""
        host = self.field.wait("a leader", self.agents.producing)
        return self.agents.agents[host]

    @property
    def standby(self) -> Agent:
        """The one that does not."""
        return self.agents.agents[self.field.other(self.leader.node)]

    def heartbeat(self) -> dict[str, Any]:
        """Read the heartbeat."""
        found: dict[str, Any] = json.loads(self.agents.etcd.etcdctl("get", f"{ROOT}heartbeat", "--print-value-only"))
        return found

    def named(self) -> None:
        """Wait until the heartbeat names the standby, with the short validity."""
        self.field.wait("a heartbeat that names the standby", lambda: bool(self.heartbeat().get("peers")), NAMED_S)

    def settle(self) -> None:
        """Mend, with etcd's leader on the third member first: one that is beside a standby leaves it unnamed."""
        self.field.heal()
        self.agents.etcd.start()
        self.agents.etcd.move_leader(self.agents.etcd.members[2])
        self.agents.mend()
        self.named()

    def unnamed(self) -> None:
        """Wait until the heartbeat names nobody, and has the long validity."""
        self.field.wait("a heartbeat that names nobody", lambda: not self.heartbeat().get("peers"), NAMED_S)
        assert self.heartbeat()["validity_ms"] == 1000 * E

    def member_on(self, host: str) -> EtcdMember:
        """Return the member of etcd that runs on a host; with `beside` only."""
        return self.agents.etcd.members[HOSTS.index(host)]

    def lose(self, host: str) -> None:
        """Lose a host with its member of etcd at once: no answer comes from it any more, not even a refusal."""
        self.field.cut(host)
        self.member_on(host).signal(signal.SIGKILL)
        self.agents.faults["host-lost"].act(host)

    def confirmed_anew(self) -> None:
        """Wait until etcd has confirmed the lead three times from now on."""
        seq = self.heartbeat()["seq"]
        self.field.wait("three confirmations", lambda: self.heartbeat()["seq"] >= seq + 3)

    @contextmanager
    def no_quorum(self) -> Iterator[None]:
        """Freeze two members of etcd meanwhile."""
        frozen = self.agents.etcd.members[:2]
        for member in frozen:
            member.freeze()
        try:
            yield
        finally:
            for member in frozen:
                member.thaw()


class Count:
    """Slots missed and signed twice since it was made."""

    def __init__(self, field: Field) -> None:
        self._field = field
        field.chain.observer.wait_blocks()
        field.blocks.look()
        self._head, self._twice = field.chain.observer.head, field.blocks.twice

    def missed(self) -> int:
        """Return how many own slots have no block, up to the head."""
        observer = self._field.chain.observer
        observer.wait_blocks(2)
        return sum(count for _, count in evidence.gaps(evidence.headers(observer, self._head, observer.head)))

    def never_twice(self) -> None:
        """No slot was signed twice (P1)."""
        self._field.blocks.look()
        assert self._field.blocks.twice == self._twice
