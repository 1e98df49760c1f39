"""How hard a leader looks: how many bad answers in a row it waits for, by what they may cost its next window. Pure.

A nodeos that hangs in its own window is seen at the first silence where a signing gate is required. One question that
gets no answer is no proof: a busy host is late as well. But within a window of ours nodeos asks the gate for a
signature every half second. When the gate, another process, says that none was asked for since, a slot of ours is
missed already, and the second one will be. Then the lead is handed over at once: closing the gate is the proof of the
stop, so nobody is killed, and a wrong guess costs a handover. Without a gate the process would be ended, and a nodeos
that was only busy would have to replay: there more silence is waited for (`fall`).

A main thread that is busy is not dead: nodeos writes a snapshot, say. Then `paused` gets no answer, but get_info does,
from the HTTP thread (Spring), and the process uses its processor. To hand over would end it: nodeos cannot be paused
meanwhile. So a leader waits, as long as its own window is far.
"""

from __future__ import annotations

from agent.core.health.checks import PausedProbed, Probe
from agent.core.health.hysteresis import STEADY, Pace
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
GATE_FRESH: Ms = 500
"""What the gate said so long ago says nothing of now."""
FRESH: Ms = 3000
"""Heads are asked for once a second, and so is what the process has used of its processor."""
PATIENT = 750
"""Unanswered questions until a busy main thread counts as hung all the same: five minutes by default."""
MAIN_THREAD = "main_thread"
BUSY = "its main thread gives no answer, but get_info does, and the process works"


def pace(node: Node, probe: Probe, now: Ms) -> Pace:
    """Return how many bad results like this one a leader waits for; a standby loses nothing by waiting as ever."""
    if isinstance(probe, PausedProbed) and (since := unsigned_since(node, now)) is not None:
        return Pace(most=1, why=f"the gate was asked for no signature for {seconds(now - since)}, in the own window")
    urgency = node.settings.policy.urgency
    windows, wall = own_windows(node), wall_of(node, now)
    if not node.leadership.leads or windows is None or windows.alone or wall is None:
        return STEADY
    away = windows.away(wall)
    if away >= urgency.near and (why := busy(node, now)):
        return Pace(least=PATIENT, why=f"{why}, and the own window is more than {seconds(urgency.near)} away")
    if not urgency.enabled:
        return STEADY
    if away < urgency.near:
        what = f"the own window is on or less than {seconds(urgency.near)} away"
        return Pace(most=urgency.near_fall, why=what)
    if away > urgency.far:
        return Pace(least=urgency.far_fall, why=f"the own window is more than {seconds(urgency.far)} away")
    return STEADY


def unsigned_since(node: Node, now: Ms) -> Ms | None:
    """Return when the last block of ours was signed, if the next one of the same window is missed; else None."""
    health, since, timing = node.health, node.leading_since, node.leadership.identity.timing
    signed, wall = health.signed, wall_of(node, now)
    windows = own_windows(node)
    if not timing.gated or windows is None or wall is None:
        return None
    if signed is None or since is None or signed < since or now - health.gate_asked > GATE_FRESH:
        return None
    if "gate" in health.checks and not health.checks["gate"].ok:
        return None
    if health.gate_asked - signed < MISSED or now - signed > EARLY + SLOT + MISSED + SLOT:
        return None
    at = wall - (now - signed)
    same = windows.alone or (windows.ours_at(at + SLOT) and windows.ours_at(at + EARLY + SLOT))
    return signed if same else None


def busy(node: Node, now: Ms) -> str:
    """Return what shows that nodeos works while its main thread gives no answer; nothing if it answers, or hangs."""
    health = node.health
    check = health.checks.get(MAIN_THREAD)
    quiet = check is not None and (check.doubt or not check.ok)
    answers = health.info is not None and now - health.info_at <= FRESH
    works = health.works_at is not None and now - health.works_at <= FRESH
    return BUSY if quiet and answers and works else ""
