"""One thing to tell people, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.model.fields import Rule
from agent.core.model.store import Ms

SEVERITIES = ("info", "warning", "critical")
"""From the least to the worst."""

WORDS = (
    *("status", "severity", "event", "summary", "key"),
    *("chain", "group", "producer", "node", "leader", "from", "to", "epoch", "reason"),
    *("duration", "slots_missed", "do", "runbook"),
)
"""What a template may name: each is a text, empty where it says nothing."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell people. `key` is the dedup key; `resolved` ends an earlier notice of the same key.

    `severity` is `critical`, `warning` or `info`. `fields` are short name → value pairs (node, epoch, reason …).
    `lasts`: it is open until it is resolved, and began at `since` (CLOCK_BOOTTIME); else it has happened, and is over.
    """

    key: str
    event: str
    severity: str = field(metadata=Rule(words=SEVERITIES))
    summary: str
    resolved: bool = False
    fields: Mapping[str, str] = field(default_factory=dict, metadata=Rule(most=20))
    lasts: bool = False
    since: Ms = 0


def rank(severity: str) -> int:
    """Return how severe; an unknown word is taken for the worst, so that it is never lost."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
