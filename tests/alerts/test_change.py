"""Other channels while the agent runs: what was not told yet is told by the successor, the rest goes on undisturbed."""

from __future__ import annotations

import time

import pytest

from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.worker import Channel
from agent.core.alerts.notice import Notice
from tests.support.alert_channel import PlayedSink
from tests.support.children import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


def notice(key: str) -> Notice:
    """Return something to tell."""
    return Notice(key, "event", "critical", "summary")


def test_a_successor_tells_what_a_channel_that_hung_was_owed() -> None:
    """A URL is corrected: what waited for the old one arrives at the new one, each once."""
    hung, mended = PlayedSink(name="ops", opened=False), PlayedSink(name="ops")
    dispatcher = AlertDispatcher([Channel(hung, timeout_s=0.2)], first_wait_s=0.01)
    try:
        for key in ("one", "two", "three"):
            dispatcher.tell(notice(key))
        dispatcher.change(frozenset(), [Channel(mended)], (), 1.0)
        dispatcher.tell(notice("four"))
        wait_until(lambda: len(mended.arrived) >= 4)
        assert sorted(mended.arrived) == ["four", "one", "three", "two"]
        assert hung.arrived == []
        assert [each.channel for each in dispatcher.stats()] == ["ops"]
    finally:
        dispatcher.close(1)


def test_a_channel_that_stays_is_not_disturbed() -> None:
    """What it was sending goes on, its counters too; one that is gone gets nothing more, a new one all that is new."""
    stays, goes, comes = PlayedSink(name="stays"), PlayedSink(name="goes"), PlayedSink(name="comes")
    dispatcher = AlertDispatcher([Channel(stays), Channel(goes, "info")], first_wait_s=0.01)
    try:
        dispatcher.tell(notice("one"))
        wait_until(lambda: stays.arrived == ["one"] and goes.arrived == ["one"])
        assert dispatcher.least == "info"
        dispatcher.change(frozenset({"stays"}), [Channel(comes)], (), 1.0)
        assert dispatcher.least == "warning"
        dispatcher.tell(notice("two"))
        wait_until(lambda: stays.arrived == ["one", "two"] and comes.arrived == ["two"])
        assert goes.arrived == ["one"]
        counts = {each.channel: each.sent["ok"] for each in dispatcher.stats()}
        wait_until(lambda: {each.channel: each.sent["ok"] for each in dispatcher.stats()} == {"stays": 2, "comes": 1})
        assert set(counts) == {"stays", "comes"}
    finally:
        dispatcher.close(1)


def test_a_channel_that_hangs_holds_up_a_change_for_its_time_only() -> None:
    """The old channel is given the time that was said, then the new one begins."""
    hung = PlayedSink(name="ops", opened=False)
    dispatcher = AlertDispatcher([Channel(hung, timeout_s=30)], first_wait_s=0.01)
    try:
        dispatcher.tell(notice("one"))
        begin = time.monotonic()
        dispatcher.change(frozenset(), [Channel(PlayedSink(name="ops"))], (), 0.5)
        assert time.monotonic() - begin < 5
    finally:
        hung.gate.set()
        dispatcher.close(1)
