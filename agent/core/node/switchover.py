"""What a leader makes of a wish to hand over: when it is due, and why it is refused. Pure questions about one agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.core.election.ranking import lag
from agent.core.model.operator import NOW, Switchover, clock_text, moment
from agent.core.model.records import Member
from agent.core.model.slots import REPETITIONS
from agent.core.model.store import Ms
from agent.core.node.sights import gone
from agent.core.node.state import Node, Plan, member_of, wall_of

AHEAD: Ms = 30 * 24 * 3600 * 1000
"""A wish for a later moment is refused: a slip of the pen would stand until an operator remembers it."""
LAG = REPETITIONS
"""Blocks that a node may seem behind, beside those that came since it was asked: half a round."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish that stands: either planned (then `at_once`, or for a gap), or refused."""

    plan: Plan | None = None
    at_once: bool = False
    refused: str = ""


def wished(node: Node, others: Sequence[Member], now: Ms) -> Wish | None:
    """Return what the wish that stands comes to, None when none does. Until it is due it waits unjudged.

    `others` are the members that may lead.
    """
    wish = node.leadership.seen.switchover
    if wish is None or node.reports.switchover_revision == node.assessment.refused:
        return None
    due, wall = moment(wish.when), wall_of(node, now)
    why = _why(wish)
    if due is not None and wall is not None and due - wall > AHEAD:
        return Wish(refused=f"{clock_text(due)} is more than {AHEAD // 86_400_000} days ahead")
    if due is not None and (wall is None or wall < due):
        at = now + due - wall if wall is not None else now + 1000
        text = f"hands over to {wish.to or 'whoever is best'} from {clock_text(due)} on, in a gap: {why}"
        return Wish(Plan("switchover", why, at, wish.to, text), at_once=True)
    if refused := _refused(node, wish, others, now):
        return Wish(refused=refused)
    text = f"hands over to {wish.to or 'whoever is best'} now: {why}"
    return Wish(Plan("switchover", why, now, wish.to, text), at_once=wish.when == NOW)


def _why(wish: Switchover) -> str:
    """Return who asked, and what for."""
    return f"asked for by {wish.by or 'somebody'}" + (f": {wish.reason}" if wish.reason else "")


def _refused(node: Node, wish: Switchover, others: Sequence[Member], now: Ms) -> str:
    """Return why a wish cannot be granted; nothing when it can."""
    seen = node.leadership.seen
    if seen.override is not None:
        return f"an override says that {seen.override.leader or 'nobody'} shall lead: delete it first"
    if seen.maintenance is not None:
        return "maintenance is on: delete it first"
    if wish.to == node.leadership.identity.node:
        return f"{wish.to} leads already"
    if not wish.to:
        if wish.force or any(not member.held_down_ms for member in others):
            return "" if others else "nobody else may lead"
        return f"{others[0].node} is held down" if others else "nobody else may lead"
    member = next((each for each in node.members if each.node == wish.to), None)
    if member is None:
        return f"{wish.to} is not among the members: its agent is not there"
    if gone(node, wish.to, now):
        return f"{wish.to} promises no more, and has not reported since: is its host there?"
    if not member.able:
        return f"{wish.to} cannot produce: {'; '.join(member.reasons) or 'no reason given'}"
    return "" if wish.force else _not_good(node, member, now)


def _not_good(node: Node, member: Member, now: Ms) -> str:
    """Return why a member that could produce should not lead now."""
    behind = lag(member, (member, member_of(node, now)))
    if member.drained:
        return f"{member.node} is drained"
    if not member.healthy:
        return f"{member.node} is unhealthy: {'; '.join(member.reasons) or 'no session in etcd'}"
    if behind > LAG:
        return f"{member.node} lags {behind} blocks behind"
    if member.held_down_ms:
        return f"{member.node} failed again and again and is held down for {member.held_down_ms / 1000:.0f} s more"
    return ""
