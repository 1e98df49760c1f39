"""False alarms: what keeps a nodeos busy, and must change no leader and end no process.

In turns, for an equal time each: `create_snapshot` again and again, eight readers that hammer the API, and processor
time that is stolen from the leader's host, as by a hypervisor (each of its processes is stopped for most of the time).
Nodes sign through gates that are required, where the first silence may move the lead; `--no-gate` is the other case.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.bench.gated import SPANS
from tests.lab.errors import LabError
from tests.lab.figures import markdown
from tests.lab.group import Group
from tests.lab.measure import Found, say
from tests.lab.measure.margins import beside, hammered
from tests.lab.nodeos import ApiError

PERIOD_S = 0.05
"""A turn of stolen time: hypervisors give processors away for some ten milliseconds at once."""
PAUSE_S = 0.5
LOADS = ("snapshots", "readers", "steal")


@dataclass
class Turn:
    """One load: how often it was applied, how often the lead changed, and how many nodeos processes ended."""

    load: str
    times: int = 0
    changes: int = 0
    ended: int = 0


def snapshots(group: Group) -> int:
    """Have the leader's nodeos write a snapshot; it may refuse another one for the same block."""
    node = group.nodeos(group.leader)
    with suppress(ApiError):
        node.call("/v1/producer/create_snapshot")
        time.sleep(PAUSE_S)
        return 1
    time.sleep(PAUSE_S / 5)
    return 0


def host_of(group: Group) -> list[int]:
    """Return the processes of the leader's host."""
    leader = group.leader
    gate = group.chain.gates.get(leader.node)
    others = [gate.process.pid, gate.wallet.process.pid] if gate else []
    return [group.nodeos(leader).pid, leader.pid, *others]


def steal(pids: list[int], share: float) -> int:
    """Stop processes for a share of a second's time, a little at once."""
    for _ in range(round(1 / PERIOD_S)):
        for number, span in ((signal.SIGSTOP, share), (signal.SIGCONT, 1 - share)):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(PERIOD_S * span)
    return 1


@contextmanager
def readers(group: Group) -> Iterator[None]:
    """Have the leader's nodeos hammered meanwhile."""
    with beside(hammered(group.nodeos(group.leader))):
        yield


def wait() -> int:
    """Let a second pass."""
    time.sleep(1.0)
    return 1


def turn(group: Group, load: str, seconds: float, share: float) -> Turn:
    """Apply one load, and count."""
    found, end = Turn(load), time.monotonic() + seconds
    epoch, pids = group.heartbeat()["epoch"], {node: node.pid for node in group.chain.nodes.values()}
    host = host_of(group)
    acts: dict[str, Callable[[], int]] = {
        "snapshots": lambda: snapshots(group),
        "readers": wait,
        "steal": lambda: steal(host, share),
    }
    with readers(group) if load == "readers" else nullcontext():
        while time.monotonic() < end:
            found.times += acts[load]()
    group.settle()
    found.changes = group.heartbeat()["epoch"] - epoch
    found.ended = sum(not node.running or node.pid != pid for node, pid in pids.items())
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--minutes", type=float, default=10.0, help="in all (default 10)")
    parser.add_argument("--loads", default=",".join(LOADS), help="with commas (default %(default)s)")
    parser.add_argument("--share", type=float, default=0.9, help="of the time that is stolen (default 0.9)")
    parser.add_argument("--no-gate", dest="gate", action="store_false", help="nodes sign by themselves")


def measure(root: Path, chosen: argparse.Namespace) -> Found:
    """Measure; bad is a change of leader, or a process that was ended."""
    loads = chosen.loads.split(",")
    if unknown := set(loads) - set(LOADS):
        raise LabError(f"no such load: {', '.join(sorted(unknown))}; there are {', '.join(LOADS)}")
    gate: dict[str, Any] = {"gate": {"mode": "required"}, "timing": SPANS} if chosen.gate else {}
    found: list[Turn] = []
    with Group.running(root, etcd=3, **gate) as group:
        for load in loads:
            found.append(turn(group, load, chosen.minutes * 60 / len(loads), chosen.share))
            say(str(found[-1]))
    rows = [[each.load, str(each.times), str(each.changes), str(each.ended)] for each in found]
    bad = [f"{each.load}: {each.changes} changes, {each.ended} ended" for each in found if each.changes or each.ended]
    return Found(markdown(["load", "times", "changes of leader", "nodeos ended"], rows), rows, bad)
