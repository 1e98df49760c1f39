"""Who may lead, and who goes first (R11). Pure questions about the members, no state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from agent.core.health.checks import NEAR, Health, Others
from agent.core.leadership.events import Eligibility
from agent.core.model.records import Member
from agent.core.model.slots import SLOT

NO_MEASURE = ("peers", "chain_id", "lib_progress")
"""A member that fails one of these is perhaps on a chain of its own."""
SPRING = 5
"""Spring 1 counts as generation 6, after Leap 5."""
EOSIO_1 = 8
"""EOSIO 1.8 is the oldest that anybody runs; Spring has not come that far."""
LAST = 10
"""Ranks that a node which is held down lets pass, 2 s by default: another that can take over has done so by then."""
MOST = 60
"""Characters of a version that are looked at."""


def others(me: str, members: Iterable[Member]) -> Others:
    """Return the furthest that any other member reports to be.

    A producer that is cut off from its peers goes on alone, ahead of the chain, and is no measure. Any other fault says
    nothing against a head: a leader with a full disk is still what a node that lags is behind.
    """
    rest = [member for member in members if member.node != me and not any(map(member.fails, NO_MEASURE))]
    if not rest:
        return Others()
    first = max(rest, key=lambda member: member.head)
    return Others(first.head, max(member.lib for member in rest), first.node)


def eligibility(
    me: Member, health: Health, members: Iterable[Member], holder: str | None, held: str = ""
) -> Eligibility:
    """Return what health and the other members make of this node, but for what it plans to do with the lead.

    The best candidate is not held down, has the lowest priority number, then the furthest head, then the newest nodeos
    and agent, then the first name. `holder`, who held the heartbeat last, is not waited for: when the seat is free, it
    has failed or been asked to step down. `held` says why this node is held down, if it is: it goes last, some seconds
    after all others. Not never: who reports that it may lead may be gone by now, or have to wait itself (R20).
    """
    others = [member for member in ready(me.node, members) if member.node != holder]
    kept = held if any(not member.held_down_ms for member in others) else ""
    fit = health.ok and not me.drained
    known = (*ready(me.node, members), me)
    rank = sum(_order(member, known) < _order(me, known) for member in others) + (LAST if kept else 0)
    why = "drained" if me.drained else "; ".join(health.reasons) or kept
    return Eligibility(fit, health.can_produce, rank, why)


def ready(me: str, members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the others that may lead."""
    return tuple(member for member in members if member.node != me and member.healthy and not member.drained)


def lag(member: Member, members: Iterable[Member]) -> int:
    """Return how many blocks a member is behind the furthest, but for those that may have come since its report."""
    first = max(members, key=lambda each: each.head, default=member)
    since = min(max(0, first.asked_ms - member.asked_ms), member.every_ms) if member.asked_ms else 0
    return max(0, first.head - member.head - since // SLOT)


def _order(member: Member, members: Iterable[Member]) -> tuple[bool, int, int, tuple[int, ...], tuple[int, ...], str]:
    return (
        member.held_down_ms > 0,
        member.priority,
        max(0, lag(member, members) - NEAR),
        _newest_first(generation(member.nodeos)),
        _newest_first(numbers(member.version)),
        member.node,
    )


def _newest_first(version: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-part for part in version)


@lru_cache(maxsize=64)  # a group knows few versions, and each step compares them
def numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, zeros for what it does not tell."""
    found = [int(part) for part in re.findall(r"[0-9]+", version[:MOST])[:3]]
    return tuple([*found, 0, 0, 0][:3])


def generation(version: str) -> tuple[int, ...]:
    """Return the version of nodeos in the order of time: Spring began anew at 1.0 after Leap 5; EOSIO had 1.8."""
    major, *rest = numbers(version)
    spring = major == 1 and rest[0] < EOSIO_1
    return (major + SPRING if spring else major, *rest)
