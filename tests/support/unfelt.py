"""A sign of life that nobody feels, for loops that stand alone."""

from __future__ import annotations

from agent.core.node.snapshot import NodeSnapshot
from agent.runtime.liveness import Liveness


class Unfelt(Liveness):
    """Stands where a loop tells of each step."""

    def __init__(self) -> None:
        self.every = 1000

    def __call__(self, snapshot: NodeSnapshot) -> None:
        """Tell nobody."""
