"""How long a scrape of a busy agent takes: a real group under load, each agent scraped again and again."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.figures import markdown, percentile
from tests.lab.group import Group
from tests.lab.measure import Found, spread

PAUSE_S = 0.02
"""Between two scrapes: more often than any Prometheus comes, and not so often that only scrapes are measured."""
LIMIT_MS = 20.0
"""What the median should stay below: a scrape holds the interpreter's lock, and with it the decision loop."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--times", type=int, default=200, help="scrapes of each agent (default 200)")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Scrape each agent of a group; bad is a median above the limit."""
    with Group.running(root, etcd=3, log={"level": "info"}) as group:
        found = {agent: scraped(agent, chosen.times) for agent in group.agents.values()}
        rows = []
        for agent, (spans, body) in found.items():
            series = sum(not line.startswith(b"#") for line in body.splitlines())
            cells = [agent.node, agent.phase, str(chosen.times), str(series), f"{len(body) / 1024:.0f}"]
            rows.append([*cells, *spread(spans)])
    heads = ["node", "phase", "scrapes", "series", "KiB", "p50 ms", "p99 ms", "max ms"]
    bad = [f"the median of {agent.node}" for agent, (spans, _) in found.items() if percentile(spans, 0.5) > LIMIT_MS]
    return Found(markdown(heads, rows), {agent.node: spans for agent, (spans, _) in found.items()}, bad)


def scraped(agent: Agent, times: int) -> tuple[list[float], bytes]:
    """Scrape an agent over HTTP; return the milliseconds of each, and the last answer. LabError when there is none."""
    spans, body = [], b""
    for _ in range(times):
        start = time.perf_counter()
        code, body = agent.get("/metrics")
        spans.append((time.perf_counter() - start) * 1000)
        if code != 200:
            raise LabError(f"{agent.name} answers {code} on /metrics; see {agent.log}")
        time.sleep(PAUSE_S)
    return spans, body
