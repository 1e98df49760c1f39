"""Rules and runbooks in their form: what they name exists, alerts can be routed and acted upon, commands are right."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from agent.cli.main import main
from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import rank
from tests.grafana.panels import ALERTS, LOADED, RECORDED
from tests.grafana.stories import RULES

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "grafana" / "runbooks.md"
METRICS = ROOT / "grafana" / "METRICS.md"
SECTIONS: dict[str, str] = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS.read_text()))
"""The runbooks by their headings, which are their anchors, too."""


def test_promtool_finds_nothing(promtool_path: Path) -> None:
    """`promtool check rules` is content, with all its lints."""
    command: list[str | Path] = [promtool_path, "check", "rules", "--lint=all", "--lint-fatal", *RULES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_can_be_routed_and_acted_upon(name: str) -> None:
    """Severity and service to route by, what happened, what it means, and a runbook under a heading that exists."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["labels"]["service"] == "nodeos-failover"
    assert rule["labels"]["origin"] == "prometheus"
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    anchor = rule["annotations"]["runbook_url"].rpartition("#")[2]
    assert anchor in SECTIONS
    assert rule["labels"]["event"] == anchor
    if anchor in KINDS:
        assert rank(rule["labels"]["severity"]) <= rank(KINDS[anchor].severity), "the agent's word silences the rule's"
    assert f"`{name}` ({rule['labels']['severity']})" in SECTIONS[anchor]


def test_every_runbook_has_its_alert_and_its_parts() -> None:
    """No runbook is left of an alert that is gone; each tells what it means, what to look at and what to do."""
    assert set(KINDS) <= set(SECTIONS)
    for name, section in SECTIONS.items():
        by_rules, by_agents = (
            re.findall(r"by Prometheus: `(\w+)`", section),
            re.findall(r"by the agents: `(\w+)`", section),
        )
        assert by_rules or by_agents, f"{name} belongs to no alert"
        assert set(by_rules) <= set(ALERTS)
        assert by_agents in ([], [name])
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in section, f"{name} lacks {part}"
        assert re.search(r"(?m)^    \S", section), f"{name} names no command"


def test_every_command_in_the_runbooks_exists() -> None:
    """Each `nodeos-failover COMMAND` is one that operators have."""
    lines = re.findall(r"(?m)(?:^    |`)nodeos-failover ([^#`\n]*)", RUNBOOKS.read_text())
    assert len(lines) > 20
    for line in lines:
        command: click.Command = main
        for word in shlex.split(line):
            if isinstance(command, click.Group) and not word.startswith("-"):
                assert word in command.commands, line
                command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts}
        raw = command.context_settings.get("ignore_unknown_options")
        assert raw or {word for word in shlex.split(line) if word.startswith("-")} <= options, line


def test_every_metric_in_the_rules_exists() -> None:
    """Rules rest on metrics that agents export, or that other rules record."""
    known = set(re.findall(r"`(nodeos_failover_\w+)`", METRICS.read_text()))
    for rule in LOADED:
        recorded = set(re.findall(r"\bgroup:nodeos_failover_\w+:\w+", rule["expr"]))
        assert recorded <= set(RECORDED), rule
        named = set(re.findall(r"(?<!:)\bnodeos_failover_\w+", rule["expr"])) - {"nodeos_failover_"}
        assert named <= known, rule
