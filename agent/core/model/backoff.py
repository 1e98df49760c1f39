"""How long to wait after a failure: a tenth of a bound, then twice as long each time, up to the bound (50 ms to R).

An answer can come fast and mean nothing (refused, overloaded, no permission): without a pause a client sends a thousand
requests a second. A first failure costs little time, so that what one retry would have saved is not lost.
"""

from __future__ import annotations

from agent.core.model.store import Ms

BUSY: Ms = 50
"""A nodeos that is busy answers 429 or 503, or refuses connections: it is asked again so long after, at the least."""


def longer(pause: Ms, most: Ms, quiet: Ms) -> Ms:
    """Return the next pause after one of `pause` ms; the first one again, if nothing failed for `quiet` > `most` ms."""
    return min(most, 2 * pause) if pause and quiet <= most else most // 10


def doubled(taken: Ms, least: Ms = BUSY) -> Ms:
    """Return a pause as long as everything has taken so far (ms), so that each is about twice the one before."""
    return max(least, taken)
