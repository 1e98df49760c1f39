"""Whether an etcd can carry a timing: its elections and its round trips against what the spans rest on (P3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.doctor import etcd
from agent.doctor.finding import Grade
from tests.doctor.parts import WELL, config
from tests.lab.etcd import EtcdOptions
from tests.support.etcd_bench import running, store_on

QUICK = config(timing={"validity": 3.0, "renew": 0.4, "request": 0.6, "election": 0.5})
"""For an etcd with elections of 500 ms."""


def faulty(check: Any, settings: Any, **facts: Any) -> bool:
    """Tell whether a check finds fault with an etcd of which this is known."""
    verdict: Grade = check(replace(WELL.etcd, **facts), settings).verdict
    return verdict is Grade.FAULT


@pytest.mark.parametrize("election_ms", [100, 300, 500, 700, 1000, 1300, 2000, 2500, 5000])
def test_the_least_lease_never_accuses_an_etcd_of_the_time_out_that_is_configured(election_ms: int) -> None:
    """etcd's own rule, ceil(1.5 ticks) heartbeats, gives a least lease that fits the time-out it has."""
    ticks = election_ms // 100
    least = -(-(3 * ticks // 2) * 100 // 1000)
    low, high = etcd.election_between(least)
    assert low < election_ms / 1000 <= high
    settings = config(timing={"election": election_ms / 1000, "validity": 15.0})
    assert not faulty(etcd.election, settings, least_ttl_s=least)


def test_an_etcd_with_default_elections_is_too_slow_for_short_spans() -> None:
    """P3: E of 3 s has room for two elections of 0.5 s only."""
    assert "timing.election says 0.5 s" in etcd.election(replace(WELL.etcd, least_ttl_s=2), QUICK).seen
    assert faulty(etcd.election, QUICK, least_ttl_s=2)
    assert not faulty(etcd.election, QUICK, least_ttl_s=1)


@pytest.mark.parametrize(("spans", "slow"), [((0.29,) * 5, False), ((0.31,) * 5, True), ((0.01, 0.01, 5.0), False)])
def test_answers_are_judged_by_their_median(spans: tuple[float, ...], slow: bool) -> None:
    """One slow read is no fault; half of them above half the deadline is one."""
    assert faulty(etcd.round_trip, QUICK, round_trips_s=spans) is slow


@pytest.mark.real
def test_a_running_etcd_grants_a_lease_by_its_elections(tmp_path: Path) -> None:
    """A real etcd with elections of 1 s is too slow for short spans, one with 500 ms carries them."""
    for election_ms, carries in ((1000, False), (500, True)):
        options = EtcdOptions(size=1, election_ms=election_ms, heartbeat_ms=50)
        with running(tmp_path / str(election_ms), options) as cluster, store_on(cluster) as store:
            lease = store.grant(1, 5.0)
            assert faulty(etcd.election, QUICK, least_ttl_s=lease.ttl) is not carries
