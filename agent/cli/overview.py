"""`status --all`: every group below the prefix, one row each, from two looks at all keys."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from agent.cli.look import Look, looks
from agent.cli.output import grid
from agent.cli.target import Target
from agent.core.model.fields import NAME
from agent.core.model.keys import Keys, keys
from agent.core.model.store import Snapshot
from agent.group.view import group_view
from agent.ports import Store


def groups(prefix: str, found: Snapshot) -> dict[str, Snapshot]:
    """Return the keys of each group below a prefix, in the order of their names. Keys of no group are left out."""
    items: dict[str, list[Any]] = {}
    for item in found.items:
        group, slash, _ = item.key.removeprefix(f"{prefix}/").partition("/")
        if slash and NAME.fullmatch(group):
            items.setdefault(group, []).append(item)
    return {group: Snapshot(found.revision, tuple(items[group]), found.cluster) for group in sorted(items)}


def look_at_all(store: Store, target: Target) -> list[Look]:
    """Look until the leader of each group was seen to live, or long enough to say that some are not."""
    prefix = target.section.prefix

    def read() -> dict[Keys, Snapshot]:
        found = groups(prefix, store.range(f"{prefix}/", target.timeout))
        return {keys(prefix, group): each for group, each in found.items()}

    return list(looks(read, target.look_for).values())


def overview(prefix: str, found: list[Look]) -> dict[str, Any]:
    """Return what is known of all groups as JSON-able data, each as `group_view` has it."""
    views = [group_view(each.names, each.first, each.second, seen=each.seen) for each in found]
    return {"prefix": prefix, "healthy": all(each["healthy"] for each in views), "groups": views}


def table(data: dict[str, Any]) -> Table:
    """Return one row for each group: who leads, how many members are well, and what is wrong first."""
    rows = grid("group", "leader", "epoch", "since (UTC)", "healthy", "state", folds={"state"})
    for each in data["groups"]:
        heartbeat, members = each["heartbeat"], each["members"]
        held = heartbeat is not None and heartbeat["state"] == "held"
        well = sum(member["healthy"] for member in members)
        state = [*each["why"], *each["warnings"]]
        style = "red" if each["why"] else "yellow" if state else "green"
        rows.add_row(
            Text(each["group"]),
            Text(heartbeat["node"] if held else "-"),
            str(heartbeat["epoch"]) if heartbeat else "-",
            (each["since"] or "-")[:19].replace("T", " ") if held else "-",
            f"{well}/{len(members)}",
            Text("; ".join(state) or "ok", style=style),
        )
    if not data["groups"]:
        rows.add_row(Text("none"))
    return rows
