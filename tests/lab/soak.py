"""A soak: a failover every 30 s for half an hour, and whether an agent's memory, threads, descriptors grow by it.

Run it as `make soak`. Failovers are by turns a switchover (`etcdctl put leader`) and a SIGKILL of the leader's nodeos,
which then starts again; the agents run on throughout. Every few seconds each of them is scraped, as by a Prometheus,
and the kernel is asked what agent and guard use. The ledger has its hundred windows after ten minutes of a one-producer
chain, so a run much shorter than half an hour sees bounded stores fill, and may call that growth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.group import Group
from tests.lab.trend import Trend, trend
from tests.lab.usage import as_installed, usage

EVERY_S = 30.0
SAMPLE_S = 5.0
BOUNDS = {"own MB": 0.05, "threads": 0.05, "descriptors": 0.05}
"""What each may grow by in a minute: 3 MB, 3 threads, 3 descriptors in an hour. `own`: anonymous memory, resident."""
Series = list[tuple[float, float]]


@dataclass
class Soak:
    """What was sampled, by (process, what), and how the failovers went: seconds until the other one led."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    failovers: list[float] = field(default_factory=list)

    def sample(self, name: str, pid: int, at: float) -> None:
        """Note what a process uses, `at` seconds after the begin."""
        found = usage(pid)
        values = found.own_kib * 1024 / 1e6, found.threads, found.descriptors
        for what, value in zip(BOUNDS, values, strict=True):
            self.series.setdefault((name, what), []).append((at, value))

    def trends(self) -> dict[tuple[str, str], Trend]:
        """Judge every series. ValueError when there are too few samples."""
        return {(name, what): trend(series, BOUNDS[what]) for (name, what), series in self.series.items()}


def look(group: Group, soak: Soak, begin: float) -> None:
    """Scrape every agent, then note what it and its guard use. LabError when one does not answer for long."""
    for agent in group.agents.values():
        group.wait(f"an answer of {agent.name}", partial(_answers, agent))
        guard = group.wait(f"a guard of {agent.name}", agent.guard_pid)
        at = time.monotonic() - begin
        soak.sample(agent.name, agent.pid, at)
        soak.sample(f"guard-{agent.node}", guard, at)


def _answers(agent: Agent) -> bool:
    return agent.get("/metrics")[0] == 200


def fail_over(group: Group, number: int) -> float:
    """Have the other one lead; return the seconds until it does."""
    leader, standby = group.leader, group.standby
    begin = time.monotonic()
    if number % 2:
        group.nodeos(leader).kill()
    else:
        group.etcdctl("put", "@leader", standby.node)
    group.wait_leads(standby)
    taken = time.monotonic() - begin
    node = group.nodeos(leader)
    if not node.running:
        node.restart()
    return taken


def run(group: Group, minutes: float, every_s: float) -> Soak:
    """Fail over again and again. LabError when one does not come about, or an agent does not live through it."""
    soak = Soak()
    pids = {agent.node: agent.pid for agent in group.agents.values()}
    begin = due = sampled = time.monotonic()
    while (now := time.monotonic()) - begin < minutes * 60:
        if now >= due:
            soak.failovers.append(fail_over(group, len(soak.failovers)))
            group.settle()
            due = max(due + every_s, time.monotonic())
            sys.stdout.write(f"{now - begin:.0f} s: failover {len(soak.failovers)}, {soak.failovers[-1]:.1f} s\n")
            sys.stdout.flush()
        if now >= sampled:
            look(group, soak, begin)
            sampled = now + SAMPLE_S
        time.sleep(max(0.0, min(due, sampled) - time.monotonic()))
    _same(group.agents.values(), pids)
    group.never_twice()
    return soak


def _same(agents: Iterable[Agent], pids: dict[str, int]) -> None:
    """Raise LabError when an agent is not the process that it was."""
    for agent in agents:
        if not agent.running or agent.pid != pids[agent.node]:
            raise LabError(f"{agent.name} ended meanwhile; see {agent.log}")


def table(trends: dict[tuple[str, str], Trend]) -> str:
    """Return the figures as Markdown."""
    lines = ["| process | what | first | last | most | slope a minute | bound | verdict |", "| --- " * 8 + "|"]
    lines += [
        f"| {name} | {what} | {each.first:.1f} | {each.last:.1f} | {each.most:.1f} "
        f"| {each.slope:+.3f} ± {each.error:.3f} | {each.bound:g} | {'GROWS' if each.grows else 'steady'} |"
        for (name, what), each in trends.items()
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; 1 when something grows."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between failovers (default 30)")
    parser.add_argument("--json", type=Path, help="where every sample goes")
    chosen = parser.parse_args(arguments)
    as_installed()
    sys.stdout.write(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-soak-") as root:
        group = Group(Path(root), etcd=3, log={"level": "info"})
        try:
            group.start()
            soak = run(group, chosen.minutes, chosen.every)
        finally:
            group.close()
    if chosen.json:
        found = {f"{name} {what}": series for (name, what), series in soak.series.items()}
        chosen.json.write_text(json.dumps({"failovers": soak.failovers, "series": found}) + "\n")
    trends = soak.trends()
    worst = max(soak.failovers)
    sys.stdout.write(f"\n{len(soak.failovers)} failovers in {chosen.minutes:g} min, the slowest {worst:.1f} s\n\n")
    sys.stdout.write(table(trends))
    return int(any(each.grows for each in trends.values()))


if __name__ == "__main__":
    sys.exit(main())
