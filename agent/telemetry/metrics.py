"""Prometheus metrics: counters that the loop and the metered ports feed; what is computed at scrape time: `gauges`.

Every series has the labels `group` and `node` (but `process_*`, which are prometheus_client's own), every other label
takes its values from a set that is known before, and all its series are there from the start at 0: else the first
failure would be no increase. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from agent.alerts.worker import ChannelStats
from agent.core.leadership import events as ev
from agent.core.leadership.actions import Announce, Transact
from agent.core.leadership.transitions import TRANSITIONS
from agent.core.model.store import Ms
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import FINALIZER, HOOKS, RESULTS, HookDone
from agent.host.page import Page
from agent.net.metered import NODEOS_CALLS, NODEOS_RESULTS, STORE_CALLS, STORE_RESULTS
from agent.ports import Clock
from agent.telemetry.families import Kit, Tallies, nothing_dropped
from agent.telemetry.gate_watch import GateGauges, GateReading
from agent.telemetry.gauges import ConfigGauges, Gauges

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

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


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
        base = (group, node)
        self._clock = clock
        self._open: dict[int, tuple[Ms, str]] = {}  # request → when it left, and its kind
        self.gauges = Gauges(base, clock, snapshot, alerts, watch_restarts, waiting, dropped)
        self._collectors: list[Kit] = [self.gauges]
        if gate is not None:
            self._collectors.append(GateGauges(base, clock, *gate))
        if config is not None:
            self._collectors.append(config)
        self._changed: object = None  # the epoch whose change was noted
        self._given = False  # a promise, in this step
        tallies = Tallies(base)
        self._collectors.append(tallies)
        self._of_leadership(tallies)
        add = tallies.add
        self._hooks = add("hooks", "Hooks that were run, by what came of them.", hook=PROGRAMS, result=RESULTS)
        self._hook_took = add("hook_duration_seconds", "Seconds that a hook took.", _QUICK, hook=PROGRAMS)
        self._nodeos = add("nodeos_requests", "Requests to nodeos.", endpoint=NODEOS_CALLS, result=NODEOS_RESULTS)
        self._nodeos_took = add(
            "nodeos_request_duration_seconds", "Seconds that a request to nodeos took.", _QUICK, endpoint=NODEOS_CALLS
        )
        self._etcd = add("etcd_requests", "Requests to etcd.", operation=STORE_CALLS, result=STORE_RESULTS)
        self._etcd_took = add(
            "etcd_request_duration_seconds", "Seconds that a request to etcd took.", _QUICK, operation=STORE_CALLS
        )
        self._steps = add("loop_steps", "Steps of the decision loop.")
        self._step_took = add(
            "loop_step_duration_seconds", "Seconds that a step of the decision loop took, to a millisecond.", _STEP
        )

    def _of_leadership(self, tallies: Tallies) -> None:
        add = tallies.add
        self._transitions = add(
            "leadership_transitions",
            "Changes of phase, by the key of the reason.",
            **dict.fromkeys(("from_state", "to_state", "reason"), ()),
        )
        for row in TRANSITIONS.values():
            for source in row.sources:
                self._transitions.begin(source.value, row.target.value, row.key)
        self._confirmations = add("confirmations", "Confirmations in etcd, by their outcome.", result=_RESULTS.values())
        self._promises = add("peer_promises", "Promises of peers, by their result.", result=_PROMISES)
        self._fencings = add("fencings", "Times that the nodeos process was to be ended.", result=_FENCINGS)
        self._duration = add(
            "confirmation_duration_seconds", "Seconds from before a confirmation left until its answer.", _QUICK
        )
        self._leaderless = add(
            "failover_duration_seconds",
            "Seconds for which nobody led before this node took over, or no own block came in time: the longer.",
            _SLOW,
        )

    @cached_property
    def registry(self) -> CollectorRegistry:
        """All collectors; made at the first scrape, which imports the library."""
        from prometheus_client import CollectorRegistry, ProcessCollector

        found = CollectorRegistry()
        for each in self._collectors:
            found.register(each)
        ProcessCollector(registry=found)
        return found

    # --- what the loop tells: on its thread ---

    def announced(self, action: Announce) -> None:
        """Count a transition."""
        self._transitions.inc(action.source, action.target, action.key)

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
        self._promises.inc("given")

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
            self._hooks.inc(event.hook, event.result)
            self._hook_took.observe(event.took / 1000, event.hook)
        if isinstance(event, ev.Applied | ev.Refused | ev.Unknown | ev.Rejected):
            at, kind = self._open.pop(event.request, (0, ""))
            if kind == "confirm":
                self._confirmations.inc(_RESULTS[type(event)])
                self._duration.observe((now - at) / 1000)
        elif isinstance(event, ev.PromiseReceived):
            self._promises.inc("heard")
        elif isinstance(event, ev.BeatReceived):
            if not self._given:
                self._promises.inc("withheld")
            self._given = False
        elif isinstance(event, ev.FenceDone):
            self._fencings.inc("gone" if event.gone else "failed")

    # --- what the metered ports tell: on any thread ---

    def nodeos_request(self, endpoint: str, result: str, seconds: float) -> None:
        """Count a request to nodeos (see `agent.net.metered`)."""
        self._nodeos.inc(endpoint, result)
        self._nodeos_took.observe(seconds, endpoint)

    def etcd_request(self, operation: str, result: str, seconds: float) -> None:
        """Count a request to etcd."""
        self._etcd.inc(operation, result)
        self._etcd_took.observe(seconds, operation)

    def lease_kept(self, ttl_s: int, at: Ms) -> None:
        """Note that the session's lease lives for `ttl_s` seconds from `at` on; 0: it is gone."""
        self.gauges.lease = (ttl_s, at)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that a header `Accept` prefers (OpenMetrics, else text), and its type."""
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        if "application/openmetrics-text" in accept:
            from prometheus_client.openmetrics import exposition as openmetrics

            text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call] # untyped there
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
