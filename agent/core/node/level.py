"""Whether our chain has what the last leader is known to have signed: who takes over without it splits the chain. Pure.

A nodeos that was frozen until a moment ago, replays, or gets no blocks answers every question well and is seconds
behind. On a chain of one producer what it would sign on an old block is another chain for good, and the blocks of the
leader before are lost. Reports are too old to show it, so a member goes by signs of the leader's life: who confirms or
sends beats has signed its slots, unless it has reported that it did not.

It waits for `LOST` at most: blocks that nobody else has are lost with their host, and the group goes on (P2).
"""

from __future__ import annotations

from agent.core.election.ranking import NO_MEASURE
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import seconds
from agent.core.model.records import Heartbeat, Member
from agent.core.model.store import Ms
from agent.core.node.state import Node, own_windows, wall_of

ARRIVES: Ms = 1000
"""A block is on the chains of all others so long after its date at the latest."""
TOLD_LATE: Ms = 2000
"""A confirmation may be told so late: the members of etcd may have to elect a leader before they tell it."""
LOST: Ms = 3000
"""A node that may take over waits so long for blocks that it lacks: a nodeos that can get them has them by then."""


def behind(node: Node, now: Ms) -> str:
    """Return what our chain lacks of the last leader's blocks; nothing if nothing, or it was waited for long enough."""
    until, info, known = waits_until(node), node.health.info, newest(node, now)
    if info is None or until is None or now >= until:
        return ""
    lacks = min(known, node.health.info_wall - ARRIVES)
    if info.head_time >= lacks:
        return ""
    return f"its chain is behind: at least {seconds(lacks - info.head_time)} of the last leader's blocks are missing"


def waits_until(node: Node) -> Ms | None:
    """Return until when blocks that are missing are waited for; None where they are not.

    A release names the last block, and who is elected waits for that one (R9): but not where nodeos was gone by then.
    """
    state = node.leadership
    record = state.seen.record
    if state.phase is not Phase.STANDBY or state.seen.heartbeat is None:
        return None
    if state.released and record is not None and record.last_block is not None:
        return None
    free = state.free_at()
    return None if free is None else free + LOST


def newest(node: Node, now: Ms) -> Ms:
    """Return the date of the newest block that some leader is known to have signed, 0: none is known."""
    seen = node.leadership.seen
    record = seen.record
    sound = [each for each in node.members if not any(map(each.fails, NO_MEASURE))]
    told = max((_told(each, record) for each in sound), default=0)
    if record is None or record.released:
        return told  # what it signed until its nodeos was gone, or hung, is not known
    return max(told, _signed(node, record, now))


def _told(member: Member, record: Heartbeat | None) -> Ms:
    """Return the date of the newest block on a member's chain that others should have.

    If it signs, the last is lost with it. A report without an answer of nodeos, which is gone, still tells the block.
    """
    on_the_way = ARRIVES if record is not None and member.node == record.node else 0
    return min(member.own_ms, (member.asked_ms or member.own_ms) - on_the_way)


def _signed(node: Node, record: Heartbeat, now: Ms) -> Ms:
    """Return the date of the last block that the holder of the heartbeat signed for sure, by its last sign of life."""
    alive, wall = alive_at(node), wall_of(node, now)
    windows = own_windows(node)
    if not alive or wall is None or windows is None:
        return 0
    report = next((each for each in node.members if each.node == record.node and each.asked_ms), None)
    if report is not None and report.own_ms < windows.last(report.asked_ms - ARRIVES):
        return 0  # it led, and signed nothing
    return windows.last(wall - (now - alive) - ARRIVES)


def alive_at(node: Node) -> Ms:
    """Return when the holder of the heartbeat lived for sure (CLOCK_BOOTTIME), 0: it was not seen to.

    By its last beat, which comes from itself, or by its last confirmation, which etcd may have told late.
    """
    state = node.leadership
    confirmed = state.seen.heartbeat_since - TOLD_LATE if state.seen.moved else 0
    return max(confirmed, state.pledge.heard)
