"""What gauges are built from: the making of families, names of nodes within bounds, what a snapshot means.

No metric is named here, and nothing is decided. prometheus_client is imported at the first scrape, here and in
`Metrics.registry`: a start has no use for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

from agent.core.leadership.state import Production
from agent.core.model.store import Ms
from agent.core.node import plan
from agent.core.node.snapshot import NodeSnapshot

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX = "nodeos_failover_"
LABELS = ("group", "node")
NAMES = 16
"""Names of nodes that get a series of their own. A group has two or three; what else stands in etcd is anybody's."""
OTHERS = "(other)"
"""Stands for all further names; no node can have it."""


Labels = tuple[str, ...]
Values = Mapping[Any, float]
"""Values of a metric, each by the tuple of its own labels' values. (A mapping's keys are of one type, or any.)"""


class Kit:
    """Makes families of one agent: `base` is its group and its node."""

    def __init__(self, base: tuple[str, str]) -> None:
        self._base = base

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: the loop may not run yet when a collector is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Compute all of them now."""
        raise NotImplementedError

    def _family(self, kind: Literal["Counter", "Gauge", "Histogram", "Info"], name: str, text: str, *own: str) -> Any:
        """Return a family without series, which has labels of its own besides those that all have."""
        from prometheus_client import core

        return getattr(core, f"{kind}MetricFamily")(PREFIX + name, text, labels=(*LABELS, *own))

    def _one(self, name: str, text: str, value: float) -> Metric:
        return self._series("Gauge", name, text, {(): value})

    def _by(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        return self._series("Gauge", name, text, {(key,): value for key, value in values.items()}, label)

    def _count(self, name: str, text: str, value: float) -> Metric:
        return self._series("Counter", name, text, {(): value})

    def _counts(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        return self._series("Counter", name, text, {(key,): value for key, value in values.items()}, label)

    def _info(self, name: str, text: str, values: dict[str, str]) -> Metric:
        metric: Metric = self._family("Info", name, text)
        metric.add_metric(self._base, values)  # type: ignore[attr-defined] # as below
        return metric

    def _series(
        self,
        kind: Literal["Counter", "Gauge"],
        name: str,
        text: str,
        values: Values,
        *own: str,
    ) -> Metric:
        """Return a family with a value for each combination of its own labels."""
        metric: Metric = self._family(kind, name, text, *own)
        for labels, value in values.items():
            metric.add_metric((*self._base, *labels), float(value))  # type: ignore[attr-defined] # each kind has it
        return metric

    def _histogram(
        self, name: str, text: str, bounds: Sequence[float], found: Mapping[Labels, Sequence[float]], *own: str
    ) -> Metric:
        """Return a histogram: by the values of its labels how many are in each bucket, and their sum at the end."""
        from prometheus_client.utils import floatToGoString

        metric: Metric = self._family("Histogram", name, text, *own)
        ends = [str(floatToGoString(each)) for each in (*bounds, float("inf"))]  # type: ignore[no-untyped-call] # untyped there
        for labels, (*counts, total) in found.items():
            metric.add_metric((*self._base, *labels), list(zip(ends, accumulate(counts), strict=True)), total)  # type: ignore[attr-defined] # as above
        return metric


def producing_since(snapshot: NodeSnapshot) -> Ms | None:
    """Return since when (CLOCK_BOOTTIME) nodeos produces as far as it is known, None when it does not.

    A nodeos that is not proven stopped (R4) counts if it was resumed by a tenure that is not over yet, or if it said
    itself that it is not paused; a standby's that starts, and gives no answer yet, does not. A leader's does not while
    it is seen to sign nothing: it is paused, or none of its blocks is on the chain.
    """
    node = snapshot.node
    state, paused = node.leadership, node.health.paused
    if state.production is Production.PRODUCING and (plan.silent(node) or node.finality.excused):
        return None
    if state.production in (Production.PRODUCING, Production.RESUMING):
        return node.leading_since if node.leading_since is not None else state.production_since
    if state.production is Production.STOPPED or paused or (paused is None and state.tenure is None):
        return None
    return state.production_since


class NodeNames:
    """The names of nodes that have a series: the first that were seen, so that none comes and goes, and few in all."""

    def __init__(self, own: str) -> None:
        self._lock = threading.Lock()  # two scrapes may come at once
        self._known = {own: None}

    def flags(self, members: Iterable[str], chosen: str | None) -> dict[str, float]:
        """Return 1 for the chosen name and 0 for all others; those that found no room any more are told as one."""
        with self._lock:
            for name in (*((chosen,) if chosen else ()), *members):
                if len(self._known) < NAMES:
                    self._known.setdefault(name)
            known = tuple(self._known)
        flags = {name: float(name == chosen) for name in known}
        return flags | {OTHERS: float(chosen is not None and chosen not in flags)}
