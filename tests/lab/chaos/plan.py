"""Faults as data, drawn from a seed. Pure: no process, no clock, no network."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.chaos.kinds import GATED, KINDS, MEMBERS, PLAIN, Kind

ROUND = 10
"""Faults between two rests, in which all is healed and somebody has to produce (P2)."""
PAIRED = 0.35
"""How many of the faults follow the one before within half a second."""
SPACING = (2.0, 4.0)
ACTIVE = 4
"""Faults at once, at the most."""


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
    """All faults, in rounds. The other fields make it again; one of fewer faults begins a longer one."""

    seed: int
    hosts: tuple[str, ...]
    rounds: tuple[tuple[Fault, ...], ...]
    gate: bool = False
    """Whether nodes sign through gates."""
    failsafe: bool = False
    """Whether promises count for as long as etcd is away (peers.mode)."""


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


def make_plan(seed: int, faults: int, hosts: Sequence[str], *, gate: bool = False, failsafe: bool = False) -> Plan:
    """Draw a plan of `faults` faults for these hosts; with `gate` for nodes that sign through gates."""
    rng = random.Random(seed)
    kinds = list((GATED if gate else PLAIN).values())
    rounds = tuple(_round(rng, first + 1, hosts, kinds)[: faults - first] for first in range(0, faults, ROUND))
    return Plan(seed, tuple(hosts), rounds, gate, failsafe)


def _round(rng: random.Random, first: int, hosts: Sequence[str], kinds: Sequence[Kind]) -> tuple[Fault, ...]:
    found: list[Fault] = []
    at = rng.uniform(0.5, 2.0)
    while len(found) < ROUND:
        fault = _draw(rng, first + len(found), at, hosts, kinds)
        active = [each for each in found if each.at + each.length > fault.at]
        if len(active) >= ACTIVE or any(overlap(each, fault) for each in found):
            at += 0.1  # another one may fit, a little later at the latest
            continue
        found.append(fault)
        at += rng.uniform(0.0, 0.5) if rng.random() < PAIRED else rng.uniform(*SPACING)
    return tuple(found)


def _draw(rng: random.Random, number: int, at: float, hosts: Sequence[str], kinds: Sequence[Kind]) -> Fault:
    kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
    target = {"host": rng.choice(hosts), "etcd": rng.choice(MEMBERS), "group": ""}[kind.scope]
    shortest, longest = kind.lengths
    length = math.exp(rng.uniform(math.log(shortest), math.log(longest))) if longest else 0.0
    return Fault(number, round(at, 2), kind.name, target, round(length, 2), rng.choice(kind.choices))
