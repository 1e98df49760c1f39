"""How commands judge what they see: a change that was asked for, a line for Nagios, the past, and what has changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import history
from agent.cli.changes import SETTLES, Result
from agent.cli.status import verdict
from agent.core.model.slots import EPOCH
from agent.core.model.store import Snapshot
from agent.group import past
from agent.group.handover import changes, progress
from agent.group.view import group_view
from tests.cli.groups import NAMES, beat, member, snapshot, well


def asked(to: str = "bp-b") -> Result:
    """Return a result of a wish that was put at revision 12."""
    return Result(NAMES, well(), to, 12)


WISH = b'{"to":"bp-b","when":"gap"}'


def test_a_switchover_is_followed_to_its_end_and_cost() -> None:
    """The wish, the stop, the release, the take-over: only a new epoch with a producing leader is the end."""
    result = asked()
    assert result.judge(snapshot(13, beat(5), switchover=WISH)) is None
    assert "the wish stands (gap)" in result.state
    assert result.judge(snapshot(14, beat(5), members__bp_a=member("bp-a", role="stopping"))) is None
    assert result.state == "bp-a is stopping"
    assert result.judge(snapshot(15, beat(6, released=True), leader=b"bp-b")) is None
    assert result.state == "bp-a has released the lead"
    new = beat(1, node="bp-b", epoch=8)
    assert result.judge(snapshot(16, new, leader=b"bp-b")) is None
    assert "does not produce yet" in result.state
    producing = member("bp-b", role="leading")
    assert result.judge(snapshot(17, new, leader=b"bp-b", members__bp_b=producing)) == "bp-b leads (epoch 8)"
    assert not result.failed
    assert result.cost(snapshot(17, new)) is None
    lost = b'{"slots_missed":95,"leaderless_ms":0,"outage_ms":48000}'
    assert result.cost(snapshot(18, new, history__8=lost)) == (
        "slots missed: 95, 0.0 s without a leader, 48.0 s without a block of ours"
    )
    counted = b'{"slots_missed":0,"leaderless_ms":812}'
    assert result.cost(snapshot(18, new, history__8=counted)) == "slots missed: 0, 0.8 s without a leader"
    assert result.cost(snapshot(18, new, history__8=b"{garbage")) is None


def test_a_refusal_is_the_end_when_it_answers_this_very_wish() -> None:
    """The answer names the revision of the wish: one to an earlier wish is none to this."""
    result = asked()
    answer = {"node": "bp-a", "revision": 11, "to": "bp-b", "refused": "bp-b is drained"}
    assert result.judge(snapshot(13, beat(5), answer=json.dumps(answer).encode())) is None
    text = result.judge(snapshot(13, beat(5), answer=json.dumps({**answer, "revision": 12}).encode()))
    assert text == "bp-a refuses: bp-b is drained"
    assert result.failed


def test_another_leader_than_the_one_asked_for_is_a_failure() -> None:
    """Who was asked for did not come: the operator sees who did."""
    result = asked("bp-c")
    seen = snapshot(16, beat(1, node="bp-b", epoch=8), members__bp_b=member("bp-b", role="leading"))
    assert result.judge(seen) == "bp-b leads (epoch 8), not bp-c"
    assert result.failed
    anybody = asked("")
    assert anybody.judge(seen) == "bp-b leads (epoch 8)"
    assert not anybody.failed


def test_a_wish_that_went_without_effect_is_a_failure_in_the_end() -> None:
    """The wish is gone and the old leader goes on leading: after some looks that is the answer."""
    result = asked()
    said = [result.judge(snapshot(13 + at, beat(5 + at))) for at in range(SETTLES)]
    assert said[:-1] == [None] * (SETTLES - 1)
    assert said[-1] == "bp-a still leads, and nothing asks it to hand over any more"
    assert result.failed


def view(**other: bytes | None) -> dict[str, Any]:
    """Return the data of a group whose heartbeat moves."""
    return group_view(NAMES, snapshot(10, beat(3), **other), snapshot(11, beat(4), **other))


def once(found: Snapshot) -> dict[str, Any]:
    """Return the data of a group that looks the same twice."""
    return group_view(NAMES, found, found)


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (view(), 0, "bp-a leads epoch 7; 2 members"),
        (view(members__bp_b=None), 1, "no healthy standby"),
        (view(members__bp_b=member("bp-b", healthy=False)), 1, "no healthy standby"),
        (view(drain__bp_b=b"disk"), 1, "no healthy standby; drained: bp-b"),
        (view(override=b"bp-a"), 1, "an override is on: bp-a"),
        (view(maintenance=b"x"), 1, "maintenance is on"),
        (view(members__bp_b=member("bp-b", version="0.0.9")), 1, "agents of several versions"),
        (
            view(members__bp_a=member("bp-a", healthy=False, reasons=("a | b",))),
            2,
            "bp-a leads but is unhealthy: a / b",
        ),
        (group_view(NAMES, snapshot(10, None), snapshot(10, None)), 2, "nobody leads"),
        (once(snapshot(10, beat(3, released=True), override=b"none")), 1, "as operators asked"),
    ],
)
def test_nagios_gets_a_state_and_figures(data: dict[str, Any], code: int, text: str) -> None:
    """One line; the bar stands only before the performance data."""
    found, line = verdict(data)
    assert (found, text in line, line.count("|"), line.count("\n")) == (code, True, 1, 0), line
    assert "members=" in line.split("|")[1]


def test_progress_tells_how_far_a_handover_is() -> None:
    """From the keys alone, in the order of the protocol; nothing while nothing is under way."""
    stopping, elected = member("bp-a", role="stopping"), member("bp-b", role="elected")
    stages = [
        view(),
        view(switchover=WISH),
        view(switchover=WISH, members__bp_a=stopping),
        once(snapshot(12, beat(5, released=True), leader=b"bp-b")),
        once(snapshot(13, beat(1, node="bp-b", epoch=8), members__bp_b=elected)),
    ]
    assert [found[0] if (found := progress(each)) else None for each in stages] == [None, 0, 1, 2, 3]


def test_changes_are_told_once_each() -> None:
    """Words of operators, members that come and go, health, and the lead."""
    before, after = view(), view(override=b"bp-b", maintenance=b"why", drain__bp_b=b"", members__bp_b=None)
    told = changes(before, after)
    assert told == ["an override is on: bp-b may lead", "maintenance is on: why", "bp-b is drained", "bp-b has gone"]
    back = changes(after, before)
    assert back == ["the override is over", "maintenance is over", "bp-b is no longer drained", "bp-b has come"]
    assert changes(before, before) == []


NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("30m", datetime(2026, 1, 31, 11, 30, tzinfo=UTC)),
        ("2d", datetime(2026, 1, 29, 12, 0, tzinfo=UTC)),
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, 0, tzinfo=UTC)),
    ],
)
def test_since_is_a_span_or_a_time(text: str, start: datetime) -> None:
    """30m, 2h, 7d, or a time with its zone."""
    assert past.since(text, NOW) == start


def test_windows_are_read_from_the_ledger() -> None:
    """Each own window with its slots and causes, dated by its first slot; what cannot be read is left out."""
    record = b'{"slot":5,"slots":12,"signed":11,"missed":1,"causes":{"handover":1},"leader":"bp-a","epoch":7}'
    seen = snapshot(10, beat(3), ledger__1000=record, ledger__2000=b"{garbage", ledger__x=b"{}")
    (window,) = past.windows(NAMES, seen)
    assert (window["slot"], window["missed"], window["causes"]) == (1000, 1, {"handover": 1})
    assert datetime.fromisoformat(window["when"]).timestamp() * 1000 == EPOCH + 500_000


@pytest.mark.parametrize("value", [b"{garbage", b"[" * 9999, b"[]", b'{"when_ms":"x","slots_missed":"x"}'])
def test_no_record_of_a_change_makes_status_or_switchover_fail(value: bytes) -> None:
    """Anybody who reaches etcd may write there, also what is nested too deep to be read."""
    seen = snapshot(10, beat(3), history__7=value)
    assert group_view(NAMES, seen)["since"] is None
    result = Result(NAMES, well(), "", 9)
    result.epoch = 7
    assert result.cost(seen) is None


@given(st.binary(max_size=40))
def test_whatever_stands_in_the_past_can_be_shown(value: bytes) -> None:
    """No value that somebody put by hand makes history fail."""
    names = {"history__9": value, "audit__x": value, "ledger__7": value}
    seen = snapshot(10, beat(3), **names)
    odd = Snapshot(10, tuple(each for each in seen.items))
    history.table(past.entries(NAMES, odd))
    history.window_table(past.windows(NAMES, odd))
    json.dumps(past.entries(NAMES, odd))
