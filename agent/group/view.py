"""How a group is, read from its keys: keys in, plain data out. How it looks on a terminal stands in `cli.status`.

Whether a leader is alive cannot be seen in one look at its heartbeat, which bears no time of day, and is confirmed
seldom while peers promise. So its holder's report is looked at as well: one that says `leading`, and is of a moment
ago by its own time of day, suffices. Else two looks are compared: a heartbeat or such a report that changed is a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.core.blocks.sightings import strays
from agent.core.election.ranking import lag
from agent.core.model.belonging import clashes
from agent.core.model.keys import Keys
from agent.core.model.operator import Drain
from agent.core.model.records import GroupView, Heartbeat, Member, read_group
from agent.core.model.store import Ms, Snapshot
from agent.group import past

LATE: Ms = 2000
"""A report comes so late at most: nodeos was asked a second before, and clocks agree to a second."""


def lives(view: GroupView, before: GroupView) -> bool:
    """Tell whether the holder of the heartbeat was seen to live between two looks."""
    if view.heartbeat is None or view.heartbeat != before.heartbeat:
        return view.heartbeat is not None
    holder = _holder(view)
    return holder is not None and view.reported.get(holder.node) != before.reported.get(holder.node)


def fresh(view: GroupView, wall: Ms) -> bool:
    """Tell whether the holder of the heartbeat reported to lead a moment before `wall` (ms since 1970)."""
    holder = _holder(view)
    return holder is not None and abs(wall - holder.asked_ms) < holder.every_ms + LATE


def _holder(view: GroupView) -> Member | None:
    """Return the report of the member that holds the heartbeat, if it says that it leads."""
    held = view.held
    return next((each for each in view.members if held and (each.node, each.role) == (held.node, "leading")), None)


def group_view(
    names: Keys,
    first: Snapshot,
    second: Snapshot | None = None,
    left: Mapping[int, float] | None = None,
    *,
    seen: bool = False,
) -> dict[str, Any]:
    """Return what is known of the group as JSON-able data; `second` is a later look at the same prefix.

    `seen`: the first look sufficed to tell that the leader lives. `left`: for how many seconds leases that words of
    operators hang on are still good.

    `healthy` is false when nobody leads, when the leader is unhealthy, not confirmed between the two looks or not among
    the members, and when a value cannot be read; `why` has the reasons. A group that was told not to lead is healthy.
    `warnings`: what is in the way of the next failover, and the words of operators that are in force.
    Spans are seconds, `since` is ISO 8601.
    """
    view = read_group(names, second or first)
    heartbeat = view.record
    confirmed = seen or lives(view, read_group(names, first)) if second is not None else None
    why = _why(view, heartbeat, confirmed)
    members = tuple(sorted(view.members, key=lambda each: each.node))
    ends = {item.key: (left or {}).get(item.lease) for item in (second or first).items}
    return {
        "group": names.root.rstrip("/").rpartition("/")[2],
        "prefix": names.root,
        "revision": view.revision,
        "healthy": not why,
        "why": why,
        "warnings": _warnings(view, heartbeat),
        "leader": view.leader.name if view.leader else None,
        "nominated": bool(view.leader and not view.leader.lease),
        "confirmed": confirmed,
        "since": _since(names, second or first, heartbeat),
        "heartbeat": _heartbeat(heartbeat),
        "override": asdict(view.override) | {"left": ends.get(names.override)} if view.override else None,
        "maintenance": view.maintenance,
        "maintenance_left": ends.get(names.maintenance),
        "switchover": asdict(view.switchover) if view.switchover else None,
        "drained": {node: drain_reason(drain) for node, drain in sorted(view.drains.items())},
        "members": [_member(each, heartbeat, members) for each in members],
        "problems": list(view.problems),
    }


def drain_reason(drain: Drain) -> str:
    """Return why a node was drained, and by whom."""
    return f"{drain.reason} ({drain.by})".strip() if drain.by else drain.reason


def _why(view: GroupView, heartbeat: Heartbeat | None, confirmed: bool | None) -> list[str]:
    """Return why the group is not well."""
    why = [f"cannot be read: {problem}" for problem in view.problems]
    why += clashes({each.node: each.belonging for each in view.members})
    why += strays(view.members, led=view.heartbeat is not None)
    if view.override is not None and view.override.leader is None:
        return why
    if heartbeat is None or heartbeat.released:
        return [*why, "nobody leads"]
    if confirmed is False:
        why.append(f"{heartbeat.node} has not confirmed its lead while we looked")
    mine = next((member for member in view.members if member.node == heartbeat.node), None)
    if mine is None:
        why.append(f"{heartbeat.node} leads but is not among the members")
    elif not mine.healthy:
        why.append(f"{heartbeat.node} leads but is unhealthy: {'; '.join(mine.reasons) or 'no reason given'}")
    if view.leader is None or view.leader.name != heartbeat.node:
        named = view.leader.name if view.leader else "nobody"
        why.append(f"the seat names {named}, the heartbeat {heartbeat.node}: a change is under way")
    return why


def _warnings(view: GroupView, heartbeat: Heartbeat | None) -> list[str]:
    """Return what an operator should know of a group that is well."""
    found = []
    leader = heartbeat.node if heartbeat is not None and not heartbeat.released else None
    ready = [each for each in view.members if each.healthy and each.node != leader]
    if leader is not None and not any(not each.drained and each.node not in view.drains for each in ready):
        found.append("no healthy standby")
    if view.override is not None:
        found.append(f"an override is on: {view.override.leader or 'nobody'}")
    if view.maintenance is not None:
        found.append("maintenance is on")
    if view.drains:
        found.append(f"drained: {', '.join(sorted(view.drains))}")
    if len({each.version for each in view.members}) > 1:
        found.append("agents of several versions")
    return found


def _heartbeat(record: Heartbeat | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "node": record.node,
        "epoch": record.epoch,
        "state": "released" if record.released else "held",
        "seq": record.seq,
        "validity": record.validity_ms / 1000,
        "peers": [each.node for each in record.peers],
        "last_block": record.last_block.num if record.last_block else None,
        "reason": record.reason,
    }


def _member(member: Member, heartbeat: Heartbeat | None, members: tuple[Member, ...]) -> dict[str, Any]:
    return {
        "node": member.node,
        "leads": heartbeat is not None and not heartbeat.released and heartbeat.node == member.node,
        "role": member.role,
        "healthy": member.healthy,
        "reasons": list(member.reasons),
        "head": member.head or None,
        "lag": lag(member, members) if member.head else None,
        "head_age": max(0, member.head_age_ms) / 1000 if member.head else None,
        "irreversible": member.lib if member.head else None,
        "priority": member.priority,
        "drained": member.drained,
        "held_down": member.held_down_ms / 1000,
        "plan": member.plan,
        "agent": member.version,
        "nodeos": member.nodeos,
        "url": member.url,
    }


def _since(names: Keys, snapshot: Snapshot, heartbeat: Heartbeat | None) -> str | None:
    """Return when the epoch of the heartbeat began, from the history."""
    if heartbeat is None:
        return None
    return past.when(past.record_at(snapshot, names.history(heartbeat.epoch)).get("when_ms"))
