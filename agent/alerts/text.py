"""A notice in the words of each kind of channel: plain data to be sent as JSON. Pure; nothing is sent here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template

from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import WORDS, Notice

COLOURS = {"critical": "#d00000", "warning": "#e8a000", "info": "#4080c0"}
RESOLVED_COLOUR = "#30a050"
SLACK_FIELDS = 20
SLACK_TEXT = 3000
"""Slack cuts or refuses what is longer."""
PAGERDUTY_SUMMARY, PAGERDUTY_KEY = 1024, 255
"""Characters that PagerDuty's Events API v2 takes."""
HAPPENED_S = 300
"""So long Alertmanager shows what happened and left nothing open."""
LINE = "[$status] $summary"


@dataclass(frozen=True, slots=True)
class Words:
    """How a channel puts it: the template of its line (empty: the usual one), and where the runbooks can be read."""

    template: str = ""
    runbooks: str = "grafana/runbooks.md"

    def values(self, notice: Notice) -> dict[str, str]:
        """Return every word of `WORDS`; `status` is `resolved`, or else the severity."""
        known = dict.fromkeys(WORDS, "") | {name: text for name, text in notice.fields.items() if name in WORDS}
        return known | {
            "status": "resolved" if notice.resolved else notice.severity,
            "severity": notice.severity,
            "event": notice.event,
            "summary": notice.summary,
            "key": notice.key,
            "runbook": self.runbook(notice),
        }

    def line(self, notice: Notice) -> str:
        """Return the notice as one line."""
        return Template(self.template or LINE).substitute(self.values(notice))

    def runbook(self, notice: Notice) -> str:
        """Return where to read what to do: each event of the table has a heading."""
        return f"{self.runbooks}#{notice.event}" if notice.event in KINDS else ""

    def fields(self, notice: Notice) -> dict[str, str]:
        """Return what is known of it, for people: nothing that is empty, and where to read on."""
        found = {name: value for name, value in notice.fields.items() if value}
        runbook = self.runbook(notice)
        return found | ({"runbook": runbook} if runbook else {})


def webhook(notice: Notice, words: Words) -> dict[str, object]:
    """Return a notice for a generic webhook. `key` is the same when it fires and when it is resolved."""
    return {
        "version": 1,
        "key": notice.key,
        "event": notice.event,
        "severity": notice.severity,
        "status": "resolved" if notice.resolved else "firing",
        "lasts": notice.lasts,
        "summary": notice.summary,
        "text": words.line(notice),
        "runbook": words.runbook(notice),
        "fields": dict(notice.fields),
    }


def slack(notice: Notice, words: Words) -> dict[str, object]:
    """Return a notice as a message for a Slack incoming webhook: a line, and the fields below it."""
    line = _escaped(words.line(notice))
    fields = [
        {"title": _escaped(name), "value": _escaped(value), "short": len(value) <= 40}
        for name, value in list(words.fields(notice).items())[:SLACK_FIELDS]
    ]
    colour = RESOLVED_COLOUR if notice.resolved else COLOURS.get(notice.severity, COLOURS["critical"])
    return {"text": line, "attachments": [{"color": colour, "fallback": line, "fields": fields}]}


def pagerduty(notice: Notice, words: Words, routing_key: str, wall_ms: int) -> dict[str, object]:
    """Return a notice as an event of PagerDuty's Events API v2; what leaves nothing open, as a change event."""
    key = notice.key if len(notice.key) <= PAGERDUTY_KEY else hashlib.sha256(notice.key.encode()).hexdigest()
    who: dict[str, object] = {"routing_key": routing_key}
    if notice.resolved:
        return who | {"event_action": "resolve", "dedup_key": key}
    fields = notice.fields
    payload: dict[str, object] = {
        "summary": words.line(notice)[:PAGERDUTY_SUMMARY],
        "source": fields.get("node") or "nodeos-failover",
        "timestamp": stamp(wall_ms),
        "custom_details": words.fields(notice),
    }
    link = words.runbook(notice)
    links = {"links": [{"href": link, "text": "runbook"}]} if link.startswith("http") else {}
    if is_change(notice):
        return who | links | {"payload": payload}
    severity = notice.severity if notice.severity in COLOURS else "critical"
    payload |= {"severity": severity, "component": "nodeos", "group": fields.get("group", ""), "class": notice.event}
    client = {"client": "nodeos-failover", "event_action": "trigger", "dedup_key": key}
    return who | links | client | {"payload": payload}


def is_change(notice: Notice) -> bool:
    """Tell whether PagerDuty gets it as a change: an incident would stay open until somebody closes it by hand."""
    return not notice.lasts and not notice.resolved and notice.severity != "critical"


def alertmanager(notice: Notice, words: Words, wall_ms: int, began_ms: int, open_ms: int) -> list[dict[str, object]]:
    """Return a notice for Alertmanager's API v2: open until `open_ms` after now, unless it is sent again.

    The labels are those of the rules for Prometheus (grafana/rules/alerts.yml), so that both are routed alike, and the
    agent's word, which comes first, silences the rule's of the same `event`, `group` and `node`.
    """
    fields, kind = notice.fields, KINDS.get(notice.event)
    labels = {
        "alertname": "NodeosFailover" + "".join(part.capitalize() for part in notice.event.split("_")),
        "severity": notice.severity,
        "service": "nodeos-failover",
        "origin": "agent",
        "event": notice.event,
        "group": fields.get("group", ""),
        "producer": fields.get("producer", ""),
        "key": notice.key,
    }
    if kind is None or not kind.whole_group:
        labels["node"] = fields.get("node", "")
    end = wall_ms if notice.resolved else wall_ms + (open_ms if notice.lasts else HAPPENED_S * 1000)
    more = {"runbook_url" if name == "runbook" else name: text for name, text in words.fields(notice).items()}
    return [
        {
            "labels": labels,
            "annotations": {"summary": words.line(notice)} | more,
            "startsAt": stamp(min(began_ms, wall_ms)),
            "endsAt": stamp(end),
        }
    ]


def stamp(wall_ms: int) -> str:
    """Return a time as RFC 3339 has it."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _escaped(text: str) -> str:
    """Return a text that Slack shows as it stands: without this, `<!channel>` in a reason would call everybody."""
    return text[:SLACK_TEXT].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
