"""A nodeos that hangs in its own window, seen at the first silence, where a signing gate is required. Pure.

One question that gets no answer is no proof: a busy host is late as well. But within a window of ours nodeos asks the
gate for a signature every half second. When the gate, another process, says that none was asked for since, a slot of
ours is missed already, and the second one will be. Then the lead is handed over at once: closing the gate is the proof
of the stop, so nobody is killed, and a wrong guess costs a handover. Without a gate the process would be ended, and a
nodeos that was only busy would have to replay: there more silence is waited for (`fall`).
"""

from __future__ import annotations

from agent.core.health.hysteresis import Pace
from agent.core.leadership.timing import seconds
from agent.core.model.slots import SLOT
from agent.core.model.store import Ms
from agent.core.node.state import Node, own_windows, wall_of

MISSED: Ms = 650
"""Two signatures of one window are never so far apart: half a second, and what a busy host may be late.

A window's blocks leave ever earlier, by 50 ms each at most, so the pause between two is shorter than a slot.
"""
EARLY: Ms = 600
"""A block may be signed so long before its date: Leap 4.1 599 ms, later ones 450 ms by default."""
FRESH: Ms = 500
"""What the gate said so long ago says nothing of now."""


def pace(node: Node, now: Ms, otherwise: Pace) -> Pace:
    """Return how many silent answers a leader waits for: one, if a slot of ours was missed already."""
    since = unsigned_since(node, now)
    if since is None:
        return otherwise
    return Pace(most=1, why=f"the gate was asked for no signature for {seconds(now - since)}, in the own window")


def unsigned_since(node: Node, now: Ms) -> Ms | None:
    """Return when the last block of ours was signed, if the next one of the same window is missed; else None."""
    health, since, timing = node.health, node.leading_since, node.leadership.identity.timing
    signed, wall = health.signed, wall_of(node, now)
    windows = own_windows(node)
    if not timing.gated or not node.leadership.leads or windows is None or wall is None:
        return None
    if signed is None or since is None or signed < since or now - health.gate_asked > FRESH:
        return None
    if "gate" in health.checks and not health.checks["gate"].ok:
        return None
    if health.gate_asked - signed < MISSED or now - signed > EARLY + SLOT + MISSED + SLOT:
        return None
    at = wall - (now - signed)
    same = windows.alone or (windows.ours_at(at + SLOT) and windows.ours_at(at + EARLY + SLOT))
    return signed if same else None
