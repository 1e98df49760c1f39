"""Metrics: names and labels as Prometheus wants them, ages at scrape time, each event counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agent import __version__
from agent.alerts import AlertDesk, Channel, ChannelStats
from agent.core import events as ev
from agent.core import node as core
from agent.core.actions import Announce, Transact
from agent.core.chain import Peers, ProcessId
from agent.core.health import InfoProbed, PausedProbed, PeersProbed, ScheduleProbed
from agent.core.node import Node, Profile
from agent.core.notice import Notice
from agent.core.records import Override
from agent.core.state import Phase, Power, Seen, State, Tenure
from agent.core.store import Txn
from agent.loop import Snapshot
from agent.metrics import LABELS, PREFIX, Metrics
from agent.ports import Delivery
from tests.core.parts import GOOD, LIMITS, NODEOS, PRODUCER, SETUP, info
from tests.support.children import wait_until

NOW = 100_000
MARGIN = SETUP.timing.margin
LEADING: dict[str, Any] = {
    "phase": Phase.LEADING,
    "power": Power.PRODUCING,
    "process": NODEOS,
    "tenure": Tenure(3, "f00d", 9, 7, 12, 11, valid_until=NOW + 4000),
    "seen": Seen(5, 5, last_holder="bp-a", max_epoch=3),
}


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.wall_ms = info().head_time + 1500

    def boot(self) -> int:
        """Return the time."""
        return self.now

    def wall(self) -> int:
        """Return the time of day."""
        return self.wall_ms

    def boot_id(self) -> str:
        """Return a name."""
        return "boot"

    def go(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms
        self.wall_ms += ms


class Bench:
    """The metrics of an agent whose loop stands still."""

    def __init__(self, *sources: Any, **state: Any) -> None:
        self.clock = Clock()
        begun: Node = core.begin(Profile("lab", LIMITS), State(SETUP))
        for probe in GOOD.values():
            begun, _ = core.step(begun, probe, NOW - 1000)
        self.snapshot = Snapshot(replace(begun, leadership=replace(begun.leadership, **state)), NOW)
        self.metrics = Metrics("lab", "bp-a", self.clock, lambda: self.snapshot, *sources)

    def node(self, **changes: Any) -> None:
        """Change the node of the snapshot."""
        self.snapshot = replace(self.snapshot, node=replace(self.snapshot.node, **changes))

    @property
    def samples(self) -> list[Sample]:
        """What a scrape brings."""
        text = self.metrics.text().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def get(self, name: str, **labels: str) -> float | None:
        """Return one value, None when there is no such series."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a family by one of its labels."""
        return {sample.labels[label]: sample.value for sample in self.samples if sample.name == PREFIX + name}


def everything() -> Bench:
    """Return metrics in which every family has a series."""
    stats = ChannelStats("ops", {"ok": 3, "failed": 1, "rejected": 0}, {"full": 2}, 4)
    bench = Bench(lambda: (stats,), lambda: 6, **LEADING)
    bench.node(leading_since=NOW - 2000, own_block_at=NOW - 500)
    bench.metrics.announced(Announce("leads", "elected", "leading", "because", 3))
    bench.metrics.changed({"leaderless_ms": 700})
    bench.metrics.sent(Transact(4, "confirm", Txn((), ()), 1000), NOW)
    for event in (ev.Applied(4, 9), ev.PauseDone(1, ev.Call.OK), ev.FenceDone(1, gone=True), GOOD["paused"]):
        bench.metrics.seen(event, NOW)
    return bench


def test_every_series_has_group_and_node() -> None:
    """All names have the prefix, all series both labels; nothing is named _created, and no name is there twice."""
    text = everything().metrics.text().decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 30
    for family in families:
        assert family.name.startswith(PREFIX)
        assert family.documentation
        assert family.samples, family.name
        for sample in family.samples:
            assert {name: sample.labels[name] for name in LABELS} == {"group": "lab", "node": "bp-a"}
            assert not sample.name.endswith("_created")
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples]
    assert len(set(series)) == len(series)


def test_without_a_step_everything_can_be_scraped() -> None:
    """A scrape before the loop knows anything brings no error, and no leader."""
    bench = Bench()
    assert bench.get("is_leader") == 0
    assert bench.get("build_info", version=__version__) == 1
    assert bench.get("leadership_acquired_timestamp_seconds") == 0


# --- what ages -------------------------------------------------------------------------------------------------------


def test_a_frozen_loop_shows() -> None:
    """Ages are computed when they are asked for: they go on while the loop does not."""
    bench = everything()
    head_age, left = bench.get("head_block_age_seconds"), bench.get("validity_remaining_seconds")
    assert (bench.get("loop_step_age_seconds"), head_age, left) == (0.0, 1.5, 4.0)
    bench.clock.go(2500)
    assert bench.get("loop_step_age_seconds") == 2.5
    assert bench.get("head_block_age_seconds") == 4.0
    assert bench.get("validity_remaining_seconds") == 1.5
    bench.clock.go(9000)
    assert bench.get("validity_remaining_seconds") == 0.0


def test_the_leader_of_a_frozen_loop_ends_with_its_time() -> None:
    """Nobody is shown as leader past the time to stop (R3), so that two never are."""
    bench = everything()
    bench.clock.go(4000 - MARGIN - 1)
    assert bench.get("is_leader") == 1
    bench.clock.go(1)
    assert bench.get("is_leader") == 0


def test_times_of_the_past_stand_still() -> None:
    """When the lead was won, and when a block of ours was seen last, do not move between scrapes."""
    bench = everything()
    before = bench.clock.wall_ms / 1000
    for _ in range(2):
        assert bench.get("leadership_acquired_timestamp_seconds") == pytest.approx(before - 2.0)
        assert bench.get("last_produced_block_timestamp_seconds") == pytest.approx(before - 0.5)
        bench.clock.go(1000)


# --- what is ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(Phase))
def test_the_phase_is_one_of_all(phase: Phase) -> None:
    """Each phase has a series, and one of them is 1: no series come and go."""
    bench = Bench(**{**LEADING, "phase": phase})
    assert bench.by("state", "state") == {each.value: float(each is phase) for each in Phase}
    assert bench.get("is_leader") == float(phase is Phase.LEADING)


@pytest.mark.parametrize(
    ("override", "modes"),
    [(None, (0, 0)), (Override("bp-b"), (1, 0)), (Override(None), (0, 1))],
)
def test_an_override_shows_its_mode(override: Override | None, modes: tuple[int, int]) -> None:
    """An override for a node and one for nobody are told apart."""
    bench = Bench(**{**LEADING, "seen": Seen(5, 5, override=override, maintenance="why" if override else None)})
    assert bench.by("override_active", "mode") == {"leader": modes[0], "none": modes[1]}
    assert bench.get("maintenance_active") == float(override is not None)


def test_health_is_shown_check_by_check() -> None:
    """A failing check shows beside those that pass, and is counted."""
    bench = Bench(**LEADING)
    assert bench.get("healthy") == 1
    assert bench.get("peers_connected") == 3
    assert bench.get("producer_scheduled") == 1
    assert bench.get("head_block_number") == 1000
    assert bench.get("irreversible_block_number") == 900
    failed, _ = core.step(bench.snapshot.node, PeersProbed(Peers(3, 0)), NOW)
    bench.node(health=failed.health)
    checks = bench.by("health_check_ok", "check")
    assert checks["peers"] == 0
    assert sum(checks.values()) == len(checks) - 1
    assert bench.get("healthy") == 0
    assert bench.by("health_check_failures_total", "check")["peers"] == 1


@pytest.mark.parametrize(("process", "there"), [(NODEOS, 1), (None, 0), (ProcessId(0, 0), 0)])
def test_nodeos_is_up_when_it_is_known(process: ProcessId | None, there: int) -> None:
    """A process that may be there but could not be found is not shown as up."""
    assert Bench(**{**LEADING, "process": process}).get("nodeos_up") == there


def test_etcd_is_down_while_it_does_not_answer() -> None:
    """The gauge follows the node's own view."""
    bench = Bench(**LEADING)
    assert bench.get("etcd_up") == 1
    bench.node(etcd_down_since=NOW - 1)
    assert bench.get("etcd_up") == 0


def test_proven_stopped_is_paused() -> None:
    """Only the proof counts (R4)."""
    assert Bench(**LEADING).get("production_paused") == 0
    assert Bench(**{**LEADING, "power": Power.SETTLING}).get("production_paused") == 0
    assert Bench(**{**LEADING, "power": Power.STOPPED}).get("production_paused") == 1


# --- what is counted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (ev.Applied(4, 9), "applied"),
        (ev.Refused(4, 9, None, None), "refused"),
        (ev.Unknown(4, "why"), "unknown"),
        (ev.Rejected(4, False, "why"), "rejected"),
    ],
)
def test_each_transaction_is_counted_once(
    event: ev.Applied | ev.Refused | ev.Unknown | ev.Rejected, result: str
) -> None:
    """A transaction counts under its kind and outcome, a confirmation with its duration; an old answer does not."""
    bench = Bench()
    bench.metrics.sent(Transact(4, "confirm", Txn((), ()), 1000), NOW)
    bench.metrics.seen(event, NOW + 30)
    assert bench.get("etcd_requests_total", kind="confirm", result=result) == 1
    assert bench.get("confirmations_total", result=result) == 1
    assert bench.get("confirmation_duration_seconds_sum") == 0.03
    bench.metrics.sent(Transact(5, "take", Txn((), ()), 1000), NOW)
    bench.metrics.seen(event, NOW + 60)
    assert bench.get("confirmation_duration_seconds_count") == 1
    bench.metrics.seen(replace(event, request=5), NOW + 60)
    assert bench.get("etcd_requests_total", kind="take", result=result) == 1
    assert bench.get("confirmations_total", result=result) == 1
    assert bench.get("loop_steps_total") == 3


@pytest.mark.parametrize(
    ("event", "endpoint", "result"),
    [
        (ev.PauseDone(1, ev.Call.OK), "pause", "ok"),
        (ev.PauseDone(1, ev.Call.TIMEOUT, "slow"), "pause", "timeout"),
        (ev.ResumeDone(1, ev.Call.UNREACHABLE, "nobody"), "resume", "unreachable"),
        (PausedProbed(0, True), "paused", "ok"),
        (PausedProbed(0, None, "slow"), "paused", "error"),
        (InfoProbed(info(), 0), "get_info", "ok"),
        (InfoProbed(None, 0, "slow"), "get_info", "error"),
        (PeersProbed(None, "no plugin", missing=True), "connections", "error"),
        (ScheduleProbed(None, "slow"), "get_producer_schedule", "error"),
    ],
)
def test_each_request_to_nodeos_is_counted(event: object, endpoint: str, result: str) -> None:
    """Calls and probes count under their endpoint and outcome."""
    bench = Bench()
    bench.metrics.seen(event, NOW)
    assert bench.get("nodeos_requests_total", endpoint=endpoint, result=result) == 1


def test_fencings_and_transitions_are_counted() -> None:
    """Each under its outcome, or from where to where and why."""
    bench = Bench()
    bench.metrics.seen(ev.FenceDone(1, gone=True), NOW)
    bench.metrics.seen(ev.FenceDone(2, gone=False, why="still there"), NOW)
    assert bench.by("fencings_total", "result") == {"gone": 1, "failed": 1}
    bench.metrics.announced(Announce("leads", "elected", "leading", "because", 3))
    found = bench.get("leadership_transitions_total", from_state="elected", to_state="leading", reason="leads")
    assert found == 1


def test_the_gap_of_a_change_is_observed_once() -> None:
    """How long nobody led: of a first leader nothing is known, and what is learnt later is no other change."""
    bench = Bench()
    bench.metrics.changed({"epoch": 1, "node": "bp-a"})
    assert bench.get("failover_duration_seconds_count") == 0
    bench.metrics.changed({"epoch": 2, "node": "bp-a", "leaderless_ms": 700})
    bench.metrics.changed({"epoch": 2, "node": "bp-a", "leaderless_ms": 700, "slots_missed": 1})
    assert bench.get("failover_duration_seconds_count") == 1
    assert bench.get("failover_duration_seconds_sum") == 0.7


def test_watch_restarts_are_those_of_the_follower() -> None:
    """The count is asked for at scrape time."""
    count = [0]
    bench = Bench(lambda: (), lambda: count[0])
    assert bench.get("etcd_watch_restarts_total") == 0
    count[0] = 3
    assert bench.get("etcd_watch_restarts_total") == 3


class Sink:
    """A channel that takes what the test says."""

    name = "ops"

    def __init__(self, send: Callable[[], Delivery]) -> None:
        self._send = send

    def send(self, notice: Notice, timeout_s: float) -> Delivery:
        """Take a notice."""
        return self._send()


def test_alerts_are_those_of_the_desk() -> None:
    """What a real desk sent, dropped and queued shows, channel by channel; an idle channel shows zeros."""
    deliveries = [Delivery(ok=True), Delivery(ok=False, detail="no")]
    desk = AlertDesk([Channel(Sink(lambda: deliveries.pop(0)), "info")])
    bench = Bench(desk.stats)
    assert bench.get("alerts_sent_total", channel="ops", result="ok") == 0
    for _ in range(2):
        desk.tell(Notice("key", "event", "critical", "summary"))
    wait_until(lambda: not deliveries)
    desk.close(1.0)
    assert bench.by("alerts_sent_total", "result") == {"ok": 1, "failed": 0, "rejected": 1}
    assert bench.by("alerts_dropped_total", "reason") == {"full": 0, "rejected": 1, "expired": 0, "shutdown": 0}
    assert bench.by("alert_queue_length", "channel") == {"ops": 0}


def test_the_producer_of_the_head_is_no_label() -> None:
    """Names from the chain or from etcd do not multiply the series, but for the leader."""
    bench = Bench(**{**LEADING, "seen": Seen(5, 5, last_holder='b"p\\')})
    assert bench.by("leader_info", "leader") == {'b"p\\': 1.0}
    assert not any(PRODUCER in sample.labels.values() for sample in bench.samples)
