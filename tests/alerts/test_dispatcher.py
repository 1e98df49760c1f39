"""The alert workers: telling never waits, the least severe gives way, tries are spaced, closing is bounded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.alerts import worker
from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.worker import Channel, ChannelStats
from agent.core.alerts.notice import Notice
from agent.ports import Delivery
from tests.support.alert_channel import OK, PlayedSink
from tests.support.children import wait_until
from tests.support.slack import within

DOWN = Delivery(ok=False, retry=True, detail="connection refused")
GONE = Delivery(ok=False, detail="HTTP 404")


def notice(key: str, severity: str = "critical") -> Notice:
    """Return something to tell."""
    return Notice(key, "event", severity, "summary")


@pytest.fixture
def desk() -> Iterator[Callable[..., AlertDispatcher]]:
    """Make desks that are closed after the test."""
    made: list[AlertDispatcher] = []

    def make(*channels: Channel, **settings: Any) -> AlertDispatcher:
        made.append(AlertDispatcher(channels, **{"first_wait_s": 0.01} | settings))
        return made[-1]

    yield make
    for each in made:
        each.close(1)


def only(made: AlertDispatcher) -> ChannelStats:
    """Return the counters of the only channel."""
    (stats,) = made.stats()
    return stats


def test_notices_arrive_in_order(desk: Callable[..., AlertDispatcher]) -> None:
    """What was told is sent once, in order, and counted."""
    sink = PlayedSink()
    made = desk(Channel(sink, "info"))
    for number in range(20):
        made.tell(notice(str(number)))
    wait_until(lambda: only(made).sent["ok"] == 20)
    assert sink.keys == [str(number) for number in range(20)]
    assert only(made).queued == 0


def test_a_channel_gets_what_is_severe_enough_for_it(desk: Callable[..., AlertDispatcher]) -> None:
    """min_severity filters; a word that nobody knows is taken for severe, so that it is never lost."""
    sink = PlayedSink()
    made = desk(Channel(sink, "warning"))
    for severity in ("info", "warning", "critical", "odd"):
        made.tell(notice(severity, severity))
    wait_until(lambda: len(sink.tries) == 3)
    assert sorted(sink.keys) == ["critical", "odd", "warning"]


def test_telling_never_waits_for_a_channel_that_hangs(desk: Callable[..., AlertDispatcher]) -> None:
    """With one channel hanging and its queue full, a thousand calls return at once, and the other channel gets all."""
    hanging, well = PlayedSink(), PlayedSink()
    hanging.gate.clear()
    made = desk(Channel(hanging, "info", timeout_s=30), Channel(well, "info"), capacity=1000)
    spans = []
    for number in range(2000):
        begin = time.perf_counter()
        made.tell(notice(str(number), "info"))
        spans.append(time.perf_counter() - begin)
        if number % 100 == 0:
            time.sleep(0.002)  # let the channel that is well keep up
    late = [span for span in spans if span >= 0.01]
    assert len(late) <= 20, late  # this machine may take the processor away from us; a wait would hit every call
    assert max(spans) < 0.5
    wait_until(lambda: made.stats()[1].queued == 0)
    assert made.stats()[1].sent["ok"] + made.stats()[1].dropped["full"] == 2000
    assert made.stats()[0].dropped["full"] >= 990
    hanging.gate.set()


def test_a_full_queue_drops_the_least_severe_and_of_those_the_oldest(desk: Callable[..., AlertDispatcher]) -> None:
    """Old info goes first, then old warnings; a new info does not push out anything more severe."""
    sink = PlayedSink()
    sink.gate.clear()
    made = desk(Channel(sink, "info", timeout_s=30), capacity=3)
    made.tell(notice("under way"))
    wait_until(lambda: sink.keys == ["under way"])
    told = [
        ("i1", "info"),
        ("w1", "warning"),
        ("i2", "info"),
        ("c1", "critical"),
        ("w2", "warning"),
        ("c2", "critical"),
    ]
    for key, severity in [*told, ("i3", "info"), ("c3", "critical"), ("c4", "critical")]:
        made.tell(notice(key, severity))
    assert only(made).queued == 3
    sink.gate.set()
    wait_until(lambda: len(sink.tries) == 4)
    assert sink.keys[1:] == ["c2", "c3", "c4"]
    assert only(made).dropped["full"] == 6


def test_a_failure_is_tried_again_and_later_each_time(desk: Callable[..., AlertDispatcher]) -> None:
    """Tries go on until one succeeds; the waits have jitter and a bound."""
    sink = PlayedSink(lambda number: OK if number >= 4 else DOWN)
    made = desk(Channel(sink))
    made.tell(notice("a"))
    made.tell(notice("b"))
    wait_until(lambda: only(made).sent["ok"] == 2)
    assert sink.keys == ["a"] * 4 + ["b"]
    assert only(made).sent == {"ok": 2, "failed": 3, "rejected": 0}
    assert sum(only(made).dropped.values()) == 0


def test_a_refusal_is_not_tried_again(desk: Callable[..., AlertDispatcher]) -> None:
    """What the channel says will never work is dropped and counted, and the next one is sent."""
    sink = PlayedSink(lambda number: GONE if number == 1 else OK)
    made = desk(Channel(sink))
    made.tell(notice("a"))
    made.tell(notice("b"))
    wait_until(lambda: only(made).sent["ok"] == 1)
    assert sink.keys == ["a", "b"]
    assert only(made).dropped["rejected"] == 1


@pytest.mark.parametrize(("asked", "least", "most"), [(0.3, 0.3, 2.0), (3600.0, 0.5, 2.0)])
def test_retry_after_is_honoured_up_to_a_limit(
    desk: Callable[..., AlertDispatcher], monkeypatch: pytest.MonkeyPatch, asked: float, least: float, most: float
) -> None:
    """The channel may ask for a longer wait than ours, but not for an hour."""
    monkeypatch.setattr(worker, "LONGEST_WAIT_S", 0.5)
    busy = Delivery(ok=False, retry=True, retry_after_s=asked, detail="HTTP 429")
    sink = PlayedSink(lambda number: busy if number == 1 else OK)
    made = desk(Channel(sink))
    made.tell(notice("a"))
    wait_until(lambda: only(made).sent["ok"] == 1)
    waited = sink.tries[1][1] - sink.tries[0][1]
    assert least <= waited < most


def test_what_is_too_old_is_given_up(desk: Callable[..., AlertDispatcher], monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that is down for long does not get yesterday's news."""
    monkeypatch.setattr(worker, "GIVE_UP_S", {"info": 0.2, "critical": 60.0})
    sink = PlayedSink(lambda number: DOWN)
    made = desk(Channel(sink, "info"))
    made.tell(notice("a", "info"))
    wait_until(lambda: only(made).dropped["expired"] == 1)
    assert len(sink.tries) > 1


def test_a_failure_that_repeats_is_logged_once_with_a_count(
    desk: Callable[..., AlertDispatcher], caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins, one with the count when it ends."""
    sink = PlayedSink(lambda number: DOWN if number <= 6 else OK)
    with caplog.at_level(logging.INFO):
        made = desk(Channel(sink))
        made.tell(notice("a"))
        wait_until(lambda: only(made).sent["ok"] == 1)
        wait_until(lambda: len(caplog.messages) == 2)
    assert caplog.messages == [
        "channel ops does not deliver: connection refused",
        "channel ops delivers again; the last failure came 6 times",
    ]


def test_a_defect_in_a_sink_does_not_end_its_channel(
    desk: Callable[..., AlertDispatcher], caplog: pytest.LogCaptureFixture
) -> None:
    """A sink that raises loses one notice, loudly; the next is sent."""

    def answers(number: int) -> Delivery:
        if number == 1:
            raise KeyError("https://hooks.example/secret")
        return OK

    made = desk(Channel(PlayedSink(answers)))
    made.tell(notice("a"))
    made.tell(notice("b"))
    wait_until(lambda: only(made).sent["ok"] == 1)
    assert only(made).dropped["rejected"] == 1
    assert any("a defect in channel ops" in message for message in caplog.messages)


def test_closing_gives_each_notice_one_last_try(desk: Callable[..., AlertDispatcher]) -> None:
    """What was told just before the end still goes out."""
    sink = PlayedSink()
    made = desk(Channel(sink))
    for number in range(10):
        made.tell(notice(str(number)))
    made.close(5)
    assert only(made).sent["ok"] == 10
    made.tell(notice("too late"))
    assert only(made).dropped["shutdown"] == 1


def test_closing_does_not_wait_between_tries(desk: Callable[..., AlertDispatcher]) -> None:
    """A channel that is waiting for its next try is woken, and ends."""
    sink = PlayedSink(lambda number: DOWN)
    made = desk(Channel(sink), first_wait_s=60.0)
    made.tell(notice("a"))
    made.tell(notice("b"))
    wait_until(lambda: len(sink.tries) == 1)
    begin = time.monotonic()
    made.close(10)
    assert time.monotonic() - begin < 2
    assert only(made).dropped["shutdown"] == 2


def test_closing_is_bounded_when_channels_hang(desk: Callable[..., AlertDispatcher]) -> None:
    """Three channels that hang for half a minute cost one time-out in all, and every notice is accounted for."""
    sinks = [PlayedSink() for _ in range(3)]
    made = desk(*(Channel(sink, timeout_s=30) for sink in sinks))
    for sink in sinks:
        sink.gate.clear()
    for number in range(5):
        made.tell(notice(str(number)))
    wait_until(lambda: all(sink.tries for sink in sinks))
    with within(0.5):
        made.close(0.5)
    assert [stats.dropped["shutdown"] for stats in made.stats()] == [4, 4, 4]  # the fifth is under way
    for sink in sinks:
        sink.gate.set()


def test_the_last_try_has_no_longer_than_is_left(desk: Callable[..., AlertDispatcher]) -> None:
    """At the end a try gets what is left of the time-out of the close."""
    sink = PlayedSink()
    sink.gate.clear()
    made = desk(Channel(sink, timeout_s=0.3))
    made.tell(notice("a"))
    made.tell(notice("b"))
    wait_until(lambda: len(sink.tries) == 1)
    made.close(0.6)
    assert sink.timeouts[0] == 0.3
    assert all(timeout <= 0.6 for timeout in sink.timeouts)
