"""How long to wait after a failure: a tenth of a bound, then twice as long each time, up to the bound (50 ms to R).

An answer can come fast and mean nothing (refused, overloaded, no permission): without a pause a client sends a thousand
requests a second. A first failure costs little time, so that what one retry would have saved is not lost.
"""

from __future__ import annotations

from agent.core.model.store import Ms


def longer(pause: Ms, most: Ms, quiet: Ms) -> Ms:
    """Return the next pause after one of `pause` ms; the first one again, if nothing failed for `quiet` > `most` ms."""
    return min(most, 2 * pause) if pause and quiet <= most else most // 10
