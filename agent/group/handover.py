"""How far a change of leader has come, and what changed between two looks: data of `status` in, words out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEPS = ("asked", "stopping", "released", "taking over", "leading")
"""The way of a handover, as the keys of the group tell it."""
_STOPPING = ("stopping", "releasing")
_TAKING = ("campaigning", "elected")


def progress(data: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return which of STEPS a handover is at (from 0), and what happens there; None when none is under way."""
    heartbeat, wish = data["heartbeat"], data["switchover"]
    roles = {member["node"]: member["role"] for member in data["members"]}
    stopping = next((node for node, role in roles.items() if role in _STOPPING), None)
    taking = next((node for node, role in roles.items() if role in _TAKING), None)
    if taking is not None and (heartbeat is None or heartbeat["node"] == taking or heartbeat["state"] == "released"):
        return 3, f"{taking} takes over"
    if heartbeat is not None and heartbeat["state"] == "released":
        waiting = data["override"] is None or data["override"]["leader"] is not None
        return (2, f"{heartbeat['node']} has stopped and released the lead") if waiting else None
    if stopping is not None:
        return 1, f"{stopping} stops: pause, proof, release"
    if wish is not None:
        return 0, _asked(wish)
    if data["nominated"] and heartbeat is not None and data["leader"] != heartbeat["node"]:
        return 0, f"{data['leader']} was named by hand"
    return None


def _asked(wish: Mapping[str, Any]) -> str:
    when = {"now": "at once", "gap": "in the next gap between own windows"}.get(wish["when"], f"at {wish['when']}")
    by = f" (by {wish['by']})" if wish.get("by") else ""
    return f"{wish['to'] or 'whoever is best'} shall lead, {when}{by}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what changed between two looks, a line each, the words of operators first."""
    lines: list[str] = []
    for word, on, off in (
        ("override", "an override is on", "the override is over"),
        ("maintenance", "maintenance is on", "maintenance is over"),
        ("switchover", "a switchover is asked for", "the switchover is consumed"),
    ):
        if before[word] != after[word]:
            lines.append(off if after[word] is None else f"{on}{_detail(word, after[word])}")
    lines += [f"{node} is drained" for node in after["drained"] if node not in before["drained"]]
    lines += [f"{node} is no longer drained" for node in before["drained"] if node not in after["drained"]]
    lines += _members(before, after)
    lines += _lead(before["heartbeat"], after["heartbeat"])
    return lines


def _detail(word: str, value: Any) -> str:
    if word == "switchover":
        return f": {_asked(value)}"
    if word == "override":
        return f": {value['leader'] or 'nobody'} may lead"
    return f": {value}" if value else ""


def _members(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    old, new = ({each["node"]: each for each in data["members"]} for data in (before, after))
    lines = [f"{node} has gone" for node in old if node not in new]
    for node, member in new.items():
        if node not in old:
            lines.append(f"{node} has come")
            continue
        if member["role"] != old[node]["role"]:
            lines.append(f"{node}: {old[node]['role']} -> {member['role']}")
        if member["healthy"] != old[node]["healthy"]:
            why = "; ".join(member["reasons"]) or "no reason given"
            lines.append(f"{node} is healthy" if member["healthy"] else f"{node} is unhealthy: {why}")
    return lines


def _lead(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    if after is None:
        return [] if before is None else ["the heartbeat was deleted"]
    if before is not None and (before["epoch"], before["state"]) == (after["epoch"], after["state"]):
        return []
    if after["state"] == "released":
        return [f"{after['node']} released epoch {after['epoch']}: {after['reason']}"]
    return [f"{after['node']} holds epoch {after['epoch']}"]
