"""What a leader does with its lead: to whom it hands over, why, and when (R3, R11). Pure questions about one agent.

What cannot wait is planned for now: faults that stop production, a tenure in vain. What can wait is planned for the
next gap between two windows of our producer, where a handover costs no slot: wishes, drained nodes, failback, and
faults that do not hinder production. That waits for etcd, too, for without it nobody can take over. Nothing here
concerns safety: a plan only says when the stop begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.core.election.ranking import ready
from agent.core.health.checks import check_of
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.operator import clock_text
from agent.core.model.records import Member
from agent.core.model.store import Ms
from agent.core.node import sights, votes
from agent.core.node.state import Node, Plan, own_windows, wall_of
from agent.core.node.switchover import wished

KEPT = ("can_lead",)
"""Checks that say nothing of a node that leads already: while its confirmations succeed it does."""
PATIENT = ("disk_space", "clock_offset")
"""Checks whose failure does not hinder production for the seconds that a gap is away."""
SILENT = "producing"
"""The check that only a leader can fail: that a candidate passes it does not tell that it would produce."""
SOON: Ms = 10_000
"""A fault that comes so soon after the resume is there whoever leads, or with every resume."""
STAYS: Ms = 5000
"""So long a leader that is held down stays before it hands over to another that is held down: doubled each time."""


def plan(node: Node, now: Ms) -> Plan | None:
    """Return what comes first of all that this node has reason to do with the lead; None while it just keeps it."""
    seen = node.leadership.seen
    if node.leadership.phase not in ACTIVE or seen.maintenance is not None:
        return None
    if seen.override is not None:
        return _anew(node, now) if seen.override.leader == node.leadership.identity.node else None
    return min(_plans(node, now), key=lambda each: each.at, default=None)


def _plans(node: Node, now: Ms) -> Iterator[Plan]:
    """Yield all reasons, the weightiest first."""
    others = there(node, now)
    sound = [member for member in others if not member.held_down_ms]
    names = [member.node for member in sound]
    if sound and (why := node.assessment.vain):
        before = node.leadership.tenure.before if node.leadership.tenure else ""
        yield Plan("barren", why, now, before if before in names else "", f"hands over: {why}")
    failing = [each for each in node.health.failing if check_of(each) not in (*node.assessment.insisted, *KEPT)]
    sure = any(not member.doubtful for member in sound or others)  # who begins to fail alike is no better candidate
    leaves = _leaves_at(node, sound, {check_of(each) for each in failing}.difference(PATIENT), now)
    if sure and leaves is not None:
        yield Plan("unhealthy", "; ".join(failing), leaves)
    if not node.leadership.leads or unheard(node, now):
        return
    if (anew := _anew(node, now)) is not None:
        yield anew
    if (wish := wished(node, others, now)) is not None and wish.plan is not None:
        yield wish.plan if wish.at_once else in_gap(node, wish.plan, now)
    if sound and sure and failing:
        yield in_gap(node, Plan("unhealthy", "; ".join(failing), now), now)
    if others and node.drained and "drained" not in node.assessment.insisted:
        yield in_gap(node, Plan("drained", _why_drained(node), now), now)
    better = node.assessment.better
    if better in names and now >= node.assessment.better_since + node.settings.policy.failback_after:
        yield in_gap(node, Plan("failback", f"{better} has been well again for a while", now, better), now)


def unheard(node: Node, now: Ms) -> bool:
    """Tell whether promises alone hold the lead: etcd has confirmed nothing for longer than it is left alone (R17)."""
    timing, lists = node.leadership.identity.timing, node.leadership.support.lists
    return bool(lists) and now > lists[0].at + timing.renew_seldom + timing.request


def _leaves_at(node: Node, sound: list[Member], grave: set[str], now: Ms) -> Ms | None:
    """Return when faults that stop production move the lead, None if they do not.

    Where all are held down, a leader that failed soon after its resume stays: for longer each time if it fails what the
    others do not. One that signs nothing stays until one of them is not held down any more: it cannot know that they
    would do better.
    """
    flaps = node.assessment.flaps
    if not grave or sound or not flaps.left(now):
        return now if grave else None
    if grave == {SILENT}:
        return None
    if not soon(node, flaps.times[-1]):
        return now
    return max(now, flaps.times[-1] + min(STAYS << max(0, len(flaps.times) - 2), node.settings.policy.hold_down_max))


def _anew(node: Node, now: Ms) -> Plan | None:
    """Return when a leader that signs nothing begins anew: at once, and then less and less often.

    It is resumed once more, with a new permit. A nodeos that does not answer would be ended instead, and is not.
    """
    mind, checks, why = node.assessment, node.health.checks, silent(node) or votes.again(node, now)
    deaf = any(not checks[name].ok for name in ("process", "main_thread") if name in checks)
    if not why or deaf or not node.leadership.leads or unheard(node, now):
        return None
    at, wall = max(now, mind.anew.until), wall_of(node, now)
    when = f" at {clock_text(wall + at - now)}" if wall is not None and at > now else ""
    return Plan("begins_anew", why, at, node.leadership.identity.node, f"begins anew{when}: {why}")


def soon(node: Node, now: Ms) -> bool:
    """Tell whether nodeos was resumed so shortly before that the tenure was worth nothing."""
    return node.leading_since is None or now - node.leading_since < SOON


def silent(node: Node) -> str:
    """Return why a leader is seen to sign nothing, nothing while it is not."""
    found = node.health.checks.get(SILENT)
    return node.assessment.vain or (found.reason if found is not None and found.known and not found.ok else "")


def others_of(node: Node) -> tuple[Member, ...]:
    """Return the other members that may lead."""
    return ready(node.leadership.identity.node, node.members)


def there(node: Node, now: Ms) -> tuple[Member, ...]:
    """Return those of them that are there: the lead may go to one of these now."""
    return tuple(member for member in others_of(node) if not sights.gone(node, member.node, now))


def _why_drained(node: Node) -> str:
    word = node.reports.drains.get(node.leadership.identity.node)
    if word is None:
        return "election.nofailover is set"
    by = f" by {word.by}" if word.by else ""
    return f"the key drain stands{by}" + (f": {word.reason}" if word.reason else "")


def in_gap(node: Node, wanted: Plan, now: Ms) -> Plan:
    """Return the plan, moved to the first gap from its time on; who is not scheduled has nothing to lose."""
    windows, wall = own_windows(node), wall_of(node, now)
    text = f"hands over to {wanted.to or 'whoever is best'}"
    if wall is None:
        return replace(wanted, text=f"{text}: {wanted.why}")
    date = wall + wanted.at - now
    begins = windows.gap(date, node.leadership.identity.timing.handover) if windows is not None else date
    when = f" at {clock_text(begins)}, in a gap" if begins > date else f" at {clock_text(begins)}"
    return replace(wanted, at=now + begins - wall, text=f"{text}{when if begins > wall else ''}: {wanted.why}")
