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
class Cost:
    """One agent over one span. cpu: % of a core; rss, pss, own: MB (10^6 bytes); requests and bytes: a second."""

    group: str
    node: str
    role: str
    seconds: float
    cpu: float
    guard_cpu: float
    rss: float
    pss: float
    own: float
    guard_rss: float
    guard_pss: float
    guard_own: float
    threads: int
    descriptors: int
    requests: Mapping[str, float]
    etcd_up: float
    etcd_down: float
    nodeos_up: float
    nodeos_down: float

    def per_second(self, whom: str) -> float:
        """Return all requests a second to 'etcd' or 'nodeos'."""
        return sum(count for name, count in self.requests.items() if name.startswith(whom))


def cost(label: Label, before: Reading, after: Reading, calls: Mapping[str, Bytes], seconds: float) -> Cost:
    """Return what an agent cost between two readings, `seconds` apart; `calls`: the bytes of a call to nodeos."""

    def megabytes(kib: int) -> float:
        return kib * 1024 / 1e6

    requests = {
        f"{whom} {what}": (count - before.requests.get((whom, what), 0)) / seconds
        for (whom, what), count in after.requests.items()
        if count > before.requests.get((whom, what), 0)
    }
    asked = {name.removeprefix("nodeos "): count for name, count in requests.items() if name.startswith("nodeos ")}
    return Cost(
        *label,
        seconds,
        (after.agent.cpu_s - before.agent.cpu_s) / seconds * 100,
        (after.guard.cpu_s - before.guard.cpu_s) / seconds * 100,
        megabytes(after.agent.rss_kib),
        megabytes(after.agent.pss_kib),
        megabytes(after.agent.own_kib),
        megabytes(after.guard.rss_kib),
        megabytes(after.guard.pss_kib),
        megabytes(after.guard.own_kib),
        after.agent.threads,
        after.agent.descriptors,
        requests,
        (after.etcd["to_server"] - before.etcd["to_server"]) / seconds,
        (after.etcd["to_client"] - before.etcd["to_client"]) / seconds,
        sum(calls[what]["to_server"] * count for what, count in asked.items()),
        sum(calls[what]["to_client"] * count for what, count in asked.items()),
    )


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


@dataclass(frozen=True)
class Floor:
    """What `calls` of a leader cost when made bare. cpu: % of a core; rss, pss, own: MB (10^6 bytes)."""

    calls: str
    cpu: float
    rss: float
    pss: float
    own: float
    threads: int


def measure_floor(group: IdleGroup, calls: str, rates: Mapping[str, float], seconds: float) -> Floor:
    """Have `calls` made bare beside the leader's nodeos, `rates` a second by kind. LabError when they do not begin."""
    nodeos, port = group.nodeos(group.leader).http_url, group.lab.ports.take()
    process = floor.child(group.lab.root, group.etcd.members[0].endpoint, nodeos, port, rates)
    process.start()
    try:
        until(lambda: floor.READY in process.log.read_text(), START_S, "the floor's first calls")
        time.sleep(WARM_S)
        before, begin = usage(process.pid), time.monotonic()
        time.sleep(seconds)
        return _floor(calls, before, usage(process.pid), time.monotonic() - begin)
    finally:
        process.close()


def _floor(calls: str, before: Usage, after: Usage, seconds: float) -> Floor:
    rss, pss, own = (each * 1024 / 1e6 for each in (after.rss_kib, after.pss_kib, after.own_kib))
    return Floor(calls, (after.cpu_s - before.cpu_s) / seconds * 100, rss, pss, own, after.threads)


def idled(
    root: Path, size: int, seconds: float, python: Path | None, label: str, *, with_floor: bool
) -> tuple[list[Cost], dict[str, float], list[Floor]]:
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
        bare = []
        if with_floor and leading:
            asked = {name: rate for name, rate in leading.items() if name.startswith("nodeos")}
            for calls_of, rates in (("the leader's calls", leading), ("calls with peers off", {**asked, **ALONE})):
                bare.append(measure_floor(group, calls_of, rates, seconds))
        return found, answered, bare


def table(found: Sequence[Cost]) -> str:
    """Return the figures as Markdown: memory in MB (10^6 bytes), guard behind the plus sign."""
    rows = [
        [
            each.group,
            each.role,
            f"{each.cpu:.2f} + {each.guard_cpu:.2f}",
            f"{each.rss:.1f} + {each.guard_rss:.1f}",
            f"{each.pss:.1f} + {each.guard_pss:.1f}",
            f"{each.own:.1f} + {each.guard_own:.1f}",
            f"{each.threads} + 1",
            str(each.descriptors),
            *(f"{each.per_second(whom):.2f}" for whom in ("etcd", "nodeos")),
            f"{each.etcd_up:.0f}, {each.etcd_down:.0f}",
            f"{each.nodeos_up:.0f}, {each.nodeos_down:.0f}",
        ]
        for each in found
    ]
    return markdown(HEADS, rows)


def told_floor(bare: Floor) -> str:
    """Return the floor in words."""
    return (
        f"{bare.calls} made bare: {bare.cpu:.2f} % of a core, RSS {bare.rss:.1f} MB, PSS {bare.pss:.1f}, "
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
            "% of a core": (each.cpu + each.guard_cpu, AIMS["cpu"]),
            "MB of RSS": (each.rss, AIMS["rss"]),
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
    floors: list[Floor] = []
    for size in chosen.sizes:
        for python in [chosen.other, None] if chosen.other else [None]:
            label = f"{size} agents" + (", other" if python else "")
            first = size == chosen.sizes[0] and python is None
            costs, calls, bare = idled(
                root / label.replace(" ", "-"), size, chosen.seconds, python, label, with_floor=first
            )
            found += costs
            floors += bare
            told = ", ".join(f"{name} {count:.2f}" for name, count in sorted(calls.items()))
            say(f"{label}: etcd answered, a second, to the whole group: {told}")
    text = "\n".join([table(found), "", *map(told_floor, floors), kinds(found)])
    figures = [asdict(each) for each in found] + [{"role": f"{each.calls}, bare", **asdict(each)} for each in floors]
    return Found(text, figures, misses(found))
