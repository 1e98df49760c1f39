"""A sign of life that nobody feels, for loops that stand alone."""

from __future__ import annotations

from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot


class Unfelt:
    """Stands where a loop tells of each step (`agent.runtime.loop.SignOfLife`)."""

    every: Ms = 1000

    def __call__(self, snapshot: NodeSnapshot) -> None:
        """Tell nobody."""
