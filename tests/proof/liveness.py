"""P2: when the faults are over, somebody produces within a bound. Followed along one ordinary course of events."""

from __future__ import annotations

from agent.core.state import Phase
from tests.proof.engine import Compact, Engine, Next
from tests.proof.story import numbered

REPAIRS = (
    "nodeos thaws",
    "the agent thaws",
    "reaches etcd again",
    "nodeos starts, paused",
    "the agent starts",
    "it is healthy again",
    "del override",
    "del maintenance",
    "sees its lease gone",
)
"""What ends a fault, in this order."""
ODD = ("hangs", "unanswered", "the answer is late", "given up before", "a late ", "the fence takes its time")
"""What is no fault, or is one that was paid before, and yet not the ordinary course."""
STEADY = 4
"""Ticks that a node must produce without a break to count."""


def course(engine: Engine, world: Compact, late: bool) -> Next:
    """Return the ordinary next world, after what ends faults. `late`: calls given up before act at once."""
    spent = world[3]
    free = [each for each in engine.after(world) if each.world[3] == spent]
    for repair in REPAIRS:
        for each in free:
            if repair in each.label:
                return each
    if late:
        for each in free:
            if "a late " in each.label or "given up before" in each.label:
                return each
    ordinary = [each for each in free if not any(odd in each.label for odd in ODD)]
    now = [each for each in ordinary if not each.took]
    return (now or ordinary or free)[0]


def produces(engine: Engine, world: Compact) -> bool:
    """Whether one node leads and its nodeos may sign."""
    return any(
        engine.signs(host) and engine.parts[host].core is not None and engine.parts[host].core.phase is Phase.LEADING
        for host in world[1]
    )


def nobody_after(engine: Engine, world: Compact, ticks: int, late: bool = False) -> tuple[str, ...]:
    """Return the course of events in which nobody came to produce steadily within `ticks`; empty when somebody did."""
    steps: list[tuple[str, int]] = []
    now = since = 0
    while now <= ticks:
        if not produces(engine, world):
            since = now
        elif now - since >= STEADY:
            return ()
        found = course(engine, world, late)
        steps.append((found.label, found.took))
        now += found.took
        world = found.world
        if found.broken:
            return (found.broken, *numbered(steps))
        if len(steps) > 40 * (ticks + 1):
            return ("time stands still", *(label for label, _ in steps[-12:]))
    return numbered(steps)
