"""Simulated time, which all simulated worlds share: what is due is done at its moment, and nothing takes any time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from agent.core.model.store import Ms

LATER: Ms = 5
"""From anything to its answer, where a story does not say otherwise."""


class Agenda:
    """The time `now` in ms, and what is to be done later; what is due at one moment is done in the order of asking."""

    def __init__(self, now: Ms) -> None:
        self.now = now
        self._due: list[tuple[Ms, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, span: Ms, do: Callable[[], None]) -> None:
        """Do something after a span of time; at once where the span is below 0."""
        heapq.heappush(self._due, (self.now + max(0, span), next(self._order), do))

    def every(self, period: Ms, do: Callable[[], None]) -> None:
        """Do something again and again, for the first time one `LATER` from now."""

        def again() -> None:
            do()
            self.after(period, again)

        self.after(LATER, again)

    def run(self, span: Ms) -> None:
        """Let time pass."""
        end = self.now + span
        while self._due and self._due[0][0] <= end:
            at, _, do = heapq.heappop(self._due)
            self.now = max(self.now, at)
            self.happens(do)
        self.now = end

    def happens(self, do: Callable[[], None]) -> None:
        """Do what is due now."""
        do()
