"""Planned handovers on a chain of several producers, counted by the observer. Run it as `make switchovers`.

Each is asked for at a random moment of the round, by the key `switchover`; then a whole window of the new leader is
awaited, and the slots that the observer's chain misses are counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from agent.core.model.slots import REPETITIONS, SLOT
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.bench import AFTER, PHASE_S
from tests.lab.figures import percentile
from tests.lab.group import Group

WINDOW_S = REPETITIONS * SLOT / 1000
LEADS_LIMIT = 60.0
"""Seconds until the other must lead: a whole round and a busy machine."""


@dataclass(frozen=True)
class Handover:
    """One of them. `seconds` from the wish until the other leads; `missed`, `twice`: slots."""

    to: str
    seconds: float
    missed: int
    twice: int


def wish(group: Group, to: str, when: str = "gap") -> None:
    """Ask for a switchover."""
    value = {"to": to, "when": when, "by": "lab", "reason": "a measurement"}
    group.etcdctl("put", "@switchover", json.dumps(value))


def counted(group: Group, ask: Callable[[], object]) -> Handover:
    """Ask for a handover to the standby, and count until its first whole window is over."""
    observer, leader, standby = group.chain.observer, group.leader, group.standby
    alone = len(group.chain.schedule) == 1
    head, twice, asked = observer.head, len(group.chain.doubles()), time.time()
    ask()
    group.wait(f"{standby.node} to lead", lambda: standby.leads and not leader.leads, LEADS_LIMIT)
    led = time.time()
    if alone:
        observer.wait_blocks(AFTER)
    else:
        _whole_window(group, standby, led)
    missed = evidence.slots_missed(observer, head)
    return Handover(standby.node, led - asked, missed, len(group.chain.doubles()) - twice)


def _whole_window(group: Group, leader: Agent, since: float) -> None:
    """Wait until the window after `since` is over at the observer: blocks of ours came, then another's."""

    def over() -> bool:
        mine = any(each.node == leader.node and each.wall > since for each in group.chain.signed())
        return mine and group.chain.observer.info()["head_block_producer"] != group.chain.producer

    limit = (len(group.chain.schedule) + 1) * WINDOW_S + 10
    group.wait(f"a whole window of {leader.node}", over, limit)


def run(group: Group, runs: int, when: str) -> list[Handover]:
    """Do several, at moments spread over the round."""
    found = []
    turns = len(group.chain.schedule)
    for number in range(runs):
        spread = PHASE_S if turns == 1 else turns * WINDOW_S
        time.sleep(random.uniform(0, spread))
        group.settle()
        to = group.standby.node
        each = counted(group, partial(wish, group, to, when))
        found.append(each)
        sys.stdout.write(f"{number + 1}/{runs}: {each.to} leads after {each.seconds:.1f} s, ")
        sys.stdout.write(f"{each.missed} slots missed, {each.twice} signed twice\n")
        sys.stdout.flush()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when a slot was signed twice, or on several producers one was missed."""
    parser = argparse.ArgumentParser(prog="make switchovers", description=__doc__)
    parser.add_argument("--runs", "-n", type=int, default=20, help="handovers (default 20)")
    parser.add_argument("--producers", type=int, choices=(1, 4), default=4, help="in the schedule (default 4)")
    parser.add_argument("--when", choices=("gap", "now"), default="gap", help="the wish's own word (default gap)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-switchovers-") as root:
        group = Group(Path(root), producers=chosen.producers)
        try:
            group.start()
            found = run(group, chosen.runs, chosen.when)
        finally:
            group.close()
    missed, seconds = [each.missed for each in found], [each.seconds for each in found]
    clean = sum(not each.missed for each in found)
    sys.stdout.write(
        f"{chosen.producers} producers, {chosen.when}: no slot missed in {clean} of {len(found)}; "
        f"slots p50 {percentile(missed, 0.5)}, max {max(missed)}; "
        f"seconds until the other leads p50 {percentile(seconds, 0.5):.1f}, max {max(seconds):.1f}\n"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    lost = chosen.producers > 1 and chosen.when == "gap" and any(missed)
    return 1 if lost or any(each.twice for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
