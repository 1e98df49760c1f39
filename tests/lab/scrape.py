"""How long a scrape of a busy agent takes: a real group under load, each agent scraped again and again.

`python -m tests.lab.scrape [--times 200]` prints the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.figures import percentile
from tests.lab.group import Group

PAUSE_S = 0.02
"""Between two scrapes: more often than any Prometheus comes, and not so often that only scrapes are measured."""
LIMIT_MS = 20.0
"""What the median should stay below: a scrape holds the interpreter's lock, and with it the decision loop."""


@dataclass(frozen=True)
class Spans:
    """What was measured on one agent: milliseconds of each scrape in rising order, series and bytes of the last."""

    node: str
    phase: str
    milliseconds: Sequence[float]
    series: int
    size: int

    def quantile(self, share: float) -> float:
        """Return the span that `share` of all do not exceed."""
        return percentile(self.milliseconds, share)


def measure(agent: Agent, times: int) -> Spans:
    """Scrape an agent over HTTP. LabError when it does not answer."""
    spans, body = [], b""
    for _ in range(times):
        start = time.perf_counter()
        code, body = agent.get("/metrics")
        spans.append((time.perf_counter() - start) * 1000)
        if code != 200:
            raise LabError(f"{agent.name} answers {code} on /metrics; see {agent.log}")
        time.sleep(PAUSE_S)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return Spans(agent.node, agent.phase, sorted(spans), series, len(body))


def table(found: Sequence[Spans]) -> str:
    """Return the figures as Markdown."""
    rows = ["| node | phase | scrapes | series | KiB | p50 ms | p99 ms | max ms |", "| --- " * 8 + "|"]
    rows += [
        f"| {each.node} | {each.phase} | {len(each.milliseconds)} | {each.series} | {each.size / 1024:.0f} "
        f"| {each.quantile(0.5):.1f} | {each.quantile(0.99):.1f} | {each.milliseconds[-1]:.1f} |"
        for each in found
    ]
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 when a median is above the limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.scrape", description="How long a scrape takes.")
    parser.add_argument("--times", type=int, default=200, help="scrapes of each agent (default 200)")
    times = parser.parse_args(arguments).times
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-scrape-") as root:
        group = Group(Path(root), etcd=3, log={"level": "info"})
        try:
            group.start()
            found = [measure(agent, times) for agent in group.agents.values()]
        finally:
            group.close()
    sys.stdout.write(table(found))
    return int(any(each.quantile(0.5) > LIMIT_MS for each in found))


if __name__ == "__main__":
    sys.exit(main())
