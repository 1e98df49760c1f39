"""Prometheus metrics: counters that the loop feeds; what is computed at scrape time stands in `gauges`.

Every series has the labels `group` and `node`. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from agent.alerts import ChannelStats
from agent.core import events as ev
from agent.core import health
from agent.core.actions import Announce, Transact
from agent.core.store import Ms
from agent.gauges import LABELS as LABELS
from agent.gauges import PREFIX as PREFIX
from agent.gauges import Gauges
from agent.loop import Snapshot
from agent.ports import Clock

_RESULTS = {ev.Applied: "applied", ev.Refused: "refused", ev.Unknown: "unknown", ev.Rejected: "rejected"}
_PROBES = {
    health.PausedProbed: "paused",
    health.InfoProbed: "get_info",
    health.PeersProbed: "connections",
    health.ScheduleProbed: "get_producer_schedule",
}
_CALLS = {ev.PauseDone: "pause", ev.ResumeDone: "resume"}
_QUICK = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SLOW = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 60.0)

disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped


class Metrics:
    """All metrics of one agent. `alerts` returns per channel what was sent, dropped and queued."""

    def __init__(
        self,
        group: str,
        node: str,
        clock: Clock,
        snapshot: Callable[[], Snapshot],
        alerts: Callable[[], Iterable[ChannelStats]] = lambda: (),
        watch_restarts: Callable[[], int] = lambda: 0,
    ) -> None:
        self.registry = CollectorRegistry()
        self._base = (group, node)
        self._sent: tuple[int, Ms, str] = (0, 0, "")
        self.registry.register(Gauges(self._base, clock, snapshot, alerts, watch_restarts))
        self._transitions = self._counter(
            "leadership_transitions", "Changes of phase.", "from_state", "to_state", "reason"
        )
        self._confirmations = self._counter("confirmations", "Confirmations in etcd, by their outcome.", "result")
        self._fencings = self._counter("fencings", "Times that the nodeos process was to be ended.", "result")
        self._nodeos = self._counter("nodeos_requests", "Requests to nodeos.", "endpoint", "result")
        self._etcd = self._counter("etcd_requests", "Transactions of the leadership.", "kind", "result")
        self._steps = self._counter("loop_steps", "Steps of the decision loop.")
        self._duration = self._histogram(
            "confirmation_duration_seconds", "From before a confirmation left until its answer, in seconds.", _QUICK
        )
        self._leaderless = self._histogram(
            "failover_duration_seconds", "How long nobody led before this node took over, in seconds.", _SLOW
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, (*LABELS, *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(PREFIX + name, text, LABELS, registry=self.registry, buckets=buckets)
        return made.labels(*self._base)

    def announced(self, action: Announce) -> None:
        """Count a transition."""
        self._transitions.labels(*self._base, action.source, action.target, action.key).inc()

    def changed(self, fields: Mapping[str, str | int]) -> None:
        """Note a change of leader to this node; what is added to its record later is no other change."""
        gap = fields.get("leaderless_ms")
        if isinstance(gap, int) and "slots_missed" not in fields:
            self._leaderless.observe(gap / 1000)

    def sent(self, action: Transact, now: Ms) -> None:
        """Note that a transaction leaves."""
        self._sent = (action.request, now, action.kind)

    def seen(self, event: object, now: Ms) -> None:
        """Count one event."""
        self._steps.labels(*self._base).inc()
        kind = type(event)
        if isinstance(event, ev.Applied | ev.Refused | ev.Unknown | ev.Rejected):
            request, at, what = self._sent
            if event.request == request:
                self._etcd.labels(*self._base, what, _RESULTS[kind]).inc()
                if what == "confirm":
                    self._confirmations.labels(*self._base, _RESULTS[kind]).inc()
                    self._duration.observe((now - at) / 1000)
        elif isinstance(event, ev.PauseDone | ev.ResumeDone):
            self._nodeos.labels(*self._base, _CALLS[kind], event.result.value).inc()
        elif isinstance(event, ev.FenceDone):
            self._fencings.labels(*self._base, "gone" if event.gone else "failed").inc()
        elif kind in _PROBES:
            failed = bool(getattr(event, "error", ""))
            self._nodeos.labels(*self._base, _PROBES[kind], "error" if failed else "ok").inc()

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)
