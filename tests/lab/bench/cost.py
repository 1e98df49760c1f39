"""What an idle agent costs, agent and guard together, read from /proc. Nothing else lives here."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agent.host.process import stat
from tests.lab.agents import Agent


@dataclass(frozen=True)
class Cost:
    """Percent of one core, MiB of memory."""

    node: str
    role: str
    cpu_percent: float
    rss_mib: float
    guard_rss_mib: float
    threads: int

    def __str__(self) -> str:
        return (
            f"idle {self.role} ({self.node}): {self.cpu_percent:.1f} % of a core, {self.rss_mib:.0f} MiB "
            f"(guard {self.guard_rss_mib:.0f}), {self.threads} threads"
        )


def cost(agent: Agent, seconds: float) -> Cost:
    """Measure one agent over `seconds`."""
    guard = agent.guard_pid()
    pids = [pid for pid in (agent.pid, guard) if pid]
    before = sum(_cpu(pid) for pid in pids)
    time.sleep(seconds)
    used = sum(_cpu(pid) for pid in pids) - before
    rss, threads = _memory(agent.pid)
    guard_rss = _memory(guard)[0] if guard else 0.0
    return Cost(agent.node, agent.phase, 100 * used / seconds, rss + guard_rss, guard_rss, threads)


def _cpu(pid: int) -> float:
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> tuple[float, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
