"""Whether a leader lives, as one look or two tell: with peers its heartbeat is confirmed in etcd every few seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from agent.cli.look import look
from agent.core.model.keys import keys
from agent.core.model.records import Heartbeat, Member, read_group, write
from agent.core.model.store import KeyValue, Snapshot
from agent.group import past
from agent.group.view import LATE, _member, fresh, lives
from tests.doctor.parts import member
from tests.support.recorder import Recorder

NAMES = keys("/nodeos-failover", "eos")
WALL = 1_700_000_000_000


def group(
    beat: int = 5, report: int = 6, role: str = "leading", asked: int = WALL, node: str = "bp-a", released: bool = False
) -> Snapshot:
    """Return a group whose heartbeat and whose holder's report have these revisions."""
    member = Member(node, "i", role, True, True, (), 1, 1, 0, 100, False, "0", "v4", asked_ms=asked, every_ms=5000)
    heartbeat = Heartbeat(1, "bp-a", "i", beat, 2000, released=released)
    items = (
        KeyValue(NAMES.heartbeat, write(heartbeat), beat),
        KeyValue(NAMES.member(node), write(member), report, lease=7),
    )
    return Snapshot(10, items)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (group(), True),
        (group(asked=WALL - 5000 - LATE + 1), True),
        (group(asked=WALL - 5000 - LATE), False),
        (group(asked=WALL + 5000 + LATE), False),  # a clock that is wrong tells nothing
        (group(role="standby"), False),
        (group(node="bp-b"), False),
        (group(released=True), False),
    ],
)
def test_a_report_of_a_moment_ago_that_says_leading_is_a_sign_of_life(snapshot: Snapshot, expected: bool) -> None:
    """It has to be the holder's, and of now by its own time of day."""
    assert fresh(read_group(NAMES, snapshot), WALL) is expected


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (group(), False),
        (group(beat=7), True),
        (group(report=7), True),
        (group(report=7, role="standby"), False),
        (group(report=7, node="bp-b"), False),
    ],
)
def test_between_two_looks_a_heartbeat_or_its_holders_report_moves(second: Snapshot, expected: bool) -> None:
    """Another member's report says nothing of the leader."""
    assert lives(read_group(NAMES, second), read_group(NAMES, group())) is expected


def test_a_leader_that_lives_is_seen_at_the_first_look() -> None:
    """`status` reads once, and answers at once; else it looks again until its time is over."""
    now = time.time_ns() // 1_000_000
    store: Any = Recorder({"range": group(asked=now)})
    target: Any = SimpleNamespace(names=NAMES, timeout=1.0, look_for=0.25)
    found = look(store, target)
    assert (found.confirmed, len(store.calls)) == (True, 1)
    store = Recorder({"range": group(asked=now - 60_000)})
    found = look(store, target)
    assert not found.confirmed
    assert len(store.calls) > 2


def test_where_nobody_leads_status_answers_at_the_first_look() -> None:
    """A heartbeat that is released, or was never written, will not move for as long as one waits."""
    target: Any = SimpleNamespace(names=NAMES, timeout=1.0, look_for=0.25)
    for snapshot in (group(released=True), Snapshot(10, ())):
        store: Any = Recorder({"range": snapshot})
        found = look(store, target)
        assert (found.confirmed, found.data()["confirmed"], len(store.calls)) == (False, False, 1)


def test_a_member_is_told_in_seconds() -> None:
    """What agents report in milliseconds; its lag is counted from the furthest head."""
    found = member("bp-a", held_down_ms=42_000, head_age_ms=1500, head=990)
    row = _member(found, None, (found, member("bp-b", head=1000)))
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
