"""What waits for a channel: which comes first, which goes when there are too many, and how long it is worth sending."""

from __future__ import annotations

import pytest

from agent.alerts.worker import GIVE_UP_S, Waiting
from agent.core.alerts.notice import Notice

NOW_S = 1000.0


def notice(key: str, severity: str = "warning", *, resolved: bool = False, summary: str = "x") -> Notice:
    """Return a notice."""
    return Notice(key, "test", severity, summary, resolved, {}, lasts=True)


def drained(queue: Waiting) -> list[str]:
    """Take all out, and return their keys in the order in which they would be sent."""
    found = []
    while (entry := queue.take()) is not None:
        found.append(entry.notice.key)
    return found


def filled(capacity: int, *notices: Notice) -> tuple[Waiting, list[bool]]:
    """Return a queue, and for each notice whether another one had to go for it."""
    queue = Waiting(capacity)
    return queue, [queue.put(each, NOW_S) for each in notices]


def test_the_worst_comes_first_and_of_those_the_oldest() -> None:
    """An end of the same severity comes before what begins: it may make the rest void."""
    queue, dropped = filled(
        10,
        notice("i", "info"),
        notice("w1"),
        notice("c1", "critical"),
        notice("w2"),
        notice("c2", "critical"),
        notice("w3", resolved=True),
        notice("c3", "critical", resolved=True),
    )
    assert not any(dropped)
    assert drained(queue) == ["c3", "c1", "c2", "w3", "w1", "w2", "i"]


def test_a_newer_word_about_a_key_replaces_the_one_before() -> None:
    """And takes its place in the order anew; nobody needs yesterday's."""
    queue, _ = filled(10, notice("a", summary="old"), notice("b"), notice("a", summary="new"))
    assert len(queue) == 2
    assert [each.summary for each in queue if each.key == "a"] == ["new"]
    queue.put(notice("b", resolved=True), NOW_S)
    assert drained(queue) == ["b", "a"]
    assert len(queue) == 0


def test_exactly_the_oldest_of_the_least_goes() -> None:
    """Three above the bound: the three oldest of the least severe are gone, and each time that is told."""
    wanted = [notice("w1"), notice("i1", "info"), notice("i2", "info"), notice("c1", "critical")]
    queue, dropped = filled(4, *wanted, notice("w2"), notice("w3"), notice("w4"))
    assert dropped == [False] * 4 + [True] * 3
    assert drained(queue) == ["c1", "w2", "w3", "w4"]


def test_an_end_is_not_dropped_for_what_begins() -> None:
    """An alert that stays open at the channel for ever is worse than one that was never told."""
    queue, dropped = filled(2, notice("e", "info", resolved=True), notice("c1", "critical"), notice("c2", "critical"))
    assert dropped == [False, False, True]
    assert drained(queue) == ["c2", "e"]


def test_what_could_not_be_sent_is_the_next_again_unless_there_is_newer_word() -> None:
    """It keeps its age; a newer word about its key stands instead."""
    queue, _ = filled(10, notice("a"), notice("b"))
    entry = queue.take()
    assert entry is not None
    assert not queue.put_back(entry)
    assert drained(queue) == ["a", "b"]
    before, _ = filled(1, notice("a", summary="old"))
    old = before.take()
    assert old is not None
    queue.put(notice("a", summary="new"), NOW_S)
    assert not queue.put_back(old)
    assert [each.summary for each in queue] == ["new"]


def test_what_is_put_back_into_a_full_queue_may_be_what_goes() -> None:
    """The bound holds, and the oldest of the least is the one that was put back."""
    queue, _ = filled(2, notice("a"), notice("b"))
    entry = queue.take()
    assert entry is not None
    queue.put(notice("c"), NOW_S)
    assert queue.put_back(entry)
    assert drained(queue) == ["b", "c"]


@pytest.mark.parametrize("severity", GIVE_UP_S)
def test_each_severity_is_worth_its_time(severity: str) -> None:
    """In seconds from when it was told; an end is always worth sending."""
    for resolved, until in ((False, NOW_S + GIVE_UP_S[severity]), (True, float("inf"))):
        queue, _ = filled(1, notice("a", severity, resolved=resolved))
        entry = queue.take()
        assert entry is not None
        assert entry.give_up_at == until
    assert GIVE_UP_S["info"] <= GIVE_UP_S["warning"] <= GIVE_UP_S["critical"]


def test_taking_all_out_counts_them() -> None:
    """Nothing is left, and what comes later waits as ever."""
    queue, _ = filled(10, notice("a"), notice("b", "critical"), notice("c", resolved=True))
    assert queue.clear() == 3
    assert (len(queue), list(queue), queue.take()) == (0, [], None)
    queue.put(notice("a"), NOW_S)
    assert drained(queue) == ["a"]
