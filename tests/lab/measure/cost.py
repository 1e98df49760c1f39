"""What an idle agent costs: processor, memory, threads, requests, bytes.

A real group of two (leader and standby), then one of five, idles for a while. Processor and memory are what the kernel
counts of agent and guard, requests what the agent counts, bytes what passes the proxies before etcd (for nodeos: the
bytes of one call of each kind, times the calls). etcd's own count of requests stands below, for comparison. Last,
beside the first group, runs a *floor*: the calls of its leader, made bare (`tests.lab.measure.floor`), and those of one
with peers off, who asks etcd four times as often.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.lab.figures import markdown
from tests.lab.measure import Found, floor, say
from tests.lab.measure.idle import Bytes, IdleGroup, Reading
from tests.lab.measure.usage import Usage, usage
from tests.lab.proxy import BOTH
from tests.lab.wait import until

START_S = 20.0
WARM_S = 15.0
"""Seconds from a settled group to the first reading: by then what comes once has come."""
_HANDLED = re.compile(r'grpc_server_handled_total\{grpc_code="\w+",grpc_method="(\w+)".*\} (\S+)')
HEADS = (
    "group",
    "role",
    "CPU, % of a core",
    "RSS, MB",
    "PSS, MB",
    "own, MB",
    "threads",
    "descriptors",
    "etcd requests/s",
    "nodeos requests/s",
    "etcd bytes/s out, in",
    "nodeos bytes/s out, in",
)
Label = tuple[str, str, str]
"""Group, node, role."""
ALONE = {"etcd txn": 2.5, "etcd keepalive": 0.3, "etcd range": 0.06}
"""Requests to etcd a second of a leader with peers off (measured): confirmations each R, a report in 2 s, the lease."""
AIMS = {"cpu": 1.0, "rss": 60.0, "leader": 0.6, "standby": 0.4}
"""% of a core, MB (10^6 bytes) and requests to etcd a second that agent and guard should stay below."""


@dataclass(frozen=True)
class Used:
    """What a process used over a span. cpu: % of a core; rss, pss, own: MB (10^6 bytes), at its end, as the rest."""

    cpu: float
    rss: float
    pss: float
    own: float
    threads: int
    descriptors: int


def used(before: Usage, after: Usage, seconds: float) -> Used:
    """Return what a process used between two looks."""
    rss, pss, own = (kib * 1024 / 1e6 for kib in (after.rss_kib, after.pss_kib, after.own_kib))
    cpu = (after.cpu_s - before.cpu_s) / seconds * 100
    return Used(cpu, rss, pss, own, after.threads, after.descriptors)


@dataclass(frozen=True)
class Cost:
    """One agent over one span. `requests` and `passed` (bytes, out and in, to 'etcd' and to 'nodeos'): a second."""

    group: str
    node: str
    role: str
    seconds: float
    agent: Used
    guard: Used
    requests: Mapping[str, float]
    passed: Mapping[str, tuple[float, float]]

    def per_second(self, whom: str) -> float:
        """Return all requests a second to 'etcd' or 'nodeos'."""
        return sum(count for name, count in self.requests.items() if name.startswith(whom))


def cost(label: Label, before: Reading, after: Reading, calls: Mapping[str, Bytes], seconds: float) -> Cost:
    """Return what an agent cost between two readings, `seconds` apart; `calls`: the bytes of a call to nodeos."""
    asked = Counter(after.requests) - Counter(before.requests)
    requests = {f"{whom} {what}": count / seconds for (whom, what), count in asked.items()}
    to_nodeos = {what: count / seconds for (whom, what), count in asked.items() if whom == "nodeos"}
    passed = {
        "etcd": [(after.etcd[way] - before.etcd[way]) / seconds for way in BOTH],
        "nodeos": [sum(calls[what][way] * count for what, count in to_nodeos.items()) for way in BOTH],
    }
    agent, guard = used(before.agent, after.agent, seconds), used(before.guard, after.guard, seconds)
    return Cost(*label, seconds, agent, guard, requests, {whom: (out, into) for whom, (out, into) in passed.items()})


def handled(group: IdleGroup) -> Counter[str]:
    """Return the calls that the members of etcd have answered so far, by gRPC method."""
    found: Counter[str] = Counter()
    for member in group.etcd.members:
        connection = HTTPConnection(member.endpoint, timeout=5)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        for method, count in _HANDLED.findall(text):
            found[method] += int(float(count))
    return found


def measure_floor(group: IdleGroup, rates: Mapping[str, float], seconds: float) -> Used:
    """Have calls made bare beside the leader's nodeos, `rates` a second by kind. LabError when they do not begin."""
    nodeos, port = group.nodeos(group.leader).http_url, group.lab.ports.take()
    process = floor.child(group.lab.root, group.etcd.members[0].endpoint, nodeos, port, rates)
    process.start()
    try:
        until(lambda: floor.READY in process.log.read_text(), START_S, "the floor's first calls")
        time.sleep(WARM_S)
        before, begin = usage(process.pid), time.monotonic()
        time.sleep(seconds)
        return used(before, usage(process.pid), time.monotonic() - begin)
    finally:
        process.close()


def idled(
    root: Path, size: int, seconds: float, python: Path | None, label: str, *, with_floor: bool
) -> tuple[list[Cost], dict[str, float], dict[str, Used]]:
    """Let a group of `size` idle for `seconds`; return the cost of each agent, and etcd's own count of calls a second.

    `with_floor`: return what a leader's calls cost bare, too. LabError when the group does not settle, or the leader
    changes meanwhile.
    """
    with IdleGroup(root, size, python) as group:
        group.start()
        time.sleep(WARM_S)
        leader, calls, begin = group.leader, handled(group), time.monotonic()
        first = {agent.node: (time.monotonic(), group.read(agent)) for agent in group.agents.values()}
        time.sleep(seconds)
        found, bytes_of = [], group.bytes_of_calls()
        for agent in group.agents.values():
            at, before = first[agent.node]
            role = "leader" if agent is leader and agent.leads else "standby"
            found.append(cost((label, agent.node, role), before, group.read(agent), bytes_of, time.monotonic() - at))
        span = time.monotonic() - begin
        answered = {name: count / span for name, count in (handled(group) - calls).items()}
        leading = next((each.requests for each in found if each.role == "leader"), None)
        bare = {}
        if with_floor and leading:
            asked = {name: rate for name, rate in leading.items() if name.startswith("nodeos")}
            for calls_of, rates in {"the leader's calls": leading, "calls with peers off": {**asked, **ALONE}}.items():
                bare[calls_of] = measure_floor(group, rates, seconds)
        return found, answered, bare


def table(found: Sequence[Cost]) -> str:
    """Return the figures as Markdown: memory in MB (10^6 bytes), guard behind the plus sign."""
    rows = [
        [
            each.group,
            each.role,
            f"{each.agent.cpu:.2f} + {each.guard.cpu:.2f}",
            *(f"{getattr(each.agent, name):.1f} + {getattr(each.guard, name):.1f}" for name in ("rss", "pss", "own")),
            f"{each.agent.threads} + 1",
            str(each.agent.descriptors),
            *(f"{each.per_second(whom):.2f}" for whom in ("etcd", "nodeos")),
            *("{:.0f}, {:.0f}".format(*each.passed[whom]) for whom in ("etcd", "nodeos")),
        ]
        for each in found
    ]
    return markdown(HEADS, rows)


def told_floor(calls: str, bare: Used) -> str:
    """Return the floor in words."""
    return (
        f"{calls} made bare: {bare.cpu:.2f} % of a core, RSS {bare.rss:.1f} MB, PSS {bare.pss:.1f}, "
        f"own {bare.own:.1f}, {bare.threads} threads"
    )


def kinds(found: Sequence[Cost]) -> str:
    """Return the requests a second by kind, one line for each agent."""
    return "".join(
        f"{each.group}, {each.role} {each.node}: "
        + ", ".join(f"{name} {count:.2f}" for name, count in sorted(each.requests.items()))
        + "\n"
        for each in found
    )


def misses(found: Sequence[Cost]) -> list[str]:
    """Return which aims were missed, and by how much."""
    said = []
    for each in found:
        checks = {
            "% of a core": (each.agent.cpu + each.guard.cpu, AIMS["cpu"]),
            "MB of RSS": (each.agent.rss, AIMS["rss"]),
            "etcd requests/s": (each.per_second("etcd"), AIMS[each.role]),
        }
        said += [
            f"{each.group}, {each.role} {each.node}: {value:.2f} {what}, the aim is {aim:g}"
            for what, (value, aim) in checks.items()
            if value > aim
        ]
    return said


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each group is measured (default 60)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 5], help="agents in a group (default 2 5)")
    parser.add_argument("--other", type=Path, help="interpreter of another checkout, measured in turn with this one")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is an aim that was missed."""
    found: list[Cost] = []
    floors: dict[str, Used] = {}
    for size in chosen.sizes:
        for python in [chosen.other, None] if chosen.other else [None]:
            label = f"{size} agents" + (", other" if python else "")
            first = size == chosen.sizes[0] and python is None
            costs, calls, bare = idled(
                root / label.replace(" ", "-"), size, chosen.seconds, python, label, with_floor=first
            )
            found += costs
            floors |= bare
            told = ", ".join(f"{name} {count:.2f}" for name, count in sorted(calls.items()))
            say(f"{label}: etcd answered, a second, to the whole group: {told}")
    text = "\n".join([table(found), "", *(told_floor(*each) for each in floors.items()), kinds(found)])
    bare_figures = [{"role": f"{calls}, bare", "agent": asdict(each)} for calls, each in floors.items()]
    figures = [*(asdict(each) for each in found), *bare_figures]
    return Found(text, figures, misses(found))
