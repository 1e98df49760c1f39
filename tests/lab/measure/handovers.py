"""Changes of leader that the observer and the nodes' own logs count: planned handovers, and agents that are installed.

Slots that the observer's chain misses, and slots that were signed twice, are counted from before each change until it
is over.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from agent.core.model.slots import REPETITIONS, SLOT
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.bench import AFTER, PHASE_S
from tests.lab.chain import Chain
from tests.lab.etcd import EtcdCluster
from tests.lab.figures import markdown
from tests.lab.group import Group
from tests.lab.lab import Lab
from tests.lab.measure import Found, say, spread
from tests.lab.wait import until

WINDOW_S = REPETITIONS * SLOT / 1000
LEADS_LIMIT = 60.0
"""Seconds until the other must lead, or a producer that was resumed signs: a whole round and a busy machine."""
FIRST, SECOND = "bp-a", "bp-b"
"""The node that produces when agents are installed, and the other one."""
APART_S = 5.0
"""Between the starts of the two agents: with one producer, longer than an empty window (3 s) is waited for."""
LIMIT = 30.0


@dataclass(frozen=True)
class Change:
    """One of them. `seconds` from the wish, or the agent's start, until `leader` leads; `missed`, `twice`: slots.

    `began`: whose agent was started first, when agents were installed.
    """

    leader: str
    seconds: float
    missed: int
    twice: int
    began: str = ""


def options(parser: argparse.ArgumentParser, producers: int) -> None:
    """Add the options that both have."""
    parser.add_argument("--runs", "-n", type=int, default=20, help="how many (default 20)")
    parser.add_argument(
        "--producers", type=int, choices=(1, 4), default=producers, help=f"in the schedule (default {producers})"
    )


def repeat(runs: int, change: Callable[[int], Change]) -> list[Change]:
    """Do it again and again, and tell how each went."""
    found = []
    for number in range(runs):
        found.append(each := change(number))
        began = f"{each.began} first, " if each.began else ""
        slots = f"{each.missed} slots missed, {each.twice} signed twice"
        say(f"{number + 1}/{runs}: {began}{each.leader} leads after {each.seconds:.1f} s, {slots}")
    return found


def told(found: Sequence[Change], what: str, *, strict: bool) -> Found:
    """Return the table; bad is a slot that was signed twice, and if `strict` one that was missed."""
    clean = sum(not each.missed and not each.twice for each in found)
    missed, seconds = [each.missed for each in found], [each.seconds for each in found]
    rows = [
        ["slots missed", *spread(missed, 0)],
        ["slots signed twice", *spread([each.twice for each in found], 0)],
        ["seconds until it leads", *spread(seconds)],
    ]
    text = f"{what}: no slot missed and none signed twice in {clean} of {len(found)}\n\n"
    bad = [f"change {n + 1}" for n, each in enumerate(found) if each.twice or (strict and each.missed)]
    return Found(text + markdown(["", "p50", "p99", "max"], rows), [asdict(each) for each in found], bad)


def wish(group: Group, to: str, when: str = "gap") -> None:
    """Ask for a switchover."""
    value = {"to": to, "when": when, "by": "lab", "reason": "a measurement"}
    group.etcdctl("put", "@switchover", json.dumps(value))


def counted(group: Group, ask: Callable[[], object]) -> Change:
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
    return Change(standby.node, led - asked, missed, len(group.chain.doubles()) - twice)


def _whole_window(group: Group, leader: Agent, since: float) -> None:
    """Wait until the window after `since` is over at the observer: blocks of ours came, then another's."""

    def over() -> bool:
        mine = any(each.node == leader.node and each.wall > since for each in group.chain.signed())
        return mine and group.chain.observer.info()["head_block_producer"] != group.chain.producer

    limit = (len(group.chain.schedule) + 1) * WINDOW_S + 10
    group.wait(f"a whole window of {leader.node}", over, limit)


def switchovers(group: Group, runs: int, when: str) -> list[Change]:
    """Hand over again and again, at moments spread over the round, by the key `switchover`."""
    turns = len(group.chain.schedule)

    def one(_number: int) -> Change:
        time.sleep(random.uniform(0, PHASE_S if turns == 1 else turns * WINDOW_S))
        group.settle()
        return counted(group, partial(wish, group, group.standby.node, when))

    return repeat(runs, one)


def install(lab: Lab, chain: Chain, etcd: EtcdCluster, number: int, first: str) -> Change:
    """Install both agents, the one of `first` before the other, in a group of their own; and take them away again."""
    live, observer = chain.nodes[FIRST], chain.observer
    resumed = time.time()
    live.resume()
    until(lambda: evidence.first_after(chain.signed(), FIRST, resumed), LEADS_LIMIT, "the live producer to sign")
    observer.wait_blocks(AFTER)
    agents = {name: lab.agent(node, etcd, group=f"adopt-{number}") for name, node in chain.nodes.items()}
    head, twice = observer.head, len(chain.doubles())
    try:
        seconds = _start(agents, [first, SECOND if first == FIRST else FIRST])
        until(lambda: agents[FIRST].leads and agents[SECOND].phase == "standby", LIMIT, "both agents to settle")
        observer.wait_blocks(AFTER)
        missed = evidence.slots_missed(observer, head)
        return Change(FIRST, seconds, missed, len(chain.doubles()) - twice, first)
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
