"""Metrics stay few whatever names and values arrive from etcd, from nodeos or from the chain."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from agent.core.leadership.state import StoreView
from agent.core.leadership.transitions import TRANSITIONS
from agent.core.model.fields import NAME
from agent.core.node.state import GroupReports
from agent.telemetry.families import NAMES, OTHERS, NodeNames
from tests.core.parts import PRODUCER, member
from tests.support.metrics_bench import LEADING, Bench, everything

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
    assert bench.by("leader_info", "leader") == {"bp-a": 1, "bp-b": 0, OTHERS: 0}
    bench.node(
        leadership=replace(bench.snapshot.node.leadership, seen=StoreView(6, 6, last_holder="bp-b")),
        reports=GroupReports(),
    )
    assert bench.by("leader_info", "leader") == {"bp-a": 0, "bp-b": 1, OTHERS: 0}


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
    assert found[OTHERS] == 1
    assert "bp-a" in found


def test_the_word_for_other_names_is_no_name() -> None:
    """No node can be called as the names that found no room are."""
    assert NAME.fullmatch(OTHERS) is None


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
    assert list(flags) == ["own", *members[: NAMES - 1], OTHERS]
    assert not any(flags.values())
    flags = names.flags(members, members[-1])
    assert [name for name, flag in flags.items() if flag] == [OTHERS]
    assert [name for name, flag in names.flags([], "n03").items() if flag] == ["n03"]
