"""What the lab says of cost: requests read from metrics, aims, trends; the real runs are short here."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from tests.lab.measure import cost, soak
from tests.lab.measure.__main__ import main
from tests.lab.measure.idle import requests_of
from tests.lab.measure.soak import trend


def series(slope: float, noise: float = 0.0, *, minutes: int = 30, warm: float = 0.0) -> list[tuple[float, float]]:
    """Return samples every 5 s that grow by `slope` a minute from 50 on, and by `warm` more in the first tenth."""
    dice = random.Random(7)
    spans = [each * 5.0 for each in range(minutes * 12)]
    filled = [min(1.0, at / spans[-1] * 10) for at in spans]
    return [
        (at, 50 + warm * part + slope * at / 60 + dice.gauss(0, noise)) for at, part in zip(spans, filled, strict=True)
    ]


@pytest.mark.parametrize(
    ("slope", "noise", "warm", "grows"),
    [
        (0.0, 0.0, 0.0, False),
        (0.0, 1.0, 0.0, False),
        (0.04, 0.0, 0.0, False),
        (0.06, 0.0, 0.0, True),
        (0.2, 1.0, 0.0, True),
        (0.0, 0.3, 8.0, False),
        (-0.5, 0.3, 0.0, False),
    ],
)
def test_growth_above_the_bound_is_told(slope: float, noise: float, warm: float, grows: bool) -> None:
    """A series grows when its slope is surely above the bound; noise, a warm-up and a fall are no growth."""
    assert trend(series(slope, noise, warm=warm), 0.05).grows is grows


def test_requests_are_read_from_metrics() -> None:
    """Results of one call are added up; what is no request is left out."""
    text = (
        'nodeos_failover_etcd_requests_total{group="g",node="a",operation="txn",result="ok"} 7.0\n'
        'nodeos_failover_etcd_requests_total{group="g",node="a",operation="txn",result="unknown"} 1.0\n'
        'nodeos_failover_nodeos_requests_total{endpoint="paused",group="g",node="a",result="ok"} 3.0\n'
        'nodeos_failover_loop_steps_total{group="g",node="a"} 99.0\n'
    )
    assert requests_of(text) == {("etcd", "txn"): 8, ("nodeos", "paused"): 3}


def a_cost(role: str, cpu: float, rss: float, etcd: float) -> cost.Cost:
    """Return the cost of an agent, the guard's left out."""
    agent, guard = cost.Used(cpu, rss, rss, rss, 9, 9), cost.Used(0, 0, 0, 0, 1, 1)
    return cost.Cost("2 agents", "bp-a", role, 60, agent, guard, {"etcd txn": etcd, "nodeos paused": 9}, {})


def test_missed_aims_are_named() -> None:
    """Each aim has its own line, by the role that it is for."""
    assert cost.misses([a_cost("leader", 0.9, 59, 0.5), a_cost("standby", 1.0, 60, 0.4)]) == []
    said = cost.misses([a_cost("leader", 1.1, 61, 0.7), a_cost("standby", 0.5, 50, 0.5)])
    assert [each.partition(": ")[2] for each in said] == [
        "1.10 % of a core, the aim is 1",
        "61.00 MB of RSS, the aim is 60",
        "0.70 etcd requests/s, the aim is 0.6",
        "0.50 etcd requests/s, the aim is 0.4",
    ]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_short_soak_judges_every_series(capsys: pytest.CaptureFixture[str]) -> None:
    """Several failovers go well in a row, and the table has a verdict for every series."""
    assert main(["soak", "--minutes", "1.5", "--every", "20"]) in (0, 1)  # too short for a verdict on memory
    told = capsys.readouterr().out
    assert "failovers in 1.5 min" in told
    assert told.count("| agent-bp-") == 2 * len(soak.BOUNDS)
    assert "threads" in told


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_idle_group_is_measured(tmp_path: Path) -> None:
    """Leader and standby are told apart; etcd is asked no more than the aims allow, and every count is of something."""
    main(["cost", "--seconds", "20", "--sizes", "2", "--json", str(tmp_path / "cost.json")])
    found = {each["role"]: each for each in json.loads((tmp_path / "cost.json").read_text())}
    for role, aim in (("leader", 1.0), ("standby", 0.7)):  # in 20 s one request more or less counts for much
        asked = sum(count for name, count in found[role]["requests"].items() if name.startswith("etcd"))
        assert 0.1 < asked <= aim
        assert all(found[role]["agent"][name] > 0 for name in ("cpu", "rss", "pss"))
        assert all(each > 0 for passed in found[role]["passed"].values() for each in passed)
    bare, before = (found[f"{calls}, bare"]["agent"] for calls in ("the leader's calls", "calls with peers off"))
    assert 0 < bare["cpu"] < found["leader"]["agent"]["cpu"]
    assert 0 < bare["rss"] < found["leader"]["agent"]["rss"]
    assert before["cpu"] > bare["cpu"], "it made four times as many"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_starts_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has a row."""
    main(["startup", "-n", "1", "--other", sys.executable])
    told = capsys.readouterr().out
    assert all(f"| `{name}" in told for name in ("run`", "status`", "fence --local`"))
