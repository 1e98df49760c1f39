"""Whether somebody signs of whom the store does not know (R18, R20): what our own chain shows of our blocks.

A block of our producer that comes while no heartbeat was ever seen is signed by a nodeos without an agent: one whose
agent is about to be started, or a stray. One that comes while a heartbeat stands as it was seen first, or is newer than
a release which did, shows that this store is not the leader's: a restored copy, an old cluster that nobody stopped.
Where nothing came after a release the time alone counts, but in `failsafe`, where that has no end.

A nodeos that is behind (it was just started, from a snapshot or after a day) has yet to see what was signed meanwhile:
a slot of ours has passed without a block only if it did so after our head had stood still for a while.
"""

from __future__ import annotations

from agent.core.leadership.actions import Warn
from agent.core.leadership.events import Ungoverned
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import PeersMode
from agent.core.model.chain import ChainInfo
from agent.core.model.operator import clock_text
from agent.core.model.slots import REPETITIONS, SLOT, date, slot_of
from agent.core.model.store import Ms
from agent.core.node.stage import NodeStep
from agent.core.node.state import Node, own_ms, own_windows, wall_of

ALONE = 6
"""Slots of a producer that is alone in the schedule: 3 s."""
ARRIVES: Ms = 1000
"""A block of another host is on our chain so long after its date at the latest, and was asked for once a second."""
LEVEL: Ms = 3000
"""A head that came no later has what others sign. One that did, and stood still for as long, may be its chain's."""
ASKED: Ms = 7000
"""The schedule is asked for every 5 s: on a chain that is level it is no older than this."""
SURE: Ms = 3000
"""Such blocks are told of once they have come for so long: an agent started with ours has adopted nodeos by then."""
WAITS = "does not take over: "
"""How that is shown begins so."""


def judged(node: Node, now: Ms) -> Ungoverned:
    """Return what our chain says of a heartbeat that nobody holds."""
    return Ungoverned(clear_at(node, now), newer(node))


def nobody_led(node: Node) -> bool:
    """Tell whether no heartbeat was ever seen, as far as this agent knows."""
    seen = node.leadership.seen
    return seen.heartbeat is None and seen.last_holder is None


def clear_at(node: Node, now: Ms) -> Ms:
    """Return from when on nobody signs, as our chain shows it (CLOCK_BOOTTIME); 0: it is so, or does not matter."""
    wall, info, state = wall_of(node, now), node.health.info, node.leadership
    if not nobody_led(node) and not state.unsure:
        return 0
    if state.doubted and state.identity.timing.peers is not PeersMode.FAILSAFE and not _contradicted(node):
        return 0  # nothing was seen since the release: once no confirmation can count nobody is left to sign
    if wall is None or info is None or not _schedule_holds(node, info):
        return now + ARRIVES  # nothing is known yet
    ours, end = own_windows(node), _behind_until(node, info)
    if ours is not None:  # else nobody signs for it
        if _unread(node, info):
            return now + SLOT
        last = last_own(node)
        since = max(end, last + SLOT if last or ours.alone else 0)
        if not ours.alone:
            since = max(since, _watched_since(node))
        end = ours.own(since, ALONE if ours.alone else REPETITIONS)[1] + (0 if ours.alone else ARRIVES)
    if node.health.info_wall >= end:
        return 0
    return now + max(end - wall, SLOT)  # nodeos has yet to tell how that window ended: silence of nodeos proves nothing


def newer(node: Node) -> bool:
    """Tell whether blocks of ours may have come after the release that stood there at first sight (R20)."""
    seen, info = node.leadership.seen, node.health.info
    record = seen.record
    if not seen.at_first or record is None or info is None or not _schedule_holds(node, info):
        return True
    ours = own_windows(node)
    if ours is None:  # nobody signs for it
        return node.health.info_wall < _behind_until(node, info)
    num, signed = (record.last_block.num, record.last_block.time) if record.last_block else (0, 0)
    if info.head_num < num or last_own(node) > signed or _unread(node, info):
        return True
    slot, _ = ours.own(max(signed + SLOT, _watched_since(node), _behind_until(node, info)), 1)
    return node.health.info_wall < slot + ARRIVES


def last_own(node: Node) -> Ms:
    """Return the date of the newest block of our producer that is known on our chain, 0: none is."""
    return max(own_ms(node), node.past.own if node.past else 0)


def _watched_since(node: Node) -> Ms:
    """Return the date from which on no own block can have been missed."""
    chain, past = node.watch.chain, node.past
    known = date(chain.since)
    if past is None or (past.head is not None and chain.since != slot_of(past.head.head_time) + 1):
        return known
    return min(known, past.since)


def _schedule_holds(node: Node, info: ChainInfo) -> bool:
    """Tell whether the schedule is that of our head: a chain that catches up comes by others between two questions."""
    return node.health.schedule is not None and info.head_time - node.health.schedule_head <= ASKED


def _unread(node: Node, info: ChainInfo) -> bool:
    """Tell whether blocks up to our head are still to be read, or taken: they may be ours."""
    chain = node.watch.chain
    return chain.top is None or chain.top.id != info.head_id or not chain.settled


def _behind_until(node: Node, info: ChainInfo) -> Ms:
    """Return until which date our chain may have lacked blocks that others have; 0: it does not."""
    moved = node.health.info_wall - (node.health.info_at - node.health.head_at)
    return 0 if moved - info.head_time <= LEVEL else moved + LEVEL


def tell(step: NodeStep) -> None:
    """Say whom to look for, once such blocks have come for a while; `status` shows it as what this node waits for."""
    if text := _contradiction(step.node):
        step.do(Warn("store_forgot", text))
    if text := waits_for(step.node, step.now):
        step.do(Warn("stray_block", text))
    if text := text or waits_long(step.node, step.now)[0] or _lacks(step.node, step.now):
        step.set_assessment(answer=f"{WAITS}{text}", answer_until=step.now + SURE)
    elif step.node.assessment.answer.startswith(WAITS):
        step.set_assessment(answer="")


def _lacks(node: Node, now: Ms) -> str:
    """Return what a node that waits for its chain has yet to see, where nothing speaks against a take-over so far."""
    if not _waits(node, now) or not node.health.info:
        return ""
    lacks = "its chain is behind" if _behind_until(node, node.health.info) else "a window of ours has to pass first"
    return f"nobody leads, and {lacks}: whether somebody signs is not seen yet"


def waits_long(node: Node, now: Ms) -> tuple[str, Ms]:
    """Return what this node waits for by time alone (R20), and for how long (ms); empty and 0 when it does not.

    While a heartbeat is held by a leader that may live, as its beats and its writes tell, nothing is said.
    """
    state, seen, free = node.leadership, node.leadership.seen, node.leadership.free_by_store()
    held = seen.record is not None and not seen.record.released
    lives = held and now < max(state.still_at, state.pledge.until)
    if state.phase is not Phase.STANDBY or free is None or now >= free or lives:
        return "", 0
    if now < seen.barred_until:
        why = "its etcd lost its data, or was restored"
    elif state.unsure:
        why = "it has not seen the heartbeat change, so this etcd may have been restored"
    else:
        return "", 0
    wall = wall_of(node, now)
    until = f" until {clock_text(wall + free - now)}" if wall is not None else " yet"
    return f"{why}; a confirmation that etcd forgot may count{until}", free - now


def waits_for(node: Node, now: Ms) -> str:
    """Return why this node leaves alone what nobody holds here; empty when it does not, or not for long yet."""
    state, wall, last = node.leadership, wall_of(node, now), last_own(node)
    since = node.store_since
    if not _waits(node, now) or wall is None or since is None or last < wall - (now - since) + SURE:
        return ""
    come = f"blocks of {state.identity.producer} come"  # the same words for each: others would be logged each time
    if state.unsure:
        return (
            f"nobody leads in this etcd, and yet {come}: an agent signs that uses another etcd, or a nodeos without an "
            "agent. Have all agents use one etcd, or stop that nodeos"
        )
    return (
        f"nobody leads, and yet {come}: a nodeos without an agent signs, and this node does not take over beside it. "
        "Start the agent of that node, or stop it; to have this node lead all the same, put its name into `leader`"
    )


def _waits(node: Node, now: Ms) -> bool:
    """Tell whether this node waits for its chain alone: where nobody ever led, operators who have spoken end that."""
    state, free = node.leadership, node.leadership.free_by_store()
    if state.phase is not Phase.STANDBY or now >= state.clear_at:
        return False
    if state.unsure:
        return free is not None and now >= free
    return nobody_led(node) and state.seen.override is None and state.seen.maintenance is None


def _contradiction(node: Node) -> str:
    """Return what speaks against the release that stood there at first sight; empty while nothing does for sure."""
    state = node.leadership
    named = state.seen.record is not None and state.seen.record.last_block is not None
    if state.phase is not Phase.STANDBY or not state.doubted or not named or not _contradicted(node):
        return ""
    return (
        f"the heartbeat says `released`, but blocks of {state.identity.producer} came after that: a snapshot of etcd "
        "may have been restored; no take-over by this node before a forgotten confirmation has ended"
    )


def _contradicted(node: Node) -> bool:
    """Tell whether our chain has a block of ours that is newer than what a release names, or than its first sight."""
    record = node.leadership.seen.record
    known = record.last_block.time if record and record.last_block else wall_of(node, node.store_since or 0)
    return known is not None and last_own(node) > known
