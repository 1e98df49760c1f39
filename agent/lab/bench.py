"""The failover benchmark: real nodeos, real etcd, one fault after another, and what each cost. Run it as `make bench`.

For every run it reads from the blocks that the nodes really signed: the slots that the observer's chain misses, the
seconds from the fault to the successor's first block, and the slots that were signed twice, which must be none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent import __version__
from agent.lab import evidence
from agent.lab.agents import Agent
from agent.lab.etcd import EtcdMember
from agent.lab.group import Group

AFTER = 6
"""Blocks to wait for after a fault before slots are counted: what comes late has come by then."""
PHASE_S = 1.0
"""A fault comes at a random moment within two slots: right after a block, where settling ends, is no fair moment."""
QUIET_S = 8.0
"""How long a fault that must change nothing is watched: longer than E."""


@dataclass(frozen=True)
class Run:
    """One run. `seconds` from the fault to the successor's first block, None when the leader stayed."""

    missed: int
    seconds: float | None
    leader_changed: bool
    twice: int


@dataclass
class Row:
    """All runs of one fault."""

    fault: str
    runs: list[Run] = field(default_factory=list)


def planned(group: Group) -> None:
    """`etcdctl put leader`."""
    group.etcdctl("put", "@leader", group.standby.node)


def nodeos_killed(group: Group) -> None:
    """SIGKILL of the leader's nodeos."""
    group.nodeos(group.leader).kill()


def nodeos_frozen(group: Group) -> None:
    """SIGSTOP of the leader's nodeos."""
    group.nodeos(group.leader).freeze()


def agent_restarted(group: Group) -> None:
    """SIGKILL of the leader's agent, started again at once."""
    leader = group.leader
    leader.kill()
    leader.start()


def agent_killed(group: Group) -> None:
    """SIGKILL of the leader's agent, for good."""
    group.leader.kill()


def host_lost(group: Group) -> None:
    """SIGKILL of nodeos, agent and guard at once."""
    leader = group.leader
    node = group.nodeos(leader)
    leader.lose_host()
    node.kill()


def _etcd_leader(group: Group) -> EtcdMember:
    return group.wait("etcd's leader", group.etcd.leader)


def etcd_leader_killed(group: Group) -> None:
    """SIGKILL of etcd's leader."""
    _etcd_leader(group).kill()


def etcd_leader_frozen(group: Group) -> None:
    """SIGSTOP of etcd's leader."""
    _etcd_leader(group).freeze()


def etcd_member_lost(group: Group) -> None:
    """SIGKILL of an etcd member that does not lead."""
    leader = _etcd_leader(group)
    next(member for member in group.etcd.members if member is not leader).kill()


FAULTS: dict[str, tuple[str, Callable[[Group], None], bool]] = {
    "planned": ("planned (etcdctl put leader)", planned, True),
    "nodeos-killed": ("nodeos killed", nodeos_killed, True),
    "nodeos-frozen": ("nodeos frozen", nodeos_frozen, True),
    "agent-restarted": ("agent killed and restarted", agent_restarted, False),
    "agent-killed": ("agent killed for good", agent_killed, True),
    "host-lost": ("host lost (nodeos, agent, guard)", host_lost, True),
    "etcd-leader-killed": ("etcd leader killed", etcd_leader_killed, False),
    "etcd-leader-frozen": ("etcd leader frozen", etcd_leader_frozen, False),
    "etcd-member-lost": ("one etcd member lost", etcd_member_lost, False),
}
"""Name → (title, what is done, whether the leader is to change)."""


def measure(group: Group, act: Callable[[Group], None], *, changes: bool) -> Run:
    """Do one fault and read what it cost."""
    observer = group.chain.observer
    leader, standby = group.leader, group.standby
    twice = len(group.chain.doubles())
    time.sleep(random.uniform(0, PHASE_S))  # noqa: S311 - spreads the moments, guards nothing
    head, started = observer.head, time.time()
    act(group)
    seconds = None
    if changes:
        first = group.wait(
            f"a block of {standby.node}", lambda: evidence.first_after(group.chain.signed(), standby.node, started)
        )
        seconds = first.wall - started
    else:
        time.sleep(QUIET_S)
    observer.wait_blocks(AFTER)
    group.wait("a leader", lambda: any(agent.running and agent.leads for agent in group.agents.values()))
    changed = not (leader.running and leader.leads)
    missed = evidence.slots_missed(observer, head)
    return Run(missed, seconds, changed, len(group.chain.doubles()) - twice)


def mend(group: Group) -> None:
    """Bring everything back that a fault took away, and wait for a settled group."""
    for member in group.etcd.members:
        _mend_member(group, member)
    for agent in group.agents.values():
        node = group.nodeos(agent)
        node.thaw()
        if not node.running:
            node.restart()
        if not agent.running:
            agent.start()
    group.settle()


def _mend_member(group: Group, member: EtcdMember) -> None:
    member.thaw()
    if not member.running:
        member.start()
        group.etcd.wait_ready(member)


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which `part` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def table(rows: Sequence[Row]) -> str:
    """Return the results as a Markdown table; of slots and seconds p50 / p99 / max."""
    heads = ("fault", "n", "slots missed", "seconds to first block", "leader changed", "slots signed twice")
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in rows:
        missed = [run.missed for run in row.runs]
        seconds = [run.seconds for run in row.runs if run.seconds is not None]
        slots = " / ".join(str(percentile(missed, part)) for part in (0.5, 0.99, 1))
        spans = " / ".join(f"{percentile(seconds, part):.2f}" for part in (0.5, 0.99, 1)) if seconds else "-"
        changed = sum(run.leader_changed for run in row.runs)
        twice = sum(run.twice for run in row.runs)
        lines.append(f"| {row.fault} | {len(row.runs)} | {slots} | {spans} | {changed} of {len(row.runs)} | {twice} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Cost:
    """What an idle agent costs: percent of one core, MiB of memory (agent and guard together)."""

    node: str
    role: str
    cpu_percent: float
    rss_mib: float
    guard_rss_mib: float
    threads: int


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
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> tuple[float, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 when any slot was signed twice."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", "-n", type=int, default=10, help="runs of each fault (default 10)")
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only this fault; may be repeated")
    parser.add_argument("--json", type=Path, default=Path("bench-latest.json"), help="where the figures go")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds over which idle cost is measured; 0: not")
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-bench-") as root:
        group = Group(Path(root), etcd=3, log={"level": "info"})
        try:
            group.start()
            costs = [cost(agent, chosen.idle / 2) for agent in group.agents.values()] if chosen.idle else []
            rows.extend(_row(group, name, chosen.runs) for name in chosen.fault or FAULTS)
        finally:
            group.close()
    sys.stdout.write("\n" + table(rows) + "\n\n")
    for each in costs:
        sys.stdout.write(
            f"idle {each.role} ({each.node}): {each.cpu_percent:.1f} % of a core, {each.rss_mib:.0f} MiB "
            f"(guard {each.guard_rss_mib:.0f}), {each.threads} threads\n"
        )
    machine = {"version": __version__, "cores": os.cpu_count(), "kernel": platform.release()}
    results = {"machine": machine, "rows": [asdict(row) for row in rows], "idle": [asdict(each) for each in costs]}
    chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(f"figures: {chosen.json}\n")
    return 1 if any(run.twice for row in rows for run in row.runs) else 0


def _row(group: Group, name: str, runs: int) -> Row:
    title, act, changes = FAULTS[name]
    row = Row(title)
    for number in range(runs):
        run = measure(group, act, changes=changes)
        row.runs.append(run)
        spent = f"{run.seconds:.2f} s to first block, " if run.seconds is not None else ""
        sys.stdout.write(f"{title} {number + 1}/{runs}: {spent}{run.missed} slots missed, {run.twice} signed twice\n")
        sys.stdout.flush()
        mend(group)
    return row


if __name__ == "__main__":
    sys.exit(main())
