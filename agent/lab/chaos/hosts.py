"""One host of the group: what runs on it, how it reaches etcd, and by what means its faults are made."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from agent.lab.agents import Agent
from agent.lab.chaos.links import Link, ProxyLink, SpaceLink
from agent.lab.chaos.parts import CutEtcd, FakeClock, signal_guards
from agent.lab.chaos.plan import MEMBERS
from agent.lab.nodeos import Node
from agent.lab.ports import Ports
from agent.lab.proxy import HOST, Proxies, Proxy
from agent.lab.spaces import Spaces


@dataclass
class Host:
    """An agent with its guard, and a nodeos; every way to others is a link. `node_clock`: nodeos's wall clock."""

    name: str
    node: Node
    agent: Agent
    etcd_links: list[Link]
    clock: FakeClock | None
    node_clock: FakeClock | None
    launching: threading.Lock = field(default_factory=threading.Lock)

    def signal_guards(self, number: signal.Signals) -> int:
        """Send a signal to the agent's guard; return to how many, there may be an old one."""
        return signal_guards(self.agent.runtime_dir, number)


def reach_etcd(
    name: str, etcd: CutEtcd, spaces: Spaces | None, ports: Ports, closing: ExitStack
) -> tuple[list[str], list[Link]]:
    """Return what a host's agent calls to reach etcd, and the ways there."""
    if spaces is not None:
        return etcd.urls, [SpaceLink(spaces, [(name, other)], [(other, name)]) for other in MEMBERS]
    proxies = [Proxy(ports.take(), int(member.endpoint.rpartition(":")[2])) for member in etcd.members]
    closing.callback(Proxies(proxies).close)
    return [f"http://{HOST}:{proxy.port}" for proxy in proxies], [ProxyLink(proxy) for proxy in proxies]


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
    found["clock jumps"] = f"libfaketime, of {' and '.join(jumping)}" if jumping else "LEFT OUT: no libfaketime here"
    return found
