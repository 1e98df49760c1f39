"""Counters and histograms that any thread feeds, and that know nothing of prometheus_client until they are scraped.

Its own cost their import at the start, and a lock or two more with each request.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from agent.telemetry.families import Kit, Labels

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Tally:
    """A counter, or with `bounds` a histogram. `labels`: its own, each with the values that are told from the start on.

    Which combinations are told besides, if not all of them make sense, says `begin`.
    """

    def __init__(self, name: str, text: str, bounds: tuple[float, ...] = (), **labels: Iterable[str]) -> None:
        self.name, self.text, self.bounds, self.labels = name, text, bounds, tuple(labels)
        self._lock = threading.Lock()
        # how many in each bucket, and their sum
        self._found: defaultdict[Labels, list[float]] = defaultdict(lambda: [0] * (len(bounds) + 2))
        for values in product(*labels.values()):
            self.begin(*values)

    def begin(self, *values: str) -> None:
        """Tell of these values of the labels from now on."""
        with self._lock:
            self._found[values]

    def inc(self, *values: str) -> None:
        """Count one, for these values of the labels."""
        self.observe(1, *values)

    def observe(self, value: float, *values: str) -> None:
        """Count one of this size."""
        with self._lock:
            found = self._found[values]
            found[bisect_left(self.bounds, value)] += 1
            found[-1] += value

    def told(self) -> dict[Labels, list[float]]:
        """Return what was counted by the values of the labels: in each bucket, and the sum."""
        with self._lock:
            return {values: list(found) for values, found in self._found.items()}


class Tallies(Kit):
    """The tallies of one agent as metrics."""

    def __init__(self, base: tuple[str, str]) -> None:
        super().__init__(base)
        self._tallies: list[Tally] = []

    def add(self, name: str, text: str, bounds: tuple[float, ...] = (), **labels: Iterable[str]) -> Tally:
        """Return a new tally: a histogram if it has `bounds`, the upper ends of its buckets."""
        self._tallies.append(Tally(name, text, bounds, **labels))
        return self._tallies[-1]

    def collect(self) -> Iterator[Metric]:
        """Tell them as they are now."""
        for each in self._tallies:
            if each.bounds:
                yield self._histogram(each.name, each.text, each.bounds, each.told(), *each.labels)
            else:
                counts = {values: found[0] for values, found in each.told().items()}
                yield self._series("Counter", each.name, each.text, counts, *each.labels)
