"""A profile that the running etcd cannot carry is refused at the start, and before anything was promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config.timing import FAST
from agent.core.leadership.etcd_fit import election_between, too_slow_answers, too_slow_elections
from agent.core.leadership.events import LeaseSeen
from agent.core.leadership.timing import Timing
from agent.core.model.keys import Keys
from agent.core.model.store import Snapshot
from agent.errors import RefusedError, StoreUnavailable
from agent.host.clock import boot_ms
from agent.ports import Lease, Store
from agent.runtime.etcd_fit import READS, look_for, see
from agent.runtime.session import Session
from tests.doctor.parts import config
from tests.lab.etcd import EtcdOptions
from tests.support.children import wait_until
from tests.support.etcd_bench import running, store_on
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

KEY = "/nodeos-failover/lab/leader"


@pytest.mark.parametrize("election_ms", [100, 300, 500, 700, 1000, 1300, 2000, 2500, 5000])
def test_the_least_lease_never_accuses_an_etcd_of_the_time_out_that_is_configured(election_ms: int) -> None:
    """etcd's own rule, ceil(1.5 ticks) heartbeats, gives a least lease that fits the time-out it has."""
    ticks = election_ms // 100
    least = -(-(3 * ticks // 2) * 100 // 1000)
    low, high = election_between(least)
    assert low < election_ms / 1000 <= high
    assert not too_slow_elections(Timing(election=election_ms), least)


def test_an_etcd_with_default_elections_is_too_slow_for_the_fast_profile() -> None:
    """P3: E of 3 s has room for two elections of 0.5 s only."""
    assert "timing.election says 0.5 s" in too_slow_elections(FAST, 2)
    assert not too_slow_elections(FAST, 1)


@pytest.mark.parametrize(("spans", "slow"), [([0.29] * 5, False), ([0.31] * 5, True), ([0.01, 0.01, 5.0], False)])
def test_answers_are_judged_by_their_median(spans: list[float], slow: bool) -> None:
    """One slow read is no reason; half of them above half the deadline is one."""
    assert bool(too_slow_answers(FAST, spans)) is slow


def test_only_a_profile_that_was_chosen_is_looked_at() -> None:
    """With the default profile nothing is asked at the start."""
    assert look_for(config()) is None
    assert look_for(config(timing={"profile": "fast"})) is not None


def test_a_session_is_refused_before_it_has_a_lease() -> None:
    """An agent whose look at etcd fails never campaigns: it gets no lease, and ends with the reason."""
    refused: list[RefusedError] = []
    events: list[object] = []
    names = Keys("/nodeos-failover/lab/")

    def look(_store: Store) -> None:
        raise RefusedError("too slow")

    session = Session(
        MemoryStore(MemoryEtcd(boot_ms)),
        names,
        "a",
        frozenset({"i"}),
        10,
        1.0,
        events.append,
        refused.append,
        lambda: 0,
        look,
    )
    session.start(None)
    wait_until(lambda: not session.alive)
    assert [str(each) for each in refused] == ["too slow"]
    assert not any(isinstance(each, LeaseSeen) for each in events)


@pytest.mark.real
def test_a_running_etcd_is_asked(tmp_path: Path) -> None:
    """A real etcd with elections of 1 s refuses the fast profile, one with 500 ms carries it; nothing is left there."""
    for election_ms, carries in ((1000, False), (500, True)):
        options = EtcdOptions(size=1, election_ms=election_ms, heartbeat_ms=50)
        with running(tmp_path / str(election_ms), options) as cluster, store_on(cluster) as store:
            if carries:
                see("fast", FAST, KEY, store)
            else:
                with pytest.raises(RefusedError, match=r"between 0\.7 and 1\.4 s"):
                    see("fast", FAST, KEY, store)
            assert "found 0 leases" in cluster.etcdctl("lease", "list")


def test_a_look_at_etcd_is_bounded_and_leaves_no_lease(moved: MovedTime) -> None:
    """Each question has the deadline of one request, in seconds; the lease is given back, and it may fail to be."""
    for revoked in (None, StoreUnavailable("x")):
        store: Any = Recorder({"grant": Lease(77, 1), "revoke": revoked, "range": Snapshot(1, ())}, moved, takes_ms=2)
        see("fast", FAST, "/k", store)
        assert store.calls == [("grant", (1, 0.6)), ("revoke", (77, 0.6)), *[("range", ("/k", 0.6))] * READS]
