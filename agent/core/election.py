"""Who goes first, and whether somebody else should lead instead (R11). Pure questions about the members, no state."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.events import Standing
from agent.core.health import NEAR, Health, Others
from agent.core.records import Member

NO_MEASURE = ("peers", "chain_id", "lib_progress")
"""A member that fails one of these is perhaps on a chain of its own."""


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


def standing(me: Member, health: Health, members: Iterable[Member], holder: str | None) -> Standing:
    """Return what health and the other members make of this node.

    The best candidate has the lowest priority number, then the furthest head, then the first name. A leader that is
    unhealthy or drained hands over only if somebody is there who may lead: else it stays. `holder`, who held the
    heartbeat last, is not waited for: when the seat is free, it has failed or been asked to step down.
    """
    rest = [member for member in members if member.node != me.node]
    ready = [member for member in rest if member.healthy and not member.drained]
    fit = health.ok and not me.drained
    ahead = max((member.head for member in (*ready, me)), default=0)
    rank = sum(_order(member, ahead) < _order(me, ahead) for member in ready if member.node != holder)
    why = "drained" if me.drained else "; ".join(health.reasons)
    handover = why if me.drained else "; ".join(health.failing)
    handover = handover if ready else ""
    return Standing(fit, health.able, rank, why, handover)


def _order(member: Member, ahead: int) -> tuple[int, int, str]:
    return (member.priority, max(0, ahead - member.head - NEAR), member.node)
