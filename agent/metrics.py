"""Prometheus metrics: counters that the loop feeds, and gauges computed from its snapshot at scrape time.

Values that age (validity left, head age, the loop's last step) are computed when they are asked for, so that a frozen
loop shows. Every series has the labels `group` and `node`. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agent import __version__
from agent.core import events as ev
from agent.core import health
from agent.core.actions import Announce, Transact
from agent.core.state import Phase, Power
from agent.core.store import Ms
from agent.loop import Snapshot
from agent.ports import Clock

PREFIX = "nodeos_failover_"
LABELS = ("group", "node")
_RESULTS = {ev.Applied: "applied", ev.Refused: "refused", ev.Unknown: "unknown", ev.Rejected: "rejected"}
_PROBES = {
    health.PausedProbed: "paused",
    health.InfoProbed: "get_info",
    health.PeersProbed: "connections",
    health.ScheduleProbed: "get_producer_schedule",
}
_CALLS = {ev.PauseDone: "pause", ev.ResumeDone: "resume"}

disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped


class Metrics:
    """All metrics of one agent. `alerts` returns per channel what was sent, dropped and queued."""

    def __init__(self, group: str, node: str, clock: Clock, snapshot: Callable[[], Snapshot]) -> None:
        self.registry = CollectorRegistry()
        self._base = (group, node)
        self._sent: tuple[int, Ms, str] = (0, 0, "")
        self.registry.register(_Gauges(self._base, clock, snapshot))
        self._transitions = self._counter(
            "leadership_transitions", "Changes of phase.", "from_state", "to_state", "reason"
        )
        self._confirmations = self._counter("confirmations", "Confirmations in etcd, by their outcome.", "result")
        self._fencings = self._counter("fencings", "Times that the nodeos process was to be ended.", "result")
        self._nodeos = self._counter("nodeos_requests", "Requests to nodeos.", "endpoint", "result")
        self._etcd = self._counter("etcd_requests", "Transactions of the leadership.", "kind", "result")
        self._steps = self._counter("loop_steps", "Steps of the decision loop.")
        self._duration = Histogram(
            PREFIX + "confirmation_duration_seconds",
            "From before a confirmation left until its answer, in seconds.",
            LABELS,
            registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        ).labels(*self._base)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, (*LABELS, *labels), registry=self.registry)

    def announced(self, action: Announce) -> None:
        """Count a transition."""
        self._transitions.labels(*self._base, action.source, action.target, action.key).inc()

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


class _Gauges(Collector):
    """What is computed from the loop's snapshot."""

    def __init__(self, base: tuple[str, str], clock: Clock, snapshot: Callable[[], Snapshot]) -> None:
        self._base = base
        self._clock = clock
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: the loop may not run yet when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Compute all gauges now."""
        snapshot, now, wall = self._snapshot(), self._clock.boot(), self._clock.wall()
        build = InfoMetricFamily(PREFIX + "build", "Version of the agent.", labels=LABELS)
        build.add_metric(self._base, {"version": __version__})
        yield build
        yield self._one("loop_step_age_seconds", "Seconds since the loop's last step.", (now - snapshot.at) / 1000)
        yield from self._leadership(snapshot, now)
        yield from self._nodeos(snapshot, wall)
        yield from self._checks(snapshot)

    def _one(self, name: str, text: str, value: float) -> Metric:
        metric = GaugeMetricFamily(PREFIX + name, text, labels=LABELS)
        metric.add_metric(self._base, float(value))
        return metric

    def _by(self, name: str, text: str, label: str, values: dict[str, float]) -> Metric:
        metric = GaugeMetricFamily(PREFIX + name, text, labels=(*LABELS, label))
        for key, value in values.items():
            metric.add_metric((*self._base, key), float(value))
        return metric

    def _leadership(self, snapshot: Snapshot, now: Ms) -> Iterator[Metric]:
        node = snapshot.node
        state = node.leadership
        leads = state.phase is Phase.LEADING and state.power is Power.PRODUCING
        valid = leads and state.tenure is not None and now < state.tenure.valid_until
        yield self._one("is_leader", "1 while this node is the confirmed leader and nodeos produces.", valid)
        states = {phase.value: float(phase is state.phase) for phase in Phase}
        yield self._by("state", "1 for the phase that this agent is in.", "state", states)
        holder = state.seen.last_holder
        holders = {holder: 1.0} if holder else {}
        yield self._by("leader_info", "The node that wrote the heartbeat last, as seen here.", "leader", holders)
        yield self._one("leader_epoch", "Highest epoch that was seen.", state.seen.max_epoch)
        left = (state.tenure.valid_until - now) / 1000 if state.tenure else 0.0
        yield self._one("validity_remaining_seconds", "Seconds for which this node is confirmed.", max(0.0, left))
        yield self._one("production_paused", "1 while nodeos is proven not to produce.", state.power is Power.STOPPED)
        yield self._one("etcd_up", "1 while etcd answers this agent.", node.etcd_down_since is None)
        override = state.seen.override
        mode = "" if override is None else "leader" if override.leader else "none"
        modes = {each: float(mode == each) for each in ("leader", "none")}
        yield self._by("override_active", "1 while an override is on, by its mode.", "mode", modes)
        yield self._one("maintenance_active", "1 while maintenance is on.", state.seen.maintenance is not None)

    def _nodeos(self, snapshot: Snapshot, wall: Ms) -> Iterator[Metric]:
        found = snapshot.node.health
        yield self._one(
            "nodeos_up", "1 while the nodeos process is there.", snapshot.node.leadership.process is not None
        )
        if found.info is not None:
            age = (wall - found.info.head_time) / 1000
            yield self._one("head_block_number", "Number of nodeos's head block.", found.info.head_num)
            yield self._one("head_block_age_seconds", "Age of the head block; below 0 when it came early.", age)
            yield self._one("irreversible_block_number", "Number of the last irreversible block.", found.info.lib_num)
            offset = health.clock_offset(found.info, found.info_wall) / 1000
            yield self._one("clock_offset_seconds", "How far our clock is behind the chain, in seconds.", offset)
        if found.peers is not None:
            yield self._one("peers_connected", "Peers with a finished handshake.", found.peers.connected)
        if found.scheduled is not None:
            yield self._one("producer_scheduled", "1 while the producer is in the active schedule.", found.scheduled)

    def _checks(self, snapshot: Snapshot) -> Iterator[Metric]:
        found = snapshot.node.health
        yield self._one("healthy", "1 while every check passes.", found.ok)
        passing = {name: float(check.ok) for name, check in found.checks.items()}
        yield self._by("health_check_ok", "1 while the check passes.", "check", passing)
        failures = {name: float(check.failures) for name, check in found.checks.items()}
        yield self._by("health_check_failures", "Bad results since the start.", "check", failures)
