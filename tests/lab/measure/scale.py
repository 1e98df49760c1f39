"""One etcd of three members, more and more groups. Only the course of a run lives here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.core.model.store import Ms
from agent.host.clock import boot_ms
from tests.lab.etcd import EtcdCluster, EtcdctlError
from tests.lab.lab import Lab
from tests.lab.measure import Found, say
from tests.lab.process import Process
from tests.lab.scale.figures import Row, at, confirms, crowding_p90, settled, table
from tests.lab.scale.usage import handling, quantile, said, usage
from tests.lab.wait import until

REST_S = 3.0
"""After all are led, before anything is counted."""
SPAN: Ms = 5000
"""Once confirmations come as before: how long it is looked at how crowded they are."""


class Crowds:
    """The processes of one size, and what they tell."""

    def __init__(self, root: Path, etcd: EtcdCluster, chosen: argparse.Namespace, groups: int) -> None:
        each = -(-groups // chosen.processes)
        self.processes = []
        for number, first in enumerate(range(0, groups, each)):
            words = [",".join(etcd.endpoints), str(first), str(min(each, groups - first)), str(chosen.share)]
            words += [str(int(chosen.in_step)), chosen.peers]
            module = f"tests.lab.scale.{'crowd' if chosen.load == 'agents' else 'wire'}"
            log = root / f"{chosen.load}-{groups}-{number}.log"
            self.processes.append(Process(log.stem, [sys.executable, "-m", module, *words], log))

    def start(self) -> None:
        """Start them."""
        for each in self.processes:
            each.start()

    @property
    def pids(self) -> list[int]:
        """Their pids."""
        return [each.pid for each in self.processes]

    def last(self) -> list[dict[str, Any]]:
        """Return the newest line of each; those that have none yet are left out."""
        found = []
        for each in self.processes:
            if not each.running:
                raise SystemExit(f"{each.name} has ended:\n{each.log_tail()}")
            lines = [line for line in each.log_tail(3).splitlines() if line.startswith("{") and line.endswith("}")]
            if lines:
                found.append(json.loads(lines[-1]))
        return found

    def total(self, name: str) -> int:
        """Return the sum of one figure."""
        return sum(int(each[name]) for each in self.last())

    def end(self) -> list[dict[str, Any]]:
        """End them; return their reports."""
        for each in self.processes:
            each.terminate()
        for each in self.processes:
            each.wait(60.0)
        return [json.loads(each.log.read_text().splitlines()[-1]) for each in self.processes]

    def close(self) -> None:
        """End them in any case."""
        for each in self.processes:
            each.close()


def one_size(root: Path, etcd: EtcdCluster, chosen: argparse.Namespace, groups: int) -> Row:
    """Measure one size: a steady span, then the etcd leader is killed."""
    crowds = Crowds(root, etcd, chosen, groups)
    pids = [member.pid for member in etcd.members]
    try:
        crowds.start()
        until(lambda: crowds.total("led") == groups, 60.0 + groups / 5, f"{groups} groups to be led")
        time.sleep(REST_S)
        stops, before, ours = crowds.total("stops"), usage(pids), usage(crowds.pids)
        told, handled = [said(member) for member in etcd.members], handling(etcd.members)
        time.sleep(chosen.seconds)
        after, ours_after, told_after = usage(pids), usage(crowds.pids), [said(member) for member in etcd.members]
        handled_after = handling(etcd.members)
        steady, killed = crowds.total("stops") - stops, 0
        if chosen.kill:
            killed = _kill_leader(etcd, crowds, groups, chosen.seconds)
        led = crowds.total("led")
        reports = crowds.end()
    finally:
        crowds.close()
    if chosen.kill:
        etcd.start()
    requests = [tuple(each) for report in reports for each in report["requests"]]
    found = confirms(requests, before.at, after.at)
    took = [float(each[2]) for each in found if each[2] >= 0]
    span = (after.at - before.at) / 1000
    grown = [{name: new[name] - old[name] for name in old} for old, new in zip(told, told_after, strict=True)]
    row = Row(
        chosen.load, groups, led, span,
        at(took, 0.5), at(took, 0.99), max(took, default=-1.0), sum(each[2] < 0 for each in found),
        len(found) / span, max(each["writes"] for each in grown) / span, sum(each["events"] for each in grown) / span,
        100 * (after.cpu - before.cpu) / span, 100 * (ours_after.cpu - ours.cpu) / span,
        (after.written - before.written) / span,
        1000 * sum(each["fsync_s"] for each in grown) / max(1.0, sum(each["fsyncs"] for each in grown)),
        after.rss, crowding_p90(found, before.at, after.at), steady,
        quantile(handled, handled_after, 0.5), quantile(handled, handled_after, 0.99),
        at([float(late) for report in reports for begin, late in report["lag"] if before.at <= begin < after.at], 0.99),
        why=", ".join(f"{key} {n}" for key, n in Counter(k for report in reports for k in report["stops"]).items()),
        doubled=sum(report["doubled"] for report in reports),
    )  # fmt: skip
    return _with_kill(row, requests, killed, sum(len(report["stops"]) for report in reports) - stops - steady)


def _kill_leader(etcd: EtcdCluster, crowds: Crowds, groups: int, seconds: float) -> int:
    """Kill etcd's leader; return when (ms), once there was time for everything to come to rest."""
    leader = etcd.wait_leader()
    killed = boot_ms()
    leader.kill()
    time.sleep(max(10.0, seconds))
    until(lambda: crowds.total("led") == groups, 60.0, "all to be led again")
    return killed


def _with_kill(row: Row, requests: Sequence[Any], killed: int, lost: int) -> Row:
    """Add what the death of etcd's leader did."""
    if not killed:
        return row
    settle = settled(requests, killed, row.confirms)
    rest = killed + round(1000 * max(0.0, settle))
    worst = max(
        (float(each[2]) for each in requests if each[0] == "confirm" and each[1] + each[2] >= killed), default=-1.0
    )
    crowd = crowding_p90(confirms(requests, rest, rest + SPAN), rest, rest + SPAN)
    return Row(**{**asdict(row), "settle": settle, "lost": lost, "crowd_after": crowd, "worst_after": worst})


def ceiling(etcd: EtcdCluster, load: str) -> str:
    """Return what etcd's own client, in Go, finds in a minute of plain puts (`etcdctl check perf`), and its cost."""
    pids = [member.pid for member in etcd.members]
    before = usage(pids)
    try:
        text = etcd.etcdctl("check", "perf", "--load", load, "--prefix", "/nodeos-failover/ceiling/", limit=150.0)
    except EtcdctlError as error:  # it fails when the machine is slower than it wants: its words are what counts
        text = str(error)
    after = usage(pids)
    words = [line for line in text.replace("\r", "\n").splitlines() if "PASS" in line or "FAIL" in line]
    cpu = 100 * (after.cpu - before.cpu) / max(1, after.at - before.at) * 1000
    return "\n".join([f"etcdctl check perf --load {load}: etcd CPU {cpu:.0f} %", *words]) + "\n"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--groups", default="10,100", help="sizes, with commas (default %(default)s)")
    parser.add_argument("--load", choices=("agents", "wire"), default="agents", help="(default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady span (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="no further size after so long (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="of load (default %(default)s)")
    parser.add_argument("--share", type=int, default=10, help="agents on a connection (default %(default)s)")
    parser.add_argument(
        "--peers", choices=("off", "lease", "failsafe"), default="lease", help="of agents (default %(default)s)"
    )
    parser.add_argument("--in-step", action="store_true", help="agents without a beat of their own, to compare")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="leave etcd's leader alive")
    parser.add_argument("--no-fsync", dest="fsync", action="store_false", help="let etcd not wait for its disk")
    parser.add_argument("--ceiling", choices=("s", "m", "l"), help="also let etcd's own client write as fast as this")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure all sizes; bad is one that does not fit."""
    end, rows = time.monotonic() + 60 * chosen.minutes, []
    for groups in (int(each) for each in chosen.groups.split(",")):
        if time.monotonic() > end:
            say(f"{groups} groups: no time left (--minutes)")
            break
        with Lab(root / str(groups)) as lab:
            etcd = lab.etcd(3, fsync=chosen.fsync, more=["--metrics=extensive"])
            rows.append(one_size(root, etcd, chosen, groups))
        say(table(rows[-1:]) if len(rows) == 1 else table(rows[-1:]).splitlines()[-1])
        say(f"tenures that ended: {rows[-1].why or 'none'}")
    text = ""
    if chosen.ceiling:
        with Lab(root / "ceiling") as lab:
            text = ceiling(lab.etcd(3, fsync=chosen.fsync), chosen.ceiling)
    return Found(text, [asdict(each) for each in rows], [f"{row.groups} groups" for row in rows if not row.fits])
