"""Installing agents beside a live producer, counted by the observer and by the nodes' own logs. Run it as `make adopt`.

Each time nodeos a produces under transactions and no agent runs; then the agents are started in a group that nobody has
led, in either order. Slots that the observer's chain misses, and slots that were signed twice, are counted from before
the first agent's start until both have settled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.bench import AFTER
from tests.lab.chain import Chain
from tests.lab.etcd import EtcdCluster
from tests.lab.figures import percentile
from tests.lab.lab import Lab
from tests.lab.wait import until

FIRST, SECOND = "bp-a", "bp-b"
"""The node that produces, and the other one."""
APART_S = 5.0
"""Between the starts of the two agents: with one producer, longer than an empty window (3 s) is waited for."""
LIMIT = 30.0
ROUND_S = 60.0
"""Until a producer that was resumed signs: a whole round of four, and a busy machine."""


@dataclass(frozen=True)
class Adoption:
    """One of them. `began`: whose agent came first; `seconds` from the start of a's agent until it leads."""

    began: str
    leader: str
    seconds: float
    missed: int
    twice: int


def install(lab: Lab, chain: Chain, etcd: EtcdCluster, number: int, first: str) -> Adoption:
    """Install both agents, the one of `first` before the other, in a group of their own; and take them away again."""
    live, observer = chain.nodes[FIRST], chain.observer
    resumed = time.time()
    live.resume()
    until(lambda: evidence.first_after(chain.signed(), FIRST, resumed), ROUND_S, "the live producer to sign")
    observer.wait_blocks(AFTER)
    agents = {name: lab.agent(node, etcd, group=f"adopt-{number}") for name, node in chain.nodes.items()}
    head, twice = observer.head, len(chain.doubles())
    try:
        seconds = _start(agents, [first, SECOND if first == FIRST else FIRST])
        until(lambda: agents[FIRST].leads and agents[SECOND].phase == "standby", LIMIT, "both agents to settle")
        observer.wait_blocks(AFTER)
        missed = evidence.slots_missed(observer, head)
        return Adoption(first, FIRST, seconds, missed, len(chain.doubles()) - twice)
    finally:
        for name in (SECOND, FIRST):
            agents[name].close()


def _start(agents: dict[str, Agent], order: list[str]) -> float:
    """Start the agents in this order; return how long the one of the live producer took to lead."""
    seconds = 0.0
    for place, name in enumerate(order):
        if place:
            time.sleep(APART_S)
        began = time.monotonic()
        agents[name].start()
        agents[name].wait_phase("leading" if name == FIRST else "standby", limit=LIMIT)
        if name == FIRST:
            seconds = time.monotonic() - began
    return seconds


def run(lab: Lab, runs: int, producers: int) -> list[Adoption]:
    """Install again and again, in either order by turns."""
    chain, etcd = lab.chain(2, producers=producers), lab.etcd(1)
    found = []
    for number in range(runs):
        each = install(lab, chain, etcd, number, (SECOND, FIRST)[number % 2])
        found.append(each)
        sys.stdout.write(f"{number + 1}/{runs}: {each.began} first, {each.leader} leads after {each.seconds:.1f} s, ")
        sys.stdout.write(f"{each.missed} slots missed, {each.twice} signed twice\n")
        sys.stdout.flush()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 when any slot was missed or signed twice."""
    parser = argparse.ArgumentParser(prog="make adopt", description=__doc__)
    parser.add_argument("--runs", "-n", type=int, default=20, help="installations, in either order by turns (20)")
    parser.add_argument("--producers", type=int, choices=(1, 4), default=1, help="in the schedule (1)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="nodeos-failover-adopt-") as root,
        Lab(Path(root)) as lab,
    ):
        found = run(lab, chosen.runs, chosen.producers)
    clean = sum(not each.missed and not each.twice for each in found)
    seconds = [each.seconds for each in found]
    sys.stdout.write(
        f"{chosen.producers} producer{'s' if chosen.producers > 1 else ''}: no slot missed and none signed twice in "
        f"{clean} of {len(found)}; seconds until it is governed p50 {percentile(seconds, 0.5):.1f}, "
        f"max {max(seconds):.1f}\n"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return 0 if clean == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
