"""Nodes that fail again and again: how long such a one goes last. Pure: times of faults in, a span out."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.election.policy import Policy
from agent.core.model.copying import replace
from agent.core.model.store import Ms

MOST = 32
"""Faults that are remembered: doubling has long come to its bound by then."""


@dataclass(frozen=True, slots=True)
class Flaps:
    """When this node failed (CLOCK_BOOTTIME), and until when it is held down; 0: it never was."""

    times: tuple[Ms, ...] = ()
    until: Ms = 0

    def left(self, now: Ms) -> Ms:
        """Return for how much longer it is held down."""
        return max(0, self.until - now)


def failed(flaps: Flaps, now: Ms, policy: Policy, weight: int = 1) -> Flaps:
    """Take one more fault; of `weight` 2 it counts as if it had happened before."""
    recent = tuple(at for at in flaps.times if now - at < policy.hold_down_window)
    times = (*recent, *(now for _ in range(weight)))[-MOST:]
    again = len(times) - 2
    if again < 0:
        return replace(flaps, times=times)
    return Flaps(times, now + min(policy.hold_down << again, policy.hold_down_max))
