"""What processes cost, read from /proc, and what etcd says of itself. Reading only lives here."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.clock import boot_ms
from agent.lab.etcd import EtcdMember

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
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            io = Path(f"/proc/{pid}/io").read_text()
        except OSError:
            continue
        cpu += (int(stat[11]) + int(stat[12])) / TICKS
        rss += int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
        found = re.search(r"^write_bytes: (\d+)", io, re.MULTILINE)
        written += int(found[1]) if found else 0
    return Usage(boot_ms(), cpu, written, rss)


def said(member: EtcdMember) -> dict[str, float]:
    """Return METRICS of one member, 0 for what it does not have."""
    with urllib.request.urlopen(f"{member.url}/metrics", timeout=5) as answer:  # noqa: S310 - our own etcd
        text = answer.read().decode()
    found = {}
    for name, metric in METRICS.items():
        match = re.search(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        found[name] = float(match[1]) if match else 0.0
    return found
