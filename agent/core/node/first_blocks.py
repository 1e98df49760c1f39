"""Whether a leader really produces, by the chains of the group (P2). Pure; `plan` draws the conclusion.

nodeos answers ok to a resume and signs nothing when its key is wrong, its wallet is gone or its chain is stale; or its
blocks reach nobody. So all through a tenure a leader looks for the newest of its slots: as soon as `SLOTS` of them in a
row are on nobody's chain, though the chain goes on, it leads in vain.

Whose chain counts: those of the others decide that a block is there; our own as well while no other member can tell.
That none is there our own chain may say too, for it has whatever our nodeos signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.blocks.schedule import ProducerWindows
from agent.core.election.ranking import NO_MEASURE
from agent.core.model.records import Member
from agent.core.model.slots import REPETITIONS, SLOT
from agent.core.model.store import Ms
from agent.core.node.state import Node, own_ms, own_windows, wall_of

SETTLED: Ms = 1000
"""After the resume: the first block came 0.95 s later at most, and one dated before may be the last leader's."""
SLOTS = 6
"""Half a window without one block: no fork at its edge, and no slow start of nodeos, takes so many."""
SEEN: Ms = 1500
"""A nodeos that is asked so long after the last of these slots has their blocks, if anybody made them."""
BLIND = (*NO_MEASURE, "head_age")
"""Who fails one of these is cut off or lags behind: that our blocks are not on its chain says nothing."""
TOLD: Ms = 4000
"""So long after it everybody has told: nodeos is asked once a second, and told of every two, or with promises."""
STILL: Ms = REPETITIONS * SLOT + TOLD
"""A leader in vain holds the chain up for its own window. A head that is older tells that the others do not sign
either: slots of such a time are judged by nobody."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """A member's chain: when its nodeos was asked, the date of its head, and that of its newest block of ours."""

    node: str
    asked: Ms
    head: Ms
    own: Ms


def unseen_from(node: Node, now: Ms) -> Ms | None:
    """Return the date from which on no block of the tenure was seen yet; None while nothing is judged.

    It moves on with each block that is seen, and with the time while the chain stands still for everybody.
    """
    wall, since = wall_of(node, now), node.assessment.unseen
    windows = own_windows(node)
    if not node.leadership.leads or wall is None or windows is None:
        return None
    if since is None or node.finality.excused:
        return wall + SETTLED
    mine, others = _mine(node), _others(node)
    newest = max((each.own for each in others or mine), default=0)
    since = newest + 1 if newest >= since else since
    head = max((each.head for each in (*others, *mine)), default=wall)
    return max(since, wall) if not windows.alone and wall > head + STILL else since


def barren(node: Node, now: Ms) -> str:
    """Return why the tenure that leads is in vain, nothing while it is not or nobody can tell."""
    chance, wall = _chance(node), wall_of(node, now)
    if chance is None or wall is None or wall < chance[1] + SEEN:
        return ""
    windows, first, last = chance[2], chance[0], chance[1]
    sights = (*(_others(node) if wall >= last + TOLD else ()), *_mine(node))
    seen_by = [
        each.node
        for each in sights
        if each.asked > last + SEEN and each.own < first and (windows.alone or each.head > first)
    ]
    if not seen_by or _mistaken(node, windows, first, last):
        return ""
    return f"none of its last {SLOTS} slots is on the chain of {', '.join(seen_by)}"


def looks_at(node: Node, now: Ms) -> list[Ms]:
    """Return when (CLOCK_BOOTTIME) verdicts are due."""
    chance, wall = _chance(node), wall_of(node, now)
    return [now + chance[1] + span - wall for span in (SEEN, TOLD)] if chance is not None and wall is not None else []


def _chance(node: Node) -> tuple[Ms, Ms, ProducerWindows] | None:
    """Return the dates of the first and the last slot that the tenure is judged by, and the turns that they are in."""
    windows = own_windows(node)
    since = node.assessment.unseen
    return (*windows.own(since, SLOTS), windows) if windows is not None and since is not None else None


def _others(node: Node) -> tuple[_Sight, ...]:
    """Return what the others see whose chain counts."""
    return tuple(
        _Sight(each.node, min(each.asked_ms, _heard(node, each)), each.asked_ms - each.head_age_ms, each.own_ms)
        for each in node.members
        if each.node != node.leadership.identity.node and each.asked_ms and not any(map(each.fails, BLIND))
    )


def _heard(node: Node, member: Member) -> Ms:
    """Return the date by our own clock when a member was last heard: its own clock may be ahead, and its word old."""
    told = [each.at for each in node.leadership.sights if each.node == member.node]
    return wall_of(node, max(*told, node.heard.get(member.node, (0, 0))[1], 0)) or member.asked_ms


def _mine(node: Node) -> tuple[_Sight, ...]:
    """Return what we see on our own chain."""
    info = node.health.info
    if info is None:
        return ()
    return (_Sight(node.leadership.identity.node, node.health.info_wall, info.head_time, own_ms(node)),)


def _mistaken(node: Node, windows: ProducerWindows, first: Ms, last: Ms) -> bool:
    """Tell whether another producer signed in these slots: then the schedule is not what we take it for."""
    blocks, ours = node.watch.chain.blocks.values(), node.leadership.identity.producer
    return any(first <= each.time <= last and each.producer != ours and windows.ours_at(each.time) for each in blocks)
