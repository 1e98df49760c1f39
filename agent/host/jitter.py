"""Pauses of repeated calls: they grow, and they differ, so that agents stopped by one event do not go on in step."""

from __future__ import annotations

import random
from collections.abc import Callable

from agent.core.model.backoff import longer
from agent.core.model.store import Ms
from agent.host.clock import boot_ms

MOST_S = 0.5
"""R by default: what failed is tried again within that."""


def spread(seconds: float, least: float = 0.5) -> float:
    """Return a pause between `least` of `seconds` and all of it: never longer than what the caller has planned with."""
    return seconds * random.uniform(least, 1.0)  # noqa: S311 - keeps agents apart, guards nothing


class Pauses:
    """The pauses of one thread that tries again what failed: a tenth of `most_s` at first, doubling up to that.

    They begin anew when nothing failed for longer than `most_s`, or what failed took that long (see
    `core.model.backoff`).
    """

    def __init__(self, most_s: float = MOST_S, clock: Callable[[], Ms] = boot_ms) -> None:
        self._most = round(most_s * 1000)
        self._clock = clock
        self._pause = self._over = 0

    def after_failure(self) -> float:
        """Return for how many seconds to wait, now that something failed."""
        now = self._clock()
        self._pause = longer(self._pause, self._most, now - self._over)
        self._over = now + round(spread(self._pause))
        return self.left_s()

    def left_s(self) -> float:
        """Return how many seconds of the last pause are left."""
        return max(0, self._over - self._clock()) / 1000
