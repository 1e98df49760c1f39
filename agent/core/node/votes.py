"""A leader whose nodeos is paused: by hand, or by itself for want of votes, which no change of leaders mends. Pure.

A new leader would be paused for the same reason 6 s later, and each resume takes the head further from the last
irreversible block. So the lead stays, people are told, and what can be mended is: the own key (`finalizer`), a resume
that came before nodeos was level with its chain, and a chain on which nobody makes a block. Blocks that are older than
30 s get no votes (Spring), so finalizers that are back have nothing to vote for until this leader is resumed once more.
"""

from __future__ import annotations

from agent.core.health.checks import LIB_STEP, NEAR, PausedProbed
from agent.core.health.finality import BEHIND, LATE, OTHERS, OWN, missing_votes, vote_ages
from agent.core.model.copying import replace
from agent.core.model.slots import SLOT
from agent.core.model.store import Ms
from agent.core.node.state import FinalityWatch, Node

FRESH: Ms = 5000
"""Votes are asked for once a second."""
CATCH_UP: Ms = 60_000
"""So long after its resume a node may be behind its chain, until that counts as a fault of its own."""
STANDS: Ms = 10_000
"""A chain whose head is so old stands still: a producer that misses its turn leaves out six seconds."""


def answered(node: Node, probe: PausedProbed, now: Ms) -> FinalityWatch:
    """Return what a leader knows of its votes once nodeos was asked whether it is paused: why it is, if by itself."""
    watch, since = node.finality, node.leading_since
    if since is None or probe.asked < since:
        return watch
    watch = replace(watch, unpaused=watch.unpaused or probe.paused is False)
    cause = _cause(replace(node, finality=watch), now) if probe.paused else ""
    return replace(watch, cause=cause, excused=_text(node, cause))


def _cause(node: Node, now: Ms) -> str:
    """Return whose votes are missing, or that nodeos was resumed before it was level; nothing if it is none of these.

    Not ours to excuse: votes of others that another member has, for its LIB moves on; and own votes though our key is
    the active one.
    """
    health, account = node.health, node.leadership.identity.producer
    found, info, since = health.finality, health.info, node.leading_since
    if since is None or found is None or not found.known or info is None or now - health.finality_at > FRESH:
        return ""  # what is old says that every vote is missing
    missing = missing_votes(found, account, info)
    if missing == OTHERS and _lib_elsewhere(node) > info.lib_num + LIB_STEP:
        return ""
    if missing == OWN and found.active_key(account) == node.settings.finalizer.key:
        return ""
    if not missing and not node.finality.unpaused and now - since <= CATCH_UP:
        return BEHIND
    return missing


def _text(node: Node, cause: str) -> str:
    """Return the same for people: why a nodeos that is paused is no reason to change leaders."""
    found, info = node.health.finality, node.health.info
    if not cause or found is None or info is None:
        return ""
    if cause == BEHIND:
        return "nodeos was resumed before it was level with the chain, and has paused itself"
    mine, others = vote_ages(found, node.leadership.identity.producer, info.head_time)
    age = mine if cause == OWN else others
    lasts = "" if age is None or age >= info.head_time else f" for {max(age, LATE) / 1000:.0f} s"
    return f"nodeos has paused itself: the {cause} are missing{lasts}"


def again(node: Node, now: Ms) -> str:
    """Return why a leader begins anew, which resumes once more: nodeos is level now, or the chain stands still.

    It must have stood still for as long as its blocks beyond LIB took. Each resume adds 6 s of blocks and makes the
    wait for the next one longer: an hour without votes takes the head some 500 blocks beyond LIB.
    """
    why, info = _cause(node, now) if node.finality.excused else "", node.health.info
    if not why or info is None or _head_elsewhere(node) - info.head_num > NEAR:
        return ""
    if why == BEHIND:
        return "nodeos is level now"
    if node.health.info_wall - info.head_time < max(STANDS, (info.head_num - info.lib_num) * SLOT):
        return ""
    return f"the {why} are missing, and nobody makes a new block that could be voted for"


def _lib_elsewhere(node: Node) -> int:
    return max((each.lib for each in node.members if each.node != node.leadership.identity.node), default=0)


def _head_elsewhere(node: Node) -> int:
    return max((each.head for each in node.members if each.node != node.leadership.identity.node), default=0)
