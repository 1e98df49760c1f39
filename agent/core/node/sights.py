"""What ages of a report travels with beats and promises, so that the report itself is written seldom. Pure.

A leader tells the members with each beat what its nodeos told last, and hears the same from each with its promise. So
while they hear each other, a report only has to say what seldom changes, and is written at once when that does.
Standbys do not hear each other: of another standby a standby knows what is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.core.leadership.actions import SendBeat, SendPromise
from agent.core.leadership.state import Phase
from agent.core.leadership.support import Told
from agent.core.model.copying import replace
from agent.core.model.peers import Sight
from agent.core.model.records import OFTEN, SELDOM, Member
from agent.core.model.store import Ms
from agent.core.node.state import Node, NodeAction, own_ms

IN_TOUCH: Ms = 2500
"""nodeos is asked once a second: a member that tells nothing new for so long is not heard, or has nothing to tell."""


def own(node: Node) -> Sight | None:
    """Return what our nodeos told last, None if it gives no answer."""
    info, wall = node.health.info, node.health.info_wall
    return None if info is None else Sight(info.head_num, info.lib_num, wall - info.head_time, wall, own_ms(node))


def telling(node: Node, actions: tuple[NodeAction, ...]) -> tuple[NodeAction, ...]:
    """Return the actions with what our nodeos told in each beat and promise."""
    return tuple(_told(node, each) for each in actions)


def _told(node: Node, action: NodeAction) -> NodeAction:
    match action:
        case SendBeat(beat):
            return replace(action, beat=replace(beat, sight=own(node)))
        case SendPromise(promise):
            return replace(action, promise=replace(promise, sight=own(node)))
    return action


def fresher(members: Iterable[Member], told: Iterable[Told], heard: Mapping[str, tuple[int, Ms]]) -> tuple[Member, ...]:
    """Return the reports with what was told since: `heard` says when each was first seen.

    When etcd was away they are seen anew, and are old all the same: then nodeos's own times tell which is newer.
    """
    known = {each.node: each for each in told}
    return tuple(_fresher(each, known.get(each.node), heard.get(each.node, (0, 0))[1]) for each in members)


def _fresher(member: Member, told: Told | None, since: Ms) -> Member:
    if told is None or (told.at < since and told.sight.asked_ms <= member.asked_ms):
        return member
    found = told.sight
    return replace(
        member,
        head=found.head,
        lib=found.lib,
        head_age_ms=found.head_age_ms,
        asked_ms=found.asked_ms,
        own_ms=found.own_ms,
    )


def gone(node: Node, name: str, now: Ms) -> bool:
    """Tell whether a member promises no more, and has not reported since: then its host may be lost.

    One that lives, and whose datagrams do not come, is there again with its next report.
    """
    timing, reported = node.leadership.identity.timing, node.heard.get(name, (0, 0))[1]
    heard = next((each.heard for each in node.leadership.support.votes if each.peer.node == name), None)
    return heard is not None and now > heard + timing.steady and reported <= heard + timing.late


def due(node: Node, now: Ms) -> Ms:
    """Return when our next report is due: no later than the last one says, for others hold us to that."""
    last = pace(node, now) if node.published is None else min(node.published.every_ms, pace(node, now))
    return node.published_at + last


def pace(node: Node, now: Ms) -> Ms:
    """Return how soon after a report of now the next one comes: seldom while what ages is told otherwise."""
    return SELDOM if _in_touch(node, now) else OFTEN


def _in_touch(node: Node, now: Ms) -> bool:
    """Tell whether all members that we would have to hear tell us how they are: of a leader all, else the leader."""
    state = node.leadership
    heard = {each.node for each in state.sights if now - each.at < IN_TOUCH}
    if state.leads:
        others = set(state.seen.names) - {state.identity.node}
        return bool(others) and others <= heard
    return state.phase is Phase.STANDBY and state.seen.last_holder in heard
