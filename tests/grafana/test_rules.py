"""Alerting rules: each fires when it must, ends when it is over, and stays quiet in the everyday of a group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grafana.panels import ALERTS
from tests.grafana.stories import GROUP, ROUND, RUNBOOKS, SCRAPED, SWITCHED, Checks, Story, promtool

PREFIX = "NodeosFailover"
HOUR = 3600


def firing(alert: str, seconds: int = 0) -> str:
    """Return PromQL for what an alert fires for, now or within the last seconds."""
    found = f'ALERTS{{alertstate="firing",alertname=~"{alert}"}}'
    kept = f"last_over_time({found}[{seconds}s])" if seconds else found
    return f"count by (alertname, cluster, job, group, node, instance) ({kept})"


# --- each alert: (story, when it is not there yet, when it fires, for which nodes, when it is over) ------------------


def two_producing() -> Story:
    """Return a standby whose nodeos was resumed by hand, scraped at another time than the leader."""
    story = Story(6, step=1, phase=3).put("producing", "bp-b", 1, 120, 240)
    return story.put("producing_seconds", "bp-b", lambda second: second - 119.5, 120, 240)


def no_leader() -> Story:
    """Return a group whose leader stops, and nobody takes over for two minutes."""
    return Story(8).takes_over("bp-b", "bp-a", 240, 6, gap=120)


def not_producing() -> Story:
    """Return a leader whose blocks do not come any more."""
    return Story(12).both("last_produced_block_timestamp_seconds", 2 * ROUND, 2 * ROUND, 600)


def dead_host() -> Story:
    """Return a standby's host that goes away for four minutes."""
    return Story(12).gone("bp-b", 120, 360)


def no_agents() -> Story:
    """Return both hosts away at once."""
    return dead_host().gone("bp-a", 120, 360)


def late_confirmations() -> Story:
    """Return an etcd that takes three seconds for a confirmation, and then works as it should."""
    return Story(20).put("validity_remaining_seconds", "bp-a", lambda second: 5.7 - second % 15 / 4, 120, 600)


def flapping() -> Story:
    """Return a lead that goes to and fro every two minutes."""
    story = Story(60, step=15)
    for turn in range(5):
        ends = ("bp-b", "bp-a") if turn % 2 == 0 else ("bp-a", "bp-b")
        story.takes_over(*ends, 300 + 120 * turn, 6 + turn)
    return story


def step(metric: str, node: str, value: float, labels: str = "", minutes: float = 12) -> Callable[[], Story]:
    """Return a story in which a metric of one node changes for five minutes, after two."""
    return lambda: Story(minutes).put(metric, node, value, 120, 420, labels)


def away(mode: str) -> Callable[[], Story]:
    """Return a story in which etcd is away for five minutes, and the peers keep the leader."""

    def told() -> Story:
        story = Story(12).both("etcd_up", 0, 120, 420).put("peers_mode", "bp-a", 1, 0, None, f'mode="{mode}"')
        return story.put("validity_remaining_by_source_seconds", "bp-a", 1.8, 0, None, 'source="peers"')

    return told


def refusing() -> Story:
    """Return a leader whose gate refuses, and a standby of which somebody asks nonsense."""
    story = Story(12).put("gate_signatures_total", "bp-a", lambda second: second, 120, 420, CLOSED)
    return story.put("gate_signatures_total", "bp-b", lambda second: second, 120, 420, 'result="refused",reason="path"')


def long(metric: str, labels: str = "") -> Callable[[], Story]:
    """Return a story in which operators leave something on for 70 minutes."""
    return lambda: Story(90, step=60).both(metric, 1, 300, 300 + 70 * 60, labels)


def counted(metric: str, labels: str, count: float) -> Callable[[], Story]:
    """Return a story in which a counter jumps once, after two minutes."""
    return lambda: Story(30).put(metric, "bp-a", count, 120, None, labels)


CLOSED = 'result="refused",reason="closed"'
Case = tuple[Callable[[], Story], int, int, tuple[str, ...], int]
CASES: dict[str, Case] = {
    "TwoProducing": (two_producing, 120, 130, ("",), 250),
    "StrayBlock": (counted("stray_blocks_total", 'kind="doubled"', 1), 115, 125, ("bp-a",), 500),
    "NoLeader": (no_leader, 145, 160, ("",), 245),
    "LeaderNotProducing": (not_producing, 390, 400, ("bp-a",), 605),
    "FinalizerKeyNotActive": (step("finalizer_key_active", "bp-a", 0), 130, 145, ("bp-a",), 430),
    "VotesMissing": (step("self_paused", "bp-a", 1, 'reason="own_votes"'), 118, 135, ("bp-a",), 430),
    "MissedBlocks": (counted("missed_blocks_total", 'cause="node"', 13), 115, 140, ("",), 800),
    "FenceFailed": (counted("fencings_total", 'result="failed"', 1), 115, 125, ("bp-a",), 500),
    "AgentAbsent": (dead_host, 230, 250, ("bp-b",), 365),
    "NoAgents": (no_agents, 230, 250, ("",), 365),
    "AgentStuck": (step("loop_step_age_seconds", "bp-b", 11), 115, 125, ("bp-b",), 425),
    "NoStandby": (step("eligible", "bp-b", 0), 225, 255, ("",), 435),
    "NodeUnhealthy": (lambda: Story(20).put("healthy", "bp-b", 0, 120, 600), 405, 435, ("bp-b",), 615),
    "EtcdUnreachable": (step("etcd_up", "bp-b", 0), 165, 195, ("bp-b",), 435),
    "EtcdAway": (away("lease"), 120, 140, ("bp-a",), 425),
    "EtcdAwayLong": (away("failsafe"), 165, 195, ("bp-a",), 425),
    "ValidityLow": (late_confirmations, 120, 420, ("bp-a",), 1000),
    "Flapping": (flapping, 540, 675, ("",), 3000),
    "OverrideLong": (long("override_active", 'mode="leader"'), HOUR + 280, HOUR + 320, ("",), 300 + 70 * 60 + 15),
    "MaintenanceLong": (long("maintenance_active"), HOUR + 280, HOUR + 320, ("",), 300 + 70 * 60 + 15),
    "AlertsDropped": (
        counted("alerts_dropped_total", 'channel="ops",reason="rejected"', 1), 115, 140, ("bp-a",), 1100,
    ),
    "GateDown": (step("gate_up", "bp-b", 0), 145, 165, ("bp-b",), 435),
    "GateRefuses": (refusing, 115, 150, ("bp-a",), 500),
    "VersionSkew": (
        lambda: Story(90, step=60).put("build_info", "bp-b", 1, 300, 300 + 70 * 60, 'version="1.1.0"'),
        HOUR + 280, HOUR + 320, ("",), 300 + 75 * 60 + 15,
    ),
    "ClockSkew": (step("clock_offset_seconds", "bp-b", -0.3), 225, 255, ("bp-b",), 435),
    "CertificateExpires": (step("etcd_certificate_expiry_timestamp_seconds", "bp-b", 86400), 115, 140, ("bp-b",), 435),
    "ReloadFailed": (step("config_last_reload_successful", "bp-b", 0), 165, 195, ("bp-b",), 435),
    "LeaderChanged": (lambda: Story(8).takes_over("bp-b", "bp-a", 120, 6), 115, 130, ("bp-b",), 190),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_alert_fires_and_ends(promtool_path: Path, tmp_path: Path, name: str) -> None:
    """It is not there before its time, names the group and the node at fault, and is over with its cause."""
    story, before, at, nodes, over = CASES[name]
    alert = PREFIX + name
    group = "" if name == "NoAgents" else f'{SCRAPED},group="{GROUP}",'
    labels = {node: f'instance="{node}:9877",node="{node}"' if node else "" for node in nodes}
    expected = {f'{{alertname="{alert}",{group}{each}}}': 1.0 for each in labels.values()}
    checks = {(firing(alert), before): {}, (firing(alert), at): expected, (firing(alert), over): {}}
    assert promtool(promtool_path, story(), checks, tmp_path) == ""


@pytest.mark.parametrize("url", [RUNBOOKS, ""])
def test_a_runbook_is_linked_below_the_one_address_that_the_agents_are_told(
    promtool_path: Path, tmp_path: Path, url: str
) -> None:
    """The link of a rule is that of the agents' setting `runbooks`, also without an agent; else the heading alone."""
    story = dead_host()
    if not url:
        for node in ("bp-a", "bp-b"):
            story.drop(node, "runbooks_info")
    texts = {**ALERTS[f"{PREFIX}AgentAbsent"]["annotations"], "runbook_url": f"{url}#agent_absent"}
    for name, text in texts.items():
        texts[name] = text.replace("{{ $labels.node }}", "bp-b").replace("{{ $labels.group }}", GROUP)
    labels = {
        "severity": "critical",
        "service": "nodeos-failover",
        "origin": "prometheus",
        "event": "agent_absent",
        "cluster": "k",
        "job": "nodeos",
        "instance": "bp-b:9877",
        "group": GROUP,
        "node": "bp-b",
    }
    fired = [{"exp_labels": labels, "exp_annotations": texts}]
    told = {"alertname": f"{PREFIX}AgentAbsent", "eval_time": "250s", "exp_alerts": fired}
    assert promtool(promtool_path, story, {}, tmp_path, [told]) == ""


def test_a_group_is_counted_over_every_cluster_that_it_is_in(promtool_path: Path, tmp_path: Path) -> None:
    """P1: two that produce in two clusters are two, and each cluster is told; a leader in the other one is a leader."""
    alert, far = f"{PREFIX}TwoProducing", 'cluster="far",job="others"'
    story, well = two_producing(), Story(6)
    story.scraped["bp-b"] = well.scraped["bp-b"] = far
    each = {f'{{alertname="{alert}",{labels},group="{GROUP}"}}': 1.0 for labels in (SCRAPED, far)}
    assert promtool(promtool_path, story, {(firing(alert), 115): {}, (firing(alert), 130): each}, tmp_path) == ""
    assert promtool(promtool_path, well, {(firing(f"{PREFIX}.*", 300), 300): {}}, tmp_path) == ""


def test_every_alert_has_its_story() -> None:
    """No alert is there that is not tested."""
    assert {PREFIX + name for name in CASES} == set(ALERTS)


# --- the everyday of a group -----------------------------------------------------------------------------------------


def failover(phase: int = 4) -> Story:
    """Return a leader whose nodeos dies: the other one leads a second later, the old one is back after a minute."""
    story = Story(12, step=1, phase=phase).takes_over("bp-b", "bp-a", 303, 6)
    story.put("eligible", "bp-a", 0, 302, 362).put("healthy", "bp-a", 0, 302, 362)
    return story.both("missed_blocks_total", 3, 303, None, 'cause="node"')


def lost_host() -> Story:
    """Return a host that is lost: nobody leads for seven seconds, a window is missed, and it is back in 90 seconds."""
    story = Story(12, step=1, phase=2).takes_over("bp-b", "bp-a", 307, 6, gap=7)
    story.both("missed_blocks_total", 12, 308, None, 'cause="handover"')
    return story.gone("bp-a", 300, 390).put("eligible", "bp-a", 0, 390, 400).put("healthy", "bp-a", 0, 390, 400)


def deploy() -> Story:
    """Return agents that are restarted one after another with a new version; counters begin anew."""
    story = Story(20, step=1, phase=1)
    for node, start in (("bp-b", 300), ("bp-a", 420)):
        story.gone(node, start, start + 12).put("build_info", node, 1, start + 12, None, 'version="1.1.0"')
        story.gone_series(node, "build_info", 'version="1.0.0"', start)
        for metric in ("healthy", "eligible", "etcd_up", "leader_epoch"):
            story.put(metric, node, 0, start + 12, start + 17)
    story.takes_over("bp-b", "bp-a", 421, 6)
    return story


def maintenance() -> Story:
    """Return a maintenance of half an hour: the leader's nodeos and then both agents are down, blocks are missed."""
    story = Story(50, step=15).both("maintenance_active", 1, 300, 2400)
    story.takes_over("bp-a", "bp-b", 2000, 7, gap=1400).both("eligible", 0, 600, 2000).both("healthy", 0, 600, 2000)
    story.both("missed_blocks_total", 100, 900, None, 'cause="node"')
    story.both("missed_blocks_total", 200, 2300, None, 'cause="node"')
    return story.gone("bp-a", 900, 1500).gone("bp-b", 1000, 1500)


def nobody_wanted() -> Story:
    """Return an override that nobody may lead, for half an hour."""
    story = Story(50, step=15).both("override_active", 1, 300, 2100, 'mode="none"')
    return story.takes_over("bp-a", "bp-b", 2100, 6, gap=1799).put("producing", "bp-a", 0, 301, 2100)


def election() -> Story:
    """Return an etcd election that holds up confirmations for two seconds, now and then."""
    story = Story(20)
    for second in range(300, 1200, 120):
        story.put("validity_remaining_seconds", "bp-a", 3.4, second, second + 5)
    return story


def chain_of_21() -> Story:
    """Return an hour in which nothing happens."""
    return Story(60, step=30)


def handovers() -> Story:
    """Return operators who hand the lead to and fro, six times in half an hour."""
    story = Story(60, step=15)
    for turn in range(6):
        ends = ("bp-b", "bp-a") if turn % 2 == 0 else ("bp-a", "bp-b")
        second = 300 + 240 * turn
        story.takes_over(*ends, second, 6 + turn)
        story.put("leadership_transitions_total", ends[1], turn // 2 + 1, second, None, SWITCHED)
    return story


EVERYDAY = (failover, lost_host, deploy, maintenance, nobody_wanted, election, chain_of_21, handovers)


@pytest.mark.parametrize("story", EVERYDAY, ids=lambda story: story.__name__)
def test_the_everyday_of_a_group_is_quiet(promtool_path: Path, tmp_path: Path, story: Callable[[], Story]) -> None:
    """No alert wakes anybody in a normal failover, a deploy or a maintenance."""
    told = story()
    end = told.seconds[-1]
    loud = f'count by (alertname) (last_over_time(ALERTS{{alertstate="firing",severity=~"critical|warning"}}[{end}s]))'
    assert promtool(promtool_path, told, {(loud, end): {}}, tmp_path) == ""


@pytest.mark.parametrize("phase", range(5))
def test_a_handover_between_two_scrapes_is_no_second_producer(promtool_path: Path, tmp_path: Path, phase: int) -> None:
    """The old leader's last sample says 1 after the new one's does: they are counted as one."""
    story = failover(phase)
    seconds = range(295, 315)
    counted_twice = {("max(sum by (group) (nodeos_failover_producing)) > 1", 304): {"{}": 2.0}} if phase == 4 else {}
    once: Checks = {("group:nodeos_failover_producing:count > 1", second): {} for second in seconds}
    checks = {**once, **counted_twice}
    assert promtool(promtool_path, story, checks, tmp_path) == ""
