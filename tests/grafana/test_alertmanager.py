"""Agents and rules tell one Alertmanager, by the route of grafana/README.md: criticals page, and one trouble once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.alerts.sinks import make_sink
from agent.config.alerts import AlertChannel
from agent.config.section import SecretStr
from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import Notice
from tests.grafana import test_rules
from tests.grafana.alertmanager import ALERTS, Alertmanager, Receivers, alertmanager
from tests.grafana.panels import ALERTS as RULES
from tests.lab.errors import LabUnavailable
from tests.lab.wait import until

pytestmark = pytest.mark.real
NODE = "bp-a"
BOTH = {rule["labels"]["event"]: name for name, rule in RULES.items() if rule["labels"]["event"] in KINDS}
"""What agents and rules both tell: the event, and the alert of the rule."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Alertmanager, Receivers]]:
    """Run Alertmanager; where there is none, skip and say why."""
    try:
        with alertmanager(tmp_path / "alertmanager") as found:
            yield found
    except LabUnavailable as error:
        pytest.skip(str(error))


def group_of(event: str) -> str:
    """Return a group for each event: what one trouble silences of another is not the question here."""
    return f"g-{event}"


def of_agent(event: str, node: str = NODE) -> Notice:
    """Return an alert as an agent's core makes it."""
    kind = KINDS[event]
    group = group_of(event)
    fields = {"group": group, "producer": "bp", "node": node}
    return Notice(kind.key(group, node), event, kind.severity, f"{event} of {node}", fields=fields, lasts=True)


def of_rule(name: str) -> dict[str, object]:
    """Return an alert as Prometheus sends it: the labels of the rule, and those of the series that it fires for."""
    nodes = test_rules.CASES[name.removeprefix(test_rules.PREFIX)][3]
    series = {"cluster": "k", "job": "nodeos", "group": group_of(str(RULES[name]["labels"]["event"]))}
    series |= {"node": NODE, "instance": f"{NODE}:9877"} if nodes != ("",) else {}
    return {"labels": {"alertname": name, **RULES[name]["labels"], **series}}


def test_a_critical_of_an_agent_pages_and_its_end_is_told(running: tuple[Alertmanager, Receivers]) -> None:
    """By its labels it goes to the pager, not to the chat; a warning goes to the chat; the link is absolute."""
    manager, receivers = running
    channel = AlertChannel(name="am", type="alertmanager", url=SecretStr(manager.url))
    sink = make_sink(channel, "https://wiki.example/runbooks.md")
    critical, warning = of_agent("fence_failed"), of_agent("etcd_down")
    assert sink.send(critical, 5).ok
    assert sink.send(warning, 5).ok
    until(lambda: all(receivers.got.values()), 30, "both to be told")
    assert receivers.names("pager") == ["agent fence_failed"]
    assert receivers.names("chat") == ["agent etcd_down"]
    assert receivers.got["pager"][0]["annotations"]["runbook_url"] == "https://wiki.example/runbooks.md#fence_failed"
    assert sink.send(replace(critical, resolved=True), 5).ok
    until(lambda: receivers.names("pager", "resolved") == ["agent fence_failed"], 30, "the end to be told")


def test_what_an_agent_told_the_rules_do_not_tell_again(running: tuple[Alertmanager, Receivers]) -> None:
    """Each event that both know is silenced in the rule for that node or group, and for no other; once it ends, not."""
    manager, receivers = running
    assert {"no_leader", "fence_failed", "stray_block", "etcd_down", "no_standby", "unhealthy"} <= BOTH.keys()
    sink = make_sink(AlertChannel(name="am", type="alertmanager", url=SecretStr(manager.url)))
    manager.ask("POST", ALERTS, [of_rule("NodeosFailoverTwoProducing")])
    for event in BOTH:
        assert sink.send(of_agent(event), 5).ok
    until(lambda: f"agent {next(iter(BOTH))}" in manager.states(), 30, "the agents' alerts")
    manager.ask("POST", ALERTS, [of_rule(name) for name in BOTH.values()])
    rules = {f"prometheus {event}" for event in BOTH}
    until(lambda: rules <= manager.states().keys(), 30, "the rules' alerts")
    until(lambda: "agent no_leader" in receivers.names("pager"), 30, "a page")
    until(lambda: "prometheus two_producing" in receivers.names("pager"), 30, "what only a rule knows")
    states = manager.states()
    assert {name: states[name] for name in rules} == dict.fromkeys(rules, "suppressed")
    assert not rules & {*receivers.names("pager"), *receivers.names("chat")}

    assert sink.send(replace(of_agent("fence_failed"), resolved=True), 5).ok
    assert sink.send(of_agent("fence_failed", "bp-b"), 5).ok
    until(lambda: "prometheus fence_failed" in receivers.names("pager"), 30, "the rule to speak for bp-a")
