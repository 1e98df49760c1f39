"""One thing to tell people, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell people. `key` is the dedup key; `resolved` ends an earlier notice of the same key.

    `severity` is `critical`, `warning` or `info`. `fields` are short name → value pairs (node, epoch, reason …).
    """

    key: str
    event: str
    severity: str
    summary: str
    resolved: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
