"""One host of the group: what runs on it, how it reaches etcd, and by what means its faults are made."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.agents import Agent
from tests.lab.binaries import find_nodeos
from tests.lab.chaos.kinds import MEMBERS
from tests.lab.chaos.liar import Liar
from tests.lab.chaos.links import Link, ProxyLink, SpaceLink
from tests.lab.chaos.parts import CutEtcd, FakeClock
from tests.lab.gates import SigningGate, refusals
from tests.lab.lab import GROUP
from tests.lab.nodeos import Node
from tests.lab.places import LOOPBACK
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.proxy import HOST, Proxy
from tests.lab.spaces import Spaces


@dataclass
class Host:
    """An agent with its guard, and a nodeos; every way to others is a link. `node_clock`: nodeos's wall clock.

    With a gate it has a keosd, too, and its agent asks the producer API through a proxy that can lie.
    """

    name: str
    node: Node
    agent: Agent
    etcd_links: list[Link]
    clock: FakeClock | None
    node_clock: FakeClock | None
    gate: SigningGate | None = None
    liar: Liar | None = None
    launching: threading.Lock = field(default_factory=threading.Lock)

    def processes(self) -> dict[str, Process]:
        """Return what the lab itself started there, by what it is; the guard is the agent's."""
        found: dict[str, Process] = {"agent": self.agent, "nodeos": self.node}
        if self.gate is not None:
            found |= {"gate": self.gate.process, "keosd": self.gate.wallet.process}
        return found


def reach_etcd(
    name: str, etcd: CutEtcd, spaces: Spaces | None, ports: Ports, closing: ExitStack
) -> tuple[list[str], list[Link]]:
    """Return what a host's agent calls to reach etcd, and the ways there."""
    if spaces is not None:
        return etcd.urls, [SpaceLink(spaces, [(name, other)], [(other, name)]) for other in MEMBERS]
    proxies = [Proxy(ports.take(), int(member.endpoint.rpartition(":")[2])) for member in etcd.members]
    for proxy in proxies:
        closing.callback(proxy.close)
    return [f"http://{HOST}:{proxy.port}" for proxy in proxies], [ProxyLink(proxy) for proxy in proxies]


def make_gate(at: Path, name: str, ports: Ports, spaces: Spaces | None) -> SigningGate:
    """Return a host's gate with its keosd, not started. `at`: the directory of its agent."""
    place = spaces.places[name] if spaces else LOOPBACK
    return SigningGate(at / "gate", (GROUP, name), at / "run", ports, find_nodeos(), place, mode="required")


def means(hosts: Sequence[Host], etcd: CutEtcd, lacks: Sequence[str]) -> dict[str, str]:
    """Tell by what faults are made here, and what is left out for want of something."""
    clocks = {"agents": [host.clock for host in hosts], "nodeos": [host.node_clock for host in hosts]}
    jumping = [name for name, found in clocks.items() if all(found)]
    found = {
        "network": "a network namespace a host, cuts as rules of a router between them",
        "delay and loss": "packets held back or dropped by the lab, on a tun device",
    }
    if lacks:
        found["network"] = f"proxies on loopback ({'; '.join(lacks)}): a link that was cut is reset when it heals"
        found["delay and loss"] = "delay by proxies; loss LEFT OUT"
    found["slow disk"] = "fsync of an etcd held up (seccomp)" if etcd.disks else "LEFT OUT: no seccomp_unotify here"
    if refused := [refusals(host.gate.process.log) for host in hosts if host.gate is not None]:
        sums = ", ".join(f"{reason} {count}" for reason, count in sum(refused, Counter()).most_common())
        found["signing gates"] = f"required; signatures refused at the least: {sums or 'none'}"
        found["a pause that lies"] = "a proxy of the lab before the producer API answers ok, and swallows it"
    found["clock jumps"] = f"libfaketime, of {' and '.join(jumping)}" if jumping else "LEFT OUT: no libfaketime here"
    return found
