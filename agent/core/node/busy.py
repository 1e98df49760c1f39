"""A main thread that is busy, not dead: nodeos writes a snapshot, say. Pure.

Then `paused` gets no answer, but get_info does, from the HTTP thread (Spring), and the process uses its processor.
To hand over would end it: nodeos cannot be paused meanwhile. So a leader waits, as long as its own window is far.
"""

from __future__ import annotations

from agent.core.blocks.schedule import ProducerWindows
from agent.core.health.hysteresis import Pace
from agent.core.leadership.timing import seconds
from agent.core.model.store import Ms
from agent.core.node.state import Node

FRESH: Ms = 3000
"""Heads are asked for once a second, and so is what the process has used of its processor."""
PATIENT = 750
"""Unanswered questions until it counts as hung all the same: five minutes by default."""
CHECK = "main_thread"
SEEN = "its main thread gives no answer, but get_info does, and the process works"


def busy(node: Node, now: Ms) -> str:
    """Return what shows that nodeos works while its main thread gives no answer; nothing if it answers, or hangs."""
    health = node.health
    check = health.checks.get(CHECK)
    quiet = check is not None and (check.doubt or not check.ok)
    answers = health.info is not None and now - health.info_at <= FRESH
    works = health.works_at is not None and now - health.works_at <= FRESH
    return SEEN if quiet and answers and works else ""


def patience(node: Node, windows: ProducerWindows, wall: Ms, now: Ms) -> Pace | None:
    """Return how many answers may fail to come while nodeos works and the own window is far; else None."""
    near, why = node.settings.policy.urgency.near, busy(node, now)
    if not why or windows.away(wall) < near:
        return None
    return Pace(least=PATIENT, why=f"{why}, and the own window is more than {seconds(near)} away")
