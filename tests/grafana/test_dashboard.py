"""The dashboard: its form, and that a real Prometheus has data for every panel of it once real agents failed over."""

from __future__ import annotations

import contextlib
import math
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.grafana.live import Live, fail_over, live
from tests.grafana.panels import ANNOTATION, DASHBOARD, PANELS, RECORDED, filled, queries
from tests.lab import docs
from tests.lab.binaries import PrometheusBinaries
from tests.lab.errors import LabError

WINDOW = 90.0
"""Seconds that the panels look back."""
SCRAPE_S = 0.2
"""A scrape must not take longer on whatever machine runs this; `make measure NAME=scrape` measures it for real."""

# --- form ------------------------------------------------------------------------------------------------------------


def test_it_can_be_imported_anywhere() -> None:
    """A uid to link to, a schema that Grafana does not have to migrate, and no data source of ours built in."""
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["uid"] == "nodeos-failover"
    assert DASHBOARD["tags"]
    assert DASHBOARD["id"] is None
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "group", "node"]
    assert variables["datasource"]["type"] == "datasource"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    users = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), ANNOTATION]
    assert all(user["datasource"] == chosen for user in [*users, variables["group"], variables["node"]])


def test_every_panel_says_what_it_shows() -> None:
    """A title, a description of a sentence, a unit, and a place of its own."""
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["targets"]) > 0


def test_the_panels_that_operators_look_for_are_there() -> None:
    """Who leads, how many produce, what is left, checks, lag, blocks, etcd, reasons, alerts, words of operators."""
    kinds = {panel["title"]: panel["type"] for panel in PANELS}
    wanted = ("Validity left", "Head lag", "Produced and missed", "etcd requests", "Alert queue", "Operators' words")
    assert set(wanted) | {"Changes of phase, by reason", "Gate signatures", "Hooks", "Finality"} <= set(kinds)
    assert kinds["Who leads"] == kinds["Checks"] == "state-timeline"
    producing = next(panel for panel in PANELS if panel["title"] == "Producing now")
    steps = producing["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert {"color": "red", "value": 2} in steps


def test_every_query_reads_metrics_that_exist() -> None:
    """Each name in a query is one that agents export or that the rules record; groups and nodes can be chosen."""
    known = set(re.findall(r"`(nodeos_failover_\w+)`", docs.METRICS.read_text()))
    known |= {name + end for name in known for end in ("_bucket", "_sum", "_count")}
    for title, expression in [*queries(), ("Failovers", ANNOTATION["expr"])]:
        assert set(re.findall(r"\bgroup:nodeos_failover_\w+:\w+", expression)) <= set(RECORDED), title
        assert set(re.findall(r"(?<!:)\bnodeos_failover_\w+", expression)) <= known, title
        assert '=~"$group"' in expression, title


# --- on real parts ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failed_over(prometheus: PrometheusBinaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a real group after a failover, as Prometheus has seen it."""
    with live(tmp_path_factory.mktemp("live")) as running:
        yield fail_over(running)


def values(series: list[dict[str, Any]]) -> list[float]:
    """Return all numbers of a result, but those that stand for none."""
    found = [float(value) for each in series for _, value in each["values"]]
    return [value for value in found if not math.isnan(value)]


@pytest.mark.real
@pytest.mark.timeout(240)
def test_every_panel_has_data(failed_over: Live) -> None:
    """Prometheus parses the query of each panel, and has something to show (every metric that they read exists)."""
    wanted = queries()

    def all_there() -> bool:
        for title, query in tuple(wanted):
            if values(failed_over.prometheus.past(filled(query), WINDOW)):
                wanted.remove((title, query))
        return not wanted

    with contextlib.suppress(LabError):
        failed_over.group.wait("data of every panel", all_there)
    assert wanted == []


@pytest.mark.real
@pytest.mark.timeout(240)
def test_the_failover_is_marked(failed_over: Live) -> None:
    """The annotation is there, and names the new leader; the rule tells of it, too, in words that were filled in."""
    query = filled(ANNOTATION["expr"])
    marks = failed_over.group.wait("the annotation", lambda: failed_over.prometheus.past(query, WINDOW))
    assert {mark["metric"]["node"] for mark in marks} == {failed_over.after}
    told = 'ALERTS{alertname="NodeosFailoverLeaderChanged",alertstate="firing"}'
    failed_over.group.wait("the alert", lambda: failed_over.prometheus.past(told, WINDOW))
    texts = [text for alert in failed_over.prometheus.api("alerts")["alerts"] for text in alert["annotations"].values()]
    assert not any("<error" in text or "<no value>" in text for text in texts)


@pytest.mark.real
@pytest.mark.timeout(240)
def test_two_were_never_seen_to_produce(failed_over: Live) -> None:
    """A real failover, scraped as it comes, is no second producer for the rules, and no leader is missed for long."""
    counted = values(failed_over.prometheus.past("group:nodeos_failover_producing:count", WINDOW))
    assert counted
    assert max(counted) == 1
    # the lab's own start costs slots: the producing node is paused before anybody leads
    loud = 'ALERTS{alertstate="firing",severity="critical",alertname!="NodeosFailoverMissedBlocks"}'
    assert failed_over.prometheus.past(loud, WINDOW) == []
    rules = failed_over.prometheus.api("rules")["groups"]
    assert [rule for group in rules for rule in group["rules"] if rule["health"] == "err"] == []


@pytest.mark.real
@pytest.mark.timeout(240)
def test_live_metrics_are_those_of_the_reference(failed_over: Live, promtool_path: Path) -> None:
    """What a running leader exports is what grafana/METRICS.md lists, and promtool has nothing to say against it."""
    agent = failed_over.group.leader
    code, text = agent.get("/metrics")
    assert code == 200
    families = list(text_string_to_metric_families(text.decode()))
    exported = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    listed = set(re.findall(r"(?m)^\| `(nodeos_failover_\w+)`", docs.METRICS.read_text()))
    without_tls = {"nodeos_failover_etcd_certificate_expiry_timestamp_seconds"}
    without_finalizers = {"nodeos_failover_finalizer_key_active", "nodeos_failover_vote_age_seconds"}
    assert {each for each in exported if not each.startswith("process_")} == listed - without_tls - without_finalizers
    assert "process_resident_memory_bytes" in exported
    done = subprocess.run([promtool_path, "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout.decode() + done.stderr.decode()) == (0, "")


@pytest.mark.real
@pytest.mark.timeout(240)
def test_a_scrape_is_quick(failed_over: Live) -> None:
    """A busy leader answers a scrape at once, as a rule."""
    spans = []
    for _ in range(20):
        start = time.monotonic()
        assert failed_over.group.leader.get("/metrics")[0] == 200
        spans.append(time.monotonic() - start)
    assert statistics.median(spans) < SCRAPE_S
