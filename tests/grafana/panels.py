"""The dashboard and the rules as their files have them. Nothing is tested here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.grafana.stories import RULES

FILE = Path(__file__).parents[2] / "grafana" / "nodeos-failover.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ANNOTATION: dict[str, Any] = next(each for each in DASHBOARD["annotations"]["list"] if each["name"] == "Failovers")


def filled(expression: str, group: str = ".*", node: str = ".*", rate: str = "15s") -> str:
    """Return a query with the variables filled in; `rate` is what Grafana reckons from scrape interval and zoom."""
    for name, value in (("$__rate_interval", rate), ("$group", group), ("$node", node)):
        expression = expression.replace(name, value)
    return expression


def queries() -> list[tuple[str, str]]:
    """Return (title of the panel, query) of every target."""
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]


LOADED = [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in LOADED if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in LOADED if "record" in rule}
