"""The tables that the program knows best: settings in CONFIGURATION.md, metrics in METRICS.md, alerts in ALERTS.md.

Only they are made here.

`python -m tests.lab.docs` tells whether the files have them as they are, `--update` writes them.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.worker import Channel
from agent.config.health import HealthSection
from agent.config.show import reference
from agent.core.alerts.kinds import KINDS
from agent.core.health import checks
from agent.core.health.hysteresis import Thresholds
from agent.core.leadership.state import Identity, State
from agent.core.model.chain import ChainInfo, Peers, Schedule
from agent.core.model.finality import Finality, Finalizer
from agent.core.model.keys import keys
from agent.core.node import step
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import FinalizerSettings, LiveSettings
from agent.host.page import Page
from agent.telemetry.families import LABELS
from agent.telemetry.gate_watch import GateReading
from agent.telemetry.gauges import ConfigGauges
from agent.telemetry.metrics import Metrics
from tests.support.alert_channel import PlayedSink
from tests.support.moved_time import MovedTime

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "CONFIGURATION.md"
METRICS = ROOT / "grafana" / "METRICS.md"
ALERTS = ROOT / "grafana" / "ALERTS.md"
RULES = (ROOT / "grafana" / "rules" / "recording.yml", ROOT / "grafana" / "rules" / "alerts.yml")
RULE = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
RULE_HEAD = """\
# Made by `make docs` from grafana/rules: change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nodeos-failover
spec:
  groups:
"""
SHOWN = 10
"""Values of one label that are listed; of more, only the label is named."""
OPEN_ENDED = ("version", "channel", "leader", "url")
"""Labels whose values are those of a host or a configuration: within bounds, but not known here."""


def _snapshot() -> NodeSnapshot:
    """Return what a loop would show that has seen everything once."""
    limits = checks.Limits(dict.fromkeys(HealthSection.fields(), Thresholds()))
    settings = LiveSettings("group", limits, finalizer=FinalizerSettings("", "A"))
    begun = step.begin(settings, State(Identity("node", "", keys("/p", "group"))))
    info, votes = ChainInfo("", "", 1, "", 1, "", 1, None), {"A": 1, "C": 1}
    finality = Finality((Finalizer("", "A"), Finalizer("c", "C")), voted=votes)
    seen = replace(begun.health, info=info, peers=Peers(1, 1), schedule=Schedule(1, ()))
    seen = replace(seen, finality=finality)
    return NodeSnapshot(replace(begun, health=seen), 0)


def metrics_table() -> str:
    """Return a Markdown table of all metrics, as an agent exports them that has seen everything once."""
    channel = AlertDispatcher([Channel(PlayedSink(name="channel"))])
    shown = ConfigGauges(("group", "node"), MovedTime(0, 0), "", lambda: 0.0)
    gate = (GateReading, lambda: Page("", b""))
    metrics = Metrics("group", "node", MovedTime(0, 0), _snapshot, channel.stats, gate=gate, config=shown)
    rows = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    families = text_string_to_metric_families(metrics.text()[0].decode())
    for family in sorted(families, key=lambda each: each.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append(f"| `{name}` | {family.type} | {_labels(family)} | {family.documentation} |")
    channel.close(0.0)
    return "\n".join(rows) + "\n"


def _labels(family: Metric) -> str:
    """Return a family's own labels, each with its values where they are few."""
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for key, value in sample.labels.items():
            if key not in (*LABELS, "le"):
                values.setdefault(key, {})[value] = None
    return "; ".join(
        f"`{key}`" if key in OPEN_ENDED or len(found) > SHOWN else f"`{key}`: {', '.join(found)}"
        for key, found in values.items()
    )


def alerts_table() -> str:
    """Return the table of the alerts as Markdown."""
    names = {"epoch": "GROUP/EPOCH", "group": "GROUP", "node": "GROUP/NODE", "value": "KEY"}
    lines = ["| event | severity | dedup key | told when | resolved when |", "| --- | --- | --- | --- | --- |"]
    for row in KINDS.values():
        over = row.over or "it is over when it is told"
        lines.append(f"| `{row.event}` | {row.severity} | `{row.event}/{names[row.scope]}` | {row.told} | {over} |")
    return "\n".join(lines) + "\n"


def with_table(text: str, name: str, table: str) -> str:
    """Return `text` with `table` between its marks NAME:begin and NAME:end. ValueError when they are not there."""
    marks = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"no lines <!-- {name}:begin --> and <!-- {name}:end -->: put them where the table belongs")
    return marks.sub(lambda found: f"{found[1]}{table}{found[2]}", text)


def prometheus_rule() -> str:
    """Return the rules of grafana/rules as a resource of the Prometheus operator."""
    groups = [file.read_text().partition("\ngroups:\n")[2] for file in RULES]
    whole = "".join(text if text.endswith("\n") else f"{text}\n" for text in groups)
    return RULE_HEAD + "".join(f"  {line}" if line.strip() else line for line in whole.splitlines(keepends=True))


def up_to_date(file: Path) -> str:
    """Return what CONFIGURATION.md, METRICS.md or ALERTS.md, as it is, should be."""
    if file == RULE:
        return prometheus_rule()
    if file == ALERTS:
        return with_table(file.read_text(), "alerts", alerts_table())
    name, table = ("config", reference()) if file == CONFIGURATION else ("metrics", metrics_table())
    return with_table(file.read_text(), name, table)


def main(arguments: list[str]) -> int:
    """Update the files, or only tell which are not up to date."""
    old = []
    for file in (CONFIGURATION, METRICS, ALERTS, RULE):
        wanted = up_to_date(file)
        if not file.exists() or file.read_text() != wanted:
            old.append(file.name)
            if "--update" in arguments:
                file.write_text(wanted)
    if old and "--update" not in arguments:
        sys.stderr.write(f"{', '.join(old)}: not up to date, run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
