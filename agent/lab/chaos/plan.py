"""Faults as data, drawn from a seed. Pure: no process, no clock, no network."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.core.timing import Timing

VALIDITY = Timing().validity / 1000
"""E in seconds; faults last for up to 3 E."""
LONG = 3 * VALIDITY
JOINT_STALL = 1.5
"""Seconds for which agent, guard and nodeos of a host may be frozen together.

Between two confirmations lie R + one request, 1.5 s; after a stall of 1.5 s more still 1.9 s are left before the stop
is due, E - A = 4.9 s after the confirmation.
"""
ROUND = 10
"""Faults between two rests, in which all is healed and somebody has to produce (P2)."""
PAIRED = 0.35
"""How many of the faults follow the one before within half a second."""
SPACING = (2.0, 4.0)
ACTIVE = 4
"""Faults at once, at the most."""
MEMBERS = ("etcd-1", "etcd-2", "etcd-3")


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `{t}` in `parts` is the target: a host, an etcd member, or nothing.

    lengths  seconds, shortest and longest, drawn so that each order of magnitude is alike; (0, 0): over at once
    parts    what it occupies: two faults that need one part never overlap; `x:*` is every `x`
    tail     seconds for which its parts stay occupied after its end, because they recover
    choices  of which one is drawn
    costs    whose slots it may cost: "nobody", the "leader" when it is its host, the whole "group", or of a "pair"
    """

    name: str
    scope: str
    lengths: tuple[float, float]
    parts: tuple[str, ...]
    costs: str
    weight: float = 1.0
    tail: float = 3.0
    choices: tuple[str, ...] = ("",)


_AGENT = ("agent:{t}", "guard:{t}")  # a fault of either occupies both: they are never down together
_HOST = (*_AGENT, "nodeos:{t}")
_CALM = (*_HOST, "etcd:*", "etcd-link:{t}", "file:{t}")
_SHIFTS = ("+0.4", "-0.4", "+1.5", "-1.5", "+5", "-5")
_WAYS = ("both", "in", "out")


def _kinds() -> Iterator[Kind]:
    yield Kind("nodeos-killed", "host", (0.1, 8), ("nodeos:{t}",), "leader", 1.5)
    yield Kind("nodeos-frozen", "host", (0.1, LONG), ("nodeos:{t}",), "leader", 1.5)
    yield Kind("nodeos-restarted", "host", (0, 0), ("nodeos:{t}",), "leader")
    yield Kind("nodeos-unpaused", "host", (0, 0), _HOST, "leader", 0.7)
    yield Kind("agent-killed", "host", (0.1, LONG), _AGENT, "leader", 1.5)
    yield Kind("agent-frozen", "host", (0.1, LONG), _AGENT, "leader", 1.5)
    yield Kind("agent-restarted", "host", (0, 0), _AGENT, "leader")
    yield Kind("guard-killed", "host", (0, 0), _AGENT, "nobody")
    yield Kind("guard-frozen", "host", (0.1, LONG), _AGENT, "nobody")
    yield Kind("host-stalled", "host", (0.1, JOINT_STALL), _CALM, "leader", tail=2.0)
    yield Kind("host-lost", "host", (1, 12), _HOST, "leader")
    yield Kind("etcd-cut", "host", (0.1, LONG), ("etcd-link:{t}",), "leader", 1.5, choices=_WAYS)
    one = tuple(f"{number} {way}" for number in (1, 2, 3) for way in _WAYS)
    yield Kind("etcd-one-cut", "host", (0.1, LONG), ("etcd-link:{t}",), "leader", choices=one)
    yield Kind("host-cut", "host", (0.1, 12), ("etcd-link:{t}", "p2p:*"), "leader", choices=_WAYS)
    yield Kind("etcd-lossy", "host", (1, 15), ("etcd-link:{t}",), "leader", choices=("0.05", "0.2", "0.4"))
    yield Kind("etcd-delayed", "host", (1, 15), ("etcd-link:{t}",), "leader", choices=("0.05", "0.2", "0.4", "0.8"))
    yield Kind("p2p-cut", "host", (0.5, 12), ("p2p:*",), "leader", choices=_WAYS)
    yield Kind("p2p-delayed", "host", (1, 15), ("p2p:*",), "leader", choices=("0.05", "0.3", "1"))
    yield Kind("p2p-one-cut", "host", (0.5, 12), ("p2p:*",), "leader", choices=one)
    yield Kind("p2p-lossy", "host", (1, 15), ("p2p:*",), "leader", choices=("0.05", "0.2", "0.4"))
    yield Kind("node-clock-jumped", "host", (1, 8), _HOST, "group", 0.7, tail=5.0, choices=_SHIFTS)
    jumps = ("+3600", "-3600", "+7", "-7", "+86400")
    yield Kind("clock-jumped", "host", (1, 15), ("clock:{t}",), "nobody", tail=2.0, choices=jumps)
    yield Kind("file-failed", "host", (0.5, 10), ("file:{t}",), "leader")
    yield Kind("etcd-killed", "etcd", (0.1, LONG), ("etcd:{t}",), "pair", 1.5)
    yield Kind("etcd-frozen", "etcd", (0.1, LONG), ("etcd:{t}",), "pair", 1.5)
    yield Kind("etcd-muted", "etcd", (0.1, LONG), ("etcd:{t}",), "pair")
    yield Kind("etcd-pair-cut", "etcd", (0.1, LONG), ("etcd:*",), "pair", choices=one)
    yield Kind("etcd-peers-delayed", "etcd", (1, 12), ("etcd:{t}",), "pair", choices=("0.02", "0.1", "0.4"))
    yield Kind("etcd-disk-slow", "etcd", (1, 12), ("etcd:{t}",), "pair", choices=("0.05", "0.3", "1", "3"))
    yield Kind("etcd-replaced", "etcd", (0, 0), ("etcd:*",), "pair", 0.5, tail=5.0)
    yield Kind("etcd-split", "group", (0.5, 10), ("etcd:*",), "group", 0.7)
    yield Kind("etcd-nospace", "group", (1, 8), ("etcd:*",), "group", 0.7, tail=5.0)
    yield Kind("etcd-compacted", "group", (0, 0), ("compaction",), "nobody", 0.7, tail=0.0)
    yield Kind("leader-put", "host", (0, 0), ("words",), "group", 1.5)
    yield Kind("leader-put-nobody", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("leader-garbled", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("leader-deleted", "group", (0, 0), ("words",), "group")
    yield Kind("override-named", "host", (2, 10), ("words",), "group")
    yield Kind("override-none", "group", (2, 6), ("words",), "group", 0.7)
    yield Kind("lease-revoked", "group", (0, 0), ("words",), "group", 0.7)
    yield Kind("heartbeat-garbled", "group", (0, 0), ("words",), "group", 0.5)
    yield Kind("drain", "host", (2, 10), ("words",), "group", 0.7)
    yield Kind("override-garbled", "group", (1, 6), ("words",), "nobody", 0.4)
    yield Kind("override-reasoned", "host", (2, 8), ("words",), "group", 0.7)
    yield Kind("switchover", "host", (0, 0), ("words",), "group", choices=("now", "gap"))
    yield Kind("nodeos-resumed", "host", (0, 0), _HOST, "leader", 0.7)
    yield Kind("nodeos-paused", "host", (0, 0), _HOST, "leader", 0.7, tail=8.0)
    yield Kind("maintenance", "group", (1, 10), ("words",), "group", 0.7)


KINDS = {kind.name: kind for kind in _kinds()}


@dataclass(frozen=True)
class Fault:
    """One fault. `at` in seconds from the start of its round; `length` in seconds, 0 for what is over at once."""

    number: int
    at: float
    kind: str
    target: str
    length: float
    choice: str = ""

    def __str__(self) -> str:
        words = [
            f"#{self.number}",
            self.kind,
            self.target,
            self.choice,
            f"for {self.length:g} s" if self.length else "",
        ]
        return " ".join(word for word in words if word)

    @property
    def parts(self) -> tuple[str, ...]:
        """What it occupies."""
        return tuple(part.format(t=self.target) for part in KINDS[self.kind].parts)


@dataclass(frozen=True)
class Plan:
    """All faults, in rounds. `seed` and `hosts` make it again; a plan of fewer faults is the beginning of a longer."""

    seed: int
    hosts: tuple[str, ...]
    rounds: tuple[tuple[Fault, ...], ...]


def same_part(one: str, two: str) -> bool:
    """Whether two parts are one, or one of them stands for all of its sort."""
    if one == two:
        return True
    sort_one, _, name_one = one.partition(":")
    sort_two, _, name_two = two.partition(":")
    return sort_one == sort_two and "*" in (name_one, name_two)


def overlap(one: Fault, two: Fault) -> bool:
    """Whether two faults of one round are at one part at one time, recovery included."""
    first, second = sorted((one, two), key=lambda fault: fault.at)
    if second.at >= first.at + first.length + KINDS[first.kind].tail:
        return False
    return any(same_part(a, b) for a in first.parts for b in second.parts)


def make_plan(seed: int, faults: int, hosts: Sequence[str]) -> Plan:
    """Draw a plan of `faults` faults for these hosts."""
    rng = random.Random(seed)  # noqa: S311 - a plan that can be drawn again, nothing secret
    rounds = tuple(_round(rng, first + 1, hosts)[: faults - first] for first in range(0, faults, ROUND))
    return Plan(seed, tuple(hosts), rounds)


def _round(rng: random.Random, first: int, hosts: Sequence[str]) -> tuple[Fault, ...]:
    found: list[Fault] = []
    at = rng.uniform(0.5, 2.0)
    while len(found) < ROUND:
        fault = _draw(rng, first + len(found), at, hosts)
        active = [each for each in found if each.at + each.length > fault.at]
        if len(active) >= ACTIVE or any(overlap(each, fault) for each in found):
            at += 0.1  # another one may fit, a little later at the latest
            continue
        found.append(fault)
        at += rng.uniform(0.0, 0.5) if rng.random() < PAIRED else rng.uniform(*SPACING)
    return tuple(found)


def _draw(rng: random.Random, number: int, at: float, hosts: Sequence[str]) -> Fault:
    kinds = list(KINDS.values())
    kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
    target = {"host": rng.choice(hosts), "etcd": rng.choice(MEMBERS), "group": ""}[kind.scope]
    shortest, longest = kind.lengths
    length = math.exp(rng.uniform(math.log(shortest), math.log(longest))) if longest else 0.0
    return Fault(number, round(at, 2), kind.name, target, round(length, 2), rng.choice(kind.choices))
