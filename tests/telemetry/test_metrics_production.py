"""Metrics of production, of who may take over, and of what is left: each tells what is known, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.core.leadership.events import Eligibility
from agent.core.leadership.state import Phase, Production, StoreView
from agent.core.node.snapshot import STUCK_MS
from agent.telemetry.families import producing_since
from tests.support.metrics_bench import LEADING, NOW, Bench

STANDBY: dict[str, Any] = {**LEADING, "phase": Phase.STANDBY, "tenure": None}


def bench(paused: bool | None, leading_since: int | None = None, **state: Any) -> Bench:
    """Return metrics of a node that answered `paused` last."""
    made = Bench(**state)
    made.node(health=replace(made.snapshot.node.health, paused=paused), leading_since=leading_since)
    return made


@pytest.mark.parametrize("production", [Production.RESUMING, Production.PRODUCING])
@pytest.mark.parametrize("paused", [True, False, None])
def test_a_resumed_nodeos_counts_as_producing(production: Production, paused: bool | None) -> None:
    """From the resume on: what it answered before says nothing of it."""
    assert bench(paused, **{**LEADING, "production": production}).get("producing") == 1


@pytest.mark.parametrize(
    "production", [Production.UNKNOWN, Production.PAUSING, Production.SETTLING, Production.FENCING]
)
def test_a_leader_that_stops_counts_until_it_is_proven(production: Production) -> None:
    """A hung nodeos that is being stopped is not known to have stopped (R4); one that says so itself has paused."""
    stopping = {**LEADING, "phase": Phase.STOPPING, "production": production}
    assert bench(None, **stopping).get("producing") == 1
    assert bench(False, **stopping).get("producing") == 1
    assert bench(True, **stopping).get("producing") == 0
    assert bench(None, **{**stopping, "production": Production.STOPPED}).get("producing") == 0


@pytest.mark.parametrize("production", [Production.UNKNOWN, Production.PAUSING])
def test_a_standby_counts_only_when_its_nodeos_says_so(production: Production) -> None:
    """A nodeos that starts under a standby, and gives no answer yet, is no second producer; an unpaused one is."""
    assert bench(None, **{**STANDBY, "production": production}).get("producing") == 0
    assert bench(True, **{**STANDBY, "production": production}).get("producing") == 0
    unpaused = bench(False, **{**STANDBY, "production": production, "production_since": NOW - 300})
    assert unpaused.get("producing") == 1
    assert unpaused.get("producing_seconds") == 0.3


def test_a_leader_that_is_seen_to_sign_nothing_does_not_produce() -> None:
    """P2: nodeos answers as ever, but none of its blocks is on the chain, or it was paused: that is shown."""
    bench = Bench(**LEADING)
    assert producing_since(bench.snapshot) is not None
    bench.node(assessment=replace(bench.snapshot.node.assessment, vain="none of its last 6 slots is on the chain"))
    assert producing_since(bench.snapshot) is None


def test_how_long_it_produces_is_counted_from_the_resume() -> None:
    """Prometheus reckons from it, by its own clock, whether two nodes produced at the same time."""
    leading = bench(False, NOW - 2000, **LEADING)
    leading.clock.go(500)
    assert leading.get("producing_seconds") == 2.5
    assert bench(True, **STANDBY | {"production": Production.STOPPED}).get("producing_seconds") == 0


def test_a_loop_that_hangs_does_not_say_who_produces() -> None:
    """The guard may have stopped nodeos by then: what the loop knew last is not told as true."""
    leading = bench(False, NOW - 2000, **LEADING)
    leading.clock.go(STUCK_MS - 1)
    assert leading.get("producing") == 1
    leading.clock.go(1)
    assert leading.get("producing") is None
    assert leading.get("producing_seconds") is None


def test_who_may_take_over_is_told() -> None:
    """A node that is healthy and not kept from the lead is eligible."""
    assert bench(True, **STANDBY, eligibility=Eligibility(eligible=False)).get("eligible") == 0
    assert bench(True, **STANDBY, eligibility=Eligibility(eligible=True)).get("eligible") == 1


def test_the_spans_that_the_validity_is_held_against_are_told() -> None:
    """E and A are those of the configuration (R1, R3)."""
    timing = Bench().snapshot.node.leadership.identity.timing
    assert Bench().get("validity_seconds") == timing.validity / 1000
    assert Bench().get("stop_margin_seconds") == timing.margin / 1000


def test_the_lease_runs_out_while_nobody_keeps_it() -> None:
    """What is left is reckoned from before the request left, at scrape time."""
    made = Bench()
    assert (made.get("lease_ttl_seconds"), made.get("lease_remaining_seconds")) == (0, 0)
    made.metrics.lease_kept(10, NOW)
    made.clock.go(4000)
    assert (made.get("lease_ttl_seconds"), made.get("lease_remaining_seconds")) == (10, 6)
    made.clock.go(7000)
    assert made.get("lease_remaining_seconds") == 0
    made.metrics.lease_kept(0, NOW)
    assert made.get("lease_ttl_seconds") == 0


def test_the_round_of_the_schedule_is_told() -> None:
    """Two producers of twelve slots of half a second each take twelve seconds."""
    assert Bench().get("schedule_round_seconds") == 12.0


def test_a_block_of_ours_that_never_came_has_no_date() -> None:
    """0 stands for never, not for the boot of the host."""
    assert Bench().get("last_produced_block_timestamp_seconds") == 0


def test_etcd_is_not_up_before_it_was_read() -> None:
    """An agent that starts knows nothing of etcd yet."""
    assert Bench().get("etcd_up") == 0
    assert Bench(seen=StoreView(5, 5)).get("etcd_up") == 1
