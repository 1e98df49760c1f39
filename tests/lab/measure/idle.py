"""A group that only idles, whose every byte is counted: real etcd of three, a real nodeos for each agent. Nothing else.

Each agent hears its peers at an address of its own, away from etcd: a member beside etcd's leader would not be named.
Each agent reaches etcd through proxies of its own, which count. It would not take a proxy for its nodeos, rightly; so
the calls that it makes there are made once more from here, through a proxy, to know their bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.errors import NodeosAnswer
from agent.nodeos.client import HttpNodeos
from tests.lab.agents import Agent
from tests.lab.group import Group
from tests.lab.measure.usage import Usage, usage
from tests.lab.proxy import Direction, Proxy

CALL_S = 5.0
_SERIES = re.compile(r"(\w+)\{([^}]*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_COUNTED = {
    "nodeos_failover_etcd_requests_total": ("etcd", "operation"),
    "nodeos_failover_nodeos_requests_total": ("nodeos", "endpoint"),
}
Bytes = Counter[Direction]


@dataclass(frozen=True)
class Reading:
    """One agent at one moment; the counts are since its start. `requests`: by (to whom, what)."""

    agent: Usage
    guard: Usage
    requests: Mapping[tuple[str, str], float]
    etcd: Bytes


def requests_of(text: str) -> Counter[tuple[str, str]]:
    """Return the requests that an agent's metrics tell of, by (to whom, what)."""
    found: Counter[tuple[str, str]] = Counter()
    for name, labels, value in _SERIES.findall(text):
        if name in _COUNTED:
            whom, label = _COUNTED[name]
            found[whom, dict(_LABEL.findall(labels))[label]] += int(float(value))
    return found


class IdleGroup(Group):
    """`count` agents, each beside a real nodeos.

    `python`: the interpreter that runs the agents, so that another checkout of the product can be measured.
    """

    def __init__(self, root: Path, count: int, python: Path | None = None) -> None:
        nodeos = ("--http-validate-host", "false")  # else it refuses a proxy's port
        log = {"level": "info"}
        super().__init__(root, 3, count=count, agents=count, cuttable=True, apart=True, nodeos=nodeos, log=log)
        for agent in self.agents.values() if python is not None else ():
            agent.command[0] = str(python)

    def read(self, agent: Agent) -> Reading:
        """Read all that is counted of one agent. LabError when it does not answer for long: the machine may be busy."""
        guard = self.wait(f"a guard of {agent.name}", agent.guard_pid)
        text = self.wait(f"metrics of {agent.name}", lambda: agent.get("/metrics")[1])
        links = self.lab.etcd_links[agent.node]
        return Reading(
            usage(agent.pid),
            usage(guard),
            requests_of(text.decode()),
            total(proxy.passed for proxy in links),
        )

    def bytes_of_calls(self) -> dict[str, Bytes]:
        """Return the bytes of each call that an idle agent makes to nodeos, by the name that its metrics use."""
        proxy = Proxy(self.lab.ports.take(), self.nodeos(self.leader).spec.http)
        try:
            nodeos = HttpNodeos(f"http://127.0.0.1:{proxy.port}")
            head = nodeos.info(CALL_S).head_num
            calls: dict[str, Callable[[], object]] = {
                "paused": lambda: nodeos.paused(CALL_S),
                "get_info": lambda: nodeos.info(CALL_S),
                "connections": lambda: nodeos.peers(CALL_S),
                "get_producer_schedule": lambda: nodeos.schedule(CALL_S),
                "get_block": lambda: nodeos.block(head, CALL_S),
                "get_finalizer_info": partial(_unknown, lambda: nodeos.finality(CALL_S)),
            }
            found = {}
            for name, ask in calls.items():
                before = Counter(proxy.passed)
                ask()
                found[name] = Counter(proxy.passed) - before
            return found
        finally:
            proxy.close()


def _unknown(ask: Callable[[], object]) -> None:
    """Ask what nodeos before Spring does not know."""
    with suppress(NodeosAnswer):
        ask()


def total(counts: Iterable[Bytes]) -> Bytes:
    """Return the sum of several counts."""
    found: Bytes = Counter()
    for each in counts:
        found.update(each)
    return found
