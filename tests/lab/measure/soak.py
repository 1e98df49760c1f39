"""A soak: a failover every 30 s for half an hour, and whether an agent's memory, threads, descriptors grow by it.

Failovers are by turns a switchover (`etcdctl put leader`) and a SIGKILL of the leader's nodeos,
which then starts again; the agents run on throughout. Every few seconds each of them is scraped, as by a Prometheus,
and the kernel is asked what agent and guard use. The ledger has its hundred windows after ten minutes of a one-producer
chain, so a run much shorter than half an hour sees bounded stores fill, and may call that growth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import linear_regression, variance

from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.figures import markdown
from tests.lab.group import Group
from tests.lab.measure import Found, say
from tests.lab.measure.usage import usage

EVERY_S = 30.0
SAMPLE_S = 5.0
TELL_S = 600.0
"""How often the trends so far are printed: a soak that breaks off has then told what it saw."""
BOUNDS = {"RSS MB": 0.05, "own MB": 0.05, "threads": 0.05, "descriptors": 0.05}
"""What each may grow by in a minute: 3 MB, 3 threads, 3 descriptors in an hour. `own`: anonymous memory, resident."""
Series = list[tuple[float, float]]
WARM = 0.3
"""Share of the time that is left out at the begin: caches and bounded histories fill then."""
SURE = 3.0
"""Standard errors by which a slope must be above its bound before it counts as growth."""


@dataclass(frozen=True)
class Trend:
    """How a series went after its warm-up. `slope` and its standard error `error`: a minute."""

    first: float
    last: float
    most: float
    slope: float
    error: float
    bound: float

    @property
    def grows(self) -> bool:
        """Whether it surely grows faster than its bound."""
        return self.slope - SURE * self.error > self.bound


def trend(series: Sequence[tuple[float, float]], bound: float) -> Trend:
    """Judge (seconds, value) pairs, in the order of time; `bound`: how much it may grow in a minute.

    ValueError when fewer than three pairs are left after the warm-up: no slope has an error then.
    """
    if not series:
        raise ValueError("there is nothing to judge")
    begin = series[0][0] + WARM * (series[-1][0] - series[0][0])
    kept = [(at / 60, value) for at, value in series if at >= begin]
    if len(kept) < 3:
        raise ValueError(f"{len(kept)} samples are too few to judge: measure for longer, or sample more often")
    minutes = [at for at, _ in kept]
    slope, begins = linear_regression(minutes, [value for _, value in kept])
    left = sum((value - begins - slope * at) ** 2 for at, value in kept)
    error = sqrt(left / (len(kept) - 2) / (variance(minutes) * (len(kept) - 1)))
    return Trend(kept[0][1], kept[-1][1], max(value for _, value in kept), slope, error, bound)


@dataclass
class Soak:
    """What was sampled, by (process, what), and how the failovers went: seconds until the other one led."""

    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    failovers: list[float] = field(default_factory=list)

    def sample(self, name: str, pid: int, at: float) -> None:
        """Note what a process uses, `at` seconds after the begin."""
        found = usage(pid)
        values = found.rss_kib * 1024 / 1e6, found.own_kib * 1024 / 1e6, found.threads, found.descriptors
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
    begin = due = sampled = told = time.monotonic()
    while (now := time.monotonic()) - begin < minutes * 60:
        if now >= due:
            soak.failovers.append(fail_over(group, len(soak.failovers)))
            group.settle()
            due = max(due + every_s, time.monotonic())
            say(f"{now - begin:.0f} s: failover {len(soak.failovers)}, {soak.failovers[-1]:.1f} s")
        if now >= sampled:
            look(group, soak, begin)
            sampled = now + SAMPLE_S
        if now >= told + TELL_S:
            say(f"\n{table(soak.trends())}\n")
            told = now
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
    rows = []
    for (name, what), each in trends.items():
        values = [f"{value:.1f}" for value in (each.first, each.last, each.most)]
        slope, verdict = f"{each.slope:+.3f} ± {each.error:.3f}", "GROWS" if each.grows else "steady"
        rows.append([name, what, *values, slope, f"{each.bound:g}", verdict])
    return markdown(["process", "what", "first", "last", "most", "slope a minute", "bound", "verdict"], rows)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between failovers (default 30)")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Soak; bad is what grows."""
    with Group.running(root, etcd=3, log={"level": "info"}) as group:
        soak = run(group, chosen.minutes, chosen.every)
    trends, worst = soak.trends(), max(soak.failovers)
    text = f"{len(soak.failovers)} failovers in {chosen.minutes:g} min, the slowest {worst:.1f} s\n\n{table(trends)}"
    figures = {f"{name} {what}": series for (name, what), series in soak.series.items()}
    bad = [f"{name}: {what} grows" for (name, what), each in trends.items() if each.grows]
    return Found(text, {"failovers": soak.failovers, "series": figures}, bad)
