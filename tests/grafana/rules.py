"""The rules as their files have them. Nothing is tested here."""

from __future__ import annotations

import yaml

from tests.grafana.stories import RULES

LOADED = [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in LOADED if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in LOADED if "record" in rule}
