"""A notice in the words of each kind of channel: plain data to be sent as JSON. Pure; nothing is sent here."""

from __future__ import annotations

from agent.core.notice import Notice

COLOURS = {"critical": "#d00000", "warning": "#e8a000", "info": "#4080c0"}
RESOLVED_COLOUR = "#30a050"
SLACK_FIELDS = 20
SLACK_TEXT = 3000
"""Slack cuts or refuses what is longer."""


def webhook(notice: Notice) -> dict[str, object]:
    """Return a notice for a generic webhook. `key` is the same when it fires and when it is resolved."""
    return {
        "version": 1,
        "key": notice.key,
        "event": notice.event,
        "severity": notice.severity,
        "status": "resolved" if notice.resolved else "firing",
        "summary": notice.summary,
        "fields": dict(notice.fields),
    }


def slack(notice: Notice) -> dict[str, object]:
    """Return a notice as a message for a Slack incoming webhook: a line, and the fields below it."""
    word = "resolved" if notice.resolved else notice.severity
    line = _escaped(f"[{word}] {notice.summary}")
    fields = [
        {"title": _escaped(name), "value": _escaped(value), "short": len(value) <= 40}
        for name, value in list(notice.fields.items())[:SLACK_FIELDS]
        if value
    ]
    colour = RESOLVED_COLOUR if notice.resolved else COLOURS.get(notice.severity, COLOURS["critical"])
    return {"text": line, "attachments": [{"color": colour, "fallback": line, "fields": fields}]}


def _escaped(text: str) -> str:
    """Return a text that Slack shows as it stands: without this, `<!channel>` in a reason would call everybody."""
    return text[:SLACK_TEXT].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
