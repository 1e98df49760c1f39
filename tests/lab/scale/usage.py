"""What processes cost, read from /proc, and what etcd says of itself. Reading only lives here."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.host.clock import boot_ms
from agent.host.process import stat
from tests.lab.etcd import EtcdMember

TICKS = os.sysconf("SC_CLK_TCK")
METRICS = {
    "writes": "etcd_mvcc_put_total",
    "events": "etcd_debugging_mvcc_events_total",
    "fsyncs": "etcd_disk_wal_fsync_duration_seconds_count",
    "fsync_s": "etcd_disk_wal_fsync_duration_seconds_sum",
    "watchers": "etcd_debugging_mvcc_watcher_total",
    "slow": "etcd_server_slow_apply_total",
}


@dataclass(frozen=True)
class Usage:
    """Of several processes at `at` (ms): seconds of processor time, bytes written to disk, resident bytes."""

    at: int
    cpu: float
    written: int
    rss: int


def usage(pids: Iterable[int]) -> Usage:
    """Return what processes have used so far; one that is gone counts as nothing."""
    cpu, written, rss = 0.0, 0, 0
    for pid in pids:
        try:
            fields = stat(pid)
            io = Path(f"/proc/{pid}/io").read_text()
        except OSError:
            continue
        cpu += (int(fields[11]) + int(fields[12])) / TICKS
        rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        found = re.search(r"^write_bytes: (\d+)", io, re.MULTILINE)
        written += int(found[1]) if found else 0
    return Usage(boot_ms(), cpu, written, rss)


BUCKET = re.compile(
    r'^grpc_server_handling_seconds_bucket\{[^}]*grpc_method="Txn"[^}]*le="([^"]+)"\} (\S+)$', re.MULTILINE
)


def handling(members: Iterable[EtcdMember]) -> dict[float, float]:
    """Return how many transactions all members handled within so many seconds; they run with --metrics=extensive."""
    found: dict[float, float] = {}
    for member in members:
        for bound, count in BUCKET.findall(_metrics(member)):
            found[float(bound)] = found.get(float(bound), 0.0) + float(count)
    return found


def quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return below how many ms `share` of the transactions between two looks lie, by buckets; -1 of none."""
    grown = {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}
    whole = max(grown.values(), default=0.0)
    return next((1000 * bound for bound, count in grown.items() if whole and count >= share * whole), -1.0)


def said(member: EtcdMember) -> dict[str, float]:
    """Return METRICS of one member, 0 for what it does not have."""
    text = _metrics(member)
    found = {}
    for name, metric in METRICS.items():
        match = re.search(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        found[name] = float(match[1]) if match else 0.0
    return found


def _metrics(member: EtcdMember) -> str:
    with urllib.request.urlopen(f"{member.url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
