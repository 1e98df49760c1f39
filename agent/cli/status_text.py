"""How the data of `status` looks on a terminal. Data in, something that rich can print out; nothing is read here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.cli.output import grid
from agent.group.handover import STEPS, progress

_MEMBERS = ("node", "role", "health", "head", "lag", "age", "prio")
_DETAILS = ("node", "irreversible", "agent", "nodeos", "http")
UNSEEN = ("no healthy standby", "agents of several versions")
"""Warnings that no other line tells."""
LATEST = 12
"""Changes that the live view keeps in sight."""


def table(data: dict[str, Any], *, extended: bool = False) -> Group:
    """Return the group for the eyes: who leads, words of operators, the members, then what is wrong."""
    lines: list[Text | Table] = [_headline(data), *_words(data), _members(data)]
    if extended:
        lines += [Text(""), _details(data), Text(_heartbeat(data), style="dim")]
    lines += [Text(f"{member['node']}: {why}") for member in data["members"] for why in member["reasons"]]
    lines += [Text(f"! {reason}", style="bold red") for reason in data["why"]]
    lines += [Text(f"! {each}", style="yellow") for each in data["warnings"] if each in UNSEEN]
    return Group(*lines)


def live(data: dict[str, Any], events: list[str], *, extended: bool = False) -> Group:
    """Return the same with the latest changes below, newest last; for a view that is drawn again and again."""
    return Group(table(data, extended=extended), Text(""), *(Text(line, style="dim") for line in events[-LATEST:]))


def _headline(data: dict[str, Any]) -> Text:
    heartbeat, group = data["heartbeat"], data["group"]
    if heartbeat is None:
        return Text(f"{group}: nobody has ever led", style="bold")
    if heartbeat["state"] == "released":
        reason = f" ({heartbeat['reason']})" if heartbeat["reason"] else ""
        return Text(f"{group}: nobody leads; {heartbeat['node']} released epoch {heartbeat['epoch']}{reason}")
    since = f" since {_when(data['since'])}" if data["since"] else ""
    by = f", with {', '.join(peers)} as witness" if (peers := heartbeat["peers"]) else ""
    return Text(f"{group}: {heartbeat['node']} leads epoch {heartbeat['epoch']}{since}{by}", style="bold")


def _when(iso: str) -> str:
    """Return a time of the data as people write it."""
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(data: dict[str, Any]) -> list[Text]:
    """Return what operators have said and is in force, and how far a handover is."""
    lines = []
    if data["override"]:
        who = f"only {data['override']['leader']}" if data["override"]["leader"] else "nobody"
        about = ", ".join(text for text in (data["override"]["reason"], data["override"]["by"]) if text)
        said = f"override: {who} may lead" + (f" ({about})" if about else "") + _ends(data["override"]["left"])
        lines.append(Text(said, style="bold yellow"))
    if data["maintenance"] is not None:
        said = f"maintenance: {data['maintenance'] or 'no reason given'}" + _ends(data["maintenance_left"])
        lines.append(Text(said, style="bold yellow"))
    for node, reason in data["drained"].items():
        lines.append(Text(f"drained: {node}" + (f", {reason}" if reason else ""), style="yellow"))
    if (found := progress(data)) is not None:
        step, text = found
        lines.append(Text(f"handover, {step + 1} of {len(STEPS)} ({STEPS[step]}): {text}", style="bold yellow"))
    lines += [Text(f"{each['node']}: {each['plan']}", style="yellow") for each in data["members"] if each["plan"]]
    return lines


def _ends(left: float | None) -> str:
    return "" if left is None else f", ends by itself in {left:.0f} s"


def _members(data: dict[str, Any]) -> Table:
    rows = grid(*_MEMBERS, folds=_MEMBERS)
    for member in data["members"]:
        health = Text("ok", style="green") if member["healthy"] else Text("unhealthy", style="bold red")
        rows.add_row(
            Text(member["node"], style="bold" if member["leads"] else ""),
            Text(_role(member, data)),
            health,
            _known(member["head"]),
            _known(member["lag"]),
            _known(member["head_age"], ".1f", " s"),
            str(member["priority"]),
        )
    if not data["members"]:
        rows.add_row(Text("none"))
    return rows


def _known(value: float | None, form: str = "", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _role(member: dict[str, Any], data: dict[str, Any]) -> str:
    out = ", drained" if member["drained"] or member["node"] in data["drained"] else ""
    role = "was leading" if member["role"] == "leading" and not member["leads"] else member["role"]
    return str(role) + out + (", held down" if member["held_down"] else "")


def _details(data: dict[str, Any]) -> Table:
    rows = grid(*_DETAILS, folds=_DETAILS)
    for member in data["members"]:
        texts = (member["agent"], member["nodeos"], member["url"])
        rows.add_row(Text(member["node"]), _known(member["irreversible"]), *(Text(text or "-") for text in texts))
    return rows


def _heartbeat(data: dict[str, Any]) -> str:
    heartbeat = data["heartbeat"]
    if heartbeat is None:
        return f"{data['prefix']} at revision {data['revision']}: no heartbeat"
    confirmed = {True: "confirmed while we looked", False: "not confirmed while we looked", None: "looked at once"}
    return (
        f"{data['prefix']} at revision {data['revision']}: heartbeat {heartbeat['seq']} of epoch {heartbeat['epoch']}, "
        f"valid for {heartbeat['validity']:g} s each, {confirmed[data['confirmed']]}"
    )
