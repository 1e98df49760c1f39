"""Metrics: names and labels as Prometheus wants them, ages at scrape time, each event counted once."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agent import __version__
from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.worker import Channel
from agent.core.alerts.notice import Notice
from agent.core.health.checks import PeersProbed
from agent.core.health.finality import OTHERS
from agent.core.leadership import events as ev
from agent.core.leadership.actions import Announce, Transact
from agent.core.leadership.state import Phase, Production, StoreView
from agent.core.model.chain import Peers, ProcessId, Schedule
from agent.core.model.operator import Override
from agent.core.model.store import Txn
from agent.core.node import step as core
from agent.core.node.state import EtcdFault, FinalityWatch, FinalizerSettings, HookDone
from agent.ports import Delivery
from agent.telemetry.families import LABELS, PREFIX
from agent.telemetry.gauges import expiry_of
from tests.core.parts import NODEOS, SCHEDULE, info
from tests.support.alert_channel import PlayedSink
from tests.support.children import wait_until
from tests.support.metrics_bench import LEADING, MARGIN, NOW, Bench, everything


def test_every_series_has_group_and_node() -> None:
    """All names have the prefix, all series both labels; nothing is named _created, and no name is there twice."""
    text = everything().metrics.text()[0].decode()
    found = list(text_string_to_metric_families(text))
    families = [family for family in found if not family.name.startswith("process_")]
    assert {"process_cpu_seconds", "process_open_fds", "process_resident_memory_bytes"} <= {each.name for each in found}
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


def test_openmetrics_tells_the_same() -> None:
    """The format that Prometheus prefers has every series of the text format, and its end."""
    metrics = everything().metrics
    text, kind = metrics.text("application/openmetrics-text;version=nonsense,text/plain")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    plain = text_string_to_metric_families(metrics.text("*/*")[0].decode())
    open_ones = openmetrics.text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call] # theirs
    found = {sample.name for family in open_ones for sample in family.samples}
    assert {sample.name for family in plain for sample in family.samples} == found


def test_a_reload_is_told_with_its_end_and_its_time() -> None:
    """One that fails shows until the next that does not; the time is that of the last good one."""
    bench = Bench()
    began = bench.get("config_last_reload_success_timestamp_seconds")
    assert (bench.get("config_last_reload_successful"), began) == (1, bench.clock.wall() / 1000)
    bench.clock.go(5000)
    bench.config.reloaded(ok=False)
    assert bench.get("config_last_reload_successful") == 0
    assert bench.get("config_last_reload_success_timestamp_seconds") == began
    bench.config.reloaded(ok=True)
    assert bench.get("config_last_reload_successful") == 1
    assert bench.get("config_last_reload_success_timestamp_seconds") == (began or 0) + 5


def test_the_end_of_the_certificate_is_that_of_the_file_now(tmp_path: Path) -> None:
    """It is read at each scrape, for a renewed one lies in the same place; without one, or with a broken one, none."""
    file = tmp_path / "client.crt"
    assert expiry_of(None) is expiry_of(file) is None
    for days in ("30", "60"):
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", days]
        subprocess.run([*make, "-keyout", tmp_path / "key", "-out", file], check=True, capture_output=True, timeout=30)
        assert expiry_of(file) == pytest.approx(time.time() + int(days) * 86400, abs=120)
    file.write_text("-----BEGIN CERTIFICATE-----")
    assert expiry_of(file) is None


def test_without_a_step_everything_can_be_scraped() -> None:
    """A scrape before the loop knows anything brings no error, and no leader."""
    bench = Bench()
    assert bench.get("is_leader") == 0
    assert bench.get("build_info", version=__version__) == 1
    assert bench.get("leadership_acquired_timestamp_seconds") == 0


# --- what ages -------------------------------------------------------------------------------------------------------


def test_a_head_ahead_of_our_clock_is_a_clock_behind() -> None:
    """The offset is what was measured last, in seconds: below 0 while the head is from the future."""
    bench = everything()
    assert bench.get("clock_offset_seconds") == 0.0
    bench.node(health=replace(bench.snapshot.node.health, clock=-2500))
    assert bench.get("clock_offset_seconds") == -2.5


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
    before = bench.clock.wall() / 1000
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
    bench = Bench(**{**LEADING, "seen": StoreView(5, 5, override=override, maintenance="why" if override else None)})
    assert bench.by("override_active", "mode") == {"leader": modes[0], "none": modes[1]}
    assert bench.get("maintenance_active") == float(override is not None)


@pytest.mark.parametrize(("schedule", "scheduled"), [(None, None), (Schedule(4, ()), 0), (SCHEDULE, 1)])
def test_scheduled_is_told_only_when_it_is_known(schedule: Schedule | None, scheduled: int | None) -> None:
    """Whether the producer is scheduled is unknown until a schedule was read, and then what it says."""
    bench = Bench(**LEADING)
    bench.node(health=replace(bench.snapshot.node.health, schedule=schedule))
    assert bench.get("producer_scheduled") == scheduled


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
    bench.node(etcd_faults={"session": EtcdFault(NOW - 1, "no quorum")})
    assert bench.get("etcd_up") == 0


def test_proven_stopped_is_paused() -> None:
    """Only the proof counts (R4)."""
    assert Bench(**LEADING).get("production_paused") == 0
    assert Bench(**{**LEADING, "production": Production.SETTLING}).get("production_paused") == 0
    assert Bench(**{**LEADING, "production": Production.STOPPED}).get("production_paused") == 1


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
def test_each_confirmation_is_counted_once(
    event: ev.Applied | ev.Refused | ev.Unknown | ev.Rejected, result: str
) -> None:
    """A confirmation counts under its outcome, with its duration; a second answer and a take-over do not."""
    bench = Bench()
    bench.metrics.sent(Transact(4, "confirm", Txn((), ()), 1000), NOW)
    bench.metrics.stepped(event, NOW + 30)
    assert bench.get("confirmations_total", result=result) == 1
    assert bench.get("confirmation_duration_seconds_sum") == 0.03
    bench.metrics.sent(Transact(5, "take", Txn((), ()), 1000), NOW)
    bench.metrics.stepped(event, NOW + 60)
    bench.metrics.stepped(replace(event, request=5), NOW + 60)
    assert sum(bench.by("confirmations_total", "result").values()) == 1
    assert bench.get("confirmation_duration_seconds_count") == 1
    assert bench.get("loop_steps_total") == 3


def test_answers_that_never_come_are_forgotten() -> None:
    """What waits for an answer is bounded, and the newest still counts."""
    bench = Bench()
    for request in range(100):
        bench.metrics.sent(Transact(request, "confirm", Txn((), ()), 1000), NOW)
    bench.metrics.stepped(ev.Applied(0, 9), NOW)
    assert bench.get("confirmations_total", result="applied") == 0
    bench.metrics.stepped(ev.Applied(99, 9), NOW)
    assert bench.get("confirmations_total", result="applied") == 1


def test_an_answer_after_which_the_next_request_leaves_at_once_is_counted() -> None:
    """The core sends the next confirmation in the very step that takes an unknown outcome, before this is counted."""
    bench = Bench()
    bench.metrics.sent(Transact(4, "confirm", Txn((), ()), 1000), NOW)
    bench.metrics.sent(Transact(5, "confirm", Txn((), ()), 1000), NOW + 1000)
    bench.metrics.stepped(ev.Unknown(4, "why"), NOW + 1000)
    bench.metrics.stepped(ev.Applied(5, 9), NOW + 1030)
    assert bench.by("confirmations_total", "result") == {"unknown": 1, "applied": 1, "refused": 0, "rejected": 0}
    assert bench.get("confirmation_duration_seconds_sum") == pytest.approx(1.03)


def test_fencings_and_transitions_are_counted() -> None:
    """Each under its outcome, or from where to where and why."""
    bench = Bench()
    bench.metrics.stepped(ev.FenceDone(1, gone=True), NOW)
    bench.metrics.stepped(ev.FenceDone(2, gone=False, why="still there"), NOW)
    assert bench.by("fencings_total", "result") == {"gone": 1, "failed": 1}
    bench.metrics.announced(Announce("leads", "elected", "leading", "because", 3))
    found = bench.get("leadership_transitions_total", from_state="elected", to_state="leading", reason="leads")
    assert found == 1


def test_the_gap_of_a_change_is_observed_once() -> None:
    """The longer of no leader and no own block, once it is counted; of a first leader nothing is known."""
    bench = Bench()
    bench.metrics.changed({"epoch": 1, "node": "bp-a", "counted_to": 7})
    assert bench.get("failover_duration_seconds_count") == 0
    began: dict[str, str | int] = {"epoch": 2, "node": "bp-a", "leaderless_ms": 700}
    bench.metrics.changed(began)
    bench.metrics.changed({**began, "slots_missed": 1, "outage_ms": 500, "counted_to": 9})
    bench.metrics.changed({**began, "slots_missed": 1, "outage_ms": 500, "counted_to": 9, "window": 1})
    assert bench.get("failover_duration_seconds_count") == 1
    assert bench.get("failover_duration_seconds_sum") == 0.7
    outage: dict[str, str | int] = {
        "epoch": 3,
        "node": "bp-a",
        "leaderless_ms": 0,
        "slots_missed": 95,
        "outage_ms": 48_000,
    }
    bench.metrics.changed({**outage, "counted_to": 11})
    assert bench.get("failover_duration_seconds_sum") == 48.7
    bench.metrics.changed({"epoch": 4, "node": "bp-a", "leaderless_ms": 300})
    bench.metrics.changed({"epoch": 4, "node": "bp-a", "leaderless_ms": 300, "stop_ms": 900})
    assert bench.get("failover_duration_seconds_count") == 3


def test_watch_restarts_are_those_of_the_follower() -> None:
    """The count is asked for at scrape time."""
    count = [0]
    bench = Bench(lambda: (), lambda: count[0])
    assert bench.get("etcd_watch_restarts_total") == 0
    count[0] = 3
    assert bench.get("etcd_watch_restarts_total") == 3


def test_alerts_are_those_of_the_desk() -> None:
    """What a real desk sent, dropped and queued shows, channel by channel; an idle channel shows zeros."""
    sink = PlayedSink(lambda number: Delivery(ok=number == 1, detail="no"))
    dispatcher = AlertDispatcher([Channel(sink, "info")])
    bench = Bench(dispatcher.stats)
    assert bench.get("alerts_sent_total", channel="ops", result="ok") == 0
    for key in ("one", "two"):
        dispatcher.tell(Notice(key, "event", "critical", "summary"))
    wait_until(lambda: len(sink.tries) == 2)
    dispatcher.close(1.0)
    assert bench.by("alerts_sent_total", "result") == {"ok": 1, "failed": 0, "rejected": 1}
    assert bench.by("alerts_dropped_total", "reason") == {"full": 0, "rejected": 1, "expired": 0, "shutdown": 0}
    assert bench.by("alert_queue_length", "channel") == {"ops": 0}


def test_a_hook_that_came_back_is_counted_with_its_time() -> None:
    """By hook and result, in seconds; other events count as steps alone."""
    bench = Bench()
    bench.metrics.stepped(HookDone("before_promote", 3, "timeout", 2500), NOW)
    bench.metrics.stepped(ev.Tick(), NOW)
    assert bench.get("hooks_total", hook="before_promote", result="timeout") == 1.0
    assert bench.get("hook_duration_seconds_sum", hook="before_promote") == 2.5
    assert bench.get("loop_steps_total") == 2.0


# --- finality --------------------------------------------------------------------------------------------------------


def test_votes_and_the_key_that_casts_them_are_shown() -> None:
    """Own and other votes by age against the head, whether our key is active, how far LIB is behind, why paused."""
    bench = everything()
    assert bench.get("finalizer_key_active") == 1
    assert bench.by("vote_age_seconds", "of") == {"own": 1.0, "others": 0.5}
    assert bench.get("irreversible_lag_blocks") == info().head_num - info().lib_num
    assert bench.by("self_paused", "reason") == {"own_votes": 0, "votes_of_others": 0, "not_level": 0}
    known = bench.snapshot.node
    bench.node(settings=replace(known.settings, finalizer=FinalizerSettings("myproducer11", "B")))
    assert bench.get("finalizer_key_active") == 0
    bench.node(finality=FinalityWatch(excused="nodeos has paused itself", cause=OTHERS))
    assert bench.by("self_paused", "reason")["votes_of_others"] == 1
    assert bench.get("producing") == 0, "it leads, and signs nothing"
    bench.node(health=replace(known.health, finality=None))
    assert bench.get("finalizer_key_active") is None
