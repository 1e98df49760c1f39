"""The phases of leadership as a table: every way from one to another, with the reason that people read.

The log line, the metric's label and the diagram come from this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.leadership.state import Phase

ASKED = ("leader_changed", "override", "switchover", "drained", "failback", "shutdown")
"""Stops that an operator asked for."""


ACTIVE = (Phase.ELECTED, Phase.LEADING)


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: from any of `sources` to `target`. `detail` of the moment may be appended to `reason`."""

    key: str
    sources: tuple[Phase, ...]
    target: Phase
    reason: str
    rules: str


def _row(key: str, sources: tuple[Phase, ...], target: Phase, reason: str, rules: str) -> Transition:
    return Transition(key, sources, target, reason, rules)


P = Phase
TRANSITIONS: dict[str, Transition] = {
    row.key: row
    for row in (
        _row("ready", (P.STARTING,), P.STANDBY, "nodeos is proven stopped", "R4"),
        _row("goes_on", (P.STARTING,), P.LEADING, "the agent restarted within its confirmation and goes on", "R1"),
        _row("restart_stop", (P.STARTING,), P.STOPPING, "the agent restarted with a tenure that is over", "R3"),
        _row("adopt", (P.STARTING,), P.CAMPAIGNING, "nodeos produces already, and nobody has led yet", "R19"),
        _row("campaign", (P.STANDBY,), P.CAMPAIGNING, "the seat is free", "R8"),
        _row("not_first", (P.CAMPAIGNING,), P.STANDBY, "another change came first", "R8"),
        _row("not_taken", (P.CAMPAIGNING,), P.STANDBY, "etcd refused the take-over", "R8"),
        _row("elected", (P.CAMPAIGNING,), P.ELECTED, "the take-over is confirmed", "R8"),
        _row("elected_late", (P.CAMPAIGNING,), P.STOPPING, "the take-over is confirmed too late to use", "R1"),
        _row("late_answer", (P.STANDBY,), P.STOPPING, "a take-over of ours was applied after we gave it up", "R2"),
        _row("leads", (P.ELECTED,), P.LEADING, "nodeos has resumed", "R9"),
        _row("adopted", (P.ELECTED,), P.LEADING, "nodeos goes on as it was, governed from now on", "R19"),
        _row("expiring", ACTIVE, P.STOPPING, "no confirmation in time", "R3"),
        _row("leader_changed", ACTIVE, P.STOPPING, "the key leader was changed", "R3"),
        _row("heartbeat_changed", ACTIVE, P.STOPPING, "the key heartbeat was changed", "R3"),
        _row("override", ACTIVE, P.STOPPING, "an override says so", "R3"),
        _row("switchover", ACTIVE, P.STOPPING, "a switchover was asked for", "R3"),
        _row("unhealthy", ACTIVE, P.STOPPING, "unhealthy, and a better candidate is there", "R3"),
        _row("barren", ACTIVE, P.STOPPING, "its blocks do not appear on the chain", "R9"),
        _row("frees", ACTIVE, P.STOPPING, "it cannot lead, and takes the heartbeat for one that may not", "R17"),
        _row("begins_anew", ACTIVE, P.STOPPING, "it signs nothing, and begins anew", "R3"),
        _row("drained", ACTIVE, P.STOPPING, "drained, and another may lead", "R3"),
        _row("failback", ACTIVE, P.STOPPING, "a node of better priority is back", "R11"),
        _row("nodeos_gone", ACTIVE, P.STOPPING, "the nodeos process is gone", "R3"),
        _row("nodeos_restarted", ACTIVE, P.STOPPING, "nodeos is another process than the one that was resumed", "R3"),
        _row("resume_failed", ACTIVE, P.STOPPING, "nodeos did not resume", "R9"),
        _row("stopped_before", ACTIVE, P.STOPPING, "nodeos was paused before the agent restarted", "R3"),
        _row("file_failed", ACTIVE, P.STOPPING, "the run-time file cannot be written", "R3"),
        _row("shutdown", ACTIVE, P.STOPPING, "the agent was asked to end", "R3"),
        _row("proven", (P.STOPPING,), P.RELEASING, "nodeos is proven stopped", "R4"),
        _row("released", (P.RELEASING,), P.STANDBY, "released", "R5"),
        _row("superseded", (P.RELEASING,), P.STANDBY, "the heartbeat is not ours any more", "R5"),
    )
}
REQUESTED = frozenset({"leader_changed", "override", "switchover", "resume_failed", "barren", "drained", "failback"})
"""Stops after which the leader leaves the seat to others for a while (R12)."""

BEGINS = ("leads", "adopted")
"""Transitions with which a tenure begins to produce."""


def mermaid() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> starting"]
    lines += [
        f"    {source.value} --> {row.target.value}: {row.key} ({row.rules})"
        for row in TRANSITIONS.values()
        for source in row.sources
    ]
    return "\n".join(lines)


def dot() -> str:
    """Return the table for Graphviz."""
    rows = (
        f'  {source.value} -> {row.target.value} [label="{row.key}\\n{row.rules}"];'
        for row in TRANSITIONS.values()
        for source in row.sources
    )
    return "\n".join(["digraph leadership {", "  rankdir=LR; node [shape=box];", *rows, "}"])


def table() -> str:
    """Return the table as text: key, from, to, rule, reason."""
    lines = [f"{'key':18} {'from':20} {'to':12} {'rule':5} reason"]
    for row in TRANSITIONS.values():
        sources = ", ".join(source.value for source in row.sources)
        lines.append(f"{row.key:18} {sources:20} {row.target.value:12} {row.rules:5} {row.reason}")
    return "\n".join(lines)
