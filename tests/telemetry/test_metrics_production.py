"""Metrics of production, peers and what is left: each tells what is known, and no more, and they stay few."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.core.leadership import events as ev
from agent.core.leadership.events import Eligibility
from agent.core.leadership.state import Identity, Phase, Production, State, StoreView, Tenure
from agent.core.leadership.support import Support, Vote
from agent.core.leadership.timing import PeersMode, Timing
from agent.core.leadership.transitions import TRANSITIONS
from agent.core.model.fields import NAME
from agent.core.model.keys import keys
from agent.core.model.peers import Beat, Peer, Promise
from agent.core.model.runtime_record import Listing
from agent.core.model.store import Ms
from agent.core.node.snapshot import STUCK_MS
from agent.core.node.state import GroupReports
from agent.telemetry.families import NAMES, UNNAMED, NodeNames, confirmation, producing_since
from agent.telemetry.metrics import Metrics
from agent.telemetry.pages import _peers
from tests.core.parts import PRODUCER, member
from tests.support.metrics_bench import LEADING, NOW, Bench, everything
from tests.support.recorder import Recorder

STANDBY: dict[str, Any] = {**LEADING, "phase": Phase.STANDBY, "tenure": None}


def bench(paused: bool | None, **state: Any) -> Bench:
    """Return metrics of a node that answered `paused` last."""
    made = Bench(**state)
    made.node(health=replace(made.snapshot.node.health, paused=paused))
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
    leading = bench(False, **LEADING)
    leading.clock.go(500)
    assert leading.get("producing_seconds") == 2.5
    assert bench(True, **STANDBY | {"production": Production.STOPPED}).get("producing_seconds") == 0


def test_a_loop_that_hangs_does_not_say_who_produces() -> None:
    """The guard may have stopped nodeos by then: what the loop knew last is not told as true."""
    leading = bench(False, **LEADING)
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


SERIES = 560
"""More than an agent has today, and few enough for a scrape within milliseconds."""


def test_all_series_are_there_from_the_start() -> None:
    """A counter that appears with its first failure would be no increase, and no alert."""
    bench = Bench()
    before = {(sample.name, *sorted(sample.labels.items())) for sample in bench.samples}
    after = {(sample.name, *sorted(sample.labels.items())) for sample in everything().samples}
    new = {name for name, *_ in after - before}
    assert {name for name in new if "alert" not in name} == set()
    assert len(bench.by("leadership_transitions_total", "reason")) == len(TRANSITIONS)
    assert bench.by("fencings_total", "result") == {"gone": 0, "failed": 0}
    assert len(after) < SERIES


def test_a_change_of_leader_changes_values_and_no_series() -> None:
    """Each member that was ever seen has a series with 0 or 1; one that goes away keeps it."""
    bench = Bench(**LEADING)
    bench.node(reports=GroupReports(members=(member("bp-a"), member("bp-b"))))
    assert bench.by("leader_info", "leader") == {"bp-a": 1, "bp-b": 0, UNNAMED: 0}
    bench.node(
        leadership=replace(bench.snapshot.node.leadership, seen=StoreView(6, 6, last_holder="bp-b")),
        reports=GroupReports(),
    )
    assert bench.by("leader_info", "leader") == {"bp-a": 0, "bp-b": 1, UNNAMED: 0}


def test_names_from_etcd_are_bounded() -> None:
    """Whoever writes member keys and heartbeats by the thousand adds few series; our own name keeps its own."""
    bench = Bench(**LEADING)
    for turn in range(5):
        many = tuple(member(f"n{turn}-{each}") for each in range(1000))
        seen = StoreView(5, 5, last_holder=f"leader-{turn}")
        bench.node(reports=GroupReports(members=many), leadership=replace(bench.snapshot.node.leadership, seen=seen))
        found = bench.by("leader_info", "leader")
        assert len(found) == NAMES + 1
        assert sum(found.values()) == 1
    assert found[UNNAMED] == 1
    assert "bp-a" in found


def test_the_word_for_other_names_is_no_name() -> None:
    """No node can be called as the names that found no room are."""
    assert NAME.fullmatch(UNNAMED) is None


def test_a_name_that_needs_quoting_comes_through() -> None:
    """Whatever stands in etcd, the text stays one that Prometheus can read."""
    bench = Bench(**{**LEADING, "seen": StoreView(5, 5, last_holder='b"p\\\n')})
    assert bench.by("leader_info", "leader")['b"p\\\n'] == 1


def test_the_producer_of_the_head_is_no_label() -> None:
    """Names from the chain do not become labels."""
    assert not any(PRODUCER in sample.labels.values() for sample in everything().samples)


def test_a_scrape_changes_nothing() -> None:
    """Two in a row tell the same."""
    bench = everything()
    first, second = ([each for each in bench.samples if not each.name.startswith("process_")] for _ in range(2))
    assert first == second


def test_a_scrape_costs_little() -> None:
    """It takes less than 20 ms of processor time: it shares the interpreter with the decision loop."""
    bench = everything()
    spans = []
    for _ in range(20):
        start = time.thread_time()
        bench.metrics.text()
        spans.append(time.thread_time() - start)
    assert statistics.median(spans) < 0.02


def test_so_many_names_have_a_series_and_no_more() -> None:
    """Our own, then the first that were seen; who finds no room is told as one, and is no leader by another's name."""
    names = NodeNames("own")
    members = [f"n{number:02d}" for number in range(NAMES + 5)]
    flags = names.flags(members, None)
    assert list(flags) == ["own", *members[: NAMES - 1], UNNAMED]
    assert not any(flags.values())
    flags = names.flags(members, members[-1])
    assert [name for name, flag in flags.items() if flag] == [UNNAMED]
    assert [name for name, flag in names.flags([], "n03").items() if flag] == ["n03"]


PEER = Peer("bp-b", "host-b")
IDENTITY = Identity("bp-a", "i", keys("/nodeos-failover", "eos"), timing=Timing(peers=PeersMode.LEASE))


def leader(valid_until: Ms, etcd_at: Ms, promised: Ms | None) -> State:
    """Return a leader that etcd confirmed at one time, and a peer's promise at another."""
    votes = () if promised is None else (Vote(PEER, promised, promised, 0),)
    support = Support(lists=(Listing((PEER,), 2000, etcd_at),), votes=votes)
    tenure = Tenure(1, "i", 1, 7, valid_until=valid_until, support=support)
    return State(IDENTITY, phase=Phase.LEADING, tenure=tenure)


@pytest.mark.parametrize(
    ("state", "left", "by"),
    [
        (leader(12_000, 10_000, 10_500), {"etcd": 1000, "peers": 1500}, "peers"),
        (leader(12_000, 10_500, 10_000), {"etcd": 1500, "peers": 1000}, "etcd"),
        (leader(12_000, 10_500, None), {"etcd": 1500, "peers": 0}, "etcd"),
        (leader(12_000, 1, 10_500), {"etcd": 0, "peers": 1500}, "peers"),
        (leader(11_000, 10_000, 10_500), None, None),
        (State(IDENTITY), None, None),
    ],
)
def test_what_confirms_a_leader_is_what_does_so_for_longest(
    state: State, left: dict[str, Ms] | None, by: str | None
) -> None:
    """Each source by itself, and none once the confirmation is over."""
    assert confirmation(state, 11_000) == left
    node: Any = SimpleNamespace(leadership=state, etcd_down_since=None)
    assert _peers(node, 11_000)["confirmed_by"] == by


def test_promises_are_counted_by_what_came_of_them() -> None:
    """A beat that was answered, one that was not, and a promise that was heard."""
    clock: Any = Recorder({"boot": 0, "wall": 0})
    snapshot: Any = Recorder()
    metrics = Metrics("eos", "bp-a", clock, snapshot)
    metrics.promised()
    metrics.stepped(ev.BeatReceived(Beat(1, "i", 1, "bp-b", 2000), 0), 0)
    metrics.stepped(ev.BeatReceived(Beat(1, "i", 2, "bp-b", 2000), 0), 0)
    metrics.stepped(ev.PromiseReceived(Promise(1, "i", 1, "bp-b", "h"), 0), 0)
    counts = {values[0]: found[0] for values, found in metrics._promises.told().items()}
    assert counts == {"given": 1, "withheld": 1, "heard": 1}
