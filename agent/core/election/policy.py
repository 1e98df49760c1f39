"""What operators set about who leads and when: failback, holding down, urgency.

Spans are whole milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class Urgency:
    """How long a leader confirms a fault that one bad result only hints at, by how far its next own window is.

    near       nearer than this, or while the window is on, `near_fall` bad results in a row suffice
    far        farther than this `far_fall` are wanted
    """

    enabled: bool = True
    near: Ms = 5_000
    far: Ms = 20_000
    near_fall: int = 2
    far_fall: int = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """What a leader and its candidates go by.

    failback          whether a node of better priority gets the lead back, in a gap
    failback_after    how long that node must have been well
    hold_down         how long a node goes last after its second fault within `hold_down_window`; each further one
                      doubles it, up to `hold_down_max`
    """

    failback: bool = False
    failback_after: Ms = 60_000
    hold_down: Ms = 30_000
    hold_down_max: Ms = 600_000
    hold_down_window: Ms = 600_000
    urgency: Urgency = field(default_factory=Urgency)
