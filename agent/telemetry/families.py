"""What metrics are built from: the making of families, counters, names of nodes within bounds, what a snapshot means.

No metric is named here, and nothing is decided. prometheus_client is imported at the first scrape, here and in
`Metrics.registry`: a start has no use for it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any, Literal

from agent.core.health.finality import BEHIND, OTHERS, OWN, vote_ages
from agent.core.leadership.state import Production, State
from agent.core.model.store import Ms
from agent.core.node import plan
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import Node
from agent.peers.lane import REASONS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX = "nodeos_failover_"
LABELS = ("group", "node")
NAMES = 16
"""Names of nodes that get a series of their own. A group has two or three; what else stands in etcd is anybody's."""
UNNAMED = "(other)"
"""Stands for all further names; no node can have it."""
SELF_PAUSED = {"own_votes": OWN, "votes_of_others": OTHERS, "not_level": BEHIND}
"""Why nodeos pauses itself (Savanna), as a label."""
SOURCES = ("etcd", "peers")
"""What may confirm a leader."""


Labels = tuple[str, ...]
Values = Mapping[Any, float]
"""Values of a metric, each by the tuple of its own labels' values. (A mapping's keys are of one type, or any.)"""


@dataclass(eq=False)
class Kit:
    """Makes families of one agent, `_base` being its group and its node."""

    _base: tuple[str, str]

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


class Tally:
    """A counter that any thread feeds, or with `bounds` a histogram.

    `labels`: its own, each with the values that are told from the start on. Which combinations are told besides, if not
    all of them make sense, says `begin`.
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


@dataclass(eq=False)
class Tallies(Kit):
    """The tallies of one agent as metrics.

    prometheus_client's own counters would cost its import at the start, and a lock or two more with each request.
    """

    _tallies: list[Tally] = field(default_factory=list)

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
        return state.production_since
    if state.production is Production.STOPPED or paused or (paused is None and state.tenure is None):
        return None
    return state.production_since


def vote_ages_s(node: Node) -> tuple[float | None, float | None]:
    """Return the ages of the last own and other vote in seconds, None where no vote is known."""
    found, info = node.health.finality, node.health.info
    if found is None or info is None:
        return None, None
    own, others = vote_ages(found, node.leadership.identity.producer, info.head_time)
    known = [age / 1000 if age is not None and age < info.head_time else None for age in (own, others)]
    return known[0], known[1]


def confirmation(state: State, now: Ms) -> dict[str, Ms] | None:
    """Return for how many ms each of SOURCES alone confirms us as the leader, None if nothing does."""
    if state.tenure is None or now >= state.tenure.valid_until:
        return None
    known = state.support.lists[0] if state.support.lists else None
    by_etcd = known.at + known.validity_ms if known else state.tenure.valid_until
    votes = [state.support.vote(peer) for peer in state.support.named]
    sent = min((vote.sent if vote else 0 for vote in votes), default=0)
    by_peers = sent + state.identity.timing.peers_validity if sent else 0
    return {"etcd": max(0, by_etcd - now), "peers": max(0, by_peers - now)}


def nothing_dropped() -> dict[str, int]:
    """Return how many datagrams an agent without peers has dropped, by reason."""
    return dict.fromkeys(REASONS, 0)


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
        return flags | {UNNAMED: float(chosen is not None and chosen not in flags)}
