"""What the loop knew at one moment: all that its neighbours may look at."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.store import Ms
from agent.core.node.state import Node

STUCK_MS = 5000
"""The loop steps once a second at least; after so long without it is not alive."""


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """What the loop knew at `at` (ms of CLOCK_BOOTTIME)."""

    node: Node
    at: Ms

    def leads(self, now: Ms) -> bool:
        """Tell whether this node leads, and the time to stop has not come at `now` (R1, R3)."""
        state = self.node.leadership
        return state.leads and now < state.stop_at
