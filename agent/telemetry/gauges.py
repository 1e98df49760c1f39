"""Gauges computed at scrape time, from the loop's snapshot and the counters of others. Nothing is decided here.

Values that age (validity left, head age, the loop's last step) are computed when they are asked for, so that a frozen
loop shows. What the loop knew last is not told as true once the loop stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.alerts.worker import ChannelStats
from agent.core.leadership.state import Phase
from agent.core.leadership.timing import PeersMode
from agent.core.model.slots import REPETITIONS, SLOT
from agent.core.model.store import Ms
from agent.core.node.snapshot import STUCK_MS, NodeSnapshot
from agent.core.node.state import own_windows
from agent.host.small_file import read_whole
from agent.net.tls import of_pem
from agent.ports import Clock
from agent.telemetry.families import (
    NAMES,
    SELF_PAUSED,
    SOURCES,
    UNNAMED,
    Kit,
    NodeNames,
    confirmation,
    producing_since,
    vote_ages_s,
)

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass(eq=False)
class Gauges(Kit):
    """What an agent is, as metrics. The callables are asked at scrape time, too (see `Metrics`).

    `lease`: TTL of the session's lease in seconds, and when the request was sent that gave it; (0, 0): there is none.
    `_dropped` returns how many datagrams of peers the socket dropped, by reason.
    """

    _clock: Clock
    _snapshot: Callable[[], NodeSnapshot]
    _alerts: Callable[[], Iterable[ChannelStats]]
    _watch_restarts: Callable[[], int]
    _waiting: Callable[[], int]
    _dropped: Callable[[], Mapping[str, int]]
    lease: tuple[int, Ms] = (0, 0)

    def __post_init__(self) -> None:
        self._names = NodeNames(self._base[1])

    def collect(self) -> Iterator[Metric]:
        """Compute all of them now."""
        snapshot = self._snapshot()
        now, wall = self._clock.boot(), self._clock.wall()
        yield self._info("build", "Version of the agent.", {"version": __version__})
        yield self._one("loop_step_age_seconds", "Seconds since the loop's last step.", (now - snapshot.at) / 1000)
        yield self._one("loop_queue_length", "Events that wait for the loop.", self._waiting())
        yield from self._leadership(snapshot, now, wall)
        yield from self._production(snapshot, now, wall)
        yield from self._confirmation(snapshot, now)
        yield from self._words(snapshot)
        yield from self._nodeos(snapshot, wall)
        yield from self._finality(snapshot)
        yield from self._checks(snapshot)
        yield from self._etcd(snapshot, now)
        yield from self._peers(snapshot, now)
        yield from self._channels()

    def _leadership(self, snapshot: NodeSnapshot, now: Ms, wall: Ms) -> Iterator[Metric]:
        node = snapshot.node
        state = node.leadership
        leads = snapshot.leads(now)
        yield self._one("is_leader", "1 while this node is the confirmed leader and nodeos produces.", leads)
        since = (wall - (now - node.leading_since)) / 1000 if leads and node.leading_since is not None else 0.0
        text = "When this leader began to produce, in seconds since 1970; 0 without the lead."
        yield self._one("leadership_acquired_timestamp_seconds", text, since)
        states = {phase.value: float(phase is state.phase) for phase in Phase}
        yield self._by("state", "1 for the phase that this agent is in.", "state", states)
        holders = self._names.flags([member.node for member in node.members], state.seen.last_holder)
        text = f"1 for the node that wrote the heartbeat last, as seen here; {UNNAMED} for names beyond {NAMES}."
        yield self._by("leader_info", text, "leader", holders)
        yield self._one("leader_epoch", "Highest epoch that was seen; 0 before etcd was read.", state.seen.max_epoch)
        text = "1 while this node may take over: healthy, and not kept from it."
        yield self._one("eligible", text, state.eligibility.eligible)
        what = node.would.what if node.settings.observes and node.would else ""
        yield self._one("would_lead", "1 while an agent that observes would take the lead.", what == "lead")
        yield self._one("would_pause", "1 while an agent that observes would pause nodeos.", what == "pause")

    def _production(self, snapshot: NodeSnapshot, now: Ms, wall: Ms) -> Iterator[Metric]:
        node = snapshot.node
        state = node.leadership
        if now - snapshot.at < STUCK_MS:
            since = producing_since(snapshot)
            yield self._one(
                "producing",
                "1 while nodeos produces, or is not known to have stopped after it did; 0 while a leader's signs "
                "nothing; absent while the loop hangs.",
                since is not None,
            )
            span = 0.0 if since is None else (now - since) / 1000
            yield self._one("producing_seconds", "Seconds for which nodeos has been producing; 0 while not.", span)
        yield self._one("production_paused", "1 while nodeos is proven not to produce.", state.proven)
        own = node.own_block_at
        text = "When a new head of our producer was seen last, whoever signed it, in seconds since 1970; 0 if never."
        seen_at = (wall - (now - own)) / 1000 if own else 0.0
        yield self._one("last_produced_block_timestamp_seconds", text, seen_at)
        ledger = node.watch.ledger  # every agent counts for itself, on its own nodeos's chain
        yield self._count("produced_blocks", "Own slots that have a block on this node's chain.", ledger.produced)
        text = "Own slots without one, by what they were lost to."
        yield self._counts("missed_blocks", text, "cause", ledger.missed)
        text = "Blocks of our producer that no governed node can have signed."
        yield self._counts("stray_blocks", text, "kind", node.watch.trip.counts)

    def _confirmation(self, snapshot: NodeSnapshot, now: Ms) -> Iterator[Metric]:
        state = snapshot.node.leadership
        timing = state.identity.timing
        left = (state.tenure.valid_until - now) / 1000 if state.tenure else 0.0
        yield self._one("validity_remaining_seconds", "Seconds for which this node is confirmed.", max(0.0, left))
        lasts = timing.peers_validity if state.support.named else timing.validity
        text = "Seconds for which one confirmation allows production: E, or E_s while the heartbeat names peers."
        yield self._one("validity_seconds", text, lasts / 1000)
        text = "A: seconds that stopping takes at most; with no more left, a leader stops."
        yield self._one("stop_margin_seconds", text, timing.margin / 1000)

    def _words(self, snapshot: NodeSnapshot) -> Iterator[Metric]:
        seen = snapshot.node.leadership.seen
        mode = "" if seen.override is None else "leader" if seen.override.leader else "none"
        modes = {each: float(mode == each) for each in ("leader", "none")}
        text = "1 while an override is on: for one leader, or that none may lead."
        yield self._by("override_active", text, "mode", modes)
        yield self._one("maintenance_active", "1 while maintenance is on.", seen.maintenance is not None)

    def _nodeos(self, snapshot: NodeSnapshot, wall: Ms) -> Iterator[Metric]:
        found, process = snapshot.node.health, snapshot.node.leadership.process
        there = process is not None and process.pid > 0
        yield self._one("nodeos_up", "1 while the nodeos process is there.", there)
        if found.info is not None:
            age = (wall - found.info.head_time) / 1000
            yield self._one("head_block_number", "Number of nodeos's head block.", found.info.head_num)
            yield self._one("head_block_age_seconds", "Seconds since the head block's time; below 0: early.", age)
            yield self._one("irreversible_block_number", "Number of the last irreversible block.", found.info.lib_num)
            offset = found.clock / 1000
            yield self._one("clock_offset_seconds", "How far our clock is behind the chain, in seconds.", offset)
        if found.peers is not None:
            yield self._one("peers_connected", "Peers with a finished handshake.", found.peers.connected)
        if found.schedule is not None:
            ours = own_windows(snapshot.node) is not None
            yield self._one("producer_scheduled", "1 while the producer is in the active schedule.", ours)
            span = len(found.schedule.producers) * REPETITIONS * SLOT / 1000
            yield self._one("schedule_round_seconds", "Seconds that a round of the active schedule takes.", span)

    def _finality(self, snapshot: NodeSnapshot) -> Iterator[Metric]:
        """Yield what is known of finality (Savanna); before it that is only how far LIB lies behind."""
        node = snapshot.node
        found, info, settings = node.health.finality, node.health.info, node.settings.finalizer
        if info is not None:
            lag = max(0, info.head_num - info.lib_num)
            yield self._one("irreversible_lag_blocks", "Blocks between the last irreversible one and the head.", lag)
        why = {name: float(node.finality.cause == cause) for name, cause in SELF_PAUSED.items()}
        yield self._by("self_paused", "1 while nodeos, which leads, has paused itself, by why.", "reason", why)
        if found is None or not found.known or info is None:
            return
        if settings.key:
            text = "1 while the BLS key of this node is its account's active one."
            yield self._one("finalizer_key_active", text, found.active_key(settings.account) == settings.key)
        own, others = vote_ages_s(node)
        votes = {name: age for name, age in {"own": own, "others": others}.items() if age is not None}
        text = "Seconds between the last block that was voted for and the head, for our account and all others."
        yield self._by("vote_age_seconds", text, "of", votes)

    def _checks(self, snapshot: NodeSnapshot) -> Iterator[Metric]:
        found = snapshot.node.health
        yield self._one("healthy", "1 while every check passes.", found.ok)
        passing = {name: float(check.ok) for name, check in found.checks.items()}
        yield self._by("health_check_ok", "1 while the check passes.", "check", passing)
        failures = {name: float(check.failures) for name, check in found.checks.items()}
        yield self._counts("health_check_failures", "Bad results since the start.", "check", failures)

    def _etcd(self, snapshot: NodeSnapshot, now: Ms) -> Iterator[Metric]:
        node = snapshot.node
        up = node.leadership.seen.known and node.etcd_down_since is None
        yield self._one("etcd_up", "1 while etcd answers this agent.", up)
        yield self._count("etcd_watch_restarts", "Watches that were replaced.", self._watch_restarts())
        ttl, at = self.lease
        yield self._one("lease_ttl_seconds", "Seconds that the session's lease lives, as granted; 0: none.", ttl)
        left = max(0.0, ttl - (now - at) / 1000) if ttl else 0.0
        yield self._one("lease_remaining_seconds", "Seconds that the session's lease has left at least.", left)

    def _peers(self, snapshot: NodeSnapshot, now: Ms) -> Iterator[Metric]:
        state = snapshot.node.leadership
        timing, record = state.identity.timing, state.seen.record
        modes = {mode.value: float(mode is timing.peers) for mode in PeersMode}
        yield self._by("peers_mode", "1 for the mode of the peers.", "mode", modes)
        yield self._one("peers_named", "Peers that the heartbeat names.", len(record.peers) if record else 0)
        found = confirmation(state, now) or dict.fromkeys(SOURCES, 0)
        left = {source: ms / 1000 for source, ms in found.items()}
        text = "Seconds for which this source alone confirms this node."
        yield self._by("validity_remaining_by_source_seconds", text, "source", left)
        text = "E_s: seconds for which a beat that every peer promised for allows production."
        yield self._one("peers_validity_seconds", text, timing.peers_validity / 1000)
        yield self._counts("peer_datagrams_dropped", "Datagrams of peers that were dropped.", "reason", self._dropped())

    def _channels(self) -> Iterator[Metric]:
        found = list(self._alerts())
        sent = {(stats.channel, result): count for stats in found for result, count in stats.sent.items()}
        yield self._series(
            "Counter", "alerts_sent", "Tries to deliver an alert, by their result.", sent, "channel", "result"
        )
        dropped = {(stats.channel, reason): count for stats in found for reason, count in stats.dropped.items()}
        yield self._series(
            "Counter", "alerts_dropped", "Alerts that were given up, by the reason.", dropped, "channel", "reason"
        )
        queued = {stats.channel: float(stats.queued) for stats in found}
        yield self._by("alert_queue_length", "Alerts that wait for the channel.", "channel", queued)


@dataclass(eq=False)
class ConfigGauges(Kit):
    """What the configuration of one agent means for those who look from outside.

    `_expiry` is asked at scrape time for the end of etcd's client certificate.
    """

    _clock: Clock
    runbooks: str
    _expiry: Callable[[], float | None] = lambda: None

    def __post_init__(self) -> None:
        self._ok, self._at = True, self._clock.wall()

    def reloaded(self, *, ok: bool) -> None:
        """Note that a configuration was read again, and whether it could be used."""
        self._ok = ok
        if ok:
            self._at = self._clock.wall()

    def collect(self) -> Iterator[Metric]:
        """Compute all of them now."""
        text = "1 while the configuration that was read last could be used."
        yield self._one("config_last_reload_successful", text, self._ok)
        text = "When a configuration was read last that could be used, in seconds since 1970."
        yield self._one("config_last_reload_success_timestamp_seconds", text, self._at / 1000)
        yield self._info("runbooks", "Where runbooks.md can be read.", {"url": self.runbooks})
        if (expiry := self._expiry()) is not None:
            text = "When the first certificate in etcd.cert_file runs out, in seconds since 1970."
            yield self._one("etcd_certificate_expiry_timestamp_seconds", text, expiry)


def expiry_of(file: Path | None) -> float | None:
    """Return when the first certificate of a file runs out, in seconds since 1970; None: there is none to read."""
    try:
        return min(of_pem(read_whole(file).decode())).timestamp() if file else None
    except (OSError, ValueError):
        return None
