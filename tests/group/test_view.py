"""A group's keys as plain data: units for people, and what happened since a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.group import past
from agent.group.view import _member
from tests.doctor.parts import member


def test_a_member_is_told_in_seconds() -> None:
    """What agents report in milliseconds; its lag is counted from the furthest head."""
    row = _member(member("bp-a", held_down_ms=42_000, head_age_ms=1500, head=990), None, 1000)
    assert (row["held_down"], row["head_age"], row["lag"]) == (42.0, 1.5, 10)
    assert row["leads"] is False


def test_what_happened_later_is_what_is_not_before() -> None:
    """What has no date stays, so that nothing is hidden by it."""
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    entries: list[dict[str, Any]] = [
        {"when": "2026-01-02T03:04:04.999+00:00"},
        {"when": start.isoformat()},
        {"when": None},
    ]
    assert past.later(entries, start) == entries[1:]
    assert past.later(entries, None) == entries
