"""Prometheus metrics: counters that the loop and the metered ports feed; what is computed at scrape time: `gauges`.

Every series has the labels `group` and `node` (but `process_*`, which are prometheus_client's own), every other label
takes its values from a set that is known before, and all its series are there from the start at 0: else the first
failure would be no increase. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from agent.alerts.worker import ChannelStats
from agent.core.leadership import events as ev
from agent.core.leadership.actions import Announce, Transact
from agent.core.leadership.transitions import TRANSITIONS
from agent.core.model.store import Ms
from agent.core.node.finality_state import HOOK as FINALIZER
from agent.core.node.hook_log import HOOKS, RESULTS, HookDone
from agent.core.node.snapshot import NodeSnapshot
from agent.gate.page import Page
from agent.net.metered import NODEOS_CALLS, NODEOS_RESULTS, STORE_CALLS, STORE_RESULTS
from agent.ports import Clock
from agent.telemetry.config_gauges import ConfigGauges
from agent.telemetry.families import LABELS, PREFIX
from agent.telemetry.gate_watch import GateGauges, GateReading
from agent.telemetry.gauges import Gauges
from agent.telemetry.peers import PeerGauges, nothing_dropped

_RESULTS = {ev.Applied: "applied", ev.Refused: "refused", ev.Unknown: "unknown", ev.Rejected: "rejected"}
_PROMISES = ("given", "withheld", "heard")
PROGRAMS = (*HOOKS, FINALIZER)
"""What is run of the operator's: hooks, and the command for the finalizer key."""
_FENCINGS = ("gone", "failed")
_STEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
_QUICK = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SLOW = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 60.0)
_OPEN = 16
"""Transactions whose answer is waited for, at most: the core has one under way, and late answers may follow."""

disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped


class Metrics:
    """All metrics of one agent.

    `alerts` returns per channel what was sent, dropped and queued; `watch_restarts` how many watches were replaced;
    `waiting` how many events wait for the loop; `gate` what the signing gate is, where there is one; `config` what the
    configuration means for who looks.
    """

    def __init__(
        self,
        group: str,
        node: str,
        clock: Clock,
        snapshot: Callable[[], NodeSnapshot],
        alerts: Callable[[], Iterable[ChannelStats]] = lambda: (),
        watch_restarts: Callable[[], int] = lambda: 0,
        waiting: Callable[[], int] = lambda: 0,
        gate: tuple[Callable[[], GateReading], Callable[[], Page]] | None = None,
        config: ConfigGauges | None = None,
        dropped: Callable[[], dict[str, int]] = nothing_dropped,
    ) -> None:
        self.registry = CollectorRegistry()
        self._base = (group, node)
        self._clock = clock
        self._open: dict[int, tuple[Ms, str]] = {}  # request → when it left, and its kind
        self.gauges = Gauges(self._base, clock, snapshot, alerts, watch_restarts, waiting)
        self.registry.register(self.gauges)
        self.registry.register(PeerGauges(self._base, clock, snapshot, dropped))
        if gate is not None:
            self.registry.register(GateGauges(self._base, clock, *gate))
        if config is not None:
            self.registry.register(config)
        ProcessCollector(registry=self.registry)
        self._changed: object = None  # the epoch whose change was noted
        self._of_leadership()
        self._hooks = self._counter(
            "hooks", "Hooks that were run, by what came of them.", hook=PROGRAMS, result=RESULTS
        )
        self._hook_took = self._histograms("hook_duration_seconds", "Seconds that a hook took.", "hook", PROGRAMS)
        self._nodeos = self._counter(
            "nodeos_requests", "Requests to nodeos.", endpoint=NODEOS_CALLS, result=NODEOS_RESULTS
        )
        self._nodeos_took = self._histograms(
            "nodeos_request_duration_seconds", "Seconds that a request to nodeos took.", "endpoint", NODEOS_CALLS
        )
        self._etcd = self._counter("etcd_requests", "Requests to etcd.", operation=STORE_CALLS, result=STORE_RESULTS)
        self._etcd_took = self._histograms(
            "etcd_request_duration_seconds", "Seconds that a request to etcd took.", "operation", STORE_CALLS
        )
        self._steps = self._counter("loop_steps", "Steps of the decision loop.")[()]
        self._step_took = self._histogram(
            "loop_step_duration_seconds", "Seconds that a step of the decision loop took, to a millisecond.", _STEP
        )

    def _of_leadership(self) -> None:
        rows = {(source.value, row.target.value, row.key): 0 for row in TRANSITIONS.values() for source in row.sources}
        self._transitions = Counter(
            PREFIX + "leadership_transitions",
            "Changes of phase, by the key of the reason.",
            (*LABELS, "from_state", "to_state", "reason"),
            registry=self.registry,
        )
        for row in rows:
            self._transitions.labels(*self._base, *row)
        self._confirmations = self._counter(
            "confirmations", "Confirmations in etcd, by their outcome.", result=_RESULTS.values()
        )
        self._promises = self._counter("peer_promises", "Promises of peers, by their result.", result=_PROMISES)
        self._given = False  # in this step
        self._fencings = self._counter("fencings", "Times that the nodeos process was to be ended.", result=_FENCINGS)
        self._duration = self._histogram(
            "confirmation_duration_seconds", "Seconds from before a confirmation left until its answer.", _QUICK
        )
        self._leaderless = self._histogram(
            "failover_duration_seconds",
            "Seconds for which nobody led before this node took over, or no own block came in time: the longer.",
            _SLOW,
        )

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> dict[tuple[str, ...], Counter]:
        """Return a counter's children, by the values of their own labels."""
        made = Counter(PREFIX + name, text, (*LABELS, *labels), registry=self.registry)
        return {values: made.labels(*self._base, *values) for values in product(*labels.values())}

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(PREFIX + name, text, LABELS, registry=self.registry, buckets=buckets)
        return made.labels(*self._base)

    def _histograms(self, name: str, text: str, label: str, values: Iterable[str]) -> dict[str, Histogram]:
        """Return a histogram's children, by the value of their own label."""
        made = Histogram(PREFIX + name, text, (*LABELS, label), registry=self.registry, buckets=_QUICK)
        return {value: made.labels(*self._base, value) for value in values}

    # --- what the loop tells: on its thread ---

    def announced(self, action: Announce) -> None:
        """Count a transition."""
        self._transitions.labels(*self._base, action.source, action.target, action.key).inc()

    def changed(self, fields: Mapping[str, str | int]) -> None:
        """Note a change of leader to this node, once: when its cost is counted, at the latest when its tenure ends."""
        epoch = fields.get("epoch", 0)
        spans = [span for name in ("leaderless_ms", "outage_ms") if isinstance(span := fields.get(name), int)]
        if spans and epoch != self._changed and ("counted_to" in fields or "stop_ms" in fields):
            self._leaderless.observe(max(spans) / 1000)
            self._changed = epoch or None

    def promised(self) -> None:
        """Count a promise that we gave."""
        self._given = True
        self._promises[("given",)].inc()

    def sent(self, action: Transact, now: Ms) -> None:
        """Note that a transaction leaves. The next may leave before the answer to the last is `seen`."""
        if len(self._open) >= _OPEN:
            del self._open[next(iter(self._open))]
        self._open[action.request] = (now, action.kind)

    def stepped(self, event: object, now: Ms) -> None:
        """Count one event, whose step began at `now`, and the step that it caused."""
        self._steps.inc()
        self._step_took.observe((self._clock.boot() - now) / 1000)
        if isinstance(event, HookDone):
            self._hooks[event.hook, event.result].inc()
            self._hook_took[event.hook].observe(event.took / 1000)
        if isinstance(event, ev.Applied | ev.Refused | ev.Unknown | ev.Rejected):
            at, kind = self._open.pop(event.request, (0, ""))
            if kind == "confirm":
                self._confirmations[(_RESULTS[type(event)],)].inc()
                self._duration.observe((now - at) / 1000)
        elif isinstance(event, ev.PromiseReceived):
            self._promises[("heard",)].inc()
        elif isinstance(event, ev.BeatReceived):
            self._promises[("withheld",)].inc(not self._given)
            self._given = False
        elif isinstance(event, ev.FenceDone):
            self._fencings[("gone" if event.gone else "failed",)].inc()

    # --- what the metered ports tell: on any thread ---

    def nodeos_request(self, endpoint: str, result: str, seconds: float) -> None:
        """Count a request to nodeos (see `agent.net.metered`)."""
        self._nodeos[(endpoint, result)].inc()
        self._nodeos_took[endpoint].observe(seconds)

    def etcd_request(self, operation: str, result: str, seconds: float) -> None:
        """Count a request to etcd."""
        self._etcd[(operation, result)].inc()
        self._etcd_took[operation].observe(seconds)

    def lease_kept(self, ttl_s: int, at: Ms) -> None:
        """Note that the session's lease lives for `ttl_s` seconds from `at` on; 0: it is gone."""
        self.gauges.lease = (ttl_s, at)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that a header `Accept` prefers (OpenMetrics, else text), and its type."""
        if "application/openmetrics-text" in accept:
            text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call] # untyped there
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
