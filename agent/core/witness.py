"""Whether a new leader really produces, by the chains of the other members (P2). Pure; `planning` draws the conclusion.

nodeos answers ok to a resume and signs nothing when its key is wrong, when its chain is stale, or when its blocks reach
nobody. So a new leader looks for its first slots in the reports of others: none of them there, and it leads in vain.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.election import NO_MEASURE
from agent.core.records import Member
from agent.core.store import Ms
from agent.core.turns import Turns, turns
from agent.core.whole import Node, wall_of

SETTLED: Ms = 1000
"""After the resume: the first block came 0.95 s later at most, and one dated before may be the last leader's."""
SLOTS = 6
"""Half a window without one block: no fork at its edge, and no slow start of nodeos, takes so many."""
SEEN: Ms = 1500
"""A nodeos that is asked so long after the last of these slots has their blocks, if anybody made them."""
BLIND = (*NO_MEASURE, "head_age")
"""Who fails one of these is cut off or lags behind: that our blocks are not on its chain says nothing."""
TOLD: Ms = 4000
"""So long after it everybody has told: nodeos is asked once a second, and members report every two."""


def fruitful(node: Node) -> bool:
    """Tell whether some other member has a block of the tenure that leads."""
    chance = _chance(node)
    return chance is not None and any(member.own_ms >= chance[0] for member in _witnesses(node, 0))


def barren(node: Node, now: Ms) -> str:
    """Return why the tenure that leads is in vain, nothing while it is not or nobody can tell."""
    chance, wall = _chance(node), wall_of(node, now)
    if chance is None or wall is None or wall < chance[1] + TOLD or fruitful(node):
        return ""
    seen_by = [member.node for member in _witnesses(node, chance[1] + SEEN)]
    return f"none of its first {SLOTS} slots is on the chain of {', '.join(seen_by)}" if seen_by else ""


def looks_at(node: Node, now: Ms) -> Ms | None:
    """Return when (CLOCK_BOOTTIME) the verdict is due, None if none is."""
    chance, wall = _chance(node), wall_of(node, now)
    return now + chance[1] + TOLD - wall if chance is not None and wall is not None else None


def _chance(node: Node) -> tuple[Ms, Ms] | None:
    """Return the dates of the first and the last slot that the tenure is judged by."""
    place: Turns | None = turns(node.health.schedule, node.leadership.setup.producer)
    begun = node.judgement.begun
    return place.own(begun, SLOTS) if place is not None and begun is not None else None


def _witnesses(node: Node, asked: Ms) -> Iterator[Member]:
    """Yield the others whose chain counts and whose nodeos answered at `asked` or later."""
    for member in node.members:
        other = member.node != node.leadership.setup.node
        if other and member.asked_ms > asked and not any(map(member.fails, BLIND)):
            yield member
