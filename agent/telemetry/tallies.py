"""Counters and histograms that any thread feeds, and that know nothing of prometheus_client until they are scraped.

Its own cost their import at the start, and a lock or two more with each request.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from agent.telemetry.families import Kit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Labels = tuple[str, ...]


class Tally:
    """A counter or a histogram. `labels`: its own, by name, each with the values that are told from the start on.

    Which combinations are told besides, if not all of them make sense, says `begin`.
    """

    def __init__(self, name: str, text: str, bounds: tuple[float, ...] = (), **labels: Iterable[str]) -> None:
        self.name, self.text, self.bounds, self.labels = name, text, bounds, tuple(labels)
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        for values in product(*labels.values()):
            self._of(values)

    def begin(self, *values: str) -> None:
        """Tell of these values of the labels from now on."""
        with self._lock:
            self._of(values)

    def inc(self, *values: str) -> None:
        """Count one, for these values of the labels."""
        with self._lock:
            self._of(values)[-1] += 1

    def observe(self, value: float, *values: str) -> None:
        """Count one of this size."""
        with self._lock:
            self._of(values)[bisect_left(self.bounds, value)] += 1
            self._sums[values] += value

    def _of(self, values: Labels) -> list[int]:
        if values not in self._counts:
            self._counts[values], self._sums[values] = [0] * (len(self.bounds) + 1), 0.0
        return self._counts[values]

    def told(self) -> list[tuple[Labels, list[int], float]]:
        """Return what was counted by the values of the labels: in each bucket, and the sum."""
        with self._lock:
            return [(values, list(counts), self._sums[values]) for values, counts in self._counts.items()]


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
        for tally in self._tallies:
            if tally.bounds:
                yield self._histogram(tally)
            else:
                counts = {values: found[-1] for values, found, _ in tally.told()}
                yield self._series("Counter", tally.name, tally.text, counts, *tally.labels)

    def _histogram(self, tally: Tally) -> Metric:
        from prometheus_client.utils import floatToGoString

        metric: Metric = self._family("Histogram", tally.name, tally.text, *tally.labels)
        for values, counts, total in tally.told():
            bounds = [str(floatToGoString(each)) for each in (*tally.bounds, float("inf"))]  # type: ignore[no-untyped-call] # untyped there
            sums = [sum(counts[: place + 1]) for place in range(len(counts))]
            metric.add_metric((*self._base, *values), list(zip(bounds, sums, strict=True)), total)  # type: ignore[attr-defined] # a histogram has it
        return metric
