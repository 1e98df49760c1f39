"""Whether an etcd can carry a timing: its elections and its round trips against what the spans rest on. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from agent.core.leadership.timing import Timing, seconds


def election_between(least_ttl_s: int) -> tuple[float, float]:
    """Return the two values in seconds between which etcd's election time-out lies, by the least lease that it grants.

    etcd grants no lease below ceil(1.5 election time-outs), in whole seconds, the ticks rounded down.
    """
    return (least_ttl_s - 1) / 1.5, (least_ttl_s + 0.1) / 1.5


def too_slow_elections(timing: Timing, least_ttl_s: int) -> str:
    """Return why E >= A + 2 elections + 2R does not hold for the time-out that etcd really has; nothing when it may."""
    low, _ = election_between(least_ttl_s)
    return elections(timing, least_ttl_s) if low >= timing.election / 1000 else ""


def elections(timing: Timing, least_ttl_s: int) -> str:
    """Return the time-out that etcd has, and the one that is set, in words."""
    low, high = election_between(least_ttl_s)
    return (
        f"etcd's election time-out is between {low:.1f} and {high:.1f} s, "
        f"timing.election says {seconds(timing.election)}"
    )


def too_slow_answers(timing: Timing, round_trips_s: Sequence[float]) -> str:
    """Return why a confirmation would seldom be in time: half the reads took more than half a request's deadline."""
    typical = statistics.median(round_trips_s) if round_trips_s else 0.0
    if typical <= timing.request / 2000:
        return ""
    return f"a read of etcd takes {1000 * typical:.0f} ms, more than half of timing.request ({seconds(timing.request)})"
