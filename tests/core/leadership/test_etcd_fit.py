"""Whether an etcd can carry a timing: its elections and its round trips against what the spans rest on (P3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.leadership.etcd_fit import election_between, too_slow_answers, too_slow_elections
from agent.core.leadership.timing import Timing
from tests.lab.etcd import EtcdOptions
from tests.support.etcd_bench import running, store_on

QUICK = Timing(validity=3000, renew=400, request=600, election=500)
"""For an etcd with elections of 500 ms."""


@pytest.mark.parametrize("election_ms", [100, 300, 500, 700, 1000, 1300, 2000, 2500, 5000])
def test_the_least_lease_never_accuses_an_etcd_of_the_time_out_that_is_configured(election_ms: int) -> None:
    """etcd's own rule, ceil(1.5 ticks) heartbeats, gives a least lease that fits the time-out it has."""
    ticks = election_ms // 100
    least = -(-(3 * ticks // 2) * 100 // 1000)
    low, high = election_between(least)
    assert low < election_ms / 1000 <= high
    assert not too_slow_elections(Timing(election=election_ms), least)


def test_an_etcd_with_default_elections_is_too_slow_for_short_spans() -> None:
    """P3: E of 3 s has room for two elections of 0.5 s only."""
    assert "timing.election says 0.5 s" in too_slow_elections(QUICK, 2)
    assert not too_slow_elections(QUICK, 1)


@pytest.mark.parametrize(("spans", "slow"), [([0.29] * 5, False), ([0.31] * 5, True), ([0.01, 0.01, 5.0], False)])
def test_answers_are_judged_by_their_median(spans: list[float], slow: bool) -> None:
    """One slow read is no reason; half of them above half the deadline is one."""
    assert bool(too_slow_answers(QUICK, spans)) is slow


@pytest.mark.real
def test_a_running_etcd_grants_a_lease_by_its_elections(tmp_path: Path) -> None:
    """A real etcd with elections of 1 s is too slow for short spans, one with 500 ms carries them."""
    for election_ms, carries in ((1000, False), (500, True)):
        options = EtcdOptions(size=1, election_ms=election_ms, heartbeat_ms=50)
        with running(tmp_path / str(election_ms), options) as cluster, store_on(cluster) as store:
            lease = store.grant(1, 5.0)
            assert bool(too_slow_elections(QUICK, lease.ttl)) is not carries
